#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/random.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <cmath>
#include <limits>

#include "include/apus_kernels.h"
#include "ops/grain.h"
#include "ops/math-inl.h"
#include "ops/philox-inl.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
using U = hn::Vec<hn::RebindToUnsigned<D>>;

void Uniform(float* y, ptrdiff_t count, float low, float width, float most, PhiloxKey key,
             uint64_t offset) {
  GenerateUnit(y, count, offset, key);
  const D d;
  const auto stretch = [&](V u) HWY_ATTR {
    return hn::Min(hn::Set(d, most), hn::Add(hn::Set(d, low), hn::Mul(u, hn::Set(d, width))));
  };
  Map(y, count, stretch, y);
}

/// Box and Muller, 1958: two words give two normals, radius √(−2 ln u) at an angle.
void Normal(float* y, ptrdiff_t count, float mean, float deviation, PhiloxKey key,
            uint64_t offset) {
  const D d;
  const auto pair = [&](U radius_word, U angle_word, V& a, V& b) HWY_ATTR {
    const hn::RebindToSigned<D> di;
    // 31 bits in (0, 1]: small u keep their relative accuracy, so the tails reach 6.5 deviations.
    const V integer = hn::ConvertTo(d, hn::BitCast(di, hn::ShiftRight<1>(radius_word)));
    const V u = hn::Mul(hn::Add(integer, hn::Set(d, 1.0f)), hn::Set(d, 1.0f / 2147483648.0f));
    const V log = LogOfNormal(d, u, hn::Zero(d));
    const V square = hn::Max(hn::Zero(d), hn::Mul(hn::Set(d, -2.0f), log));
    const V radius = hn::Mul(hn::Sqrt(square), hn::Set(d, deviation));
    V cosine;
    const V sine = SinCosOfTurn(d, UnitFloat(d, angle_word), cosine);
    a = hn::MulAdd(radius, cosine, hn::Set(d, mean));
    b = hn::MulAdd(radius, sine, hn::Set(d, mean));
  };
  GenerateElements(y, count, offset, key,
                   [&](U w0, U w1, U w2, U w3, V& v0, V& v1, V& v2, V& v3) HWY_ATTR {
                     pair(w0, w1, v0, v1);
                     pair(w2, w3, v2, v3);
                   });
}

void Dropout(float* y, const float* x, ptrdiff_t count, float keep, PhiloxKey key,
             uint64_t offset) {
  constexpr ptrdiff_t kBatch = 1024;
  HWY_ALIGN float unit[kBatch];
  const D d;
  const V limit = hn::Set(d, keep);
  const V scale = hn::Set(d, 1.0f / keep);
  const auto drop = [&](V v, V u) HWY_ATTR {
    return hn::IfThenElseZero(hn::Lt(u, limit), hn::Mul(v, scale));
  };
  for (ptrdiff_t begin = 0; begin < count; begin += kBatch) {
    const ptrdiff_t length = count - begin < kBatch ? count - begin : kBatch;
    GenerateUnit(unit, length, offset + static_cast<uint64_t>(begin), key);
    Map(y + begin, length, drop, x + begin, unit);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(Uniform);
HWY_EXPORT(Normal);
HWY_EXPORT(Dropout);

}  // namespace

extern "C" {

void apus_philox4x32(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t counter) {
  const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
  const auto high = [](uint64_t v) { return static_cast<uint32_t>(v >> 32); };
  uint32_t c[4] = {low(counter), high(counter), low(stream), high(stream)};
  const PhiloxKeys keys({seed, stream});
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t p0 = uint64_t{kPhiloxMultiplier0} * c[0];
    const uint64_t p1 = uint64_t{kPhiloxMultiplier1} * c[2];
    const uint32_t next[4] = {high(p1) ^ c[1] ^ low(keys.first[round]), low(p1),
                              high(p0) ^ c[3] ^ low(keys.second[round]), low(p0)};
    for (int i = 0; i < 4; ++i) c[i] = next[i];
  }
  for (int i = 0; i < 4; ++i) out[i] = c[i];
}

void apus_random_uniform_f32(float* y, ptrdiff_t count, float low, float high, uint64_t seed,
                             uint64_t stream, uint64_t offset) {
  // low + u · width may round up to `high`, which the interval leaves out.
  const float most =
      high > low ? std::nextafter(high, low) : std::numeric_limits<float>::infinity();
  ParallelRanges(count, kMathGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Uniform)
    (y + begin, end - begin, low, high - low, most, {seed, stream},
     offset + static_cast<uint64_t>(begin));
  });
}

void apus_random_normal_f32(float* y, ptrdiff_t count, float mean, float deviation, uint64_t seed,
                            uint64_t stream, uint64_t offset) {
  ParallelRanges(count, kMathGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Normal)
    (y + begin, end - begin, mean, deviation, {seed, stream},
     offset + static_cast<uint64_t>(begin));
  });
}

void apus_dropout_f32(float* y, const float* x, ptrdiff_t count, float keep, uint64_t seed,
                      uint64_t stream) {
  ParallelRanges(count, kMathGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(Dropout)
    (y + begin, x + begin, end - begin, keep, {seed, stream}, static_cast<uint64_t>(begin));
  });
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
