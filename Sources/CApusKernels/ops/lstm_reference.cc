// The LSTM as its equations stand, in double. This is the truth.
#include <cmath>
#include <vector>

#include "include/apus_kernels.h"

namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

extern "C" {

void apus_lstm_reference_f32(float* hidden, float* cells, float* gates, float* state,
                             const float* recurrent, ptrdiff_t batch, ptrdiff_t time,
                             ptrdiff_t features) {
  for (ptrdiff_t b = 0; b < batch; ++b) {
    std::vector<double> h(features), c(features), sums(4 * features);
    for (ptrdiff_t e = 0; e < features && state != nullptr; ++e) {
      h[e] = state[b * 2 * features + e];
      c[e] = state[(b * 2 + 1) * features + e];
    }
    for (ptrdiff_t t = 0; t < time; ++t) {
      float* row = gates + (b * time + t) * 4 * features;
      for (ptrdiff_t j = 0; j < 4 * features; ++j) {
        sums[j] = row[j];
        for (ptrdiff_t k = 0; k < features; ++k) sums[j] += recurrent[j * features + k] * h[k];
      }
      for (ptrdiff_t e = 0; e < features; ++e) {
        const double i = Sigmoid(sums[e]), f = Sigmoid(sums[features + e]);
        const double g = std::tanh(sums[2 * features + e]), o = Sigmoid(sums[3 * features + e]);
        c[e] = f * c[e] + i * g;
        h[e] = o * std::tanh(c[e]);
        row[e] = static_cast<float>(i);
        row[features + e] = static_cast<float>(f);
        row[2 * features + e] = static_cast<float>(g);
        row[3 * features + e] = static_cast<float>(o);
        hidden[(b * time + t) * features + e] = static_cast<float>(h[e]);
        cells[(b * time + t) * features + e] = static_cast<float>(c[e]);
      }
    }
    for (ptrdiff_t e = 0; e < features && state != nullptr; ++e) {
      state[b * 2 * features + e] = static_cast<float>(h[e]);
      state[(b * 2 + 1) * features + e] = static_cast<float>(c[e]);
    }
  }
}

void apus_lstm_backward_reference_f32(float* dgates, float* drecurrent, const float* dhidden,
                                      const float* hidden, const float* cells, const float* gates,
                                      const float* recurrent, ptrdiff_t batch, ptrdiff_t time,
                                      ptrdiff_t features) {
  std::vector<double> sums(4 * features * features);
  for (ptrdiff_t b = 0; b < batch; ++b) {
    std::vector<double> dh(features), dc(features), da(4 * features);
    for (ptrdiff_t t = time - 1; t >= 0; --t) {
      const ptrdiff_t row = b * time + t;
      const float* gate = gates + row * 4 * features;
      for (ptrdiff_t e = 0; e < features; ++e) {
        const double i = gate[e], f = gate[features + e];
        const double g = gate[2 * features + e], o = gate[3 * features + e];
        const double bent = std::tanh(static_cast<double>(cells[row * features + e]));
        const double above = dhidden[row * features + e] + dh[e];
        const double dcell = dc[e] + above * o * (1 - bent * bent);
        const double before = t > 0 ? cells[(row - 1) * features + e] : 0;
        da[e] = dcell * g * i * (1 - i);
        da[features + e] = dcell * before * f * (1 - f);
        da[2 * features + e] = dcell * i * (1 - g * g);
        da[3 * features + e] = above * bent * o * (1 - o);
        dc[e] = dcell * f;
      }
      dh.assign(features, 0);
      for (ptrdiff_t j = 0; j < 4 * features; ++j) {
        dgates[row * 4 * features + j] = static_cast<float>(da[j]);
        for (ptrdiff_t k = 0; k < features; ++k) {
          dh[k] += da[j] * recurrent[j * features + k];
          if (t > 0) sums[j * features + k] += da[j] * hidden[(row - 1) * features + k];
        }
      }
    }
  }
  for (ptrdiff_t i = 0; i < 4 * features * features; ++i) {
    drecurrent[i] = static_cast<float>(sums[i]);
  }
}

}  // extern "C"
