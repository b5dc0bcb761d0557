// One block of LSH attention as a small dense problem: what it sees is gathered and packed, and who
// sees whom is asked of the tokens' numbers. Included once per instruction set.
#if defined(APUS_OPS_LSH_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_LSH_TILE_INL_H_
#undef APUS_OPS_LSH_TILE_INL_H_
#else
#define APUS_OPS_LSH_TILE_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <limits>

#include "ops/attention_tile-inl.h"
#include "ops/lsh_plan.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using Integers = hn::RebindToSigned<Floats>;

/// What turns a token's query (or key) into the key that others see.
HWY_INLINE float KeyScale(const apus_lsh_shape& shape, const float* row) {
  const float size = static_cast<float>(shape.head_size);
  if (!shape.shared) return 1.0f / std::sqrt(size);
  const float mean = DotRow(row, row, shape.head_size) / size;
  return 1.0f / std::sqrt((mean + lsh::kKeyEpsilon) * size);
}

/// Copies a row and fills it up to `padded` with zeros.
HWY_INLINE void CopyRow(float* HWY_RESTRICT to, const float* HWY_RESTRICT from, float scale,
                        ptrdiff_t count, ptrdiff_t padded) {
  ScaleRow(to, from, scale, count);
  for (ptrdiff_t i = count; i < padded; ++i) to[i] = 0.0f;
}

/// Arrays of one head, and what the rows of a token are scaled by to be keys, [T].
struct HeadRows {
  const float *q, *k, *v;
  ptrdiff_t q_stride, k_stride, v_stride;
  const float* key_scales;

  HeadRows(const apus_lsh_shape& shape, ptrdiff_t head, const float* queries, const float* keys,
           const float* values, const float* scales)
      : q(queries + lsh::Place(shape, head, 0, shape.q_stride)),
        k(shape.shared ? q : keys + lsh::Place(shape, head, 0, shape.k_stride)),
        v(values + lsh::Place(shape, head, 0, shape.v_stride)),
        q_stride(shape.q_stride),
        k_stride(shape.shared ? shape.q_stride : shape.k_stride),
        v_stride(shape.v_stride),
        key_scales(scales) {}
};

/// What a block sees, gathered: keys and values in rows of `stride`, and the tokens they belong to.
struct Seen {
  float *keys, *values;
  int32_t* tokens;  ///< [columns], then none up to whole panels
  ptrdiff_t stride;

  void Take(Scratch& scratch, ptrdiff_t columns, ptrdiff_t size) {
    stride = attention::OddLines(size);
    keys = scratch.Take((columns + kRows) * stride);
    values = scratch.Take((columns + kRows) * stride);
    tokens = reinterpret_cast<int32_t*>(scratch.Take(columns + kPanel));
  }

  void Gather(const lsh::Lists& lists, const lsh::Block& block, const HeadRows& rows) const {
    const ptrdiff_t size = lists.shape->head_size;
    ptrdiff_t j = 0;
    for (int part = 0; part < block.parts; ++part) {
      const lsh::Entries from = block.keys[part];
      for (ptrdiff_t e = from.begin; e < from.begin + from.count; ++e, ++j) {
        const int32_t token = lists.Token(e);
        if (token < lists.shape->time) {
          tokens[j] = token;
          CopyRow(keys + j * stride, rows.k + token * rows.k_stride, rows.key_scales[token], size,
                  stride);
          CopyRow(values + j * stride, rows.v + token * rows.v_stride, 1.0f, size, stride);
        } else {
          tokens[j] = kNobody;
          std::fill_n(keys + j * stride, stride, 0.0f);
          std::fill_n(values + j * stride, stride, 0.0f);
        }
      }
    }
    for (; j < attention::RoundUp(block.columns, kPanel); ++j) tokens[j] = kNobody;
  }

  static constexpr int32_t kNobody = std::numeric_limits<int32_t>::max();
};

/// Which lanes from column j on a token sees.
HWY_INLINE hn::Mask<Floats> Visible(const int32_t* tokens, ptrdiff_t j, lsh::Sight sight) {
  const Integers i;
  const auto token = hn::LoadU(i, tokens + j);
  const auto early = hn::Lt(token, hn::Set(i, sight.end));
  const auto other = hn::Ne(token, hn::Set(i, sight.not_this));
  return hn::RebindMask(Floats(), hn::And(early, other));
}

/// Columns that some of a block's rows [0, last) can see.
HWY_INLINE ptrdiff_t VisibleColumns(const lsh::Lists& lists, const lsh::Block& block,
                                    ptrdiff_t last) {
  const apus_lsh_shape& shape = *lists.shape;
  if (!shape.causal || !lists.Ascends() || shape.after > 0) return block.columns;
  return std::min(block.columns, block.own + last);
}

/// The most columns of a block.
HWY_INLINE ptrdiff_t MostColumns(const apus_lsh_shape& shape) {
  return (shape.before + 1 + shape.after) * shape.block;
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
