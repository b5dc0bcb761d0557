// State space duality by its recurrence, for one token or a few: what generation and streams call.
// The state is used where it lies, [N, P], with the lanes along P, so that nothing is turned.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/ssd_step.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "include/apus_kernels.h"
#include "ops/gates-inl.h"
#include "ops/ssd_plan.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using StepTag = hn::ScalableTag<float>;
using StepVector = hn::Vec<StepTag>;

/// Everything about one head at one token.
struct HeadToken {
  const float *x, *b, *c;
  float step, decay, d;
  ptrdiff_t states, channels;
};

/// kVectors vectors of channels, the first `width` of them real: h advances, y is written.
template <int kVectors>
HWY_INLINE void StepChannels(float* HWY_RESTRICT y, float* HWY_RESTRICT h, const HeadToken& token,
                             ptrdiff_t first, ptrdiff_t width) {
  const StepTag d;
  const ptrdiff_t lanes = RowLanes();
  StepVector drive[kVectors], sum[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const StepVector x = LoadLanes(token.x + first + v * lanes, width);
    drive[v] = hn::Mul(hn::Set(d, token.step), x);
    sum[v] = hn::Mul(hn::Set(d, token.d), x);
  }
  const StepVector decay = hn::Set(d, token.decay);
  for (ptrdiff_t n = 0; n < token.states; ++n) {
    const StepVector b = hn::Set(d, token.b[n]), c = hn::Set(d, token.c[n]);
    float* row = h + n * token.channels + first;
    for (int v = 0; v < kVectors; ++v) {
      const StepVector past = LoadLanes(row + v * lanes, width);
      const StepVector next = hn::MulAdd(decay, past, hn::Mul(b, drive[v]));
      StoreLanes(next, row + v * lanes, width);
      sum[v] = hn::MulAdd(c, next, sum[v]);
    }
  }
  for (int v = 0; v < kVectors; ++v) StoreLanes(sum[v], y + first + v * lanes, width);
}

void StepHead(float* y, float* h, const HeadToken& token) {
  const ptrdiff_t lanes = RowLanes();
  ptrdiff_t p = 0;
  for (; p + 4 * lanes <= token.channels; p += 4 * lanes) StepChannels<4>(y, h, token, p, lanes);
  for (; p + lanes <= token.channels; p += lanes) StepChannels<1>(y, h, token, p, lanes);
  if (p < token.channels) StepChannels<1>(y, h, token, p, token.channels - p);
}

/// Δ as the chunked kernel has it.
float StepSize(float dt, const apus_ssd_shape& shape) {
  const hn::CappedTag<float, 1> one;
  auto slope = hn::Zero(one);
  const float soft = hn::GetLane(Softplus(one, hn::Set(one, dt), slope));
  return soft < shape.step_low ? shape.step_low : soft > shape.step_high ? shape.step_high : soft;
}

}  // namespace

void SsdStep(float* y, float* state, const ssd::Inputs& in, const apus_ssd_shape& shape) {
  const ptrdiff_t size = shape.states * shape.head_size;
  const ptrdiff_t grain = std::max<ptrdiff_t>(1, 16384 / std::max<ptrdiff_t>(1, size));
  ParallelRanges(shape.batch * shape.heads, grain, [&](ptrdiff_t begin, ptrdiff_t end) HWY_ATTR {
    for (ptrdiff_t index = begin; index < end; ++index) {
      const ptrdiff_t batch = index / shape.heads, head = index % shape.heads;
      const ptrdiff_t group = head / (shape.heads / shape.groups);
      const double rate = -std::exp(static_cast<double>(in.a_log[head]));
      for (ptrdiff_t t = 0; t < shape.time; ++t) {
        const ptrdiff_t row = batch * shape.time + t, shared = row * shape.x_stride;
        HeadToken token;
        token.x = in.x + shared + head * shape.head_size;
        token.b = in.b + shared + group * shape.states;
        token.c = in.c + shared + group * shape.states;
        token.step = StepSize(in.dt[row * shape.dt_stride + head] + in.dt_bias[head], shape);
        token.decay = static_cast<float>(std::exp(token.step * rate));
        token.d = in.d[head];
        token.states = shape.states;
        token.channels = shape.head_size;
        StepHead(y + (row * shape.heads + head) * shape.head_size, state + index * size, token);
      }
    }
  });
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(SsdStep);

extern "C" {

void apus_ssd_step_f32(float* y, float* state, const float* x, const float* b, const float* c,
                       const float* dt, const float* dt_bias, const float* a_log, const float* d,
                       const apus_ssd_shape* shape) {
  const ssd::Inputs in = {x, b, c, dt, dt_bias, a_log, d};
  HWY_DYNAMIC_DISPATCH(SsdStep)(y, state, in, *shape);
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
