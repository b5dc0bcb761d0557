// Locality-sensitive hashing by rotations, and the lists that follow from it. Andoni et al., 2015,
// arXiv:1509.02897; Kitaev et al., 2020, arXiv:2001.04451.
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/lsh_buckets.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "include/apus_kernels.h"
#include "support/loops-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

/// The first place of the largest among (y, −y), y of `count` elements: a vector of places by
/// lanes first, then the lanes.
int32_t LargestPlace(const float* y, ptrdiff_t count) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto best = none;
  auto place = hn::Zero(di);
  const auto width = hn::Set(di, static_cast<int32_t>(count));
  for (int sign = 0; sign < 2; ++sign) {
    for (ptrdiff_t i = 0; i < count; i += lanes) {
      const ptrdiff_t left = count - i;
      auto v = left >= lanes ? hn::LoadU(d, y + i) : LoadUpTo(d, y + i, left);
      if (sign == 1) v = hn::Neg(v);
      if (left < lanes) v = hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(left)), v, none);
      auto here = hn::Iota(di, static_cast<int32_t>(i));
      if (sign == 1) here = hn::Add(here, width);
      const auto larger = hn::Gt(v, best);
      best = hn::IfThenElse(larger, v, best);
      place = hn::IfThenElse(hn::RebindMask(di, larger), here, place);
    }
  }
  HWY_ALIGN float values[hn::MaxLanes(d)];
  HWY_ALIGN int32_t places[hn::MaxLanes(d)];
  hn::Store(best, d, values);
  hn::Store(place, di, places);
  ptrdiff_t first = 0;
  for (ptrdiff_t i = 1; i < std::min(lanes, count); ++i) {
    const bool tie = values[i] == values[first] && places[i] < places[first];
    if (values[i] > values[first] || tie) first = i;
  }
  return places[first];
}

/// Buckets of `rows` tokens in one round; y has `stride` products for each token.
void BucketRows(int32_t* buckets, const float* y, const ptrdiff_t* factors, ptrdiff_t factor_count,
                ptrdiff_t rows, ptrdiff_t stride) {
  for (ptrdiff_t t = 0; t < rows; ++t, y += stride) {
    const float* part = y;
    ptrdiff_t bucket = 0, unit = 1;
    for (ptrdiff_t f = 0; f < factor_count; ++f) {
      bucket += unit * LargestPlace(part, factors[f] / 2);
      part += factors[f] / 2;
      unit *= factors[f];
    }
    buckets[t] = static_cast<int32_t>(bucket);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(BucketRows);

/// Σ f/2.
ptrdiff_t RotationWidth(const ptrdiff_t* factors, ptrdiff_t count) {
  ptrdiff_t width = 0;
  for (ptrdiff_t f = 0; f < count; ++f) width += factors[f] / 2;
  return width;
}

/// The order of one list.
void SortList(int32_t* order, int32_t* starts, int32_t* next, const int32_t* buckets,
              ptrdiff_t bucket_count, ptrdiff_t time, ptrdiff_t slots) {
  std::fill_n(next, bucket_count + 1, 0);
  for (ptrdiff_t t = 0; t < time; ++t) ++next[buckets[t] + 1];
  for (ptrdiff_t g = 0; g < bucket_count; ++g) next[g + 1] += next[g];
  if (starts != nullptr) std::copy_n(next, bucket_count + 1, starts);
  for (ptrdiff_t t = 0; t < time; ++t) order[next[buckets[t]]++] = static_cast<int32_t>(t);
  for (ptrdiff_t t = time; t < slots; ++t) order[t] = static_cast<int32_t>(t);
}

}  // namespace

extern "C" {

void apus_lsh_buckets_f32(int32_t* buckets, const float* x, const float* rotations,
                          const ptrdiff_t* factors, ptrdiff_t factor_count,
                          const apus_lsh_shape* shape) {
  constexpr ptrdiff_t kRows = 512;
  const ptrdiff_t width = RotationWidth(factors, factor_count);
  const ptrdiff_t columns = shape->rounds * width, size = shape->head_size;
  const ptrdiff_t pieces = (shape->time + kRows - 1) / kRows;
  ParallelBlocks(shape->batch * shape->heads * pieces, [&](ptrdiff_t task) {
    const ptrdiff_t index = task / pieces, first = task % pieces * kRows;
    const ptrdiff_t b = index / shape->heads, h = index % shape->heads;
    const ptrdiff_t rows = std::min(kRows, shape->time - first);
    Scratch scratch(rows * columns);
    float* y = scratch.Take(rows * columns);
    const apus_product_shape product = {rows, columns, size, shape->q_stride, columns, columns,
                                        0,    0,       0};
    apus_product_f32(y, x + (b * shape->time + first) * shape->q_stride + h * size,
                     rotations + h * size * columns, nullptr, &product);
    for (ptrdiff_t r = 0; r < shape->rounds; ++r) {
      HWY_DYNAMIC_DISPATCH(BucketRows)
      (buckets + (index * shape->rounds + r) * shape->time + first, y + r * width, factors,
       factor_count, rows, columns);
    }
  });
}

void apus_lsh_order(int32_t* order, int32_t* starts, const int32_t* buckets, ptrdiff_t bucket_count,
                    const apus_lsh_shape* shape) {
  const ptrdiff_t lists = shape->batch * shape->heads * shape->rounds;
  ParallelBlocks(lists, [&](ptrdiff_t list) {
    Scratch scratch(bucket_count + 1);
    SortList(order + list * shape->slots,
             starts == nullptr ? nullptr : starts + list * (bucket_count + 1),
             reinterpret_cast<int32_t*>(scratch.Take(bucket_count + 1)),
             buckets + list * shape->time, bucket_count, shape->time, shape->slots);
  });
}

void apus_lsh_buckets_reference_f32(int32_t* buckets, const float* x, const float* rotations,
                                    const ptrdiff_t* factors, ptrdiff_t factor_count,
                                    const apus_lsh_shape* shape) {
  const ptrdiff_t width = RotationWidth(factors, factor_count), size = shape->head_size;
  const ptrdiff_t lists = shape->batch * shape->heads * shape->rounds;
  for (ptrdiff_t i = 0; i < lists * shape->time; ++i) {
    const ptrdiff_t t = i % shape->time, r = i / shape->time % shape->rounds;
    const ptrdiff_t head = i / shape->time / shape->rounds, h = head % shape->heads;
    const float* row = x + (head / shape->heads * shape->time + t) * shape->q_stride + h * size;
    const auto product = [&](ptrdiff_t column) {
      double sum = 0;
      for (ptrdiff_t e = 0; e < size; ++e) {
        sum += static_cast<double>(row[e]) *
               rotations[((h * size + e) * shape->rounds + r) * width + column];
      }
      return sum;
    };
    ptrdiff_t bucket = 0, unit = 1, column = 0;
    for (ptrdiff_t f = 0; f < factor_count; ++f) {
      const ptrdiff_t half = factors[f] / 2;
      std::vector<double> y(static_cast<size_t>(2 * half));
      for (ptrdiff_t j = 0; j < half; ++j) {
        y[j] = product(column + j);
        y[half + j] = -y[j];
      }
      bucket += unit * (std::max_element(y.begin(), y.end()) - y.begin());
      unit *= factors[f];
      column += half;
    }
    buckets[i] = static_cast<int32_t>(bucket);
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
