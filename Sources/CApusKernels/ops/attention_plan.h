// What the forward and the backward pass of attention agree on: which rows form a task, and which
// keys a row sees.
//
// Letters as in the specification of the kernel: T_q queries, T_k keys, r query heads per key-value
// head. The r query heads that share keys are stacked: row s of a key-value head is query s / r of
// its head s % r. Rows in this order see ranges of keys that only grow, and a tile of keys serves
// all r heads while it is in cache.
#pragma once

#include <algorithm>
#include <limits>

#include "include/apus_kernels.h"
#include "support/scratch.h"

namespace apus::attention {

constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kLn2 = 0.69314718055994530942f;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline ptrdiff_t RoundUp(ptrdiff_t value, ptrdiff_t step) {
  return (value + step - 1) / step * step;
}

/// A row length of at least `columns` floats that is an odd number of cache lines, so that rows one
/// below the other fall into different sets of the cache.
inline ptrdiff_t OddLines(ptrdiff_t columns) {
  const ptrdiff_t lines = (columns + 15) / 16;
  return (lines | 1) * 16;
}

/// The keys that a row sees, [begin, end).
struct KeyRange {
  ptrdiff_t begin, end;
};

/// One key-value head of one batch row, with the query heads that read it.
struct Head {
  const apus_attention_shape* shape;
  ptrdiff_t batch, head;

  Head(const apus_attention_shape* shape, ptrdiff_t index)
      : shape(shape), batch(index / shape->kv_heads), head(index % shape->kv_heads) {}

  ptrdiff_t group() const { return shape->heads / shape->kv_heads; }
  ptrdiff_t rows() const { return shape->queries * group(); }

  /// Where row s starts in an array of queries (or outputs) with these strides.
  ptrdiff_t Row(ptrdiff_t s, ptrdiff_t batch_stride, ptrdiff_t stride) const {
    const ptrdiff_t r = group();
    return batch * batch_stride + s / r * stride + (head * r + s % r) * shape->head_size;
  }
  /// Where row s stands in `lse` [B, heads, T_q].
  ptrdiff_t Statistic(ptrdiff_t s) const {
    const ptrdiff_t r = group();
    return (batch * shape->heads + head * r + s % r) * shape->queries + s / r;
  }
  /// Where key j starts in an array of keys (or values) with these strides.
  ptrdiff_t Key(ptrdiff_t j, ptrdiff_t batch_stride, ptrdiff_t stride) const {
    return batch * batch_stride + j * stride + head * shape->head_size;
  }
  /// Causal attention is aligned at the end: the last query sees the last key. A window looks back
  /// from the query, so it is causal too.
  KeyRange Keys(ptrdiff_t s) const {
    const ptrdiff_t position = s / group() + shape->keys - shape->queries;
    ptrdiff_t begin = 0, end = shape->keys;
    if (shape->causal || shape->window > 0) end = std::min(end, position + 1);
    if (shape->window > 0) begin = std::max<ptrdiff_t>(0, position + 1 - shape->window);
    end = std::max<ptrdiff_t>(end, 0);
    return {std::min(begin, end), end};
  }
  /// The first row that sees a key at or after `key`, and one past the last that sees a key before
  /// `key_end`: outside them the tile [key, key_end) is masked whole.
  ptrdiff_t FirstRow(ptrdiff_t key) const {
    if (!shape->causal && shape->window <= 0) return 0;
    const ptrdiff_t query = key - (shape->keys - shape->queries);
    return std::clamp<ptrdiff_t>(query, 0, shape->queries) * group();
  }
  ptrdiff_t LastRow(ptrdiff_t key_end) const {
    if (shape->window <= 0) return rows();
    const ptrdiff_t query = key_end - 1 + shape->window - (shape->keys - shape->queries);
    return std::clamp<ptrdiff_t>(query, 0, shape->queries) * group();
  }
};

/// The rows of a head that a task takes, of tiles of `tile_rows`. The last tile of a causal head
/// sees the most keys: it goes first.
struct RowTile {
  Head head;
  ptrdiff_t row, rows;

  static ptrdiff_t Count(const apus_attention_shape* shape, ptrdiff_t tile_rows) {
    return (Head(shape, 0).rows() + tile_rows - 1) / tile_rows;
  }

  RowTile(const apus_attention_shape* shape, ptrdiff_t tile_rows, ptrdiff_t task)
      : head(shape, task / Count(shape, tile_rows)) {
    const ptrdiff_t tiles = Count(shape, tile_rows);
    row = (tiles - 1 - task % tiles) * tile_rows;
    rows = std::min(tile_rows, head.rows() - row);
  }

  /// The keys that any of the rows sees.
  KeyRange Keys() const { return {head.Keys(row).begin, head.Keys(row + rows - 1).end}; }
};

/// Up to this many rows per key-value head, as when a text is continued, packing keys into panels
/// would cost more than the products on them.
constexpr ptrdiff_t kFewRows = 16;
void ForwardFewRows(float* o, float* lse, const float* q, const float* k, const float* v,
                    const apus_attention_shape& shape);

}  // namespace apus::attention
