#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/expert_dispatch.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "include/apus_kernels.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// y = Σ_s weights[s] · x[rows[s]], in order.
void CombineRow(float* y, const float* x, const float* weights, const int32_t* rows,
                ptrdiff_t features, ptrdiff_t per_token, ptrdiff_t x_stride) {
  bool isFirst = true;
  for (ptrdiff_t s = 0; s < per_token; ++s) {
    if (rows[s] < 0) continue;
    const float* row = x + rows[s] * x_stride;
    const V w = hn::Set(D(), weights == nullptr ? 1.0f : weights[s]);
    if (isFirst) {
      const auto f = [&](V a) HWY_ATTR { return hn::Mul(a, w); };
      Map(y, features, f, row);
    } else {
      const auto f = [&](V sum, V a) HWY_ATTR { return hn::MulAdd(a, w, sum); };
      Map(y, features, f, y, row);
    }
    isFirst = false;
  }
  if (isFirst) std::fill_n(y, features, 0.0f);
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(CombineRow);

}  // namespace

extern "C" {

ptrdiff_t apus_expert_dispatch(int32_t* offsets, int32_t* row_slots, int32_t* slot_rows,
                               const int32_t* chosen, ptrdiff_t tokens, ptrdiff_t experts,
                               ptrdiff_t per_token) {
  const ptrdiff_t slots = tokens * per_token;
  std::vector<int32_t> next(static_cast<size_t>(experts) + 1, 0);
  for (ptrdiff_t i = 0; i < slots; ++i) ++next[static_cast<size_t>(chosen[i] + 1)];
  next[0] = 0;  // what counted the slots without an expert
  for (ptrdiff_t e = 0; e < experts; ++e) next[e + 1] += next[e];
  std::copy(next.begin(), next.end(), offsets);
  // Slots come by token, so the rows of an expert do too.
  for (ptrdiff_t i = 0; i < slots; ++i) {
    slot_rows[i] = -1;
    if (chosen[i] < 0) continue;
    const int32_t row = next[static_cast<size_t>(chosen[i])]++;
    row_slots[row] = static_cast<int32_t>(i);
    slot_rows[i] = row;
  }
  return offsets[experts];
}

void apus_expert_gather_f32(float* y, const float* x, const int32_t* row_slots, ptrdiff_t rows,
                            ptrdiff_t features, ptrdiff_t per_token, ptrdiff_t y_stride) {
  const size_t bytes = static_cast<size_t>(features) * sizeof(float);
  ParallelRanges(rows, RowGrain(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      std::memcpy(y + r * y_stride, x + row_slots[r] / per_token * features, bytes);
    }
  });
}

void apus_expert_combine_f32(float* y, const float* x, const float* weights,
                             const int32_t* slot_rows, ptrdiff_t tokens, ptrdiff_t features,
                             ptrdiff_t per_token, ptrdiff_t x_stride) {
  ParallelRanges(tokens, RowGrain(features * per_token), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t t = begin; t < end; ++t) {
      HWY_DYNAMIC_DISPATCH(CombineRow)
      (y + t * features, x, weights == nullptr ? nullptr : weights + t * per_token,
       slot_rows + t * per_token, features, per_token, x_stride);
    }
  });
}

ptrdiff_t apus_expert_dispatch_reference(int32_t* offsets, int32_t* row_slots, int32_t* slot_rows,
                                         const int32_t* chosen, ptrdiff_t tokens, ptrdiff_t experts,
                                         ptrdiff_t per_token) {
  int32_t rows = 0;
  std::fill_n(slot_rows, tokens * per_token, -1);
  for (ptrdiff_t e = 0; e < experts; ++e) {
    offsets[e] = rows;
    for (ptrdiff_t i = 0; i < tokens * per_token; ++i) {
      if (chosen[i] != e) continue;
      row_slots[rows] = static_cast<int32_t>(i);
      slot_rows[i] = rows++;
    }
  }
  offsets[experts] = rows;
  return rows;
}

void apus_expert_gather_reference_f32(float* y, const float* x, const int32_t* row_slots,
                                      ptrdiff_t rows, ptrdiff_t features, ptrdiff_t per_token,
                                      ptrdiff_t y_stride) {
  for (ptrdiff_t r = 0; r < rows; ++r) {
    for (ptrdiff_t i = 0; i < features; ++i) {
      y[r * y_stride + i] = x[row_slots[r] / per_token * features + i];
    }
  }
}

void apus_expert_combine_reference_f32(float* y, const float* x, const float* weights,
                                       const int32_t* slot_rows, ptrdiff_t tokens,
                                       ptrdiff_t features, ptrdiff_t per_token,
                                       ptrdiff_t x_stride) {
  for (ptrdiff_t t = 0; t < tokens; ++t) {
    for (ptrdiff_t i = 0; i < features; ++i) {
      double sum = 0;
      for (ptrdiff_t s = 0; s < per_token; ++s) {
        const ptrdiff_t row = slot_rows[t * per_token + s];
        const double weight = weights == nullptr ? 1 : weights[t * per_token + s];
        if (row >= 0) sum += weight * x[row * x_stride + i];
      }
      y[t * features + i] = static_cast<float>(sum);
    }
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
