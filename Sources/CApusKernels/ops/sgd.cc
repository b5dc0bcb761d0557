#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/sgd.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "include/apus_kernels.h"
#include "ops/grain.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

void Sgd(float* parameter, float* velocity, const float* gradient, ptrdiff_t count,
         float learning_rate, float momentum, float weight_decay, float gradient_scale) {
  const D d;
  const auto accelerate = [&](V v, V g, V p) HWY_ATTR {
    const V decayed =
        hn::MulAdd(hn::Set(d, gradient_scale), g, hn::Mul(hn::Set(d, weight_decay), p));
    return hn::MulAdd(hn::Set(d, momentum), v, decayed);
  };
  const auto move = [&](V p, V v)
                        HWY_ATTR { return hn::NegMulAdd(hn::Set(d, learning_rate), v, p); };
  // The two passes share a block that stays in the first cache: memory is walked once.
  constexpr ptrdiff_t kBatch = 1024;
  for (ptrdiff_t begin = 0; begin < count; begin += kBatch) {
    const ptrdiff_t length = count - begin < kBatch ? count - begin : kBatch;
    float* p = parameter + begin;
    float* v = velocity + begin;
    Map(v, length, accelerate, v, gradient + begin, p);
    Map(p, length, move, p, v);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(Sgd);

}  // namespace

extern "C" {

void apus_sgd_f32(float* parameter, float* velocity, const float* gradient, ptrdiff_t count,
                  float learning_rate, float momentum, float weight_decay, float gradient_scale) {
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Sgd)
    (parameter + begin, velocity + begin, gradient + begin, end - begin, learning_rate, momentum,
     weight_decay, gradient_scale);
  });
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
