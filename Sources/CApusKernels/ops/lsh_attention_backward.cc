// LSH attention, backward. One head of one batch row is one task: its blocks come in order, so what
// several blocks add to a key is added in the same order on any number of threads.
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/lsh_attention_backward.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "include/apus_kernels.h"
#include "ops/lsh_plan.h"
#include "ops/lsh_tile-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

#ifndef APUS_LSH_ATTENTION_BACKWARD_ONCE
#define APUS_LSH_ATTENTION_BACKWARD_ONCE
namespace apus::lsh {

/// What every task of a backward call shares.
struct BackwardCall {
  const apus_lsh_shape* shape;
  float *dq, *dk, *dv;
  const float *dout, *q, *k, *v, *o, *lse;
  const int32_t *order, *starts;
};

constexpr ptrdiff_t kBackwardRows = 24;  ///< rows whose scores stand in L1 at once

}  // namespace apus::lsh
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using lsh::BackwardCall;
using lsh::Block;
using lsh::kBackwardRows;
using lsh::Lists;
using lsh::Sight;

/// Working memory of one head.
struct BackwardTile {
  float *key_scales, *means;  ///< [T]: of keys, and dout · o
  float* dkeys;               ///< [T, K], gradients of the keys as others see them
  Seen seen;
  float *keys, *values;                ///< packed, turned
  float *q, *dout, *dq;                ///< [kBackwardRows, stride]
  float *p, *ds;                       ///< [kBackwardRows, score_stride]
  float *block_dkeys, *block_dvalues;  ///< [columns, stride]
  ptrdiff_t stride, score_stride;

  void Take(Scratch& scratch, const apus_lsh_shape& shape) {
    const ptrdiff_t size = shape.head_size, columns = MostColumns(shape);
    key_scales = scratch.Take(shape.time);
    means = scratch.Take(shape.time);
    dkeys = scratch.Take(shape.time * size);
    seen.Take(scratch, columns, size);
    stride = seen.stride;
    score_stride = attention::OddLines(columns + kPanel + kRows);
    keys = scratch.Take(attention::RoundUp(columns, kPanel) * size);
    values = scratch.Take(attention::RoundUp(columns, kPanel) * size);
    q = scratch.Take(kBackwardRows * stride);
    dout = scratch.Take(kBackwardRows * stride);
    dq = scratch.Take(kBackwardRows * stride);
    p = scratch.Take(kBackwardRows * score_stride);
    ds = scratch.Take(kBackwardRows * score_stride);
    block_dkeys = scratch.Take((columns + kRows) * stride);
    block_dvalues = scratch.Take((columns + kRows) * stride);
  }
};

/// A row of scores becomes probabilities, and of upstream products the scores' gradients.
void ProbabilityRow(float* HWY_RESTRICT p, float* HWY_RESTRICT ds, const int32_t* tokens,
                    ptrdiff_t columns, Sight sight, float lse, float mean) {
  const Floats f;
  const Vector scale = hn::Set(f, attention::kLog2E), shift = hn::Set(f, lse);
  const Vector none = hn::Set(f, -attention::kInfinity);
  for (ptrdiff_t j = 0; j < columns; j += kLanes) {
    const Vector score = hn::MulSub(hn::LoadU(f, p + j), scale, shift);
    Vector e[1] = {hn::IfThenElse(Visible(tokens, j, sight), score, none)};
    Exp2(e);
    hn::StoreU(e[0], f, p + j);
    hn::StoreU(hn::Mul(e[0], hn::Sub(hn::LoadU(f, ds + j), hn::Set(f, mean))), f, ds + j);
  }
}

/// Rows [first, first + count) of a block.
void BackwardRows(const BackwardCall& call, const BackwardTile& tile, const Lists& lists,
                  const Block& block, ptrdiff_t head, ptrdiff_t first, ptrdiff_t count) {
  const apus_lsh_shape& shape = *call.shape;
  const ptrdiff_t size = shape.head_size, o_stride = shape.heads * size;
  const ptrdiff_t columns = VisibleColumns(lists, block, first + count);
  const ptrdiff_t padded = attention::RoundUp(columns, kPanel);
  const ptrdiff_t padded_rows = attention::RoundUp(count, kRows);
  for (ptrdiff_t i = 0; i < padded_rows; ++i) {
    const int32_t token = i < count ? lists.Token(block.rows.begin + first + i) : Seen::kNobody;
    float *q = tile.q + i * tile.stride, *dout = tile.dout + i * tile.stride;
    if (token < shape.time) {
      CopyRow(q, call.q + lsh::Place(shape, head, token, shape.q_stride), 1.0f, size, tile.stride);
      CopyRow(dout, call.dout + lsh::Place(shape, head, token, o_stride), 1.0f, size, tile.stride);
    } else {
      std::fill_n(q, tile.stride, 0.0f);
      std::fill_n(dout, tile.stride, 0.0f);
    }
  }
  for (ptrdiff_t j = 0; j < padded; j += kPanel) {
    for (ptrdiff_t i = 0; i < count; i += kRows) {
      ProductTile<2, false, false>(tile.p + i * tile.score_stride + j, tile.score_stride,
                                   tile.q + i * tile.stride, tile.stride, tile.keys + j * size,
                                   kPanel, size);
      ProductTile<2, false, false>(tile.ds + i * tile.score_stride + j, tile.score_stride,
                                   tile.dout + i * tile.stride, tile.stride, tile.values + j * size,
                                   kPanel, size);
    }
  }
  for (ptrdiff_t i = 0; i < padded_rows; ++i) {
    const int32_t token = i < count ? lists.Token(block.rows.begin + first + i) : Seen::kNobody;
    float *p = tile.p + i * tile.score_stride, *ds = tile.ds + i * tile.score_stride;
    if (token < shape.time) {
      ProbabilityRow(p, ds, tile.seen.tokens, padded, Sight(shape, token),
                     call.lse[head * shape.time + token], tile.means[token]);
      std::fill_n(p + padded, kRows, 0.0f);
      std::fill_n(ds + padded, kRows, 0.0f);
    } else {
      std::fill_n(p, padded + kRows, 0.0f);
      std::fill_n(ds, padded + kRows, 0.0f);
    }
  }
  for (ptrdiff_t c = 0; c < size; c += kPanel) {
    for (ptrdiff_t i = 0; i < count; i += kRows) {
      ProductPanel<false, false>(tile.dq + i * tile.stride + c, tile.stride,
                                 tile.ds + i * tile.score_stride, tile.score_stride,
                                 tile.seen.keys + c, tile.stride, columns, size - c);
    }
    for (ptrdiff_t j = 0; j < columns; j += kRows) {
      ProductPanel<true, true>(tile.block_dkeys + j * tile.stride + c, tile.stride, tile.ds + j,
                               tile.score_stride, tile.q + c, tile.stride, count, size - c);
      ProductPanel<true, true>(tile.block_dvalues + j * tile.stride + c, tile.stride, tile.p + j,
                               tile.score_stride, tile.dout + c, tile.stride, count, size - c);
    }
  }
  for (ptrdiff_t i = 0; i < count; ++i) {
    const int32_t token = lists.Token(block.rows.begin + first + i);
    if (token >= shape.time) continue;
    AddRow(call.dq + lsh::Place(shape, head, token, shape.q_stride), tile.dq + i * tile.stride,
           1.0f, size);
  }
}

void BackwardBlock(const BackwardCall& call, const BackwardTile& tile, const Lists& lists,
                   const Block& block, ptrdiff_t head) {
  const apus_lsh_shape& shape = *call.shape;
  const ptrdiff_t size = shape.head_size;
  const HeadRows rows(shape, head, call.q, call.k, call.v, tile.key_scales);
  tile.seen.Gather(lists, block, rows);
  PackTransposed(tile.keys, tile.seen.keys, tile.stride, block.columns, size);
  PackTransposed(tile.values, tile.seen.values, tile.stride, block.columns, size);
  std::fill_n(tile.block_dkeys, (block.columns + kRows) * tile.stride, 0.0f);
  std::fill_n(tile.block_dvalues, (block.columns + kRows) * tile.stride, 0.0f);
  for (ptrdiff_t first = 0; first < block.rows.count; first += kBackwardRows) {
    BackwardRows(call, tile, lists, block, head, first,
                 std::min(kBackwardRows, block.rows.count - first));
  }
  for (ptrdiff_t j = 0; j < block.columns; ++j) {
    const int32_t token = tile.seen.tokens[j];
    if (token >= shape.time) continue;
    AddRow(tile.dkeys + token * size, tile.block_dkeys + j * tile.stride, 1.0f, size);
    AddRow(call.dv + lsh::Place(shape, head, token, shape.v_stride),
           tile.block_dvalues + j * tile.stride, 1.0f, size);
  }
}

/// Starts the sums of a head: nothing flows yet, but to the value of who saw itself alone.
void StartSums(const BackwardCall& call, const BackwardTile& tile, ptrdiff_t head) {
  const apus_lsh_shape& shape = *call.shape;
  const ptrdiff_t size = shape.head_size, o_stride = shape.heads * size;
  std::fill_n(tile.dkeys, shape.time * size, 0.0f);
  for (ptrdiff_t t = 0; t < shape.time; ++t) {
    const float* dout = call.dout + lsh::Place(shape, head, t, o_stride);
    const bool alone = call.lse[head * shape.time + t] == attention::kInfinity;
    tile.key_scales[t] = KeyScale(shape, call.q + lsh::Place(shape, head, t, shape.q_stride));
    tile.means[t] = DotRow(dout, call.o + lsh::Place(shape, head, t, o_stride), size);
    std::fill_n(call.dq + lsh::Place(shape, head, t, shape.q_stride), size, 0.0f);
    ScaleRow(call.dv + lsh::Place(shape, head, t, shape.v_stride), dout, alone ? 1.0f : 0.0f, size);
  }
}

/// From the keys that others see to what they were made of.
void FinishKeys(const BackwardCall& call, const BackwardTile& tile, ptrdiff_t head) {
  const apus_lsh_shape& shape = *call.shape;
  const ptrdiff_t size = shape.head_size;
  for (ptrdiff_t t = 0; t < shape.time; ++t) {
    const float scale = tile.key_scales[t];
    float* dkey = tile.dkeys + t * size;
    if (!shape.shared) {
      ScaleRow(call.dk + lsh::Place(shape, head, t, shape.k_stride), dkey, scale, size);
      continue;
    }
    const ptrdiff_t place = lsh::Place(shape, head, t, shape.q_stride);
    // Only what turns the key counts: its length is normalized away.
    AddRow(call.dq + place, dkey, scale, size);
    AddRow(call.dq + place, call.q + place,
           -scale * scale * scale * DotRow(call.q + place, dkey, size), size);
  }
}

void LshBackward(const BackwardCall& call, ptrdiff_t head) {
  Scratch scratch;
  BackwardTile tile;
  scratch.Lay([&] { tile.Take(scratch, *call.shape); });
  StartSums(call, tile, head);
  const Lists lists(call.shape, call.order, call.starts, head);
  for (ptrdiff_t round = 0; round < call.shape->rounds; ++round) {
    lists.ForBlocks(round, 0, call.shape->slots,
                    [&](const Block& block) { BackwardBlock(call, tile, lists, block, head); });
  }
  FinishKeys(call, tile, head);
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(LshBackward);
}  // namespace

extern "C" void apus_lsh_attention_backward_f32(float* dq, float* dk, float* dv, const float* dout,
                                                const float* q, const float* k, const float* v,
                                                const float* o, const float* lse,
                                                const int32_t* order, const int32_t* starts,
                                                const apus_lsh_shape* shape) {
  const lsh::BackwardCall call{shape, dq, dk, dv, dout, q, k, v, o, lse, order, starts};
  ParallelBlocks(shape->batch * shape->heads, [&](ptrdiff_t head) {
    HWY_DYNAMIC_DISPATCH(LshBackward)(call, head);
  });
}
}  // namespace apus
#endif  // HWY_ONCE
