// Timestep normalization as its equations stand, in double. This is the truth.
#include <cmath>
#include <vector>

#include "include/apus_kernels.h"

namespace {

/// One group of one sequence: its running statistics before the first token and after each.
struct Group {
  const float* x;
  ptrdiff_t features, size;
  std::vector<double> mean, variance;        // [T + 1]
  std::vector<double> own_mean, own_spread;  // [T], of the tokens alone

  Group(const float* x, const double* state, const apus_timestep_norm_shape& shape, ptrdiff_t b,
        ptrdiff_t g)
      : features(shape.groups * shape.group_size),
        size(shape.group_size),
        mean(shape.time + 1),
        variance(shape.time + 1),
        own_mean(shape.time),
        own_spread(shape.time) {
    this->x = x + b * shape.time * features + g * size;
    if (state != nullptr) {
      mean[0] = state[b * 2 * shape.groups + g];
      variance[0] = state[(b * 2 + 1) * shape.groups + g];
    }
    for (ptrdiff_t t = 0; t < shape.time; ++t) {
      double sum = 0, squares = 0;
      for (ptrdiff_t i = 0; i < size; ++i) sum += At(t, i);
      own_mean[t] = sum / static_cast<double>(size);
      for (ptrdiff_t i = 0; i < size; ++i) squares += std::pow(At(t, i) - own_mean[t], 2);
      own_spread[t] = squares / static_cast<double>(size);
      const double n = static_cast<double>(shape.count + t + 1), away = own_mean[t] - mean[t];
      variance[t + 1] =
          (n - 1) / n * variance[t] + own_spread[t] / n + (n - 1) / n / n * away * away;
      mean[t + 1] = mean[t] + away / n;
    }
  }

  double At(ptrdiff_t t, ptrdiff_t i) const { return x[t * features + i]; }
};

}  // namespace

extern "C" {

void apus_timestep_norm_reference_f32(float* y, double* state, const float* x, const float* weight,
                                      const float* bias, const apus_timestep_norm_shape* shape) {
  const ptrdiff_t size = shape->group_size, features = shape->groups * size;
  for (ptrdiff_t b = 0; b < shape->batch; ++b) {
    for (ptrdiff_t g = 0; g < shape->groups; ++g) {
      const Group group(x, state, *shape, b, g);
      for (ptrdiff_t t = 0; t < shape->time; ++t) {
        const double deviation = std::sqrt(group.variance[t + 1] + shape->epsilon);
        for (ptrdiff_t i = 0; i < size; ++i) {
          const double normal = (group.At(t, i) - group.mean[t + 1]) / deviation;
          y[(b * shape->time + t) * features + g * size + i] =
              static_cast<float>(normal * (1.0 + weight[g * size + i]) + bias[g * size + i]);
        }
      }
      if (state == nullptr) continue;
      state[b * 2 * shape->groups + g] = group.mean[shape->time];
      state[(b * 2 + 1) * shape->groups + g] = group.variance[shape->time];
    }
  }
}

void apus_timestep_norm_backward_reference_f32(float* dx, float* dweight, float* dbias,
                                               double* dstate, const float* dy, const float* x,
                                               const float* weight, const double* state,
                                               const apus_timestep_norm_shape* shape) {
  const ptrdiff_t size = shape->group_size, features = shape->groups * size;
  std::vector<double> sum_weight(features), sum_bias(features);
  for (ptrdiff_t b = 0; b < shape->batch; ++b) {
    for (ptrdiff_t g = 0; g < shape->groups; ++g) {
      const Group group(x, state, *shape, b, g);
      const ptrdiff_t at_mean = b * 2 * shape->groups + g, at_variance = at_mean + shape->groups;
      double carry_u = dstate == nullptr ? 0 : dstate[at_mean];
      double carry_v = dstate == nullptr ? 0 : dstate[at_variance];
      for (ptrdiff_t t = shape->time - 1; t >= 0; --t) {
        const double n = static_cast<double>(shape->count + t + 1), c1 = (n - 1) / n, c2 = 1 / n;
        const double r = 1 / std::sqrt(group.variance[t + 1] + shape->epsilon);
        const ptrdiff_t row = (b * shape->time + t) * features + g * size;
        double along = 0, total = 0;
        for (ptrdiff_t i = 0; i < size; ++i) {
          const double e = dy[row + i] * (1.0 + weight[g * size + i]);
          const double away = group.At(t, i) - group.mean[t + 1];
          along += e * away;
          total += e;
          sum_weight[g * size + i] += dy[row + i] * away * r;
          sum_bias[g * size + i] += dy[row + i];
        }
        const double dv = carry_v - 0.5 * r * r * r * along, du = carry_u - r * total;
        const double step = group.own_mean[t] - group.mean[t];
        const double down = c2 * du + 2 * c1 * c2 * dv * step;
        for (ptrdiff_t i = 0; i < size; ++i) {
          const double e = dy[row + i] * (1.0 + weight[g * size + i]);
          const double spread = 2 * c2 * dv * (group.At(t, i) - group.own_mean[t]);
          dx[row + i] = static_cast<float>(e * r + (down + spread) / static_cast<double>(size));
        }
        carry_u = c1 * du - 2 * c1 * c2 * dv * step;
        carry_v = c1 * dv;
      }
      if (dstate == nullptr) continue;
      dstate[at_mean] = carry_u;
      dstate[at_variance] = carry_v;
    }
  }
  for (ptrdiff_t i = 0; i < features; ++i) {
    dweight[i] = static_cast<float>(sum_weight[i]);
    dbias[i] = static_cast<float>(sum_bias[i]);
  }
}

}  // extern "C"
