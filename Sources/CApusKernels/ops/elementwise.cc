#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/elementwise.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "include/apus_kernels.h"
#include "ops/grain.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using Vector = hn::Vec<hn::ScalableTag<float>>;

/// Stores past the caches where the output is long and none of the inputs.
template <class F, class... In>
HWY_INLINE void MapEither(bool streamed, float* y, ptrdiff_t count, const F& f, const In*... in) {
  if (streamed) return MapStreamed(y, count, f, in...);
  Map(y, count, f, in...);
}

void Fill(float* y, float value, ptrdiff_t count, bool streamed) {
  const auto v = hn::Set(hn::ScalableTag<float>(), value);
  MapEither(streamed, y, count, [&]() HWY_ATTR { return v; });
}

void Add(float* y, const float* a, const float* b, ptrdiff_t count, bool streamed) {
  const auto f = [](Vector u, Vector v) HWY_ATTR { return hn::Add(u, v); };
  MapEither(streamed, y, count, f, a, b);
}

void Multiply(float* y, const float* a, const float* b, ptrdiff_t count, bool streamed) {
  const auto f = [](Vector u, Vector v) HWY_ATTR { return hn::Mul(u, v); };
  MapEither(streamed, y, count, f, a, b);
}

void AddScaled(float* y, const float* x, float scale, ptrdiff_t count) {
  const auto s = hn::Set(hn::ScalableTag<float>(), scale);
  const auto f = [&](Vector u, Vector v) HWY_ATTR { return hn::MulAdd(s, u, v); };
  Map(y, count, f, x, y);
}

void Scale(float* y, const float* x, float scale, ptrdiff_t count, bool streamed) {
  const auto s = hn::Set(hn::ScalableTag<float>(), scale);
  MapEither(
      streamed, y, count, [&](Vector v) HWY_ATTR { return hn::Mul(s, v); }, x);
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(Fill);
HWY_EXPORT(Add);
HWY_EXPORT(Multiply);
HWY_EXPORT(AddScaled);
HWY_EXPORT(Scale);

}  // namespace

extern "C" {

void apus_fill_f32(float* y, float value, ptrdiff_t count) {
  const bool streamed = count >= kStreamedCount;
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Fill)(y + begin, value, end - begin, streamed);
  });
}

void apus_add_f32(float* y, const float* a, const float* b, ptrdiff_t count) {
  const bool streamed = count >= kStreamedCount && y != a && y != b;
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Add)(y + begin, a + begin, b + begin, end - begin, streamed);
  });
}

void apus_multiply_f32(float* y, const float* a, const float* b, ptrdiff_t count) {
  const bool streamed = count >= kStreamedCount && y != a && y != b;
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Multiply)(y + begin, a + begin, b + begin, end - begin, streamed);
  });
}

void apus_axpy_f32(float* y, const float* x, float scale, ptrdiff_t count) {
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(AddScaled)(y + begin, x + begin, scale, end - begin);
  });
}

void apus_scale_f32(float* y, const float* x, float scale, ptrdiff_t count) {
  const bool streamed = count >= kStreamedCount && y != x;
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Scale)(y + begin, x + begin, scale, end - begin, streamed);
  });
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
