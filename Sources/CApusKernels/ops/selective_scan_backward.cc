// Selective scan with softplus and gate, backward. Gu and Dao, 2023, arXiv:2312.00752.
//
// With σ = sigmoid(z), q = dout z σ and Γ the gradient of h_t, for t from the last to the first:
//   dC_t[n] = Σ_e q h_t        Γ += q C_t[n]         a = exp(Δ A), w = Γ a h_{t−1}
//   dA += w Δ                  dΔ = Σ_n (w A + Γ B_t[n] s)
//   dB_t[n] = Σ_e Γ Δ s        ds = q d + Δ Σ_n Γ B_t[n]        Γ ← a Γ
// States are rebuilt chunk by chunk from the checkpoints, and decays with them, so that each
// exponential is taken once here. A tile of four states at a time keeps both in the nearest cache.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/selective_scan_backward.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "include/apus_kernels.h"
#include "ops/gates-inl.h"
#include "ops/selective_scan-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
namespace {

struct ScanBackwardInputs {
  const float *dout, *checkpoints, *s, *delta, *b, *c, *d, *z;
};

/// What one block leaves for the last sums: dB and dC over its channels [2, B·T, N], and dA, dD
/// over its tokens.
struct ScanBackwardOutputs {
  float *ds, *ddelta, *dz;
  float *db_parts, *dc_parts;  // [blocks, B, T, N]
  float* da_parts;             // [B, tiles, N, L]
  float* dd_parts;             // [B, tiles, L]
};

/// Rows of kStates states of one tile over one chunk, all [tokens, L] unless noted.
struct TileChunk {
  const float *step, *drive, *q;
  float* y;                  // Σ_n C[n] h[n]
  float *dstep_a, *dstep_b;  // Σ_n w rate[n] and Σ_n Γ B[n]
  const float* rates;        // [kStates, L]
  float *decay, *h;          // [tokens, kStates, L], and h with a row before the first token
  float *db, *dc;            // [tokens, kStates, L]: sums over the block's tiles so far
  const float *b, *c;
  ptrdiff_t bc_stride, tokens;
  bool first;  // the first states of the tile: sums over n begin
};

/// h after every token of the chunk, and y.
template <int kStates>
HWY_NOINLINE void RebuildStates(const TileChunk& in) {
  const ScanTag d;
  const ptrdiff_t lanes = RowLanes(), tokens = in.tokens;
  const float *b = in.b, *c = in.c;
  float* HWY_RESTRICT h = in.h;
  float* HWY_RESTRICT y = in.y;
  ScanVector state[kStates];
  for (int n = 0; n < kStates; ++n) state[n] = hn::Load(d, h + n * lanes);
  for (ptrdiff_t t = 0; t < tokens; ++t, b += in.bc_stride, c += in.bc_stride) {
    const ScanVector drive = hn::Load(d, in.drive + t * lanes);
    ScanVector sum = in.first ? hn::Zero(d) : hn::Load(d, y + t * lanes);
    for (int n = 0; n < kStates; ++n) {
      const ScanVector decay = hn::Load(d, in.decay + (t * kStates + n) * lanes);
      state[n] = hn::MulAdd(decay, state[n], hn::Mul(drive, hn::Set(d, b[n])));
      hn::Store(state[n], d, h + ((t + 1) * kStates + n) * lanes);
      sum = hn::MulAdd(state[n], hn::Set(d, c[n]), sum);
    }
    hn::Store(sum, d, y + t * lanes);
  }
}

/// Walks the chunk backwards. `carry` [kStates, L] holds Γ, `da` [kStates, L] is added to.
template <int kStates>
HWY_NOINLINE void WalkBack(float* HWY_RESTRICT carry, float* HWY_RESTRICT da, const TileChunk& in) {
  const ScanTag d;
  const ptrdiff_t lanes = RowLanes();
  const float* HWY_RESTRICT h = in.h;
  float* HWY_RESTRICT db = in.db;
  float* HWY_RESTRICT dc = in.dc;
  float* HWY_RESTRICT dstep_a = in.dstep_a;
  float* HWY_RESTRICT dstep_b = in.dstep_b;
  ScanVector gamma[kStates], sum_a[kStates];
  for (int n = 0; n < kStates; ++n) {
    gamma[n] = hn::Load(d, carry + n * lanes);
    sum_a[n] = hn::Load(d, da + n * lanes);
  }
  const float *b = in.b + in.tokens * in.bc_stride, *c = in.c + in.tokens * in.bc_stride;
  for (ptrdiff_t t = in.tokens - 1; t >= 0; --t) {
    b -= in.bc_stride;
    c -= in.bc_stride;
    const ScanVector q = hn::Load(d, in.q + t * lanes);
    const ScanVector step = hn::Load(d, in.step + t * lanes);
    const ScanVector drive = hn::Load(d, in.drive + t * lanes);
    ScanVector by_a = in.first ? hn::Zero(d) : hn::Load(d, dstep_a + t * lanes);
    ScanVector by_b = in.first ? hn::Zero(d) : hn::Load(d, dstep_b + t * lanes);
    for (int n = 0; n < kStates; ++n) {
      const ptrdiff_t at = (t * kStates + n) * lanes;
      const ScanVector after = hn::Load(d, h + at + kStates * lanes);
      hn::Store(hn::MulAdd(q, after, hn::Load(d, dc + at)), d, dc + at);
      gamma[n] = hn::MulAdd(q, hn::Set(d, c[n]), gamma[n]);
      hn::Store(hn::MulAdd(gamma[n], drive, hn::Load(d, db + at)), d, db + at);
      by_b = hn::MulAdd(gamma[n], hn::Set(d, b[n]), by_b);
      gamma[n] = hn::Mul(gamma[n], hn::Load(d, in.decay + at));
      const ScanVector w = hn::Mul(gamma[n], hn::Load(d, h + at));
      sum_a[n] = hn::MulAdd(w, step, sum_a[n]);
      by_a = hn::MulAdd(w, hn::Load(d, in.rates + n * lanes), by_a);
    }
    hn::Store(by_a, d, dstep_a + t * lanes);
    hn::Store(by_b, d, dstep_b + t * lanes);
  }
  for (int n = 0; n < kStates; ++n) {
    hn::Store(gamma[n], d, carry + n * lanes);
    hn::Store(sum_a[n], d, da + n * lanes);
  }
}

/// Sums over the lanes of `rows` times kStates vectors: to[r * stride + n] = Σ_lanes from[r, n, L].
template <int kStates>
void SumLanes(float* to, ptrdiff_t stride, const float* from, ptrdiff_t rows) {
  const ScanTag d;
  const hn::Full128<float> four;
  const ptrdiff_t lanes = RowLanes();
  for (ptrdiff_t r = 0; r < rows; ++r, from += kStates * lanes, to += stride) {
    if (kStates != 4) {
      for (int n = 0; n < kStates; ++n) {
        to[n] = hn::GetLane(hn::SumOfLanes(d, hn::Load(d, from + n * lanes)));
      }
      continue;
    }
    hn::StoreU(SumFour(hn::Load(d, from), hn::Load(d, from + lanes), hn::Load(d, from + 2 * lanes),
                       hn::Load(d, from + 3 * lanes)),
               four, to);
  }
}

/// Channels first ..< last of one sequence, with their working arrays.
class ScanBackwardBlock {
 public:
  ScanBackwardBlock(const ScanBackwardInputs& in, const ScanBackwardOutputs& out,
                    const float* rates, const apus_scan_shape& shape, ptrdiff_t batch,
                    ptrdiff_t block)
      : in_(in),
        out_(out),
        shape_(shape),
        batch_(batch),
        block_(block),
        first_(block * kScanChannels),
        last_(std::min(first_ + kScanChannels, shape.channels)),
        lanes_(RowLanes()),
        tiles_((last_ - first_ + lanes_ - 1) / lanes_),
        longest_(std::min(shape.chunk, shape.time)),
        tile_stride_(TileStride(longest_)),
        rates_(rates + first_ * shape.states),
        scratch_(tiles_ * lanes_ * 2 * shape.states + kRows * tiles_ * tile_stride_ +
                 (4 * longest_ + 1) * kScanStates * lanes_ + 4 * kApart + (kRows + 6) * 16),
        carry_(scratch_.Take(tiles_ * shape.states * lanes_)),
        checkpoint_(scratch_.Take(tiles_ * shape.states * lanes_)),
        decay_(scratch_.Take(longest_ * kScanStates * lanes_ + kApart)),
        h_(scratch_.Take((longest_ + 1) * kScanStates * lanes_ + kApart)),
        db_(scratch_.Take(longest_ * kScanStates * lanes_ + kApart)),
        dc_(scratch_.Take(longest_ * kScanStates * lanes_ + kApart)),
        da_(out.da_parts + Tiles(batch) * shape.states * lanes_),
        dd_(out.dd_parts + Tiles(batch) * lanes_),
        steepest_(SteepestRate(rates_, tiles_ * shape.states * lanes_)) {
    for (float*& row : rows_) row = scratch_.Take(tiles_ * tile_stride_);
  }

  void Run() {
    std::fill_n(carry_, tiles_ * shape_.states * lanes_, 0.0f);
    std::fill_n(da_, tiles_ * shape_.states * lanes_, 0.0f);
    std::fill_n(dd_, tiles_ * lanes_, 0.0f);
    for (ptrdiff_t chunk = (shape_.time + shape_.chunk - 1) / shape_.chunk - 1; chunk >= 0;
         --chunk) {
      const ptrdiff_t t0 = chunk * shape_.chunk;
      const ptrdiff_t tokens = std::min(shape_.chunk, shape_.time - t0);
      LoadCheckpoint(chunk);
      const bool clamp = Prepare(t0, tokens);
      ptrdiff_t n = 0;
      for (; n + kScanStates <= shape_.states; n += kScanStates) {
        WalkStates<kScanStates>(n, t0, tokens, clamp);
      }
      for (; n < shape_.states; ++n) WalkStates<1>(n, t0, tokens, clamp);
      Finish(t0, tokens);
    }
  }

 private:
  static constexpr ptrdiff_t kApart = 80;  // see TileStride
  /// Arrays [tiles, tokens, L] that live for one chunk.
  enum { kStep, kDrive, kQ, kGate, kSlope, kY, kDStepA, kDStepB, kRows };

  ptrdiff_t Width(ptrdiff_t tile) const { return std::min(lanes_, last_ - first_ - tile * lanes_); }
  ptrdiff_t At(ptrdiff_t tile, ptrdiff_t t) const { return tile * tile_stride_ + t * lanes_; }
  /// Tiles of all sequences before this block's first.
  ptrdiff_t Tiles(ptrdiff_t batch) const {
    return batch * ((shape_.channels + lanes_ - 1) / lanes_) + first_ / lanes_;
  }

  void LoadCheckpoint(ptrdiff_t chunk) {
    const float* from = in_.checkpoints + CheckpointOffset(shape_, batch_, chunk, first_);
    for (ptrdiff_t tile = 0; tile < tiles_; ++tile) {
      const ptrdiff_t width = Width(tile);
      for (ptrdiff_t n = 0; n < shape_.states; ++n, from += width) {
        hn::Store(LoadLanes(from, width), ScanTag(),
                  checkpoint_ + (tile * shape_.states + n) * lanes_);
      }
    }
  }

  /// Asks for the inputs of token t of the chunk at t0; beyond the chunk's end, those of the chunk
  /// before it, which is next.
  void PrefetchInputs(ptrdiff_t t0, ptrdiff_t t, ptrdiff_t tokens) const {
    if (t >= tokens) t -= tokens + shape_.chunk;
    if (t0 + t < 0) return;
    const ptrdiff_t row = batch_ * shape_.time + t0 + t, at = row * shape_.channels + first_;
    PrefetchRow(in_.s + at);
    PrefetchRow(in_.delta + at);
    PrefetchRow(in_.dout + at);
    PrefetchRow(in_.z + row * shape_.z_stride + first_);
  }

  /// Everything that does not depend on the states. Says whether the decays need the clamp.
  HWY_NOINLINE bool Prepare(ptrdiff_t t0, ptrdiff_t tokens) {
    const ScanTag d;
    const ScanVector one = hn::Set(d, 1.0f);
    ScanVector longest = hn::Zero(d);
    for (ptrdiff_t t = 0; t < tokens; ++t) {
      const ptrdiff_t row = batch_ * shape_.time + t0 + t, at = row * shape_.channels + first_;
      const float *s = in_.s + at, *delta = in_.delta + at, *dout = in_.dout + at;
      const float* z = in_.z + row * shape_.z_stride + first_;
      PrefetchInputs(t0, t + kScanAhead, tokens);
      ForLanes(last_ - first_, [&](ptrdiff_t e, ptrdiff_t width) HWY_ATTR {
        const ptrdiff_t to = At(e / RowLanes(), t);
        const ScanVector s_t = LoadLanes(s + e, width);
        ScanVector slope;
        const ScanVector step = Softplus(d, LoadLanes(delta + e, width), slope);
        longest = hn::Max(longest, step);
        hn::Store(step, d, rows_[kStep] + to);
        hn::Store(slope, d, rows_[kSlope] + to);
        hn::Store(hn::Mul(step, s_t), d, rows_[kDrive] + to);
        const ScanVector z_t = LoadLanes(z + e, width), g = LoadLanes(dout + e, width);
        const ScanVector sigma = Gate(d, z_t), g_sigma = hn::Mul(g, sigma);
        hn::Store(hn::Mul(g_sigma, z_t), d, rows_[kQ] + to);
        // dz = y · g σ (1 + z (1 − σ)).
        const ScanVector bend = hn::MulAdd(z_t, hn::Sub(one, sigma), one);
        hn::Store(hn::Mul(g_sigma, bend), d, rows_[kGate] + to);
      });
    }
    return NeedsClamp(longest, steepest_);
  }

  /// States n ..< n + kStates of all tiles through one chunk, forth and back.
  template <int kStates>
  void WalkStates(ptrdiff_t n, ptrdiff_t t0, ptrdiff_t tokens, bool clamp) {
    std::fill_n(db_, tokens * kStates * lanes_, 0.0f);
    std::fill_n(dc_, tokens * kStates * lanes_, 0.0f);
    const ptrdiff_t row = batch_ * shape_.time + t0;
    for (ptrdiff_t tile = 0; tile < tiles_; ++tile) {
      const ptrdiff_t rows = At(tile, 0), states = (tile * shape_.states + n) * lanes_;
      const TileChunk chunk = {rows_[kStep] + rows,
                               rows_[kDrive] + rows,
                               rows_[kQ] + rows,
                               rows_[kY] + rows,
                               rows_[kDStepA] + rows,
                               rows_[kDStepB] + rows,
                               rates_ + states,
                               decay_,
                               h_,
                               db_,
                               dc_,
                               in_.b + row * shape_.bc_stride + n,
                               in_.c + row * shape_.bc_stride + n,
                               shape_.bc_stride,
                               tokens,
                               n == 0};
      std::copy_n(checkpoint_ + states, kStates * lanes_, h_);
      Decays<kStates>(decay_, chunk.step, chunk.rates, tokens, clamp);
      RebuildStates<kStates>(chunk);
      WalkBack<kStates>(carry_ + states, da_ + states, chunk);
    }
    const ptrdiff_t to = (block_ * shape_.batch * shape_.time + row) * shape_.states + n;
    SumLanes<kStates>(out_.db_parts + to, shape_.states, db_, tokens);
    SumLanes<kStates>(out_.dc_parts + to, shape_.states, dc_, tokens);
  }

  /// ds, ddelta, dz and the block's part of dD.
  HWY_NOINLINE void Finish(ptrdiff_t t0, ptrdiff_t tokens) {
    const ScanTag d;
    for (ptrdiff_t t = 0; t < tokens; ++t) {
      const ptrdiff_t row = batch_ * shape_.time + t0 + t, at = row * shape_.channels + first_;
      float *ds = out_.ds + at, *ddelta = out_.ddelta + at;
      float* dz = out_.dz + row * shape_.z_stride + first_;
      if (t + kScanAhead < tokens) {
        PrefetchRow(ds + kScanAhead * shape_.channels);
        PrefetchRow(ddelta + kScanAhead * shape_.channels);
        PrefetchRow(dz + kScanAhead * shape_.z_stride);
      }
      ForLanes(last_ - first_, [&](ptrdiff_t e, ptrdiff_t width) HWY_ATTR {
        const ptrdiff_t from = At(e / RowLanes(), t);
        const ScanVector s = LoadLanes(in_.s + at + e, width);
        const ScanVector q = hn::Load(d, rows_[kQ] + from);
        const ScanVector by_b = hn::Load(d, rows_[kDStepB] + from);
        // The rates hold A · log2(e).
        const ScanVector by_a = hn::Mul(hn::Load(d, rows_[kDStepA] + from), hn::Set(d, kLn2));
        const ScanVector dstep = hn::MulAdd(by_b, s, by_a);
        StoreLanes(hn::Mul(dstep, hn::Load(d, rows_[kSlope] + from)), ddelta + e, width);
        const ScanVector skip = LoadLanes(in_.d + first_ + e, width);
        StoreLanes(hn::MulAdd(hn::Load(d, rows_[kStep] + from), by_b, hn::Mul(q, skip)), ds + e,
                   width);
        const ScanVector y = hn::MulAdd(skip, s, hn::Load(d, rows_[kY] + from));
        StoreLanes(hn::Mul(y, hn::Load(d, rows_[kGate] + from)), dz + e, width);
        hn::Store(hn::MulAdd(q, s, hn::Load(d, dd_ + e)), d, dd_ + e);
      });
    }
  }

  const ScanBackwardInputs& in_;
  const ScanBackwardOutputs& out_;
  const apus_scan_shape& shape_;
  const ptrdiff_t batch_, block_, first_, last_, lanes_, tiles_, longest_, tile_stride_;
  const float* rates_;  // this block's, [tiles, N, L]
  Scratch scratch_;
  float *carry_, *checkpoint_;     // [tiles, N, L]
  float *decay_, *h_, *db_, *dc_;  // as in TileChunk
  float *da_, *dd_;                // this block's parts of the outputs
  float* rows_[kRows];
  const float steepest_;
};

/// db and dc from the parts of all blocks, in their order.
void SumBlockParts(float* db, float* dc, const ScanBackwardOutputs& parts,
                   const apus_scan_shape& shape, ptrdiff_t blocks) {
  const ptrdiff_t rows = shape.batch * shape.time, states = shape.states;
  ParallelRanges(rows, RowGrain(2 * states * blocks), [&](ptrdiff_t begin, ptrdiff_t end) HWY_ATTR {
    for (ptrdiff_t row = begin; row < end; ++row) {
      for (ptrdiff_t n = 0; n < states; ++n) {
        float sum_b = 0, sum_c = 0;
        for (ptrdiff_t block = 0; block < blocks; ++block) {
          sum_b += parts.db_parts[(block * rows + row) * states + n];
          sum_c += parts.dc_parts[(block * rows + row) * states + n];
        }
        db[row * shape.bc_stride + n] = sum_b;
        dc[row * shape.bc_stride + n] = sum_c;
      }
    }
  });
}

/// da_log = A ⊙ Σ_b dA and dd = Σ_b dD, sequence after sequence.
void SumBatchParts(float* da_log, float* dd, const ScanBackwardOutputs& parts, const float* rates,
                   const apus_scan_shape& shape) {
  const ptrdiff_t lanes = RowLanes(), states = shape.states;
  const ptrdiff_t tiles = (shape.channels + lanes - 1) / lanes;
  ParallelBlocks(tiles, [&](ptrdiff_t tile) HWY_ATTR {
    const ScanTag d;
    const ptrdiff_t e = tile * lanes, width = std::min(lanes, shape.channels - e);
    float* first = parts.da_parts + e * states;
    for (ptrdiff_t n = 0; n < states; ++n) {
      ScanVector sum = hn::Zero(d);
      for (ptrdiff_t b = 0; b < shape.batch; ++b) {
        sum = hn::Add(sum, hn::Load(d, first + ((b * tiles) * states + n) * lanes));
      }
      const ScanVector a = hn::Mul(hn::Load(d, rates + (e * states + n * lanes)), hn::Set(d, kLn2));
      hn::Store(hn::Mul(sum, a), d, first + n * lanes);
    }
    StoreStateTile(da_log + e * states, first, states, width);
    ScanVector sum = hn::Zero(d);
    for (ptrdiff_t b = 0; b < shape.batch; ++b) {
      sum = hn::Add(sum, hn::Load(d, parts.dd_parts + (b * tiles + tile) * lanes));
    }
    StoreLanes(sum, dd + e, width);
  });
}

}  // namespace

void SelectiveScanBackward(float* ds, float* ddelta, float* da_log, float* db, float* dc, float* dd,
                           float* dz, const float* dout, const float* checkpoints, const float* s,
                           const float* delta, const float* a_log, const float* b, const float* c,
                           const float* d, const float* z, const apus_scan_shape& shape) {
  const ptrdiff_t lanes = RowLanes(), states = shape.states;
  const ptrdiff_t tiles = (shape.channels + lanes - 1) / lanes;
  const ptrdiff_t blocks = (shape.channels + kScanChannels - 1) / kScanChannels;
  const ptrdiff_t tile_floats = tiles * states * lanes;
  const ptrdiff_t parts = std::max<ptrdiff_t>(shape.batch, 1);  // sums of nothing are zeros
  const ptrdiff_t part_floats = blocks * shape.batch * shape.time * states;
  Scratch scratch((1 + parts) * tile_floats + parts * tiles * lanes + 2 * part_floats + 5 * 16);
  float* rates = scratch.Take(tile_floats);
  PackRates(rates, a_log, shape);
  const ScanBackwardInputs in = {dout, checkpoints, s, delta, b, c, d, z};
  const ScanBackwardOutputs out = {ds,
                                   ddelta,
                                   dz,
                                   scratch.Take(part_floats),
                                   scratch.Take(part_floats),
                                   scratch.Take(parts * tile_floats),
                                   scratch.Take(parts * tiles * lanes)};
  ParallelBlocks(shape.batch * blocks, [&](ptrdiff_t index) HWY_ATTR {
    ScanBackwardBlock(in, out, rates, shape, index / blocks, index % blocks).Run();
  });
  SumBlockParts(db, dc, out, shape, blocks);
  SumBatchParts(da_log, dd, out, rates, shape);
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(SelectiveScanBackward);

extern "C" {

void apus_selective_scan_backward_f32(float* ds, float* ddelta, float* da_log, float* db, float* dc,
                                      float* dd, float* dz, const float* dout,
                                      const float* checkpoints, const float* s, const float* delta,
                                      const float* a_log, const float* b, const float* c,
                                      const float* d, const float* z,
                                      const apus_scan_shape* shape) {
  HWY_DYNAMIC_DISPATCH(SelectiveScanBackward)
  (ds, ddelta, da_log, db, dc, dd, dz, dout, checkpoints, s, delta, a_log, b, c, d, z, *shape);
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
