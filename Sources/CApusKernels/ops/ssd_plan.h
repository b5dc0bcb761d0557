// How the kernels of state space duality cut their work, by sizes alone, and where things stand.
// Letters: B batch, T time, H heads, P channels of a head, G groups, N states, Q chunk.
#pragma once

#include <algorithm>
#include <cstddef>

#include "include/apus_kernels.h"
#include "ops/attention_plan.h"

namespace apus::ssd {

/// Tokens that all sequences advance before the next ones' turn: bounds the working memory, and
/// keeps what one phase leaves for the next in the caches.
constexpr ptrdiff_t kSegment = 512;

struct Inputs {
  const float *x, *b, *c, *dt, *dt_bias, *a_log, *d;
};

using attention::OddLines;
using attention::RoundUp;

/// The sizes of one call, and what follows from them.
struct Plan {
  apus_ssd_shape shape;
  ptrdiff_t chunk;           ///< Q, no longer than the sequence
  ptrdiff_t chunks;          ///< of a sequence
  ptrdiff_t segment;         ///< chunks of a segment
  ptrdiff_t group_heads;     ///< heads of a group
  ptrdiff_t blocks;          ///< tasks that the heads of a group are cut into
  ptrdiff_t scores_stride;   ///< of [Q, Q]
  ptrdiff_t states_stride;   ///< of rows of N
  ptrdiff_t channel_stride;  ///< of rows of P

  /// `panel` columns and `tile` rows are what a product works on; `tasks` is how many feed the
  /// machine, `least` and `most` the heads that one of them takes.
  Plan(const apus_ssd_shape& shape, ptrdiff_t panel, ptrdiff_t tile, ptrdiff_t tasks,
       ptrdiff_t least, ptrdiff_t most)
      : shape(shape) {
    chunk = std::max<ptrdiff_t>(1, std::min(shape.chunk, shape.time));
    chunks = (shape.time + chunk - 1) / chunk;
    segment = std::min(std::max<ptrdiff_t>(1, kSegment / chunk), std::max<ptrdiff_t>(1, chunks));
    group_heads = shape.heads / shape.groups;
    const ptrdiff_t sequences = std::max<ptrdiff_t>(1, shape.batch * shape.groups);
    const ptrdiff_t wanted = std::max((tasks + sequences - 1) / sequences,  //
                                      (group_heads + most - 1) / most);
    blocks = std::max<ptrdiff_t>(1, std::min(wanted, group_heads / least));
    scores_stride = OddLines(RoundUp(chunk, panel) + panel);
    states_stride = OddLines(std::max(RoundUp(shape.states, panel), RoundUp(shape.states, tile)));
    channel_stride =
        OddLines(std::max(RoundUp(shape.head_size, panel), RoundUp(shape.head_size, tile)));
  }

  /// The heads head ..< last of one group of a sequence: what a task takes.
  struct Task {
    ptrdiff_t batch, group, head, last;
  };
  Task Heads(ptrdiff_t task) const {
    const ptrdiff_t sequence = task / blocks, block = task % blocks;
    const ptrdiff_t group = sequence % shape.groups, first = group * group_heads;
    return {sequence / shape.groups, group, first + FirstHead(block), first + FirstHead(block + 1)};
  }

  ptrdiff_t sequences() const { return shape.batch * shape.groups; }
  ptrdiff_t state_size() const { return shape.states * shape.head_size; }
  ptrdiff_t FirstHead(ptrdiff_t block) const { return block * group_heads / blocks; }
  ptrdiff_t ChunkTokens(ptrdiff_t index) const {
    return std::min(chunk, shape.time - index * chunk);
  }
  /// Where row t of a sequence starts in b or c (or db, dc).
  ptrdiff_t Shared(ptrdiff_t batch, ptrdiff_t t, ptrdiff_t group) const {
    return (batch * shape.time + t) * shape.x_stride + group * shape.states;
  }
  /// Where row t of a head starts in x (or dx).
  ptrdiff_t Own(ptrdiff_t batch, ptrdiff_t t, ptrdiff_t head) const {
    return (batch * shape.time + t) * shape.x_stride + head * shape.head_size;
  }
  /// Where row t of a head starts in y (or dy), and the distance of its rows.
  ptrdiff_t Output(ptrdiff_t batch, ptrdiff_t t, ptrdiff_t head) const {
    return ((batch * shape.time + t) * shape.heads + head) * shape.head_size;
  }
  ptrdiff_t output_stride() const { return shape.heads * shape.head_size; }
  /// Where a saved state starts.
  ptrdiff_t Checkpoint(ptrdiff_t batch, ptrdiff_t index, ptrdiff_t head) const {
    return ((batch * chunks + index) * shape.heads + head) * state_size();
  }
};

}  // namespace apus::ssd
