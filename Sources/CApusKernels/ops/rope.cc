// Rotary positions: each pair of features of a head turns by an angle that grows with the position.
// Su et al., 2021, arXiv:2104.09864, equation 34.
#include "include/apus_kernels.h"
#include "support/parallel.h"
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/rope.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

/// Turns one head; `sign` is −1 for the way back.
void TurnHead(float* HWY_RESTRICT x, const float* HWY_RESTRICT cosine,
              const float* HWY_RESTRICT sine, ptrdiff_t pairs, bool interleaved, float sign) {
  const hn::ScalableTag<float> f;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(f));
  const auto direction = hn::Set(f, sign);
  ptrdiff_t m = 0;
  for (; m + lanes <= pairs; m += lanes) {
    const auto c = hn::LoadU(f, cosine + m), s = hn::Mul(direction, hn::LoadU(f, sine + m));
    auto a = hn::Zero(f), b = hn::Zero(f);
    if (interleaved) {
      hn::LoadInterleaved2(f, x + 2 * m, a, b);
    } else {
      a = hn::LoadU(f, x + m);
      b = hn::LoadU(f, x + pairs + m);
    }
    const auto turned_a = hn::NegMulAdd(b, s, hn::Mul(a, c));
    const auto turned_b = hn::MulAdd(a, s, hn::Mul(b, c));
    if (interleaved) {
      hn::StoreInterleaved2(turned_a, turned_b, f, x + 2 * m);
    } else {
      hn::StoreU(turned_a, f, x + m);
      hn::StoreU(turned_b, f, x + pairs + m);
    }
  }
  for (; m < pairs; ++m) {
    float& first = x[interleaved ? 2 * m : m];
    float& second = x[interleaved ? 2 * m + 1 : m + pairs];
    const float a = first, b = second, s = sign * sine[m];
    first = a * cosine[m] - b * s;
    second = b * cosine[m] + a * s;
  }
}

void TurnRows(float* x, const float* cosine, const float* sine, const int32_t* positions,
              ptrdiff_t begin, ptrdiff_t end, ptrdiff_t heads, ptrdiff_t head_size, ptrdiff_t pairs,
              ptrdiff_t stride, bool interleaved, float sign) {
  for (ptrdiff_t row = begin; row < end; ++row) {
    const ptrdiff_t at = positions[row] * pairs;
    for (ptrdiff_t head = 0; head < heads; ++head) {
      TurnHead(x + row * stride + head * head_size, cosine + at, sine + at, pairs, interleaved,
               sign);
    }
  }
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(TurnRows);
}  // namespace
}  // namespace apus

extern "C" {

void apus_rope_f32(float* x, const float* cosine, const float* sine, const int32_t* positions,
                   ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t head_size, ptrdiff_t pairs,
                   ptrdiff_t stride, int interleaved, int inverse) {
  using namespace apus;
  ParallelRanges(rows, RowGrain(heads * head_size), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(TurnRows)
    (x, cosine, sine, positions, begin, end, heads, head_size, pairs, stride, interleaved != 0,
     inverse != 0 ? -1.0f : 1.0f);
  });
}

void apus_rope_reference_f32(float* x, const float* cosine, const float* sine,
                             const int32_t* positions, ptrdiff_t rows, ptrdiff_t heads,
                             ptrdiff_t head_size, ptrdiff_t pairs, ptrdiff_t stride,
                             int interleaved, int inverse) {
  for (ptrdiff_t row = 0; row < rows; ++row) {
    for (ptrdiff_t head = 0; head < heads; ++head) {
      for (ptrdiff_t m = 0; m < pairs; ++m) {
        float* features = x + row * stride + head * head_size;
        float& first = features[interleaved ? 2 * m : m];
        float& second = features[interleaved ? 2 * m + 1 : m + pairs];
        const double a = first, b = second, c = cosine[positions[row] * pairs + m];
        const double s = (inverse ? -1.0 : 1.0) * sine[positions[row] * pairs + m];
        first = static_cast<float>(a * c - b * s);
        second = static_cast<float>(b * c + a * s);
      }
    }
  }
}

}  // extern "C"
#endif
