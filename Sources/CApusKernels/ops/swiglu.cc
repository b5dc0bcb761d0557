#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/swiglu.cc"
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

/// y = value ⊙ silu(gate)
void Gate(float* y, const float* value, const float* gate, ptrdiff_t count) {
  const auto f = [](V v, V g) HWY_ATTR { return hn::Mul(v, Silu(D(), g)); };
  Map(y, count, f, value, gate);
}

/// Both gradients from one exponential. An output may be an input.
void GateBackward(float* dvalue, float* dgate, const float* dy, const float* value,
                  const float* gate, ptrdiff_t count) {
  const D d;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const auto gradients = [](V dy, V v, V g, V& dv) HWY_ATTR {
    V silu;
    const V slope = SiluSlope(D(), g, silu);
    dv = hn::Mul(dy, silu);
    return hn::Mul(hn::Mul(dy, v), slope);
  };
  V dv;
  ptrdiff_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const V dg =
        gradients(hn::LoadU(d, dy + i), hn::LoadU(d, value + i), hn::LoadU(d, gate + i), dv);
    hn::StoreU(dv, d, dvalue + i);
    hn::StoreU(dg, d, dgate + i);
  }
  if (const ptrdiff_t rest = count - i; rest > 0) {
    const V dg = gradients(LoadUpTo(d, dy + i, rest), LoadUpTo(d, value + i, rest),
                           LoadUpTo(d, gate + i, rest), dv);
    StoreUpTo(dv, d, dvalue + i, rest);
    StoreUpTo(dg, d, dgate + i, rest);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(Gate);
HWY_EXPORT(GateBackward);

ptrdiff_t RowsPerBlock(ptrdiff_t features) {
  const ptrdiff_t rows = kMathGrain / (features < 1 ? 1 : features);
  return rows < 1 ? 1 : rows;
}

double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

extern "C" {

void apus_swiglu_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t features) {
  ParallelRanges(rows, RowsPerBlock(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      const float* gate = x + r * 2 * features;
      HWY_DYNAMIC_DISPATCH(Gate)(y + r * features, gate + features, gate, features);
    }
  });
}

void apus_swiglu_backward_f32(float* dx, const float* dy, const float* x, ptrdiff_t rows,
                              ptrdiff_t features) {
  ParallelRanges(rows, RowsPerBlock(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      const float* gate = x + r * 2 * features;
      float* dgate = dx + r * 2 * features;
      HWY_DYNAMIC_DISPATCH(GateBackward)
      (dgate + features, dgate, dy + r * features, gate + features, gate, features);
    }
  });
}

void apus_swiglu_reference_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t features) {
  for (ptrdiff_t r = 0; r < rows; ++r) {
    for (ptrdiff_t f = 0; f < features; ++f) {
      const double gate = x[r * 2 * features + f];
      const double up = x[r * 2 * features + features + f];
      y[r * features + f] = static_cast<float>(gate * Logistic(gate) * up);
    }
  }
}

void apus_swiglu_backward_reference_f32(float* dx, const float* dy, const float* x, ptrdiff_t rows,
                                        ptrdiff_t features) {
  for (ptrdiff_t r = 0; r < rows; ++r) {
    for (ptrdiff_t f = 0; f < features; ++f) {
      const double gate = x[r * 2 * features + f];
      const double up = x[r * 2 * features + features + f];
      const double g = dy[r * features + f];
      const double slope = Logistic(gate) * (1 + gate * Logistic(-gate));
      dx[r * 2 * features + f] = static_cast<float>(g * up * slope);
      dx[r * 2 * features + features + f] = static_cast<float>(g * gate * Logistic(gate));
    }
  }
}

void apus_gate_silu_f32(float* y, const float* a, const float* b, ptrdiff_t count) {
  ParallelRanges(count, kMathGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Gate)(y + begin, a + begin, b + begin, end - begin);
  });
}

void apus_gate_silu_backward_f32(float* da, float* db, const float* dy, const float* a,
                                 const float* b, ptrdiff_t count) {
  ParallelRanges(count, kMathGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(GateBackward)
    (da + begin, db + begin, dy + begin, a + begin, b + begin, end - begin);
  });
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
