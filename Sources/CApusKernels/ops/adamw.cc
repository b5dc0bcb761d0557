#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/adamw.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <cmath>

#include "include/apus_kernels.h"
#include "ops/grain.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

#ifndef APUS_OPS_ADAMW_FACTORS_
#define APUS_OPS_ADAMW_FACTORS_
namespace apus {

/// What one step needs, worked out once in double.
struct AdamWFactors {
  float gradient_scale, shrink;      // 1 − rate · decay
  float beta1, rest1, beta2, rest2;  // rest = 1 − beta
  float rate, deviation_scale;       // rate / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ)
  float epsilon;
};

}  // namespace apus
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

HWY_INLINE void AdamWStep(V& p, V& m, V& v, V g, const AdamWFactors& f) {
  const D d;
  g = hn::Mul(g, hn::Set(d, f.gradient_scale));
  m = hn::MulAdd(hn::Set(d, f.rest1), g, hn::Mul(hn::Set(d, f.beta1), m));
  v = hn::MulAdd(hn::Mul(hn::Set(d, f.rest2), g), g, hn::Mul(hn::Set(d, f.beta2), v));
  const V deviation = hn::MulAdd(hn::Sqrt(v), hn::Set(d, f.deviation_scale), hn::Set(d, f.epsilon));
  const V step = hn::Div(hn::Mul(hn::Set(d, f.rate), m), deviation);
  p = hn::Sub(hn::Mul(p, hn::Set(d, f.shrink)), step);
}

void AdamW(float* parameter, float* first, float* second, const float* gradient, ptrdiff_t count,
           const AdamWFactors& factors) {
  const D d;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  ptrdiff_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    V p = hn::LoadU(d, parameter + i), m = hn::LoadU(d, first + i), v = hn::LoadU(d, second + i);
    AdamWStep(p, m, v, hn::LoadU(d, gradient + i), factors);
    hn::StoreU(p, d, parameter + i);
    hn::StoreU(m, d, first + i);
    hn::StoreU(v, d, second + i);
  }
  if (const ptrdiff_t rest = count - i; rest > 0) {
    V p = LoadUpTo(d, parameter + i, rest);
    V m = LoadUpTo(d, first + i, rest);
    V v = LoadUpTo(d, second + i, rest);
    AdamWStep(p, m, v, LoadUpTo(d, gradient + i, rest), factors);
    StoreUpTo(p, d, parameter + i, rest);
    StoreUpTo(m, d, first + i, rest);
    StoreUpTo(v, d, second + i, rest);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(AdamW);

}  // namespace

extern "C" {

void apus_adamw_f32(float* parameter, float* first_moment, float* second_moment,
                    const float* gradient, ptrdiff_t count, const apus_adamw_options* options) {
  const double step = static_cast<double>(options->step);
  const double beta1 = options->beta1, beta2 = options->beta2, rate = options->learning_rate;
  AdamWFactors factors;
  factors.gradient_scale = options->gradient_scale;
  factors.shrink = static_cast<float>(1 - rate * options->weight_decay);
  factors.beta1 = options->beta1;
  factors.rest1 = static_cast<float>(1 - beta1);
  factors.beta2 = options->beta2;
  factors.rest2 = static_cast<float>(1 - beta2);
  factors.rate = static_cast<float>(rate / (1 - std::pow(beta1, step)));
  factors.deviation_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(beta2, step)));
  factors.epsilon = options->epsilon;
  ParallelRanges(count, kMathGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(AdamW)
    (parameter + begin, first_moment + begin, second_moment + begin, gradient + begin, end - begin,
     factors);
  });
}

void apus_adamw_reference_f32(float* parameter, float* first_moment, float* second_moment,
                              const float* gradient, ptrdiff_t count,
                              const apus_adamw_options* options) {
  const double beta1 = options->beta1, beta2 = options->beta2, rate = options->learning_rate;
  const double step = static_cast<double>(options->step);
  for (ptrdiff_t i = 0; i < count; ++i) {
    const double g = static_cast<double>(gradient[i]) * options->gradient_scale;
    const double m = beta1 * first_moment[i] + (1 - beta1) * g;
    const double v = beta2 * second_moment[i] + (1 - beta2) * g * g;
    const double m_hat = m / (1 - std::pow(beta1, step));
    const double v_hat = v / (1 - std::pow(beta2, step));
    const double decayed = parameter[i] * (1 - rate * options->weight_decay);
    parameter[i] =
        static_cast<float>(decayed - rate * m_hat / (std::sqrt(v_hat) + options->epsilon));
    first_moment[i] = static_cast<float>(m);
    second_moment[i] = static_cast<float>(v);
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
