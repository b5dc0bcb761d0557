// mLSTM, backward, chunk by chunk from the last to the first.
//
// With g_t = dh_t / denominator and, as the last column, −(dh_t · h_t) sign / denominator, C the
// memory before the chunk, Γ the gradient of the memory behind it (ones joined to v, n to C),
// E_ts = e^{a_s − μ_t}, r_t = e^{m − μ_t}, u_s = e^{a_s − μ_Q}, P_ts = g_t · v_s, S_ts = q_t · k_s:
//   dq_t = Σ_s P_ts E_ts k_s + r_t C g_t       dk_s = Σ_t P_ts E_ts q_t + u_s Γ v_s
//   dv_s = Σ_t S_ts E_ts g_t + u_s Γᵀ k_s      Γ ← r_Q Γ + Σ_t r_t q_t g_tᵀ
// The results do not depend on m, which counts as a constant. With Z = P ∘ S ∘ E, what reaches i_s
// is Σ_{t ≥ s} Z_ts + u_s k_s · Γ v_s, and what reaches ln σ(f_j) is all that decays at token j:
//   Σ_{s < j ≤ t} Z_ts + Σ_{t ≥ j} r_t q_t · C g_t + Σ_{s < j} u_s k_s · Γ v_s + r_Q ⟨Γ, C⟩.
// Written so, no term cancels.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/mlstm_backward.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "include/apus_kernels.h"
#include "ops/mlstm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

/// Σ_e a_e b_e over a row padded with zeros to whole vectors.
HWY_INLINE float Dot(const float* a, const float* b, ptrdiff_t columns) {
  const Floats f;
  Vector sum = hn::Zero(f);
  for (ptrdiff_t e = 0; e < columns; e += kLanes) {
    sum = hn::MulAdd(hn::LoadU(f, a + e), hn::LoadU(f, b + e), sum);
  }
  return hn::GetLane(hn::SumOfLanes(f, sum));
}

/// c = a · b or, with kAdd, c += a · b, tile by tile. Row r of a starts at a + r · a_stride, or its
/// column if kTransposed. The sum for tile r runs over inner(r), a pair of first and last.
template <bool kTransposed, bool kAdd, class Inner>
HWY_INLINE void Multiply(float* c, const float* a, ptrdiff_t a_stride, const float* b,
                         ptrdiff_t b_stride, ptrdiff_t c_stride, ptrdiff_t rows, ptrdiff_t columns,
                         const Inner& inner) {
  for (ptrdiff_t p = 0; p < columns; p += kPanel) {
    for (ptrdiff_t r = 0; r < rows; r += kRows) {
      const auto [first, last] = inner(r);
      const float* from = kTransposed ? a + first * a_stride + r : a + r * a_stride + first;
      ProductPanel<kTransposed, kAdd>(c + r * c_stride + p, c_stride, from, a_stride,
                                      b + first * b_stride + p, b_stride, last - first,
                                      columns - p);
    }
  }
}

/// The same with b in packed panels, summed over all of them.
HWY_INLINE void MultiplyPanels(float* c, ptrdiff_t c_stride, const float* a, ptrdiff_t a_stride,
                               const float* panels, ptrdiff_t inner, ptrdiff_t rows,
                               ptrdiff_t columns) {
  for (ptrdiff_t p = 0; p < columns; p += kPanel) {
    for (ptrdiff_t r = 0; r < rows; r += kRows) {
      ProductPanel<false, false>(c + r * c_stride + p, c_stride, a + r * a_stride, a_stride,
                                 panels + p * inner, kPanel, inner, columns - p);
    }
  }
}

struct Span {
  ptrdiff_t first, last;
};

/// Copies rows, each times a factor, and touches nothing between them.
HWY_INLINE void StoreRows(float* to, ptrdiff_t to_stride, const float* from, ptrdiff_t from_stride,
                          ptrdiff_t rows, ptrdiff_t columns, float factor) {
  const Floats f;
  for (ptrdiff_t r = 0; r < rows; ++r, to += to_stride, from += from_stride) {
    ForLanes(columns, [&](ptrdiff_t e, ptrdiff_t left) HWY_ATTR {
      StoreLanes(hn::Mul(hn::Set(f, factor), hn::LoadU(f, from + e)), to + e, left);
    });
  }
}

/// One head of one sequence, through all its chunks.
class MlstmBackwardTask {
 public:
  MlstmBackwardTask(const mlstm::Inputs& in, const mlstm::Past& past, const mlstm::Gradients& out,
                    const MlstmPlan& plan, ptrdiff_t index)
      : in_(in),
        past_(past),
        out_(out),
        plan_(plan),
        batch_(index / plan.shape.heads),
        head_(index % plan.shape.heads),
        scratch_(Needed(plan)) {
    rows_.Take(scratch_, plan);
    gates_.Take(scratch_, plan);
    for (float** part : {&memory_, &carry_}) *part = scratch_.Take(plan.memory());
    for (float** part : {&g_, &dv_}) *part = scratch_.Take(plan.rows * plan.values);
    for (float** part : {&dq_, &dk_}) *part = scratch_.Take(plan.rows * plan.keys);
    for (float** part : {&slopes_, &gathered_}) *part = scratch_.Take(plan.rows * plan.scores);
    for (float** part : {&across_, &behind_, &before_, &sums_}) *part = scratch_.Take(plan.scores);
    turned_ = scratch_.Take(Turned(plan));
    std::fill_n(carry_, plan.memory(), 0.0f);
  }

  void Run() {
    for (ptrdiff_t index = plan_.chunks - 1; index >= 0; --index) {
      // Nothing follows the last chunk, so its Γ is 0; before the first one the memory is.
      const bool ends = index + 1 == plan_.chunks, starts = index == 0;
      Load(index);
      Slopes();
      Queries(starts);
      Keys(ends);
      Values(ends);
      Gates(starts || ends ? 0.0f : gates_.whole * Dot(carry_, memory_, plan_.memory()));
      if (!starts) Carry();
    }
  }

 private:
  static ptrdiff_t Turned(const MlstmPlan& plan) {
    return ssd::RoundUp(std::max(plan.chunk, plan.shape.key_size), kPanel) *
           (plan.shape.value_size + 1);
  }
  static ptrdiff_t Needed(const MlstmPlan& plan) {
    return MlstmRows::Size(plan) + MlstmGates::Size(plan) + 2 * Scratch::Rounded(plan.memory()) +
           2 * Scratch::Rounded(plan.rows * plan.values) +
           2 * Scratch::Rounded(plan.rows * plan.keys) +
           2 * Scratch::Rounded(plan.rows * plan.scores) + 4 * Scratch::Rounded(plan.scores) +
           Scratch::Rounded(Turned(plan));
  }

  void Load(ptrdiff_t index) {
    const ptrdiff_t values = plan_.shape.value_size, heads = plan_.shape.heads;
    first_ = index * plan_.chunk;
    tokens_ = plan_.Tokens(index);
    rows_.Load(in_, plan_, batch_, head_, first_, tokens_);
    const float* checkpoint = past_.checkpoints + plan_.Checkpoint(batch_, head_, index);
    LoadMemory(memory_, checkpoint, plan_);
    gates_.Compute(in_.gates + plan_.Gate(batch_, head_, first_), heads, tokens_,
                   checkpoint[mlstm::StateSize(plan_.shape) - 1]);
    const float* norms = past_.norms + plan_.Norm(batch_, head_, first_);
    const float* dh = past_.dh + plan_.Output(batch_, head_, first_);
    const float* h = past_.h + plan_.Output(batch_, head_, first_);
    LoadRows(g_, plan_.values, dh, plan_.output_stride(), tokens_, values);
    for (ptrdiff_t t = 0; t < tokens_; ++t) {
      const Floats f;
      const float inverse = norms[t * 2 * heads], sign = norms[t * 2 * heads + 1];
      float* row = g_ + t * plan_.values;
      Vector product = hn::Zero(f);
      ForLanes(values, [&](ptrdiff_t e, ptrdiff_t left) HWY_ATTR {
        const Vector above = hn::LoadU(f, row + e);
        product = hn::MulAdd(above, LoadLanes(h + t * plan_.output_stride() + e, left), product);
        hn::StoreU(hn::Mul(hn::Set(f, inverse), above), f, row + e);
      });
      std::fill_n(row + values, plan_.values - values, 0.0f);
      row[values] = -hn::GetLane(hn::SumOfLanes(f, product)) * inverse * sign;
    }
  }

  /// scores becomes S ∘ E, slopes P ∘ E and gathered Z, with zeros to the end of every tile.
  HWY_NOINLINE void Slopes() {
    const Floats f;
    const ptrdiff_t columns = plan_.shape.value_size + 1, stride = plan_.scores;
    PackTransposed(turned_, rows_.v, plan_.values, tokens_, columns);
    for (ptrdiff_t s = 0; s < tokens_; s += kPanel) {
      for (ptrdiff_t t = s / kRows * kRows; t < tokens_; t += kRows) {
        ProductTile<2, false, false>(slopes_ + t * stride + s, stride, g_ + t * plan_.values,
                                     plan_.values, turned_ + s * columns, kPanel, columns);
      }
    }
    for (ptrdiff_t t = 0; t < tokens_; ++t) {
      const ptrdiff_t row = t * stride;
      ptrdiff_t s = 0;
      for (; s <= t; s += kPanel) {
        Vector share[2];
        gates_.Shares(share, t, s);
        for (int v = 0; v < 2; ++v) {
          const ptrdiff_t at = row + s + v * kLanes;
          const auto seen = Inside(s + v * kLanes, 0, t + 1);
          const Vector score = hn::IfThenElseZero(seen, hn::LoadU(f, rows_.scores + at));
          const Vector slope = hn::IfThenElseZero(seen, hn::LoadU(f, slopes_ + at));
          const Vector weight = hn::Mul(share[v], score);
          hn::StoreU(weight, f, rows_.scores + at);
          hn::StoreU(hn::Mul(share[v], slope), f, slopes_ + at);
          hn::StoreU(hn::Mul(weight, slope), f, gathered_ + at);
        }
      }
      for (; s < t / kRows * kRows + kRows; s += kLanes) {
        hn::StoreU(hn::Zero(f), f, rows_.scores + row + s);
        hn::StoreU(hn::Zero(f), f, slopes_ + row + s);
      }
    }
  }

  /// dq, and what reaches the decay of the memory.
  HWY_NOINLINE void Queries(bool starts) {
    const ptrdiff_t keys = plan_.shape.key_size, values = plan_.shape.value_size + 1;
    const auto seen = [&](ptrdiff_t t) { return Span{0, std::min(t + kRows, tokens_)}; };
    if (starts) {
      std::fill_n(across_, plan_.scores, 0.0f);
      Multiply<false, false>(dq_, slopes_, plan_.scores, rows_.k, plan_.keys, plan_.keys, tokens_,
                             keys, seen);
    } else {
      PackTransposed(turned_, memory_, plan_.values, keys, values);
      MultiplyPanels(dq_, plan_.keys, g_, plan_.values, turned_, values, tokens_, keys);
      ScaleRows(dq_, plan_.keys, gates_.since, tokens_, keys);
      for (ptrdiff_t t = 0; t < tokens_; ++t) {
        across_[t] = Dot(rows_.q + t * plan_.keys, dq_ + t * plan_.keys, keys);
      }
      Multiply<false, true>(dq_, slopes_, plan_.scores, rows_.k, plan_.keys, plan_.keys, tokens_,
                            keys, seen);
    }
    StoreRows(out_.dq + plan_.Key(batch_, head_, first_), plan_.shape.x_stride, dq_, plan_.keys,
              tokens_, keys, plan_.scale());
  }

  /// dk, and what reaches the decay of a token until the chunk's end.
  HWY_NOINLINE void Keys(bool ends) {
    const ptrdiff_t keys = plan_.shape.key_size, values = plan_.shape.value_size + 1;
    const auto seen = [&](ptrdiff_t s) { return Span{s, tokens_}; };
    if (ends) {
      std::fill_n(behind_, plan_.scores, 0.0f);
      Multiply<true, false>(dk_, slopes_, plan_.scores, rows_.q, plan_.keys, plan_.keys, tokens_,
                            keys, seen);
    } else {
      PackTransposed(turned_, carry_, plan_.values, keys, values);
      MultiplyPanels(dk_, plan_.keys, rows_.v, plan_.values, turned_, values, tokens_, keys);
      ScaleRows(dk_, plan_.keys, gates_.until, tokens_, keys);
      for (ptrdiff_t s = 0; s < tokens_; ++s) {
        behind_[s] = Dot(rows_.k + s * plan_.keys, dk_ + s * plan_.keys, keys);
      }
      Multiply<true, true>(dk_, slopes_, plan_.scores, rows_.q, plan_.keys, plan_.keys, tokens_,
                           keys, seen);
    }
    StoreRows(out_.dk + plan_.Key(batch_, head_, first_), plan_.shape.x_stride, dk_, plan_.keys,
              tokens_, keys, 1);
  }

  HWY_NOINLINE void Values(bool ends) {
    const ptrdiff_t keys = plan_.shape.key_size, values = plan_.shape.value_size;
    const auto seen = [&](ptrdiff_t s) { return Span{s, tokens_}; };
    if (ends) {
      Multiply<true, false>(dv_, rows_.scores, plan_.scores, g_, plan_.values, plan_.values,
                            tokens_, values, seen);
    } else {
      Multiply<false, false>(dv_, rows_.k, plan_.keys, carry_, plan_.values, plan_.values, tokens_,
                             values, [&](ptrdiff_t) {
                               return Span{0, keys};
                             });
      ScaleRows(dv_, plan_.values, gates_.until, tokens_, values);
      Multiply<true, true>(dv_, rows_.scores, plan_.scores, g_, plan_.values, plan_.values, tokens_,
                           values, seen);
    }
    StoreRows(out_.dv + plan_.Value(batch_, head_, first_), plan_.shape.x_stride, dv_, plan_.values,
              tokens_, values, 1);
  }

  /// di and df; `whole` is what the decay of the whole chunk gets.
  HWY_NOINLINE void Gates(float whole) {
    const Floats f;
    const ptrdiff_t heads = plan_.shape.heads;
    float* out = out_.dgates + plan_.Gate(batch_, head_, first_);
    std::fill_n(sums_, plan_.scores, 0.0f);
    float before = whole;
    for (ptrdiff_t t = 0; t < tokens_; ++t) {
      before_[t] = before;
      before += behind_[t];
    }
    float across = 0;
    for (ptrdiff_t t = tokens_ - 1; t >= 0; --t) {
      Vector passing = hn::Zero(f);
      for (ptrdiff_t s = 0; s <= t; s += kLanes) {
        const Vector sum =
            hn::Add(hn::LoadU(f, sums_ + s), hn::LoadU(f, gathered_ + t * plan_.scores + s));
        hn::StoreU(sum, f, sums_ + s);
        passing = hn::Add(passing, hn::IfThenElseZero(Inside(s, 0, t), sum));
      }
      across += across_[t];
      const float decay = hn::GetLane(hn::SumOfLanes(f, passing)) + across + before_[t];
      out[t * 2 * heads] = sums_[t] + behind_[t];
      out[t * 2 * heads + heads] = decay * gates_.slope[t];
    }
  }

  /// Γ ← r_Q Γ + Σ_t r_t q_t g_tᵀ. The rows of g are used up.
  HWY_NOINLINE void Carry() {
    const Floats f;
    const ptrdiff_t values = plan_.shape.value_size + 1;
    ScaleRows(g_, plan_.values, gates_.since, tokens_, values);
    const Vector whole = hn::Set(f, gates_.whole);
    for (ptrdiff_t e = 0; e < plan_.memory(); e += kLanes) {
      hn::StoreU(hn::Mul(whole, hn::LoadU(f, carry_ + e)), f, carry_ + e);
    }
    Multiply<true, true>(carry_, rows_.q, plan_.keys, g_, plan_.values, plan_.values,
                         plan_.shape.key_size, values, [&](ptrdiff_t) {
                           return Span{0, tokens_};
                         });
  }

  const mlstm::Inputs& in_;
  const mlstm::Past& past_;
  const mlstm::Gradients& out_;
  const MlstmPlan& plan_;
  const ptrdiff_t batch_, head_;
  Scratch scratch_;
  MlstmRows rows_;
  MlstmGates gates_;
  ptrdiff_t first_ = 0, tokens_ = 0;
  float *memory_, *carry_;                     ///< C and Γ, [K, V + 1]
  float *g_, *dv_, *dq_, *dk_;                 ///< rows of a chunk
  float *slopes_, *gathered_;                  ///< P ∘ E and Z, [Q, Q]
  float *across_, *behind_, *before_, *sums_;  ///< one number a token
  float* turned_;                              ///< panels of v, C or Γ
};

}  // namespace

void MlstmBackward(const mlstm::Gradients& out, const mlstm::Past& past, const mlstm::Inputs& in,
                   const apus_mlstm_shape& shape) {
  const MlstmPlan plan(shape);
  ParallelBlocks(plan.tasks(), [&](ptrdiff_t index) HWY_ATTR {
    MlstmBackwardTask(in, past, out, plan, index).Run();
  });
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(MlstmBackward);

extern "C" void apus_mlstm_backward_f32(float* dq, float* dk, float* dv, float* dgates,
                                        const float* dh, const float* h, const float* norms,
                                        const float* checkpoints, const float* q, const float* k,
                                        const float* v, const float* gates,
                                        const apus_mlstm_shape* shape) {
  HWY_DYNAMIC_DISPATCH(MlstmBackward)
  ({dq, dk, dv, dgates}, {dh, h, norms, checkpoints}, {q, k, v, gates}, *shape);
}

}  // namespace apus
#endif  // HWY_ONCE
