// The complex exponential moving average, forward. Ma et al., 2024,
// arXiv:2404.08801, section 3.1.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/complex_ema.cc"
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

HWY_BEFORE_NAMESPACE();
namespace apus {
namespace HWY_NAMESPACE {
namespace {

/// Walks kModes modes of one tile through `tokens` tokens: u advances, y
/// [tokens, L] is added to. `re`, `im` are [kModes, L]; the planes of
/// `coefficients` lie `plane` floats apart.
template <int kModes>
HWY_NOINLINE void AdvanceModes(float *HWY_RESTRICT y, float *HWY_RESTRICT re,
                               float *HWY_RESTRICT im, const float *HWY_RESTRICT x,
                               const float *coefficients, ptrdiff_t plane, ptrdiff_t tokens) {
  const EmaTag d;
  const ptrdiff_t lanes = RowLanes();
  const auto coefficient = [&](int which, int n) HWY_ATTR {
    return hn::Load(d, coefficients + which * plane + n * lanes);
  };
  EmaVector u_re[kModes], u_im[kModes];
  for (int n = 0; n < kModes; ++n) {
    u_re[n] = hn::Load(d, re + n * lanes);
    u_im[n] = hn::Load(d, im + n * lanes);
  }
  for (ptrdiff_t t = 0; t < tokens; ++t) {
    const EmaVector x_t = hn::Load(d, x + t * lanes);
    EmaVector sum = hn::Load(d, y + t * lanes), minus = hn::Zero(d);
    ReadAnew(coefficients);
    for (int n = 0; n < kModes; ++n) {
      const EmaVector qr = coefficient(kEmaQRe, n), qi = coefficient(kEmaQIm, n);
      const EmaVector real = hn::NegMulAdd(qi, u_im[n], hn::MulAdd(qr, u_re[n], x_t));
      u_im[n] = hn::MulAdd(qr, u_im[n], hn::Mul(qi, u_re[n]));
      u_re[n] = real;
      sum = hn::MulAdd(coefficient(kEmaGRe, n), u_re[n], sum);
      minus = hn::MulAdd(coefficient(kEmaGIm, n), u_im[n], minus);
    }
    hn::Store(hn::Sub(sum, minus), d, y + t * lanes);
  }
  for (int n = 0; n < kModes; ++n) {
    hn::Store(u_re[n], d, re + n * lanes);
    hn::Store(u_im[n], d, im + n * lanes);
  }
}

/// Channels first ..< last of one sequence, with their working arrays.
class EmaBlock {
 public:
  EmaBlock(const float *x, const float *omega, const float *coefficients,
           const apus_complex_ema_shape &shape, ptrdiff_t batch, ptrdiff_t first, ptrdiff_t last)
      : x_(x),
        omega_(omega),
        lanes_(RowLanes()),
        plane_(shape.modes * lanes_),
        coefficients_(coefficients + first / lanes_ * kEmaPlanes * plane_),
        shape_(shape),
        batch_(batch),
        first_(first),
        last_(last),
        tiles_((last - first + lanes_ - 1) / lanes_),
        longest_(std::min(kSegment, shape.time)),
        tile_stride_(EmaTileStride(longest_)),
        scratch_(tiles_ * (2 * plane_ + 2 * tile_stride_) + 4 * 16),
        u_(scratch_.Take(tiles_ * 2 * plane_)),
        in_(scratch_.Take(tiles_ * tile_stride_)),
        y_(scratch_.Take(tiles_ * tile_stride_)) {}

  void Run(float *y, float *state, float *checkpoints) {
    LoadState(state);
    const ptrdiff_t chunks = (shape_.time + shape_.chunk - 1) / shape_.chunk;
    ForSegments(shape_.time, shape_.chunk,
                [&](ptrdiff_t t, ptrdiff_t tokens, bool begins) HWY_ATTR {
                  if (checkpoints != nullptr && begins) {
                    StoreState(checkpoints, batch_ * chunks + t / shape_.chunk, false);
                  }
                  Prepare(t, tokens);
                  for (ptrdiff_t tile = 0; tile < tiles_; ++tile) Advance(tile, tokens);
                  Finish(y, t, tokens);
                });
    if (state != nullptr) StoreState(state, batch_, true);
  }

 private:
  ptrdiff_t Width(ptrdiff_t tile) const { return std::min(lanes_, last_ - first_ - tile * lanes_); }
  const float *Coefficients(ptrdiff_t tile) const {
    return coefficients_ + tile * kEmaPlanes * plane_;
  }

  /// u = h / p.
  void LoadState(const float *state) {
    const EmaTag d;
    if (state == nullptr) return (void)std::fill_n(u_, tiles_ * 2 * plane_, 0.0f);
    for (ptrdiff_t tile = 0; tile < tiles_; ++tile) {
      for (ptrdiff_t i = 0; i < 2 * shape_.modes; ++i) {
        const ptrdiff_t part = i / shape_.modes, n = i % shape_.modes;
        const float *from = state + EmaStateAt(shape_, batch_, part, n) + first_ + tile * lanes_;
        const EmaVector p = hn::Load(d, Coefficients(tile) + kEmaP * plane_ + n * lanes_);
        hn::Store(hn::Div(LoadLanes(from, Width(tile)), p), d,
                  u_ + (tile * 2 + part) * plane_ + n * lanes_);
      }
    }
  }

  /// Entry `entry` of `to`: u, or h = p u.
  void StoreState(float *to, ptrdiff_t entry, bool scaled) {
    const EmaTag d;
    for (ptrdiff_t tile = 0; tile < tiles_; ++tile) {
      for (ptrdiff_t i = 0; i < 2 * shape_.modes; ++i) {
        const ptrdiff_t part = i / shape_.modes, n = i % shape_.modes;
        EmaVector u = hn::Load(d, u_ + (tile * 2 + part) * plane_ + n * lanes_);
        if (scaled) u = hn::Mul(u, hn::Load(d, Coefficients(tile) + kEmaP * plane_ + n * lanes_));
        StoreLanes(u, to + EmaStateAt(shape_, entry, part, n) + first_ + tile * lanes_,
                   Width(tile));
      }
    }
  }

  /// Reads x, and begins y with omega x.
  HWY_NOINLINE void Prepare(ptrdiff_t t0, ptrdiff_t tokens) {
    const EmaTag d;
    for (ptrdiff_t t = 0; t < tokens; ++t) {
      const float *row = x_ + (batch_ * shape_.time + t0 + t) * shape_.channels + first_;
      if (t0 + t + kEmaAhead < shape_.time) PrefetchEmaRow(row + kEmaAhead * shape_.channels);
      ForLanes(last_ - first_, [&](ptrdiff_t e, ptrdiff_t width) HWY_ATTR {
        const EmaVector x = LoadLanes(row + e, width);
        const ptrdiff_t at = e / RowLanes() * tile_stride_ + t * RowLanes();
        hn::Store(x, d, in_ + at);
        hn::Store(hn::Mul(LoadLanes(omega_ + first_ + e, width), x), d, y_ + at);
      });
    }
  }

  void Advance(ptrdiff_t tile, ptrdiff_t tokens) {
    ptrdiff_t n = 0;
    for (; n + kEmaModes <= shape_.modes; n += kEmaModes) AdvanceSome<kEmaModes>(tile, n, tokens);
    for (; n < shape_.modes; ++n) AdvanceSome<1>(tile, n, tokens);
  }

  template <int kModes>
  void AdvanceSome(ptrdiff_t tile, ptrdiff_t n, ptrdiff_t tokens) {
    float *re = u_ + tile * 2 * plane_ + n * lanes_;
    AdvanceModes<kModes>(y_ + tile * tile_stride_, re, re + plane_, in_ + tile * tile_stride_,
                         Coefficients(tile) + n * lanes_, plane_, tokens);
  }

  HWY_NOINLINE void Finish(float *y, ptrdiff_t t0, ptrdiff_t tokens) {
    const EmaTag d;
    for (ptrdiff_t t = 0; t < tokens; ++t) {
      float *row = y + (batch_ * shape_.time + t0 + t) * shape_.channels + first_;
      if (t0 + t + kEmaAhead < shape_.time) PrefetchEmaRow(row + kEmaAhead * shape_.channels);
      ForLanes(last_ - first_, [&](ptrdiff_t e, ptrdiff_t width) HWY_ATTR {
        StoreLanes(hn::Load(d, y_ + e / RowLanes() * tile_stride_ + t * RowLanes()), row + e,
                   width);
      });
    }
  }

  const float *x_, *omega_;
  const ptrdiff_t lanes_, plane_;
  const float *coefficients_;
  const apus_complex_ema_shape &shape_;
  const ptrdiff_t batch_, first_, last_, tiles_, longest_, tile_stride_;
  Scratch scratch_;
  float *u_, *in_, *y_;  // [tiles, 2, N, L], 2 of [tiles, tokens, L]
};

/// The coefficient planes of tile `tile`.
void PackEmaTile(float *planes, const apus_complex_ema_parameters &from,
                 const apus_complex_ema_shape &shape, ptrdiff_t tile) {
  const EmaTag d;
  const ptrdiff_t lanes = RowLanes(), modes = shape.modes, plane = modes * lanes;
  const ptrdiff_t e = tile * lanes, width = std::min(lanes, shape.channels - e);
  // Raw parameters stand where their coefficients will.
  GatherModes(planes + kEmaQRe * plane, from.alpha + e * modes, modes, 1, modes, width);
  GatherModes(planes + kEmaQIm * plane, from.delta + e * modes, modes, 1, modes, width);
  GatherModes(planes + kEmaGRe * plane, from.gamma + e * modes * 2, 2 * modes, 2, modes, width);
  GatherModes(planes + kEmaGIm * plane, from.gamma + e * modes * 2 + 1, 2 * modes, 2, modes, width);
  const EmaVector turn = Sigmoid(d, LoadLanes(from.theta + e, width));
  const float root = 1.0f / std::sqrt(static_cast<float>(modes));
  for (ptrdiff_t n = 0; n < modes; ++n, planes += lanes) {
    const EmaMode mode =
        MakeEmaMode(hn::Load(d, planes + kEmaQRe * plane), hn::Load(d, planes + kEmaQIm * plane),
                    turn, static_cast<float>(n + 1) / static_cast<float>(modes));
    const EmaVector scale = hn::Mul(mode.p, hn::Set(d, root));
    hn::Store(mode.q_re, d, planes + kEmaQRe * plane);
    hn::Store(mode.q_im, d, planes + kEmaQIm * plane);
    hn::Store(hn::Mul(scale, hn::Load(d, planes + kEmaGRe * plane)), d, planes + kEmaGRe * plane);
    hn::Store(hn::Mul(scale, hn::Load(d, planes + kEmaGIm * plane)), d, planes + kEmaGIm * plane);
    hn::Store(mode.p, d, planes + kEmaP * plane);
  }
}

}  // namespace

ptrdiff_t EmaLanes() { return RowLanes(); }

void PackEma(float *coefficients, const apus_complex_ema_parameters &from,
             const apus_complex_ema_shape &shape) {
  const ptrdiff_t tiles = (shape.channels + RowLanes() - 1) / RowLanes();
  const ptrdiff_t floats = kEmaPlanes * shape.modes * RowLanes();
  ParallelRanges(tiles, std::max<ptrdiff_t>(4096 / floats, 1), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t tile = begin; tile < end; ++tile) {
      PackEmaTile(coefficients + tile * floats, from, shape, tile);
    }
  });
}

void ComplexEma(float *y, float *state, float *checkpoints, const float *x,
                const apus_complex_ema_parameters &from, const apus_complex_ema_shape &shape) {
  const ptrdiff_t tiles = (shape.channels + RowLanes() - 1) / RowLanes();
  Scratch scratch(tiles * kEmaPlanes * shape.modes * RowLanes());
  float *coefficients = scratch.Take(0);
  PackEma(coefficients, from, shape);
  const ptrdiff_t blocks = (shape.channels + kEmaChannels - 1) / kEmaChannels;
  ParallelBlocks(shape.batch * blocks, [&](ptrdiff_t index) {
    const ptrdiff_t first = index % blocks * kEmaChannels;
    EmaBlock block(x, from.omega, coefficients, shape, index / blocks, first,
                   std::min(first + kEmaChannels, shape.channels));
    block.Run(y, state, checkpoints);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace apus
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(ComplexEma);
HWY_EXPORT(PackEma);
HWY_EXPORT(EmaLanes);
}  // namespace

void PackEmaCoefficients(float *coefficients, const apus_complex_ema_parameters &from,
                         const apus_complex_ema_shape &shape) {
  HWY_DYNAMIC_DISPATCH(PackEma)(coefficients, from, shape);
}

ptrdiff_t EmaCoefficientCount(const apus_complex_ema_shape &shape) {
  const ptrdiff_t lanes = HWY_DYNAMIC_DISPATCH(EmaLanes)();
  return (shape.channels + lanes - 1) / lanes * lanes * shape.modes * 5;
}

}  // namespace apus

extern "C" {

ptrdiff_t apus_complex_ema_chunk(void) { return 64; }

void apus_complex_ema_f32(float *y, float *state, float *checkpoints, const float *x,
                          const apus_complex_ema_parameters *parameters,
                          const apus_complex_ema_shape *shape) {
  using namespace apus;
  HWY_DYNAMIC_DISPATCH(ComplexEma)
  (y, state, checkpoints, x, *parameters, *shape);
}

}  // extern "C"
#endif
