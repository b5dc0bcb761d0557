// mLSTM, forward: chunk by chunk as products of matrices, or a few tokens by the recurrence. Beck
// et al., 2024, arXiv:2405.04517, equations 19 to 27; in chunks as in ops/mlstm-inl.h:
//   y_t = e^{m − μ_t} C q_t + Σ_{s ≤ t} e^{a_s − μ_t} (q_t · k_s) v_s
//   C ← e^{m − μ_Q} C + Σ_s e^{a_s − μ_Q} k_s v_sᵀ          h_t = y_t / (max(|n · q|, e^{−m}) + ε)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/mlstm.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "include/apus_kernels.h"
#include "ops/mlstm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

/// One head of one sequence, through all its chunks.
class MlstmTask {
 public:
  MlstmTask(const mlstm::Inputs& in, const MlstmPlan& plan, ptrdiff_t index)
      : in_(in),
        plan_(plan),
        batch_(index / plan.shape.heads),
        head_(index % plan.shape.heads),
        scratch_(MlstmRows::Size(plan) + MlstmGates::Size(plan) +
                 Scratch::Rounded(plan.rows * plan.values) + Scratch::Rounded(plan.memory())) {
    rows_.Take(scratch_, plan);
    gates_.Take(scratch_, plan);
    sums_ = scratch_.Take(plan.rows * plan.values);
    memory_ = scratch_.Take(plan.memory());
  }

  void Run(float* h, float* norms, float* state, float* checkpoints) {
    float* outer = state == nullptr ? nullptr
                                    : state + (batch_ * plan_.shape.heads + head_) *
                                                  mlstm::StateSize(plan_.shape);
    float m = 0;
    if (outer != nullptr) {
      LoadMemory(memory_, outer, plan_);
      m = outer[mlstm::StateSize(plan_.shape) - 1];
    } else {
      std::fill_n(memory_, plan_.memory(), 0.0f);
    }
    for (ptrdiff_t index = 0; index < plan_.chunks; ++index) {
      if (checkpoints != nullptr) {
        StoreMemory(checkpoints + plan_.Checkpoint(batch_, head_, index), memory_, m, plan_);
      }
      const ptrdiff_t first = index * plan_.chunk;
      tokens_ = plan_.Tokens(index);
      rows_.Load(in_, plan_, batch_, head_, first, tokens_);
      gates_.Compute(in_.gates + plan_.Gate(batch_, head_, first), plan_.shape.heads, tokens_, m);
      Weigh();
      Sum(index == 0 && outer == nullptr);
      Normalize(h + plan_.Output(batch_, head_, first),
                norms == nullptr ? nullptr : norms + plan_.Norm(batch_, head_, first));
      m = gates_.last;
      if (index + 1 < plan_.chunks || outer != nullptr) Carry();
    }
    if (outer != nullptr) StoreMemory(outer, memory_, m, plan_);
  }

 private:
  /// scores[t, s] becomes e^{a_s − μ_t} q_t · k_s, with zeros to the end of t's tile.
  HWY_NOINLINE void Weigh() {
    const Floats f;
    for (ptrdiff_t t = 0; t < tokens_; ++t) {
      float* scores = rows_.scores + t * plan_.scores;
      ptrdiff_t s = 0;
      for (; s <= t; s += kPanel) {
        Vector share[2];
        gates_.Shares(share, t, s);
        for (int v = 0; v < 2; ++v) {
          float* at = scores + s + v * kLanes;
          Vector weight = hn::Mul(share[v], hn::LoadU(f, at));
          if (s + kPanel - 1 > t) {
            weight = hn::IfThenElseZero(Inside(s + v * kLanes, 0, t + 1), weight);
          }
          hn::StoreU(weight, f, at);
        }
      }
      for (; s < t / kRows * kRows + kRows; s += kLanes) hn::StoreU(hn::Zero(f), f, scores + s);
    }
  }

  /// The numerators of all tokens, the last column being n · q.
  HWY_NOINLINE void Sum(bool starts_empty) {
    ForPanels(plan_.shape.value_size + 1, [&](auto vectors, ptrdiff_t p) HWY_ATTR {
      for (ptrdiff_t t = 0; t < tokens_; t += kRows) SumTile<vectors>(t, p, starts_empty);
    });
  }

  template <int kVectors>
  HWY_INLINE void SumTile(ptrdiff_t t, ptrdiff_t p, bool starts_empty) {
    const Floats f;
    Vector sum[kRows][kVectors];
    SumProducts<kVectors, false>(sum, rows_.q + t * plan_.keys, plan_.keys, memory_ + p,
                                 plan_.values, starts_empty ? 0 : plan_.shape.key_size);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        sum[row][v] = hn::Mul(sum[row][v], hn::Set(f, gates_.since[t + row]));
      }
    }
    AddProducts<kVectors, false>(sum, rows_.scores + t * plan_.scores, plan_.scores, rows_.v + p,
                                 plan_.values, std::min(t + kRows, tokens_));
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(sum[row][v], f, sums_ + (t + row) * plan_.values + p + v * kLanes);
      }
    }
  }

  HWY_NOINLINE void Normalize(float* h, float* norms) {
    const Floats f;
    const ptrdiff_t values = plan_.shape.value_size;
    for (ptrdiff_t t = 0; t < tokens_; ++t, h += plan_.output_stride()) {
      const float* sums = sums_ + t * plan_.values;
      const float size = std::abs(sums[values]), floor = gates_.floor[t];
      const float inverse = 1 / ((size < floor ? floor : size) + plan_.shape.epsilon);
      ForLanes(values, [&](ptrdiff_t e, ptrdiff_t left) HWY_ATTR {
        StoreLanes(hn::Mul(hn::Set(f, inverse), hn::LoadU(f, sums + e)), h + e, left);
      });
      if (norms == nullptr) continue;
      norms[t * 2 * plan_.shape.heads] = inverse;
      norms[t * 2 * plan_.shape.heads + 1] = size < floor ? 0.0f : sums[values] < 0 ? -1.0f : 1.0f;
    }
  }

  /// C ← e^{m − μ_Q} C + Σ_s e^{a_s − μ_Q} k_s v_sᵀ. The rows of v are used up.
  HWY_NOINLINE void Carry() {
    ScaleRows(rows_.v, plan_.values, gates_.until, tokens_, plan_.shape.value_size + 1);
    ForPanels(plan_.shape.value_size + 1, [&](auto vectors, ptrdiff_t p) HWY_ATTR {
      for (ptrdiff_t k = 0; k < plan_.shape.key_size; k += kRows) CarryTile<vectors>(k, p);
    });
  }

  template <int kVectors>
  HWY_INLINE void CarryTile(ptrdiff_t k, ptrdiff_t p) {
    const Floats f;
    Vector sum[kRows][kVectors];
    SumProducts<kVectors, true>(sum, rows_.k + k, plan_.keys, rows_.v + p, plan_.values, tokens_);
    const Vector whole = hn::Set(f, gates_.whole);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        float* to = memory_ + (k + row) * plan_.values + p + v * kLanes;
        hn::StoreU(hn::MulAdd(whole, hn::LoadU(f, to), sum[row][v]), f, to);
      }
    }
  }

  const mlstm::Inputs& in_;
  const MlstmPlan& plan_;
  const ptrdiff_t batch_, head_;
  Scratch scratch_;
  MlstmRows rows_;
  MlstmGates gates_;
  float *sums_, *memory_;
  ptrdiff_t tokens_ = 0;
};

/// The three exponentials of a step as the chunks have them, and the new m.
struct StepGates {
  float keep, write, floor, m;

  StepGates(float input, float forget, float before) {
    const double x = forget;
    const double kept = before + (x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x)));
    const double top = input <= kept ? kept : static_cast<double>(input);
    keep = static_cast<float>(std::exp(kept - top));
    write = static_cast<float>(std::exp(input - top));
    floor = static_cast<float>(std::exp(std::min(-top, 44.361419555836499802)));  // 64 ln 2
    m = static_cast<float>(top);
  }
};

/// One token of one head: the state advances, h is written.
void StepHead(float* h, float* state, const float* q, const float* k, const float* v, float input,
              float forget, const apus_mlstm_shape& shape) {
  const RowTag d;
  const ptrdiff_t keys = shape.key_size, values = shape.value_size;
  float *norm = state + keys * values, *m = norm + keys;
  const StepGates gates(input, forget, *m);
  const float scale = 1 / std::sqrt(static_cast<float>(keys));
  float product = 0;
  for (ptrdiff_t a = 0; a < keys; ++a) {
    norm[a] = gates.keep * norm[a] + gates.write * k[a];
    product += scale * q[a] * norm[a];
  }
  *m = gates.m;
  const float size = std::abs(product);
  const float inverse = 1 / ((size < gates.floor ? gates.floor : size) + shape.epsilon);
  const auto keep = hn::Set(d, gates.keep);
  ForLanes(values, [&](ptrdiff_t e, ptrdiff_t left) HWY_ATTR {
    const auto value = hn::Mul(hn::Set(d, gates.write), LoadLanes(v + e, left));
    auto sum = hn::Zero(d);
    for (ptrdiff_t a = 0; a < keys; ++a) {
      float* cell = state + a * values + e;
      const auto next = hn::MulAdd(keep, LoadLanes(cell, left), hn::Mul(hn::Set(d, k[a]), value));
      StoreLanes(next, cell, left);
      sum = hn::MulAdd(hn::Set(d, q[a]), next, sum);
    }
    StoreLanes(hn::Mul(hn::Set(d, scale * inverse), sum), h + e, left);
  });
}

}  // namespace

void Mlstm(float* h, float* norms, float* state, float* checkpoints, const mlstm::Inputs& in,
           const apus_mlstm_shape& shape) {
  const MlstmPlan plan(shape);
  ParallelBlocks(plan.tasks(), [&](ptrdiff_t index) HWY_ATTR {
    MlstmTask(in, plan, index).Run(h, norms, state, checkpoints);
  });
}

void MlstmStep(float* h, float* state, const mlstm::Inputs& in, const apus_mlstm_shape& shape) {
  const MlstmPlan plan(shape);
  const ptrdiff_t size = mlstm::StateSize(shape);
  const ptrdiff_t grain = std::max<ptrdiff_t>(1, 16384 / size);
  ParallelRanges(plan.tasks(), grain, [&](ptrdiff_t begin, ptrdiff_t end) HWY_ATTR {
    for (ptrdiff_t index = begin; index < end; ++index) {
      const ptrdiff_t batch = index / shape.heads, head = index % shape.heads;
      for (ptrdiff_t t = 0; t < shape.time; ++t) {
        const ptrdiff_t key = plan.Key(batch, head, t), gate = plan.Gate(batch, head, t);
        StepHead(h + plan.Output(batch, head, t), state + index * size, in.q + key, in.k + key,
                 in.v + plan.Value(batch, head, t), in.gates[gate], in.gates[gate + shape.heads],
                 shape);
      }
    }
  });
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(Mlstm);
HWY_EXPORT(MlstmStep);

extern "C" {

ptrdiff_t apus_mlstm_chunk(void) { return 64; }

void apus_mlstm_f32(float* h, float* norms, float* state, float* checkpoints, const float* q,
                    const float* k, const float* v, const float* gates,
                    const apus_mlstm_shape* shape) {
  HWY_DYNAMIC_DISPATCH(Mlstm)(h, norms, state, checkpoints, {q, k, v, gates}, *shape);
}

void apus_mlstm_step_f32(float* h, float* state, const float* q, const float* k, const float* v,
                         const float* gates, const apus_mlstm_shape* shape) {
  HWY_DYNAMIC_DISPATCH(MlstmStep)(h, state, {q, k, v, gates}, *shape);
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
