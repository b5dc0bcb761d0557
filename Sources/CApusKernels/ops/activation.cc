#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/activation.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <cmath>

#include "include/apus_kernels.h"
#include "ops/grain.h"
#include "ops/math-inl.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Every activation is a Value and a Slope, its derivative. Arguments are limited where the result
// has reached its limit, so that no infinity meets a zero.

struct Relu {
  static HWY_INLINE V Value(V x) { return AtLeast(D(), x, 0.0f); }
  static HWY_INLINE V Slope(V x) {
    return hn::IfThenZeroElse(hn::Le(x, hn::Zero(D())), hn::Set(D(), 1.0f));
  }
};

struct Gelu {
  static HWY_INLINE V Value(V x) {
    V density;
    const V below = AtLeast(D(), x, -13.4f);
    return hn::Mul(below, NormalCdf(D(), Clamp(D(), x, -13.4f, 13.4f), density));
  }
  static HWY_INLINE V Slope(V x) {
    V density;
    x = Clamp(D(), x, -13.4f, 13.4f);
    const V cdf = NormalCdf(D(), x, density);
    return hn::MulAdd(x, density, cdf);
  }
};

// 0.5 (1 + tanh u) is sigmoid(2u), which keeps its relative accuracy on the left.
struct GeluTanh {
  static constexpr float kLinear = 1.5957691216f;  // 2 √(2/π)
  static constexpr float kCubic = 0.044715f * 1.5957691216f;
  static HWY_INLINE V Value(V x) {
    const V one = hn::Set(D(), 1.0f);
    const V near = Clamp(D(), x, -13.4f, 13.4f);
    const V u = hn::Mul(near, Polynomial(D(), hn::Mul(near, near), kLinear, kCubic));
    const V below = AtLeast(D(), x, -13.4f);
    return hn::Div(below, hn::Add(one, Exp(D(), hn::Neg(u))));
  }
  static HWY_INLINE V Slope(V x) {
    V complement;
    x = Clamp(D(), x, -13.4f, 13.4f);
    const V square = hn::Mul(x, x);
    const V u = hn::Mul(x, Polynomial(D(), square, kLinear, kCubic));
    const V s = SigmoidPair(D(), Clamp(D(), u, -87.0f, 87.0f), complement);
    const V du = Polynomial(D(), square, kLinear, 3 * kCubic);
    return hn::MulAdd(hn::Mul(hn::Mul(x, s), complement), du, s);
  }
};

struct SiluActivation {
  static HWY_INLINE V Value(V x) { return Silu(D(), x); }
  static HWY_INLINE V Slope(V x) {
    V silu;
    return SiluSlope(D(), x, silu);
  }
};

struct SigmoidActivation {
  static HWY_INLINE V Value(V x) { return Sigmoid(D(), x); }
  static HWY_INLINE V Slope(V x) {
    V complement;
    const V s = SigmoidPair(D(), Clamp(D(), x, -87.0f, 87.0f), complement);
    return hn::Mul(s, complement);
  }
};

struct TanhActivation {
  static HWY_INLINE V Value(V x) { return Tanh(D(), x); }
  /// 1 − tanh² = 4 e / (1 + e)² with e = exp(−2|x|): nothing cancels.
  static HWY_INLINE V Slope(V x) {
    const V one = hn::Set(D(), 1.0f);
    const V e = Exp(D(), hn::Mul(hn::Abs(x), hn::Set(D(), -2.0f)));
    const V s = hn::Div(hn::Set(D(), 2.0f), hn::Add(one, e));
    return hn::Mul(hn::Mul(e, s), s);
  }
};

struct SoftplusActivation {
  static HWY_INLINE V Value(V x) { return Softplus(D(), x); }
  static HWY_INLINE V Slope(V x) { return Sigmoid(D(), x); }
};

struct ExpActivation {
  static HWY_INLINE V Value(V x) { return Exp(D(), x); }
  static HWY_INLINE V Slope(V x) { return Exp(D(), x); }
};

struct LogActivation {
  static HWY_INLINE V Value(V x) { return Log(D(), x); }
  static HWY_INLINE V Slope(V x) { return hn::Div(hn::Set(D(), 1.0f), x); }
};

struct ErfActivation {
  static HWY_INLINE V Value(V x) { return Erf(D(), x); }
  static HWY_INLINE V Slope(V x) {
    return hn::Mul(hn::Set(D(), 1.12837917f), Exp(D(), hn::Neg(hn::Mul(x, x))));
  }
};

template <class A>
HWY_INLINE void Apply(float* y, const float* x, ptrdiff_t count) {
  Map(
      y, count, [](V v) HWY_ATTR { return A::Value(v); }, x);
}
template <class A>
HWY_INLINE void ApplyBackward(float* dx, const float* dy, const float* x, ptrdiff_t count) {
  Map(
      dx, count, [](V g, V v) HWY_ATTR { return hn::Mul(g, A::Slope(v)); }, dy, x);
}

void Activate(float* y, const float* x, ptrdiff_t count, apus_activation kind) {
  switch (kind) {
    case APUS_RELU:
      return Apply<Relu>(y, x, count);
    case APUS_GELU:
      return Apply<Gelu>(y, x, count);
    case APUS_GELU_TANH:
      return Apply<GeluTanh>(y, x, count);
    case APUS_SILU:
      return Apply<SiluActivation>(y, x, count);
    case APUS_SIGMOID:
      return Apply<SigmoidActivation>(y, x, count);
    case APUS_TANH:
      return Apply<TanhActivation>(y, x, count);
    case APUS_SOFTPLUS:
      return Apply<SoftplusActivation>(y, x, count);
    case APUS_EXP:
      return Apply<ExpActivation>(y, x, count);
    case APUS_LOG:
      return Apply<LogActivation>(y, x, count);
    case APUS_ERF:
      return Apply<ErfActivation>(y, x, count);
  }
}

void ActivateBackward(float* dx, const float* dy, const float* x, ptrdiff_t count,
                      apus_activation kind) {
  switch (kind) {
    case APUS_RELU:
      return ApplyBackward<Relu>(dx, dy, x, count);
    case APUS_GELU:
      return ApplyBackward<Gelu>(dx, dy, x, count);
    case APUS_GELU_TANH:
      return ApplyBackward<GeluTanh>(dx, dy, x, count);
    case APUS_SILU:
      return ApplyBackward<SiluActivation>(dx, dy, x, count);
    case APUS_SIGMOID:
      return ApplyBackward<SigmoidActivation>(dx, dy, x, count);
    case APUS_TANH:
      return ApplyBackward<TanhActivation>(dx, dy, x, count);
    case APUS_SOFTPLUS:
      return ApplyBackward<SoftplusActivation>(dx, dy, x, count);
    case APUS_EXP:
      return ApplyBackward<ExpActivation>(dx, dy, x, count);
    case APUS_LOG:
      return ApplyBackward<LogActivation>(dx, dy, x, count);
    case APUS_ERF:
      return ApplyBackward<ErfActivation>(dx, dy, x, count);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(Activate);
HWY_EXPORT(ActivateBackward);

constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kInvSqrtTwoPi = 0.39894228040143267794;
constexpr double kSqrtTwoOverPi = 0.79788456080286535588;

double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// The activation in double. At −∞ the gated ones have the limit 0, where the formula has 0 · ∞.
double Value(double x, apus_activation kind) {
  switch (kind) {
    case APUS_RELU:
      return x <= 0 ? 0 : x;
    case APUS_GELU:
      return x == -INFINITY ? 0 : 0.5 * x * std::erfc(-x * kSqrtHalf);
    case APUS_GELU_TANH:
      return x == -INFINITY ? 0 : x * Logistic(2 * kSqrtTwoOverPi * (x + 0.044715 * x * x * x));
    case APUS_SILU:
      return x == -INFINITY ? 0 : x * Logistic(x);
    case APUS_SIGMOID:
      return Logistic(x);
    case APUS_TANH:
      return std::tanh(x);
    case APUS_SOFTPLUS:
      return x > 20 ? x : std::log1p(std::exp(x));
    case APUS_EXP:
      return std::exp(x);
    case APUS_LOG:
      return std::log(x);
    case APUS_ERF:
      return std::erf(x);
  }
  return NAN;
}

/// Its derivative; at ±∞ the limit.
double Slope(double x, apus_activation kind) {
  switch (kind) {
    case APUS_RELU:
      return x <= 0 ? 0 : 1;
    case APUS_GELU:
      if (std::isinf(x)) return x < 0 ? 0 : 1;
      return 0.5 * std::erfc(-x * kSqrtHalf) + x * kInvSqrtTwoPi * std::exp(-0.5 * x * x);
    case APUS_GELU_TANH: {
      if (std::abs(x) > 100) return x < 0 ? 0 : 1;
      const double s = Logistic(2 * kSqrtTwoOverPi * (x + 0.044715 * x * x * x));
      return s + x * s * (1 - s) * 2 * kSqrtTwoOverPi * (1 + 3 * 0.044715 * x * x);
    }
    case APUS_SILU:
      if (std::isinf(x)) return x < 0 ? 0 : 1;
      return Logistic(x) * (1 + x * Logistic(-x));
    case APUS_SIGMOID:
      return Logistic(x) * Logistic(-x);
    case APUS_TANH:
      return 1 / (std::cosh(x) * std::cosh(x));
    case APUS_SOFTPLUS:
      return x > 20 ? 1 : Logistic(x);
    case APUS_EXP:
      return std::exp(x);
    case APUS_LOG:
      return 1 / x;
    case APUS_ERF:
      return 2 * kSqrtHalf * kSqrtTwoOverPi * std::exp(-x * x);
  }
  return NAN;
}

}  // namespace

extern "C" {

void apus_activation_f32(float* y, const float* x, ptrdiff_t count, apus_activation kind) {
  ParallelRanges(count, kMathGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Activate)(y + begin, x + begin, end - begin, kind);
  });
}

void apus_activation_backward_f32(float* dx, const float* dy, const float* x, ptrdiff_t count,
                                  apus_activation kind) {
  ParallelRanges(count, kMathGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(ActivateBackward)(dx + begin, dy + begin, x + begin, end - begin, kind);
  });
}

void apus_activation_reference_f32(float* y, const float* x, ptrdiff_t count,
                                   apus_activation kind) {
  for (ptrdiff_t i = 0; i < count; ++i) y[i] = static_cast<float>(Value(x[i], kind));
}

void apus_activation_backward_reference_f32(float* dx, const float* dy, const float* x,
                                            ptrdiff_t count, apus_activation kind) {
  for (ptrdiff_t i = 0; i < count; ++i) dx[i] = static_cast<float>(dy[i] * Slope(x[i], kind));
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
