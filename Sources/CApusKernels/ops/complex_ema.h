// What the backward pass of the complex moving average takes from the forward one.
#pragma once

#include <cstddef>

#include "include/apus_kernels.h"

namespace apus {

/// How many floats the coefficients take in the instruction set in use.
ptrdiff_t EmaCoefficientCount(const apus_complex_ema_shape& shape);

/// The coefficient planes of all tiles, [ceil(D / L), 5, N, L].
void PackEmaCoefficients(float* coefficients, const apus_complex_ema_parameters& from,
                         const apus_complex_ema_shape& shape);

}  // namespace apus
