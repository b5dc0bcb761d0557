#pragma once

#include <cstddef>

#include "include/apus_kernels.h"

namespace apus {

/// Products with this many rows of a or fewer, and b stored as a weight, read b once, straight.
constexpr ptrdiff_t kVectorProductRows = 4;

/// c = a bᵀ + bias for few rows, or for many of which each is to have the bits it has alone: dot
/// products of rows, for few bound by the reading of b.
void VectorProduct(float* c, const float* a, const float* b, const float* bias,
                   const apus_product_shape& shape);

/// The product through kept primitives with b packed once, in float or rounded to bfloat16. Where
/// it fails before c is touched, `wrote` stays false and another way may be taken.
int ProductByPrimitives(float* c, const float* a, const float* b, const float* bias,
                        const apus_product_shape& shape, bool bf16, bool* wrote);

}  // namespace apus
