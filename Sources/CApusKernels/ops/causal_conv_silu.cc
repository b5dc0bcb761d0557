// Causal depthwise convolution with SiLU: the front of Mamba's mixer.
// Letters: B batch, T time, E channels, K width, L lanes. Lanes are channels; rows are tokens.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/causal_conv_silu.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "include/apus_kernels.h"
#include "ops/gates-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

#ifndef APUS_CAUSAL_CONV_SILU_SHAPE
#define APUS_CAUSAL_CONV_SILU_SHAPE
namespace apus {
struct ConvShape {
  ptrdiff_t batch, time, channels, width, x_stride, dx_stride;
};
}  // namespace apus
#endif

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
namespace {

using Vector = hn::Vec<RowTag>;

/// The stride of our own rows: channels rounded up to whole vectors, and an odd cache line, so that
/// rows of K weights, sums and gradients do not all fall on the same cache sets.
inline ptrdiff_t Padded(const ConvShape& shape) { return (shape.channels + 15) / 16 * 16 + 16; }

/// The sequences, and the weights turned to [K, padded E] so that lanes are channels.
struct ConvInputs {
  const float *dy, *x, *window, *zeros, *weight, *bias;
};

/// Row t of one sequence; before the first token it is the window's or zeros.
inline const float* InputRow(const ConvInputs& in, const ConvShape& shape, ptrdiff_t batch,
                             ptrdiff_t t) {
  if (t >= 0) return in.x + (batch * shape.time + t) * shape.x_stride;
  if (in.window == nullptr) return in.zeros;
  const ptrdiff_t kept = shape.width - 1;
  return in.window + (batch * kept + kept + t) * shape.channels;
}

void PackWeights(float* packed, float* packed_bias, const float* weight, const float* bias,
                 const ConvShape& shape) {
  const RowTag d;
  const ptrdiff_t padded = Padded(shape), lanes = RowLanes();
  ptrdiff_t e = 0;
  if (shape.width == 4) {  // the usual one: four vectors at a time are turned in registers
    for (; e + lanes <= shape.channels; e += lanes) {
      Vector w0, w1, w2, w3;
      hn::LoadInterleaved4(d, weight + 4 * e, w0, w1, w2, w3);
      hn::Store(w0, d, packed + e);
      hn::Store(w1, d, packed + padded + e);
      hn::Store(w2, d, packed + 2 * padded + e);
      hn::Store(w3, d, packed + 3 * padded + e);
    }
  }
  for (; e < padded; ++e) {
    const bool real = e < shape.channels;
    for (ptrdiff_t k = 0; k < shape.width; ++k) {
      packed[k * padded + e] = real ? weight[e * shape.width + k] : 0.0f;
    }
  }
  std::fill_n(packed_bias, padded, 0.0f);
  if (bias != nullptr) std::copy_n(bias, shape.channels, packed_bias);
}

/// c of one vector of channels; `rows` are the K input rows. kWidth 0 means `width`.
template <int kWidth>
HWY_INLINE Vector Convolve(const float* const* rows, const ConvInputs& in, ptrdiff_t width,
                           ptrdiff_t padded, ptrdiff_t e, ptrdiff_t lanes) {
  const RowTag d;
  Vector sum = hn::Load(d, in.bias + e);
  for (ptrdiff_t k = 0; k < (kWidth != 0 ? kWidth : width); ++k) {
    sum = hn::MulAdd(hn::Load(d, in.weight + k * padded + e), LoadLanes(rows[k] + e, lanes), sum);
  }
  return sum;
}

template <int kWidth>
void ConvRows(float* y, const ConvInputs& in, const ConvShape& shape, ptrdiff_t batch,
              ptrdiff_t first, ptrdiff_t last) {
  const RowTag d;
  const ptrdiff_t padded = Padded(shape);
  std::vector<const float*> rows(shape.width);
  for (ptrdiff_t t = first; t < last; ++t) {
    for (ptrdiff_t k = 0; k < shape.width; ++k) {
      rows[k] = InputRow(in, shape, batch, t - (shape.width - 1) + k);
    }
    float* y_t = y + (batch * shape.time + t) * shape.channels;
    ForLanes(shape.channels, [&](ptrdiff_t e, ptrdiff_t left) HWY_ATTR {
      const Vector c = Convolve<kWidth>(rows.data(), in, shape.width, padded, e, left);
      StoreLanes(hn::Mul(c, Gate(d, c)), y_t + e, left);
    });
  }
}

/// The last K − 1 inputs, from x and, when x is shorter, from the window itself.
void AdvanceWindow(float* window, const float* x, const ConvShape& shape) {
  const ptrdiff_t kept = shape.width - 1;
  for (ptrdiff_t batch = 0; batch < shape.batch; ++batch) {
    for (ptrdiff_t k = 0; k < kept; ++k) {
      const ptrdiff_t t = shape.time - kept + k;
      float* to = window + (batch * kept + k) * shape.channels;
      const float* from =
          t >= 0 ? x + (batch * shape.time + t) * shape.x_stride : to + shape.time * shape.channels;
      if (from != to) std::copy_n(from, shape.channels, to);
    }
  }
}

/// Tokens of one task of the backward pass: a function of T alone, and never more than 32 tasks a
/// sequence, each of which leaves its own sums for the weights.
inline ptrdiff_t BackwardTokens(ptrdiff_t time) {
  return std::max<ptrdiff_t>(64, (time + 31) / 32);
}

/// dc of one token: dy · silu'(c).
template <int kWidth>
void SlopeRow(float* HWY_RESTRICT dc, const float* dy, const float* const* rows,
              const ConvInputs& in, const ConvShape& shape) {
  const RowTag d;
  const Vector one = hn::Set(d, 1.0f);
  const ptrdiff_t padded = Padded(shape), width = shape.width;
  ForLanes(shape.channels, [=](ptrdiff_t e, ptrdiff_t left) HWY_ATTR {
    const Vector c = Convolve<kWidth>(rows, in, width, padded, e, left);
    const Vector sigma = Gate(d, c);
    const Vector slope = hn::Mul(sigma, hn::MulAdd(c, hn::Sub(one, sigma), one));
    hn::Store(hn::Mul(LoadLanes(dy + e, left), slope), d, dc + e);
  });
}

/// dweight[k] += dc · rows[k], and the bias's row after them.
void AddWeightSums(float* HWY_RESTRICT dweight, const float* HWY_RESTRICT dc,
                   const float* const* rows, const ConvShape& shape) {
  const RowTag d;
  for (ptrdiff_t k = 0; k <= shape.width; ++k) {
    float* HWY_RESTRICT sum = dweight + k * Padded(shape);
    const float* row = k < shape.width ? rows[k] : nullptr;
    ForLanes(shape.channels, [=](ptrdiff_t e, ptrdiff_t left) HWY_ATTR {
      const Vector dc_e = hn::Load(d, dc + e), past = hn::Load(d, sum + e);
      const Vector next =
          row != nullptr ? hn::MulAdd(dc_e, LoadLanes(row + e, left), past) : hn::Add(dc_e, past);
      hn::Store(next, d, sum + e);
    });
  }
}

/// dx of one token: Σ_k weight[k] · dc of the token K − 1 − k later.
template <int kWidth>
void InputGradientRow(float* HWY_RESTRICT dx, const float* const* later, const ConvInputs& in,
                      const ConvShape& shape) {
  const RowTag d;
  const ptrdiff_t padded = Padded(shape), width = kWidth != 0 ? kWidth : shape.width;
  const float* weight = in.weight;
  ForLanes(shape.channels, [=](ptrdiff_t e, ptrdiff_t left) HWY_ATTR {
    Vector sum = hn::Zero(d);
    for (ptrdiff_t k = 0; k < width; ++k) {
      sum = hn::MulAdd(hn::Load(d, weight + k * padded + e), hn::Load(d, later[k] + e), sum);
    }
    StoreLanes(sum, dx + e, left);
  });
}

/// Tokens first ..< last of one sequence. `dweight` [K + 1, padded E] gets this task's sums, the
/// bias's in the last row. dc of the last K tokens lives in a ring of rows.
template <int kWidth>
void ConvBackwardRows(float* dx, float* dweight, const ConvInputs& in, const ConvShape& shape,
                      ptrdiff_t batch, ptrdiff_t first, ptrdiff_t last) {
  const ptrdiff_t padded = Padded(shape), width = shape.width;
  Scratch scratch(width * padded);
  float* ring = scratch.Take(width * padded);
  std::fill_n(dweight, (width + 1) * padded, 0.0f);
  std::vector<const float*> rows(width), later(width);
  for (ptrdiff_t t = first; t < last + width - 1; ++t) {
    const ptrdiff_t row = batch * shape.time + t;
    float* dc = ring + t % width * padded;
    for (ptrdiff_t k = 0; k < width; ++k) {
      rows[k] = InputRow(in, shape, batch, t - (width - 1) + k);
      later[k] = ring + (t - k + width) % width * padded;
    }
    if (t < shape.time) {
      SlopeRow<kWidth>(dc, in.dy + row * shape.channels, rows.data(), in, shape);
    } else {
      std::fill_n(dc, padded, 0.0f);
    }
    if (t < last) AddWeightSums(dweight, dc, rows.data(), shape);
    if (t - (width - 1) < first) continue;
    InputGradientRow<kWidth>(dx + (row - (width - 1)) * shape.dx_stride, later.data(), in, shape);
  }
}

}  // namespace

void CausalConvSilu(float* y, float* window, const float* x, const float* weight, const float* bias,
                    const ConvShape& shape) {
  const ptrdiff_t padded = Padded(shape);
  Scratch scratch((shape.width + 2) * padded + 3 * 16);
  float* packed = scratch.Take(shape.width * padded);
  float* packed_bias = scratch.Take(padded);
  float* zeros = scratch.Take(padded);
  PackWeights(packed, packed_bias, weight, bias, shape);
  std::fill_n(zeros, padded, 0.0f);
  const ConvInputs in = {nullptr, x, window, zeros, packed, packed_bias};
  const ptrdiff_t tokens = RowGrain(shape.channels);
  const ptrdiff_t blocks = (shape.time + tokens - 1) / tokens;
  ParallelBlocks(shape.batch * blocks, [&](ptrdiff_t index) HWY_ATTR {
    const ptrdiff_t first = index % blocks * tokens;
    const ptrdiff_t last = std::min(first + tokens, shape.time);
    if (shape.width == 4) {
      ConvRows<4>(y, in, shape, index / blocks, first, last);
    } else {
      ConvRows<0>(y, in, shape, index / blocks, first, last);
    }
  });
  if (window != nullptr) AdvanceWindow(window, x, shape);
}

void CausalConvSiluBackward(float* dx, float* dweight, float* dbias, const float* dy,
                            const float* x, const float* weight, const float* bias,
                            const ConvShape& shape) {
  const ptrdiff_t padded = Padded(shape);
  const ptrdiff_t tokens = BackwardTokens(shape.time);
  const ptrdiff_t blocks = (shape.time + tokens - 1) / tokens, tasks = shape.batch * blocks;
  const ptrdiff_t part = (shape.width + 1) * padded;
  Scratch scratch((shape.width + 2) * padded + tasks * part + 4 * 16);
  float* packed = scratch.Take(shape.width * padded);
  float* packed_bias = scratch.Take(padded);
  float* zeros = scratch.Take(padded);
  float* parts = scratch.Take(tasks * part);
  PackWeights(packed, packed_bias, weight, bias, shape);
  std::fill_n(zeros, padded, 0.0f);
  const ConvInputs in = {dy, x, nullptr, zeros, packed, packed_bias};
  ParallelBlocks(tasks, [&](ptrdiff_t index) HWY_ATTR {
    const ptrdiff_t first = index % blocks * tokens;
    const ptrdiff_t last = std::min(first + tokens, shape.time);
    if (shape.width == 4) {
      ConvBackwardRows<4>(dx, parts + index * part, in, shape, index / blocks, first, last);
    } else {
      ConvBackwardRows<0>(dx, parts + index * part, in, shape, index / blocks, first, last);
    }
  });
  for (ptrdiff_t task = 1; task < tasks; ++task) {
    for (ptrdiff_t i = 0; i < part; ++i) parts[i] += parts[task * part + i];
  }
  for (ptrdiff_t e = 0; e < shape.channels; ++e) {
    for (ptrdiff_t k = 0; k < shape.width; ++k) {
      dweight[e * shape.width + k] = tasks > 0 ? parts[k * padded + e] : 0.0f;
    }
    if (dbias != nullptr) dbias[e] = tasks > 0 ? parts[shape.width * padded + e] : 0.0f;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(CausalConvSilu);
HWY_EXPORT(CausalConvSiluBackward);

extern "C" {

void apus_causal_conv_silu_f32(float* y, float* window, const float* x, const float* weight,
                               const float* bias, ptrdiff_t batch, ptrdiff_t time,
                               ptrdiff_t channels, ptrdiff_t width, ptrdiff_t x_stride) {
  HWY_DYNAMIC_DISPATCH(CausalConvSilu)
  (y, window, x, weight, bias, {batch, time, channels, width, x_stride, 0});
}

void apus_causal_conv_silu_backward_f32(float* dx, float* dweight, float* dbias, const float* dy,
                                        const float* x, const float* weight, const float* bias,
                                        ptrdiff_t batch, ptrdiff_t time, ptrdiff_t channels,
                                        ptrdiff_t width, ptrdiff_t x_stride, ptrdiff_t dx_stride) {
  HWY_DYNAMIC_DISPATCH(CausalConvSiluBackward)
  (dx, dweight, dbias, dy, x, weight, bias, {batch, time, channels, width, x_stride, dx_stride});
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
