#include "support/parallel.h"
#include "support/product.h"
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "support/vector_product.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Dot products of one row of a with four rows of b. Two accumulators for each hide the latency.
void FourDots(float out[4], const float* a, const float* b, ptrdiff_t stride, ptrdiff_t length) {
  const hn::ScalableTag<float> d;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const float *b0 = b, *b1 = b + stride, *b2 = b + 2 * stride, *b3 = b + 3 * stride;
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  auto t0 = hn::Zero(d), t1 = hn::Zero(d), t2 = hn::Zero(d), t3 = hn::Zero(d);
  ptrdiff_t k = 0;
  for (; k + 2 * lanes <= length; k += 2 * lanes) {
    const auto x = hn::LoadU(d, a + k), y = hn::LoadU(d, a + k + lanes);
    s0 = hn::MulAdd(x, hn::LoadU(d, b0 + k), s0);
    s1 = hn::MulAdd(x, hn::LoadU(d, b1 + k), s1);
    s2 = hn::MulAdd(x, hn::LoadU(d, b2 + k), s2);
    s3 = hn::MulAdd(x, hn::LoadU(d, b3 + k), s3);
    t0 = hn::MulAdd(y, hn::LoadU(d, b0 + k + lanes), t0);
    t1 = hn::MulAdd(y, hn::LoadU(d, b1 + k + lanes), t1);
    t2 = hn::MulAdd(y, hn::LoadU(d, b2 + k + lanes), t2);
    t3 = hn::MulAdd(y, hn::LoadU(d, b3 + k + lanes), t3);
  }
  for (; k + lanes <= length; k += lanes) {
    const auto x = hn::LoadU(d, a + k);
    s0 = hn::MulAdd(x, hn::LoadU(d, b0 + k), s0);
    s1 = hn::MulAdd(x, hn::LoadU(d, b1 + k), s1);
    s2 = hn::MulAdd(x, hn::LoadU(d, b2 + k), s2);
    s3 = hn::MulAdd(x, hn::LoadU(d, b3 + k), s3);
  }
  out[0] = hn::GetLane(hn::SumOfLanes(d, hn::Add(s0, t0)));
  out[1] = hn::GetLane(hn::SumOfLanes(d, hn::Add(s1, t1)));
  out[2] = hn::GetLane(hn::SumOfLanes(d, hn::Add(s2, t2)));
  out[3] = hn::GetLane(hn::SumOfLanes(d, hn::Add(s3, t3)));
  for (; k < length; ++k) {
    out[0] += a[k] * b0[k];
    out[1] += a[k] * b1[k];
    out[2] += a[k] * b2[k];
    out[3] += a[k] * b3[k];
  }
}

float Dot(const float* a, const float* b, ptrdiff_t length) {
  const hn::ScalableTag<float> d;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  auto s = hn::Zero(d);
  ptrdiff_t k = 0;
  for (; k + lanes <= length; k += lanes) {
    s = hn::MulAdd(hn::LoadU(d, a + k), hn::LoadU(d, b + k), s);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, s));
  for (; k < length; ++k) sum += a[k] * b[k];
  return sum;
}

/// Columns first ..< last of c, for all rows of a. A number of c depends on its row of a and its
/// row of b alone, and on whether the columns end before four from a multiple of four on.
void VectorColumns(float* c, const float* a, const float* b, const float* bias,
                   const apus_product_shape& s, ptrdiff_t first, ptrdiff_t last) {
  for (ptrdiff_t j = first; j < last; j += 4) {
    const ptrdiff_t width = last - j < 4 ? last - j : 4;
    for (ptrdiff_t i = 0; i < s.rows; ++i) {
      float sums[4] = {0, 0, 0, 0};
      if (width == 4) {
        FourDots(sums, a + i * s.a_stride, b + j * s.b_stride, s.b_stride, s.inner);
      } else {
        for (ptrdiff_t w = 0; w < width; ++w) {
          sums[w] = Dot(a + i * s.a_stride, b + (j + w) * s.b_stride, s.inner);
        }
      }
      float* out = c + i * s.c_stride + j;
      for (ptrdiff_t w = 0; w < width; ++w) {
        float sum = sums[w];
        if (bias != nullptr) sum += bias[j + w];
        out[w] = s.accumulate ? out[w] + sum : sum;
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {

HWY_EXPORT(VectorColumns);

void VectorProduct(float* c, const float* a, const float* b, const float* bias,
                   const apus_product_shape& s) {
  // Below about 256 KB of b, or as much work, a hand-over to another thread costs more than it
  // saves.
  if (s.rows > kVectorProductRows) {
    const ptrdiff_t work = s.inner * s.columns;
    ParallelRanges(s.rows, 262144 / (work < 1 ? 1 : work) + 1,
                   [&](ptrdiff_t first, ptrdiff_t last) {
                     apus_product_shape part = s;
                     part.rows = last - first;
                     HWY_DYNAMIC_DISPATCH(VectorColumns)
                     (c + first * s.c_stride, a + first * s.a_stride, b, bias, part, 0, s.columns);
                   });
    return;
  }
  const ptrdiff_t columns_per_block = (65536 / (s.inner < 1 ? 1 : s.inner) + 4) / 4 * 4;
  ParallelRanges(s.columns, columns_per_block, [&](ptrdiff_t first, ptrdiff_t last) {
    HWY_DYNAMIC_DISPATCH(VectorColumns)(c, a, b, bias, s, first, last);
  });
}

}  // namespace apus
#endif
