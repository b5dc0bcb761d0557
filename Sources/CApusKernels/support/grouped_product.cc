// Products of many groups of rows, each with a matrix of its own: the experts of a mixture. All
// groups are cut into tiles by their sizes alone and the pool works off one queue, largest tiles
// first; inside a tile the product function runs in place.
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "support/grouped_product.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "include/apus_kernels.h"
#include "support/loops-inl.h"
#include "support/parallel.h"
#include "support/product.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// c[0..<kRows] (+)= a b on `count` columns, fewer than a vector at the end: b is read once.
template <int kRows>
HWY_INLINE void PlainStrip(float* c, const float* a, const float* b, const apus_product_shape& s,
                           ptrdiff_t count) {
  const D d;
  const bool whole = count >= static_cast<ptrdiff_t>(hn::Lanes(d));
  V sums[kRows];
  for (int i = 0; i < kRows; ++i) {
    const float* row = c + i * s.c_stride;
    sums[i] = !s.accumulate ? hn::Zero(d) : (whole ? hn::LoadU(d, row) : LoadUpTo(d, row, count));
  }
  for (ptrdiff_t k = 0; k < s.inner; ++k) {
    const float* row = b + k * s.b_stride;
    const V v = whole ? hn::LoadU(d, row) : LoadUpTo(d, row, count);
    for (int i = 0; i < kRows; ++i) {
      sums[i] = hn::MulAdd(hn::Set(d, a[i * s.a_stride + k]), v, sums[i]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    float* row = c + i * s.c_stride;
    if (whole) {
      hn::StoreU(sums[i], d, row);
    } else {
      StoreUpTo(sums[i], d, row, count);
    }
  }
}

/// c (+)= a b for few rows and b as it is stored, [inner, columns].
void PlainFewRows(float* c, const float* a, const float* b, const apus_product_shape& s) {
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(D()));
  for (ptrdiff_t j = 0; j < s.columns; j += lanes) {
    const ptrdiff_t count = std::min(lanes, s.columns - j);
    ptrdiff_t i = 0;
    for (; i + 8 <= s.rows; i += 8) {
      PlainStrip<8>(c + i * s.c_stride + j, a + i * s.a_stride, b + j, s, count);
    }
    for (; i + 2 <= s.rows; i += 2) {
      PlainStrip<2>(c + i * s.c_stride + j, a + i * s.a_stride, b + j, s, count);
    }
    if (i < s.rows) PlainStrip<1>(c + i * s.c_stride + j, a + i * s.a_stride, b + j, s, count);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(PlainFewRows);

/// Below this many rows a product is bound by reading the matrix, and packing it costs more than
/// multiplying. Rows are then handled one by one, and the bits of one do not depend on which rows
/// stand beside it, as they do, in the last place, at the end of a packed product's tile.
constexpr ptrdiff_t kFewRows = 32;
/// Rows of a large tile. Also the rows that go through one bfloat16 primitive.
constexpr ptrdiff_t kTileRows = 256;

/// Columns columns of the rows of one group.
struct Tile {
  ptrdiff_t group, row, rows, column, columns;
};

/// Runs body(tile) for all tiles, the largest first. Returns a failure, if there was one.
template <class Body>
int RunTiles(std::vector<Tile>& tiles, const Body& body) {
  std::sort(tiles.begin(), tiles.end(),
            [](const Tile& a, const Tile& b) { return a.rows * a.columns > b.rows * b.columns; });
  int failure = 0;
  ParallelBlocks(static_cast<ptrdiff_t>(tiles.size()), [&](ptrdiff_t index) {
    const int status = body(tiles[static_cast<size_t>(index)]);
    if (status != 0) __atomic_store_n(&failure, status, __ATOMIC_RELAXED);
  });
  return failure;
}

void AddTiles(std::vector<Tile>& tiles, ptrdiff_t group, ptrdiff_t row, ptrdiff_t rows,
              ptrdiff_t tile_rows, ptrdiff_t columns, ptrdiff_t tile_columns) {
  for (ptrdiff_t i = 0; i < rows; i += tile_rows) {
    for (ptrdiff_t j = 0; j < columns; j += tile_columns) {
      tiles.push_back(
          {group, row + i, std::min(tile_rows, rows - i), j, std::min(tile_columns, columns - j)});
    }
  }
}

/// Sizes that bfloat16 primitives are kept for must be few: whole tiles, then multiples of 32.
ptrdiff_t RoundedPart(ptrdiff_t count) {
  return count >= kTileRows ? kTileRows : count / kFewRows * kFewRows;
}

int TileProduct(float* c, const float* a, const float* b, const apus_product_shape& shape,
                bool bf16) {
  if (!bf16 || !apus_has_bf16_products()) return apus_product_f32(c, a, b, nullptr, &shape);
  apus_product_shape part = shape;
  for (ptrdiff_t row = 0; row < shape.rows; row += part.rows) {
    const ptrdiff_t rounded = RoundedPart(shape.rows - row);
    part.rows = rounded > 0 ? rounded : shape.rows - row;
    const auto product = rounded > 0 ? apus_product_bf16 : apus_product_f32;
    const int status = product(c + row * part.c_stride, a + row * part.a_stride, b, nullptr, &part);
    if (status != 0) return status;
  }
  return 0;
}

/// c = aᵀ b over the rows of a group.
int TileGradient(float* c, const float* a, const float* b, const apus_product_shape& shape,
                 bool bf16) {
  if (!bf16 || !apus_has_bf16_products()) return apus_product_f32(c, a, b, nullptr, &shape);
  apus_product_shape part = shape;
  for (ptrdiff_t row = 0; row < shape.inner; row += part.inner, part.accumulate = 1) {
    const ptrdiff_t rounded = RoundedPart(shape.inner - row);
    part.inner = rounded > 0 ? rounded : shape.inner - row;
    const auto product = rounded > 0 ? apus_product_bf16 : apus_product_f32;
    const int status = product(c, a + row * part.a_stride, b + row * part.b_stride, nullptr, &part);
    if (status != 0) return status;
  }
  return 0;
}

}  // namespace

extern "C" {

int apus_grouped_product_f32(float* c, const float* a, const float* const* b,
                             const int32_t* offsets, const apus_grouped_shape* shape) {
  const apus_grouped_shape& s = *shape;
  const ptrdiff_t few_columns =
      std::max<ptrdiff_t>(16, 32768 / std::max<ptrdiff_t>(s.inner, 1) / 16 * 16);
  const ptrdiff_t rows = offsets[s.groups] - offsets[0];
  // Decided for all groups together, so that it depends on sizes and not on who goes where.
  const bool few = rows < kFewRows * s.groups || s.rows_alone != 0;
  // A few large groups are cut by columns too, so that many threads find work.
  const ptrdiff_t wide_columns =
      rows >= 8 * kTileRows ? s.columns : std::max<ptrdiff_t>(64, (s.columns / 2 + 63) / 64 * 64);
  std::vector<Tile> tiles;
  for (ptrdiff_t g = 0; g < s.groups; ++g) {
    AddTiles(tiles, g, offsets[g], offsets[g + 1] - offsets[g], few ? kFewRows : kTileRows,
             s.columns, few ? few_columns : wide_columns);
  }
  return RunTiles(tiles, [&](const Tile& tile) {
    const float* matrix = b[tile.group] + tile.column * (s.transpose_b ? s.b_stride : 1);
    const apus_product_shape part = {tile.rows,  tile.columns,  s.inner,
                                     s.a_stride, s.b_stride,    s.c_stride,
                                     0,          s.transpose_b, s.accumulate};
    float* out = c + tile.row * s.c_stride + tile.column;
    const float* in = a + tile.row * s.a_stride;
    if (!few) return TileProduct(out, in, matrix, part, s.bf16 != 0);
    if (s.transpose_b) {
      VectorProduct(out, in, matrix, nullptr, part);
    } else {
      HWY_DYNAMIC_DISPATCH(PlainFewRows)(out, in, matrix, part);
    }
    return 0;
  });
}

int apus_grouped_product_backward_f32(float* const* db, const float* a, const float* dc,
                                      const int32_t* offsets, const apus_grouped_shape* shape) {
  const apus_grouped_shape& s = *shape;
  // The gradient is stored as b is: [columns, inner] when transposed.
  const ptrdiff_t lines = s.transpose_b ? s.columns : s.inner;
  const ptrdiff_t width = s.transpose_b ? s.inner : s.columns;
  const float *left = s.transpose_b ? dc : a, *right = s.transpose_b ? a : dc;
  const ptrdiff_t left_stride = s.transpose_b ? s.c_stride : s.a_stride;
  const ptrdiff_t right_stride = s.transpose_b ? s.a_stride : s.c_stride;
  std::vector<Tile> tiles;
  for (ptrdiff_t g = 0; g < s.groups; ++g) {
    if (db[g] != nullptr) AddTiles(tiles, g, 0, lines, kTileRows, width, width);
  }
  return RunTiles(tiles, [&](const Tile& tile) {
    const ptrdiff_t first = offsets[tile.group], count = offsets[tile.group + 1] - first;
    float* out = db[tile.group] + tile.row * s.b_stride;
    if (count == 0) {
      for (ptrdiff_t r = 0; !s.accumulate && r < tile.rows; ++r) {
        std::memset(out + r * s.b_stride, 0, static_cast<size_t>(width) * sizeof(float));
      }
      return 0;
    }
    const apus_product_shape part = {tile.rows,  width, count, left_stride, right_stride,
                                     s.b_stride, 1,     0,     s.accumulate};
    return TileGradient(out, left + first * left_stride + tile.row, right + first * right_stride,
                        part, s.bf16 != 0);
  });
}

void apus_grouped_product_reference_f32(float* c, const float* a, const float* const* b,
                                        const int32_t* offsets, const apus_grouped_shape* shape) {
  const apus_grouped_shape& s = *shape;
  for (ptrdiff_t g = 0; g < s.groups; ++g) {
    const apus_product_shape part = {offsets[g + 1] - offsets[g],
                                     s.columns,
                                     s.inner,
                                     s.a_stride,
                                     s.b_stride,
                                     s.c_stride,
                                     0,
                                     s.transpose_b,
                                     s.accumulate};
    apus_product_reference_f32(c + offsets[g] * s.c_stride, a + offsets[g] * s.a_stride, b[g],
                               nullptr, &part);
  }
}

void apus_grouped_product_backward_reference_f32(float* const* db, const float* a, const float* dc,
                                                 const int32_t* offsets,
                                                 const apus_grouped_shape* shape) {
  const apus_grouped_shape& s = *shape;
  for (ptrdiff_t g = 0; g < s.groups; ++g) {
    if (db[g] == nullptr) continue;
    for (ptrdiff_t i = 0; i < s.inner; ++i) {
      for (ptrdiff_t j = 0; j < s.columns; ++j) {
        double sum = 0;
        for (ptrdiff_t r = offsets[g]; r < offsets[g + 1]; ++r) {
          sum += static_cast<double>(a[r * s.a_stride + i]) * dc[r * s.c_stride + j];
        }
        float& out = db[g][s.transpose_b ? j * s.b_stride + i : i * s.b_stride + j];
        out = static_cast<float>(s.accumulate ? out + sum : sum);
      }
    }
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
