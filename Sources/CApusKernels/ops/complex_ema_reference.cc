// The complex moving average as its equations stand, in double. This is the truth.
#include <cmath>
#include <complex>
#include <vector>

#include "include/apus_kernels.h"

namespace {

using Complex = std::complex<double>;

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// One mode of one channel.
struct Mode {
  double a, d, share, turn;
  Complex rotation, q, g;

  Mode(const apus_complex_ema_parameters& from, const apus_complex_ema_shape& shape, ptrdiff_t e,
       ptrdiff_t n)
      : a(Sigmoid(from.alpha[e * shape.modes + n])),
        d(Sigmoid(from.delta[e * shape.modes + n])),
        share(2 * M_PI * static_cast<double>(n + 1) / static_cast<double>(shape.modes)),
        turn(Sigmoid(from.theta[e])),
        rotation(std::polar(1.0, share * turn)),
        q((1 - a * d) * rotation),
        g(Complex(from.gamma[(e * shape.modes + n) * 2],
                  from.gamma[(e * shape.modes + n) * 2 + 1]) /
          std::sqrt(static_cast<double>(shape.modes))) {}
};

/// h of one mode before the first token and after each, [T + 1].
std::vector<Complex> States(const Mode& mode, const float* state, const float* x,
                            const apus_complex_ema_shape& shape, ptrdiff_t b, ptrdiff_t e,
                            ptrdiff_t n) {
  std::vector<Complex> h(shape.time + 1);
  const ptrdiff_t re = ((b * 2) * shape.modes + n) * shape.channels + e;
  if (state != nullptr) h[0] = Complex(state[re], state[re + shape.modes * shape.channels]);
  for (ptrdiff_t t = 0; t < shape.time; ++t) {
    h[t + 1] =
        mode.q * h[t] + mode.a * static_cast<double>(x[(b * shape.time + t) * shape.channels + e]);
  }
  return h;
}

}  // namespace

extern "C" {

void apus_complex_ema_reference_f32(float* y, float* state, const float* x,
                                    const apus_complex_ema_parameters* parameters,
                                    const apus_complex_ema_shape* shape) {
  const ptrdiff_t channels = shape->channels, time = shape->time;
  for (ptrdiff_t b = 0; b < shape->batch; ++b) {
    for (ptrdiff_t e = 0; e < channels; ++e) {
      std::vector<double> sum(time);
      for (ptrdiff_t t = 0; t < time; ++t) {
        sum[t] = static_cast<double>(parameters->omega[e]) * x[(b * time + t) * channels + e];
      }
      for (ptrdiff_t n = 0; n < shape->modes; ++n) {
        const Mode mode(*parameters, *shape, e, n);
        const std::vector<Complex> h = States(mode, state, x, *shape, b, e, n);
        for (ptrdiff_t t = 0; t < time; ++t) sum[t] += (mode.g * h[t + 1]).real();
        if (state == nullptr) continue;
        const ptrdiff_t re = (b * 2 * shape->modes + n) * channels + e;
        state[re] = static_cast<float>(h[time].real());
        state[re + shape->modes * channels] = static_cast<float>(h[time].imag());
      }
      for (ptrdiff_t t = 0; t < time; ++t) {
        y[(b * time + t) * channels + e] = static_cast<float>(sum[t]);
      }
    }
  }
}

void apus_complex_ema_backward_reference_f32(float* dx, apus_complex_ema_gradients* to,
                                             float* dstate, const float* dy, const float* state,
                                             const float* x,
                                             const apus_complex_ema_parameters* parameters,
                                             const apus_complex_ema_shape* shape) {
  const ptrdiff_t channels = shape->channels, time = shape->time, modes = shape->modes;
  std::vector<double> sum_x(shape->batch * time * channels);
  for (ptrdiff_t e = 0; e < channels; ++e) {
    double domega = 0, dtheta = 0;
    for (ptrdiff_t row = 0; row < shape->batch * time; ++row) {
      const double g = dy[row * channels + e];
      domega += g * x[row * channels + e];
      sum_x[row * channels + e] += g * parameters->omega[e];
    }
    for (ptrdiff_t n = 0; n < modes; ++n) {
      const Mode mode(*parameters, *shape, e, n);
      double dp = 0;
      Complex dq = 0, dg = 0;
      for (ptrdiff_t b = 0; b < shape->batch; ++b) {
        const std::vector<Complex> h = States(mode, state, x, *shape, b, e, n);
        const ptrdiff_t re = (b * 2 * modes + n) * channels + e, im = re + modes * channels;
        Complex carry = dstate == nullptr ? 0 : Complex(dstate[re], dstate[im]);
        for (ptrdiff_t t = time - 1; t >= 0; --t) {
          const ptrdiff_t at = (b * time + t) * channels + e;
          carry += static_cast<double>(dy[at]) * std::conj(mode.g);
          sum_x[at] += mode.a * carry.real();
          dp += x[at] * carry.real();
          dq += carry * std::conj(h[t]);
          dg += static_cast<double>(dy[at]) * std::conj(h[t + 1]);
          carry *= std::conj(mode.q);
        }
        if (dstate == nullptr) continue;
        dstate[re] = static_cast<float>(carry.real());
        dstate[im] = static_cast<float>(carry.imag());
      }
      const double drho = (std::conj(dq) * mode.rotation).real();
      const double dphi = (std::conj(dq) * Complex(0, 1) * mode.q).real();
      const double root = std::sqrt(static_cast<double>(modes));
      const ptrdiff_t at = e * modes + n;
      to->alpha[at] = static_cast<float>((dp - drho * mode.d) * mode.a * (1 - mode.a));
      to->delta[at] = static_cast<float>(-drho * mode.a * mode.d * (1 - mode.d));
      to->gamma[at * 2] = static_cast<float>(dg.real() / root);
      to->gamma[at * 2 + 1] = static_cast<float>(dg.imag() / root);
      dtheta += mode.share * dphi * mode.turn * (1 - mode.turn);
    }
    to->theta[e] = static_cast<float>(dtheta);
    to->omega[e] = static_cast<float>(domega);
  }
  for (size_t i = 0; i < sum_x.size(); ++i) dx[i] = static_cast<float>(sum_x[i]);
}

}  // extern "C"
