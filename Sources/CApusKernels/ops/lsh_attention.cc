// LSH attention, forward. A token's softmax runs over all rounds at once: the rounds come one after
// the other, and each adds its share to the token's output as a further tile of keys would.
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/lsh_attention.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "include/apus_kernels.h"
#include "ops/lsh_plan.h"
#include "ops/lsh_tile-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

#ifndef APUS_LSH_ATTENTION_ONCE
#define APUS_LSH_ATTENTION_ONCE
namespace apus::lsh {

/// What every task of a forward call shares.
struct ForwardCall {
  const apus_lsh_shape* shape;
  float *o, *lse;
  const float *q, *k, *v;
  const int32_t *order, *starts;
  float* key_scales;  ///< [B, H, T]
};

constexpr ptrdiff_t kRowBlock = 24;  ///< rows whose scores stand in L1 at once

}  // namespace apus::lsh
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using lsh::Block;
using lsh::ForwardCall;
using lsh::kRowBlock;
using lsh::Lists;
using lsh::Sight;

struct ForwardTile {
  Seen seen;
  float *keys, *values;  ///< packed
  float *q, *o, *scores;
  ptrdiff_t stride, score_stride;

  void Take(Scratch& scratch, const apus_lsh_shape& shape) {
    const ptrdiff_t size = shape.head_size, columns = MostColumns(shape);
    seen.Take(scratch, columns, size);
    stride = seen.stride;
    score_stride = attention::OddLines(columns + kPanel);
    keys = scratch.Take(attention::RoundUp(columns, kPanel) * size);
    values = scratch.Take(columns * attention::RoundUp(size, kPanel));
    q = scratch.Take(kRowBlock * stride);
    o = scratch.Take(kRowBlock * stride);
    scores = scratch.Take(kRowBlock * score_stride);
  }
};

/// The scores of a row, in units of log 2, become exponentials under their largest, which is
/// returned (−∞: nothing is visible) with their sum.
float Exponentials(float* HWY_RESTRICT scores, const int32_t* tokens, ptrdiff_t columns,
                   Sight sight, float& sum) {
  const Floats f;
  const Vector none = hn::Set(f, -attention::kInfinity);
  Vector top = none;
  for (ptrdiff_t j = 0; j < columns; j += kLanes) {
    const Vector s = hn::IfThenElse(Visible(tokens, j, sight), hn::LoadU(f, scores + j), none);
    hn::StoreU(s, f, scores + j);
    top = hn::Max(s, top);
  }
  const float largest = hn::GetLane(hn::MaxOfLanes(f, top));
  const Vector shift = hn::Set(f, largest == -attention::kInfinity ? 0.0f : largest);
  Vector total = hn::Zero(f);
  for (ptrdiff_t j = 0; j < columns; j += kPanel) {
    Vector p[2] = {hn::Sub(hn::LoadU(f, scores + j), shift),
                   hn::Sub(hn::LoadU(f, scores + j + kLanes), shift)};
    Exp2(p);
    hn::StoreU(p[0], f, scores + j);
    hn::StoreU(p[1], f, scores + j + kLanes);
    total = hn::Add(total, hn::Add(p[0], p[1]));
  }
  sum = hn::GetLane(hn::SumOfLanes(f, total));
  return largest;
}

/// Adds a share of the softmax to what a token has: o holds its output so far and `lse` the log of
/// its sum, −∞ while there is none; the share is not yet divided by its sum.
void Merge(float* HWY_RESTRICT o, float& lse, const float* HWY_RESTRICT share, float largest,
           float sum, ptrdiff_t size) {
  if (largest == -attention::kInfinity) return;
  const float log_sum = largest + std::log2(sum);
  if (lse == -attention::kInfinity) {
    ScaleRow(o, share, 1.0f / sum, size);
    lse = log_sum;
    return;
  }
  const float high = std::max(lse, log_sum);
  const float both = high + std::log2(std::exp2(lse - high) + std::exp2(log_sum - high));
  const Floats f;
  const float old_weight = std::exp2(lse - both), weight = std::exp2(largest - both);
  ptrdiff_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const Vector old = hn::Mul(hn::Set(f, old_weight), hn::LoadU(f, o + i));
    hn::StoreU(hn::MulAdd(hn::Set(f, weight), hn::LoadU(f, share + i), old), f, o + i);
  }
  for (; i < size; ++i) o[i] = old_weight * o[i] + weight * share[i];
  lse = both;
}

void ForwardBlock(const ForwardCall& call, const ForwardTile& tile, const Lists& lists,
                  const Block& block, ptrdiff_t head) {
  const apus_lsh_shape& shape = *call.shape;
  const ptrdiff_t size = shape.head_size, o_stride = shape.heads * size;
  const HeadRows rows(shape, head, call.q, call.k, call.v, call.key_scales + head * shape.time);
  tile.seen.Gather(lists, block, rows);
  PackTransposed(tile.keys, tile.seen.keys, tile.stride, block.columns, size);
  PackColumns(tile.values, block.columns, tile.seen.values, tile.stride, block.columns, size);
  float* o = call.o + lsh::Place(shape, head, 0, o_stride);
  for (ptrdiff_t first = 0; first < block.rows.count; first += kRowBlock) {
    const ptrdiff_t count = std::min(kRowBlock, block.rows.count - first);
    const ptrdiff_t columns = VisibleColumns(lists, block, first + count);
    const ptrdiff_t padded = attention::RoundUp(columns, kPanel);
    for (ptrdiff_t i = 0; i < attention::RoundUp(count, kRows); ++i) {
      const int32_t token = i < count ? lists.Token(block.rows.begin + first + i) : Seen::kNobody;
      if (token < shape.time) {
        ScaleRow(tile.q + i * tile.stride, rows.q + token * rows.q_stride, attention::kLog2E, size);
      } else {
        std::fill_n(tile.q + i * tile.stride, size, 0.0f);
      }
    }
    for (ptrdiff_t j = 0; j < padded; j += kPanel) {
      for (ptrdiff_t i = 0; i < count; i += kRows) {
        ProductTile<2, false, false>(tile.scores + i * tile.score_stride + j, tile.score_stride,
                                     tile.q + i * tile.stride, tile.stride, tile.keys + j * size,
                                     kPanel, size);
      }
    }
    float largest[kRowBlock], sum[kRowBlock];
    for (ptrdiff_t i = 0; i < count; ++i) {
      const int32_t token = lists.Token(block.rows.begin + first + i);
      const Sight sight(shape, token < shape.time ? token : -1);
      largest[i] = Exponentials(tile.scores + i * tile.score_stride, tile.seen.tokens, padded,
                                sight, sum[i]);
    }
    for (ptrdiff_t c = 0; c < size; c += kPanel) {
      for (ptrdiff_t i = 0; i < count; i += kRows) {
        ProductPanel<false, false>(tile.o + i * tile.stride + c, tile.stride,
                                   tile.scores + i * tile.score_stride, tile.score_stride,
                                   tile.values + c * block.columns, kPanel, columns, size - c);
      }
    }
    for (ptrdiff_t i = 0; i < count; ++i) {
      const int32_t token = lists.Token(block.rows.begin + first + i);
      if (token >= shape.time) continue;
      Merge(o + token * o_stride, call.lse[head * shape.time + token], tile.o + i * tile.stride,
            largest[i], sum[i], size);
    }
  }
}

void LshForward(const ForwardCall& call, ptrdiff_t head, ptrdiff_t round, ptrdiff_t from,
                ptrdiff_t to) {
  Scratch scratch;
  ForwardTile tile;
  scratch.Lay([&] { tile.Take(scratch, *call.shape); });
  const Lists lists(call.shape, call.order, call.starts, head);
  lists.ForBlocks(round, from, to,
                  [&](const Block& block) { ForwardBlock(call, tile, lists, block, head); });
}

/// Before the first round: what tokens are scaled by as keys, and no output yet.
void LshPrepare(const ForwardCall& call, ptrdiff_t head, ptrdiff_t from, ptrdiff_t to) {
  const apus_lsh_shape& shape = *call.shape;
  const float* rows = call.q + lsh::Place(shape, head, 0, shape.q_stride);
  for (ptrdiff_t t = from; t < to; ++t) {
    call.key_scales[head * shape.time + t] = KeyScale(shape, rows + t * shape.q_stride);
    call.lse[head * shape.time + t] = -attention::kInfinity;
  }
}

/// After the last round: a token that saw no other sees itself.
void LshFinish(const ForwardCall& call, ptrdiff_t head, ptrdiff_t from, ptrdiff_t to) {
  const apus_lsh_shape& shape = *call.shape;
  for (ptrdiff_t t = from; t < to; ++t) {
    float& lse = call.lse[head * shape.time + t];
    if (lse != -attention::kInfinity) continue;
    lse = attention::kInfinity;
    ScaleRow(call.o + lsh::Place(shape, head, t, shape.heads * shape.head_size),
             call.v + lsh::Place(shape, head, t, shape.v_stride), 1.0f, shape.head_size);
  }
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(LshForward);
HWY_EXPORT(LshPrepare);
HWY_EXPORT(LshFinish);
}  // namespace

extern "C" void apus_lsh_attention_f32(float* o, float* lse, const float* q, const float* k,
                                       const float* v, const int32_t* order, const int32_t* starts,
                                       const apus_lsh_shape* shape) {
  const ptrdiff_t heads = shape->batch * shape->heads;
  if (heads <= 0 || shape->time <= 0) return;
  Scratch scratch(heads * shape->time);
  const lsh::ForwardCall call{
      shape, o, lse, q, k, v, order, starts, scratch.Take(heads * shape->time)};
  constexpr ptrdiff_t kTokens = 1024;
  const auto over_tokens = [&](const auto& function) {
    const ptrdiff_t pieces = (shape->time + kTokens - 1) / kTokens;
    ParallelBlocks(heads * pieces, [&](ptrdiff_t task) {
      const ptrdiff_t from = task % pieces * kTokens;
      function(task / pieces, from, std::min(from + kTokens, shape->time));
    });
  };
  over_tokens([&](ptrdiff_t head, ptrdiff_t from, ptrdiff_t to) {
    HWY_DYNAMIC_DISPATCH(LshPrepare)(call, head, from, to);
  });
  // Within a round no two blocks hold the same token.
  const ptrdiff_t stretch = attention::RoundUp(512, shape->block);
  const ptrdiff_t pieces = (shape->slots + stretch - 1) / stretch;
  for (ptrdiff_t round = 0; round < shape->rounds; ++round) {
    ParallelBlocks(heads * pieces, [&](ptrdiff_t task) {
      const ptrdiff_t from = task % pieces * stretch;
      HWY_DYNAMIC_DISPATCH(LshForward)
      (call, task / pieces, round, from, std::min(from + stretch, shape->slots));
    });
  }
  over_tokens([&](ptrdiff_t head, ptrdiff_t from, ptrdiff_t to) {
    HWY_DYNAMIC_DISPATCH(LshFinish)(call, head, from, to);
  });
}
}  // namespace apus
#endif  // HWY_ONCE
