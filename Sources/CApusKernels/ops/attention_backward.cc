// Exact attention, backward: the weights are rebuilt tile by tile from the log-sum-exps.
// Dao, 2023, FlashAttention-2, arXiv:2307.08691, algorithm 2.
//
// Tiles of keys outside, so dk and dv stay in cache; tiles of queries inside, adding to dq. A task
// is a range of keys of one key-value head. Ranges are cut by sizes alone; the first writes its
// part of dq in place, the others each into a buffer of their own, and the parts are added in
// order.
#include <cmath>
#include <limits>

#include "include/apus_kernels.h"
#include "support/parallel.h"
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/attention_backward.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ops/attention_plan.h"
#include "ops/attention_tile-inl.h"

#ifndef APUS_ATTENTION_BACKWARD_ONCE
#define APUS_ATTENTION_BACKWARD_ONCE
namespace apus::attention {

/// What every task of a call shares.
struct BackwardCall {
  const apus_attention_shape* shape;
  float *dq, *dk, *dv;
  const float *dout, *q, *k, *v, *o, *lse;
  float* delta;      ///< [B, heads, T_q], Σ_c dout · o of every row
  float* parts;      ///< dq of all ranges but the first: [range − 1, head, rows, head_size]
  ptrdiff_t ranges;  ///< ranges of keys of a key-value head
};

/// Most keys of a tile, and its rows: multiples of any panel and any kRows.
constexpr ptrdiff_t kBackwardKeys = 192;
constexpr ptrdiff_t kBackwardRows = 48;

/// Keys of a tile: many, because each tile reads all queries again, but wide heads fill the cache.
inline ptrdiff_t BackwardTileKeys(ptrdiff_t head_size) {
  return head_size <= 64 ? kBackwardKeys : kBackwardKeys / 2;
}

/// The keys [begin, end) of range `index`. Under a causal mask early keys meet more queries, so the
/// cuts follow the square root: each range has the same area of the triangle.
inline KeyRange RangeKeys(const apus_attention_shape& shape, ptrdiff_t ranges, ptrdiff_t index) {
  const ptrdiff_t tile_keys = BackwardTileKeys(shape.head_size);
  const ptrdiff_t tiles = (shape.keys + tile_keys - 1) / tile_keys;
  const auto cut = [&](ptrdiff_t i) -> ptrdiff_t {
    if (i >= ranges) return shape.keys;
    double share = static_cast<double>(i) / static_cast<double>(ranges);
    if (shape.causal && shape.window <= 0) share = 1.0 - std::sqrt(1.0 - share);
    return static_cast<ptrdiff_t>(share * static_cast<double>(tiles)) * tile_keys;
  };
  return {cut(index), cut(index + 1)};
}

}  // namespace apus::attention
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using attention::BackwardCall;
using attention::Head;
using attention::kBackwardKeys;
using attention::kBackwardRows;
using attention::KeyRange;

/// Weights and their gradients stand in rows of this length.
constexpr ptrdiff_t kWeightStride = kBackwardKeys + 16;

/// The memory of a task.
struct BackwardTile {
  float *keys, *keys_turned, *values_turned;  ///< the tile of keys; `turned` is packed in panels
  float *dk, *dv;                             ///< [keys, stride]
  float *q, *dout, *dq;                       ///< [rows, stride], q scaled by scale · log2(e)
  float *lse, *delta;                         ///< [rows], lse in units of log 2
  float *weights, *dscores;                   ///< [rows, kWeightStride]
  KeyRange* sees;                             ///< [rows], keys relative to the tile
  ptrdiff_t stride;

  void Take(Scratch& scratch, ptrdiff_t size) {
    stride = attention::OddLines(attention::RoundUp(size, kPanel));
    const ptrdiff_t tile_keys = attention::BackwardTileKeys(size);
    keys = scratch.Take(tile_keys * stride);
    keys_turned = scratch.Take(tile_keys * size);
    values_turned = scratch.Take(tile_keys * size);
    dk = scratch.Take(tile_keys * stride);
    dv = scratch.Take(tile_keys * stride);
    q = scratch.Take(kBackwardRows * stride);
    dout = scratch.Take(kBackwardRows * stride);
    dq = scratch.Take(kBackwardRows * stride);
    lse = scratch.Take(kBackwardRows);
    delta = scratch.Take(kBackwardRows);
    weights = scratch.Take(kBackwardRows * kWeightStride);
    dscores = scratch.Take(kBackwardRows * kWeightStride);
    sees = reinterpret_cast<KeyRange*>(
        scratch.Take(kBackwardRows * static_cast<ptrdiff_t>(sizeof(KeyRange) / sizeof(float))));
  }
};

void ClearFloats(float* x, ptrdiff_t count) {
  std::memset(x, 0, static_cast<size_t>(count) * sizeof(float));
}

/// Δ of the rows [begin, end) of a head.
void DeltaRows(const BackwardCall& call, ptrdiff_t index, ptrdiff_t begin, ptrdiff_t end) {
  const apus_attention_shape& shape = *call.shape;
  const Head head(call.shape, index);
  for (ptrdiff_t s = begin; s < end; ++s) {
    const ptrdiff_t at = head.Row(s, shape.o_batch, shape.o_stride);
    call.delta[head.Statistic(s)] = DotRow(call.dout + at, call.o + at, shape.head_size);
  }
}

/// Turns a small tile of scores into weights P and of dP into dS = P ∘ (dP − Δ), where both stand.
HWY_INLINE void WeightsOfTile(BackwardTile& tile, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t key) {
  const Floats f;
  for (ptrdiff_t i = row; i < row + rows; ++i) {
    float* weights = tile.weights + i * kWeightStride + key;
    float* dscores = tile.dscores + i * kWeightStride + key;
    const Vector lse = hn::Set(f, tile.lse[i]), delta = hn::Set(f, tile.delta[i]);
    Vector p[2] = {hn::Sub(hn::LoadU(f, weights), lse),
                   hn::Sub(hn::LoadU(f, weights + kLanes), lse)};
    Exp2(p);
    const KeyRange sees = tile.sees[i];
    const bool whole = sees.begin <= key && sees.end >= key + kPanel;
#pragma unroll
    for (int v = 0; v < 2; ++v) {
      Vector ds = hn::Mul(p[v], hn::Sub(hn::LoadU(f, dscores + v * kLanes), delta));
      if (!whole) {
        const auto inside = Inside(key + v * kLanes, sees.begin, sees.end);
        p[v] = hn::IfThenElseZero(inside, p[v]);
        ds = hn::IfThenElseZero(inside, ds);
      }
      hn::StoreU(p[v], f, weights + v * kLanes);
      hn::StoreU(ds, f, dscores + v * kLanes);
    }
  }
}

/// Copies rows of queries (scaled) and of output gradients, and what belongs to them, into the
/// tile.
void LoadRows(const BackwardCall& call, BackwardTile& tile, const Head& head, ptrdiff_t row,
              ptrdiff_t rows, ptrdiff_t key, ptrdiff_t keys) {
  const apus_attention_shape& shape = *call.shape;
  for (ptrdiff_t i = 0; i < rows; ++i) {
    const ptrdiff_t s = row + i, statistic = head.Statistic(s);
    ScaleRow(tile.q + i * tile.stride, call.q + head.Row(s, shape.q_batch, shape.q_stride),
             shape.scale * attention::kLog2E, shape.head_size);
    std::memcpy(tile.dout + i * tile.stride, call.dout + head.Row(s, shape.o_batch, shape.o_stride),
                static_cast<size_t>(shape.head_size) * sizeof(float));
    tile.lse[i] = call.lse[statistic] * attention::kLog2E;
    tile.delta[i] = call.delta[statistic];
    const KeyRange sees = head.Keys(s);
    tile.sees[i] = {std::max<ptrdiff_t>(sees.begin - key, 0), std::min(sees.end - key, keys)};
  }
}

/// Weights and score gradients of the tile: all small tiles that some row sees; those beside them
/// that the products will read are set to zero.
/// `fetch` is called once per small tile, with its number: a chance to ask for what comes next.
template <class Fetch>
void ComputeWeights(BackwardTile& tile, ptrdiff_t rows, ptrdiff_t keys, ptrdiff_t size,
                    const Fetch& fetch) {
  const Floats f;
  ptrdiff_t visited = 0;
  for (ptrdiff_t key = 0; key < keys; key += kPanel) {
    for (ptrdiff_t row = 0; row < rows; row += kRows) {
      const ptrdiff_t count = std::min(kRows, rows - row);
      fetch(visited++);
      float* weights = tile.weights + row * kWeightStride + key;
      float* dscores = tile.dscores + row * kWeightStride + key;
      if (tile.sees[row + count - 1].end <= key || tile.sees[row].begin >= key + kPanel) {
        for (ptrdiff_t i = 0; i < count; ++i) {
          for (ptrdiff_t j = 0; j < kPanel; j += kLanes) {
            hn::StoreU(hn::Zero(f), f, weights + i * kWeightStride + j);
            hn::StoreU(hn::Zero(f), f, dscores + i * kWeightStride + j);
          }
        }
        continue;
      }
      ProductTile<2, false, false>(weights, kWeightStride, tile.q + row * tile.stride, tile.stride,
                                   tile.keys_turned + key * size, kPanel, size);
      ProductTile<2, false, false>(dscores, kWeightStride, tile.dout + row * tile.stride,
                                   tile.stride, tile.values_turned + key * size, kPanel, size);
      WeightsOfTile(tile, row, count, key);
    }
  }
}

/// dk += dSᵀ q, dv += Pᵀ dout for the tile, and dq = dS k.
void ComputeGradients(BackwardTile& tile, ptrdiff_t rows, ptrdiff_t keys, ptrdiff_t size) {
  for (ptrdiff_t key = 0; key < keys; key += kRows) {
    // Rows that see one of these keys: the ranges only grow from row to row.
    ptrdiff_t first = 0, last = rows;
    while (first < last && tile.sees[first].end <= key) ++first;
    while (first < last && tile.sees[last - 1].begin >= key + kRows) --last;
    if (first >= last) continue;
    const ptrdiff_t from = first * kWeightStride + key;
    for (ptrdiff_t c = 0; c < size; c += kPanel) {
      ProductPanel<true, true>(tile.dv + key * tile.stride + c, tile.stride, tile.weights + from,
                               kWeightStride, tile.dout + first * tile.stride + c, tile.stride,
                               last - first, size - c);
      ProductPanel<true, true>(tile.dk + key * tile.stride + c, tile.stride, tile.dscores + from,
                               kWeightStride, tile.q + first * tile.stride + c, tile.stride,
                               last - first, size - c);
    }
  }
  for (ptrdiff_t c = 0; c < size; c += kPanel) {
    for (ptrdiff_t row = 0; row < rows; row += kRows) {
      const ptrdiff_t last = std::min(row + kRows, rows) - 1;
      const ptrdiff_t begin = tile.sees[row].begin;
      const ptrdiff_t end = std::max(tile.sees[last].end, begin);
      ProductPanel<false, false>(
          tile.dq + row * tile.stride + c, tile.stride, tile.dscores + row * kWeightStride + begin,
          kWeightStride, tile.keys + begin * tile.stride + c, tile.stride, end - begin, size - c);
    }
  }
}

/// One tile of keys against every row that sees any of them. `dq_row(s)` is where row s adds up.
template <class RowOf>
void BackwardKeys(const BackwardCall& call, BackwardTile& tile, const Head& head, ptrdiff_t key,
                  ptrdiff_t keys, const RowOf& dq_row) {
  const apus_attention_shape& shape = *call.shape;
  const ptrdiff_t size = shape.head_size;
  const float* k = call.k + head.Key(key, shape.k_batch, shape.k_stride);
  const float* v = call.v + head.Key(key, shape.v_batch, shape.v_stride);
  PackTransposed(tile.keys_turned, k, shape.k_stride, keys, size);
  PackTransposed(tile.values_turned, v, shape.v_stride, keys, size);
  for (ptrdiff_t j = 0; j < keys; ++j) {
    std::memcpy(tile.keys + j * tile.stride, k + j * shape.k_stride,
                static_cast<size_t>(size) * sizeof(float));
  }
  ClearFloats(tile.dk, keys * tile.stride);
  ClearFloats(tile.dv, keys * tile.stride);
  const ptrdiff_t end = head.LastRow(key + keys);
  for (ptrdiff_t row = head.FirstRow(key); row < end; row += kBackwardRows) {
    const ptrdiff_t rows = std::min(kBackwardRows, end - row);
    LoadRows(call, tile, head, row, rows, key, keys);
    // The rows of the next tile are fetched one by one between the products: they lie a token
    // apart, too far for the hardware to foresee.
    const ptrdiff_t visits = (keys + kPanel - 1) / kPanel * ((rows + kRows - 1) / kRows);
    const ptrdiff_t next = row + rows, ahead = std::min(kBackwardRows, end - next);
    ComputeWeights(tile, rows, keys, size, [&](ptrdiff_t visit) {
      for (ptrdiff_t i = ahead * visit / visits; i < ahead * (visit + 1) / visits; ++i) {
        PrefetchRow(call.q + head.Row(next + i, shape.q_batch, shape.q_stride), size);
        PrefetchRow(call.dout + head.Row(next + i, shape.o_batch, shape.o_stride), size);
        PrefetchRow(dq_row(next + i), size);
      }
    });
    ComputeGradients(tile, rows, keys, size);
    for (ptrdiff_t i = 0; i < rows; ++i) {
      AddRow(dq_row(row + i), tile.dq + i * tile.stride, shape.scale, size);
    }
  }
  for (ptrdiff_t j = 0; j < keys; ++j) {
    // q carried scale · log2(e): what is left over is ln 2.
    ScaleRow(call.dk + head.Key(key + j, shape.k_batch, shape.k_stride), tile.dk + j * tile.stride,
             attention::kLn2, size);
    std::memcpy(call.dv + head.Key(key + j, shape.v_batch, shape.v_stride),
                tile.dv + j * tile.stride, static_cast<size_t>(size) * sizeof(float));
  }
}

void BackwardTask(const BackwardCall& call, ptrdiff_t task) {
  const apus_attention_shape& shape = *call.shape;
  const ptrdiff_t index = task / call.ranges, range = task % call.ranges;
  const Head head(call.shape, index);
  const KeyRange keys = attention::RangeKeys(shape, call.ranges, range);
  const ptrdiff_t heads = shape.batch * shape.kv_heads, size = shape.head_size;
  float* part = call.parts + ((range - 1) * heads + index) * head.rows() * size;
  const auto dq_row = [&](ptrdiff_t s) {
    return range == 0 ? call.dq + head.Row(s, shape.q_batch, shape.q_stride) : part + s * size;
  };
  // Only these rows of a part are read later.
  const ptrdiff_t first = range == 0 ? 0 : head.FirstRow(keys.begin);
  const ptrdiff_t last = range == 0 ? head.rows() : head.LastRow(keys.end);
  for (ptrdiff_t s = first; s < last; ++s) ClearFloats(dq_row(s), size);

  Scratch scratch;
  BackwardTile tile;
  scratch.Lay([&] { tile.Take(scratch, size); });
  const ptrdiff_t tile_keys = attention::BackwardTileKeys(size);
  for (ptrdiff_t key = keys.begin; key < keys.end; key += tile_keys) {
    BackwardKeys(call, tile, head, key, std::min(tile_keys, keys.end - key), dq_row);
  }
}

/// Adds the parts of dq for the rows [begin, end) of a head, range by range.
void AddParts(const BackwardCall& call, ptrdiff_t index, ptrdiff_t begin, ptrdiff_t end) {
  const apus_attention_shape& shape = *call.shape;
  const Head head(call.shape, index);
  const ptrdiff_t heads = shape.batch * shape.kv_heads, size = shape.head_size;
  for (ptrdiff_t range = 1; range < call.ranges; ++range) {
    const KeyRange keys = attention::RangeKeys(shape, call.ranges, range);
    const float* part = call.parts + ((range - 1) * heads + index) * head.rows() * size;
    const ptrdiff_t first = std::max(begin, head.FirstRow(keys.begin));
    const ptrdiff_t last = std::min(end, head.LastRow(keys.end));
    for (ptrdiff_t s = first; s < last; ++s) {
      AddRow(call.dq + head.Row(s, shape.q_batch, shape.q_stride), part + s * size, 1.0f, size);
    }
  }
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(DeltaRows);
HWY_EXPORT(BackwardTask);
HWY_EXPORT(AddParts);

/// Enough ranges of keys for sixteen tasks, but none shorter than 512 keys.
ptrdiff_t BackwardRanges(const apus_attention_shape& shape) {
  constexpr ptrdiff_t kTasks = 16, kShortest = 512;
  const ptrdiff_t heads = shape.batch * shape.kv_heads;
  const ptrdiff_t wanted = (kTasks + heads - 1) / heads;
  return std::clamp<ptrdiff_t>(wanted, 1, std::max<ptrdiff_t>(shape.keys / kShortest, 1));
}

}  // namespace
}  // namespace apus

extern "C" void apus_attention_backward_f32(float* dq, float* dk, float* dv, const float* dout,
                                            const float* q, const float* k, const float* v,
                                            const float* o, const float* lse,
                                            const apus_attention_shape* shape) {
  using namespace apus;
  const ptrdiff_t heads = shape->batch * shape->kv_heads;
  if (heads <= 0) return;
  const ptrdiff_t rows = attention::Head(shape, 0).rows();
  const ptrdiff_t ranges = BackwardRanges(*shape);
  attention::BackwardCall call{shape, dq, dk, dv, dout, q, k, v, o, lse, nullptr, nullptr, ranges};
  Scratch scratch;
  scratch.Lay([&] {
    call.delta = scratch.Take(heads * rows);
    call.parts = scratch.Take((ranges - 1) * heads * rows * shape->head_size);
  });

  constexpr ptrdiff_t kBlock = 256;
  const ptrdiff_t blocks = (rows + kBlock - 1) / kBlock;
  const auto for_blocks = [&](auto&& body) {
    ParallelBlocks(heads * blocks, [&](ptrdiff_t block) {
      const ptrdiff_t begin = block % blocks * kBlock;
      body(block / blocks, begin, std::min(begin + kBlock, rows));
    });
  };
  for_blocks([&](ptrdiff_t head, ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(DeltaRows)(call, head, begin, end);
  });
  ParallelBlocks(heads * ranges, [&](ptrdiff_t task) {
    HWY_DYNAMIC_DISPATCH(BackwardTask)(call, task);
  });
  if (ranges == 1) return;
  for_blocks([&](ptrdiff_t head, ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(AddParts)(call, head, begin, end);
  });
}
#endif
