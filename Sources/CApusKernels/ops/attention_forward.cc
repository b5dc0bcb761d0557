// Exact attention, forward: tiles of queries outside, tiles of keys inside, a running maximum and
// sum per row. Dao, 2023, FlashAttention-2, arXiv:2307.08691, algorithm 1.
#include <cmath>
#include <limits>

#include "include/apus_kernels.h"
#include "support/parallel.h"
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/attention_forward.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ops/attention_plan.h"
#include "ops/attention_tile-inl.h"

#ifndef APUS_ATTENTION_FORWARD_ONCE
#define APUS_ATTENTION_FORWARD_ONCE
namespace apus::attention {

/// What every task of a call shares.
struct ForwardCall {
  const apus_attention_shape* shape;
  float *o, *lse;
  const float *q, *k, *v;
  ptrdiff_t tile_rows;  ///< rows of a task
};

constexpr ptrdiff_t kForwardKeys = 192;  ///< keys of a tile: a multiple of any panel
constexpr ptrdiff_t kForwardBlock = 24;  ///< rows whose scores stand in L1 at once

}  // namespace apus::attention
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using attention::ForwardCall;
using attention::Head;
using attention::KeyRange;
using attention::kForwardBlock;
using attention::kForwardKeys;
using attention::kInfinity;

/// The state of the rows of one task.
struct ForwardTile {
  float *q, *o;          ///< [rows, stride], q scaled by scale · log2(e), o not yet normalized
  float* reference;      ///< [rows], near the largest score so far, in units of log 2
  float* sum;            ///< [rows, kLanes], partial sums of the exponentials
  float *keys, *values;  ///< the packed tile of keys and of values
  float* scores;         ///< [kForwardBlock, score_stride]
  float* saved_sum;      ///< [kForwardBlock, kLanes], to take a first try back
  ptrdiff_t stride, score_stride;

  /// Lays the tile out for `rows` rows of `size` features.
  void Take(Scratch& scratch, ptrdiff_t rows, ptrdiff_t size) {
    stride = attention::OddLines(size);
    score_stride = attention::OddLines(kForwardKeys);
    q = scratch.Take(rows * stride);
    o = scratch.Take(rows * stride);
    reference = scratch.Take(rows);
    sum = scratch.Take(rows * kLanes);
    keys = scratch.Take(kForwardKeys * size);
    values = scratch.Take(kForwardKeys * attention::RoundUp(size, kPanel));
    scores = scratch.Take(kForwardBlock * score_stride);
    saved_sum = scratch.Take(kForwardBlock * kLanes);
  }
};

/// The next tile of keys, fetched a little with every row of the present one: its rows lie a token
/// apart, too far for the hardware to foresee, and all at once they would hold up the products.
struct Ahead {
  const float *k, *v;
  ptrdiff_t keys, rows;

  void Fetch(ptrdiff_t row, const apus_attention_shape& shape) const {
    for (ptrdiff_t j = keys * row / rows; j < keys * (row + 1) / rows; ++j) {
      PrefetchRow(k + j * shape.k_stride, shape.head_size);
      PrefetchRow(v + j * shape.v_stride, shape.head_size);
    }
  }
};

/// Exponentials of kRows rows by one panel, straight from the sums of the product: what the row's
/// reference allows. `highest` gathers how far scores rise above it.
HWY_INLINE void ExponentialTile(float* HWY_RESTRICT scores, ptrdiff_t stride,
                                float* HWY_RESTRICT sum, const float* HWY_RESTRICT reference,
                                Vector& highest, const float* q, ptrdiff_t q_stride,
                                const float* keys, ptrdiff_t size) {
  const Floats f;
  Vector products[kRows][2];
  SumProducts<2, false>(products, q, q_stride, keys, kPanel, size);
#pragma unroll
  for (int i = 0; i < kRows; i += 2) {
    const Vector shift[2] = {hn::Set(f, reference[i]), hn::Set(f, reference[i + 1])};
    Vector p[4] = {hn::Sub(products[i][0], shift[0]), hn::Sub(products[i][1], shift[0]),
                   hn::Sub(products[i + 1][0], shift[1]), hn::Sub(products[i + 1][1], shift[1])};
    // In this order not-a-number does not hide what was there before.
#pragma unroll
    for (int v = 0; v < 4; ++v) highest = hn::Max(p[v], highest);
    Exp2(p);
#pragma unroll
    for (int v = 0; v < 4; ++v) {
      hn::StoreU(p[v], f, scores + (i + v / 2) * stride + v % 2 * kLanes);
    }
#pragma unroll
    for (int v = 0; v < 2; ++v) {
      float* to = sum + (i + v) * kLanes;
      hn::StoreU(hn::Add(hn::LoadU(f, to), hn::Add(p[2 * v], p[2 * v + 1])), f, to);
    }
  }
}

/// The exponentials of a block whose rows see a whole tile of keys, if no row must be rescaled for
/// them. Otherwise false, and the sums are as they were. SoftmaxRow, the way for all other blocks,
/// gives the same bits. `fetch` is called once for each row, to ask for what comes next.
template <class Fetch>
bool TryExponentials(ForwardTile& tile, ptrdiff_t first, ptrdiff_t count, ptrdiff_t size,
                     const Fetch& fetch) {
  const Floats f;
  for (ptrdiff_t i = first; i < first + count; ++i) {
    if (!(tile.reference[i] > -kInfinity)) return false;
  }
  float* sum = tile.sum + first * kLanes;
  std::memcpy(tile.saved_sum, sum, static_cast<size_t>(count * kLanes) * sizeof(float));
  Vector highest = hn::Zero(f);
  for (ptrdiff_t j = 0, fetched = 0; j < kForwardKeys; j += kPanel) {
    for (; fetched * kForwardKeys < count * (j + kPanel); ++fetched) fetch(fetched);
    for (ptrdiff_t i = 0; i < count; i += kRows) {
      ExponentialTile(tile.scores + i * tile.score_stride + j, tile.score_stride, sum + i * kLanes,
                      tile.reference + first + i, highest, tile.q + (first + i) * tile.stride,
                      tile.stride, tile.keys + j * size, size);
    }
  }
  if (hn::AllTrue(f, hn::Le(highest, hn::Set(f, kHeadroom)))) return true;
  std::memcpy(sum, tile.saved_sum, static_cast<size_t>(count * kLanes) * sizeof(float));
  return false;
}

/// Rows [first, first + count) of the task meet the packed keys [key, key + keys).
void ForwardBlock(ForwardTile& tile, const Head& head, const Ahead& ahead, ptrdiff_t row,
                  ptrdiff_t first, ptrdiff_t count, ptrdiff_t key, ptrdiff_t keys) {
  const ptrdiff_t size = head.shape->head_size;
  const KeyRange low = head.Keys(row + first), high = head.Keys(row + first + count - 1);
  const ptrdiff_t begin = std::max<ptrdiff_t>(low.begin - key, 0) / kPanel * kPanel;
  const ptrdiff_t end = std::min(high.end - key, keys);
  if (begin >= end) return;
  const ptrdiff_t padded_end = attention::RoundUp(end, kPanel);
  float* q = tile.q + first * tile.stride;
  float* o = tile.o + first * tile.stride;
  const auto fetch = [&](ptrdiff_t i) { ahead.Fetch(first + i, *head.shape); };
  const bool whole = end == kForwardKeys && low.end - key >= end && high.begin <= key;
  if (!whole || !TryExponentials(tile, first, count, size, fetch)) {
    for (ptrdiff_t j = begin; j < padded_end; j += kPanel) {
      for (ptrdiff_t i = 0; i < count; i += kRows) {
        ProductTile<2, false, false>(tile.scores + i * tile.score_stride + j, tile.score_stride,
                                     q + i * tile.stride, tile.stride, tile.keys + j * size, kPanel,
                                     size);
      }
    }
    for (ptrdiff_t i = 0; i < count; ++i) {
      fetch(i);
      const KeyRange sees = head.Keys(row + first + i);
      SoftmaxRow(tile.scores + i * tile.score_stride, tile.sum + (first + i) * kLanes,
                 tile.reference[first + i], o + i * tile.stride, size, begin, padded_end,
                 {sees.begin - key, std::min(sees.end - key, keys)});
    }
  }
  for (ptrdiff_t c = 0; c < size; c += kPanel) {
    for (ptrdiff_t i = 0; i < count; i += kRows) {
      ProductPanel<false, true>(o + i * tile.stride + c, tile.stride,
                                tile.scores + i * tile.score_stride + begin, tile.score_stride,
                                tile.values + c * kForwardKeys + begin * kPanel, kPanel,
                                end - begin, size - c);
    }
  }
}

/// Divides by the sums and writes outputs and log-sum-exps.
void FinishRows(const ForwardCall& call, const ForwardTile& tile, const Head& head, ptrdiff_t row,
                ptrdiff_t rows) {
  const Floats f;
  const apus_attention_shape& shape = *call.shape;
  for (ptrdiff_t i = 0; i < rows; ++i) {
    const float sum = hn::GetLane(hn::SumOfLanes(f, hn::LoadU(f, tile.sum + i * kLanes)));
    const bool empty = tile.reference[i] == -kInfinity && sum == 0.0f;
    ScaleRow(call.o + head.Row(row + i, shape.o_batch, shape.o_stride), tile.o + i * tile.stride,
             empty ? 0.0f : 1.0f / sum, shape.head_size);
    if (call.lse == nullptr) continue;
    call.lse[head.Statistic(row + i)] =
        empty ? kInfinity : tile.reference[i] * attention::kLn2 + std::log(sum);
  }
}

void ForwardTask(const ForwardCall& call, ptrdiff_t task) {
  const Floats f;
  const apus_attention_shape& shape = *call.shape;
  const attention::RowTile work(call.shape, call.tile_rows, task);
  const Head& head = work.head;
  const ptrdiff_t row = work.row, rows = work.rows;
  const ptrdiff_t padded_rows = attention::RoundUp(rows, kRows);
  const ptrdiff_t size = shape.head_size;

  Scratch scratch;
  ForwardTile tile;
  scratch.Lay([&] { tile.Take(scratch, padded_rows, size); });
  for (ptrdiff_t i = 0; i < rows; ++i) {
    ScaleRow(tile.q + i * tile.stride, call.q + head.Row(row + i, shape.q_batch, shape.q_stride),
             shape.scale * attention::kLog2E, size);
  }
  for (ptrdiff_t i = rows * tile.stride; i < padded_rows * tile.stride; ++i) tile.q[i] = 0.0f;
  for (ptrdiff_t i = 0; i < padded_rows * tile.stride; i += kLanes) {
    hn::StoreU(hn::Zero(f), f, tile.o + i);
  }
  for (ptrdiff_t i = 0; i < padded_rows * kLanes; ++i) tile.sum[i] = 0.0f;
  for (ptrdiff_t i = 0; i < padded_rows; ++i) tile.reference[i] = i < rows ? -kInfinity : 0.0f;

  const auto [begin, end] = work.Keys();
  for (ptrdiff_t key = begin; key < end; key += kForwardKeys) {
    const ptrdiff_t keys = std::min(kForwardKeys, end - key);
    PackTransposed(tile.keys, call.k + head.Key(key, shape.k_batch, shape.k_stride), shape.k_stride,
                   keys, size);
    PackColumns(tile.values, kForwardKeys, call.v + head.Key(key, shape.v_batch, shape.v_stride),
                shape.v_stride, keys, size);
    const ptrdiff_t next = key + keys;
    const Ahead ahead{call.k + head.Key(next, shape.k_batch, shape.k_stride),
                      call.v + head.Key(next, shape.v_batch, shape.v_stride),
                      std::min(kForwardKeys, end - next), rows};
    for (ptrdiff_t i = 0; i < rows; i += kForwardBlock) {
      ForwardBlock(tile, head, ahead, row, i, std::min(kForwardBlock, rows - i), key, keys);
    }
  }
  FinishRows(call, tile, head, row, rows);
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(ForwardTask);

/// Rows of a task. The more, the less a packed tile of keys costs, so long as queries and outputs
/// stay near; but enough tasks must remain to share.
ptrdiff_t ForwardTileRows(const apus_attention_shape& shape, ptrdiff_t rows) {
  constexpr ptrdiff_t kFloats = 65536, kSmallest = 96, kLargest = 4096, kTasks = 32;
  const ptrdiff_t fitting = std::clamp(kFloats / shape.head_size, kSmallest, kLargest);
  const ptrdiff_t heads = shape.batch * shape.kv_heads;
  const ptrdiff_t shared = std::clamp<ptrdiff_t>(rows * heads / kTasks, kSmallest, fitting);
  return attention::RoundUp(shared, attention::kForwardBlock);
}

}  // namespace
}  // namespace apus

extern "C" void apus_attention_f32(float* o, float* lse, const float* q, const float* k,
                                   const float* v, const apus_attention_shape* shape) {
  using namespace apus;
  const ptrdiff_t heads = shape->batch * shape->kv_heads;
  if (heads <= 0 || shape->queries <= 0) return;
  const ptrdiff_t rows = attention::Head(shape, 0).rows();
  if (rows <= attention::kFewRows) return attention::ForwardFewRows(o, lse, q, k, v, *shape);
  const ptrdiff_t tile_rows = ForwardTileRows(*shape, rows);
  const attention::ForwardCall call{shape, o, lse, q, k, v, tile_rows};
  ParallelBlocks(heads * attention::RowTile::Count(shape, tile_rows), [&](ptrdiff_t task) {
    HWY_DYNAMIC_DISPATCH(ForwardTask)(call, task);
  });
}
#endif
