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
  const apus_attention_shape *shape;
  float *o, *lse;
  const float *q, *k, *v;
  ptrdiff_t tile_rows, tiles;  ///< rows of a task, tasks of a key-value head
};

constexpr ptrdiff_t kForwardKeys = 192;  ///< keys of a tile: a multiple of any panel
constexpr ptrdiff_t kForwardBlock = 24;  ///< rows whose scores stand in L1 at once
