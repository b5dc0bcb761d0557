// The causal convolution with SiLU as its equations stand, in double. This is the truth.
#include <algorithm>
#include <cmath>
#include <vector>

#include "include/apus_kernels.h"

namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

extern "C" {

void apus_causal_conv_silu_reference_f32(float* y, float* window, const float* x,
                                         const float* weight, const float* bias, ptrdiff_t batch,
                                         ptrdiff_t time, ptrdiff_t channels, ptrdiff_t width,
                                         ptrdiff_t x_stride) {
  const ptrdiff_t kept = width - 1;
  for (ptrdiff_t b = 0; b < batch; ++b) {
    // The window and x, one after the other.
    std::vector<float> input((kept + time) * channels);
    if (window != nullptr) {
      std::copy_n(window + b * kept * channels, kept * channels, input.begin());
    }
    for (ptrdiff_t t = 0; t < time; ++t) {
      std::copy_n(x + (b * time + t) * x_stride, channels, input.begin() + (kept + t) * channels);
    }
    for (ptrdiff_t t = 0; t < time; ++t) {
      for (ptrdiff_t e = 0; e < channels; ++e) {
        double c = bias != nullptr ? bias[e] : 0;
        for (ptrdiff_t k = 0; k < width; ++k) {
          c += static_cast<double>(weight[e * width + k]) * input[(t + k) * channels + e];
        }
        y[(b * time + t) * channels + e] = static_cast<float>(c * Sigmoid(c));
      }
    }
    if (window != nullptr) {
      std::copy_n(input.begin() + time * channels, kept * channels, window + b * kept * channels);
    }
  }
}

void apus_causal_conv_silu_backward_reference_f32(float* dx, float* dweight, float* dbias,
                                                  const float* dy, const float* x,
                                                  const float* weight, const float* bias,
                                                  ptrdiff_t batch, ptrdiff_t time,
                                                  ptrdiff_t channels, ptrdiff_t width,
                                                  ptrdiff_t x_stride, ptrdiff_t dx_stride) {
  for (ptrdiff_t e = 0; e < channels; ++e) {
    std::vector<double> sum_weight(width);
    double sum_bias = 0;
    for (ptrdiff_t b = 0; b < batch; ++b) {
      std::vector<double> sum_x(time);
      for (ptrdiff_t t = 0; t < time; ++t) {
        double c = bias != nullptr ? bias[e] : 0;
        for (ptrdiff_t k = 0; k < width; ++k) {
          const ptrdiff_t from = t - (width - 1) + k;
          if (from < 0) continue;
          c += static_cast<double>(weight[e * width + k]) * x[(b * time + from) * x_stride + e];
        }
        const double sigmoid = Sigmoid(c);
        const double dc = dy[(b * time + t) * channels + e] * sigmoid * (1 + c * (1 - sigmoid));
        sum_bias += dc;
        for (ptrdiff_t k = 0; k < width; ++k) {
          const ptrdiff_t from = t - (width - 1) + k;
          if (from < 0) continue;
          sum_weight[k] += dc * x[(b * time + from) * x_stride + e];
          sum_x[from] += dc * weight[e * width + k];
        }
      }
      for (ptrdiff_t t = 0; t < time; ++t) {
        dx[(b * time + t) * dx_stride + e] = static_cast<float>(sum_x[t]);
      }
    }
    for (ptrdiff_t k = 0; k < width; ++k) {
      dweight[e * width + k] = static_cast<float>(sum_weight[k]);
    }
    if (dbias != nullptr) dbias[e] = static_cast<float>(sum_bias);
  }
}

}  // extern "C"
