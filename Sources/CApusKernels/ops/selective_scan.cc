// Selective scan with softplus and gate, forward. Gu and Dao, 2023, arXiv:2312.00752, section 3.
// Nearly all time goes into exp(Δ A): one for each token, channel and state.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/selective_scan.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "include/apus_kernels.h"
#include "ops/gates-inl.h"
#include "ops/selective_scan-inl.h"
#include "ops/selective_scan_step-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
namespace {

struct ScanInputs {
  const float *s, *delta, *b, *c, *d, *z;
};

/// Walks kStates states of one tile through `tokens` tokens: h advances, y [tokens, L] is added to.
template <int kStates>
HWY_NOINLINE void AdvanceStates(float* HWY_RESTRICT y, float* HWY_RESTRICT h,
                                const float* HWY_RESTRICT decay, const float* HWY_RESTRICT drive,
                                const float* b, const float* c, ptrdiff_t bc_stride,
                                ptrdiff_t tokens) {
  const ScanTag d;
  const ptrdiff_t lanes = RowLanes();
  ScanVector state[kStates];
  for (int n = 0; n < kStates; ++n) state[n] = hn::Load(d, h + n * lanes);
  for (ptrdiff_t t = 0; t < tokens; ++t, b += bc_stride, c += bc_stride) {
    const ScanVector drive_t = hn::Load(d, drive + t * lanes);
    ScanVector sum = hn::Load(d, y + t * lanes);
    for (int n = 0; n < kStates; ++n) {
      const ScanVector decay_t = hn::Load(d, decay + (t * kStates + n) * lanes);
      state[n] = hn::MulAdd(decay_t, state[n], hn::Mul(drive_t, hn::Set(d, b[n])));
      sum = hn::MulAdd(state[n], hn::Set(d, c[n]), sum);
    }
    hn::Store(sum, d, y + t * lanes);
  }
  for (int n = 0; n < kStates; ++n) hn::Store(state[n], d, h + n * lanes);
}

/// Channels first ..< last of one sequence, with their working arrays.
class ScanBlock {
 public:
  ScanBlock(const ScanInputs& in, const float* rates, const apus_scan_shape& shape, ptrdiff_t batch,
            ptrdiff_t first, ptrdiff_t last)
      : in_(in),
        rates_(rates),
        shape_(shape),
        batch_(batch),
        first_(first),
        last_(last),
        lanes_(RowLanes()),
        tiles_((last - first + lanes_ - 1) / lanes_),
        longest_(std::min(kSegment, shape.time)),
        tile_stride_(TileStride(longest_)),
        scratch_(tiles_ * (lanes_ * shape.states + 3 * tile_stride_) +
                 kScanStates * longest_ * lanes_ + 5 * 16),
        h_(scratch_.Take(tiles_ * shape.states * lanes_)),
        step_(scratch_.Take(tiles_ * tile_stride_)),
        drive_(scratch_.Take(tiles_ * tile_stride_)),
        y_(scratch_.Take(tiles_ * tile_stride_)),
        decay_(scratch_.Take(kScanStates * longest_ * lanes_)),
        steepest_(SteepestRate(rates + first * shape.states, tiles_ * shape.states * lanes_)) {}

  void Run(float* o, float* state, float* checkpoints) {
    LoadStates(state);
    ForSegments(shape_.time, shape_.chunk,
                [&](ptrdiff_t t, ptrdiff_t tokens, bool begins) HWY_ATTR {
                  if (checkpoints != nullptr && begins) SaveStates(checkpoints, t / shape_.chunk);
                  const bool clamp = Prepare(t, tokens);
                  for (ptrdiff_t tile = 0; tile < tiles_; ++tile) Advance(tile, t, tokens, clamp);
                  Finish(o, t, tokens);
                });
    if (state != nullptr) StoreStates(state);
  }

 private:
  ptrdiff_t Width(ptrdiff_t tile) const { return std::min(lanes_, last_ - first_ - tile * lanes_); }
  float* State(ptrdiff_t tile) { return h_ + tile * shape_.states * lanes_; }
  ptrdiff_t At(ptrdiff_t tile, ptrdiff_t t) const { return tile * tile_stride_ + t * lanes_; }

  void LoadStates(const float* state) {
    if (state == nullptr) return (void)std::fill_n(h_, tiles_ * shape_.states * lanes_, 0.0f);
    const float* from = state + (batch_ * shape_.channels + first_) * shape_.states;
    for (ptrdiff_t tile = 0; tile < tiles_; ++tile, from += lanes_ * shape_.states) {
      LoadStateTile(State(tile), from, shape_.states, Width(tile));
    }
  }

  void StoreStates(float* state) {
    float* to = state + (batch_ * shape_.channels + first_) * shape_.states;
    for (ptrdiff_t tile = 0; tile < tiles_; ++tile, to += lanes_ * shape_.states) {
      StoreStateTile(to, State(tile), shape_.states, Width(tile));
    }
  }

  void SaveStates(float* checkpoints, ptrdiff_t chunk) {
    float* to = checkpoints + CheckpointOffset(shape_, batch_, chunk, first_);
    for (ptrdiff_t tile = 0; tile < tiles_; ++tile) {
      const ptrdiff_t width = Width(tile);
      for (ptrdiff_t n = 0; n < shape_.states; ++n, to += width) {
        std::copy_n(State(tile) + n * lanes_, width, to);
      }
    }
  }

  /// Δ, Δ s and the first term of y, d s. Says whether the decays need the clamp.
  HWY_NOINLINE bool Prepare(ptrdiff_t t0, ptrdiff_t tokens) {
    const ScanTag d;
    const ptrdiff_t channels = shape_.channels;
    ScanVector longest = hn::Zero(d);
    for (ptrdiff_t t = 0; t < tokens; ++t) {
      const ptrdiff_t row = batch_ * shape_.time + t0 + t, at = row * channels + first_;
      const float *s = in_.s + at, *delta = in_.delta + at, *skip = in_.d + first_;
      if (t0 + t + kScanAhead < shape_.time) {
        PrefetchRow(s + kScanAhead * channels);
        PrefetchRow(delta + kScanAhead * channels);
      }
      ForLanes(last_ - first_, [&](ptrdiff_t e, ptrdiff_t width) HWY_ATTR {
        const ScanVector s_t = LoadLanes(s + e, width);
        ScanVector slope;
        const ScanVector step = Softplus(d, LoadLanes(delta + e, width), slope);
        longest = hn::Max(longest, step);
        const ptrdiff_t to = At(e / RowLanes(), t);
        hn::Store(step, d, step_ + to);
        hn::Store(hn::Mul(step, s_t), d, drive_ + to);
        hn::Store(hn::Mul(LoadLanes(skip + e, width), s_t), d, y_ + to);
      });
    }
    return NeedsClamp(longest, steepest_);
  }

  void Advance(ptrdiff_t tile, ptrdiff_t t0, ptrdiff_t tokens, bool clamp) {
    ptrdiff_t n = 0;
    for (; n + kScanStates <= shape_.states; n += kScanStates) {
      AdvanceSome<kScanStates>(tile, n, t0, tokens, clamp);
    }
    for (; n < shape_.states; ++n) AdvanceSome<1>(tile, n, t0, tokens, clamp);
  }

  template <int kStates>
  void AdvanceSome(ptrdiff_t tile, ptrdiff_t n, ptrdiff_t t0, ptrdiff_t tokens, bool clamp) {
    const float* rates = rates_ + (first_ + tile * lanes_) * shape_.states + n * lanes_;
    const ptrdiff_t row = (batch_ * shape_.time + t0) * shape_.bc_stride + n;
    Decays<kStates>(decay_, step_ + At(tile, 0), rates, tokens, clamp);
    AdvanceStates<kStates>(y_ + At(tile, 0), State(tile) + n * lanes_, decay_, drive_ + At(tile, 0),
                           in_.b + row, in_.c + row, shape_.bc_stride, tokens);
  }

  /// o = y ⊙ silu(z).
  HWY_NOINLINE void Finish(float* o, ptrdiff_t t0, ptrdiff_t tokens) {
    const ScanTag d;
    for (ptrdiff_t t = 0; t < tokens; ++t) {
      const ptrdiff_t row = batch_ * shape_.time + t0 + t;
      if (t0 + t + kScanAhead < shape_.time) {
        PrefetchRow(in_.z + (row + kScanAhead) * shape_.z_stride + first_);
        PrefetchRow(o + (row + kScanAhead) * shape_.channels + first_);
      }
      const float* z_row = in_.z + row * shape_.z_stride + first_;
      float* o_row = o + row * shape_.channels + first_;
      ForLanes(last_ - first_, [&](ptrdiff_t e, ptrdiff_t width) HWY_ATTR {
        const ScanVector z = LoadLanes(z_row + e, width);
        const ScanVector gate = hn::Mul(z, Gate(d, z));
        const ScanVector y = hn::Load(d, y_ + At(e / RowLanes(), t));
        StoreLanes(hn::Mul(y, gate), o_row + e, width);
      });
    }
  }

  const ScanInputs& in_;
  const float* rates_;
  const apus_scan_shape& shape_;
  const ptrdiff_t batch_, first_, last_, lanes_, tiles_, longest_, tile_stride_;
  Scratch scratch_;
  float *h_, *step_, *drive_, *y_,
      *decay_;  // [tiles, N, L], 3 of [tiles, tokens, L], [tokens, 4, L]
  const float steepest_;
};

/// One token for every sequence.
void ScanSteps(float* o, float* state, const ScanInputs& in, const float* a_log,
               const apus_scan_shape& shape) {
  constexpr ptrdiff_t kGrain = 512;
  const ptrdiff_t channels = shape.channels, blocks = (channels + kGrain - 1) / kGrain;
  ParallelBlocks(shape.batch * blocks, [&](ptrdiff_t index) HWY_ATTR {
    const ptrdiff_t batch = index / blocks, first = index % blocks * kGrain;
    ScanStep(o + batch * channels, state + batch * channels * shape.states, in.s + batch * channels,
             in.delta + batch * channels, a_log, in.b + batch * shape.bc_stride,
             in.c + batch * shape.bc_stride, in.d, in.z + batch * shape.z_stride, first,
             std::min(first + kGrain, channels), shape.states);
  });
}

}  // namespace

void SelectiveScan(float* o, float* state, float* checkpoints, const float* s, const float* delta,
                   const float* a_log, const float* b, const float* c, const float* d,
                   const float* z, const apus_scan_shape& shape) {
  const ScanInputs in = {s, delta, b, c, d, z};
  if (IsScanStep(shape, state) && checkpoints == nullptr) {
    return ScanSteps(o, state, in, a_log, shape);
  }
  const ptrdiff_t lanes = RowLanes();
  const ptrdiff_t tiles = (shape.channels + lanes - 1) / lanes;
  Scratch scratch(tiles * shape.states * lanes);
  float* rates = scratch.Take(tiles * shape.states * lanes);
  PackRates(rates, a_log, shape);
  const ptrdiff_t blocks = (shape.channels + kScanChannels - 1) / kScanChannels;
  ParallelBlocks(shape.batch * blocks, [&](ptrdiff_t index) HWY_ATTR {
    const ptrdiff_t first = index % blocks * kScanChannels;
    ScanBlock(in, rates, shape, index / blocks, first,
              std::min(first + kScanChannels, shape.channels))
        .Run(o, state, checkpoints);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(SelectiveScan);

extern "C" {

ptrdiff_t apus_selective_scan_chunk(void) { return 32; }

void apus_selective_scan_f32(float* o, float* state, float* checkpoints, const float* s,
                             const float* delta, const float* a_log, const float* b, const float* c,
                             const float* d, const float* z, const apus_scan_shape* shape) {
  HWY_DYNAMIC_DISPATCH(SelectiveScan)
  (o, state, checkpoints, s, delta, a_log, b, c, d, z, *shape);
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
