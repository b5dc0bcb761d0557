// LSTM, forward and backward. Hochreiter and Schmidhuber, 1997; forget gate: Gers et al., 2000.
//
// Time is a chain, rows of the batch are not: blocks of kLstmRows sequences go to the threads, and
// each walks all tokens by itself, so that no thread ever waits for another inside a call.
// Letters: B batch, T time, H features, L lanes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/lstm.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "include/apus_kernels.h"
#include "ops/gates-inl.h"
#include "ops/row_products-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
namespace {

using Vector = hn::Vec<RowTag>;

constexpr ptrdiff_t kLstmRows = 6;

/// Activates the gates of one token of one sequence, and steps the cell. `before` is c_{t−1}, or
/// NULL for zeros.
void StepCell(float* hidden, float* cell, float* gates, const float* before, ptrdiff_t features) {
  const RowTag d;
  for (ptrdiff_t e = 0; e < features; e += RowLanes()) {
    const ptrdiff_t left = features - e;
    float *input = gates + e, *forget = input + features, *candidate = forget + features;
    float* output = candidate + features;
    const Vector i = Gate(d, LoadLanes(input, left));
    const Vector f = Gate(d, LoadLanes(forget, left));
    const Vector g = Tanh(d, LoadLanes(candidate, left));
    const Vector o = Gate(d, LoadLanes(output, left));
    Vector c = hn::Mul(i, g);
    if (before != nullptr) c = hn::MulAdd(f, LoadLanes(before + e, left), c);
    StoreLanes(i, input, left);
    StoreLanes(f, forget, left);
    StoreLanes(g, candidate, left);
    StoreLanes(o, output, left);
    StoreLanes(c, cell + e, left);
    StoreLanes(hn::Mul(o, Tanh(d, c)), hidden + e, left);
  }
}

/// Gradients of one token of one sequence. `dhidden` comes from above, `dcarry` from the next
/// token; dc is Γ of the cell: read for this token, written for the one before.
void StepCellBack(float* dgates, float* dc, const float* dhidden, const float* dcarry,
                  const float* gates, const float* cell, const float* before, ptrdiff_t features) {
  const RowTag d;
  const Vector one = hn::Set(d, 1.0f);
  for (ptrdiff_t e = 0; e < features; e += RowLanes()) {
    const ptrdiff_t left = features - e;
    const Vector i = LoadLanes(gates + e, left);
    const Vector f = LoadLanes(gates + features + e, left);
    const Vector g = LoadLanes(gates + 2 * features + e, left);
    const Vector o = LoadLanes(gates + 3 * features + e, left);
    const Vector dh = hn::Add(LoadLanes(dhidden + e, left), LoadLanes(dcarry + e, left));
    const Vector bent = Tanh(d, LoadLanes(cell + e, left));
    const Vector through = hn::Mul(hn::Mul(dh, o), hn::NegMulAdd(bent, bent, one));
    const Vector dcell = hn::Add(LoadLanes(dc + e, left), through);
    const Vector past = before != nullptr ? LoadLanes(before + e, left) : hn::Zero(d);
    const Vector slope_i = hn::Mul(i, hn::Sub(one, i)), slope_f = hn::Mul(f, hn::Sub(one, f));
    const Vector slope_o = hn::Mul(o, hn::Sub(one, o)), slope_g = hn::NegMulAdd(g, g, one);
    StoreLanes(hn::Mul(hn::Mul(dcell, g), slope_i), dgates + e, left);
    StoreLanes(hn::Mul(hn::Mul(dcell, past), slope_f), dgates + features + e, left);
    StoreLanes(hn::Mul(hn::Mul(dcell, i), slope_g), dgates + 2 * features + e, left);
    StoreLanes(hn::Mul(hn::Mul(dh, bent), slope_o), dgates + 3 * features + e, left);
    StoreLanes(hn::Mul(dcell, f), dc + e, left);
  }
}

/// U as panels of 2 L columns, [ceil(H / 2L), 4H, 2L], columns beyond H zero.
void PackPanels(float* panels, const float* recurrent, ptrdiff_t features) {
  const ptrdiff_t lanes = RowLanes();
  for (ptrdiff_t e = 0; e < features; e += 2 * lanes) {
    for (ptrdiff_t j = 0; j < 4 * features; ++j, panels += 2 * lanes) {
      const float* row = recurrent + j * features + e;
      const ptrdiff_t left = features - e;
      hn::Store(LoadLanes(row, left), RowTag(), panels);
      hn::Store(left > lanes ? LoadLanes(row + lanes, left - lanes) : hn::Zero(RowTag()), RowTag(),
                panels + lanes);
    }
  }
}

/// dcarry[r, 2L] = dgates[r] · panel for kRows rows.
template <int kRows>
void MultiplyPanel(float* dcarry, ptrdiff_t dcarry_stride, const float* dgates,
                   ptrdiff_t dgates_stride, const float* panel, ptrdiff_t inner) {
  const RowTag d;
  const ptrdiff_t lanes = RowLanes();
  Vector left[kRows], right[kRows];
  for (int r = 0; r < kRows; ++r) left[r] = right[r] = hn::Zero(d);
  for (ptrdiff_t j = 0; j < inner; ++j, panel += 2 * lanes) {
    const Vector u0 = hn::Load(d, panel), u1 = hn::Load(d, panel + lanes);
    for (int r = 0; r < kRows; ++r) {
      const Vector gate = hn::Set(d, dgates[r * dgates_stride + j]);
      left[r] = hn::MulAdd(gate, u0, left[r]);
      right[r] = hn::MulAdd(gate, u1, right[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    hn::Store(left[r], d, dcarry + r * dcarry_stride);
    hn::Store(right[r], d, dcarry + r * dcarry_stride + lanes);
  }
}

/// dcarry[r] = Uᵀ dgates[r] for `rows` rows; dcarry rows are padded to whole panels.
void MultiplyTransposed(float* dcarry, ptrdiff_t dcarry_stride, const float* dgates,
                        ptrdiff_t dgates_stride, const float* panels, ptrdiff_t rows,
                        ptrdiff_t features) {
  static_assert(kLstmRows == 6, "one case for each number of rows");
  const ptrdiff_t columns = 2 * RowLanes(), inner = 4 * features;
  for (ptrdiff_t e = 0; e < features; e += columns, panels += inner * columns) {
    float* to = dcarry + e;
    switch (rows) {
      case 6:
        MultiplyPanel<6>(to, dcarry_stride, dgates, dgates_stride, panels, inner);
        break;
      case 5:
        MultiplyPanel<5>(to, dcarry_stride, dgates, dgates_stride, panels, inner);
        break;
      case 4:
        MultiplyPanel<4>(to, dcarry_stride, dgates, dgates_stride, panels, inner);
        break;
      case 3:
        MultiplyPanel<3>(to, dcarry_stride, dgates, dgates_stride, panels, inner);
        break;
      case 2:
        MultiplyPanel<2>(to, dcarry_stride, dgates, dgates_stride, panels, inner);
        break;
      default:
        MultiplyPanel<1>(to, dcarry_stride, dgates, dgates_stride, panels, inner);
        break;
    }
  }
}

}  // namespace

void Lstm(float* hidden, float* cells, float* gates, float* state, const float* recurrent,
          ptrdiff_t batch, ptrdiff_t time, ptrdiff_t features) {
  ParallelRanges(batch, kLstmRows, [&](ptrdiff_t first, ptrdiff_t last) HWY_ATTR {
    for (ptrdiff_t t = 0; t < time; ++t) {
      const float *h[kLstmRows], *c[kLstmRows];
      for (ptrdiff_t b = first; b < last; ++b) {
        const ptrdiff_t before = (b * time + t - 1) * features;
        const float* start = state != nullptr ? state + b * 2 * features : nullptr;
        h[b - first] = t > 0 ? hidden + before : start;
        c[b - first] = t > 0 ? cells + before : start != nullptr ? start + features : nullptr;
      }
      if (h[0] != nullptr) {
        AddRowProducts(gates + (first * time + t) * 4 * features, time * 4 * features, recurrent, h,
                       last - first, 4 * features, features);
      }
      for (ptrdiff_t b = first; b < last; ++b) {
        const ptrdiff_t row = b * time + t;
        StepCell(hidden + row * features, cells + row * features, gates + row * 4 * features,
                 c[b - first], features);
      }
    }
    for (ptrdiff_t b = first; b < last && state != nullptr && time > 0; ++b) {
      const ptrdiff_t row = b * time + time - 1;
      std::copy_n(hidden + row * features, features, state + b * 2 * features);
      std::copy_n(cells + row * features, features, state + (b * 2 + 1) * features);
    }
  });
}

void LstmBackward(float* dgates, float* before, const float* dhidden, const float* hidden,
                  const float* cells, const float* gates, const float* recurrent, ptrdiff_t batch,
                  ptrdiff_t time, ptrdiff_t features) {
  const ptrdiff_t columns = 2 * RowLanes();
  const ptrdiff_t padded = (features + columns - 1) / columns * columns;
  Scratch shared(padded * 4 * features);
  float* panels = shared.Take(padded * 4 * features);
  PackPanels(panels, recurrent, features);
  ParallelRanges(batch, kLstmRows, [&](ptrdiff_t first, ptrdiff_t last) HWY_ATTR {
    Scratch scratch(2 * kLstmRows * padded + 16);
    float* dcarry = scratch.Take(kLstmRows * padded);
    float* dc = scratch.Take(kLstmRows * padded);
    std::fill_n(dcarry, kLstmRows * padded, 0.0f);
    std::fill_n(dc, kLstmRows * padded, 0.0f);
    for (ptrdiff_t t = time - 1; t >= 0; --t) {
      for (ptrdiff_t b = first; b < last; ++b) {
        const ptrdiff_t row = b * time + t, r = b - first;
        StepCellBack(dgates + row * 4 * features, dc + r * padded, dhidden + row * features,
                     dcarry + r * padded, gates + row * 4 * features, cells + row * features,
                     t > 0 ? cells + (row - 1) * features : nullptr, features);
        if (t > 0) {
          std::copy_n(hidden + (row - 1) * features, features, before + row * features);
        } else {
          std::fill_n(before + row * features, features, 0.0f);
        }
      }
      if (t == 0) break;
      MultiplyTransposed(dcarry, padded, dgates + (first * time + t) * 4 * features,
                         time * 4 * features, panels, last - first, features);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(Lstm);
HWY_EXPORT(LstmBackward);

extern "C" {

void apus_lstm_f32(float* hidden, float* cells, float* gates, float* state, const float* recurrent,
                   ptrdiff_t batch, ptrdiff_t time, ptrdiff_t features) {
  HWY_DYNAMIC_DISPATCH(Lstm)
  (hidden, cells, gates, state, recurrent, batch, time, features);
}

void apus_lstm_backward_f32(float* dgates, float* drecurrent, const float* dhidden,
                            const float* hidden, const float* cells, const float* gates,
                            const float* recurrent, ptrdiff_t batch, ptrdiff_t time,
                            ptrdiff_t features) {
  const ptrdiff_t rows = batch * time;
  Scratch scratch(rows * features);
  float* before = scratch.Take(rows * features);  // h_{t−1} of every token
  HWY_DYNAMIC_DISPATCH(LstmBackward)
  (dgates, before, dhidden, hidden, cells, gates, recurrent, batch, time, features);
  // dU = dgatesᵀ · h_{t−1}, in one product over all tokens.
  const apus_product_shape shape = {
      4 * features, features, rows, 4 * features, features, features, 1, 0, 0};
  apus_product_f32(drecurrent, dgates, before, nullptr, &shape);
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
