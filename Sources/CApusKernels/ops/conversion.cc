#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/conversion.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "include/apus_kernels.h"
#include "ops/grain.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

// The 16-bit formats travel as 32-bit lanes: widened after loading, narrowed before storing.
using F32 = hn::ScalableTag<float>;
using U32 = hn::RebindToUnsigned<F32>;
using I32 = hn::RebindToSigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using FloatVector = hn::Vec<F32>;
using BitVector = hn::Vec<U32>;

/// y[i] = f(x[i]) from float to 16 bits.
template <class F>
HWY_INLINE void Narrow(uint16_t* y, const float* x, ptrdiff_t count, const F& f) {
  const F32 d;
  const U16 d16;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  // No value exceeds 65,535, so the saturating narrowing of signed lanes changes none.
  const auto narrow = [&](FloatVector v)
                          HWY_ATTR { return hn::DemoteTo(d16, hn::BitCast(I32(), f(v))); };
  ptrdiff_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(narrow(hn::LoadU(d, x + i)), d16, y + i);
  if (i < count) StoreUpTo(narrow(LoadUpTo(d, x + i, count - i)), d16, y + i, count - i);
}

/// y[i] = f(x[i]) from 16 bits to float.
template <class F>
HWY_INLINE void Widen(float* y, const uint16_t* x, ptrdiff_t count, const F& f) {
  const F32 d;
  const U16 d16;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const auto widen = [&](hn::Vec<U16> v) HWY_ATTR { return f(hn::PromoteTo(U32(), v)); };
  ptrdiff_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(widen(hn::LoadU(d16, x + i)), d, y + i);
  if (i < count) StoreUpTo(widen(LoadUpTo(d16, x + i, count - i)), d, y + i, count - i);
}

void FloatToBrain(uint16_t* y, const float* x, ptrdiff_t count) {
  Narrow(y, x, count, [](FloatVector v) HWY_ATTR {
    const U32 du;
    const BitVector bits = hn::BitCast(du, v);
    const BitVector odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
    const BitVector rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFu)));
    const BitVector quiet = hn::Or(bits, hn::Set(du, 0x00400000u));
    const auto nan = hn::RebindMask(du, hn::IsNaN(v));
    return hn::ShiftRight<16>(hn::IfThenElse(nan, quiet, rounded));
  });
}

void BrainToFloat(float* y, const uint16_t* x, ptrdiff_t count) {
  Widen(y, x, count, [](BitVector v) HWY_ATTR { return hn::BitCast(F32(), hn::ShiftLeft<16>(v)); });
}

void FloatToHalf(uint16_t* y, const float* x, ptrdiff_t count) {
  Narrow(y, x, count, [](FloatVector v) HWY_ATTR {
    const F32 d;
    const U32 du;
    const BitVector all = hn::BitCast(du, v);
    const BitVector bits = hn::And(all, hn::Set(du, 0x7FFFFFFFu));
    const FloatVector magnitude = hn::BitCast(d, bits);
    // Normal halves: move the exponent's bias by 127 − 15 and round the 13 lost bits to even.
    const BitVector odd = hn::And(hn::ShiftRight<13>(bits), hn::Set(du, 1u));
    const BitVector rebased = hn::Add(bits, hn::Set(du, 0xC8000FFFu));
    BitVector half = hn::ShiftRight<13>(hn::Add(rebased, odd));
    // Subnormal halves: adding ½ aligns their last bit with the float's, and rounds.
    const BitVector aligned = hn::BitCast(du, hn::Add(magnitude, hn::Set(d, 0.5f)));
    const BitVector subnormal = hn::Sub(aligned, hn::Set(du, 0x3F000000u));
    const auto small = hn::RebindMask(du, hn::Lt(magnitude, hn::Set(d, 6.103515625e-05f)));
    half = hn::IfThenElse(small, subnormal, half);
    // From 65,520 on the nearest half is infinite.
    const auto large = hn::RebindMask(du, hn::Ge(magnitude, hn::Set(d, 65520.0f)));
    half = hn::IfThenElse(large, hn::Set(du, 0x7C00u), half);
    const BitVector payload = hn::And(hn::ShiftRight<13>(bits), hn::Set(du, 0x03FFu));
    const BitVector quiet = hn::Or(payload, hn::Set(du, 0x7E00u));
    half = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, half);
    const BitVector sign = hn::And(hn::ShiftRight<16>(all), hn::Set(du, 0x8000u));
    return hn::Or(half, sign);
  });
}

void HalfToFloat(float* y, const uint16_t* x, ptrdiff_t count) {
  Widen(y, x, count, [](BitVector v) HWY_ATTR {
    const F32 d;
    const U32 du;
    const BitVector magnitude = hn::And(v, hn::Set(du, 0x7FFFu));
    const BitVector sign = hn::ShiftLeft<16>(hn::And(v, hn::Set(du, 0x8000u)));
    const BitVector shifted = hn::ShiftLeft<13>(magnitude);
    // Normal halves: the exponent's bias moves by 112.
    const BitVector normal = hn::Add(shifted, hn::Set(du, 112u << 23));
    // Subnormal halves: a normal float whose first bit is taken off again.
    const FloatVector bias = hn::BitCast(d, hn::Set(du, 113u << 23));
    const FloatVector raised = hn::BitCast(d, hn::Add(shifted, hn::Set(du, 113u << 23)));
    const BitVector subnormal = hn::BitCast(du, hn::Sub(raised, bias));
    // Infinity and not-a-number keep their exponent of ones, and a payload turns quiet.
    const auto is_nan = hn::Gt(magnitude, hn::Set(du, 0x7C00u));
    const BitVector quiet = hn::IfThenElseZero(is_nan, hn::Set(du, 0x00400000u));
    const BitVector special = hn::Or(hn::Or(shifted, hn::Set(du, 0x7F800000u)), quiet);
    BitVector bits = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x0400u)), subnormal, normal);
    bits = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7BFFu)), special, bits);
    return hn::BitCast(d, hn::Or(bits, sign));
  });
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(FloatToBrain);
HWY_EXPORT(BrainToFloat);
HWY_EXPORT(FloatToHalf);
HWY_EXPORT(HalfToFloat);

}  // namespace

extern "C" {

void apus_f32_to_bf16(uint16_t* y, const float* x, ptrdiff_t count) {
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(FloatToBrain)(y + begin, x + begin, end - begin);
  });
}

void apus_bf16_to_f32(float* y, const uint16_t* x, ptrdiff_t count) {
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(BrainToFloat)(y + begin, x + begin, end - begin);
  });
}

void apus_f32_to_f16(uint16_t* y, const float* x, ptrdiff_t count) {
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(FloatToHalf)(y + begin, x + begin, end - begin);
  });
}

void apus_f16_to_f32(float* y, const uint16_t* x, ptrdiff_t count) {
  ParallelRanges(count, kMemoryGrain, [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(HalfToFloat)(y + begin, x + begin, end - begin);
  });
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
