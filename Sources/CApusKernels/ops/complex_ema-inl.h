// What forward and backward of the complex moving average share: how the work
// is cut, and the coefficients of a mode.
//
// A tile is one vector of L neighboring channels: inside it the lanes are the
// channels, a mode is two vectors, its real and its imaginary part. Blocks of
// kEmaChannels channels of one sequence go to the threads; the size is fixed,
// so every thread count gives the same bits. Rows of tokens are read a block
// wide into tile-major working arrays [tile, t, L].
//
// The kernels carry u = h / p, for which the recurrence is u_t = q u_{t−1} +
// x_t, and put p into the output's coefficient: one multiplication in seven
// less. Letters: B batch, T time, D channels, N modes, L lanes.
#if defined(APUS_OPS_COMPLEX_EMA_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_COMPLEX_EMA_INL_H_
#undef APUS_OPS_COMPLEX_EMA_INL_H_
#else
#define APUS_OPS_COMPLEX_EMA_INL_H_
#endif

#include <algorithm>
#include <cmath>

#include "include/apus_kernels.h"
#include "ops/gates-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {

using EmaTag = RowTag;
using EmaVector = hn::Vec<RowTag>;

constexpr ptrdiff_t kEmaChannels = 64;
/// Modes that go through a tile together: as many as registers hold.
constexpr int kEmaModes = 4;

/// The coefficient planes of a tile, each [N, L]: q, then p times the output's
/// coefficient, then p.
enum { kEmaQRe, kEmaQIm, kEmaGRe, kEmaGIm, kEmaP, kEmaPlanes };

/// Everything that one mode of L channels is made of.
struct EmaMode {
  EmaVector p, p_rest;     ///< a = sigmoid(alpha), and 1 − a
  EmaVector d, d_rest;     ///< sigmoid(delta), and 1 − sigmoid(delta)
  EmaVector cosine, sine;  ///< of φ
  EmaVector q_re, q_im;    ///< ρ e^{iφ}
};

/// Stored parameters to coefficients. `share` is n / N for the modes n = 1 … N.
/// What is stored is held within ±60: p then stays a normal number, and beyond
/// nothing is left to learn.
HWY_INLINE EmaMode MakeEmaMode(EmaVector alpha, EmaVector delta, EmaVector turn, float share) {
  const EmaTag t;
  EmaMode mode;
  mode.p = SigmoidPair(t, Clamp(t, alpha, -60.0f, 60.0f), mode.p_rest);
  mode.d = SigmoidPair(t, Clamp(t, delta, -60.0f, 60.0f), mode.d_rest);
  // 1 − a d without cancellation: memories of many steps live in its last bits.
  const EmaVector rho = hn::MulAdd(mode.p, mode.d_rest, mode.p_rest);
  mode.sine = SinCosOfTurn(t, hn::Mul(turn, hn::Set(t, share)), mode.cosine);
  mode.q_re = hn::Mul(rho, mode.cosine);
  mode.q_im = hn::Mul(rho, mode.sine);
  return mode;
}

/// tile[n, lane] = from[lane · lane_stride + n · mode_stride]; lanes beyond
/// `width` become zero.
inline void GatherModes(float *tile, const float *from, ptrdiff_t lane_stride,
                        ptrdiff_t mode_stride, ptrdiff_t modes, ptrdiff_t width) {
  const ptrdiff_t lanes = RowLanes();
  for (ptrdiff_t n = 0; n < modes; ++n) {
    for (ptrdiff_t i = 0; i < lanes; ++i) {
      tile[n * lanes + i] = i < width ? from[i * lane_stride + n * mode_stride] : 0.0f;
    }
  }
}

/// Floats from one tile's rows [tokens, L] to the next one's in working arrays;
/// the odd cache line keeps the rows of one token from falling on the same few
/// cache sets.
inline ptrdiff_t EmaTileStride(ptrdiff_t tokens) {
  return (tokens * RowLanes() + 15) / 16 * 16 + 16;
}

/// Where plane `part` (0 real, 1 imaginary) of mode n of a saved state starts,
/// [B, chunks, 2, N, D].
inline ptrdiff_t EmaStateAt(const apus_complex_ema_shape &shape, ptrdiff_t entry, ptrdiff_t part,
                            ptrdiff_t n) {
  return ((entry * 2 + part) * shape.modes + n) * shape.channels;
}

/// One row of a block into tile-major order, or back.
HWY_INLINE void SpreadRow(float *tiles, const float *row, ptrdiff_t count, ptrdiff_t tile_stride) {
  const EmaTag d;
  ForLanes(count, [&](ptrdiff_t e, ptrdiff_t width) HWY_ATTR {
    hn::Store(LoadLanes(row + e, width), d, tiles + e / RowLanes() * tile_stride);
  });
}

/// Makes the compiler read what `pointer` points to anew. Otherwise it keeps
/// coefficients on the stack, which is not aligned to vectors: every other read
/// would cross a cache line.
HWY_INLINE void ReadAnew(const float *&pointer) {
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
  asm volatile("" : "+r"(pointer));
#endif
}

HWY_INLINE void PrefetchEmaRow(const float *row) {
  for (ptrdiff_t i = 0; i < kEmaChannels; i += 16) __builtin_prefetch(row + i);
}

/// How many tokens ahead rows are asked for.
constexpr ptrdiff_t kEmaAhead = 6;

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#endif  // APUS_OPS_COMPLEX_EMA_INL_H_
