#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/expert_route.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "include/apus_kernels.h"
#include "ops/expert_choice.h"
#include "ops/math-inl.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// p = exp(p − largest), 0 for experts that are not seen. Returns the sum.
float Exponentials(float* p, const float* logits, const int32_t* visible, float largest,
                   ptrdiff_t count) {
  const V top = hn::Set(D(), largest);
  const auto f = [&](V x) HWY_ATTR { return Exp(D(), hn::Sub(x, top)); };
  Map(p, count, f, logits);
  for (ptrdiff_t i = 0; visible != nullptr && i < count; ++i) {
    if (visible[i] == 0) p[i] = 0;
  }
  return MapSum(
      count, [](V x) HWY_ATTR { return x; }, p);
}

void RouteRow(float* p, float* log_sum, int32_t* chosen, float* weights, const float* logits,
              const int32_t* visible, const apus_route_shape& s) {
  const ptrdiff_t count = Choose(chosen, logits, visible, s.experts, s.chosen);
  std::fill_n(weights, s.chosen, 0.0f);
  if (count == 0) {  // a token that sees no expert
    std::fill_n(p, s.experts, 0.0f);
    if (log_sum != nullptr) *log_sum = 0;
    return;
  }
  float largest = logits[chosen[0]];
  for (ptrdiff_t i = 1; i < count; ++i) largest = std::max(largest, logits[chosen[i]]);
  const float sum = Exponentials(p, logits, visible, largest, s.experts);
  if (log_sum != nullptr) *log_sum = largest + std::log(sum);
  const V scale = hn::Set(D(), 1.0f / sum);
  Map(
      p, s.experts, [&](V x) HWY_ATTR { return hn::Mul(x, scale); }, p);
  for (ptrdiff_t i = 0; i < count; ++i) weights[i] = p[chosen[i]];
  if (s.norm == 0) return;
  const float length = Norm(weights, count, s.norm);
  for (ptrdiff_t i = 0; i < count; ++i) weights[i] /= length;
}

/// With s = Σ w c and t_i = w_i c_i − w_i^q s on the chosen (t_i = w_i c_i without a norm),
/// dℓ_i = t_i − p_i Σ t; the sum vanishes for q = 1, where nothing flows to the others.
void RouteRowBackward(float* dlogits, const float* dweights, const float* p, const int32_t* chosen,
                      const float* weights, const apus_route_shape& s) {
  float share = 0, total = 0;
  for (ptrdiff_t i = 0; i < s.chosen; ++i) share += weights[i] * dweights[i];
  if (s.norm == 0) {
    total = share;
  } else if (s.norm != 1) {
    for (ptrdiff_t i = 0; i < s.chosen; ++i) {
      total += weights[i] * dweights[i] - Power(weights[i], s.norm) * share;
    }
  }
  const V minus = hn::Set(D(), -total);
  if (total == 0) {
    std::fill_n(dlogits, s.experts, 0.0f);
  } else {
    Map(
        dlogits, s.experts, [&](V x) HWY_ATTR { return hn::Mul(x, minus); }, p);
  }
  for (ptrdiff_t i = 0; i < s.chosen; ++i) {
    if (chosen[i] < 0) continue;
    const float w = weights[i];
    dlogits[chosen[i]] += s.norm == 0 ? w * dweights[i]
                                      : (s.norm == 1 ? w * (dweights[i] - share)
                                                     : w * dweights[i] - Power(w, s.norm) * share);
  }
}

void LossesRowBackward(float* dlogits, const float* p, float log_sum, const float* slopes, float z,
                       ptrdiff_t experts) {
  const float mean = MapSum(
      experts, [](V a, V b) HWY_ATTR { return hn::Mul(a, b); }, p, slopes);
  const V shift = hn::Set(D(), 2 * z * log_sum - mean);
  Map(
      dlogits, experts, [&](V a, V b) HWY_ATTR { return hn::Mul(a, hn::Add(b, shift)); }, p,
      slopes);
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(RouteRow);
HWY_EXPORT(RouteRowBackward);
HWY_EXPORT(LossesRowBackward);

}  // namespace

extern "C" {

void apus_expert_route_f32(float* probabilities, float* log_sums, int32_t* chosen, float* weights,
                           const float* logits, const int32_t* visible,
                           const apus_route_shape* shape) {
  const apus_route_shape& s = *shape;
  ParallelRanges(s.tokens, RowGrain(s.experts * 4), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t t = begin; t < end; ++t) {
      HWY_DYNAMIC_DISPATCH(RouteRow)
      (probabilities + t * s.experts, log_sums == nullptr ? nullptr : log_sums + t,
       chosen + t * s.chosen, weights + t * s.chosen, logits + t * s.experts,
       visible == nullptr ? nullptr : visible + t * s.experts, s);
    }
  });
}

void apus_expert_route_backward_f32(float* dlogits, const float* dweights,
                                    const float* probabilities, const int32_t* chosen,
                                    const float* weights, const apus_route_shape* shape) {
  const apus_route_shape& s = *shape;
  ParallelRanges(s.tokens, RowGrain(s.experts * 4), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t t = begin; t < end; ++t) {
      HWY_DYNAMIC_DISPATCH(RouteRowBackward)
      (dlogits + t * s.experts, dweights + t * s.chosen, probabilities + t * s.experts,
       chosen + t * s.chosen, weights + t * s.chosen, s);
    }
  });
}

void apus_router_losses_backward_f32(float* dlogits, const float* probabilities,
                                     const float* log_sums, const float* slopes, float z,
                                     ptrdiff_t tokens, ptrdiff_t experts) {
  ParallelRanges(tokens, RowGrain(experts), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t t = begin; t < end; ++t) {
      HWY_DYNAMIC_DISPATCH(LossesRowBackward)
      (dlogits + t * experts, probabilities + t * experts, log_sums[t], slopes, z, experts);
    }
  });
}

void apus_expert_route_reference_f32(float* probabilities, float* log_sums, int32_t* chosen,
                                     float* weights, const float* logits, const int32_t* visible,
                                     const apus_route_shape* shape) {
  const apus_route_shape& s = *shape;
  for (ptrdiff_t t = 0; t < s.tokens; ++t) {
    const float* row = logits + t * s.experts;
    const auto sees = [&](ptrdiff_t i) {
      return visible == nullptr || visible[t * s.experts + i] != 0;
    };
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (ptrdiff_t i = 0; i < s.experts; ++i) {
      if (sees(i)) largest = std::max(largest, static_cast<double>(row[i]));
    }
    for (ptrdiff_t i = 0; i < s.experts; ++i) sum += sees(i) ? std::exp(row[i] - largest) : 0;
    for (ptrdiff_t i = 0; i < s.experts; ++i) {
      probabilities[t * s.experts + i] =
          sees(i) ? static_cast<float>(std::exp(row[i] - largest) / sum) : 0;
    }
    if (log_sums != nullptr)
      log_sums[t] = sum > 0 ? static_cast<float>(largest + std::log(sum)) : 0;
    // An expert is chosen when fewer than k visible ones come before it.
    ptrdiff_t count = 0;
    double length = 0;
    for (ptrdiff_t i = 0; i < s.experts; ++i) {
      if (!sees(i)) continue;
      ptrdiff_t before = 0;
      for (ptrdiff_t j = 0; j < s.experts; ++j) {
        before += sees(j) && (row[j] > row[i] || (row[j] == row[i] && j < i));
      }
      if (before >= s.chosen) continue;
      const double p = std::exp(row[i] - largest) / sum;
      chosen[t * s.chosen + count] = static_cast<int32_t>(i);
      weights[t * s.chosen + count++] = static_cast<float>(p);
      length += std::pow(p, s.norm);
    }
    length = s.norm == 0 ? 1 : std::pow(length, 1 / s.norm);
    for (ptrdiff_t i = 0; i < s.chosen; ++i) {
      float& weight = weights[t * s.chosen + i];
      weight = i < count ? static_cast<float>(weight / length) : 0;
      if (i >= count) chosen[t * s.chosen + i] = -1;
    }
  }
}

void apus_expert_route_backward_reference_f32(float* dlogits, const float* dweights,
                                              const float* probabilities, const int32_t* chosen,
                                              const float* weights, const apus_route_shape* shape) {
  const apus_route_shape& s = *shape;
  for (ptrdiff_t t = 0; t < s.tokens; ++t) {
    const int32_t* picks = chosen + t * s.chosen;
    const float *w = weights + t * s.chosen, *dw = dweights + t * s.chosen;
    const float* p = probabilities + t * s.experts;
    double length = 1, share = 0, total = 0;
    if (s.norm != 0) {
      double sum = 0;
      for (ptrdiff_t i = 0; i < s.chosen; ++i)
        sum += picks[i] < 0 ? 0 : std::pow(p[picks[i]], s.norm);
      length = std::pow(sum, 1 / s.norm);
      for (ptrdiff_t i = 0; i < s.chosen; ++i) share += static_cast<double>(w[i]) * dw[i];
    }
    // The gradient of each chosen probability, then the softmax.
    const auto slope = [&](ptrdiff_t i) {
      return (dw[i] - (s.norm == 0 ? 0 : std::pow(w[i], s.norm - 1) * share)) / length;
    };
    for (ptrdiff_t i = 0; i < s.chosen; ++i) total += picks[i] < 0 ? 0 : p[picks[i]] * slope(i);
    for (ptrdiff_t e = 0; e < s.experts; ++e) {
      double own = 0;
      for (ptrdiff_t i = 0; i < s.chosen; ++i) own += picks[i] == e ? slope(i) : 0;
      dlogits[t * s.experts + e] = static_cast<float>(p[e] * (own - total));
    }
  }
}

void apus_router_losses_backward_reference_f32(float* dlogits, const float* probabilities,
                                               const float* log_sums, const float* slopes, float z,
                                               ptrdiff_t tokens, ptrdiff_t experts) {
  for (ptrdiff_t t = 0; t < tokens; ++t) {
    const float* p = probabilities + t * experts;
    double mean = 0;
    for (ptrdiff_t i = 0; i < experts; ++i) mean += static_cast<double>(p[i]) * slopes[i];
    for (ptrdiff_t i = 0; i < experts; ++i) {
      dlogits[t * experts + i] =
          static_cast<float>(p[i] * (slopes[i] - mean + 2.0 * z * log_sums[t]));
    }
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
