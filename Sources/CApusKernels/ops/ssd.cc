// State space duality, forward, chunk by chunk. Dao and Gu, 2024, arXiv:2405.21060, section 6.
//
// With S_t the sum of Δ A from the chunk's start to token t, and h the state before the chunk:
//   y_t = e^{S_t} C_t h + Σ_{s ≤ t} (C_t · B_s) e^{S_t − S_s} Δ_s x_s + d x_t
//   h ← e^{S_Q} h + Σ_s e^{S_Q − S_s} Δ_s B_s x_sᵀ
// C_t · B_s is taken once for all heads of a group. A tile of y takes its first sum, is scaled row
// by row, and takes its second without leaving the registers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/ssd.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "include/apus_kernels.h"
#include "ops/ssd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

/// Some heads of one group of one sequence, through one segment.
class SsdTask {
 public:
  SsdTask(const ssd::Inputs& in, const Plan& plan, ptrdiff_t batch, ptrdiff_t group)
      : in_(in),
        plan_(plan),
        batch_(batch),
        group_(group),
        rows_(TileRows(plan.chunk)),
        scratch_(2 * rows_ * plan.states_stride + rows_ * plan.channel_stride +
                 rows_ * plan.scores_stride + ChunkSteps::Size(plan.chunk)),
        b_(scratch_.Take(rows_ * plan.states_stride)),
        c_(scratch_.Take(rows_ * plan.states_stride)),
        x_(scratch_.Take(rows_ * plan.channel_stride)),
        weights_(scratch_.Take(rows_ * plan.scores_stride)) {
    steps_.Take(scratch_, plan.chunk);
  }

  /// Heads first ..< last through chunk `index`. `h` holds their states, `size` apart.
  void Run(float* y, float* h, ptrdiff_t size, const float* scores, ptrdiff_t index,
           ptrdiff_t first, ptrdiff_t last, bool starts_empty, bool needs_end) {
    scores_ = scores;
    tokens_ = plan_.ChunkTokens(index);
    const ptrdiff_t t0 = index * plan_.chunk, at = plan_.Shared(batch_, t0, group_);
    const apus_ssd_shape& shape = plan_.shape;
    LoadRows(b_, plan_.states_stride, in_.b + at, shape.x_stride, tokens_, shape.states);
    LoadRows(c_, plan_.states_stride, in_.c + at, shape.x_stride, tokens_, shape.states);
    for (ptrdiff_t head = first; head < last; ++head, h += size) {
      const float* x = in_.x + plan_.Own(batch_, t0, head);
      steps_.Compute(in_, plan_, batch_, head, t0, tokens_);
      LoadRows(x_, plan_.channel_stride, x, shape.x_stride, tokens_, shape.head_size, steps_.step);
      Weigh();
      Output(y + plan_.Output(batch_, t0, head), h, x, in_.d[head], starts_empty);
      if (needs_end) Carry(h);
    }
  }

 private:
  /// weights[t, s] = C_t · B_s e^{S_t − S_s}, and zeros to the end of t's tile.
  HWY_NOINLINE void Weigh() {
    const Floats f;
    for (ptrdiff_t t = 0; t < tokens_; ++t) {
      const float* scores = scores_ + t * plan_.scores_stride;
      float* weights = weights_ + t * plan_.scores_stride;
      ptrdiff_t s = 0;
      for (; s <= t; s += kPanel) {
        Vector decay[2];
        steps_.Decays(decay, t, s);
        for (int v = 0; v < 2; ++v) {
          const ptrdiff_t at = s + v * kLanes;
          Vector weight = hn::Mul(decay[v], hn::LoadU(f, scores + at));
          if (s + kPanel - 1 > t) weight = hn::IfThenElseZero(Inside(at, 0, t + 1), weight);
          hn::StoreU(weight, f, weights + at);
        }
      }
      for (; s < t / kRows * kRows + kRows; s += kLanes) {
        hn::StoreU(hn::Zero(f), f, weights + s);
      }
    }
  }

  HWY_NOINLINE void Output(float* y, const float* h, const float* x, float d, bool starts_empty) {
    ForPanels(plan_.shape.head_size, [&](auto vectors, ptrdiff_t p) HWY_ATTR {
      for (ptrdiff_t t = 0; t < tokens_; t += kRows) {
        OutputTile<vectors>(y, h, x, d, t, p, starts_empty);
      }
    });
  }

  template <int kVectors>
  HWY_INLINE void OutputTile(float* y, const float* h, const float* x, float d, ptrdiff_t t,
                             ptrdiff_t p, bool starts_empty) {
    const Floats f;
    const ptrdiff_t stride = plan_.channel_stride;
    Vector sum[kRows][kVectors];
    SumProducts<kVectors, false>(sum, c_ + t * plan_.states_stride, plan_.states_stride, h + p,
                                 stride, starts_empty ? 0 : plan_.shape.states);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        sum[row][v] = hn::Mul(sum[row][v], hn::Set(f, steps_.since[t + row]));
      }
    }
    AddProducts<kVectors, false>(sum, weights_ + t * plan_.scores_stride, plan_.scores_stride,
                                 x_ + p, stride, std::min(t + kRows, tokens_));
    const ptrdiff_t rows = std::min(kRows, tokens_ - t);
    // The compiler keeps the sums in registers only if every index is known to it.
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (row >= rows) continue;
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const ptrdiff_t at = p + v * kLanes, left = plan_.shape.head_size - at;
        const Vector input = LoadLanes(x + (t + row) * plan_.shape.x_stride + at, left);
        StoreLanes(hn::MulAdd(hn::Set(f, d), input, sum[row][v]),
                   y + (t + row) * plan_.output_stride() + at, left);
      }
    }
  }

  /// h ← e^{S_Q} h + Σ_s e^{S_Q − S_s} Δ_s B_s x_sᵀ.
  HWY_NOINLINE void Carry(float* h) {
    const ptrdiff_t stride = plan_.channel_stride;
    ScaleRows(x_, stride, steps_.until, tokens_, plan_.shape.head_size);
    ForPanels(plan_.shape.head_size, [&](auto vectors, ptrdiff_t p) HWY_ATTR {
      for (ptrdiff_t n = 0; n < plan_.shape.states; n += kRows) {
        CarryTile<vectors>(h + n * stride + p, b_ + n, x_ + p);
      }
    });
  }

  template <int kVectors>
  HWY_INLINE void CarryTile(float* h, const float* b, const float* x) {
    const Floats f;
    const ptrdiff_t stride = plan_.channel_stride;
    Vector sum[kRows][kVectors];
    SumProducts<kVectors, true>(sum, b, plan_.states_stride, x, stride, tokens_);
    const Vector whole = hn::Set(f, steps_.whole);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        float* to = h + row * stride + v * kLanes;
        hn::StoreU(hn::MulAdd(whole, hn::LoadU(f, to), sum[row][v]), f, to);
      }
    }
  }

  const ssd::Inputs& in_;
  const Plan& plan_;
  const ptrdiff_t batch_, group_, rows_;
  Scratch scratch_;
  float *b_, *c_, *x_, *weights_;
  ChunkSteps steps_;
  const float* scores_ = nullptr;
  ptrdiff_t tokens_ = 0;
};

/// Copies a state to [N, P].
void StoreState(float* to, const float* from, const Plan& plan) {
  const ptrdiff_t channels = plan.shape.head_size;
  for (ptrdiff_t n = 0; n < plan.shape.states; ++n, to += channels, from += plan.channel_stride) {
    ForLanes(channels, [&](ptrdiff_t p, ptrdiff_t left)
                           HWY_ATTR { StoreLanes(LoadLanes(from + p, left), to + p, left); });
  }
}

/// Where the states of heads come from, go to, and are saved on the way.
struct States {
  float *state, *checkpoints;
  float* working;  ///< [B, H, size]
  ptrdiff_t size;
};

/// Some heads of one group through `count` chunks from `first` on. `scores` are those of `first`.
void SsdHeads(float* y, const States& states, const ssd::Inputs& in, const Plan& plan,
              const float* scores, ptrdiff_t task, ptrdiff_t first, ptrdiff_t count) {
  const apus_ssd_shape& shape = plan.shape;
  const auto [batch, group, head, last] = plan.Heads(task);
  const ptrdiff_t size = states.size, kept = plan.state_size();
  float* h = states.working + (batch * shape.heads + head) * size;
  float* outer = states.state == nullptr ? nullptr  //
                                         : states.state + (batch * shape.heads + head) * kept;
  for (ptrdiff_t i = 0; i < last - head && first == 0; ++i) {
    std::fill_n(h + i * size, size, 0.0f);
    if (outer == nullptr) continue;
    LoadRows(h + i * size, plan.channel_stride, outer + i * kept, shape.head_size, shape.states,
             shape.head_size);
  }
  SsdTask work(in, plan, batch, group);
  for (ptrdiff_t index = first; index < first + count; ++index) {
    for (ptrdiff_t i = head; i < last && states.checkpoints != nullptr; ++i) {
      StoreState(states.checkpoints + plan.Checkpoint(batch, index, i), h + (i - head) * size,
                 plan);
    }
    work.Run(y, h, size, scores, index, head, last, index == 0 && outer == nullptr,
             index + 1 < plan.chunks || outer != nullptr);
    scores += TileRows(plan.chunk) * plan.scores_stride;
  }
  for (ptrdiff_t i = 0; i < last - head && outer != nullptr && first + count == plan.chunks; ++i) {
    StoreState(outer + i * kept, h + i * size, plan);
  }
}

}  // namespace

void Ssd(float* y, float* state, float* checkpoints, const ssd::Inputs& in,
         const apus_ssd_shape& shape) {
  const Plan plan(shape, kPanel, kRows, 8, 2, 4);
  const ptrdiff_t size = TileRows(shape.states) * plan.channel_stride;
  const ptrdiff_t scores_size = plan.segment * TileRows(plan.chunk) * plan.scores_stride;
  Scratch scratch(shape.batch * shape.heads * size + plan.sequences() * scores_size + 2 * 16);
  float* scores = scratch.Take(plan.sequences() * scores_size);
  const States states = {state, checkpoints, scratch.Take(shape.batch * shape.heads * size), size};
  for (ptrdiff_t first = 0; first < plan.chunks; first += plan.segment) {
    const ptrdiff_t count = std::min(plan.segment, plan.chunks - first);
    ScoresOfSegment(scores, plan, in, first, count);
    ParallelBlocks(plan.sequences() * plan.blocks, [&](ptrdiff_t task) HWY_ATTR {
      SsdHeads(y, states, in, plan, scores + task / plan.blocks * scores_size, task, first, count);
    });
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
HWY_EXPORT(Ssd);

extern "C" {

ptrdiff_t apus_ssd_chunk(void) { return 64; }

void apus_ssd_f32(float* y, float* state, float* checkpoints, const float* x, const float* b,
                  const float* c, const float* dt, const float* dt_bias, const float* a_log,
                  const float* d, const apus_ssd_shape* shape) {
  const ssd::Inputs in = {x, b, c, dt, dt_bias, a_log, d};
  HWY_DYNAMIC_DISPATCH(Ssd)(y, state, checkpoints, in, *shape);
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
