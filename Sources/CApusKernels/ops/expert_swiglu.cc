#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/expert_swiglu.cc"
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

void ExpertRow(float* a, const float* h, ptrdiff_t features) {
  const auto f = [](V gate, V up) HWY_ATTR { return hn::Mul(up, Silu(D(), gate)); };
  Map(a, features, f, h, h + features);
}

/// One step of the backward pass on a vector of features.
struct Slopes {
  V weight, dgate, dup, scaled, share;

  HWY_INLINE void Compute(V da, V gate, V up) {
    V silu;
    const V slope = SiluSlope(D(), gate, silu);
    const V a = hn::Mul(up, silu), wda = hn::Mul(weight, da);
    dgate = hn::Mul(hn::Mul(wda, up), slope);
    dup = hn::Mul(wda, silu);
    scaled = hn::Mul(weight, a);
    share = hn::Mul(da, a);
  }
};

/// Writes dh and weight · a; returns Σ da ⊙ a.
float ExpertRowBackward(float* dh, float* wa, const float* da, const float* h, float weight,
                        ptrdiff_t features) {
  const D d;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const float* up = h + features;
  Slopes s;
  s.weight = hn::Set(d, weight);
  V sum = hn::Zero(d);
  ptrdiff_t i = 0;
  for (; i + lanes <= features; i += lanes) {
    s.Compute(hn::LoadU(d, da + i), hn::LoadU(d, h + i), hn::LoadU(d, up + i));
    sum = hn::Add(sum, s.share);
    hn::StoreU(s.dgate, d, dh + i);
    hn::StoreU(s.dup, d, dh + features + i);
    hn::StoreU(s.scaled, d, wa + i);
  }
  if (const ptrdiff_t rest = features - i; rest > 0) {
    s.Compute(LoadUpTo(d, da + i, rest), LoadUpTo(d, h + i, rest), LoadUpTo(d, up + i, rest));
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(rest)), s.share));
    StoreUpTo(s.dgate, d, dh + i, rest);
    StoreUpTo(s.dup, d, dh + features + i, rest);
    StoreUpTo(s.scaled, d, wa + i, rest);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(ExpertRow);
HWY_EXPORT(ExpertRowBackward);

ptrdiff_t RowsPerBlock(ptrdiff_t features) {
  const ptrdiff_t rows = kMathGrain / (features < 1 ? 1 : features);
  return rows < 1 ? 1 : rows;
}

double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

extern "C" {

void apus_expert_swiglu_f32(float* a, const float* h, ptrdiff_t rows, ptrdiff_t features,
                            ptrdiff_t a_stride, ptrdiff_t h_stride) {
  ParallelRanges(rows, RowsPerBlock(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      HWY_DYNAMIC_DISPATCH(ExpertRow)(a + r * a_stride, h + r * h_stride, features);
    }
  });
}

void apus_expert_swiglu_backward_f32(float* dh, float* wa, float* dweights, const float* da,
                                     const float* h, const float* weights, const int32_t* row_slots,
                                     ptrdiff_t rows, ptrdiff_t features, ptrdiff_t a_stride,
                                     ptrdiff_t h_stride) {
  ParallelRanges(rows, RowsPerBlock(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      dweights[row_slots[r]] = HWY_DYNAMIC_DISPATCH(ExpertRowBackward)(
          dh + r * h_stride, wa + r * a_stride, da + r * a_stride, h + r * h_stride,
          weights[row_slots[r]], features);
    }
  });
}

void apus_expert_swiglu_reference_f32(float* a, const float* h, ptrdiff_t rows, ptrdiff_t features,
                                      ptrdiff_t a_stride, ptrdiff_t h_stride) {
  for (ptrdiff_t r = 0; r < rows; ++r) {
    for (ptrdiff_t i = 0; i < features; ++i) {
      const double gate = h[r * h_stride + i], up = h[r * h_stride + features + i];
      a[r * a_stride + i] = static_cast<float>(gate * Logistic(gate) * up);
    }
  }
}

void apus_expert_swiglu_backward_reference_f32(float* dh, float* wa, float* dweights,
                                               const float* da, const float* h,
                                               const float* weights, const int32_t* row_slots,
                                               ptrdiff_t rows, ptrdiff_t features,
                                               ptrdiff_t a_stride, ptrdiff_t h_stride) {
  for (ptrdiff_t r = 0; r < rows; ++r) {
    const double weight = weights[row_slots[r]];
    double sum = 0;
    for (ptrdiff_t i = 0; i < features; ++i) {
      const double gate = h[r * h_stride + i], up = h[r * h_stride + features + i];
      const double g = da[r * a_stride + i], silu = gate * Logistic(gate);
      const double slope = Logistic(gate) * (1 + gate * Logistic(-gate));
      sum += g * silu * up;
      dh[r * h_stride + i] = static_cast<float>(weight * g * up * slope);
      dh[r * h_stride + features + i] = static_cast<float>(weight * g * silu);
      wa[r * a_stride + i] = static_cast<float>(weight * silu * up);
    }
    dweights[row_slots[r]] = static_cast<float>(sum);
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
