#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/clamp.cc"
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

void ClampBlock(float* y, const float* x, float limit, ptrdiff_t count) {
  const auto f = [limit](V v) HWY_ATTR { return Clamp(D(), v, -limit, limit); };
  Map(y, count, f, x);
}

void ClampBackwardBlock(float* dx, const float* dy, const float* x, float limit, ptrdiff_t count) {
  const V most = hn::Set(D(), limit);
  const auto f = [most](V g, V v)
                     HWY_ATTR { return hn::IfThenElseZero(hn::Lt(hn::Abs(v), most), g); };
  Map(dx, count, f, dy, x);
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(ClampBlock);
HWY_EXPORT(ClampBackwardBlock);

}  // namespace

extern "C" {

void apus_clamp_f32(float* y, const float* x, float limit, ptrdiff_t count) {
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(ClampBlock)(y + begin, x + begin, limit, end - begin);
  });
}

void apus_clamp_backward_f32(float* dx, const float* dy, const float* x, float limit,
                             ptrdiff_t count) {
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(ClampBackwardBlock)(dx + begin, dy + begin, x + begin, limit, end - begin);
  });
}

void apus_clamp_reference_f32(float* y, const float* x, float limit, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; ++i)
    y[i] = x[i] > limit ? limit : (x[i] < -limit ? -limit : x[i]);
}

void apus_clamp_backward_reference_f32(float* dx, const float* dy, const float* x, float limit,
                                       ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; ++i) dx[i] = std::abs(x[i]) < limit ? dy[i] : 0;
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
