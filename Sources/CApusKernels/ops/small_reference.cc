// The scalar twins of the small operations: sums, conversions, gates, random numbers, the table of
// embeddings, quantiles, gradient descent. One thread, in double, without cleverness.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "include/apus_kernels.h"

namespace apus {
namespace {

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t Bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

/// The number of a half, exactly.
double HalfValue(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  const double sign = half >> 15 ? -1 : 1;
  if (exponent == 31) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  return exponent == 0 ? sign * std::ldexp(mantissa, -24)
                       : sign * std::ldexp(1024 + mantissa, exponent - 25);
}

/// The nearest of the halves of x's sign, of two as near the even one. Infinity stands where the
/// next power of two would.
uint16_t NearestHalf(float x) {
  const uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return sign | 0x7E00;
  const double size = std::abs(static_cast<double>(x));
  uint16_t low = 0, high = 0x7C00;
  while (high - low > 1) {
    const uint16_t middle = static_cast<uint16_t>((low + high) / 2);
    (HalfValue(middle) <= size ? low : high) = middle;
  }
  const double above = high == 0x7C00 ? 65536.0 : HalfValue(high);
  const double to_low = size - HalfValue(low), to_high = above - size;
  const bool up = to_high < to_low || (to_high == to_low && high % 2 == 0);
  return sign | (up ? high : low);
}

double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

uint32_t Word(uint64_t seed, uint64_t stream, uint64_t element) {
  uint32_t words[4];
  apus_philox4x32(words, seed, stream, element / 4);
  return words[element % 4];
}

double Unit(uint64_t seed, uint64_t stream, uint64_t element) {
  return (Word(seed, stream, element) >> 8) / 16777216.0;
}

}  // namespace

extern "C" {

double apus_sum_reference_f32(const float* x, ptrdiff_t count) {
  double sum = 0;
  for (ptrdiff_t i = 0; i < count; ++i) sum += x[i];
  return sum;
}

double apus_sum_of_squares_reference_f32(const float* x, ptrdiff_t count) {
  double sum = 0;
  for (ptrdiff_t i = 0; i < count; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

void apus_f32_to_bf16_reference(uint16_t* y, const float* x, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; ++i) {
    const uint32_t bits = Bits(x[i]), low = bits & 0xFFFF;
    uint32_t high = bits >> 16;
    if (std::isnan(x[i])) {
      high |= 0x40;
    } else if (low > 0x8000 || (low == 0x8000 && high % 2 == 1)) {
      ++high;
    }
    y[i] = static_cast<uint16_t>(high);
  }
}

void apus_bf16_to_f32_reference(float* y, const uint16_t* x, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; ++i) y[i] = FromBits(static_cast<uint32_t>(x[i]) << 16);
}

void apus_f32_to_f16_reference(uint16_t* y, const float* x, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; ++i) y[i] = NearestHalf(x[i]);
}

void apus_f16_to_f32_reference(float* y, const uint16_t* x, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; ++i) y[i] = static_cast<float>(HalfValue(x[i]));
}

void apus_gate_silu_reference_f32(float* y, const float* a, const float* b, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; ++i) {
    y[i] = static_cast<float>(static_cast<double>(a[i]) * b[i] * Logistic(b[i]));
  }
}

void apus_gate_silu_backward_reference_f32(float* da, float* db, const float* dy, const float* a,
                                           const float* b, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; ++i) {
    const double s = Logistic(b[i]), g = dy[i], x = a[i], z = b[i];
    da[i] = static_cast<float>(g * z * s);
    db[i] = static_cast<float>(g * x * s * (1 + z * (1 - s)));
  }
}

void apus_dropout_reference_f32(float* y, const float* x, ptrdiff_t count, float keep,
                                uint64_t seed, uint64_t stream) {
  for (ptrdiff_t i = 0; i < count; ++i) {
    const bool kept = Unit(seed, stream, static_cast<uint64_t>(i)) < keep;
    y[i] = kept ? static_cast<float>(x[i] / static_cast<double>(keep)) : 0.0f;
  }
}

void apus_random_uniform_reference_f32(float* y, ptrdiff_t count, float low, float high,
                                       uint64_t seed, uint64_t stream, uint64_t offset) {
  const float most = high > low ? std::nextafter(high, low) : INFINITY;
  for (ptrdiff_t i = 0; i < count; ++i) {
    const double u = Unit(seed, stream, offset + static_cast<uint64_t>(i));
    const double value = low + u * (static_cast<double>(high) - low);
    y[i] = std::min(most, static_cast<float>(value));
  }
}

void apus_random_normal_reference_f32(float* y, ptrdiff_t count, float mean, float deviation,
                                      uint64_t seed, uint64_t stream, uint64_t offset) {
  for (ptrdiff_t i = 0; i < count; ++i) {
    const uint64_t element = offset + static_cast<uint64_t>(i), pair = element & ~uint64_t{1};
    const double u = ((Word(seed, stream, pair) >> 1) + 1.0) / 2147483648.0;
    const double angle = 2 * M_PI * Unit(seed, stream, pair + 1);
    const double radius = std::sqrt(-2 * std::log(u));
    const double z = radius * (element % 2 == 0 ? std::cos(angle) : std::sin(angle));
    y[i] = static_cast<float>(mean + deviation * z);
  }
}

void apus_embedding_backward_reference_f32(float* dtable, const float* dy, const int32_t* ids,
                                           ptrdiff_t rows, ptrdiff_t features,
                                           ptrdiff_t vocabulary) {
  for (ptrdiff_t id = 0; id < vocabulary; ++id) {
    for (ptrdiff_t f = 0; f < features; ++f) {
      double sum = dtable[id * features + f];
      for (ptrdiff_t r = 0; r < rows; ++r) {
        if (ids[r] == id) sum += dy[r * features + f];
      }
      dtable[id * features + f] = static_cast<float>(sum);
    }
  }
}

void apus_monotone_quantiles_reference_f32(float* q, const float* x, ptrdiff_t rows,
                                           ptrdiff_t levels) {
  const auto softplus = [](double v) { return v > 20 ? v : std::log1p(std::exp(v)); };
  const ptrdiff_t median = levels / 2;
  for (ptrdiff_t r = 0; r < rows; ++r, q += levels, x += levels) {
    for (ptrdiff_t i = 0; i < levels; ++i) {
      double value = x[median];
      for (ptrdiff_t k = median + 1; k <= i; ++k) value += softplus(x[k]);
      for (ptrdiff_t k = median - 1; k >= i; --k) value -= softplus(x[k]);
      q[i] = static_cast<float>(value);
    }
  }
}

void apus_monotone_quantiles_backward_reference_f32(float* dx, const float* dq, const float* x,
                                                    ptrdiff_t rows, ptrdiff_t levels) {
  const ptrdiff_t median = levels / 2;
  for (ptrdiff_t r = 0; r < rows; ++r, dx += levels, dq += levels, x += levels) {
    for (ptrdiff_t k = 0; k < levels; ++k) {
      const ptrdiff_t from = k < median ? 0 : k, to = k > median ? levels - 1 : k;
      double sum = 0;
      if (k == median) {
        for (ptrdiff_t i = 0; i < levels; ++i) sum += dq[i];
      } else {
        for (ptrdiff_t i = from; i <= to; ++i) sum += dq[i];
        sum *= (k < median ? -1 : 1) * Logistic(x[k]);
      }
      dx[k] = static_cast<float>(sum);
    }
  }
}

void apus_pinball_reference_f32(float* losses, float* dq, const float* q, const float* targets,
                                const float* weights, const float* levels, ptrdiff_t rows,
                                ptrdiff_t level_count) {
  for (ptrdiff_t r = 0; r < rows; ++r, q += level_count) {
    const double weight = weights == nullptr ? 1 : weights[r];
    double sum = 0;
    for (ptrdiff_t i = 0; i < level_count; ++i) {
      double slope = 0;
      if (weight != 0) {
        const double over = static_cast<double>(targets[r]) - q[i], level = levels[i];
        slope = over > 0 ? -level : over < 0 ? 1 - level : over;
        sum += -slope * over;
      }
      if (dq != nullptr) dq[r * level_count + i] = static_cast<float>(weight * slope / level_count);
    }
    losses[r] = static_cast<float>(weight * sum / level_count);
  }
}

void apus_sgd_reference_f32(float* parameter, float* velocity, const float* gradient,
                            ptrdiff_t count, float learning_rate, float momentum,
                            float weight_decay, float gradient_scale) {
  for (ptrdiff_t i = 0; i < count; ++i) {
    const double decayed = static_cast<double>(gradient_scale) * gradient[i] +
                           static_cast<double>(weight_decay) * parameter[i];
    velocity[i] = static_cast<float>(static_cast<double>(momentum) * velocity[i] + decayed);
    parameter[i] =
        static_cast<float>(parameter[i] - static_cast<double>(learning_rate) * velocity[i]);
  }
}

}  // extern "C"
}  // namespace apus
