// Negative log likelihoods of free outputs, one row at a time and in double: the special functions
// of a row cost more than its memory.
#include <algorithm>
#include <cmath>

#include "include/apus_kernels.h"
#include "support/parallel.h"

namespace apus {
namespace {

constexpr double kLeastScale = 1e-4, kLargest = 1e6;
constexpr double kLeastFreedom = 2.01, kMostFreedom = 1000;
constexpr double kLeastDispersion = 1e-6, kMostDispersion = 1e3;
constexpr ptrdiff_t kMostComponents = 16;

/// A parameter and its derivative by the free output that it comes from.
struct Parameter {
  double value, slope;
};

double Softplus(double x) { return x > 30 ? x : std::log1p(std::exp(x)); }
double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// x, held within ±kLargest; not-a-number is handed on, here and below.
Parameter Location(double x) {
  if (x > kLargest) return {kLargest, 0};
  if (x < -kLargest) return {-kLargest, 0};
  return {x, 1};
}

/// least + softplus(x), held below least + most.
Parameter Positive(double x, double least, double most) {
  const double value = Softplus(x);
  if (value >= most) return {least + most, 0};
  return {least + value, Logistic(x)};
}

/// ln Γ(x) for x > 0: Stirling's series above 10, where its next term is below 1e-16.
double LogGamma(double x) {
  double product = 1;
  for (; x < 10; x += 1) product *= x;
  const double i = 1 / x, s = i * i;
  const double tail =
      i * (1.0 / 12 -
           s * (1.0 / 360 - s * (1.0 / 1260 -
                                 s * (1.0 / 1680 -
                                      s * (1.0 / 1188 - s * (691.0 / 360360 - s * (1.0 / 156)))))));
  return (x - 0.5) * std::log(x) - x + 0.91893853320467274178 + tail - std::log(product);
}

/// The derivative of ln Γ for x > 0.
double Digamma(double x) {
  double sum = 0;
  for (; x < 10; x += 1) sum += 1 / x;
  const double i = 1 / x, s = i * i;
  const double tail =
      s * (1.0 / 12 -
           s * (1.0 / 120 -
                s * (1.0 / 252 -
                     s * (1.0 / 240 - s * (1.0 / 132 - s * (691.0 / 32760 - s * (1.0 / 12)))))));
  return std::log(x) - 0.5 * i - tail - sum;
}

struct StudentT {
  Parameter location, scale, freedom;

  explicit StudentT(const float* x)
      : location(Location(x[0])),
        scale(Positive(x[1], kLeastScale, kLargest)),
        freedom(Positive(x[2], kLeastFreedom, kMostFreedom)) {}

  double Loss(double y, double* dx) const {
    const double nu = freedom.value, z = (y - location.value) / scale.value, square = z * z;
    const double spread = std::log1p(square / nu), share = square / (nu + square);
    dx[0] = -location.slope * (nu + 1) * z / (nu + square) / scale.value;
    dx[1] = scale.slope * (1 - (nu + 1) * share) / scale.value;
    dx[2] = freedom.slope * 0.5 *
            (Digamma(nu / 2) - Digamma((nu + 1) / 2) + 1 / nu + spread - (nu + 1) / nu * share);
    return LogGamma(nu / 2) - LogGamma((nu + 1) / 2) + 0.5 * std::log(nu * M_PI) +
           std::log(scale.value) + (nu + 1) / 2 * spread;
  }
};

struct Mixture {
  ptrdiff_t count;
  double weights[kMostComponents];
  Parameter locations[kMostComponents], scales[kMostComponents];

  Mixture(const float* x, ptrdiff_t components) : count(components) {
    double largest = x[0], sum = 0;
    for (ptrdiff_t k = 1; k < count; ++k) largest = std::max(largest, double{x[k]});
    for (ptrdiff_t k = 0; k < count; ++k) sum += weights[k] = std::exp(x[k] - largest);
    for (ptrdiff_t k = 0; k < count; ++k) {
      weights[k] /= sum;
      locations[k] = Location(x[count + k]);
      scales[k] = Positive(x[2 * count + k], kLeastScale, kLargest);
    }
  }

  double Loss(double y, double* dx) const {
    double terms[kMostComponents], largest = -INFINITY, sum = 0;
    for (ptrdiff_t k = 0; k < count; ++k) {
      const double z = (y - locations[k].value) / scales[k].value;
      terms[k] = std::log(weights[k]) - std::log(scales[k].value) - 0.5 * z * z;
      largest = std::max(largest, terms[k]);
    }
    for (ptrdiff_t k = 0; k < count; ++k) sum += terms[k] = std::exp(terms[k] - largest);
    for (ptrdiff_t k = 0; k < count; ++k) {
      const double z = (y - locations[k].value) / scales[k].value, share = terms[k] / sum;
      dx[k] = weights[k] - share;
      dx[count + k] = -locations[k].slope * share * z / scales[k].value;
      dx[2 * count + k] = scales[k].slope * share * (1 - z * z) / scales[k].value;
    }
    return 0.91893853320467274178 - largest - std::log(sum);
  }
};

struct Counts {
  Parameter mean, dispersion;
  double none, some, log_none, log_some;  // probabilities of a zero besides, and of none

  Counts(const float* x, double unit) {
    const double root = std::sqrt(unit);
    mean = Positive(x[0], kLeastDispersion, kLargest);
    mean = {unit * mean.value, unit * mean.slope};
    dispersion = Positive(x[1], 0, kMostDispersion);
    dispersion = {dispersion.value / root, dispersion.slope / root};
    if (dispersion.value < kLeastDispersion) dispersion = {kLeastDispersion, 0};
    none = Logistic(x[2]);
    some = Logistic(-x[2]);
    log_none = -Softplus(-x[2]);
    log_some = -Softplus(x[2]);
  }

  double Loss(double y, double* dx) const {
    const double m = mean.value, r = 1 / dispersion.value, over = dispersion.value * m;
    const double spread = std::log1p(over);
    if (y == 0) {
      // Both of its sources say 0.
      const double zero = log_some - r * spread, larger = std::max(log_none, zero);
      const double total = larger + std::log1p(std::exp(std::min(log_none, zero) - larger));
      const double part = std::exp(zero - total);
      dx[0] = mean.slope * part / (1 + over);
      dx[1] = dispersion.slope * part * r * r * (over / (1 + over) - spread);
      dx[2] = some * std::exp(log_none - total) * std::expm1(-r * spread);
      return -total;
    }
    dx[2] = none;
    dx[0] = -mean.slope * (y - m) / (m * (1 + over));
    dx[1] = dispersion.slope * r * r * (Digamma(y + r) - Digamma(r) - spread + (m - y) / (r + m));
    // y ln(m / (r + m)) with the logarithm of a share near 1 kept exact.
    return LogGamma(r) + LogGamma(y + 1) - LogGamma(y + r) + r * spread + y * std::log1p(r / m) -
           log_some;
  }
};

/// The quantile of a mixture between two values, by Newton steps inside a shrinking bracket: a step
/// is at most half as long as the one before, or halves the bracket.
double Quantile(const double* weights, const double* locations, const double* scales,
                ptrdiff_t count, double level, double low, double high) {
  const double width = high - low;
  double x = 0.5 * (low + high), before = width;
  for (int step = 0; step < 100; ++step) {
    double excess = -level, density = 0;
    for (ptrdiff_t k = 0; k < count; ++k) {
      const double z = (x - locations[k]) / scales[k];
      excess += weights[k] * 0.5 * std::erfc(-z * M_SQRT1_2);
      density += weights[k] * std::exp(-0.5 * z * z) / (scales[k] * 2.50662827463100050242);
    }
    if (std::isnan(excess)) return excess;
    (excess > 0 ? high : low) = x;
    const double newton = x - excess / density;
    const bool isTaken = newton > low && newton < high && std::abs(newton - x) <= 0.5 * before;
    const double next = isTaken ? newton : 0.5 * (low + high);
    before = std::abs(next - x);
    if (!(before > 1e-13 * std::max(std::abs(x), width))) return next;
    x = next;
  }
  return x;
}

/// The unit of a row of counts; rows before a series begin have none.
double Unit(const float* scales, ptrdiff_t row) {
  return scales != nullptr && scales[row] > 0 ? scales[row] : 1;
}

double Loss(const float* x, double target, double unit, ptrdiff_t outputs, int family, double* dx) {
  const double y = target > kLargest ? kLargest : target < -kLargest ? -kLargest : target;
  switch (family) {
    case APUS_STUDENT_T:
      return StudentT(x).Loss(y, dx);
    case APUS_MIXTURE:
      return Mixture(x, outputs / 3).Loss(y, dx);
    default: {
      const double count = std::round(target * unit);
      return Counts(x, unit).Loss(count < 0 ? 0 : count, dx);
    }
  }
}

}  // namespace

extern "C" {

void apus_likelihood_f32(float* losses, float* dx, const float* x, const float* targets,
                         const float* scales, const float* weights, ptrdiff_t rows,
                         ptrdiff_t outputs, int family) {
  ParallelRanges(rows, RowGrain(64 * outputs), [&](ptrdiff_t begin, ptrdiff_t end) {
    double gradient[3 * kMostComponents];
    for (ptrdiff_t r = begin; r < end; ++r) {
      const double weight = weights == nullptr ? 1 : weights[r];
      double loss = 0;
      std::fill_n(gradient, outputs, 0.0);
      if (weight != 0) {
        loss = Loss(x + r * outputs, targets[r], Unit(scales, r), outputs, family, gradient);
      }
      losses[r] = static_cast<float>(weight * loss);
      if (dx == nullptr) continue;
      for (ptrdiff_t i = 0; i < outputs; ++i) {
        dx[r * outputs + i] = static_cast<float>(weight * gradient[i]);
      }
    }
  });
}

void apus_likelihood_parameters_f64(double* parameters, const float* x, const float* scales,
                                    ptrdiff_t rows, ptrdiff_t outputs, int family) {
  for (ptrdiff_t r = 0; r < rows; ++r, x += outputs, parameters += outputs) {
    if (family == APUS_STUDENT_T) {
      const StudentT one(x);
      parameters[0] = one.location.value;
      parameters[1] = one.scale.value;
      parameters[2] = one.freedom.value;
    } else if (family == APUS_MIXTURE) {
      const Mixture one(x, outputs / 3);
      for (ptrdiff_t k = 0; k < one.count; ++k) {
        parameters[k] = one.weights[k];
        parameters[one.count + k] = one.locations[k].value;
        parameters[2 * one.count + k] = one.scales[k].value;
      }
    } else {
      const Counts one(x, Unit(scales, r));
      parameters[0] = one.mean.value;
      parameters[1] = one.dispersion.value;
      parameters[2] = one.none;
    }
  }
}

void apus_mixture_quantiles_f64(double* q, const double* parameters, const double* levels,
                                const double* scores, ptrdiff_t rows, ptrdiff_t components,
                                ptrdiff_t level_count) {
  ParallelRanges(rows, RowGrain(64 * level_count), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      const double* weights = parameters + 3 * r * components;
      const double* locations = weights + components;
      const double* scales = locations + components;
      double least = -INFINITY;
      for (ptrdiff_t i = 0; i < level_count; ++i) {
        // A quantile lies between those of the components.
        double low = INFINITY, high = -INFINITY;
        for (ptrdiff_t k = 0; k < components; ++k) {
          const double own = locations[k] + scores[i] * scales[k];
          low = std::min(low, own);
          high = std::max(high, own);
        }
        const double found = Quantile(weights, locations, scales, components, levels[i], low, high);
        // Not-a-number is handed on.
        q[r * level_count + i] = least = found < least ? least : found;
      }
    }
  });
}

}  // extern "C"
}  // namespace apus
