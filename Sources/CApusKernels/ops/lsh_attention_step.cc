// LSH attention continued token by token: every group keeps its last blocks in pages, so that the
// cost of a token does not depend on how many came before.
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/lsh_attention_step.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <vector>

#include "include/apus_kernels.h"
#include "ops/lsh_plan.h"
#include "ops/lsh_tile-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

#ifndef APUS_LSH_ATTENTION_STEP_ONCE
#define APUS_LSH_ATTENTION_STEP_ONCE
namespace apus::lsh {

struct StepCall {
  const apus_lsh_shape* shape;
  float *o, *memory;
  int32_t* counts;
  const int32_t* pages;
  const float *q, *k, *v;
  const int32_t* buckets;
};

/// One group of one list: how many tokens it has had, and where its blocks are.
struct Group {
  const apus_lsh_shape& shape;
  int32_t* count;
  const int32_t* pages;

  Group(const StepCall& call, ptrdiff_t head, ptrdiff_t round, ptrdiff_t token)
      : shape(*call.shape) {
    const ptrdiff_t list = head * shape.rounds + round;
    const ptrdiff_t bucket = call.buckets == nullptr ? 0 : call.buckets[list * shape.time + token];
    const ptrdiff_t group = list * shape.groups + bucket;
    count = call.counts + group;
    pages = call.pages + group * (shape.before + 1);
  }

  ptrdiff_t newest() const { return *count / shape.block; }
  ptrdiff_t oldest() const { return std::max<ptrdiff_t>(0, newest() - shape.before); }
  /// How many tokens of a block are there.
  ptrdiff_t Filled(ptrdiff_t block) const {
    return std::min<ptrdiff_t>(shape.block, *count - block * shape.block);
  }
  /// The keys of a block; its values follow.
  float* Keys(float* memory, ptrdiff_t block) const {
    const ptrdiff_t page = pages[block % (shape.before + 1)];
    return memory + page * 2 * shape.block * shape.head_size;
  }
};

}  // namespace apus::lsh
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using lsh::Group;
using lsh::StepCall;

/// Adds what a token sees of `count` keys of a page to its running softmax.
void SeePage(float* HWY_RESTRICT o, float* HWY_RESTRICT scores, float& reference, float& sum,
             const float* q, const float* keys, const float* values, ptrdiff_t count,
             ptrdiff_t size) {
  float largest = reference;
  for (ptrdiff_t j = 0; j < count; ++j) {
    scores[j] = DotRow(q, keys + j * size, size) * attention::kLog2E;
    largest = std::max(largest, scores[j]);
  }
  if (largest > reference) {
    const float shrink = std::exp2(reference - largest);
    sum *= shrink;
    for (ptrdiff_t i = 0; i < size; ++i) o[i] *= shrink;
    reference = largest;
  }
  const Floats f;
  const Vector shift = hn::Set(f, reference);
  for (ptrdiff_t j = 0; j < count; j += kLanes) {
    Vector p[1] = {hn::Sub(hn::LoadU(f, scores + j), shift)};
    Exp2(p);
    hn::StoreU(p[0], f, scores + j);
  }
  for (ptrdiff_t j = 0; j < count; ++j) {
    sum += scores[j];
    AddRow(o, values + j * size, scores[j], size);
  }
}

void LshStep(const StepCall& call, ptrdiff_t head) {
  const apus_lsh_shape& shape = *call.shape;
  const ptrdiff_t size = shape.head_size;
  Scratch scratch(2 * Scratch::Rounded(size) + Scratch::Rounded(shape.block + kLanes));
  float *key = scratch.Take(size), *mixed = scratch.Take(size);
  float* scores = scratch.Take(shape.block + kLanes);
  std::fill_n(scores, shape.block + kLanes, 0.0f);
  for (ptrdiff_t t = 0; t < shape.time; ++t) {
    const float* q = call.q + lsh::Place(shape, head, t, shape.q_stride);
    const float* raw = shape.shared ? q : call.k + lsh::Place(shape, head, t, shape.k_stride);
    const float* v = call.v + lsh::Place(shape, head, t, shape.v_stride);
    ScaleRow(key, raw, KeyScale(shape, q), size);
    std::fill_n(mixed, size, 0.0f);
    float reference = -attention::kInfinity, sum = 0.0f;
    for (ptrdiff_t round = 0; round < shape.rounds; ++round) {
      const Group group(call, head, round, t);
      for (ptrdiff_t block = group.oldest(); block <= group.newest(); ++block) {
        const ptrdiff_t count = group.Filled(block);
        if (count == 0) continue;  // the block that this token opens
        const float* keys = group.Keys(call.memory, block);
        SeePage(mixed, scores, reference, sum, q, keys, keys + shape.block * size, count, size);
      }
      if (!shape.shared) SeePage(mixed, scores, reference, sum, q, key, v, 1, size);
      float* place = group.Keys(call.memory, group.newest()) + *group.count % shape.block * size;
      std::copy_n(key, size, place);
      std::copy_n(v, size, place + shape.block * size);
      ++*group.count;
    }
    float* o = call.o + lsh::Place(shape, head, t, shape.heads * size);
    sum > 0.0f ? ScaleRow(o, mixed, 1.0f / sum, size) : ScaleRow(o, v, 1.0f, size);
  }
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(LshStep);

/// What a token sees, in double.
struct SeenInDouble {
  std::vector<double> scores;
  std::vector<const float*> values;

  void Add(const float* q, const float* key, double scale, const float* value, ptrdiff_t size) {
    double score = 0;
    for (ptrdiff_t i = 0; i < size; ++i) score += static_cast<double>(q[i]) * key[i] * scale;
    scores.push_back(score);
    values.push_back(value);
  }
  void Write(float* o, ptrdiff_t size) const {
    const double largest = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    std::vector<double> mixed(static_cast<size_t>(size));
    for (size_t s = 0; s < scores.size(); ++s) {
      const double p = std::exp(scores[s] - largest);
      sum += p;
      for (ptrdiff_t i = 0; i < size; ++i) mixed[i] += p * values[s][i];
    }
    for (ptrdiff_t i = 0; i < size; ++i) o[i] = static_cast<float>(mixed[i] / sum);
  }
};

}  // namespace

extern "C" {

void apus_lsh_step_f32(float* o, float* memory, int32_t* counts, const int32_t* pages,
                       const float* q, const float* k, const float* v, const int32_t* buckets,
                       const apus_lsh_shape* shape) {
  const lsh::StepCall call{shape, o, memory, counts, pages, q, k, v, buckets};
  ParallelBlocks(shape->batch * shape->heads, [&](ptrdiff_t head) {
    HWY_DYNAMIC_DISPATCH(LshStep)(call, head);
  });
}

ptrdiff_t apus_lsh_reserve(int32_t* pages, ptrdiff_t next, const int32_t* counts,
                           const int32_t* buckets, const apus_lsh_shape* shape) {
  const ptrdiff_t kept = shape->before + 1;
  Scratch scratch(shape->groups);
  int32_t* added = reinterpret_cast<int32_t*>(scratch.Take(shape->groups));
  for (ptrdiff_t list = 0; list < shape->batch * shape->heads * shape->rounds; ++list) {
    std::fill_n(added, shape->groups, 0);
    for (ptrdiff_t t = 0; t < shape->time; ++t) {
      const ptrdiff_t bucket = buckets == nullptr ? 0 : buckets[list * shape->time + t];
      const ptrdiff_t group = list * shape->groups + bucket;
      const ptrdiff_t block = (counts[group] + added[bucket]++) / shape->block;
      int32_t& page = pages[group * kept + block % kept];
      if (page < 0) page = static_cast<int32_t>(next++);
    }
  }
  return next;
}

void apus_lsh_step_reference_f32(float* o, float* memory, int32_t* counts, const int32_t* pages,
                                 const float* q, const float* k, const float* v,
                                 const int32_t* buckets, const apus_lsh_shape* shape) {
  const lsh::StepCall call{shape, o, memory, counts, pages, q, k, v, buckets};
  const ptrdiff_t size = shape->head_size;
  for (ptrdiff_t i = 0; i < shape->batch * shape->heads * shape->time; ++i) {
    const ptrdiff_t head = i / shape->time, t = i % shape->time;
    const float* query = q + lsh::Place(*shape, head, t, shape->q_stride);
    const float* raw = shape->shared ? query : k + lsh::Place(*shape, head, t, shape->k_stride);
    const float* value = v + lsh::Place(*shape, head, t, shape->v_stride);
    double squares = 0;
    for (ptrdiff_t e = 0; e < size; ++e) squares += static_cast<double>(raw[e]) * raw[e];
    const double scale =
        shape->shared ? 1 / std::sqrt(squares + 1e-6 * size) : 1 / std::sqrt(1.0 * size);
    SeenInDouble seen;
    for (ptrdiff_t round = 0; round < shape->rounds; ++round) {
      const lsh::Group group(call, head, round, t);
      for (ptrdiff_t block = group.oldest(); block <= group.newest(); ++block) {
        for (ptrdiff_t j = 0; j < group.Filled(block); ++j) {
          const float* key = group.Keys(memory, block) + j * size;
          seen.Add(query, key, 1, key + shape->block * size, size);
        }
      }
      if (!shape->shared) seen.Add(query, raw, scale, value, size);
    }
    if (seen.scores.empty()) seen.Add(query, raw, scale, value, size);
    seen.Write(o + lsh::Place(*shape, head, t, shape->heads * size), size);
    for (ptrdiff_t round = 0; round < shape->rounds; ++round) {
      const lsh::Group group(call, head, round, t);
      float* place = group.Keys(memory, group.newest()) + *group.count % shape->block * size;
      for (ptrdiff_t e = 0; e < size; ++e) {
        place[e] = static_cast<float>(raw[e] * scale);
        place[shape->block * size + e] = value[e];
      }
      ++*group.count;
    }
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
