// Timestep normalization. Ma et al., 2024, arXiv:2404.08801, equation 4.
//
// Three passes: moments of every token's groups, the running statistics along time (in double, few
// numbers), and the rows again. The first and the last share rows among threads. A group's moments
// are taken around its first feature, so that an offset common to all features costs no digits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/timestep_norm.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "include/apus_kernels.h"
#include "ops/row_blocks.h"
#include "support/loops-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using V = hn::Vec<hn::ScalableTag<float>>;

/// moments [rows, 2, G]: mean − first feature, and variance, of every group.
void GroupMoments(float* moments, const float* x, ptrdiff_t rows, ptrdiff_t groups,
                  ptrdiff_t size) {
  const hn::ScalableTag<float> d;
  for (ptrdiff_t r = 0; r < rows; ++r, moments += 2 * groups) {
    for (ptrdiff_t g = 0; g < groups; ++g, x += size) {
      const V pivot = hn::Set(d, x[0]);
      const float mean = MapSum(
                             size, [&](V v) HWY_ATTR { return hn::Sub(v, pivot); }, x) /
                         static_cast<float>(size);
      const V center = hn::Set(d, mean);
      const auto square = [&](V v) HWY_ATTR {
        const V away = hn::Sub(hn::Sub(v, pivot), center);
        return hn::Mul(away, away);
      };
      moments[g] = mean;
      moments[groups + g] = MapSum(size, square, x) / static_cast<float>(size);
    }
  }
}

/// y = (x − u) r (1 + weight) + bias, with u and r from statistics [rows, 2, G].
void NormalizeRows(float* y, const float* x, const float* weight, const float* bias,
                   const float* statistics, ptrdiff_t rows, ptrdiff_t groups, ptrdiff_t size) {
  const hn::ScalableTag<float> d;
  for (ptrdiff_t r = 0; r < rows; ++r, statistics += 2 * groups) {
    for (ptrdiff_t g = 0; g < groups; ++g, x += size, y += size) {
      const V mean = hn::Set(d, statistics[g]), scale = hn::Set(d, statistics[groups + g]);
      const auto f = [&](V v, V w, V b) HWY_ATTR {
        const V normal = hn::Mul(hn::Sub(v, mean), scale);
        return hn::Add(hn::MulAdd(normal, w, normal), b);
      };
      Map(y, size, f, x, weight + g * size, bias + g * size);
    }
  }
}

/// sums [rows, 3, G]: Σ e (x − u), Σ e with e = dy (1 + weight), and the mean of x − first feature;
/// adds to dweight and dbias.
void TimestepGradientSums(float* sums, float* dweight, float* dbias, const float* dy,
                          const float* x, const float* weight, const float* statistics,
                          ptrdiff_t rows, ptrdiff_t groups, ptrdiff_t size) {
  const hn::ScalableTag<float> d;
  for (ptrdiff_t r = 0; r < rows; ++r, statistics += 2 * groups, sums += 3 * groups) {
    for (ptrdiff_t g = 0; g < groups; ++g, x += size, dy += size) {
      const float* w = weight + g * size;
      const V mean = hn::Set(d, statistics[g]), scale = hn::Set(d, statistics[groups + g]);
      const V pivot = hn::Set(d, x[0]);
      const auto center = [&](V v) HWY_ATTR { return hn::Sub(v, mean); };
      const auto scaled = [&](V dv, V wv) HWY_ATTR { return hn::MulAdd(dv, wv, dv); };
      sums[g] = MapSum(
          size, [&](V dv, V wv, V v) HWY_ATTR { return hn::Mul(scaled(dv, wv), center(v)); }, dy, w,
          x);
      sums[groups + g] = MapSum(size, scaled, dy, w);
      sums[2 * groups + g] = MapSum(
                                 size, [&](V v) HWY_ATTR { return hn::Sub(v, pivot); }, x) /
                             static_cast<float>(size);
      const auto share = [&](V sum, V dv, V v)
                             HWY_ATTR { return hn::MulAdd(dv, hn::Mul(center(v), scale), sum); };
      Map(dweight + g * size, size, share, dweight + g * size, dy, x);
      Map(
          dbias + g * size, size, [&](V sum, V dv) HWY_ATTR { return hn::Add(sum, dv); },
          dbias + g * size, dy);
    }
  }
}

/// dx = e r + terms[0] + terms[1] (x − mean of the token's group), terms [rows, 3, G], the third
/// being that mean − first feature.
void TimestepInputGradient(float* dx, const float* dy, const float* x, const float* weight,
                           const float* statistics, const float* terms, ptrdiff_t rows,
                           ptrdiff_t groups, ptrdiff_t size) {
  const hn::ScalableTag<float> d;
  for (ptrdiff_t r = 0; r < rows; ++r, statistics += 2 * groups, terms += 3 * groups) {
    for (ptrdiff_t g = 0; g < groups; ++g, x += size, dy += size, dx += size) {
      const V scale = hn::Set(d, statistics[groups + g]), pivot = hn::Set(d, x[0]);
      const V constant = hn::Set(d, terms[g]), slope = hn::Set(d, terms[groups + g]);
      const V mean = hn::Set(d, terms[2 * groups + g]);
      const auto f = [&](V dv, V wv, V v) HWY_ATTR {
        const V away = hn::Sub(hn::Sub(v, pivot), mean);
        return hn::MulAdd(hn::MulAdd(dv, wv, dv), scale, hn::MulAdd(slope, away, constant));
      };
      Map(dx, size, f, dy, weight + g * size, x);
    }
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(GroupMoments);
HWY_EXPORT(NormalizeRows);
HWY_EXPORT(TimestepGradientSums);
HWY_EXPORT(TimestepInputGradient);

/// Turns moments [T, 2, G] into statistics in place: what later tokens see of earlier ones.
void RunStatistics(float* statistics, double* state, const float* x,
                   const apus_timestep_norm_shape& shape) {
  const ptrdiff_t groups = shape.groups, size = shape.group_size;
  for (ptrdiff_t t = 0; t < shape.time; ++t, statistics += 2 * groups, x += groups * size) {
    const double share = 1.0 / static_cast<double>(shape.count + t + 1), rest = 1.0 - share;
    for (ptrdiff_t g = 0; g < groups; ++g) {
      const double away = (static_cast<double>(x[g * size]) - state[g]) + statistics[g];
      state[groups + g] = rest * (state[groups + g] + share * away * away) +
                          share * static_cast<double>(statistics[groups + g]);
      state[g] += share * away;
      statistics[g] = static_cast<float>(state[g]);
      statistics[groups + g] =
          static_cast<float>(1.0 / std::sqrt(state[groups + g] + shape.epsilon));
    }
  }
}

/// Turns sums [T, 3, G] into the terms of the input's gradient, in place, from the last token to
/// the first. `dstate` [2, G] is carried.
void RunGradients(float* sums, double* dstate, const float* x, const float* statistics,
                  const double* state, const apus_timestep_norm_shape& shape) {
  const ptrdiff_t groups = shape.groups, size = shape.group_size;
  for (ptrdiff_t t = shape.time - 1; t >= 0; --t) {
    const double share = 1.0 / static_cast<double>(shape.count + t + 1), rest = 1.0 - share;
    const float* seen = statistics + t * 2 * groups;
    float* row = sums + t * 3 * groups;
    for (ptrdiff_t g = 0; g < groups; ++g) {
      const double r = seen[groups + g];
      const double dv = dstate[groups + g] - 0.5 * r * r * r * row[g];
      const double du = dstate[g] - r * row[groups + g];
      const double before = t > 0 ? seen[g - 2 * groups] : state == nullptr ? 0.0 : state[g];
      const double away =
          (static_cast<double>(x[(t * groups + g) * size]) - before) + row[2 * groups + g];
      const double through = 2 * rest * share * dv * away;
      row[g] = static_cast<float>((share * du + through) / static_cast<double>(size));
      row[groups + g] = static_cast<float>(2 * share * dv / static_cast<double>(size));
      dstate[g] = rest * du - through;
      dstate[groups + g] = rest * dv;
    }
  }
}

/// Floats that hold this many doubles.
ptrdiff_t Doubles(ptrdiff_t count) { return Scratch::Rounded(2 * count); }

}  // namespace

extern "C" {

void apus_timestep_norm_f32(float* y, float* statistics, double* state, const float* x,
                            const float* weight, const float* bias,
                            const apus_timestep_norm_shape* shape) {
  const ptrdiff_t groups = shape->groups, size = shape->group_size, features = groups * size;
  const ptrdiff_t rows = shape->batch * shape->time;
  Scratch scratch(Doubles(shape->batch * 2 * groups));
  if (state == nullptr) {
    state = reinterpret_cast<double*>(scratch.Take(4 * shape->batch * groups));
    std::fill_n(state, shape->batch * 2 * groups, 0.0);
  }
  ParallelRanges(rows, RowGrain(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(GroupMoments)
    (statistics + begin * 2 * groups, x + begin * features, end - begin, groups, size);
  });
  ParallelBlocks(shape->batch, [&](ptrdiff_t b) {
    RunStatistics(statistics + b * shape->time * 2 * groups, state + b * 2 * groups,
                  x + b * shape->time * features, *shape);
  });
  ParallelRanges(rows, RowGrain(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(NormalizeRows)
    (y + begin * features, x + begin * features, weight, bias, statistics + begin * 2 * groups,
     end - begin, groups, size);
  });
}

void apus_timestep_norm_backward_f32(float* dx, float* dweight, float* dbias, double* dstate,
                                     const float* dy, const float* x, const float* weight,
                                     const float* statistics, const double* state,
                                     const apus_timestep_norm_shape* shape) {
  const ptrdiff_t groups = shape->groups, size = shape->group_size, features = groups * size;
  const ptrdiff_t rows = shape->batch * shape->time;
  Scratch scratch(Scratch::Rounded(rows * 3 * groups) + Doubles(shape->batch * 2 * groups));
  float* sums = scratch.Take(rows * 3 * groups);
  if (dstate == nullptr) {
    dstate = reinterpret_cast<double*>(scratch.Take(4 * shape->batch * groups));
    std::fill_n(dstate, shape->batch * 2 * groups, 0.0);
  }
  float* totals[2] = {dweight, dbias};
  SumRowBlocks(totals, features, rows, false, [&](float** own, ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(TimestepGradientSums)
    (sums + begin * 3 * groups, own[0], own[1], dy + begin * features, x + begin * features, weight,
     statistics + begin * 2 * groups, end - begin, groups, size);
  });
  ParallelBlocks(shape->batch, [&](ptrdiff_t b) {
    RunGradients(sums + b * shape->time * 3 * groups, dstate + b * 2 * groups,
                 x + b * shape->time * features, statistics + b * shape->time * 2 * groups,
                 state == nullptr ? nullptr : state + b * 2 * groups, *shape);
  });
  ParallelRanges(rows, RowGrain(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(TimestepInputGradient)
    (dx + begin * features, dy + begin * features, x + begin * features, weight,
     statistics + begin * 2 * groups, sums + begin * 3 * groups, end - begin, groups, size);
  });
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
