// Rows normalized by mean and deviation, shared by the layer norms of a token and of its heads.
// Included once per instruction set, after hwy/highway.h and inside no namespace.
#if defined(APUS_OPS_LAYER_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_LAYER_NORM_INL_H_
#undef APUS_OPS_LAYER_NORM_INL_H_
#else
#define APUS_OPS_LAYER_NORM_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstddef>

#include "support/loops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

/// `y` may be `x`. `bias` may be null.
HWY_INLINE void LayerNormRows(float* y, float* statistics, const float* x, const float* weight,
                              const float* bias, ptrdiff_t rows, ptrdiff_t features,
                              float epsilon) {
  using V = hn::Vec<hn::ScalableTag<float>>;
  const hn::ScalableTag<float> d;
  for (ptrdiff_t r = 0; r < rows; ++r, x += features, y += features, statistics += 2) {
    const float mean = MapSum(
                           features, [](V v) HWY_ATTR { return v; }, x) /
                       features;
    const V m = hn::Set(d, mean);
    const auto square = [&](V v) HWY_ATTR {
      const V centered = hn::Sub(v, m);
      return hn::Mul(centered, centered);
    };
    const float variance = MapSum(features, square, x) / features;
    const float scale = 1.0f / std::sqrt(variance + epsilon);
    const V s = hn::Set(d, scale);
    if (bias == nullptr) {
      const auto f = [&](V v, V w) HWY_ATTR { return hn::Mul(hn::Mul(hn::Sub(v, m), s), w); };
      Map(y, features, f, x, weight);
    } else {
      const auto f = [&](V v, V w, V b)
                         HWY_ATTR { return hn::MulAdd(hn::Mul(hn::Sub(v, m), s), w, b); };
      Map(y, features, f, x, weight, bias);
    }
    statistics[0] = mean;
    statistics[1] = scale;
  }
}

/// Writes dx and adds the rows' share to dweight and dbias. With g = dy ⊙ weight and x̂ the
/// normalized row: dx = (g − mean g − x̂ · mean(g ⊙ x̂)) / deviation.
HWY_INLINE void LayerNormBackwardRows(float* dx, float* dweight, float* dbias, const float* dy,
                                      const float* x, const float* weight, const float* statistics,
                                      ptrdiff_t rows, ptrdiff_t features) {
  using V = hn::Vec<hn::ScalableTag<float>>;
  const hn::ScalableTag<float> d;
  for (ptrdiff_t r = 0; r < rows; ++r, x += features, dy += features, dx += features) {
    const V mean = hn::Set(d, statistics[2 * r]);
    const V scale = hn::Set(d, statistics[2 * r + 1]);
    const auto normalized = [&](V v) HWY_ATTR { return hn::Mul(hn::Sub(v, mean), scale); };
    const auto product = [](V g, V w) HWY_ATTR { return hn::Mul(g, w); };
    const auto triple = [&](V g, V w, V v)
                            HWY_ATTR { return hn::Mul(hn::Mul(g, w), normalized(v)); };
    const V mean_g = hn::Set(d, MapSum(features, product, dy, weight) / features);
    const V mean_gx = hn::Set(d, MapSum(features, triple, dy, weight, x) / features);
    const auto share = [&](V sum, V g, V v) HWY_ATTR { return hn::MulAdd(g, normalized(v), sum); };
    Map(dweight, features, share, dweight, dy, x);
    if (dbias != nullptr) {
      Map(
          dbias, features, [](V sum, V g) HWY_ATTR { return hn::Add(sum, g); }, dbias, dy);
    }
    const auto input = [&](V g, V w, V v) HWY_ATTR {
      const V centered = hn::Sub(hn::Mul(g, w), mean_g);
      return hn::Mul(scale, hn::NegMulAdd(normalized(v), mean_gx, centered));
    };
    Map(dx, features, input, dy, weight, x);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
