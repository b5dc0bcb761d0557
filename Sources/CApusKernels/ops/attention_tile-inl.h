// The pieces that attention is made of, once per instruction set: products of small tiles, packing,
// and the exponential.
#if defined(APUS_ATTENTION_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_ATTENTION_TILE_INL_H_
#undef APUS_ATTENTION_TILE_INL_H_
#else
#define APUS_ATTENTION_TILE_INL_H_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstring>

#include "ops/attention_plan.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;

constexpr ptrdiff_t kLanes = HWY_LANES(float);
/// A tile of a product is kRows x 2 vectors of sums, all of which fit the registers.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr ptrdiff_t kRows = 12;
#else
constexpr ptrdiff_t kRows = 6;
#endif
/// Width of a packed panel.
constexpr ptrdiff_t kPanel = 2 * kLanes;

/// sum += a · b for kRows rows and kVectors vectors of columns. a is read one element at a time:
/// element (row, i) is a[row · a_stride + i], or a[i · a_stride + row] if kTransposed.
template <int kVectors, bool kTransposed>
HWY_INLINE void AddProducts(Vector (&sum)[kRows][kVectors], const float* HWY_RESTRICT a,
                            ptrdiff_t a_stride, const float* HWY_RESTRICT b, ptrdiff_t b_stride,
                            ptrdiff_t inner) {
  const Floats f;
  for (ptrdiff_t i = 0; i < inner; ++i) {
    Vector columns[kVectors];
#pragma unroll
    for (int v = 0; v < kVectors; ++v) columns[v] = hn::LoadU(f, b + v * kLanes);
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      const Vector element = hn::Set(f, kTransposed ? a[row] : a[row * a_stride]);
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        sum[row][v] = hn::MulAdd(element, columns[v], sum[row][v]);
      }
    }
    b += b_stride;
    a += kTransposed ? a_stride : 1;
  }
}

template <int kVectors>
HWY_INLINE void Clear(Vector (&sum)[kRows][kVectors]) {
  const Floats f;
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) sum[row][v] = hn::Zero(f);
  }
}

/// sum = a · b, as AddProducts reads them. Where the CPU rounds a product before it adds it, more
/// terms than kTerms are summed in parts: rounding then grows with the length of a part only.
template <int kVectors, bool kTransposed>
HWY_INLINE void SumProducts(Vector (&sum)[kRows][kVectors], const float* HWY_RESTRICT a,
                            ptrdiff_t a_stride, const float* HWY_RESTRICT b, ptrdiff_t b_stride,
                            ptrdiff_t inner) {
  Clear(sum);
#if HWY_NATIVE_FMA
  AddProducts<kVectors, kTransposed>(sum, a, a_stride, b, b_stride, inner);
#else
  constexpr ptrdiff_t kTerms = 64;
  if (inner <= kTerms) {
    AddProducts<kVectors, kTransposed>(sum, a, a_stride, b, b_stride, inner);
    return;
  }
  const Floats f;
  HWY_ALIGN float total[kRows * kVectors * kLanes] = {};
  for (ptrdiff_t i = 0; i < inner; i += kTerms) {
    Clear(sum);
    AddProducts<kVectors, kTransposed>(sum, a + i * (kTransposed ? a_stride : 1), a_stride,
                                       b + i * b_stride, b_stride, HWY_MIN(kTerms, inner - i));
    for (int row = 0; row < kRows; ++row) {
      for (int v = 0; v < kVectors; ++v) {
        float* to = total + (row * kVectors + v) * kLanes;
        sum[row][v] = hn::Add(sum[row][v], hn::Load(f, to));
        hn::Store(sum[row][v], f, to);
      }
    }
  }
#endif
}

/// c = a · b, or c += a · b if kAdd.
template <int kVectors, bool kTransposed, bool kAdd>
HWY_INLINE void ProductTile(float* HWY_RESTRICT c, ptrdiff_t c_stride, const float* HWY_RESTRICT a,
                            ptrdiff_t a_stride, const float* HWY_RESTRICT b, ptrdiff_t b_stride,
                            ptrdiff_t inner) {
  const Floats f;
  Vector sum[kRows][kVectors];
  SumProducts<kVectors, kTransposed>(sum, a, a_stride, b, b_stride, inner);
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      float* to = c + row * c_stride + v * kLanes;
      hn::StoreU(kAdd ? hn::Add(hn::LoadU(f, to), sum[row][v]) : sum[row][v], f, to);
    }
  }
}

/// The same for any number of columns up to a panel.
template <bool kTransposed, bool kAdd>
HWY_INLINE void ProductPanel(float* c, ptrdiff_t c_stride, const float* a, ptrdiff_t a_stride,
                             const float* b, ptrdiff_t b_stride, ptrdiff_t inner,
                             ptrdiff_t columns) {
  if (columns > kLanes) {
    ProductTile<2, kTransposed, kAdd>(c, c_stride, a, a_stride, b, b_stride, inner);
  } else {
    ProductTile<1, kTransposed, kAdd>(c, c_stride, a, a_stride, b, b_stride, inner);
  }
}

/// x = 2^x for x <= 64, within 2 units in the last place; 0 below 2^-125.5, where results would
/// soon be denormal. −∞ gives 0, not-a-number itself. Several vectors go through the steps side by
/// side: one alone would wait for each step to end.
template <int kCount>
HWY_INLINE void Exp2(Vector (&x)[kCount]) {
  const Floats f;
  const hn::RebindToSigned<Floats> integer;
  // Minimax polynomial of 2^fraction on [-1/2, 1/2]; with the constant term 1, powers of two are
  // exact.
  constexpr float kTerms[] = {1.53533619e-4f,
                              1.33988744e-3f,
                              9.61843736e-3f,
                              5.55033247e-2f,
                              2.40226479e-1f,
                              6.93147203e-1f,
                              1.0f};
  constexpr float kMagic =
      12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer in the low bits
  Vector shifted[kCount], power[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) shifted[i] = hn::Add(x[i], hn::Set(f, kMagic));
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    x[i] = hn::Sub(x[i], hn::Sub(shifted[i], hn::Set(f, kMagic)));
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    power[i] = hn::MulAdd(x[i], hn::Set(f, kTerms[0]), hn::Set(f, kTerms[1]));
  }
#pragma unroll
  for (int term = 2; term < 7; ++term) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      power[i] = hn::MulAdd(power[i], x[i], hn::Set(f, kTerms[term]));
    }
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const auto exponent = hn::ShiftLeft<23>(hn::BitCast(integer, shifted[i]));
    x[i] = hn::IfThenZeroElse(hn::Le(shifted[i], hn::Set(f, kMagic - 126.0f)),
                              hn::BitCast(f, hn::Add(hn::BitCast(integer, power[i]), exponent)));
  }
}

/// Whether lane l of a vector that starts at column `column` lies in [begin, end).
HWY_INLINE hn::Mask<Floats> Inside(ptrdiff_t column, ptrdiff_t begin, ptrdiff_t end) {
  const Floats f;
  // Columns of a tile are small, so float counts them exactly.
  const Vector position = hn::Iota(f, static_cast<float>(column));
  return hn::And(hn::Ge(position, hn::Set(f, static_cast<float>(begin))),
                 hn::Lt(position, hn::Set(f, static_cast<float>(end))));
}

/// Four rows of four floats, turned: to[i · to_stride + j] = from[j · from_stride + i].
HWY_INLINE void Transpose4x4(float* HWY_RESTRICT to, ptrdiff_t to_stride,
                             const float* HWY_RESTRICT from, ptrdiff_t from_stride) {
  const hn::CappedTag<float, 4> four;
  const hn::RepartitionToWide<decltype(four)> two;
  const auto a = hn::LoadU(four, from), b = hn::LoadU(four, from + from_stride);
  const auto c = hn::LoadU(four, from + 2 * from_stride);
  const auto e = hn::LoadU(four, from + 3 * from_stride);
  const auto ab_low = hn::BitCast(two, hn::InterleaveLower(four, a, b));
  const auto ab_high = hn::BitCast(two, hn::InterleaveUpper(four, a, b));
  const auto ce_low = hn::BitCast(two, hn::InterleaveLower(four, c, e));
  const auto ce_high = hn::BitCast(two, hn::InterleaveUpper(four, c, e));
  hn::StoreU(hn::BitCast(four, hn::InterleaveLower(two, ab_low, ce_low)), four, to);
  hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(two, ab_low, ce_low)), four, to + to_stride);
  hn::StoreU(hn::BitCast(four, hn::InterleaveLower(two, ab_high, ce_high)), four,
             to + 2 * to_stride);
  hn::StoreU(hn::BitCast(four, hn::InterleaveUpper(two, ab_high, ce_high)), four,
             to + 3 * to_stride);
}

/// Packs `rows` rows of `columns` floats into panels of kPanel rows, turned: row j, column i goes
/// to panel j / kPanel, at [i, j % kPanel]. The last panel is filled with zeros.
HWY_INLINE void PackTransposed(float* HWY_RESTRICT panels, const float* HWY_RESTRICT from,
                               ptrdiff_t from_stride, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t j0 = 0; j0 < rows; j0 += kPanel, panels += columns * kPanel) {
    const ptrdiff_t count = HWY_MIN(kPanel, rows - j0);
    const float* block = from + j0 * from_stride;
    ptrdiff_t i = 0;
    if (count == kPanel) {
      i = columns / 4 * 4;
      for (ptrdiff_t j = 0; j < kPanel; j += 4) {
        for (ptrdiff_t c = 0; c < i; c += 4) {
          Transpose4x4(panels + c * kPanel + j, kPanel, block + j * from_stride + c, from_stride);
        }
      }
    }
    for (; i < columns; ++i) {
      for (ptrdiff_t j = 0; j < count; ++j) panels[i * kPanel + j] = block[j * from_stride + i];
      for (ptrdiff_t j = count; j < kPanel; ++j) panels[i * kPanel + j] = 0.0f;
    }
  }
}

/// Packs `rows` rows into panels of kPanel columns, each `panel_rows` long; the columns that the
/// last panel has too many hold zeros.
HWY_INLINE void PackColumns(float* HWY_RESTRICT panels, ptrdiff_t panel_rows,
                            const float* HWY_RESTRICT from, ptrdiff_t from_stride, ptrdiff_t rows,
                            ptrdiff_t columns) {
  const Floats f;
  for (ptrdiff_t c = 0; c < columns; c += kPanel, panels += panel_rows * kPanel) {
    if (c + kPanel <= columns) {
      for (ptrdiff_t j = 0; j < rows; ++j) {
        const float* row = from + j * from_stride + c;
        hn::StoreU(hn::LoadU(f, row), f, panels + j * kPanel);
        hn::StoreU(hn::LoadU(f, row + kLanes), f, panels + j * kPanel + kLanes);
      }
      continue;
    }
    for (ptrdiff_t j = 0; j < rows; ++j) {
      const ptrdiff_t count = columns - c;
      std::memcpy(panels + j * kPanel, from + j * from_stride + c,
                  static_cast<size_t>(count) * sizeof(float));
      for (ptrdiff_t i = count; i < kPanel; ++i) panels[j * kPanel + i] = 0.0f;
    }
  }
}

/// Asks for a row that will be read soon.
HWY_INLINE void PrefetchRow(const float* row, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i += 16) hwy::Prefetch(row + i);
}

/// to = scale · from.
HWY_INLINE void ScaleRow(float* HWY_RESTRICT to, const float* HWY_RESTRICT from, float scale,
                         ptrdiff_t count) {
  const Floats f;
  const Vector factor = hn::Set(f, scale);
  ptrdiff_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(hn::Mul(factor, hn::LoadU(f, from + i)), f, to + i);
  }
  for (; i < count; ++i) to[i] = scale * from[i];
}

/// How far, in powers of two, a score may rise above the reference of its row before sum and output
/// are rescaled. The reference need not be the maximum: it must only keep exponentials in range.
constexpr float kHeadroom = 8.0f;

/// Turns a row of scores into exponentials, columns [begin, end) of the tile; `inside` is the part
/// that the row sees. Rescales the row's sum and output if a score rises too far above `reference`,
/// which is −∞ as long as the row has seen no key.
HWY_INLINE void SoftmaxRow(float* HWY_RESTRICT scores, float* HWY_RESTRICT sum, float& reference,
                           float* HWY_RESTRICT o, ptrdiff_t size, ptrdiff_t begin, ptrdiff_t end,
                           attention::KeyRange inside) {
  const Floats f;
  const Vector none = hn::Set(f, -attention::kInfinity);
  Vector top[2] = {none, none};
  if (inside.begin <= begin && inside.end >= end) {
    for (ptrdiff_t j = begin; j < end; j += kPanel) {
      top[0] = hn::Max(top[0], hn::LoadU(f, scores + j));
      top[1] = hn::Max(top[1], hn::LoadU(f, scores + j + kLanes));
    }
  } else {
    for (ptrdiff_t j = begin; j < end; j += kLanes) {
      const Vector masked =
          hn::IfThenElse(Inside(j, inside.begin, inside.end), hn::LoadU(f, scores + j), none);
      hn::StoreU(masked, f, scores + j);
      top[0] = hn::Max(top[0], masked);
    }
  }
  top[0] = hn::Max(top[0], top[1]);
  if (!hn::AllFalse(f, hn::Gt(top[0], hn::Set(f, reference + kHeadroom)))) {
    const float grown = hn::GetLane(hn::MaxOfLanes(f, top[0]));
    if (reference != -attention::kInfinity) {
      Vector shrink[1] = {hn::Set(f, reference - grown)};
      Exp2(shrink);
      hn::StoreU(hn::Mul(shrink[0], hn::LoadU(f, sum)), f, sum);
      for (ptrdiff_t c = 0; c < size; c += kLanes) {
        hn::StoreU(hn::Mul(shrink[0], hn::LoadU(f, o + c)), f, o + c);
      }
    }
    reference = grown;
  }
  // A row that has seen no key yet subtracts 0: −∞ − (−∞) would not be a number.
  const Vector shift = hn::Set(f, reference == -attention::kInfinity ? 0.0f : reference);
  Vector total = hn::LoadU(f, sum);
  for (ptrdiff_t j = begin; j < end; j += kPanel) {
    Vector p[2] = {hn::Sub(hn::LoadU(f, scores + j), shift),
                   hn::Sub(hn::LoadU(f, scores + j + kLanes), shift)};
    Exp2(p);
    hn::StoreU(p[0], f, scores + j);
    hn::StoreU(p[1], f, scores + j + kLanes);
    total = hn::Add(total, hn::Add(p[0], p[1]));
  }
  hn::StoreU(total, f, sum);
}

/// a · b.
HWY_INLINE float DotRow(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, ptrdiff_t count) {
  const Floats f;
  Vector sum = hn::Zero(f);
  ptrdiff_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    sum = hn::MulAdd(hn::LoadU(f, a + i), hn::LoadU(f, b + i), sum);
  }
  float total = hn::GetLane(hn::SumOfLanes(f, sum));
  for (; i < count; ++i) total += a[i] * b[i];
  return total;
}

/// to += scale · from.
HWY_INLINE void AddRow(float* HWY_RESTRICT to, const float* HWY_RESTRICT from, float scale,
                       ptrdiff_t count) {
  const Floats f;
  const Vector factor = hn::Set(f, scale);
  ptrdiff_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(hn::MulAdd(factor, hn::LoadU(f, from + i), hn::LoadU(f, to + i)), f, to + i);
  }
  for (; i < count; ++i) to[i] += scale * from[i];
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
