// Philox4x32-10 on vectors: as many counters at once as a vector has floats. Included once per
// instruction set. Salmon, Moraes, Dror, Shaw, 2011, Parallel Random Numbers: As Easy as 1, 2, 3.
#if defined(APUS_OPS_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_PHILOX_INL_H_
#undef APUS_OPS_PHILOX_INL_H_
#else
#define APUS_OPS_PHILOX_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#include "ops/philox.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Four words for each of several counters. Every word sits in the low half of a 64-bit lane, where
/// the multiplication wants it; what the high halves hold does not matter.
template <class V>
struct PhiloxWords {
  V w0, w1, w2, w3;
};

template <class D64, class V = hn::Vec<D64>>
HWY_INLINE PhiloxWords<V> Philox(D64 d, V counter, const PhiloxKeys& keys) {
  const hn::Repartition<uint32_t, D64> d32;
  const auto product = [&](V a, uint32_t b)
                           HWY_ATTR { return hn::MulEven(hn::BitCast(d32, a), hn::Set(d32, b)); };
  PhiloxWords<V> c = {counter, hn::ShiftRight<32>(counter), hn::Set(d, keys.stream & 0xFFFFFFFFu),
                      hn::Set(d, keys.stream >> 32)};
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const V p0 = product(c.w0, kPhiloxMultiplier0);
    const V p1 = product(c.w2, kPhiloxMultiplier1);
    const V mixed0 = hn::Xor(hn::ShiftRight<32>(p1), hn::Xor(c.w1, hn::Set(d, keys.first[round])));
    const V mixed2 = hn::Xor(hn::ShiftRight<32>(p0), hn::Xor(c.w3, hn::Set(d, keys.second[round])));
    c = {mixed0, p1, mixed2, p0};
  }
  return c;
}

/// y[i] = element offset + i of the sequence that `f` makes of Philox words. f(w0, w1, w2, w3, v0 …
/// v3) turns the four words of each counter into four floats: element 4 c + k from counter c. An
/// element is the same whatever the vector width and wherever a call begins.
template <class F>
HWY_INLINE void GenerateElements(float* y, ptrdiff_t count, uint64_t offset, PhiloxKey key,
                                 const F& f) {
  const PhiloxKeys keys(key);
  const hn::ScalableTag<float> df;
  const hn::RebindToUnsigned<decltype(df)> du;
  const hn::Repartition<uint64_t, decltype(df)> d64;
  const ptrdiff_t group = 4 * static_cast<ptrdiff_t>(hn::Lanes(df));
  const auto doubled = hn::ShiftLeft<1>(hn::Iota(d64, 0));
  const auto generate = [&](uint64_t first, float* to) HWY_ATTR {
    // Even and odd counters are drawn apart, then their low halves are laced into one vector.
    const auto even = hn::Add(hn::Set(d64, first), doubled);
    const auto a = Philox(d64, even, keys);
    const auto b = Philox(d64, hn::Add(even, hn::Set(d64, uint64_t{1})), keys);
    const auto lace = [&](hn::Vec<decltype(d64)> x, hn::Vec<decltype(d64)> z) HWY_ATTR {
      return hn::OddEven(hn::BitCast(du, hn::ShiftLeft<32>(z)), hn::BitCast(du, x));
    };
    hn::Vec<decltype(df)> v0, v1, v2, v3;
    f(lace(a.w0, b.w0), lace(a.w1, b.w1), lace(a.w2, b.w2), lace(a.w3, b.w3), v0, v1, v2, v3);
    hn::StoreInterleaved4(v0, v1, v2, v3, df, to);
  };
  HWY_ALIGN float buffer[4 * hn::MaxLanes(df)];
  while (count > 0) {
    const ptrdiff_t skip = static_cast<ptrdiff_t>(offset % 4);
    ptrdiff_t taken = group;
    if (skip == 0 && count >= group) {
      generate(offset / 4, y);
    } else {
      generate(offset / 4, buffer);
      taken = skip == 0 ? count : (count < 4 - skip ? count : 4 - skip);
      std::memcpy(y, buffer + skip, static_cast<size_t>(taken) * sizeof(float));
    }
    y += taken;
    count -= taken;
    offset += static_cast<uint64_t>(taken);
  }
}

/// The upper 24 bits of a word as a float in [0, 1).
template <class DF, class VU>
HWY_INLINE hn::Vec<DF> UnitFloat(DF d, VU word) {
  const hn::RebindToSigned<DF> di;
  const auto bits = hn::BitCast(di, hn::ShiftRight<8>(word));
  return hn::Mul(hn::ConvertTo(d, bits), hn::Set(d, 1.0f / 16777216));
}

/// Uniform floats in [0, 1).
HWY_INLINE void GenerateUnit(float* y, ptrdiff_t count, uint64_t offset, PhiloxKey key) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  using U = hn::Vec<hn::RebindToUnsigned<decltype(d)>>;
  GenerateElements(y, count, offset, key,
                   [&](U w0, U w1, U w2, U w3, V& v0, V& v1, V& v2, V& v3) HWY_ATTR {
                     v0 = UnitFloat(d, w0);
                     v1 = UnitFloat(d, w1);
                     v2 = UnitFloat(d, w2);
                     v3 = UnitFloat(d, w3);
                   });
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
