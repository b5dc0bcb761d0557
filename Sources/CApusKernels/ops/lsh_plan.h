// What the kernels of LSH attention agree on: how lists are cut into blocks, and what a block sees.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "include/apus_kernels.h"

namespace apus::lsh {

/// Some entries of a head's lists, counted through all of them: entry e is slot e % S of list e /
/// S.
struct Entries {
  ptrdiff_t begin, count;
};

/// A block and what it sees, in order; `own` columns of that come before the block itself.
struct Block {
  static constexpr int kMost = 33;
  Entries rows;
  Entries keys[kMost];
  int parts = 0;
  ptrdiff_t own = 0, columns = 0;

  void Add(ptrdiff_t begin, ptrdiff_t count) {
    if (count <= 0) return;
    keys[parts++] = {begin, count};
    columns += count;
  }
};

/// The lists of one head of one batch row.
struct Lists {
  const apus_lsh_shape* shape;
  const int32_t *order, *starts;  ///< of this head, or NULL

  Lists(const apus_lsh_shape* shape, const int32_t* order, const int32_t* starts, ptrdiff_t head)
      : shape(shape),
        order(order == nullptr ? nullptr : order + head * shape->rounds * shape->slots),
        starts(starts == nullptr ? nullptr : starts + head * shape->rounds * (shape->groups + 1)) {}

  /// The token of an entry; T or above: none.
  int32_t Token(ptrdiff_t entry) const {
    return order == nullptr ? static_cast<int32_t>(entry % shape->slots) : order[entry];
  }

  /// Whether a block's own entries are in order of time.
  bool Ascends() const { return order == nullptr || shape->groups > 0; }

  /// Calls body(block) for every block of a round that begins in slots [from, to).
  template <class Body>
  void ForBlocks(ptrdiff_t round, ptrdiff_t from, ptrdiff_t to, const Body& body) const {
    shape->groups == 0 ? InCircle(round, from, to, body) : InGroups(round, from, to, body);
  }

 private:
  template <class Body>
  void InCircle(ptrdiff_t round, ptrdiff_t from, ptrdiff_t to, const Body& body) const {
    const ptrdiff_t c = shape->block;
    const ptrdiff_t blocks = shape->rounds * shape->slots / c;
    const ptrdiff_t first = (round * shape->slots + from + c - 1) / c;
    const ptrdiff_t last = (round * shape->slots + to + c - 1) / c;
    for (ptrdiff_t i = first; i < last; ++i) {
      Block block;
      block.rows = {i * c, c};
      for (ptrdiff_t j = -shape->before; j <= shape->after; ++j) {
        if (j == 0) block.own = block.columns;
        block.Add(((i + j) % blocks + blocks) % blocks * c, c);
      }
      body(block);
    }
  }

  template <class Body>
  void InGroups(ptrdiff_t round, ptrdiff_t from, ptrdiff_t to, const Body& body) const {
    const ptrdiff_t c = shape->block, base = round * shape->slots;
    const int32_t whole[2] = {0, static_cast<int32_t>(shape->time)};
    const int32_t* start = starts == nullptr ? whole : starts + round * (shape->groups + 1);
    const int32_t* past = std::upper_bound(start, start + shape->groups + 1, from);
    for (ptrdiff_t g = std::max<ptrdiff_t>(past - start - 1, 0); g < shape->groups; ++g) {
      if (start[g] >= to) break;
      for (ptrdiff_t begin = start[g]; begin < start[g + 1] && begin < to; begin += c) {
        if (begin < from) continue;
        const ptrdiff_t seen = std::max<ptrdiff_t>(start[g], begin - shape->before * c);
        Block block;
        block.rows = {base + begin, std::min<ptrdiff_t>(c, start[g + 1] - begin)};
        block.own = begin - seen;
        block.Add(base + seen, begin - seen + block.rows.count);
        body(block);
      }
    }
  }
};

/// Which tokens a token sees: key tokens below `end` other than `not_this`.
struct Sight {
  int32_t end, not_this;

  Sight(const apus_lsh_shape& shape, int32_t token)
      : end(shape.causal ? token + (shape.shared ? 0 : 1) : static_cast<int32_t>(shape.time)),
        not_this(shape.shared ? token : -1) {}

  bool Sees(int32_t token) const { return token < end && token != not_this; }
};

constexpr float kKeyEpsilon = 1e-6f;

/// Where token t of batch row b starts in an array with a stride, for head h.
inline ptrdiff_t Place(const apus_lsh_shape& shape, ptrdiff_t head, ptrdiff_t token,
                       ptrdiff_t stride) {
  const ptrdiff_t b = head / shape.heads, h = head % shape.heads;
  return (b * shape.time + token) * stride + h * shape.head_size;
}

}  // namespace apus::lsh
