// Exact attention for a few queries over many keys, forward: the step of a decoder.
//
// Each key and value is read once, in the order of memory, all heads of a token together: the
// memory is the limit. A task is a range of keys; the parts of all ranges, each with its maximum
// and sum, are then put together: Dao et al., 2023, "Flash-Decoding for long-context inference".
#include <cmath>

#include "include/apus_kernels.h"
#include "support/parallel.h"
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/attention_few_rows.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ops/attention_plan.h"
#include "ops/attention_tile-inl.h"

#ifndef APUS_ATTENTION_FEW_ROWS_ONCE
#define APUS_ATTENTION_FEW_ROWS_ONCE
namespace apus::attention {

/// What every task of a call shares.
struct FewRowsCall {
  const apus_attention_shape* shape;
  float *o, *lse;
  const float *q, *k, *v;
  float* parts;  ///< [B, ranges, rows of all heads, part_stride]: output, maximum, sum
  ptrdiff_t part_stride, first_key, last_key, range_keys, ranges;

  float* Part(ptrdiff_t batch, ptrdiff_t range, ptrdiff_t row) const {
    return parts + ((batch * ranges + range) * shape->heads * shape->queries + row) * part_stride;
  }
};

}  // namespace apus::attention
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using attention::FewRowsCall;
using attention::Head;
using attention::KeyRange;
using attention::kInfinity;

/// Keys that are worked on together, so that a query is loaded once for them.
constexpr ptrdiff_t kKeysAtOnce = 4;

/// scores[0 ..< 4] = query · each of four keys.
HWY_INLINE void ScoreFour(float* HWY_RESTRICT scores, const float* HWY_RESTRICT query,
                          const float* HWY_RESTRICT key, ptrdiff_t stride, ptrdiff_t size) {
  const Floats f;
  Vector sum[kKeysAtOnce] = {hn::Zero(f), hn::Zero(f), hn::Zero(f), hn::Zero(f)};
  ptrdiff_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const Vector features = hn::LoadU(f, query + i);
#pragma unroll
    for (int j = 0; j < kKeysAtOnce; ++j) {
      sum[j] = hn::MulAdd(features, hn::LoadU(f, key + j * stride + i), sum[j]);
    }
  }
#pragma unroll
  for (int j = 0; j < kKeysAtOnce; ++j) scores[j] = hn::GetLane(hn::SumOfLanes(f, sum[j]));
  for (; i < size; ++i) {
    for (int j = 0; j < kKeysAtOnce; ++j) scores[j] += query[i] * key[j * stride + i];
  }
}

/// o += Σ_j weights[j] · value j, for kVectors vectors of features.
template <int kVectors>
HWY_INLINE void AddValues(float* HWY_RESTRICT o, const float* HWY_RESTRICT weights,
                          const float* HWY_RESTRICT value, ptrdiff_t stride, ptrdiff_t keys) {
  const Floats f;
  Vector sum[kVectors];
#pragma unroll
  for (int v = 0; v < kVectors; ++v) sum[v] = hn::LoadU(f, o + v * kLanes);
  for (ptrdiff_t j = 0; j < keys; ++j) {
    const Vector weight = hn::Set(f, weights[j]);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      sum[v] = hn::MulAdd(weight, hn::LoadU(f, value + j * stride + v * kLanes), sum[v]);
    }
  }
#pragma unroll
  for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[v], f, o + v * kLanes);
}

HWY_INLINE void AddValues(float* HWY_RESTRICT o, const float* HWY_RESTRICT weights,
                          const float* HWY_RESTRICT value, ptrdiff_t stride, ptrdiff_t keys,
                          ptrdiff_t size) {
  ptrdiff_t c = 0;
  for (; c + 8 * kLanes <= size; c += 8 * kLanes) {
    AddValues<8>(o + c, weights, value + c, stride, keys);
  }
  for (; c + 2 * kLanes <= size; c += 2 * kLanes) {
    AddValues<2>(o + c, weights, value + c, stride, keys);
  }
  for (; c + kLanes <= size; c += kLanes) {
    AddValues<1>(o + c, weights, value + c, stride, keys);
  }
  for (; c < size; ++c) {
    for (ptrdiff_t j = 0; j < keys; ++j) o[c] += weights[j] * value[j * stride + c];
  }
}

/// The range's part of every row: unnormalized output, maximum (in units of log 2), sum.
void FewRowsTask(const FewRowsCall& call, ptrdiff_t task) {
  const Floats f;
  const apus_attention_shape& shape = *call.shape;
  const ptrdiff_t batch = task / call.ranges, range = task % call.ranges;
  const ptrdiff_t key = call.first_key + range * call.range_keys;
  const ptrdiff_t keys = std::min(call.range_keys, call.last_key - key);
  const ptrdiff_t padded = attention::RoundUp(keys, kPanel), size = shape.head_size;
  const Head first(call.shape, batch * shape.kv_heads);
  const ptrdiff_t rows = first.rows(), all_rows = rows * shape.kv_heads;

  Scratch scratch(Scratch::Rounded(all_rows * size) + all_rows * padded);
  float* q = scratch.Take(all_rows * size);
  float* scores = scratch.Take(all_rows * padded);
  for (ptrdiff_t row = 0; row < all_rows; ++row) {
    const Head head(call.shape, batch * shape.kv_heads + row / rows);
    ScaleRow(q + row * size, call.q + head.Row(row % rows, shape.q_batch, shape.q_stride),
             shape.scale * attention::kLog2E, size);
  }
  const float* k = call.k + first.Key(key, shape.k_batch, shape.k_stride);
  for (ptrdiff_t j = 0; j < keys; j += kKeysAtOnce) {
    for (ptrdiff_t row = 0; row < all_rows; ++row) {
      const float* one = k + j * shape.k_stride + row / rows * size;
      float* to = scores + row * padded + j;
      if (j + kKeysAtOnce <= keys) {
        ScoreFour(to, q + row * size, one, shape.k_stride, size);
      } else {
        for (ptrdiff_t i = 0; i < keys - j; ++i) {
          float four[kKeysAtOnce];
          ScoreFour(four, q + row * size, one + i * shape.k_stride, 0, size);
          to[i] = four[0];
        }
      }
    }
  }
  for (ptrdiff_t row = 0; row < all_rows; ++row) {
    float* part = call.Part(batch, range, row);
    std::memset(part, 0, static_cast<size_t>(size) * sizeof(float));
    const KeyRange sees = first.Keys(row % rows);
    for (ptrdiff_t j = keys; j < padded; ++j) scores[row * padded + j] = 0.0f;
    float sums[HWY_MAX(kLanes, 1)] = {}, maximum = -kInfinity;
    SoftmaxRow(scores + row * padded, sums, maximum, part, 0, 0, padded,
               {sees.begin - key, std::min(sees.end - key, keys)});
    part[size] = maximum;
    part[size + 1] = hn::GetLane(hn::SumOfLanes(f, hn::LoadU(f, sums)));
  }
  constexpr ptrdiff_t kChunk = 16;  // values that all query heads of a group read from L1
  const float* v = call.v + first.Key(key, shape.v_batch, shape.v_stride);
  for (ptrdiff_t j = 0; j < keys; j += kChunk) {
    for (ptrdiff_t row = 0; row < all_rows; ++row) {
      AddValues(call.Part(batch, range, row), scores + row * padded + j,
                v + j * shape.v_stride + row / rows * size, shape.v_stride,
                std::min(kChunk, keys - j), size);
    }
  }
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(FewRowsTask);

/// Puts the parts of one row together. LSE = ln Σ_s exp(LSE_s), O = Σ_s exp(LSE_s − LSE) O_s.
void CombineRow(const attention::FewRowsCall& call, const attention::Head& head, ptrdiff_t s) {
  const apus_attention_shape& shape = *call.shape;
  const ptrdiff_t size = shape.head_size, row = head.head * head.rows() + s;
  float maximum = -attention::kInfinity, sum = 0.0f;
  for (ptrdiff_t range = 0; range < call.ranges; ++range) {
    maximum = std::fmax(maximum, call.Part(head.batch, range, row)[size]);
  }
  float* o = call.o + head.Row(s, shape.o_batch, shape.o_stride);
  for (ptrdiff_t c = 0; c < size; ++c) o[c] = 0.0f;
  for (ptrdiff_t range = 0; range < call.ranges; ++range) {
    const float* part = call.Part(head.batch, range, row);
    if (part[size] == -attention::kInfinity && part[size + 1] == 0.0f) continue;
    const float weight = std::exp2(part[size] - maximum);
    sum += weight * part[size + 1];
    for (ptrdiff_t c = 0; c < size; ++c) o[c] += weight * part[c];
  }
  const bool empty = maximum == -attention::kInfinity && sum == 0.0f;
  for (ptrdiff_t c = 0; c < size; ++c) o[c] = empty ? 0.0f : o[c] / sum;
  if (call.lse == nullptr) return;
  call.lse[head.Statistic(s)] =
      empty ? attention::kInfinity : maximum * attention::kLn2 + std::log(sum);
}

}  // namespace

void attention::ForwardFewRows(float* o, float* lse, const float* q, const float* k, const float* v,
                               const apus_attention_shape& shape) {
  const Head any(&shape, 0);
  const ptrdiff_t rows = any.rows(), part_stride = RoundUp(shape.head_size + 2, 16);
  const ptrdiff_t first_key = any.Keys(0).begin, last_key = any.Keys(rows - 1).end;
  const ptrdiff_t keys = std::max<ptrdiff_t>(last_key - first_key, 0);
  const ptrdiff_t range_keys = RoundUp(std::clamp<ptrdiff_t>(keys / 64, 128, 1024), 64);
  const ptrdiff_t ranges = (keys + range_keys - 1) / range_keys;
  Scratch scratch(shape.batch * ranges * shape.heads * shape.queries * part_stride);
  const FewRowsCall call{&shape,          o,           lse,       q,        k,          v,
                         scratch.Take(0), part_stride, first_key, last_key, range_keys, ranges};
  ParallelBlocks(shape.batch * ranges, [&](ptrdiff_t task) {
    HWY_DYNAMIC_DISPATCH(FewRowsTask)(call, task);
  });
  for (ptrdiff_t index = 0; index < shape.batch * shape.kv_heads; ++index) {
    const Head head(&shape, index);
    for (ptrdiff_t s = 0; s < rows; ++s) CombineRow(call, head, s);
  }
}

}  // namespace apus
#endif
