// Products of a few vectors with a small matrix, which recurrences take at every token. Included
// once per instruction set, after hwy/highway.h.
#if defined(APUS_OPS_ROW_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_ROW_PRODUCTS_INL_H_
#undef APUS_OPS_ROW_PRODUCTS_INL_H_
#else
#define APUS_OPS_ROW_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include "ops/gates-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {

/// y[r, 0 ..< 4] += M[0 ..< 4] · x[r] for kRows rows: dot products along M's rows, so that M is
/// read as it is stored. M has rows of `inner`, y's rows are `y_stride` apart.
template <int kRows>
HWY_INLINE void AddFourProducts(float* y, ptrdiff_t y_stride, const float* matrix,
                                const float* const* x, ptrdiff_t inner) {
  const RowTag d;
  const hn::Full128<float> four;
  const ptrdiff_t lanes = RowLanes();
  hn::Vec<RowTag> sum[kRows][4];
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < 4; ++j) sum[r][j] = hn::Zero(d);
  }
  ptrdiff_t k = 0;
  for (; k + lanes <= inner; k += lanes) {
    for (int j = 0; j < 4; ++j) {
      const auto u = hn::LoadU(d, matrix + j * inner + k);
      for (int r = 0; r < kRows; ++r) {
        sum[r][j] = hn::MulAdd(u, hn::LoadU(d, x[r] + k), sum[r][j]);
      }
    }
  }
  if (k < inner) {
    for (int j = 0; j < 4; ++j) {
      const auto u = LoadLanes(matrix + j * inner + k, inner - k);
      for (int r = 0; r < kRows; ++r) {
        sum[r][j] = hn::MulAdd(u, LoadLanes(x[r] + k, inner - k), sum[r][j]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* to = y + r * y_stride;
    const auto product = SumFour(sum[r][0], sum[r][1], sum[r][2], sum[r][3]);
    hn::StoreU(hn::Add(hn::LoadU(four, to), product), four, to);
  }
}

/// y[r] += M x[r] for `rows` rows. M is [outputs, inner]; outputs must be a multiple of four.
HWY_INLINE void AddRowProducts(float* y, ptrdiff_t y_stride, const float* matrix,
                               const float* const* x, ptrdiff_t rows, ptrdiff_t outputs,
                               ptrdiff_t inner) {
  for (ptrdiff_t j = 0; j < outputs; j += 4, matrix += 4 * inner) {
    ptrdiff_t r = 0;
    for (; r + 3 <= rows; r += 3) {
      AddFourProducts<3>(y + r * y_stride + j, y_stride, matrix, x + r, inner);
    }
    if (rows - r == 2) {
      AddFourProducts<2>(y + r * y_stride + j, y_stride, matrix, x + r, inner);
    } else if (rows - r == 1) {
      AddFourProducts<1>(y + r * y_stride + j, y_stride, matrix, x + r, inner);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#endif  // APUS_OPS_ROW_PRODUCTS_INL_H_
