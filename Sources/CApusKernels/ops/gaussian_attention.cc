// Kernelized attention, o_i = Σ_j exp(−scale |q_i − k_j|²/2) v_j, exact and masked, tile by tile:
// the weights are never stored whole. Chen et al., 2021, Skyformer, arXiv:2111.00035.
//
// No weight exceeds 1, so there is no maximum to keep and nothing to divide by. Exponents are in
// powers of two: scale · log2(e) is folded into the queries.
#include "include/apus_kernels.h"
#include "support/parallel.h"
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/gaussian_attention.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "ops/attention_plan.h"
#include "ops/attention_tile-inl.h"
#include "support/loops-inl.h"

#ifndef APUS_GAUSSIAN_ATTENTION_ONCE
#define APUS_GAUSSIAN_ATTENTION_ONCE
namespace apus::gaussian {

/// What every task of a call shares.
struct Call {
  const apus_attention_shape* shape;
  float *o, *dq, *dk, *dv;
  const float *dout, *q, *k, *v;
};

constexpr ptrdiff_t kKeys = 96;  ///< of a tile: a multiple of any panel and any kRows
constexpr ptrdiff_t kRowsOfTile = 96;

}  // namespace apus::gaussian
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using attention::Head;
using attention::KeyRange;
using gaussian::Call;
using gaussian::kKeys;
using gaussian::kRowsOfTile;

/// The memory of a task.
struct GaussianTile {
  float *q, *k, *v, *dout;     ///< [tile, stride], q scaled
  float *q_norm, *k_norm;      ///< [tile], half the squares, scaled
  float *k_turned, *v_turned;  ///< panels
  float *weights, *dweights;   ///< [rows, weight_stride]
  float *o, *dq, *dk, *dv;     ///< [tile, stride]
  float* sums;                 ///< [tile], row sums of dweights
  ptrdiff_t size, stride, weight_stride;

  void Take(Scratch& scratch, ptrdiff_t head_size) {
    size = head_size;
    stride = attention::OddLines(attention::RoundUp(size, kPanel));
    weight_stride = attention::OddLines(kKeys);
    for (float** rows : {&q, &k, &v, &dout, &o, &dq, &dk, &dv}) {
      *rows = scratch.Take(kRowsOfTile * stride);
    }
    for (float** vector : {&q_norm, &k_norm, &sums}) *vector = scratch.Take(kRowsOfTile + 16);
    for (float** panels : {&k_turned, &v_turned}) *panels = scratch.Take(kKeys * size);
    for (float** scores : {&weights, &dweights}) {
      *scores = scratch.Take(kRowsOfTile * weight_stride);
    }
  }
};

HWY_INLINE float HalfSquare(const float* x, ptrdiff_t count, float scale) {
  const auto square = [](Vector v) HWY_ATTR { return hn::Mul(v, v); };
  return 0.5f * scale * MapSum(count, square, x);
}

HWY_INLINE void ClearFloats(float* x, ptrdiff_t count) {
  std::memset(x, 0, static_cast<size_t>(count) * sizeof(float));
}

void LoadKeys(const Call& call, GaussianTile& tile, const Head& head, ptrdiff_t key,
              ptrdiff_t keys) {
  const apus_attention_shape& shape = *call.shape;
  const float unit = shape.scale * attention::kLog2E;
  for (ptrdiff_t j = 0; j < keys; ++j) {
    const float* k = call.k + head.Key(key + j, shape.k_batch, shape.k_stride);
    const float* v = call.v + head.Key(key + j, shape.v_batch, shape.v_stride);
    std::memcpy(tile.k + j * tile.stride, k, static_cast<size_t>(tile.size) * sizeof(float));
    std::memcpy(tile.v + j * tile.stride, v, static_cast<size_t>(tile.size) * sizeof(float));
    tile.k_norm[j] = HalfSquare(k, tile.size, unit);
  }
  for (ptrdiff_t j = keys; j < kKeys; ++j) tile.k_norm[j] = 0.0f;
  PackTransposed(tile.k_turned, tile.k, tile.stride, keys, tile.size);
}

void LoadQueries(const Call& call, GaussianTile& tile, const Head& head, ptrdiff_t row,
                 ptrdiff_t rows) {
  const apus_attention_shape& shape = *call.shape;
  const float unit = shape.scale * attention::kLog2E;
  for (ptrdiff_t i = 0; i < rows; ++i) {
    const float* q = call.q + head.Row(row + i, shape.q_batch, shape.q_stride);
    ScaleRow(tile.q + i * tile.stride, q, unit, tile.size);
    tile.q_norm[i] = HalfSquare(q, tile.size, unit);
    if (call.dout == nullptr) continue;
    std::memcpy(tile.dout + i * tile.stride,
                call.dout + head.Row(row + i, shape.o_batch, shape.o_stride),
                static_cast<size_t>(tile.size) * sizeof(float));
  }
}

/// The keys of the tile that row `row` sees, relative to the tile.
HWY_INLINE KeyRange Sees(const Head& head, ptrdiff_t row, ptrdiff_t key, ptrdiff_t keys) {
  const KeyRange all = head.Keys(row);
  return {std::clamp<ptrdiff_t>(all.begin - key, 0, keys),
          std::clamp<ptrdiff_t>(all.end - key, 0, keys)};
}

/// Turns the products of two rows and a panel of keys into weights: four vectors side by side, for
/// one alone would wait for each step of its exponential.
HWY_INLINE void WeightPair(const GaussianTile& tile, float* block, ptrdiff_t row, ptrdiff_t key) {
  const Floats f;
  Vector p[4];
#pragma unroll
  for (int v = 0; v < 4; ++v) {
    const Vector shift = hn::Add(hn::Set(f, tile.q_norm[row + v / 2]),
                                 hn::LoadU(f, tile.k_norm + key + v % 2 * kLanes));
    p[v] = hn::Sub(hn::LoadU(f, block + v / 2 * tile.weight_stride + v % 2 * kLanes), shift);
  }
  Exp2(p);
#pragma unroll
  for (int v = 0; v < 4; ++v) {
    hn::StoreU(p[v], f, block + v / 2 * tile.weight_stride + v % 2 * kLanes);
  }
}

HWY_INLINE void MaskRow(float* block, ptrdiff_t key, KeyRange sees) {
  const Floats f;
  for (ptrdiff_t j = 0; j < kPanel; j += kLanes) {
    const auto inside = Inside(key + j, sees.begin, sees.end);
    hn::StoreU(hn::IfThenElseZero(inside, hn::LoadU(f, block + j)), f, block + j);
  }
}

/// Weights of a tile: zeros where a row sees nothing, as far as products read.
void ComputeWeights(GaussianTile& tile, const Head& head, ptrdiff_t row, ptrdiff_t rows,
                    ptrdiff_t key, ptrdiff_t keys) {
  for (ptrdiff_t i = 0; i < rows; i += kRows) {
    const ptrdiff_t count = std::min(kRows, rows - i);
    const KeyRange low = Sees(head, row + i, key, keys);
    const KeyRange high = Sees(head, row + i + count - 1, key, keys);
    for (ptrdiff_t j = 0; j < keys; j += kPanel) {
      float* block = tile.weights + i * tile.weight_stride + j;
      const bool seen = high.end > j && low.begin < j + kPanel;
      if (seen) {
        ProductTile<2, false, false>(block, tile.weight_stride, tile.q + i * tile.stride,
                                     tile.stride, tile.k_turned + j * tile.size, kPanel, tile.size);
      }
      if (!seen) {
        for (ptrdiff_t t = 0; t < count; ++t) {
          ClearFloats(block + t * tile.weight_stride, kPanel);
        }
        continue;
      }
      const bool whole = low.begin <= j && high.begin <= j && low.end >= j + kPanel;
      for (ptrdiff_t t = 0; t < count; t += 2, block += 2 * tile.weight_stride) {
        WeightPair(tile, block, i + t, j);
        if (whole) continue;
        for (ptrdiff_t pair = 0; pair < 2; ++pair) {
          MaskRow(block + pair * tile.weight_stride, j, Sees(head, row + i + t + pair, key, keys));
        }
      }
    }
  }
}

/// c (+)= a · b over tiles of kRows rows and panels of columns.
template <bool kTransposed, bool kAdd>
void TileProduct(float* c, const float* a, ptrdiff_t a_stride, const float* b, ptrdiff_t stride,
                 ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t inner) {
  for (ptrdiff_t j = 0; j < columns; j += kPanel) {
    for (ptrdiff_t i = 0; i < rows; i += kRows) {
      ProductPanel<kTransposed, kAdd>(c + i * stride + j, stride,
                                      a + (kTransposed ? i : i * a_stride), a_stride, b + j, stride,
                                      inner, columns - j);
    }
  }
}

void ForwardTask(const Call& call, ptrdiff_t task) {
  const apus_attention_shape& shape = *call.shape;
  const attention::RowTile work(call.shape, kRowsOfTile, task);
  const Head& head = work.head;
  const ptrdiff_t row = work.row, rows = work.rows;
  Scratch scratch;
  GaussianTile tile;
  scratch.Lay([&] { tile.Take(scratch, shape.head_size); });
  LoadQueries(call, tile, head, row, rows);
  ClearFloats(tile.o, kRowsOfTile * tile.stride);
  const auto [begin, end] = work.Keys();
  for (ptrdiff_t key = begin; key < end; key += kKeys) {
    const ptrdiff_t keys = std::min(kKeys, end - key);
    LoadKeys(call, tile, head, key, keys);
    ComputeWeights(tile, head, row, rows, key, keys);
    TileProduct<false, true>(tile.o, tile.weights, tile.weight_stride, tile.v, tile.stride, rows,
                             tile.size, keys);
  }
  for (ptrdiff_t i = 0; i < rows; ++i) {
    std::memcpy(call.o + head.Row(row + i, shape.o_batch, shape.o_stride), tile.o + i * tile.stride,
                static_cast<size_t>(tile.size) * sizeof(float));
  }
}

/// to = scale · from − pull · x, or added to what stands there.
template <bool kAdd>
HWY_INLINE void Combine(float* to, const float* from, const float* x, float scale, float pull,
                        ptrdiff_t count) {
  const Vector s = hn::Set(Floats(), scale), p = hn::Set(Floats(), pull);
  const auto f = [&](Vector g, Vector v, Vector old) HWY_ATTR {
    const Vector value = hn::NegMulAdd(p, v, hn::Mul(s, g));
    return kAdd ? hn::Add(old, value) : value;
  };
  Map(to, count, f, from, x, kAdd ? to : from);
}

/// One tile of keys against the rows [row, row + rows): dq grows by scale Σ_j (dC∘C)_ij (k_j −
/// q_i), tile.dk gathers Σ_i (dC∘C)_ij q_i, tile.sums the Σ_i (dC∘C)_ij that multiply k_j.
void BackwardRows(const Call& call, GaussianTile& tile, const Head& head, ptrdiff_t row,
                  ptrdiff_t rows, ptrdiff_t key, ptrdiff_t keys) {
  const apus_attention_shape& shape = *call.shape;
  LoadQueries(call, tile, head, row, rows);
  ComputeWeights(tile, head, row, rows, key, keys);
  for (ptrdiff_t i = 0; i < rows; i += kRows) {
    for (ptrdiff_t j = 0; j < keys; j += kPanel) {
      ProductTile<2, false, false>(tile.dweights + i * tile.weight_stride + j, tile.weight_stride,
                                   tile.dout + i * tile.stride, tile.stride,
                                   tile.v_turned + j * tile.size, kPanel, tile.size);
    }
  }
  const auto times = [](Vector a, Vector b) HWY_ATTR { return hn::Mul(a, b); };
  const auto plus = [](Vector a, Vector b) HWY_ATTR { return hn::Add(a, b); };
  const auto same = [](Vector a) HWY_ATTR { return a; };
  for (ptrdiff_t i = 0; i < rows; ++i) {
    float* d = tile.dweights + i * tile.weight_stride;
    Map(d, keys, times, d, tile.weights + i * tile.weight_stride);
    Map(tile.sums, keys, plus, tile.sums, d);
  }
  TileProduct<true, true>(tile.dv, tile.weights, tile.weight_stride, tile.dout, tile.stride, keys,
                          tile.size, rows);
  TileProduct<true, true>(tile.dk, tile.dweights, tile.weight_stride, tile.q, tile.stride, keys,
                          tile.size, rows);
  TileProduct<false, false>(tile.dq, tile.dweights, tile.weight_stride, tile.k, tile.stride, rows,
                            tile.size, keys);
  for (ptrdiff_t i = 0; i < rows; ++i) {
    const float* q = call.q + head.Row(row + i, shape.q_batch, shape.q_stride);
    const float total = MapSum(keys, same, tile.dweights + i * tile.weight_stride);
    Combine<true>(call.dq + head.Row(row + i, shape.q_batch, shape.q_stride),
                  tile.dq + i * tile.stride, q, shape.scale, shape.scale * total, tile.size);
  }
}

void BackwardTask(const Call& call, ptrdiff_t task) {
  const apus_attention_shape& shape = *call.shape;
  const Head head(call.shape, task);
  Scratch scratch;
  GaussianTile tile;
  scratch.Lay([&] { tile.Take(scratch, shape.head_size); });
  for (ptrdiff_t s = 0; s < head.rows(); ++s) {
    ClearFloats(call.dq + head.Row(s, shape.q_batch, shape.q_stride), tile.size);
  }
  for (ptrdiff_t key = 0; key < shape.keys; key += kKeys) {
    const ptrdiff_t keys = std::min(kKeys, shape.keys - key);
    LoadKeys(call, tile, head, key, keys);
    PackTransposed(tile.v_turned, tile.v, tile.stride, keys, tile.size);
    ClearFloats(tile.dk, kKeys * tile.stride);
    ClearFloats(tile.dv, kKeys * tile.stride);
    ClearFloats(tile.sums, kKeys);
    const ptrdiff_t end = head.LastRow(key + keys);
    for (ptrdiff_t row = head.FirstRow(key); row < end; row += kRowsOfTile) {
      BackwardRows(call, tile, head, row, std::min(kRowsOfTile, end - row), key, keys);
    }
    for (ptrdiff_t j = 0; j < keys; ++j) {
      // The queries carried scale · log2(e): what is left over is ln 2.
      Combine<false>(call.dk + head.Key(key + j, shape.k_batch, shape.k_stride),
                     tile.dk + j * tile.stride, tile.k + j * tile.stride, attention::kLn2,
                     shape.scale * tile.sums[j], tile.size);
      std::memcpy(call.dv + head.Key(key + j, shape.v_batch, shape.v_stride),
                  tile.dv + j * tile.stride, static_cast<size_t>(tile.size) * sizeof(float));
    }
  }
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(ForwardTask);
HWY_EXPORT(BackwardTask);
}  // namespace
}  // namespace apus

extern "C" {

void apus_gaussian_attention_f32(float* o, const float* q, const float* k, const float* v,
                                 const apus_attention_shape* shape) {
  using namespace apus;
  const ptrdiff_t heads = shape->batch * shape->kv_heads;
  if (heads <= 0 || shape->queries <= 0) return;
  const ptrdiff_t tiles = attention::RowTile::Count(shape, gaussian::kRowsOfTile);
  const gaussian::Call call{shape, o, nullptr, nullptr, nullptr, nullptr, q, k, v};
  ParallelBlocks(heads * tiles, [&](ptrdiff_t task) {
    HWY_DYNAMIC_DISPATCH(ForwardTask)(call, task);
  });
}

void apus_gaussian_attention_backward_f32(float* dq, float* dk, float* dv, const float* dout,
                                          const float* q, const float* k, const float* v,
                                          const apus_attention_shape* shape) {
  using namespace apus;
  const gaussian::Call call{shape, nullptr, dq, dk, dv, dout, q, k, v};
  ParallelBlocks(shape->batch * shape->kv_heads, [&](ptrdiff_t task) {
    HWY_DYNAMIC_DISPATCH(BackwardTask)(call, task);
  });
}

}  // extern "C"
#endif
