// sLSTM, forward and backward. Beck et al., 2024, arXiv:2405.04517, equations 8 to 17.
//
// A head's tokens are a chain; heads and rows of the batch are not. A task takes kSlstmRows
// sequences of one head through all tokens.
//
// h = o c / n does not depend on the stabilizer m, which scales c and n alike: backward takes m as
// a constant, and loses nothing by it.
// Letters: B batch, T time, H heads, P features of a head, D = H P, L lanes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/slstm.cc"
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

#ifndef APUS_SLSTM_CALL
#define APUS_SLSTM_CALL
namespace apus::slstm {

/// Below every exponent, and finite: what m is before the first token.
constexpr float kNothing = -1e30f;
/// The forget gate is as good as open here; beyond, its logarithm would be lost in rounding.
constexpr float kOpen = 15.0f;

/// What one call keeps of every token, each [B, T, D].
struct Kept {
  float *hidden, *cells, *norms, *slopes;
};

}  // namespace apus::slstm
#endif

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
namespace {

using Vector = hn::Vec<RowTag>;

constexpr ptrdiff_t kSlstmRows = 6;

/// gates[r] += h[r] R for kRows rows, two vectors of columns from `first` on, `width` of them real.
template <int kRows>
HWY_INLINE void AddColumns(float* gates, ptrdiff_t stride, const float* recurrent,
                           const float* const* h, ptrdiff_t inner, ptrdiff_t columns,
                           ptrdiff_t first) {
  const RowTag d;
  const ptrdiff_t lanes = RowLanes(), width = columns - first;
  Vector left[kRows], right[kRows];
  for (int r = 0; r < kRows; ++r) left[r] = right[r] = hn::Zero(d);
  const float* matrix = recurrent + first;
  for (ptrdiff_t k = 0; k < inner; ++k, matrix += columns) {
    const Vector u0 = LoadLanes(matrix, width);
    const Vector u1 = width > lanes ? LoadLanes(matrix + lanes, width - lanes) : hn::Zero(d);
    for (int r = 0; r < kRows; ++r) {
      const Vector x = hn::Set(d, h[r][k]);
      left[r] = hn::MulAdd(x, u0, left[r]);
      right[r] = hn::MulAdd(x, u1, right[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* to = gates + r * stride + first;
    StoreLanes(hn::Add(LoadLanes(to, width), left[r]), to, width);
    if (width <= lanes) continue;
    to += lanes;
    StoreLanes(hn::Add(LoadLanes(to, width - lanes), right[r]), to, width - lanes);
  }
}

/// gates[r] += h[r] R for `rows` rows; R is [inner, columns].
void AddRecurrent(float* gates, ptrdiff_t stride, const float* recurrent, const float* const* h,
                  ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns) {
  for (ptrdiff_t e = 0; e < columns; e += 2 * RowLanes()) {
    ptrdiff_t r = 0;
    for (; r + 6 <= rows; r += 6) {
      AddColumns<6>(gates + r * stride, stride, recurrent, h + r, inner, columns, e);
    }
    for (; r + 3 <= rows; r += 3) {
      AddColumns<3>(gates + r * stride, stride, recurrent, h + r, inner, columns, e);
    }
    for (; r < rows; ++r) {
      AddColumns<1>(gates + r * stride, stride, recurrent, h + r, inner, columns, e);
    }
  }
}

/// One head of one sequence at one token: where its P numbers stand.
struct Place {
  float *hidden, *cell, *norm, *slope, *gates;
};

/// The memory between tokens: c, n and m of one head of one sequence, `size` apart.
struct Memory {
  float *c, *n, *m;
};

/// Activates the gates of one token, and steps the memory.
void StepMemory(const Place& at, const Memory& memory, ptrdiff_t size) {
  const RowTag d;
  for (ptrdiff_t e = 0; e < size; e += RowLanes()) {
    const ptrdiff_t left = size - e;
    float *input = at.gates + e, *forget = input + size, *candidate = forget + size;
    float* output = candidate + size;
    const Vector raw = LoadLanes(input, left);
    // ln σ(f) = −softplus(−f), whose slope is σ(−f).
    Vector slope;
    const Vector open = AtMost(d, LoadLanes(forget, left), slstm::kOpen);
    const Vector soft = Softplus(d, hn::Neg(open), slope);
    const Vector kept = hn::Sub(LoadLanes(memory.m + e, left), soft);
    const Vector m = hn::Max(raw, kept);
    const Vector i = ExpOfNegative(d, hn::Sub(raw, m)), f = ExpOfNegative(d, hn::Sub(kept, m));
    const Vector z = Tanh(d, LoadLanes(candidate, left)), o = Gate(d, LoadLanes(output, left));
    const Vector c = hn::MulAdd(f, LoadLanes(memory.c + e, left), hn::Mul(i, z));
    const Vector n = hn::MulAdd(f, LoadLanes(memory.n + e, left), i);
    StoreLanes(i, input, left);
    StoreLanes(f, forget, left);
    StoreLanes(z, candidate, left);
    StoreLanes(o, output, left);
    StoreLanes(c, at.cell + e, left);
    StoreLanes(n, at.norm + e, left);
    StoreLanes(slope, at.slope + e, left);
    StoreLanes(hn::Div(hn::Mul(o, c), n), at.hidden + e, left);
    StoreLanes(c, memory.c + e, left);
    StoreLanes(n, memory.n + e, left);
    StoreLanes(m, memory.m + e, left);
  }
}

/// Gradients of one token. `dhidden` comes from above, `dcarry` from the next token; dc and dn are
/// the gradients of the memory: read for this token, written for the one before, whose memory
/// `before` tells (NULL: empty).
void StepMemoryBack(float* dgates, float* dc, float* dn, const float* dhidden, const float* dcarry,
                    const Place& at, const Place* before, ptrdiff_t size) {
  const RowTag d;
  const Vector one = hn::Set(d, 1.0f);
  for (ptrdiff_t e = 0; e < size; e += RowLanes()) {
    const ptrdiff_t left = size - e;
    const float* gates = at.gates + e;
    const Vector i = LoadLanes(gates, left), f = LoadLanes(gates + size, left);
    const Vector z = LoadLanes(gates + 2 * size, left), o = LoadLanes(gates + 3 * size, left);
    const Vector dh = hn::Add(LoadLanes(dhidden + e, left), LoadLanes(dcarry + e, left));
    const Vector share = hn::Div(one, LoadLanes(at.norm + e, left));
    const Vector ratio = hn::Mul(LoadLanes(at.cell + e, left), share);  // c / n
    const Vector through = hn::Mul(hn::Mul(dh, o), share);
    const Vector dcell = hn::Add(LoadLanes(dc + e, left), through);
    const Vector dnorm = hn::NegMulAdd(through, ratio, LoadLanes(dn + e, left));
    const Vector past_c = before != nullptr ? LoadLanes(before->cell + e, left) : hn::Zero(d);
    const Vector past_n = before != nullptr ? LoadLanes(before->norm + e, left) : hn::Zero(d);
    const Vector df = hn::MulAdd(dcell, past_c, hn::Mul(dnorm, past_n));
    const Vector slope_o = hn::Mul(o, hn::Sub(one, o));
    StoreLanes(hn::Mul(i, hn::MulAdd(dcell, z, dnorm)), dgates + e, left);
    StoreLanes(hn::Mul(hn::Mul(f, df), LoadLanes(at.slope + e, left)), dgates + size + e, left);
    StoreLanes(hn::Mul(hn::Mul(dcell, i), hn::NegMulAdd(z, z, one)), dgates + 2 * size + e, left);
    StoreLanes(hn::Mul(hn::Mul(dh, ratio), slope_o), dgates + 3 * size + e, left);
    StoreLanes(hn::Mul(dcell, f), dc + e, left);
    StoreLanes(hn::Mul(dnorm, f), dn + e, left);
  }
}

/// dcarry[r] = R dgates[r] for `rows` rows; R is [size, 4 size], rows of dcarry are `padded` apart.
void MultiplyBack(float* dcarry, ptrdiff_t padded, const float* recurrent, const float* const* dg,
                  ptrdiff_t rows, ptrdiff_t size) {
  const ptrdiff_t whole = size / 4 * 4;
  for (ptrdiff_t r = 0; r < rows; ++r) std::fill_n(dcarry + r * padded, padded, 0.0f);
  AddRowProducts(dcarry, padded, recurrent, dg, rows, whole, 4 * size);
  const RowTag d;
  for (ptrdiff_t j = whole; j < size; ++j) {
    for (ptrdiff_t r = 0; r < rows; ++r) {
      Vector sum = hn::Zero(d);
      ForLanes(4 * size, [&](ptrdiff_t e, ptrdiff_t left) HWY_ATTR {
        sum = hn::MulAdd(LoadLanes(recurrent + j * 4 * size + e, left), LoadLanes(dg[r] + e, left),
                         sum);
      });
      dcarry[r * padded + j] = hn::GetLane(hn::SumOfLanes(d, sum));
    }
  }
}

/// One head of the sequences first ..< last.
struct HeadTask {
  const apus_slstm_shape& shape;
  ptrdiff_t head, first, last;

  HeadTask(const apus_slstm_shape& shape, ptrdiff_t index)
      : shape(shape),
        head(index % shape.heads),
        first(index / shape.heads * kSlstmRows),
        last(std::min(first + kSlstmRows, shape.batch)) {}

  static ptrdiff_t Count(const apus_slstm_shape& shape) {
    return (shape.batch + kSlstmRows - 1) / kSlstmRows * shape.heads;
  }
  ptrdiff_t width() const { return shape.heads * shape.head_size; }
  Place At(const slstm::Kept& kept, float* gates, ptrdiff_t batch, ptrdiff_t t) const {
    const ptrdiff_t at = (batch * shape.time + t) * width() + head * shape.head_size;
    return {kept.hidden + at, kept.cells + at, kept.norms + at, kept.slopes + at, gates + 4 * at};
  }
};

void SlstmForward(const HeadTask& task, const slstm::Kept& kept, float* gates, float* state,
                  const float* recurrent) {
  const ptrdiff_t size = task.shape.head_size, time = task.shape.time, width = task.width();
  const ptrdiff_t padded = Scratch::Rounded(size);
  Scratch scratch(4 * kSlstmRows * padded);
  float* memory = scratch.Take(4 * kSlstmRows * padded);
  const float* h[kSlstmRows];
  for (ptrdiff_t b = task.first; b < task.last; ++b) {
    float* own = memory + (b - task.first) * 4 * padded;
    const float* from = state == nullptr ? nullptr : state + b * 4 * width + task.head * size;
    for (ptrdiff_t part = 0; part < 4; ++part, own += padded) {
      if (from != nullptr) {
        std::copy_n(from + part * width, size, own);
      } else {
        std::fill_n(own, size, part == 3 ? slstm::kNothing : 0.0f);
      }
    }
    h[b - task.first] = memory + (b - task.first) * 4 * padded;
  }
  for (ptrdiff_t t = 0; t < time; ++t) {
    float* row = task.At(kept, gates, task.first, t).gates;
    if (t > 0 || state != nullptr) {
      AddRecurrent(row, time * 4 * width, recurrent, h, task.last - task.first, size, 4 * size);
    }
    for (ptrdiff_t b = task.first; b < task.last; ++b) {
      float* own = memory + (b - task.first) * 4 * padded;
      const Place at = task.At(kept, gates, b, t);
      StepMemory(at, {own + padded, own + 2 * padded, own + 3 * padded}, size);
      h[b - task.first] = at.hidden;
    }
  }
  for (ptrdiff_t b = task.first; b < task.last && state != nullptr && time > 0; ++b) {
    float* to = state + b * 4 * width + task.head * size;
    std::copy_n(h[b - task.first], size, to);
    for (ptrdiff_t part = 1; part < 4; ++part) {
      std::copy_n(memory + ((b - task.first) * 4 + part) * padded, size, to + part * width);
    }
  }
}

void SlstmBack(const HeadTask& task, float* dgates, float* before, const float* dhidden,
               const slstm::Kept& kept, float* gates, const float* recurrent) {
  const ptrdiff_t size = task.shape.head_size, time = task.shape.time;
  const ptrdiff_t padded = Scratch::Rounded(size);
  Scratch scratch(3 * kSlstmRows * padded);
  float* dcarry = scratch.Take(3 * kSlstmRows * padded);
  float *dc = dcarry + kSlstmRows * padded, *dn = dc + kSlstmRows * padded;
  std::fill_n(dcarry, 3 * kSlstmRows * padded, 0.0f);
  for (ptrdiff_t t = time - 1; t >= 0; --t) {
    const float* dg[kSlstmRows];
    for (ptrdiff_t b = task.first; b < task.last; ++b) {
      const ptrdiff_t r = b - task.first;
      const Place at = task.At(kept, gates, b, t);
      const ptrdiff_t place = at.hidden - kept.hidden;
      Place past;
      if (t > 0) past = task.At(kept, gates, b, t - 1);
      float* to = dgates + 4 * place;
      StepMemoryBack(to, dc + r * padded, dn + r * padded, dhidden + place, dcarry + r * padded, at,
                     t > 0 ? &past : nullptr, size);
      if (t > 0) {
        std::copy_n(past.hidden, size, before + place);
      } else {
        std::fill_n(before + place, size, 0.0f);
      }
      dg[r] = to;
    }
    if (t > 0) MultiplyBack(dcarry, padded, recurrent, dg, task.last - task.first, size);
  }
}

}  // namespace

void Slstm(const slstm::Kept& kept, float* gates, float* state, const float* recurrent,
           const apus_slstm_shape& shape) {
  const ptrdiff_t matrix = 4 * shape.head_size * shape.head_size;
  ParallelBlocks(HeadTask::Count(shape), [&](ptrdiff_t index) HWY_ATTR {
    const HeadTask task(shape, index);
    SlstmForward(task, kept, gates, state, recurrent + task.head * matrix);
  });
}

void SlstmBackward(float* dgates, float* before, const float* dhidden, const slstm::Kept& kept,
                   float* gates, const float* recurrent, const apus_slstm_shape& shape) {
  const ptrdiff_t matrix = 4 * shape.head_size * shape.head_size;
  ParallelBlocks(HeadTask::Count(shape), [&](ptrdiff_t index) HWY_ATTR {
    const HeadTask task(shape, index);
    SlstmBack(task, dgates, before, dhidden, kept, gates, recurrent + task.head * matrix);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(Slstm);
HWY_EXPORT(SlstmBackward);

extern "C" {

float apus_slstm_nothing(void) { return slstm::kNothing; }

void apus_slstm_f32(float* hidden, float* cells, float* norms, float* slopes, float* gates,
                    float* state, const float* recurrent, const apus_slstm_shape* shape) {
  HWY_DYNAMIC_DISPATCH(Slstm)({hidden, cells, norms, slopes}, gates, state, recurrent, *shape);
}

void apus_slstm_backward_f32(float* dgates, float* drecurrent, const float* dhidden,
                             const float* hidden, const float* cells, const float* norms,
                             const float* slopes, const float* gates, const float* recurrent,
                             const apus_slstm_shape* shape) {
  const ptrdiff_t rows = shape->batch * shape->time, size = shape->head_size;
  const ptrdiff_t width = shape->heads * size;
  Scratch scratch(rows * width);
  float* before = scratch.Take(rows * width);  // h_{t−1} of every token
  // A place names where numbers stand, to be read here and to be written in the forward pass.
  const slstm::Kept kept = {const_cast<float*>(hidden), const_cast<float*>(cells),
                            const_cast<float*>(norms), const_cast<float*>(slopes)};
  HWY_DYNAMIC_DISPATCH(SlstmBackward)
  (dgates, before, dhidden, kept, const_cast<float*>(gates), recurrent, *shape);
  // dR = h_{t−1}ᵀ · dgates, head by head in one product over all tokens.
  const apus_product_shape product = {size, 4 * size, rows, width, 4 * width, 4 * size, 1, 0, 0};
  for (ptrdiff_t head = 0; head < shape->heads; ++head) {
    apus_product_f32(drecurrent + head * 4 * size * size, before + head * size,
                     dgates + head * 4 * size, nullptr, &product);
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
