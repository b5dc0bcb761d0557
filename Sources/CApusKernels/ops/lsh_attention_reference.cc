// LSH attention as its definition says it, in double: the reference that the kernels are tested
// against.
#include <limits>
#include <vector>

#include "ops/lsh_plan.h"

namespace apus {
namespace {

using lsh::Block;
using lsh::Lists;
using lsh::Sight;

constexpr double kLog2E = 1.44269504088896340736;

double Dot(const float* a, const float* b, ptrdiff_t size) {
  double sum = 0;
  for (ptrdiff_t i = 0; i < size; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// One head: its arrays, and what every token sees.
struct ReferenceHead {
  const apus_lsh_shape& shape;
  ptrdiff_t head;
  const float *q, *k, *v;
  Lists lists;

  ReferenceHead(const apus_lsh_shape* shape, ptrdiff_t head, const float* q, const float* k,
                const float* v, const int32_t* order, const int32_t* starts)
      : shape(*shape), head(head), q(q), k(k), v(v), lists(shape, order, starts, head) {}

  const float* Query(ptrdiff_t t) const { return q + lsh::Place(shape, head, t, shape.q_stride); }
  const float* Value(ptrdiff_t t) const { return v + lsh::Place(shape, head, t, shape.v_stride); }
  const float* RawKey(ptrdiff_t t) const {
    return shape.shared ? Query(t) : k + lsh::Place(shape, head, t, shape.k_stride);
  }
  double KeyScale(ptrdiff_t t) const {
    const ptrdiff_t size = shape.head_size;
    if (!shape.shared) return 1 / std::sqrt(static_cast<double>(size));
    return 1 / std::sqrt(Dot(Query(t), Query(t), size) + 1e-6 * size);
  }
  double Score(ptrdiff_t t, ptrdiff_t s) const {
    return Dot(Query(t), RawKey(s), shape.head_size) * KeyScale(s);
  }

  /// For every token the tokens it sees, over all rounds.
  std::vector<std::vector<int32_t>> Seen() const {
    std::vector<std::vector<int32_t>> seen(static_cast<size_t>(shape.time));
    for (ptrdiff_t round = 0; round < shape.rounds; ++round) {
      lists.ForBlocks(round, 0, shape.slots, [&](const Block& block) {
        for (ptrdiff_t e = block.rows.begin; e < block.rows.begin + block.rows.count; ++e) {
          const int32_t token = lists.Token(e);
          if (token >= shape.time) continue;
          const Sight sight(shape, token);
          for (int part = 0; part < block.parts; ++part) {
            for (ptrdiff_t i = 0; i < block.keys[part].count; ++i) {
              const int32_t key = lists.Token(block.keys[part].begin + i);
              if (sight.Sees(key)) seen[token].push_back(key);
            }
          }
        }
      });
    }
    return seen;
  }
};

}  // namespace

extern "C" {

void apus_lsh_attention_reference_f32(float* o, float* lse, const float* q, const float* k,
                                      const float* v, const int32_t* order, const int32_t* starts,
                                      const apus_lsh_shape* shape) {
  const ptrdiff_t size = shape->head_size;
  for (ptrdiff_t head = 0; head < shape->batch * shape->heads; ++head) {
    const ReferenceHead one(shape, head, q, k, v, order, starts);
    const auto seen = one.Seen();
    for (ptrdiff_t t = 0; t < shape->time; ++t) {
      double largest = -std::numeric_limits<double>::infinity(), sum = 0;
      for (const int32_t s : seen[t]) largest = std::max(largest, one.Score(t, s));
      std::vector<double> mixed(static_cast<size_t>(size));
      for (const int32_t s : seen[t]) {
        const double p = std::exp(one.Score(t, s) - largest);
        sum += p;
        for (ptrdiff_t i = 0; i < size; ++i) mixed[i] += p * one.Value(s)[i];
      }
      float* to = o + lsh::Place(*shape, head, t, shape->heads * size);
      for (ptrdiff_t i = 0; i < size; ++i) {
        to[i] = seen[t].empty() ? one.Value(t)[i] : static_cast<float>(mixed[i] / sum);
      }
      lse[head * shape->time + t] = seen[t].empty()
                                        ? std::numeric_limits<float>::infinity()
                                        : static_cast<float>((largest + std::log(sum)) * kLog2E);
    }
  }
}

void apus_lsh_attention_backward_reference_f32(float* dq, float* dk, float* dv, const float* dout,
                                               const float* q, const float* k, const float* v,
                                               const float* o, const float* lse,
                                               const int32_t* order, const int32_t* starts,
                                               const apus_lsh_shape* shape) {
  const ptrdiff_t size = shape->head_size, time = shape->time;
  using Doubles = std::vector<double>;
  for (ptrdiff_t head = 0; head < shape->batch * shape->heads; ++head) {
    const ReferenceHead one(shape, head, q, k, v, order, starts);
    const auto seen = one.Seen();
    Doubles queries(static_cast<size_t>(time * size)), keys = queries, values = queries;
    for (ptrdiff_t t = 0; t < time; ++t) {
      const ptrdiff_t place = lsh::Place(*shape, head, t, shape->heads * size);
      const float* upstream = dout + place;
      if (seen[t].empty()) {
        for (ptrdiff_t i = 0; i < size; ++i) values[t * size + i] += upstream[i];
      }
      const double mean = Dot(upstream, o + place, size);
      for (const int32_t s : seen[t]) {
        const double p = std::exp(one.Score(t, s) - lse[head * time + t] / kLog2E);
        const double ds = p * (Dot(upstream, one.Value(s), size) - mean), scale = one.KeyScale(s);
        for (ptrdiff_t i = 0; i < size; ++i) {
          values[s * size + i] += p * upstream[i];
          queries[t * size + i] += ds * one.RawKey(s)[i] * scale;
          keys[s * size + i] += ds * one.Query(t)[i];
        }
      }
    }
    for (ptrdiff_t t = 0; t < time; ++t) {
      const double scale = one.KeyScale(t);
      const float* raw = one.RawKey(t);
      double along = 0;  // the part of the gradient that would change the key's length
      for (ptrdiff_t i = 0; i < size; ++i) along += keys[t * size + i] * raw[i] * scale * scale;
      for (ptrdiff_t i = 0; i < size; ++i) {
        const double key = scale * (keys[t * size + i] - (shape->shared ? raw[i] * along : 0));
        const double query = queries[t * size + i] + (shape->shared ? key : 0);
        dq[lsh::Place(*shape, head, t, shape->q_stride) + i] = static_cast<float>(query);
        if (!shape->shared) {
          dk[lsh::Place(*shape, head, t, shape->k_stride) + i] = static_cast<float>(key);
        }
        dv[lsh::Place(*shape, head, t, shape->v_stride) + i] =
            static_cast<float>(values[t * size + i]);
      }
    }
  }
}

}  // extern "C"
}  // namespace apus
