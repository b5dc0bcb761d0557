// Queries and keys from one shared representation, normalized head by head.
// Ma et al., 2024, arXiv:2404.08801, section 3.3.
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/shared_query_key.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <cmath>

#include "include/apus_kernels.h"
#include "ops/row_blocks.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using V = hn::Vec<hn::ScalableTag<float>>;

void SharedQueryKeyRows(float* qk, float* scales, const float* z, const float* gain,
                        const float* bias, ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t size,
                        float epsilon) {
  const hn::ScalableTag<float> d;
  const ptrdiff_t width = heads * size;
  const float root = 1.0f / std::sqrt(static_cast<float>(size));
  const auto square = [](V v) HWY_ATTR { return hn::Mul(v, v); };
  for (ptrdiff_t r = 0; r < rows; ++r, qk += 2 * width, scales += heads) {
    for (ptrdiff_t h = 0; h < heads; ++h, z += size) {
      scales[h] = 1.0f / std::sqrt(MapSum(size, square, z) / static_cast<float>(size) + epsilon);
      const V scale = hn::Set(d, scales[h] * root);
      const auto f = [&](V v, V g, V b) HWY_ATTR {
        const V normal = hn::Mul(v, scale);
        return hn::Add(hn::MulAdd(normal, g, normal), b);
      };
      for (ptrdiff_t part = 0; part < 2; ++part) {
        const ptrdiff_t at = part * width + h * size;
        Map(qk + at, size, f, z, gain + at, bias + at);
      }
    }
  }
}

/// Writes dz and adds the rows' share to dgain and dbias.
void SharedQueryKeyBackwardRows(float* dz, float* dgain, float* dbias, const float* dqk,
                                const float* z, const float* gain, const float* scales,
                                ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t size) {
  const hn::ScalableTag<float> d;
  const ptrdiff_t width = heads * size;
  const V root = hn::Set(d, 1.0f / std::sqrt(static_cast<float>(size)));
  const auto weighed = [](V v, V g) HWY_ATTR { return hn::MulAdd(v, g, v); };
  for (ptrdiff_t r = 0; r < rows; ++r, dqk += 2 * width, scales += heads) {
    for (ptrdiff_t h = 0; h < heads; ++h, z += size, dz += size) {
      const V scale = hn::Set(d, scales[h]);
      const V scaled_root = hn::Mul(scale, root);
      const float *dq = dqk + h * size, *dk = dq + width;
      const float *q_gain = gain + h * size, *k_gain = q_gain + width;
      const auto input = [&](V a, V ga, V b, V gb) HWY_ATTR {  // the gradient of z · scale
        return hn::Mul(root, hn::Add(weighed(a, ga), weighed(b, gb)));
      };
      const auto product = [&](V a, V ga, V b, V gb, V v)
                               HWY_ATTR { return hn::Mul(input(a, ga, b, gb), hn::Mul(v, scale)); };
      const V mean =
          hn::Set(d, MapSum(size, product, dq, q_gain, dk, k_gain, z) / static_cast<float>(size));
      const auto f = [&](V a, V ga, V b, V gb, V v) HWY_ATTR {
        return hn::Mul(scale, hn::NegMulAdd(hn::Mul(v, scale), mean, input(a, ga, b, gb)));
      };
      Map(dz, size, f, dq, q_gain, dk, k_gain, z);
      const auto share = [&](V sum, V g, V v)
                             HWY_ATTR { return hn::MulAdd(g, hn::Mul(v, scaled_root), sum); };
      const auto add = [](V sum, V g) HWY_ATTR { return hn::Add(sum, g); };
      for (ptrdiff_t part = 0; part < 2; ++part) {
        const ptrdiff_t at = part * width + h * size;
        Map(dgain + at, size, share, dgain + at, dqk + at, z);
        Map(dbias + at, size, add, dbias + at, dqk + at);
      }
    }
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(SharedQueryKeyRows);
HWY_EXPORT(SharedQueryKeyBackwardRows);

}  // namespace

extern "C" {

void apus_shared_query_key_f32(float* qk, float* scales, const float* z, const float* gain,
                               const float* bias, ptrdiff_t rows, ptrdiff_t heads,
                               ptrdiff_t head_size, float epsilon) {
  const ptrdiff_t width = heads * head_size;
  ParallelRanges(rows, RowGrain(2 * width), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(SharedQueryKeyRows)
    (qk + begin * 2 * width, scales + begin * heads, z + begin * width, gain, bias, end - begin,
     heads, head_size, epsilon);
  });
}

void apus_shared_query_key_backward_f32(float* dz, float* dgain, float* dbias, const float* dqk,
                                        const float* z, const float* gain, const float* scales,
                                        ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t head_size) {
  const ptrdiff_t width = heads * head_size;
  float* totals[2] = {dgain, dbias};
  SumRowBlocks(totals, 2 * width, rows, false, [&](float** own, ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(SharedQueryKeyBackwardRows)
    (dz + begin * width, own[0], own[1], dqk + begin * 2 * width, z + begin * width, gain,
     scales + begin * heads, end - begin, heads, head_size);
  });
}

void apus_shared_query_key_reference_f32(float* qk, float* scales, const float* z,
                                         const float* gain, const float* bias, ptrdiff_t rows,
                                         ptrdiff_t heads, ptrdiff_t head_size, float epsilon) {
  const ptrdiff_t width = heads * head_size;
  for (ptrdiff_t i = 0; i < rows * heads; ++i, z += head_size) {
    double squares = 0;
    for (ptrdiff_t c = 0; c < head_size; ++c) squares += static_cast<double>(z[c]) * z[c];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(head_size) + epsilon);
    scales[i] = static_cast<float>(scale);
    for (ptrdiff_t c = 0; c < 2 * head_size; ++c) {
      const ptrdiff_t at = c / head_size * width + i % heads * head_size + c % head_size;
      const double normal = z[c % head_size] * scale / std::sqrt(static_cast<double>(head_size));
      qk[i / heads * 2 * width + at] = static_cast<float>(normal * (1.0 + gain[at]) + bias[at]);
    }
  }
}

void apus_shared_query_key_backward_reference_f32(float* dz, float* dgain, float* dbias,
                                                  const float* dqk, const float* z,
                                                  const float* gain, const float* scales,
                                                  ptrdiff_t rows, ptrdiff_t heads,
                                                  ptrdiff_t head_size) {
  const ptrdiff_t width = heads * head_size;
  const double root = 1 / std::sqrt(static_cast<double>(head_size));
  for (ptrdiff_t at = 0; at < 2 * width; ++at) {
    double sum_gain = 0, sum_bias = 0;
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const double scale = scales[r * heads + at % width / head_size];
      sum_gain += dqk[r * 2 * width + at] * z[r * width + at % width] * scale * root;
      sum_bias += dqk[r * 2 * width + at];
    }
    dgain[at] = static_cast<float>(sum_gain);
    dbias[at] = static_cast<float>(sum_bias);
  }
  for (ptrdiff_t i = 0; i < rows * heads; ++i) {
    const double scale = scales[i];
    const auto gradient = [&](ptrdiff_t c) {  // of z times its scale
      const ptrdiff_t at = i % heads * head_size + c;
      const float* row = dqk + i / heads * 2 * width;
      return root * (row[at] * (1.0 + gain[at]) + row[width + at] * (1.0 + gain[width + at]));
    };
    double mean = 0;
    for (ptrdiff_t c = 0; c < head_size; ++c) {
      mean += gradient(c) * z[i * head_size + c] * scale / static_cast<double>(head_size);
    }
    for (ptrdiff_t c = 0; c < head_size; ++c) {
      dz[i * head_size + c] =
          static_cast<float>(scale * (gradient(c) - z[i * head_size + c] * scale * mean));
    }
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
