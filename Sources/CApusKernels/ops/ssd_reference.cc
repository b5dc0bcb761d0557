// State space duality by its recurrence, in double. This is the truth.
#include <algorithm>
#include <cmath>
#include <vector>

#include "include/apus_kernels.h"

namespace {

/// One head of one sequence: where its rows stand, its rate, its step sizes and its states.
struct Head {
  const apus_ssd_shape& shape;
  ptrdiff_t batch, head;
  double rate;
  std::vector<double> step,
      slope;              ///< [T]; the slope is that of Δ by dt, 0 at the bounds' far side
  std::vector<double> h;  ///< before each token and after the last, [T + 1, N, P]

  Head(const float* state, const float* x, const float* b, const float* dt, const float* dt_bias,
       const float* a_log, const apus_ssd_shape& shape, ptrdiff_t index)
      : shape(shape),
        batch(index / shape.heads),
        head(index % shape.heads),
        rate(-std::exp(static_cast<double>(a_log[head]))),
        step(shape.time),
        slope(shape.time),
        h((shape.time + 1) * size()) {
    for (ptrdiff_t i = 0; i < size() && state != nullptr; ++i) h[i] = state[index * size() + i];
    for (ptrdiff_t t = 0; t < shape.time; ++t) {
      const double raw = static_cast<double>(dt[Row(t) * shape.dt_stride + head]) + dt_bias[head];
      const double soft = raw > 20 ? raw : std::log1p(std::exp(raw));
      const bool inside = soft >= shape.step_low && soft <= shape.step_high;
      step[t] = inside ? soft : soft < shape.step_low ? shape.step_low : shape.step_high;
      if (std::isnan(soft)) step[t] = soft;
      slope[t] = inside ? 1 / (1 + std::exp(-raw)) : 0;
      const double decay = std::exp(step[t] * rate);
      for (ptrdiff_t n = 0; n < shape.states; ++n) {
        for (ptrdiff_t p = 0; p < shape.head_size; ++p) {
          const ptrdiff_t at = n * shape.head_size + p;
          h[(t + 1) * size() + at] =
              decay * h[t * size() + at] + step[t] * b[Shared(t) + n] * x[Own(t) + p];
        }
      }
    }
  }

  ptrdiff_t size() const { return shape.states * shape.head_size; }
  ptrdiff_t Row(ptrdiff_t t) const { return batch * shape.time + t; }
  /// Where the head's channels start in x, its states in b and c, its channels in y.
  ptrdiff_t Own(ptrdiff_t t) const { return Row(t) * shape.x_stride + head * shape.head_size; }
  ptrdiff_t Shared(ptrdiff_t t) const {
    return Row(t) * shape.x_stride + head / (shape.heads / shape.groups) * shape.states;
  }
  ptrdiff_t Output(ptrdiff_t t) const { return (Row(t) * shape.heads + head) * shape.head_size; }
};

/// Sums in double of gradients that several heads or tokens share.
struct Sums {
  std::vector<double> db, dc, dt_bias, a_log, d;

  explicit Sums(const apus_ssd_shape& shape)
      : db(shape.batch * shape.time * shape.groups * shape.states),
        dc(db.size()),
        dt_bias(shape.heads),
        a_log(shape.heads),
        d(shape.heads) {}
};

/// Walks one head backwards.
void BackwardHead(float* dx, float* ddt, Sums& sums, const Head& head, const float* dy,
                  const float* x, const float* b, const float* c, const float* d) {
  const apus_ssd_shape& shape = head.shape;
  const ptrdiff_t channels = shape.head_size;
  const ptrdiff_t group = head.head / (shape.heads / shape.groups);
  std::vector<double> carry(head.size());  // the gradient of h after token t
  for (ptrdiff_t t = shape.time - 1; t >= 0; --t) {
    const float *b_t = b + head.Shared(t), *c_t = c + head.Shared(t);
    const double step = head.step[t], decay = std::exp(step * head.rate);
    const double *after = &head.h[(t + 1) * head.size()], *before = &head.h[t * head.size()];
    const ptrdiff_t shared = (head.Row(t) * shape.groups + group) * shape.states;
    double dstep = 0;
    for (ptrdiff_t p = 0; p < channels; ++p) {
      const double g = dy[head.Output(t) + p], input = x[head.Own(t) + p];
      sums.d[head.head] += g * input;
      double dinput = g * d[head.head];
      for (ptrdiff_t n = 0; n < shape.states; ++n) {
        const ptrdiff_t at = n * channels + p;
        sums.dc[shared + n] += g * after[at];
        carry[at] += g * c_t[n];
        const double through = carry[at] * decay * before[at];
        sums.a_log[head.head] += through * step * head.rate;
        dstep += through * head.rate + carry[at] * b_t[n] * input;
        sums.db[shared + n] += carry[at] * step * input;
        dinput += carry[at] * step * b_t[n];
        carry[at] *= decay;
      }
      dx[head.Own(t) + p] = static_cast<float>(dinput);
    }
    const double draw = dstep * head.slope[t];
    ddt[head.Row(t) * shape.dt_stride + head.head] = static_cast<float>(draw);
    sums.dt_bias[head.head] += draw;
  }
}

}  // namespace

extern "C" {

void apus_ssd_reference_f32(float* y, float* state, const float* x, const float* b, const float* c,
                            const float* dt, const float* dt_bias, const float* a_log,
                            const float* d, const apus_ssd_shape* shape) {
  for (ptrdiff_t index = 0; index < shape->batch * shape->heads; ++index) {
    const Head head(state, x, b, dt, dt_bias, a_log, *shape, index);
    const ptrdiff_t size = head.size();
    for (ptrdiff_t t = 0; t < shape->time; ++t) {
      for (ptrdiff_t p = 0; p < shape->head_size; ++p) {
        double sum = static_cast<double>(d[head.head]) * x[head.Own(t) + p];
        for (ptrdiff_t n = 0; n < shape->states; ++n) {
          sum += c[head.Shared(t) + n] * head.h[(t + 1) * size + n * shape->head_size + p];
        }
        y[head.Output(t) + p] = static_cast<float>(sum);
      }
    }
    for (ptrdiff_t i = 0; i < size && state != nullptr; ++i) {
      state[index * size + i] = static_cast<float>(head.h[shape->time * size + i]);
    }
  }
}

void apus_ssd_backward_reference_f32(float* dx, float* db, float* dc, float* ddt, float* ddt_bias,
                                     float* da_log, float* dd, const float* dy, const float* x,
                                     const float* b, const float* c, const float* dt,
                                     const float* dt_bias, const float* a_log, const float* d,
                                     const apus_ssd_shape* shape) {
  Sums sums(*shape);
  for (ptrdiff_t index = 0; index < shape->batch * shape->heads; ++index) {
    const Head head(nullptr, x, b, dt, dt_bias, a_log, *shape, index);
    BackwardHead(dx, ddt, sums, head, dy, x, b, c, d);
  }
  const ptrdiff_t width = shape->groups * shape->states;
  for (ptrdiff_t row = 0; row < shape->batch * shape->time; ++row) {
    for (ptrdiff_t i = 0; i < width; ++i) {
      db[row * shape->x_stride + i] = static_cast<float>(sums.db[row * width + i]);
      dc[row * shape->x_stride + i] = static_cast<float>(sums.dc[row * width + i]);
    }
  }
  std::copy(sums.dt_bias.begin(), sums.dt_bias.end(), ddt_bias);
  std::copy(sums.a_log.begin(), sums.a_log.end(), da_log);
  std::copy(sums.d.begin(), sums.d.end(), dd);
}

}  // extern "C"
