#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cross_entropy.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "include/apus_kernels.h"
#include "ops/math-inl.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// The largest of x. Not-a-number may be lost here; it comes back in the sum of exponentials.
HWY_INLINE float Largest(const float* x, ptrdiff_t count) {
  const D d;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  V most0 = hn::Set(d, -INFINITY), most1 = most0;
  ptrdiff_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    most0 = hn::Max(hn::LoadU(d, x + i), most0);
    most1 = hn::Max(hn::LoadU(d, x + i + lanes), most1);
  }
  float most = hn::GetLane(hn::MaxOfLanes(d, hn::Max(most0, most1)));
  for (; i < count; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

/// Σ exp(x − shift), in float; y gets the terms unless it is null.
HWY_INLINE float SumOfExponentials(float* y, const float* x, ptrdiff_t count, float shift) {
  const D d;
  const V s = hn::Set(d, shift);
  if (y == nullptr) {
    return MapSum(
        count, [&](V v) HWY_ATTR { return Exp(d, hn::Sub(v, s)); }, x);
  }
  V sum0 = hn::Zero(d), sum1 = sum0;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  ptrdiff_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const V e0 = Exp(d, hn::Sub(hn::LoadU(d, x + i), s));
    const V e1 = Exp(d, hn::Sub(hn::LoadU(d, x + i + lanes), s));
    hn::StoreU(e0, d, y + i);
    hn::StoreU(e1, d, y + i + lanes);
    sum0 = hn::Add(sum0, e0);
    sum1 = hn::Add(sum1, e1);
  }
  for (; i < count; i += lanes) {
    const ptrdiff_t rest = std::min(count - i, lanes);
    const V e = Exp(d, hn::Sub(LoadUpTo(d, x + i, rest), s));
    StoreUpTo(e, d, y + i, rest);
    sum0 = hn::Add(sum0, hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(rest)), e));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
}

/// One row. A long row is walked in chunks that stay in the first cache: the largest logit of a
/// chunk shifts its exponentials, and the last pass brings all chunks to the row's largest.
void CrossEntropyRow(float* logits, float* loss, int32_t target, ptrdiff_t vocabulary,
                     float gradient_scale) {
  constexpr ptrdiff_t kMostChunks = 256;
  const ptrdiff_t share = (vocabulary + kMostChunks - 1) / kMostChunks;
  const ptrdiff_t chunk = std::max(ptrdiff_t{2048}, share);
  const bool wants_gradient = gradient_scale != 0;
  const float target_logit = logits[target];
  float shifts[kMostChunks], sums[kMostChunks];
  float largest = -INFINITY;
  for (ptrdiff_t begin = 0, c = 0; begin < vocabulary; begin += chunk, ++c) {
    float* x = logits + begin;
    const ptrdiff_t count = std::min(chunk, vocabulary - begin);
    const float most = Largest(x, count);
    shifts[c] = most == -INFINITY ? 0.0f : most;  // −∞ − −∞ would be no number
    sums[c] = SumOfExponentials(wants_gradient ? x : nullptr, x, count, shifts[c]);
    largest = std::max(largest, most);
  }
  double sum = 0;
  for (ptrdiff_t begin = 0, c = 0; begin < vocabulary; begin += chunk, ++c) {
    if (sums[c] != 0) sum += sums[c] * std::exp(static_cast<double>(shifts[c]) - largest);
  }
  *loss = static_cast<float>(std::log(sum) - (static_cast<double>(target_logit) - largest));
  if (!wants_gradient) return;
  const D d;
  for (ptrdiff_t begin = 0, c = 0; begin < vocabulary; begin += chunk, ++c) {
    const double relative = sums[c] == 0 ? 0 : std::exp(static_cast<double>(shifts[c]) - largest);
    const V factor = hn::Set(d, static_cast<float>(relative * gradient_scale / sum));
    float* x = logits + begin;
    Map(
        x, std::min(chunk, vocabulary - begin), [&](V v) HWY_ATTR { return hn::Mul(v, factor); },
        x);
  }
  logits[target] -= gradient_scale;
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(CrossEntropyRow);

}  // namespace

extern "C" {

void apus_cross_entropy_f32(float* logits, float* losses, const int32_t* targets, ptrdiff_t rows,
                            ptrdiff_t vocabulary, float gradient_scale) {
  ParallelRanges(rows, RowGrain(vocabulary), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      float* row = logits + r * vocabulary;
      if (targets[r] < 0 || targets[r] >= vocabulary) {
        losses[r] = targets[r] < 0 ? 0.0f : std::numeric_limits<float>::quiet_NaN();
        if (gradient_scale != 0) std::fill_n(row, vocabulary, 0.0f);
        continue;
      }
      HWY_DYNAMIC_DISPATCH(CrossEntropyRow)
      (row, losses + r, targets[r], vocabulary, gradient_scale);
    }
  });
}

void apus_cross_entropy_reference_f32(float* logits, float* losses, const int32_t* targets,
                                      ptrdiff_t rows, ptrdiff_t vocabulary, float gradient_scale) {
  for (ptrdiff_t r = 0; r < rows; ++r, logits += vocabulary) {
    const int32_t target = targets[r];
    losses[r] = target < 0 ? 0.0f : std::numeric_limits<float>::quiet_NaN();
    if (target < 0 || target >= vocabulary) {
      if (gradient_scale != 0) std::fill_n(logits, vocabulary, 0.0f);
      continue;
    }
    const double largest = *std::max_element(logits, logits + vocabulary);
    double sum = 0;
    for (ptrdiff_t v = 0; v < vocabulary; ++v) sum += std::exp(logits[v] - largest);
    losses[r] = static_cast<float>(std::log(sum) - (logits[target] - largest));
    if (gradient_scale == 0) continue;
    for (ptrdiff_t v = 0; v < vocabulary; ++v) {
      const double probability = std::exp(logits[v] - largest) / sum;
      logits[v] = static_cast<float>((probability - (v == target)) * gradient_scale);
    }
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
