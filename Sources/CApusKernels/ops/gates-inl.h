// What the recurrent kernels share beyond math-inl.h: lanes at the end of a row, sums over lanes,
// and exponentials of arguments that cannot be positive, which the scan takes by the million.
// Included once per instruction set, after hwy/highway.h.
#if defined(APUS_OPS_GATES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_GATES_INL_H_
#undef APUS_OPS_GATES_INL_H_
#else
#define APUS_OPS_GATES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

#include "ops/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kLog2ELow = 1.92596299e-8f;  // log2(e) − kLog2E
constexpr float kLn2 = 0.69314718055994530942f;
/// Adding 1.5 · 2²³ rounds to an integer, which then stands in the low bits.
constexpr float kExp2Shift = 12582912.0f;

using RowTag = HWY_FULL(float);

inline ptrdiff_t RowLanes() { return static_cast<ptrdiff_t>(hn::Lanes(RowTag())); }

/// The first `width` lanes from memory, the others zero. Reads nothing beyond them.
HWY_INLINE hn::Vec<RowTag> LoadLanes(const float* data, ptrdiff_t width) {
  const RowTag d;
  if (HWY_LIKELY(width >= RowLanes())) return hn::LoadU(d, data);
  HWY_ALIGN float part[HWY_MAX_BYTES / sizeof(float)] = {};
  std::copy_n(data, width, part);
  return hn::Load(d, part);
}

/// Writes the first `width` lanes and nothing beyond them.
HWY_INLINE void StoreLanes(hn::Vec<RowTag> v, float* data, ptrdiff_t width) {
  const RowTag d;
  if (HWY_LIKELY(width >= RowLanes())) return hn::StoreU(v, d, data);
  HWY_ALIGN float part[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(v, d, part);
  std::copy_n(part, width, data);
}

/// Runs body(first lane, lanes in use) over a row of `count`. Whole vectors come with a constant,
/// so that nothing is asked in their loop.
template <class Body>
HWY_INLINE void ForLanes(ptrdiff_t count, const Body& body) {
  const ptrdiff_t lanes = RowLanes();
  ptrdiff_t e = 0;
  for (; e + lanes <= count; e += lanes) body(e, lanes);
  if (e < count) body(e, count - e);
}

HWY_INLINE hn::Vec<hn::Full128<float>> FoldBlocks(hn::Vec<hn::Full128<float>> v) { return v; }
#if HWY_MAX_BYTES > 16
/// Adds the upper half to the lower until four lanes are left.
template <class V, class Half = hn::Half<hn::DFromV<V>>>
HWY_INLINE hn::Vec<hn::Full128<float>> FoldBlocks(V v) {
  const Half half;
  return FoldBlocks(hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
}
#endif

/// The sums over the lanes of four vectors.
template <class V>
HWY_INLINE hn::Vec<hn::Full128<float>> SumFour(V v0, V v1, V v2, V v3) {
  const hn::DFromV<V> d;
  const hn::Repartition<double, hn::DFromV<V>> pairs;
  // Within each 128 bits: [v0, v1, v0, v1] and [v2, v3, v2, v3], then [v0, v1, v2, v3].
  const V low = hn::Add(hn::InterleaveLower(d, v0, v1), hn::InterleaveUpper(d, v0, v1));
  const V high = hn::Add(hn::InterleaveLower(d, v2, v3), hn::InterleaveUpper(d, v2, v3));
  const auto low2 = hn::BitCast(pairs, low), high2 = hn::BitCast(pairs, high);
  return FoldBlocks(hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, low2, high2)),
                            hn::BitCast(d, hn::InterleaveUpper(pairs, low2, high2))));
}

/// 2^n · p(f) for n + f = the rounded sum `shifted` = x + kExp2Shift and |f| <= 1/2. The polynomial
/// is minimax in relative error (9e-8) with constant term 1, so that 2⁰ is exact.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp2Parts(D d, V shifted, V f) {
  const hn::RebindToSigned<D> di;
  const V p = Polynomial(d, f, 1.0f, 0.6931470036506653f, 0.24022242426872253f,
                         0.05550733581185341f, 0.009671512991189957f, 0.001326472731307149f);
  // The low bits of `shifted` are n in two's complement; they are added to the exponent.
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}

/// Exp2Parts of several vectors side by side: f becomes the power. One chain alone waits for its
/// own results, and a CPU looks ahead no further than about four of them.
template <int kCount, class D, class V = hn::Vec<D>>
HWY_INLINE void Exp2Parts(D d, const V (&shifted)[kCount], V (&f)[kCount]) {
  const hn::RebindToSigned<D> di;
  constexpr float kCoefficients[] = {0.009671512991189957f, 0.05550733581185341f,
                                     0.24022242426872253f, 0.6931470036506653f, 1.0f};
  V p[kCount];
  for (int i = 0; i < kCount; ++i) p[i] = hn::Set(d, 0.001326472731307149f);
  for (float coefficient : kCoefficients) {
    for (int i = 0; i < kCount; ++i) p[i] = hn::MulAdd(p[i], f[i], hn::Set(d, coefficient));
  }
  for (int i = 0; i < kCount; ++i) {
    const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted[i]));
    f[i] = hn::BitCast(d, hn::Add(hn::BitCast(di, p[i]), exponent));
  }
}

/// e^x for |x| <= 86.9, with fewer operations than Exp; the caller limits x.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpInRange(D d, V x) {
  const V shift = hn::Set(d, kExp2Shift);
  const V shifted = hn::MulAdd(x, hn::Set(d, kLog2E), shift);
  // log2(e) in two parts: the product is exact to the last place even for large x.
  const V f = hn::MulSub(x, hn::Set(d, kLog2E), hn::Sub(shifted, shift));
  return Exp2Parts(d, shifted, hn::MulAdd(x, hn::Set(d, kLog2ELow), f));
}

/// e^x for x <= 0; below −86.9 it stays e^−86.9.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpOfNegative(D d, V x) {
  return ExpInRange(d, hn::Max(hn::Set(d, -86.9f), x));
}

/// sigmoid(x), to full relative accuracy on both sides.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Gate(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V e = ExpOfNegative(d, hn::Neg(hn::Abs(x)));
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one), hn::Add(one, e));
}

/// softplus(x) = ln(1 + e^x), and its slope sigmoid(x).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Softplus(D d, V x, V& slope) {
  const V one = hn::Set(d, 1.0f);
  const V e = ExpOfNegative(d, hn::Neg(hn::Abs(x)));
  slope = hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one), hn::Add(one, e));
  // ln(1 + e) = 2 artanh(r), r = e / (2 + e) <= 1/3: no cancellation for any x.
  const V r = hn::Div(e, hn::Add(e, hn::Set(d, 2.0f)));
  const V r2 = hn::Mul(r, r);
  const V p = Polynomial(d, r2, 0.3333320915699005f, 0.2001076489686966f, 0.1400088667869568f,
                         0.14006076753139496f);
  const V twice = hn::Add(r, r);
  return hn::Add(hn::Max(hn::Zero(d), x), hn::MulAdd(hn::Mul(p, r2), twice, twice));
}

/// Tokens that a tile walks before the next tile's turn.
constexpr ptrdiff_t kSegment = 32;

/// Calls body(t, tokens, begins) for one segment after the other of `time` tokens. None crosses a
/// border of chunks; `begins` says whether it is a chunk's first.
template <class Body>
HWY_INLINE void ForSegments(ptrdiff_t time, ptrdiff_t chunk, const Body& body) {
  for (ptrdiff_t t = 0, end = 0; t < time; t = end) {
    const ptrdiff_t first = t / chunk * chunk;
    end = std::min({t + kSegment, first + chunk, time});
    body(t, end - t, t == first);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#endif  // APUS_OPS_GATES_INL_H_
