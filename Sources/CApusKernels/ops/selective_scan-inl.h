// What forward and backward of the selective scan share: how the work is cut, tiles, and decays.
//
// A tile is one vector of L neighboring channels. Inside a tile the lanes are the channels, so a
// state tile is N vectors, and B_t[n], C_t[n] are broadcast. Blocks of kScanChannels channels of
// one sequence go to the threads; the size is fixed, so every thread count gives the same bits.
// Rows of tokens are read a block wide, in order, into tile-major working arrays [tile, t, L]: one
// tile's column of a token-major array would touch a new cache line and page with every token.
// Letters: B batch, T time, E channels, N states, L lanes.
#if defined(APUS_OPS_SELECTIVE_SCAN_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_SELECTIVE_SCAN_INL_H_
#undef APUS_OPS_SELECTIVE_SCAN_INL_H_
#else
#define APUS_OPS_SELECTIVE_SCAN_INL_H_
#endif

#include <algorithm>

#include "include/apus_kernels.h"
#include "ops/gates-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {

using ScanTag = RowTag;
using ScanVector = hn::Vec<RowTag>;

constexpr ptrdiff_t kScanChannels = 64;
/// States that go through a tile together: as many as registers hold.
constexpr int kScanStates = 4;

/// Floats from one tile's rows [tokens, L] to the next one's in working arrays. The odd cache line
/// keeps the rows of one token, in all tiles and arrays, from falling on the same few cache sets.
inline ptrdiff_t TileStride(ptrdiff_t tokens) { return (tokens * RowLanes() + 15) / 16 * 16 + 16; }

/// How many tokens ahead rows are asked for: some thousand cycles.
constexpr ptrdiff_t kScanAhead = 6;

/// Asks for a block's row. The hardware does not guess it: the next row is a whole token away.
HWY_INLINE void PrefetchRow(const float* row) {
  for (ptrdiff_t i = 0; i < kScanChannels; i += 16) __builtin_prefetch(row + i);
}

/// [width, N] to the state tile [N, L], and back; lanes beyond `width` become zero.
inline void LoadStateTile(float* tile, const float* state, ptrdiff_t states, ptrdiff_t width) {
  const ptrdiff_t lanes = RowLanes();
  for (ptrdiff_t n = 0; n < states; ++n) {
    for (ptrdiff_t i = 0; i < lanes; ++i) {
      tile[n * lanes + i] = i < width ? state[i * states + n] : 0.0f;
    }
  }
}

inline void StoreStateTile(float* state, const float* tile, ptrdiff_t states, ptrdiff_t width) {
  const ptrdiff_t lanes = RowLanes();
  for (ptrdiff_t i = 0; i < width; ++i) {
    for (ptrdiff_t n = 0; n < states; ++n) state[i * states + n] = tile[n * lanes + i];
  }
}

/// The rates A · log2(e) = −exp(a_log) · log2(e) of all channels as state tiles, so that a decay is
/// one power of two. `rates` is [ceil(E / L), N, L].
inline void PackRates(float* rates, const float* a_log, const apus_scan_shape& shape) {
  const ScanTag d;
  const ptrdiff_t lanes = RowLanes(), states = shape.states;
  for (ptrdiff_t e = 0; e < shape.channels; e += lanes) {
    float* tile = rates + e * states;
    LoadStateTile(tile, a_log + e * states, states, std::min(lanes, shape.channels - e));
    for (ptrdiff_t n = 0; n < states; ++n) {
      const ScanVector a = Exp(d, hn::Load(d, tile + n * lanes));
      hn::Store(hn::Mul(a, hn::Set(d, -kLog2E)), d, tile + n * lanes);
    }
  }
}

/// The steepest of `count` rates; count is a multiple of L.
inline float SteepestRate(const float* rates, ptrdiff_t count) {
  const ScanTag d;
  ScanVector steepest = hn::Zero(d);
  for (ptrdiff_t i = 0; i < count; i += RowLanes()) {
    steepest = hn::Min(steepest, hn::Load(d, rates + i));
  }
  return hn::GetLane(hn::MinOfLanes(d, steepest));
}

/// Whether Δ · rate can leave the range in which 2^x needs no clamp.
inline bool NeedsClamp(ScanVector longest_step, float steepest_rate) {
  const float longest = hn::GetLane(hn::MaxOfLanes(ScanTag(), longest_step));
  return !(longest * steepest_rate > -125.0f);
}

/// decay[t, n, L] = 2^(Δ_t rate_n) for kStates states of a tile: where the time goes. Ten
/// operations for each vector, seven of them multiply-adds, which set the pace. The clamp at
/// 2^−125.5, needed for enormous steps only, changes no bit of a decay that is larger.
template <int kStates, bool kClamp>
void Decays(float* HWY_RESTRICT decay, const float* HWY_RESTRICT step,
            const float* HWY_RESTRICT rates, ptrdiff_t tokens) {
  const ScanTag d;
  const ptrdiff_t lanes = RowLanes();
  const ScanVector shift = hn::Set(d, kExp2Shift);
  for (ptrdiff_t t = 0; t < tokens; ++t, decay += kStates * lanes) {
    const ScanVector step_t = hn::Load(d, step + t * lanes);
    for (int n = 0; n < kStates; ++n) {
      const ScanVector rate = hn::Load(d, rates + n * lanes);
      ScanVector shifted = hn::MulAdd(step_t, rate, shift);
      if (kClamp) shifted = hn::Max(hn::Set(d, kExp2Shift - 125.0f), shifted);
      ScanVector f = hn::MulSub(step_t, rate, hn::Sub(shifted, shift));
      if (kClamp) f = hn::Max(hn::Set(d, -0.5f), f);
      hn::Store(Exp2Parts(d, shifted, f), d, decay + n * lanes);
    }
  }
}

template <int kStates>
void Decays(float* decay, const float* step, const float* rates, ptrdiff_t tokens, bool clamp) {
  if (clamp) {
    Decays<kStates, true>(decay, step, rates, tokens);
  } else {
    Decays<kStates, false>(decay, step, rates, tokens);
  }
}

/// Where the checkpoint of a tile starts: [B, ceil(T / chunk)] blocks of E · N, and in each the
/// tiles in turn, [N, width].
inline ptrdiff_t CheckpointOffset(const apus_scan_shape& shape, ptrdiff_t batch, ptrdiff_t chunk,
                                  ptrdiff_t channel) {
  const ptrdiff_t chunks = (shape.time + shape.chunk - 1) / shape.chunk;
  return ((batch * chunks + chunk) * shape.channels + channel) * shape.states;
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#endif  // APUS_OPS_SELECTIVE_SCAN_INL_H_
