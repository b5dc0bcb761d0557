// State space duality, backward, chunk by chunk from the last to the first. Dao and Gu, 2024,
// arXiv:2405.21060; the gradients are worked out in Documentation/SSD.md.
//
// With g = dy, h the state before the chunk, Γ the gradient of the state behind it, K = CB ∘ L the
// decayed scores, L_ts = e^{S_t − S_s}, R_ts = (g_t · x_s) L_ts Δ_s:
//   u_s = e^{S_Q − S_s} B_s Γ + Σ_{t ≥ s} K_ts g_t      dx_s = Δ_s u_s + d g_s
//   dC_t = Σ_s R_ts B_s + e^{S_t} h g_t                 dB_s = Σ_t R_ts C_t + e^{S_Q − S_s} Δ_s Γ
//   x_s dΔ_s = u_s · x_s + A da_s                           Γ ← e^{S_Q} Γ + Σ_t e^{S_t} C_t g_tᵀ
// where da_t, the gradient of a_t = Δ_t A, gathers what decays from before t to t or later:
//   Σ_{s < t ≤ r} R_rs CB_rs + Σ_{r ≥ t} C_r · (h's part of dC_r) + Σ_{s < t} B_s · (Γ's part of
//   dB_s)
//   + e^{S_Q} ⟨Γ, h⟩.
// Written so, no term cancels that a long step makes much larger than the sum. R is summed over
// the heads of a group before it meets B and C.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/ssd_backward.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <vector>

#include "include/apus_kernels.h"
#include "ops/ssd-inl.h"

#ifndef APUS_SSD_BACKWARD_CALL
#define APUS_SSD_BACKWARD_CALL
namespace apus::ssd {

struct Gradients {
  float *dx, *db, *dc, *ddt, *ddt_bias, *da_log, *dd;
};

/// Sums of one head of one sequence.
struct HeadSums {
  double dt_bias = 0, a = 0, d = 0;
};

/// Where the heads of one task leave their share of db and dc: row t of a chunk at t · stride.
struct SharedRows {
  float *db, *dc;
  ptrdiff_t stride;
};

}  // namespace apus::ssd
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

/// Some heads of one group of one sequence, through one chunk.
class SsdBackwardTask {
 public:
  SsdBackwardTask(const ssd::Inputs& in, const ssd::Gradients& out, const Plan& plan,
                  const float* dy, const float* checkpoints, ptrdiff_t batch, ptrdiff_t group)
      : in_(in),
        out_(out),
        plan_(plan),
        dy_(dy),
        checkpoints_(checkpoints),
        batch_(batch),
        group_(group),
        rows_(TileRows(plan.chunk)),
        columns_(ssd::RoundUp(plan.chunk, kPanel)),
        states_(ssd::RoundUp(plan.shape.states, 12)),  // whole tiles, and whole blocks of 4 x 4
        scratch_(Needed()) {
    const ptrdiff_t channels = plan.channel_stride, scores = plan.scores_stride;
    b_ = scratch_.Take(rows_ * plan.states_stride);
    c_ = scratch_.Take(rows_ * plan.states_stride);
    b_turned_ = scratch_.Take(columns_ * plan.shape.states);
    c_turned_ = scratch_.Take(columns_ * plan.shape.states);
    db_turned_ = scratch_.Take(columns_ * states_);
    dc_turned_ = scratch_.Take(columns_ * states_);
    shared_ = scratch_.Take((rows_ + columns_) * plan.states_stride);
    x_ = scratch_.Take(rows_ * channels);
    g_ = scratch_.Take(rows_ * channels);
    panels_ = scratch_.Take(columns_ * plan.shape.head_size);
    h_ = scratch_.Take(states_ * channels);
    slopes_ = scratch_.Take(rows_ * scores);
    weights_ = scratch_.Take(rows_ * scores);
    gathered_ = scratch_.Take(rows_ * scores);
    for (float** part : {&across_, &column_sum_, &before_, &behind_, &direct_}) {
      *part = scratch_.Take(columns_ + rows_ + kPanel);
    }
    steps_.Take(scratch_, plan.chunk);
  }

  /// Heads first ..< last through chunk `index`; `carry` holds their Γ, `size` apart.
  void Run(const ssd::SharedRows& shared, ssd::HeadSums* sums, float* carry, ptrdiff_t size,
           const float* scores, ptrdiff_t index, ptrdiff_t first, ptrdiff_t last) {
    index_ = index;
    scores_ = scores;
    first_ = index * plan_.chunk;
    tokens_ = plan_.ChunkTokens(index);
    LoadShared();
    for (ptrdiff_t head = first; head < last; ++head) {
      Head(sums[batch_ * plan_.shape.heads + head], carry + (head - first) * size, head);
    }
    StoreShared(shared);
  }

 private:
  ptrdiff_t Needed() const {
    return rows_ * (2 * plan_.states_stride + 2 * plan_.channel_stride + 3 * plan_.scores_stride) +
           columns_ * (2 * plan_.shape.states + 2 * states_ + plan_.shape.head_size) +
           (rows_ + columns_) * plan_.states_stride + states_ * plan_.channel_stride +
           5 * (columns_ + rows_ + kPanel) + ChunkSteps::Size(plan_.chunk) + 20 * 16;
  }

  /// B and C as rows and as turned panels; nothing gathered yet.
  void LoadShared() {
    const apus_ssd_shape& shape = plan_.shape;
    const ptrdiff_t at = plan_.Shared(batch_, first_, group_);
    LoadRows(b_, plan_.states_stride, in_.b + at, shape.x_stride, tokens_, shape.states);
    LoadRows(c_, plan_.states_stride, in_.c + at, shape.x_stride, tokens_, shape.states);
    PackTransposed(b_turned_, in_.b + at, shape.x_stride, tokens_, shape.states);
    PackTransposed(c_turned_, in_.c + at, shape.x_stride, tokens_, shape.states);
    std::fill_n(gathered_, rows_ * plan_.scores_stride, 0.0f);
    std::fill_n(db_turned_, columns_ * states_, 0.0f);
    std::fill_n(dc_turned_, columns_ * states_, 0.0f);
  }

  void Head(ssd::HeadSums& sums, float* carry, ptrdiff_t head) {
    const apus_ssd_shape& shape = plan_.shape;
    const ptrdiff_t channels = shape.head_size, stride = plan_.channel_stride;
    const ptrdiff_t own = plan_.Own(batch_, first_, head);
    steps_.Compute(in_, plan_, batch_, head, first_, tokens_);
    LoadRows(x_, stride, in_.x + own, shape.x_stride, tokens_, channels);
    LoadRows(g_, stride, dy_ + plan_.Output(batch_, first_, head), plan_.output_stride(), tokens_,
             channels);
    LoadRows(h_, stride, checkpoints_ + plan_.Checkpoint(batch_, index_, head), channels,
             shape.states, channels);
    PackTransposed(panels_, x_, stride, tokens_, channels);
    Slopes();
    sums.d += Weigh();
    // Nothing follows the last chunk, so its Γ is 0; before the first one h usually is.
    const bool ends = index_ + 1 == plan_.chunks, starts = index_ == 0 && StartsEmpty();
    InputGradient(out_.dx + own, carry, in_.d[head], ends ? 0 : shape.states);
    std::fill_n(before_, columns_, 0.0f);
    std::fill_n(behind_, columns_, 0.0f);
    if (!ends) {  // Γ's part of dB
      ScalePanels(steps_.until, steps_.step);
      TurnedGradient(db_turned_, behind_, carry, b_turned_);
    }
    double through = 0;
    if (!starts) {  // h's part of dC
      ScaleRows(g_, stride, steps_.since, tokens_, channels);
      PackTransposed(panels_, g_, stride, tokens_, channels);
      TurnedGradient(dc_turned_, before_, h_, c_turned_);
      through = Carry(carry);
    }
    StepGradient(sums, head, through);
  }

  bool StartsEmpty() const {
    for (ptrdiff_t n = 0; n < plan_.shape.states; ++n) {
      const float* row = h_ + n * plan_.channel_stride;
      if (std::any_of(row, row + plan_.shape.head_size, [](float x) { return x != 0; })) {
        return false;
      }
    }
    return true;
  }

  /// slopes[t, s] = g_t · x_s for s up to the end of t's tile.
  HWY_NOINLINE void Slopes() {
    const ptrdiff_t channels = plan_.shape.head_size;
    for (ptrdiff_t s = 0; s < tokens_; s += kPanel) {
      for (ptrdiff_t t = s / kRows * kRows; t < tokens_; t += kRows) {
        ProductTile<2, false, false>(slopes_ + t * plan_.scores_stride + s, plan_.scores_stride,
                                     g_ + t * plan_.channel_stride, plan_.channel_stride,
                                     panels_ + s * channels, kPanel, channels);
      }
    }
  }

  /// weights = K; gathered += R; across[t] = Σ_{s < t ≤ r} R_rs CB_rs. Returns Σ_t g_t · x_t, the
  /// gradient of d. Rows come from the last to the first, so that `across` only ever adds.
  HWY_NOINLINE double Weigh() {
    const Floats f;
    std::fill_n(column_sum_, columns_, 0.0f);
    double skip = 0;
    for (ptrdiff_t t = tokens_ - 1; t >= 0; --t) {
      const ptrdiff_t at = t * plan_.scores_stride;
      skip += slopes_[at + t];
      Vector total = hn::Zero(f);
      ptrdiff_t s = 0;
      for (; s <= t; s += kPanel) {
        Vector decay[2];
        steps_.Decays(decay, t, s);
        const bool mixed = s + kPanel > t;
        for (int v = 0; v < 2; ++v) {
          const ptrdiff_t j = s + v * kLanes;
          const Vector scores = hn::LoadU(f, scores_ + at + j);
          Vector weight = hn::Mul(decay[v], scores);
          Vector r = hn::Mul(hn::Mul(decay[v], hn::LoadU(f, slopes_ + at + j)),
                             hn::LoadU(f, steps_.step + j));
          if (mixed) {
            weight = hn::IfThenElseZero(Inside(j, 0, t + 1), weight);
            r = hn::IfThenElseZero(Inside(j, 0, t + 1), r);
          }
          hn::StoreU(weight, f, weights_ + at + j);
          hn::StoreU(hn::Add(hn::LoadU(f, gathered_ + at + j), r), f, gathered_ + at + j);
          Vector sum = hn::MulAdd(r, scores, hn::LoadU(f, column_sum_ + j));
          if (mixed) sum = hn::IfThenElseZero(Inside(j, 0, t), sum);
          hn::StoreU(sum, f, column_sum_ + j);
          total = hn::Add(total, sum);
        }
      }
      for (; s < t / kRows * kRows + kRows; s += kLanes) {
        hn::StoreU(hn::Zero(f), f, weights_ + at + s);
      }
      across_[t] = hn::GetLane(hn::SumOfLanes(f, total));
    }
    return skip;
  }

  /// dx, and the direct part of dΔ: u · x.
  HWY_NOINLINE void InputGradient(float* dx, const float* carry, float d, ptrdiff_t states) {
    std::fill_n(direct_, rows_, 0.0f);
    ForPanels(plan_.shape.head_size, [&](auto vectors, ptrdiff_t p) HWY_ATTR {
      for (ptrdiff_t s = 0; s < tokens_; s += kRows) InputTile<vectors>(dx, carry, d, states, s, p);
    });
  }

  template <int kVectors>
  HWY_INLINE void InputTile(float* dx, const float* carry, float d, ptrdiff_t states, ptrdiff_t s,
                            ptrdiff_t p) {
    const Floats f;
    const ptrdiff_t stride = plan_.channel_stride;
    Vector sum[kRows][kVectors];
    SumProducts<kVectors, false>(sum, b_ + s * plan_.states_stride, plan_.states_stride, carry + p,
                                 stride, states);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        sum[row][v] = hn::Mul(sum[row][v], hn::Set(f, steps_.until[s + row]));
      }
    }
    AddProducts<kVectors, true>(sum, weights_ + s * plan_.scores_stride + s, plan_.scores_stride,
                                g_ + s * stride + p, stride, tokens_ - s);
    const ptrdiff_t rows = std::min(kRows, tokens_ - s);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= rows) continue;
      Vector dot = hn::Zero(f);
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const ptrdiff_t at = (s + row) * stride + p + v * kLanes;
        dot = hn::MulAdd(sum[row][v], hn::LoadU(f, x_ + at), dot);
        const Vector through = hn::Mul(hn::Set(f, d), hn::LoadU(f, g_ + at));
        StoreLanes(hn::MulAdd(hn::Set(f, steps_.step[s + row]), sum[row][v], through),
                   dx + (s + row) * plan_.shape.x_stride + p + v * kLanes,
                   plan_.shape.head_size - p - v * kLanes);
      }
      direct_[s + row] += hn::GetLane(hn::SumOfLanes(f, dot));
    }
  }

  /// Multiplies the columns of the turned panels by a[t] · b[t].
  HWY_NOINLINE void ScalePanels(const float* a, const float* b) {
    const Floats f;
    const ptrdiff_t channels = plan_.shape.head_size;
    for (ptrdiff_t t = 0; t < tokens_; t += kPanel) {
      float* panel = panels_ + t * channels;
      for (ptrdiff_t j = 0; j < kPanel; j += kLanes) {
        const Vector scale = hn::Mul(hn::LoadU(f, a + t + j), hn::LoadU(f, b + t + j));
        for (ptrdiff_t p = 0; p < channels; ++p) {
          float* at = panel + p * kPanel + j;
          hn::StoreU(hn::Mul(scale, hn::LoadU(f, at)), f, at);
        }
      }
    }
  }

  /// turned[n, t] += v and dots[t] = Σ_n with[n, t] · v, where v = Σ_p a[n, p] panels[p, t].
  HWY_NOINLINE void TurnedGradient(float* turned, float* dots, const float* a, const float* with) {
    const Floats f;
    const ptrdiff_t channels = plan_.shape.head_size, states = plan_.shape.states;
    for (ptrdiff_t t = 0; t < tokens_; t += kPanel) {
      Vector dot[2] = {hn::Zero(f), hn::Zero(f)};
      for (ptrdiff_t n = 0; n < states; n += kRows) {
        Vector sum[kRows][2];
        SumProducts<2, false>(sum, a + n * plan_.channel_stride, plan_.channel_stride,
                              panels_ + t * channels, kPanel, channels);
        float* to = turned + t * states_ + n * kPanel;
        const float* factor = with + t * states + n * kPanel;
#pragma unroll
        for (int row = 0; row < kRows; ++row) {
          if (n + row >= states) continue;
#pragma unroll
          for (int v = 0; v < 2; ++v) {
            const ptrdiff_t at = row * kPanel + v * kLanes;
            dot[v] = hn::MulAdd(sum[row][v], hn::LoadU(f, factor + at), dot[v]);
            hn::StoreU(hn::Add(hn::LoadU(f, to + at), sum[row][v]), f, to + at);
          }
        }
      }
      for (int v = 0; v < 2; ++v) hn::StoreU(dot[v], f, dots + t + v * kLanes);
    }
  }

  /// Γ ← e^{S_Q} Γ + Σ_t C_t (e^{S_t} g_t)ᵀ; returns e^{S_Q} ⟨Γ, h⟩ of the old Γ.
  HWY_NOINLINE double Carry(float* carry) {
    double through = 0;
    ForPanels(plan_.shape.head_size, [&](auto vectors, ptrdiff_t p)
                                         HWY_ATTR { through += CarryPanel<vectors>(carry, p); });
    return through * steps_.whole;
  }

  template <int kVectors>
  HWY_INLINE double CarryPanel(float* carry, ptrdiff_t p) {
    const Floats f;
    const ptrdiff_t stride = plan_.channel_stride;
    const Vector whole = hn::Set(f, steps_.whole);
    double through = 0;
    for (ptrdiff_t n = 0; n < plan_.shape.states; n += kRows) {
      Vector sum[kRows][kVectors];
      SumProducts<kVectors, true>(sum, c_ + n, plan_.states_stride, g_ + p, stride, tokens_);
      Vector dot = hn::Zero(f);
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        if (n + row >= plan_.shape.states) continue;
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
          const ptrdiff_t at = (n + row) * stride + p + v * kLanes;
          const Vector old = hn::LoadU(f, carry + at);
          dot = hn::MulAdd(old, hn::LoadU(f, h_ + at), dot);
          hn::StoreU(hn::MulAdd(whole, old, sum[row][v]), f, carry + at);
        }
      }
      through += hn::GetLane(hn::SumOfLanes(f, dot));
    }
    return through;
  }

  /// ddt of the head's tokens, and what they add to the gradients of bias and rate. `through` is
  /// what decays through the whole chunk.
  HWY_NOINLINE void StepGradient(ssd::HeadSums& sums, ptrdiff_t head, double through) {
    const ptrdiff_t stride = plan_.shape.dt_stride;
    float* ddt = out_.ddt + (batch_ * plan_.shape.time + first_) * stride + head;
    for (ptrdiff_t t = 0; t < tokens_; ++t) {
      const double own = behind_[t];
      behind_[t] = static_cast<float>(through);
      through += own;
    }
    double read = 0;
    for (ptrdiff_t t = tokens_ - 1; t >= 0; --t) {
      read += before_[t];
      const double da = read + across_[t] + behind_[t];
      const double dstep = (direct_[t] + da * steps_.rate) * steps_.slope[t];
      ddt[t * stride] = static_cast<float>(dstep);
      sums.dt_bias += dstep;
      sums.a += da * steps_.step[t];
    }
  }

  /// The sums over the heads, as rows: R B and Rᵀ C on top of what was gathered turned.
  HWY_NOINLINE void StoreShared(const ssd::SharedRows& to) {
    const ptrdiff_t states = plan_.shape.states, stride = plan_.states_stride;
    TurnBack(dc_turned_);
    for (ptrdiff_t n = 0; n < states; n += kPanel) {
      for (ptrdiff_t t = 0; t < tokens_; t += kRows) {
        ProductPanel<false, true>(shared_ + t * stride + n, stride,
                                  gathered_ + t * plan_.scores_stride, plan_.scores_stride, b_ + n,
                                  stride, std::min(t + kRows, tokens_), states - n);
      }
    }
    CopyShared(to.dc, to.stride);
    TurnBack(db_turned_);
    for (ptrdiff_t n = 0; n < states; n += kPanel) {
      for (ptrdiff_t s = 0; s < tokens_; s += kRows) {
        ProductPanel<true, true>(shared_ + s * stride + n, stride,
                                 gathered_ + s * plan_.scores_stride + s, plan_.scores_stride,
                                 c_ + s * stride + n, stride, tokens_ - s, states - n);
      }
    }
    CopyShared(to.db, to.stride);
  }

  /// shared[t, n] = turned[n, t].
  void TurnBack(const float* turned) {
    for (ptrdiff_t t = 0; t < tokens_; t += 4) {
      const float* panel = turned + t / kPanel * kPanel * states_ + t % kPanel;
      for (ptrdiff_t n = 0; n < plan_.shape.states; n += 4) {
        Transpose4x4(shared_ + t * plan_.states_stride + n, plan_.states_stride, panel + n * kPanel,
                     kPanel);
      }
    }
  }

  void CopyShared(float* to, ptrdiff_t stride) const {
    for (ptrdiff_t t = 0; t < tokens_; ++t) {
      const float* from = shared_ + t * plan_.states_stride;
      ForLanes(plan_.shape.states, [&](ptrdiff_t n, ptrdiff_t left) HWY_ATTR {
        StoreLanes(LoadLanes(from + n, left), to + t * stride + n, left);
      });
    }
  }

  const ssd::Inputs& in_;
  const ssd::Gradients& out_;
  const Plan& plan_;
  const float *dy_, *checkpoints_;
  const ptrdiff_t batch_, group_, rows_, columns_, states_;
  Scratch scratch_;
  float *b_, *c_, *b_turned_, *c_turned_, *db_turned_, *dc_turned_, *shared_;
  float *x_, *g_, *panels_, *h_, *slopes_, *weights_, *gathered_;
  // By token: what decays across it within the chunk, and sums for that; C · (h's part of dC), B ·
  // (Γ's part of dB), u · x.
  float *across_, *column_sum_, *before_, *behind_, *direct_;
  ChunkSteps steps_;
  const float* scores_ = nullptr;
  ptrdiff_t index_ = 0, first_ = 0, tokens_ = 0;
};

/// What a call of backward works on.
struct BackwardWork {
  const ssd::Inputs& in;
  const ssd::Gradients& out;
  const Plan& plan;
  const float *dy, *checkpoints;
  float *carry, *scores, *shares;
  ptrdiff_t size, scores_size;  ///< of one head's Γ; of the scores of one sequence's segment
  ssd::HeadSums* sums;

  ptrdiff_t segment_tokens() const { return plan.segment * plan.chunk; }
  /// The share of one task in db and dc of its segment, or db and dc themselves when it is alone.
  ssd::SharedRows Shared(ptrdiff_t task, ptrdiff_t index, ptrdiff_t first) const {
    const ptrdiff_t states = plan.shape.states, sequence = task / plan.blocks;
    if (plan.blocks == 1) {
      const ptrdiff_t at = plan.Shared(sequence / plan.shape.groups, index * plan.chunk,
                                       sequence % plan.shape.groups);
      return {out.db + at, out.dc + at, plan.shape.x_stride};
    }
    float* rows = shares + (task * segment_tokens() + (index - first) * plan.chunk) * 2 * states;
    return {rows, rows + states, 2 * states};
  }
};

/// Some heads of one group through `count` chunks, from the last to `first`.
void BackwardHeads(const BackwardWork& work, ptrdiff_t task, ptrdiff_t first, ptrdiff_t count) {
  const Plan& plan = work.plan;
  const apus_ssd_shape& shape = plan.shape;
  const auto [batch, group, head, last] = plan.Heads(task);
  float* carry = work.carry + (batch * shape.heads + head) * work.size;
  if (first + count == plan.chunks) std::fill_n(carry, (last - head) * work.size, 0.0f);
  SsdBackwardTask one(work.in, work.out, plan, work.dy, work.checkpoints, batch, group);
  const ptrdiff_t scores = TileRows(plan.chunk) * plan.scores_stride;
  for (ptrdiff_t index = first + count - 1; index >= first; --index) {
    one.Run(work.Shared(task, index, first), work.sums, carry, work.size,
            work.scores + task / plan.blocks * work.scores_size + (index - first) * scores, index,
            head, last);
  }
}

/// db and dc of a segment: the shares of the tasks, in order.
void SumShares(const BackwardWork& work, ptrdiff_t first, ptrdiff_t count) {
  const Plan& plan = work.plan;
  const ptrdiff_t states = plan.shape.states, begin = first * plan.chunk;
  const ptrdiff_t end = std::min(begin + count * plan.chunk, plan.shape.time);
  ParallelBlocks(plan.sequences() * count, [&](ptrdiff_t index) HWY_ATTR {
    const ptrdiff_t sequence = index / count;
    const ptrdiff_t t0 = begin + index % count * plan.chunk, t1 = std::min(t0 + plan.chunk, end);
    for (ptrdiff_t t = t0; t < t1; ++t) {
      const ptrdiff_t to =
          plan.Shared(sequence / plan.shape.groups, t, sequence % plan.shape.groups);
      const float* share =
          work.shares + (sequence * plan.blocks * work.segment_tokens() + t - begin) * 2 * states;
      for (float* out : {work.out.db + to, work.out.dc + to}) {
        ForLanes(states, [&](ptrdiff_t n, ptrdiff_t left) HWY_ATTR {
          Vector sum = LoadLanes(share + n, left);
          for (ptrdiff_t block = 1; block < plan.blocks; ++block) {
            const float* next = share + block * work.segment_tokens() * 2 * states;
            sum = hn::Add(sum, LoadLanes(next + n, left));
          }
          StoreLanes(sum, out + n, left);
        });
        share += states;
      }
    }
  });
}

}  // namespace

void SsdBackward(const ssd::Gradients& out, const float* dy, const float* checkpoints,
                 const ssd::Inputs& in, const apus_ssd_shape& shape) {
  const Plan plan(shape, kPanel, kRows, 8, 2, shape.heads);
  const ptrdiff_t heads = shape.batch * shape.heads;
  const ptrdiff_t size = ssd::RoundUp(shape.states, 12) * plan.channel_stride;
  const ptrdiff_t scores_size = plan.segment * TileRows(plan.chunk) * plan.scores_stride;
  const ptrdiff_t tasks = plan.sequences() * plan.blocks;
  const ptrdiff_t shares =
      plan.blocks == 1 ? 0 : tasks * plan.segment * plan.chunk * 2 * shape.states;
  Scratch scratch(heads * size + plan.sequences() * scores_size + shares + 3 * 16);
  std::vector<ssd::HeadSums> sums(static_cast<size_t>(heads));
  float* carry = scratch.Take(heads * size);
  float* scores = scratch.Take(plan.sequences() * scores_size);
  const BackwardWork work = {in,          out,         plan,       dy,
                             checkpoints, carry,       scores,     scratch.Take(shares),
                             size,        scores_size, sums.data()};
  const ptrdiff_t segments = (plan.chunks + plan.segment - 1) / plan.segment;
  for (ptrdiff_t segment = segments - 1; segment >= 0; --segment) {
    const ptrdiff_t first = segment * plan.segment;
    const ptrdiff_t count = std::min(plan.segment, plan.chunks - first);
    ScoresOfSegment(scores, plan, in, first, count);
    ParallelBlocks(tasks,
                   [&](ptrdiff_t task) HWY_ATTR { BackwardHeads(work, task, first, count); });
    if (plan.blocks > 1) SumShares(work, first, count);
  }
  for (ptrdiff_t head = 0; head < shape.heads; ++head) {
    ssd::HeadSums total;
    for (ptrdiff_t batch = 0; batch < shape.batch; ++batch) {
      const ssd::HeadSums& one = sums[static_cast<size_t>(batch * shape.heads + head)];
      total.dt_bias += one.dt_bias;
      total.a += one.a;
      total.d += one.d;
    }
    const double rate = -std::exp(static_cast<double>(in.a_log[head]));
    out.ddt_bias[head] = static_cast<float>(total.dt_bias);
    out.da_log[head] = static_cast<float>(total.a * rate);
    out.dd[head] = static_cast<float>(total.d);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(SsdBackward);

extern "C" {

void apus_ssd_backward_f32(float* dx, float* db, float* dc, float* ddt, float* ddt_bias,
                           float* da_log, float* dd, const float* dy, const float* checkpoints,
                           const float* x, const float* b, const float* c, const float* dt,
                           const float* dt_bias, const float* a_log, const float* d,
                           const apus_ssd_shape* shape) {
  const ssd::Inputs in = {x, b, c, dt, dt_bias, a_log, d};
  const ssd::Gradients out = {dx, db, dc, ddt, ddt_bias, da_log, dd};
  HWY_DYNAMIC_DISPATCH(SsdBackward)(out, dy, checkpoints, in, *shape);
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
