// One token of the selective scan: what generation and streams call. The state is used where it
// lies, [E, N], with the lanes along N, so that nothing is packed or turned.
#if defined(APUS_OPS_SELECTIVE_SCAN_STEP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_SELECTIVE_SCAN_STEP_INL_H_
#undef APUS_OPS_SELECTIVE_SCAN_STEP_INL_H_
#else
#define APUS_OPS_SELECTIVE_SCAN_STEP_INL_H_
#endif

#include "ops/selective_scan-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {

/// Whether ScanStep can do it: whole vectors of states, and a state to advance.
inline bool IsScanStep(const apus_scan_shape& shape, const float* state) {
  return shape.time == 1 && state != nullptr && shape.states % RowLanes() == 0;
}

/// Σ_n C[n] h[n] of kCount channels, at most four, whose h [kCount, N] advances. The chains of the
/// channels run beside each other: one alone would wait for its own results.
template <int kCount>
HWY_INLINE void AdvanceChannels(float* y, float* h, const float* a_log, const float* b,
                                const float* c, const float* step, const float* drive,
                                ptrdiff_t states) {
  const ScanTag d;
  const hn::Full128<float> four;
  const ScanVector shift = hn::Set(d, kExp2Shift);
  ScanVector sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (ptrdiff_t n = 0; n < states; n += RowLanes()) {
    ScanVector x[kCount], shifted[kCount];
    for (int i = 0; i < kCount; ++i) {
      x[i] = Clamp(d, hn::LoadU(d, a_log + i * states + n), -86.9f, 86.9f);
    }
    for (int i = 0; i < kCount; ++i) {
      shifted[i] = hn::MulAdd(x[i], hn::Set(d, kLog2E), shift);
    }
    for (int i = 0; i < kCount; ++i) {
      // log2(e) in two parts, as in ExpInRange.
      const ScanVector low = hn::Mul(x[i], hn::Set(d, kLog2ELow));
      x[i] = hn::Add(hn::MulSub(x[i], hn::Set(d, kLog2E), hn::Sub(shifted[i], shift)), low);
    }
    Exp2Parts(d, shifted, x);  // −A
    for (int i = 0; i < kCount; ++i) x[i] = hn::Mul(hn::Set(d, -kLog2E * step[i]), x[i]);
    for (int i = 0; i < kCount; ++i) x[i] = hn::Max(hn::Set(d, -125.5f), x[i]);
    for (int i = 0; i < kCount; ++i) shifted[i] = hn::Add(x[i], shift);
    for (int i = 0; i < kCount; ++i) x[i] = hn::Sub(x[i], hn::Sub(shifted[i], shift));
    Exp2Parts(d, shifted, x);  // the decays
    for (int i = 0; i < kCount; ++i) {
      float* now = h + i * states + n;
      const ScanVector in = hn::Mul(hn::Set(d, drive[i]), hn::LoadU(d, b + n));
      x[i] = hn::MulAdd(x[i], hn::LoadU(d, now), in);
      hn::StoreU(x[i], d, now);
      sum[i] = hn::MulAdd(x[i], hn::LoadU(d, c + n), sum[i]);
    }
  }
  hn::Store(SumFour(sum[0], sum[1], sum[2], sum[3]), four, y);
}

/// Channels first ..< last of one sequence through its only token. `h` is [E, N] of the sequence;
/// the other arrays start at its row.
inline void ScanStep(float* o, float* h, const float* s, const float* delta, const float* a_log,
                     const float* b, const float* c, const float* skip, const float* z,
                     ptrdiff_t first, ptrdiff_t last, ptrdiff_t states) {
  const ScanTag d;
  const ptrdiff_t lanes = RowLanes();
  HWY_ALIGN float step[HWY_MAX_BYTES / sizeof(float)], drive[HWY_MAX_BYTES / sizeof(float)];
  HWY_ALIGN float y[HWY_MAX_BYTES / sizeof(float)];
  for (ptrdiff_t e = first; e < last; e += lanes) {
    const ptrdiff_t width = std::min(lanes, last - e);
    const ScanVector s_e = LoadLanes(s + e, width);
    ScanVector slope;
    const ScanVector step_e = Softplus(d, LoadLanes(delta + e, width), slope);
    hn::Store(step_e, d, step);
    hn::Store(hn::Mul(step_e, s_e), d, drive);
    ptrdiff_t i = 0;
    for (; i + 4 <= width; i += 4) {
      const ptrdiff_t at = (e + i) * states;
      AdvanceChannels<4>(y + i, h + at, a_log + at, b, c, step + i, drive + i, states);
    }
    for (; i < width; ++i) {
      const ptrdiff_t at = (e + i) * states;
      HWY_ALIGN float alone[4];
      AdvanceChannels<1>(alone, h + at, a_log + at, b, c, step + i, drive + i, states);
      y[i] = alone[0];
    }
    const ScanVector z_e = LoadLanes(z + e, width);
    const ScanVector sum = hn::MulAdd(LoadLanes(skip + e, width), s_e, hn::Load(d, y));
    StoreLanes(hn::Mul(sum, hn::Mul(z_e, Gate(d, z_e))), o + e, width);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#endif  // APUS_OPS_SELECTIVE_SCAN_STEP_INL_H_
