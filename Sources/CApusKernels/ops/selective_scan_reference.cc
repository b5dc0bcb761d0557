// The selective scan as its equations stand, in double. This is the truth.
#include <cmath>
#include <vector>

#include "include/apus_kernels.h"

namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double Softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

/// h of one channel before each token and after the last, [T + 1, N].
std::vector<double> States(const float* state, const float* s, const float* delta,
                           const float* a_log, const float* b, const apus_scan_shape& shape,
                           ptrdiff_t batch, ptrdiff_t e) {
  const ptrdiff_t channels = shape.channels, states = shape.states;
  std::vector<double> h((shape.time + 1) * states);
  for (ptrdiff_t n = 0; n < states && state != nullptr; ++n) {
    h[n] = state[(batch * channels + e) * states + n];
  }
  for (ptrdiff_t t = 0; t < shape.time; ++t) {
    const ptrdiff_t row = batch * shape.time + t;
    const double step = Softplus(delta[row * channels + e]);
    for (ptrdiff_t n = 0; n < states; ++n) {
      const double a = -std::exp(static_cast<double>(a_log[e * states + n]));
      h[(t + 1) * states + n] = std::exp(step * a) * h[t * states + n] +
                                step * b[row * shape.bc_stride + n] * s[row * channels + e];
    }
  }
  return h;
}

}  // namespace

extern "C" {

void apus_selective_scan_reference_f32(float* o, float* state, const float* s, const float* delta,
                                       const float* a_log, const float* b, const float* c,
                                       const float* d, const float* z,
                                       const apus_scan_shape* shape) {
  const ptrdiff_t channels = shape->channels, states = shape->states;
  for (ptrdiff_t batch = 0; batch < shape->batch; ++batch) {
    for (ptrdiff_t e = 0; e < channels; ++e) {
      const std::vector<double> h = States(state, s, delta, a_log, b, *shape, batch, e);
      for (ptrdiff_t t = 0; t < shape->time; ++t) {
        const ptrdiff_t row = batch * shape->time + t;
        double y = static_cast<double>(d[e]) * s[row * channels + e];
        for (ptrdiff_t n = 0; n < states; ++n) {
          y += c[row * shape->bc_stride + n] * h[(t + 1) * states + n];
        }
        const double gate = z[row * shape->z_stride + e];
        o[row * channels + e] = static_cast<float>(y * gate * Sigmoid(gate));
      }
      for (ptrdiff_t n = 0; n < states && state != nullptr; ++n) {
        state[(batch * channels + e) * states + n] =
            static_cast<float>(h[shape->time * states + n]);
      }
    }
  }
}

void apus_selective_scan_backward_reference_f32(float* ds, float* ddelta, float* da_log, float* db,
                                                float* dc, float* dd, float* dz, const float* dout,
                                                const float* s, const float* delta,
                                                const float* a_log, const float* b, const float* c,
                                                const float* d, const float* z,
                                                const apus_scan_shape* shape) {
  const ptrdiff_t channels = shape->channels, states = shape->states;
  const ptrdiff_t rows = shape->batch * shape->time;
  std::vector<double> sum_a(channels * states), sum_b(rows * states), sum_c(rows * states),
      sum_d(channels), carry(states);
  for (ptrdiff_t batch = 0; batch < shape->batch; ++batch) {
    for (ptrdiff_t e = 0; e < channels; ++e) {
      const std::vector<double> h = States(nullptr, s, delta, a_log, b, *shape, batch, e);
      carry.assign(states, 0);  // the gradient of h after token t
      for (ptrdiff_t t = shape->time - 1; t >= 0; --t) {
        const ptrdiff_t row = batch * shape->time + t, at = row * channels + e;
        const float* b_t = b + row * shape->bc_stride;
        const float* c_t = c + row * shape->bc_stride;
        const double gate = z[row * shape->z_stride + e], sigmoid = Sigmoid(gate);
        const double step = Softplus(delta[at]), input = s[at];
        double y = d[e] * input;
        for (ptrdiff_t n = 0; n < states; ++n) y += c_t[n] * h[(t + 1) * states + n];
        dz[row * shape->z_stride + e] =
            static_cast<float>(dout[at] * y * sigmoid * (1 + gate * (1 - sigmoid)));
        const double dy = dout[at] * gate * sigmoid;
        sum_d[e] += dy * input;
        double dstep = 0, dinput = dy * d[e];
        for (ptrdiff_t n = 0; n < states; ++n) {
          const double a = -std::exp(static_cast<double>(a_log[e * states + n]));
          sum_c[row * states + n] += dy * h[(t + 1) * states + n];
          carry[n] += dy * c_t[n];
          const double decay = std::exp(step * a);
          const double through = carry[n] * decay * h[t * states + n];
          sum_a[e * states + n] += through * step * a;
          dstep += through * a + carry[n] * b_t[n] * input;
          sum_b[row * states + n] += carry[n] * step * input;
          dinput += step * carry[n] * b_t[n];
          carry[n] *= decay;
        }
        ddelta[at] = static_cast<float>(dstep * (delta[at] > 20 ? 1 : Sigmoid(delta[at])));
        ds[at] = static_cast<float>(dinput);
      }
    }
  }
  for (ptrdiff_t i = 0; i < channels * states; ++i) da_log[i] = static_cast<float>(sum_a[i]);
  for (ptrdiff_t e = 0; e < channels; ++e) dd[e] = static_cast<float>(sum_d[e]);
  for (ptrdiff_t row = 0; row < rows; ++row) {
    for (ptrdiff_t n = 0; n < states; ++n) {
      db[row * shape->bc_stride + n] = static_cast<float>(sum_b[row * states + n]);
      dc[row * shape->bc_stride + n] = static_cast<float>(sum_c[row * states + n]);
    }
  }
}

}  // extern "C"
