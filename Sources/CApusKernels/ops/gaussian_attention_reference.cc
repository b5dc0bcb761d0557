// The truth about kernelized attention: double, pair by pair, one thread.
#include <cmath>
#include <vector>

#include "include/apus_kernels.h"
#include "ops/attention_plan.h"

namespace apus {
namespace {

/// exp(−scale |q − k|²/2).
double Weight(const float* q, const float* k, ptrdiff_t size, double scale) {
  double square = 0;
  for (ptrdiff_t c = 0; c < size; ++c) {
    const double difference = static_cast<double>(q[c]) - k[c];
    square += difference * difference;
  }
  return std::exp(-scale * square / 2);
}

}  // namespace
}  // namespace apus

extern "C" {

void apus_gaussian_attention_reference_f32(float* o, const float* q, const float* k, const float* v,
                                           const apus_attention_shape* shape) {
  using apus::attention::Head;
  const ptrdiff_t size = shape->head_size;
  for (ptrdiff_t index = 0; index < shape->batch * shape->kv_heads; ++index) {
    const Head head(shape, index);
    for (ptrdiff_t s = 0; s < head.rows(); ++s) {
      std::vector<double> sum(static_cast<size_t>(size), 0.0);
      const apus::attention::KeyRange sees = head.Keys(s);
      for (ptrdiff_t j = sees.begin; j < sees.end; ++j) {
        const double weight =
            apus::Weight(q + head.Row(s, shape->q_batch, shape->q_stride),
                         k + head.Key(j, shape->k_batch, shape->k_stride), size, shape->scale);
        const float* value = v + head.Key(j, shape->v_batch, shape->v_stride);
        for (ptrdiff_t c = 0; c < size; ++c) sum[c] += weight * value[c];
      }
      float* to = o + head.Row(s, shape->o_batch, shape->o_stride);
      for (ptrdiff_t c = 0; c < size; ++c) to[c] = static_cast<float>(sum[c]);
    }
  }
}

void apus_gaussian_attention_backward_reference_f32(float* dq, float* dk, float* dv,
                                                    const float* dout, const float* q,
                                                    const float* k, const float* v,
                                                    const apus_attention_shape* shape) {
  using apus::attention::Head;
  const ptrdiff_t size = shape->head_size;
  for (ptrdiff_t index = 0; index < shape->batch * shape->kv_heads; ++index) {
    const Head head(shape, index);
    const size_t row_count = static_cast<size_t>(head.rows() * size);
    std::vector<double> queries(row_count, 0.0);
    std::vector<double> keys(static_cast<size_t>(shape->keys * size), 0.0), values(keys);
    for (ptrdiff_t s = 0; s < head.rows(); ++s) {
      const float* row = q + head.Row(s, shape->q_batch, shape->q_stride);
      const float* gradient = dout + head.Row(s, shape->o_batch, shape->o_stride);
      const apus::attention::KeyRange sees = head.Keys(s);
      for (ptrdiff_t j = sees.begin; j < sees.end; ++j) {
        const float* key = k + head.Key(j, shape->k_batch, shape->k_stride);
        const float* value = v + head.Key(j, shape->v_batch, shape->v_stride);
        const double weight = apus::Weight(row, key, size, shape->scale);
        double dweight = 0;
        for (ptrdiff_t c = 0; c < size; ++c) {
          dweight += static_cast<double>(gradient[c]) * value[c];
          values[j * size + c] += weight * gradient[c];
        }
        for (ptrdiff_t c = 0; c < size; ++c) {
          const double pull =
              dweight * weight * shape->scale * (static_cast<double>(key[c]) - row[c]);
          queries[s * size + c] += pull;
          keys[j * size + c] -= pull;
        }
      }
      for (ptrdiff_t c = 0; c < size; ++c) {
        dq[head.Row(s, shape->q_batch, shape->q_stride) + c] =
            static_cast<float>(queries[s * size + c]);
      }
    }
    for (ptrdiff_t j = 0; j < shape->keys; ++j) {
      for (ptrdiff_t c = 0; c < size; ++c) {
        dk[head.Key(j, shape->k_batch, shape->k_stride) + c] =
            static_cast<float>(keys[j * size + c]);
        dv[head.Key(j, shape->v_batch, shape->v_stride) + c] =
            static_cast<float>(values[j * size + c]);
      }
    }
  }
}

}  // extern "C"
