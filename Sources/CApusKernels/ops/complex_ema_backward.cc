// The complex exponential moving average, backward. Ma et al., 2024,
// arXiv:2404.08801.
//
// With u = h / p, G the gradient of y and λ that of u, for t from the last to
// the first:
//   λ_t = G_t conj(g) + conj(q) λ_{t+1}        dx_t = Σ_n Re λ_t + omega G_t
//   dq += λ_t conj(u_{t−1})                    dg += G_t conj(u_t)
// where g is the output's coefficient times p. States are rebuilt chunk by
// chunk from the checkpoints, never by dividing by q, which may be near 0.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/complex_ema_backward.cc"
#include "support/simd.h"
// simd.h before foreach_target.h: it narrows the list of targets.
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "include/apus_kernels.h"
#include "ops/complex_ema-inl.h"
#include "ops/complex_ema.h"
#include "ops/gates-inl.h"
#include "support/parallel.h"
#include "support/scratch.h"

#ifndef APUS_COMPLEX_EMA_BACKWARD_ONCE
#define APUS_COMPLEX_EMA_BACKWARD_ONCE
namespace apus {

/// What every block of a call shares.
struct EmaBackwardCall {
  float *dx, *dstate;
  const float *dy, *checkpoints, *x, *omega, *coefficients;
  float *parts;   ///< [B, tiles, 5, N, L]: dq, dg, dp as far as it comes from
                  ///< carried states
  float *domega;  ///< [B, tiles, L]
};

}  // namespace apus
#endif

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
namespace {

/// The planes of the sums of a tile, [N, L] each.
enum { kSumQRe, kSumQIm, kSumGRe, kSumGIm, kSumP, kSums };
constexpr int kBackModes = 2;  // walked back together: six vectors each

/// u before every token of the chunk and after the last: states [tokens + 1,
/// kModes, 2, L], of which the first row is there.
template <int kModes>
HWY_NOINLINE void RebuildStates(float *HWY_RESTRICT states, const float *HWY_RESTRICT x,
                                const float *coefficients, ptrdiff_t plane, ptrdiff_t tokens) {
  const EmaTag d;
  const ptrdiff_t lanes = RowLanes();
  EmaVector u_re[kModes], u_im[kModes];
  for (int n = 0; n < kModes; ++n) {
    u_re[n] = hn::Load(d, states + 2 * n * lanes);
    u_im[n] = hn::Load(d, states + (2 * n + 1) * lanes);
  }
  for (ptrdiff_t t = 0; t < tokens; ++t) {
    const EmaVector x_t = hn::Load(d, x + t * lanes);
    ReadAnew(coefficients);
    states += 2 * kModes * lanes;
    for (int n = 0; n < kModes; ++n) {
      const EmaVector qr = hn::Load(d, coefficients + kEmaQRe * plane + n * lanes);
      const EmaVector qi = hn::Load(d, coefficients + kEmaQIm * plane + n * lanes);
      const EmaVector real = hn::NegMulAdd(qi, u_im[n], hn::MulAdd(qr, u_re[n], x_t));
      u_im[n] = hn::MulAdd(qr, u_im[n], hn::Mul(qi, u_re[n]));
      u_re[n] = real;
      hn::Store(u_re[n], d, states + 2 * n * lanes);
      hn::Store(u_im[n], d, states + (2 * n + 1) * lanes);
    }
  }
}

/// Walks kModes modes back over the chunk. `carry` (two planes) holds conj(q) λ
/// of the token after the chunk and gets that of its first. `states` rows hold
/// `row` floats; `sums` is added to.
template <int kModes>
HWY_NOINLINE void WalkBack(float *HWY_RESTRICT dx, float *HWY_RESTRICT carry,
                           float *HWY_RESTRICT sums, const float *HWY_RESTRICT dy,
                           const float *HWY_RESTRICT states, ptrdiff_t row,
                           const float *coefficients, ptrdiff_t plane, ptrdiff_t tokens) {
  const EmaTag d;
  const ptrdiff_t lanes = RowLanes();
  EmaVector l_re[kModes], l_im[kModes], q_re[kModes], q_im[kModes], g_re[kModes], g_im[kModes];
  for (int n = 0; n < kModes; ++n) {
    q_re[n] = q_im[n] = g_re[n] = g_im[n] = hn::Zero(d);
    l_re[n] = hn::Load(d, carry + n * lanes);
    l_im[n] = hn::Load(d, carry + plane + n * lanes);
  }
  const auto coefficient = [&](int which, int n) HWY_ATTR {
    return hn::Load(d, coefficients + which * plane + n * lanes);
  };
  states += tokens * row;
  for (ptrdiff_t t = tokens - 1; t >= 0; --t, states -= row) {
    const EmaVector g_t = hn::Load(d, dy + t * lanes);
    EmaVector sum = hn::Load(d, dx + t * lanes);
    ReadAnew(coefficients);
    for (int n = 0; n < kModes; ++n) {
      // λ = G conj(g) + what came from later tokens, which the carry holds
      // multiplied already.
      EmaVector real = hn::Mul(g_t, coefficient(kEmaGRe, n));
      EmaVector minus = hn::Mul(g_t, coefficient(kEmaGIm, n));
      if (t == tokens - 1) {
        real = hn::Add(real, l_re[n]);
        l_im[n] = hn::Sub(l_im[n], minus);
      } else {
        const EmaVector qr = coefficient(kEmaQRe, n), qi = coefficient(kEmaQIm, n);
        real = hn::MulAdd(qi, l_im[n], hn::MulAdd(qr, l_re[n], real));
        minus = hn::MulAdd(qi, l_re[n], minus);
        l_im[n] = hn::MulSub(qr, l_im[n], minus);
      }
      l_re[n] = real;
      sum = hn::Add(sum, real);
      const EmaVector after_re = hn::Load(d, states + 2 * n * lanes);
      const EmaVector after_im = hn::Load(d, states + (2 * n + 1) * lanes);
      g_re[n] = hn::MulAdd(g_t, after_re, g_re[n]);
      g_im[n] = hn::NegMulAdd(g_t, after_im, g_im[n]);
      const EmaVector u_re = hn::Load(d, states - row + 2 * n * lanes);
      const EmaVector u_im = hn::Load(d, states - row + (2 * n + 1) * lanes);
      q_re[n] = hn::MulAdd(l_im[n], u_im, hn::MulAdd(l_re[n], u_re, q_re[n]));
      q_im[n] = hn::NegMulAdd(l_re[n], u_im, hn::MulAdd(l_im[n], u_re, q_im[n]));
    }
    hn::Store(sum, d, dx + t * lanes);
  }
  const auto add = [&](int which, int n, EmaVector value) HWY_ATTR {
    float *to = sums + which * plane + n * lanes;
    hn::Store(hn::Add(hn::Load(d, to), value), d, to);
  };
  for (int n = 0; n < kModes; ++n) {
    add(kSumQRe, n, q_re[n]);
    add(kSumQIm, n, q_im[n]);
    add(kSumGRe, n, g_re[n]);
    add(kSumGIm, n, g_im[n]);
    const EmaVector qr = coefficient(kEmaQRe, n), qi = coefficient(kEmaQIm, n);
    hn::Store(hn::MulAdd(qi, l_im[n], hn::Mul(qr, l_re[n])), d, carry + n * lanes);
    hn::Store(hn::MulSub(qr, l_im[n], hn::Mul(qi, l_re[n])), d, carry + plane + n * lanes);
  }
}

/// Channels first ..< last of one sequence, with their working arrays.
class EmaBackwardBlock {
 public:
  EmaBackwardBlock(const EmaBackwardCall &call, const apus_complex_ema_shape &shape,
                   ptrdiff_t batch, ptrdiff_t first)
      : call_(call),
        shape_(shape),
        batch_(batch),
        first_(first),
        last_(std::min(first + kEmaChannels, shape.channels)),
        lanes_(RowLanes()),
        plane_(shape.modes * lanes_),
        tiles_((last_ - first + lanes_ - 1) / lanes_),
        chunks_((shape.time + shape.chunk - 1) / shape.chunk),
        longest_(std::min(shape.chunk, shape.time)),
        tile_stride_(EmaTileStride(longest_)),
        coefficients_(call.coefficients + first / lanes_ * kEmaPlanes * plane_),
        scratch_(tiles_ * (2 * plane_ + 3 * tile_stride_) +
                 (longest_ + 1) * 2 * kEmaModes * lanes_ + 6 * 16),
        carry_(scratch_.Take(tiles_ * 2 * plane_)),
        x_(scratch_.Take(tiles_ * tile_stride_)),
        dy_(scratch_.Take(tiles_ * tile_stride_)),
        dx_(scratch_.Take(tiles_ * tile_stride_)),
        states_(scratch_.Take((longest_ + 1) * 2 * kEmaModes * lanes_)) {
    const ptrdiff_t all = (shape.channels + lanes_ - 1) / lanes_;
    sums_ = call.parts + (batch * all + first / lanes_) * kSums * plane_;
    domega_ = call.domega + (batch * all + first / lanes_) * lanes_;
  }

  void Run() {
    std::fill_n(carry_, tiles_ * 2 * plane_, 0.0f);
    std::fill_n(sums_, tiles_ * kSums * plane_, 0.0f);
    std::fill_n(domega_, tiles_ * lanes_, 0.0f);
    if (call_.dstate != nullptr) LoadCarry();
    for (ptrdiff_t chunk = chunks_ - 1; chunk >= 0; --chunk) {
      const ptrdiff_t t0 = chunk * shape_.chunk;
      const ptrdiff_t tokens = std::min(shape_.chunk, shape_.time - t0);
      Prepare(t0, tokens);
      for (ptrdiff_t tile = 0; tile < tiles_; ++tile) {
        ptrdiff_t n = 0;
        for (; n + kEmaModes <= shape_.modes; n += kEmaModes)
          Walk<kEmaModes>(tile, n, chunk, tokens);
        for (; n < shape_.modes; ++n) Walk<1>(tile, n, chunk, tokens);
      }
      Finish(t0, tokens);
    }
    if (call_.dstate != nullptr) StoreCarry();
  }

 private:
  ptrdiff_t Width(ptrdiff_t tile) const { return std::min(lanes_, last_ - first_ - tile * lanes_); }
  const float *Coefficients(ptrdiff_t tile) const {
    return coefficients_ + tile * kEmaPlanes * plane_;
  }
  float *Sums(ptrdiff_t tile) { return sums_ + tile * kSums * plane_; }

  /// The gradient of the last u is p times that of the last h; p's share of it
  /// follows with the states of the last chunk.
  void LoadCarry() {
    const EmaTag d;
    for (ptrdiff_t tile = 0; tile < tiles_; ++tile) {
      for (ptrdiff_t i = 0; i < 2 * shape_.modes; ++i) {
        const ptrdiff_t part = i / shape_.modes, n = i % shape_.modes;
        const float *from =
            call_.dstate + EmaStateAt(shape_, batch_, part, n) + first_ + tile * lanes_;
        const EmaVector p = hn::Load(d, Coefficients(tile) + kEmaP * plane_ + n * lanes_);
        hn::Store(hn::Mul(LoadLanes(from, Width(tile)), p), d,
                  carry_ + (tile * 2 + part) * plane_ + n * lanes_);
      }
    }
  }

  /// The gradient of the first h is that of the first u over p, and u = h / p
  /// depends on p.
  void StoreCarry() {
    const EmaTag d;
    for (ptrdiff_t tile = 0; tile < tiles_; ++tile) {
      for (ptrdiff_t i = 0; i < 2 * shape_.modes; ++i) {
        const ptrdiff_t part = i / shape_.modes, n = i % shape_.modes;
        const ptrdiff_t channel = first_ + tile * lanes_, at = n * lanes_;
        const EmaVector p = hn::Load(d, Coefficients(tile) + kEmaP * plane_ + at);
        const EmaVector carry = hn::Load(d, carry_ + (tile * 2 + part) * plane_ + at);
        const EmaVector share = hn::Div(carry, p);
        StoreLanes(share, call_.dstate + EmaStateAt(shape_, batch_, part, n) + channel,
                   Width(tile));
        if (chunks_ == 0) continue;
        const float *u =
            call_.checkpoints + EmaStateAt(shape_, batch_ * chunks_, part, n) + channel;
        float *sum = Sums(tile) + kSumP * plane_ + at;
        hn::Store(hn::NegMulAdd(share, LoadLanes(u, Width(tile)), hn::Load(d, sum)), d, sum);
      }
    }
  }

  /// Reads x and dy, begins dx with omega dy, adds to domega.
  HWY_NOINLINE void Prepare(ptrdiff_t t0, ptrdiff_t tokens) {
    const EmaTag d;
    for (ptrdiff_t t = 0; t < tokens; ++t) {
      const ptrdiff_t row = (batch_ * shape_.time + t0 + t) * shape_.channels + first_;
      const float *x_row = call_.x + row, *dy_row = call_.dy + row;
      if (t + kEmaAhead < tokens) {
        PrefetchEmaRow(x_row + kEmaAhead * shape_.channels);
        PrefetchEmaRow(dy_row + kEmaAhead * shape_.channels);
      }
      ForLanes(last_ - first_, [&](ptrdiff_t e, ptrdiff_t width) HWY_ATTR {
        const EmaVector x = LoadLanes(x_row + e, width), dy = LoadLanes(dy_row + e, width);
        const ptrdiff_t at = e / RowLanes() * tile_stride_ + t * RowLanes();
        hn::Store(x, d, x_ + at);
        hn::Store(dy, d, dy_ + at);
        hn::Store(hn::Mul(LoadLanes(call_.omega + first_ + e, width), dy), d, dx_ + at);
        hn::Store(hn::MulAdd(x, dy, hn::Load(d, domega_ + e)), d, domega_ + e);
      });
    }
  }

  template <int kModes>
  void Walk(ptrdiff_t tile, ptrdiff_t n, ptrdiff_t chunk, ptrdiff_t tokens) {
    const EmaTag d;
    const ptrdiff_t row = 2 * kModes * lanes_, at = tile * tile_stride_;
    const ptrdiff_t channel = first_ + tile * lanes_;
    for (int i = 0; i < 2 * kModes; ++i) {
      const float *from = call_.checkpoints +
                          EmaStateAt(shape_, batch_ * chunks_ + chunk, i % 2, n + i / 2) + channel;
      hn::Store(LoadLanes(from, Width(tile)), d, states_ + i * lanes_);
    }
    const float *coefficients = Coefficients(tile) + n * lanes_;
    RebuildStates<kModes>(states_, x_ + at, coefficients, plane_, tokens);
    float *carry = carry_ + tile * 2 * plane_ + n * lanes_;
    float *sums = Sums(tile) + n * lanes_;
    if (call_.dstate != nullptr && chunk == chunks_ - 1) {
      AddLastState<kModes>(sums, carry, coefficients, tokens);
    }
    constexpr int kStep = kModes < kBackModes ? kModes : kBackModes;
    for (int i = 0; i < kModes; i += kStep) {
      WalkBack<kStep>(dx_ + at, carry + i * lanes_, sums + i * lanes_, dy_ + at,
                      states_ + 2 * i * lanes_, row, coefficients + i * lanes_, plane_, tokens);
    }
  }

  /// h = p u at the end: dp += Re(dh · conj(u)), part by part.
  template <int kModes>
  void AddLastState(float *sums, const float *carry, const float *coefficients, ptrdiff_t tokens) {
    const EmaTag d;
    const float *last = states_ + tokens * 2 * kModes * lanes_;
    for (int n = 0; n < kModes; ++n) {
      const EmaVector p = hn::Load(d, coefficients + kEmaP * plane_ + n * lanes_);
      EmaVector sum = hn::Mul(hn::Load(d, carry + n * lanes_), hn::Load(d, last + 2 * n * lanes_));
      sum = hn::MulAdd(hn::Load(d, carry + plane_ + n * lanes_),
                       hn::Load(d, last + (2 * n + 1) * lanes_), sum);
      float *to = sums + kSumP * plane_ + n * lanes_;
      hn::Store(hn::Add(hn::Load(d, to), hn::Div(sum, p)), d, to);
    }
  }

  HWY_NOINLINE void Finish(ptrdiff_t t0, ptrdiff_t tokens) {
    const EmaTag d;
    for (ptrdiff_t t = 0; t < tokens; ++t) {
      float *row = call_.dx + (batch_ * shape_.time + t0 + t) * shape_.channels + first_;
      if (t + kEmaAhead < tokens) PrefetchEmaRow(row + kEmaAhead * shape_.channels);
      ForLanes(last_ - first_, [&](ptrdiff_t e, ptrdiff_t width) HWY_ATTR {
        StoreLanes(hn::Load(d, dx_ + e / RowLanes() * tile_stride_ + t * RowLanes()), row + e,
                   width);
      });
    }
  }

  const EmaBackwardCall &call_;
  const apus_complex_ema_shape &shape_;
  const ptrdiff_t batch_, first_, last_, lanes_, plane_, tiles_, chunks_, longest_, tile_stride_;
  const float *coefficients_;
  Scratch scratch_;
  float *carry_, *x_, *dy_, *dx_;  // [tiles, 2, N, L], 3 of [tiles, tokens, L]
  float *states_;                  // [tokens + 1, kEmaModes, 2, L]
  float *sums_, *domega_;
};

/// Sums the parts over the batch and leads them back to what is stored.
void FinishEmaTile(const apus_complex_ema_gradients &to, float *parts, const float *domega,
                   const apus_complex_ema_parameters &from, const apus_complex_ema_shape &shape,
                   ptrdiff_t tile) {
  const EmaTag d;
  const ptrdiff_t lanes = RowLanes(), modes = shape.modes, plane = modes * lanes;
  const ptrdiff_t tiles = (shape.channels + lanes - 1) / lanes;
  const ptrdiff_t e = tile * lanes, width = std::min(lanes, shape.channels - e);
  float *sums = parts + tile * kSums * plane;
  EmaVector omega = hn::Zero(d);
  for (ptrdiff_t b = 0; b < shape.batch; ++b) {
    omega = hn::Add(omega, hn::Load(d, domega + (b * tiles + tile) * lanes));
    const float *part = parts + (b * tiles + tile) * kSums * plane;
    for (ptrdiff_t i = 0; b > 0 && i < kSums * plane; i += lanes) {
      hn::Store(hn::Add(hn::Load(d, sums + i), hn::Load(d, part + i)), d, sums + i);
    }
  }
  if (shape.batch == 0) std::fill_n(sums, kSums * plane, 0.0f);
  StoreLanes(omega, to.omega + e, width);
  Scratch scratch(4 * Scratch::Rounded(plane));
  float *alpha = scratch.Take(plane), *delta = scratch.Take(plane);
  float *g_re = scratch.Take(plane), *g_im = scratch.Take(plane);
  GatherModes(alpha, from.alpha + e * modes, modes, 1, modes, width);
  GatherModes(delta, from.delta + e * modes, modes, 1, modes, width);
  GatherModes(g_re, from.gamma + e * modes * 2, 2 * modes, 2, modes, width);
  GatherModes(g_im, from.gamma + e * modes * 2 + 1, 2 * modes, 2, modes, width);
  EmaVector rest;
  const EmaVector turn =
      SigmoidPair(d, Clamp(d, LoadLanes(from.theta + e, width), -60.0f, 60.0f), rest);
  const EmaVector root = hn::Set(d, 1.0f / std::sqrt(static_cast<float>(modes)));
  EmaVector dturn = hn::Zero(d);
  for (ptrdiff_t at = 0; at < plane; at += lanes) {
    const float share = static_cast<float>(at / lanes + 1) / static_cast<float>(modes);
    const EmaMode mode = MakeEmaMode(hn::Load(d, alpha + at), hn::Load(d, delta + at), turn, share);
    const auto sum = [&](int which) HWY_ATTR { return hn::Load(d, sums + which * plane + at); };
    const EmaVector dq_re = sum(kSumQRe), dq_im = sum(kSumQIm);
    const EmaVector dg_re = hn::Mul(root, sum(kSumGRe)), dg_im = hn::Mul(root, sum(kSumGIm));
    const EmaVector drho = hn::MulAdd(dq_im, mode.sine, hn::Mul(dq_re, mode.cosine));
    const EmaVector dphi = hn::NegMulAdd(dq_re, mode.q_im, hn::Mul(dq_im, mode.q_re));
    dturn = hn::MulAdd(hn::Set(d, 6.28318531f * share), dphi, dturn);
    EmaVector dp = hn::MulAdd(hn::Load(d, g_re + at), dg_re, sum(kSumP));
    dp = hn::MulAdd(hn::Load(d, g_im + at), dg_im, dp);
    const EmaVector da = hn::NegMulAdd(drho, mode.d, dp);
    const EmaVector dd = hn::Neg(hn::Mul(drho, mode.p));
    hn::Store(hn::Mul(da, hn::Mul(mode.p, mode.p_rest)), d, alpha + at);
    hn::Store(hn::Mul(dd, hn::Mul(mode.d, mode.d_rest)), d, delta + at);
    hn::Store(hn::Mul(dg_re, mode.p), d, g_re + at);
    hn::Store(hn::Mul(dg_im, mode.p), d, g_im + at);
  }
  StoreLanes(hn::Mul(dturn, hn::Mul(turn, rest)), to.theta + e, width);
  for (ptrdiff_t n = 0; n < modes; ++n) {
    for (ptrdiff_t i = 0; i < width; ++i) {
      to.alpha[(e + i) * modes + n] = alpha[n * lanes + i];
      to.delta[(e + i) * modes + n] = delta[n * lanes + i];
      to.gamma[((e + i) * modes + n) * 2] = g_re[n * lanes + i];
      to.gamma[((e + i) * modes + n) * 2 + 1] = g_im[n * lanes + i];
    }
  }
}

}  // namespace

void ComplexEmaBackward(EmaBackwardCall &call, const apus_complex_ema_gradients &to,
                        const apus_complex_ema_parameters &from,
                        const apus_complex_ema_shape &shape) {
  const ptrdiff_t lanes = RowLanes(), tiles = (shape.channels + lanes - 1) / lanes;
  const ptrdiff_t floats =
      std::max<ptrdiff_t>(shape.batch, 1) * tiles * kSums * shape.modes * lanes;
  Scratch scratch(Scratch::Rounded(floats) + Scratch::Rounded(shape.batch * tiles * lanes));
  call.parts = scratch.Take(floats);
  call.domega = scratch.Take(shape.batch * tiles * lanes);
  const ptrdiff_t blocks = (shape.channels + kEmaChannels - 1) / kEmaChannels;
  ParallelBlocks(shape.batch * blocks, [&](ptrdiff_t index) {
    EmaBackwardBlock block(call, shape, index / blocks, index % blocks * kEmaChannels);
    block.Run();
  });
  ParallelBlocks(tiles, [&](ptrdiff_t tile) {
    FinishEmaTile(to, call.parts, call.domega, from, shape, tile);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(ComplexEmaBackward);
}  // namespace
}  // namespace apus

extern "C" void apus_complex_ema_backward_f32(float *dx, apus_complex_ema_gradients *gradients,
                                              float *dstate, const float *dy,
                                              const float *checkpoints, const float *x,
                                              const apus_complex_ema_parameters *parameters,
                                              const apus_complex_ema_shape *shape) {
  using namespace apus;
  const ptrdiff_t count = EmaCoefficientCount(*shape);
  Scratch scratch(Scratch::Rounded(count));
  float *coefficients = scratch.Take(count);
  PackEmaCoefficients(coefficients, *parameters, *shape);
  EmaBackwardCall call{dx,           dstate,  dy,     checkpoints, x, parameters->omega,
                       coefficients, nullptr, nullptr};
  HWY_DYNAMIC_DISPATCH(ComplexEmaBackward)
  (call, *gradients, *parameters, *shape);
}
#endif
