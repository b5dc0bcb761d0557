// The plain twin of likelihoods.cc: densities as they stand in books, gradients by differences.
#include <algorithm>
#include <cmath>
#include <vector>

#include "include/apus_kernels.h"

namespace apus {
namespace {

double Positive(double x, double least, double most) {
  return least + std::min(x > 30 ? x : std::log(1 + std::exp(x)), most);
}

double Normal(double y, double mean, double deviation) {
  const double z = (y - mean) / deviation;
  return std::exp(-z * z / 2) / (deviation * std::sqrt(2 * M_PI));
}

double Loss(const std::vector<double>& x, double y, double unit, int family) {
  if (family == APUS_STUDENT_T) {
    const double scale = Positive(x[1], 1e-4, 1e6), nu = Positive(x[2], 2.01, 1000);
    const double z = (y - x[0]) / scale;
    return -std::lgamma((nu + 1) / 2) + std::lgamma(nu / 2) + std::log(nu * M_PI) / 2 +
           std::log(scale) + (nu + 1) / 2 * std::log(1 + z * z / nu);
  }
  if (family == APUS_MIXTURE) {
    const size_t count = x.size() / 3;
    double density = 0, sum = 0;
    for (size_t k = 0; k < count; ++k) {
      sum += std::exp(x[k]);
      density += std::exp(x[k]) * Normal(y, x[count + k], Positive(x[2 * count + k], 1e-4, 1e6));
    }
    return -std::log(density / sum);
  }
  const double mean = unit * Positive(x[0], 1e-6, 1e6);
  const double r = 1 / std::max(1e-6, Positive(x[1], 0, 1e3) / std::sqrt(unit));
  const double count = std::max(0.0, std::round(y * unit)), none = 1 / (1 + std::exp(-x[2]));
  if (count == 0) return -std::log(none + (1 - none) * std::pow(r / (r + mean), r));
  return -std::log(1 - none) - std::lgamma(count + r) + std::lgamma(r) + std::lgamma(count + 1) -
         r * std::log(r / (r + mean)) - count * std::log(mean / (r + mean));
}

}  // namespace

extern "C" {

void apus_likelihood_reference_f32(float* losses, float* dx, const float* x, const float* targets,
                                   const float* scales, const float* weights, ptrdiff_t rows,
                                   ptrdiff_t outputs, int family) {
  for (ptrdiff_t r = 0; r < rows; ++r) {
    const double weight = weights == nullptr ? 1 : weights[r];
    const double unit = scales == nullptr ? 1 : scales[r];
    std::vector<double> point(x + r * outputs, x + (r + 1) * outputs);
    losses[r] =
        weight == 0 ? 0 : static_cast<float>(weight * Loss(point, targets[r], unit, family));
    for (ptrdiff_t i = 0; dx != nullptr && i < outputs; ++i) {
      double difference = 0;
      const double step = 1e-5, start = point[i];
      if (weight != 0) {
        point[i] = start + step;
        difference = Loss(point, targets[r], unit, family);
        point[i] = start - step;
        difference -= Loss(point, targets[r], unit, family);
        point[i] = start;
      }
      dx[r * outputs + i] = static_cast<float>(weight * difference / (2 * step));
    }
  }
}

void apus_mixture_quantiles_reference_f64(double* q, const double* parameters, const double* levels,
                                          const double* scores, ptrdiff_t rows,
                                          ptrdiff_t components, ptrdiff_t level_count) {
  for (ptrdiff_t r = 0; r < rows; ++r, parameters += 3 * components, q += level_count) {
    for (ptrdiff_t i = 0; i < level_count; ++i) {
      double low = INFINITY, high = -INFINITY;
      for (ptrdiff_t k = 0; k < components; ++k) {
        const double own = parameters[components + k] + scores[i] * parameters[2 * components + k];
        low = std::min(low, own);
        high = std::max(high, own);
      }
      for (int step = 0; step < 200; ++step) {
        const double middle = 0.5 * (low + high);
        double below = 0;
        for (ptrdiff_t k = 0; k < components; ++k) {
          const double z = (middle - parameters[components + k]) / parameters[2 * components + k];
          below += parameters[k] * 0.5 * std::erfc(-z / std::sqrt(2.0));
        }
        (below < levels[i] ? low : high) = middle;
      }
      q[i] = 0.5 * (low + high);
    }
  }
}

}  // extern "C"
}  // namespace apus
