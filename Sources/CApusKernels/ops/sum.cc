#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/sum.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <algorithm>

#include "include/apus_kernels.h"
#include "ops/grain.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

/// Σ f(x) in double, with four partial vectors.
template <class F>
HWY_INLINE double SumInDouble(const float* x, ptrdiff_t count, const F& f) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> df;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const auto load = [&](const float* p) HWY_ATTR { return hn::PromoteTo(d, hn::LoadU(df, p)); };
  auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  ptrdiff_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    sum0 = f(sum0, load(x + i));
    sum1 = f(sum1, load(x + i + lanes));
    sum2 = f(sum2, load(x + i + 2 * lanes));
    sum3 = f(sum3, load(x + i + 3 * lanes));
  }
  for (; i + lanes <= count; i += lanes) sum0 = f(sum0, load(x + i));
  if (i < count) sum1 = f(sum1, hn::PromoteTo(d, LoadUpTo(df, x + i, count - i)));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
}

double Sum(const float* x, ptrdiff_t count) {
  using Vector = hn::Vec<hn::ScalableTag<double>>;
  return SumInDouble(x, count, [](Vector sum, Vector v) HWY_ATTR { return hn::Add(sum, v); });
}

double SumOfSquares(const float* x, ptrdiff_t count) {
  using Vector = hn::Vec<hn::ScalableTag<double>>;
  return SumInDouble(x, count, [](Vector sum, Vector v) HWY_ATTR { return hn::MulAdd(v, v, sum); });
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(Sum);
HWY_EXPORT(SumOfSquares);

/// Sums blocks in parallel and their sums in order. The blocks follow from the count alone.
template <class BlockSum>
double SumOfBlocks(ptrdiff_t count, const BlockSum& block_sum) {
  constexpr ptrdiff_t kMostBlocks = 256;
  double sums[kMostBlocks];
  const ptrdiff_t share = (count + kMostBlocks - 1) / kMostBlocks;
  const ptrdiff_t grain = std::max(kMemoryGrain, share);
  ParallelRanges(count, grain, [&](ptrdiff_t begin, ptrdiff_t end) {
    sums[begin / grain] = block_sum(begin, end - begin);
  });
  double sum = 0;
  for (ptrdiff_t block = 0; block * grain < count; ++block) sum += sums[block];
  return sum;
}

}  // namespace

extern "C" {

double apus_sum_f32(const float* x, ptrdiff_t count) {
  return SumOfBlocks(count, [&](ptrdiff_t begin, ptrdiff_t length) {
    return HWY_DYNAMIC_DISPATCH(Sum)(x + begin, length);
  });
}

double apus_sum_of_squares_f32(const float* x, ptrdiff_t count) {
  return SumOfBlocks(count, [&](ptrdiff_t begin, ptrdiff_t length) {
    return HWY_DYNAMIC_DISPATCH(SumOfSquares)(x + begin, length);
  });
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
