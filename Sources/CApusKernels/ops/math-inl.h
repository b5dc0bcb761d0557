// Elementary functions on vectors of float, any width. Included once per instruction set.
//
// Exp, Log, Sigmoid, Softplus, Tanh and Erf stay within 2.5 units in the last place, measured over
// the floats (Tests/CApusKernelsTests/ActivationTests.swift samples them). An exponential below
// e⁻⁸⁷ becomes 0, and so does what it multiplies. Not-a-number goes in and comes out. The
// coefficients are minimax fits of the relative error, by Lawson's reweighted least squares in
// double.
#if defined(APUS_OPS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_MATH_INL_H_
#undef APUS_OPS_MATH_INL_H_
#else
#define APUS_OPS_MATH_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// The smaller of x and a limit; not-a-number stays one. Highway leaves open what Min makes of it:
/// on x86 the second argument comes through, elsewhere it may be lost.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V AtMost(D d, V x, float limit) {
#if HWY_TARGET <= HWY_SSE4 && HWY_ARCH_X86
  return hn::Min(hn::Set(d, limit), x);
#else
  return hn::IfThenElse(hn::Gt(x, hn::Set(d, limit)), hn::Set(d, limit), x);
#endif
}

/// The larger of x and a limit; not-a-number stays one.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V AtLeast(D d, V x, float limit) {
#if HWY_TARGET <= HWY_SSE4 && HWY_ARCH_X86
  return hn::Max(hn::Set(d, limit), x);
#else
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, limit)), hn::Set(d, limit), x);
#endif
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Clamp(D d, V x, float low, float high) {
  return AtLeast(d, AtMost(d, x, high), low);
}

/// c[0] + c[1] x + c[2] x² …
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Polynomial(D d, V x, float c0, float c1) {
  return hn::MulAdd(hn::Set(d, c1), x, hn::Set(d, c0));
}
template <class D, class V = hn::Vec<D>, class... C>
HWY_INLINE V Polynomial(D d, V x, float c0, float c1, C... rest) {
  return hn::MulAdd(Polynomial(d, x, c1, rest...), x, hn::Set(d, c0));
}

/// Writes x = n ln 2 + r with |r| <= ln 2 / 2 and returns e^r − 1, accurate near r = 0. The low
/// bits of `shifted` hold n. |x| must stay below 2²¹.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ReducedExpm1(D d, V x, V& shifted) {
  const V shift = hn::Set(d, 12582912.0f);  // 1.5 · 2²³: adding it rounds to an integer
  shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), shift);
  const V n = hn::Sub(shifted, shift);
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);  // exact: n · ln2's first 9 bits
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  const V q = Polynomial(d, r, 0.49999997f, 0.16666543f, 0.0416672f, 0.008366515f, 0.0013882522f);
  return hn::MulAdd(q, hn::Mul(r, r), r);
}

/// 2^(n + offset) from the low bits of `shifted`; the exponent must be normal, or −127, which gives
/// 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V PowerOfTwo(D d, V shifted, int offset) {
  const hn::RebindToSigned<D> di;
  const auto biased = hn::Add(hn::BitCast(di, shifted), hn::Set(di, 127 + offset));
  return hn::BitCast(d, hn::ShiftLeft<23>(biased));
}

/// eˣ. +∞ above 88.72; 0 below about −87.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
  V shifted;
  const V p = hn::Add(ReducedExpm1(d, Clamp(d, x, -87.3365448f, 89.0f), shifted), hn::Set(d, 1.0f));
  return hn::Mul(hn::Add(p, p), PowerOfTwo(d, shifted, -1));  // twice: 2¹²⁸ is no float
}

/// ln(1 + f) for 1/√2 <= 1 + f <= √2.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ReducedLog1p(D d, V f, V added) {
  const V square = hn::Mul(f, f);
  // Even and odd powers apart: two short chains of additions instead of a long one.
  const V even =
      Polynomial(d, square, 0.33333313f, 0.20002119f, 0.14219552f, 0.118881635f, 0.067466445f);
  const V odd = Polynomial(d, square, -0.2500001f, -0.16667996f, -0.124055885f, -0.11675657f);
  const V p = hn::MulAdd(odd, f, even);
  const V tail = hn::MulAdd(p, hn::Mul(square, f), added);
  return hn::Add(f, hn::NegMulAdd(hn::Set(d, 0.5f), square, tail));
}

/// ln x of a positive, normal, finite x: what the other cases cost is saved.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V LogOfNormal(D d, V x, V exponent_offset) {
  const hn::RebindToSigned<D> di;
  const auto bits = hn::BitCast(di, x);
  const auto e = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, 0x3f3504f3)));  // √½ opens a binade
  const V m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(e)));
  const V n = hn::Add(hn::ConvertTo(d, e), exponent_offset);
  const V low = hn::Mul(n, hn::Set(d, -2.12194440e-4f));
  const V y = ReducedLog1p(d, hn::Sub(m, hn::Set(d, 1.0f)), low);
  return hn::MulAdd(n, hn::Set(d, 0.693359375f), y);
}

/// ln x. −∞ at 0, not-a-number below.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Log(D d, V x) {
  const V infinity = hn::Inf(d);
  const auto small = hn::Lt(x, hn::Set(d, 1.17549435e-38f));
  const V scaled = hn::IfThenElse(small, hn::Mul(x, hn::Set(d, 8388608.0f)), x);
  V y = LogOfNormal(d, scaled, hn::IfThenElseZero(small, hn::Set(d, -23.0f)));
  y = hn::IfThenElse(hn::Lt(x, infinity), y, x);  // +∞ and not-a-number stay
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity), y);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::NaN(d), y);
}

/// 1 / (1 + e⁻ˣ)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}

/// sigmoid(x) and sigmoid(−x) = 1 − sigmoid(x), both to full relative accuracy. |x| at most 87.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V SigmoidPair(D d, V x, V& complement) {
  const V one = hn::Set(d, 1.0f);
  const V e = Exp(d, hn::Neg(x));
  const V s = hn::Div(one, hn::Add(one, e));
  complement = hn::Mul(e, s);
  return s;
}

/// x · sigmoid(x); 0 at −∞, its limit.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Silu(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  x = AtLeast(d, x, -100.0f);
  return hn::Div(x, hn::Add(one, Exp(d, hn::Neg(x))));
}

/// The derivative of Silu, and Silu itself.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V SiluSlope(D d, V x, V& silu) {
  V complement;
  const V clamped = Clamp(d, x, -87.0f, 87.0f);
  const V s = SigmoidPair(d, clamped, complement);
  silu = hn::Mul(AtLeast(d, x, -87.0f), s);
  return hn::MulAdd(hn::Mul(clamped, s), complement, s);
}

/// tanh x = (e²ˣ − 1) / (e²ˣ + 1), from e²ˣ − 1 so that nothing cancels near 0.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Tanh(D d, V x) {
  V shifted;
  const V magnitude = AtMost(d, hn::Abs(hn::Add(x, x)), 20.0f);
  const V p = ReducedExpm1(d, magnitude, shifted);
  const V power = PowerOfTwo(d, shifted, 0);
  const V expm1 = hn::MulAdd(power, p, hn::Sub(power, hn::Set(d, 1.0f)));
  return hn::CopySign(hn::Div(expm1, hn::Add(expm1, hn::Set(d, 2.0f))), x);
}

/// ln(1 + eˣ), accurate on both sides.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Softplus(D d, V x) {
  const V e = Exp(d, hn::Neg(hn::Abs(x)));  // in [0, 1]
  const auto upper = hn::Gt(e, hn::Set(d, 0.41421356f));
  // 1 + e = 2 (1 + (e − 1) / 2) keeps the argument of the series small.
  const V half = hn::Mul(hn::Sub(e, hn::Set(d, 1.0f)), hn::Set(d, 0.5f));
  const V f = hn::IfThenElse(upper, half, e);
  const V log1p = ReducedLog1p(d, f, hn::IfThenElseZero(upper, hn::Set(d, -2.12194440e-4f)));
  const V log = hn::Add(log1p, hn::IfThenElseZero(upper, hn::Set(d, 0.693359375f)));
  return hn::Add(AtLeast(d, x, 0.0f), log);
}

/// e^(t²) · erfc(t) for t in [0, 10].
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ScaledErfc(D d, V t) {
  return hn::Div(
      Polynomial(d, t, 1.0f, 1.2375878f, 0.73074263f, 0.22880815f, 0.032710318f),
      Polynomial(d, t, 1.0f, 2.3659675f, 2.400442f, 1.3237604f, 0.4055787f, 0.057976812f));
}

/// The error function.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Erf(D d, V x) {
  const V t = AtMost(d, hn::Abs(x), 5.0f);
  const V square = hn::Mul(t, t);
  const V small = hn::Mul(t, Polynomial(d, square, 1.1283791f, -0.37612525f, 0.11282141f,
                                        -0.026778912f, 0.0050119665f, -0.00060903764f));
  const V tail = hn::Mul(Exp(d, hn::Neg(square)), ScaledErfc(d, t));
  const V large = hn::Sub(hn::Set(d, 1.0f), tail);
  return hn::CopySign(hn::IfThenElse(hn::Lt(t, hn::Set(d, 0.9f)), small, large), x);
}

/// Φ(x) of the normal distribution, accurate in both tails; `density` gets φ(x). |x| at most 14.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V NormalCdf(D d, V x, V& density) {
  const V e = Exp(d, hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5f)));
  density = hn::Mul(e, hn::Set(d, 0.39894228f));
  const V scaled = ScaledErfc(d, hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678f)));
  const V tail = hn::Mul(hn::Mul(e, hn::Set(d, 0.5f)), scaled);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(hn::Set(d, 1.0f), tail));
}

/// sin and cos of 2π u for u in [0, 1].
template <class D, class V = hn::Vec<D>>
HWY_INLINE V SinCosOfTurn(D d, V u, V& cosine) {
  const hn::RebindToSigned<D> di;
  const V shift = hn::Set(d, 12582912.0f);
  const V shifted = hn::MulAdd(u, hn::Set(d, 4.0f), shift);
  const auto quarter = hn::BitCast(di, shifted);
  const V r = hn::NegMulAdd(hn::Sub(shifted, shift), hn::Set(d, 0.25f), u);  // in [−1/8, 1/8]
  const V z = hn::Mul(r, r);
  const V s = hn::Mul(r, Polynomial(d, z, 6.2831855f, -41.3417f, 81.6052f, -76.69778f, 41.469894f));
  const V c = Polynomial(d, z, 1.0f, -19.739208f, 64.93931f, -85.44225f, 59.201122f);
  const auto one = hn::Set(di, 1);
  const auto odd = hn::MaskFromVec(hn::BitCast(d, hn::Neg(hn::And(quarter, one))));
  const V sine_sign = hn::BitCast(d, hn::ShiftLeft<30>(quarter));
  const V cosine_sign = hn::BitCast(d, hn::ShiftLeft<30>(hn::Add(quarter, one)));
  const V sign = hn::SignBit(d);
  cosine = hn::Xor(hn::IfThenElse(odd, s, c), hn::And(cosine_sign, sign));
  return hn::Xor(hn::IfThenElse(odd, c, s), hn::And(sine_sign, sign));
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
