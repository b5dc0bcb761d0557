// Attention as its definition says it, in double: the reference that the kernels are tested
// against.
#include <cmath>
#include <limits>
#include <vector>

#include "include/apus_kernels.h"
#include "ops/attention_plan.h"

namespace apus {
namespace {

using attention::Head;
using attention::KeyRange;

double Dot(const float* a, const float* b, ptrdiff_t size) {
  double sum = 0;
  for (ptrdiff_t i = 0; i < size; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// Calls body(head, row) for every row of every key-value head.
template <class Body>
void ForEachRow(const apus_attention_shape* shape, const Body& body) {
  for (ptrdiff_t index = 0; index < shape->batch * shape->kv_heads; ++index) {
    const Head head(shape, index);
    for (ptrdiff_t row = 0; row < head.rows(); ++row) body(head, row);
  }
}

/// Sets every row of a strided array [batch, tokens, heads · size] to zeros.
void Clear(float* x, ptrdiff_t batch, ptrdiff_t tokens, ptrdiff_t features, ptrdiff_t batch_stride,
           ptrdiff_t stride) {
  for (ptrdiff_t b = 0; b < batch; ++b) {
    for (ptrdiff_t t = 0; t < tokens; ++t) {
      for (ptrdiff_t c = 0; c < features; ++c) x[b * batch_stride + t * stride + c] = 0.0f;
    }
  }
}

}  // namespace
}  // namespace apus

extern "C" {

void apus_attention_reference_f32(float* o, float* lse, const float* q, const float* k,
                                  const float* v, const apus_attention_shape* shape) {
  using namespace apus;
  const ptrdiff_t size = shape->head_size;
  std::vector<double> weights(static_cast<size_t>(shape->keys));
  ForEachRow(shape, [&](const Head& head, ptrdiff_t row) {
    const KeyRange keys = head.Keys(row);
    const float* query = q + head.Row(row, shape->q_batch, shape->q_stride);
    float* output = o + head.Row(row, shape->o_batch, shape->o_stride);
    double maximum = -std::numeric_limits<double>::infinity(), sum = 0;
    for (ptrdiff_t j = keys.begin; j < keys.end; ++j) {
      const float* key = k + head.Key(j, shape->k_batch, shape->k_stride);
      weights[j] = shape->scale * Dot(query, key, size);
      maximum = std::fmax(maximum, weights[j]);
    }
    for (ptrdiff_t j = keys.begin; j < keys.end; ++j) {
      weights[j] = std::exp(weights[j] - maximum);
      sum += weights[j];
    }
    for (ptrdiff_t c = 0; c < size; ++c) {
      double total = 0;
      for (ptrdiff_t j = keys.begin; j < keys.end; ++j) {
        total += weights[j] * v[head.Key(j, shape->v_batch, shape->v_stride) + c];
      }
      output[c] = keys.begin < keys.end ? static_cast<float>(total / sum) : 0.0f;
    }
    if (lse == nullptr) return;
    lse[head.Statistic(row)] = keys.begin < keys.end ? static_cast<float>(maximum + std::log(sum))
                                                     : std::numeric_limits<float>::infinity();
  });
}

void apus_attention_backward_reference_f32(float* dq, float* dk, float* dv, const float* dout,
                                           const float* q, const float* k, const float* v,
                                           const float* o, const float* lse,
                                           const apus_attention_shape* shape) {
  using namespace apus;
  const ptrdiff_t size = shape->head_size, keys = shape->keys;
  Clear(dq, shape->batch, shape->queries, shape->heads * size, shape->q_batch, shape->q_stride);
  Clear(dk, shape->batch, keys, shape->kv_heads * size, shape->k_batch, shape->k_stride);
  Clear(dv, shape->batch, keys, shape->kv_heads * size, shape->v_batch, shape->v_stride);
  std::vector<double> sum_q(size), sum_k(keys * size), sum_v(keys * size);
  for (ptrdiff_t index = 0; index < shape->batch * shape->kv_heads; ++index) {
    const Head head(shape, index);
    std::fill(sum_k.begin(), sum_k.end(), 0.0);
    std::fill(sum_v.begin(), sum_v.end(), 0.0);
    for (ptrdiff_t row = 0; row < head.rows(); ++row) {
      const float* query = q + head.Row(row, shape->q_batch, shape->q_stride);
      const ptrdiff_t output = head.Row(row, shape->o_batch, shape->o_stride);
      const double delta = Dot(dout + output, o + output, size);
      const double log_sum = lse[head.Statistic(row)];
      std::fill(sum_q.begin(), sum_q.end(), 0.0);
      const KeyRange sees = head.Keys(row);
      for (ptrdiff_t j = sees.begin; j < sees.end; ++j) {
        const float* key = k + head.Key(j, shape->k_batch, shape->k_stride);
        const float* value = v + head.Key(j, shape->v_batch, shape->v_stride);
        const double p = std::exp(shape->scale * Dot(query, key, size) - log_sum);
        const double ds = shape->scale * p * (Dot(dout + output, value, size) - delta);
        for (ptrdiff_t c = 0; c < size; ++c) {
          sum_q[c] += ds * key[c];
          sum_k[j * size + c] += ds * query[c];
          sum_v[j * size + c] += p * dout[output + c];
        }
      }
      float* to = dq + head.Row(row, shape->q_batch, shape->q_stride);
      for (ptrdiff_t c = 0; c < size; ++c) to[c] = static_cast<float>(sum_q[c]);
    }
    for (ptrdiff_t j = 0; j < keys; ++j) {
      float* to_k = dk + head.Key(j, shape->k_batch, shape->k_stride);
      float* to_v = dv + head.Key(j, shape->v_batch, shape->v_stride);
      for (ptrdiff_t c = 0; c < size; ++c) {
        to_k[c] = static_cast<float>(sum_k[j * size + c]);
        to_v[c] = static_cast<float>(sum_v[j * size + c]);
      }
    }
  }
}

}  // extern "C"
