// Loops over arrays of any length, shared by the element-wise kernels. Included once per
// instruction set, after hwy/highway.h and inside no namespace.
#if defined(APUS_SUPPORT_LOOPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_SUPPORT_LOOPS_INL_H_
#undef APUS_SUPPORT_LOOPS_INL_H_
#else
#define APUS_SUPPORT_LOOPS_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// The first `count` elements at `p`, fewer than a vector; zeros behind them. Reads nothing else.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> LoadUpTo(D d, const T* HWY_RESTRICT p, ptrdiff_t count) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN T lanes[hn::MaxLanes(d)] = {};
  for (ptrdiff_t i = 0; i < count; ++i) lanes[i] = p[i];
  return hn::Load(d, lanes);
#else
  return hn::MaskedLoad(hn::FirstN(d, static_cast<size_t>(count)), d, p);
#endif
}

/// Stores the first `count` lanes, fewer than a vector, and touches nothing behind them.
template <class D, class V = hn::Vec<D>, class T = hn::TFromD<D>>
HWY_INLINE void StoreUpTo(V v, D d, T* HWY_RESTRICT p, ptrdiff_t count) {
#if HWY_MEM_OPS_MIGHT_FAULT
  HWY_ALIGN T lanes[hn::MaxLanes(d)];
  hn::Store(v, d, lanes);
  for (ptrdiff_t i = 0; i < count; ++i) p[i] = lanes[i];
#else
  hn::BlendedStore(v, hn::FirstN(d, static_cast<size_t>(count)), d, p);
#endif
}

/// y[i] = f(in[i]...), a vector at a time. `y` may be any of the inputs.
template <class F, class... In>
HWY_INLINE void Map(float* y, ptrdiff_t count, const F& f, const In*... in) {
  const hn::ScalableTag<float> d;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  ptrdiff_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(f(hn::LoadU(d, in + i)...), d, y + i);
  if (i < count) StoreUpTo(f(LoadUpTo(d, in + i, count - i)...), d, y + i, count - i);
}

/// The same with stores that go past the caches: for outputs that would not stay in them, it saves
/// reading every line of y before writing it.
template <class F, class... In>
HWY_INLINE void MapStreamed(float* y, ptrdiff_t count, const F& f, const In*... in) {
  const hn::ScalableTag<float> d;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const ptrdiff_t past = (reinterpret_cast<uintptr_t>(y) / sizeof(float)) % lanes;
  ptrdiff_t i = past == 0 ? 0 : lanes - past;
  if (i > count) i = count;
  if (i > 0) StoreUpTo(f(LoadUpTo(d, in, i)...), d, y, i);
  for (; i + lanes <= count; i += lanes) hn::Stream(f(hn::LoadU(d, in + i)...), d, y + i);
  if (i < count) StoreUpTo(f(LoadUpTo(d, in + i, count - i)...), d, y + i, count - i);
  hwy::FlushStream();
}

/// Σ_i f(in[i]...) in float: four partial vectors, then the lanes.
template <class F, class... In>
HWY_INLINE float MapSum(ptrdiff_t count, const F& f, const In*... in) {
  const hn::ScalableTag<float> d;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  ptrdiff_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    sum0 = hn::Add(sum0, f(hn::LoadU(d, in + i)...));
    sum1 = hn::Add(sum1, f(hn::LoadU(d, in + i + lanes)...));
    sum2 = hn::Add(sum2, f(hn::LoadU(d, in + i + 2 * lanes)...));
    sum3 = hn::Add(sum3, f(hn::LoadU(d, in + i + 3 * lanes)...));
  }
  for (; i + lanes <= count; i += lanes) sum0 = hn::Add(sum0, f(hn::LoadU(d, in + i)...));
  if (i < count) {
    const auto rest = hn::FirstN(d, static_cast<size_t>(count - i));
    sum1 = hn::Add(sum1, hn::IfThenElseZero(rest, f(LoadUpTo(d, in + i, count - i)...)));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
