// What the kernels of mLSTM are given, once for all instruction sets.
#pragma once

#include <cstddef>

#include "include/apus_kernels.h"

namespace apus::mlstm {

struct Inputs {
  const float *q, *k, *v, *gates;
};

struct Gradients {
  float *dq, *dk, *dv, *dgates;
};

/// What backward reads of the forward pass.
struct Past {
  const float *dh, *h, *norms, *checkpoints;
};

/// C, n and m of one head of one sequence.
inline ptrdiff_t StateSize(const apus_mlstm_shape &shape) {
  return shape.key_size * shape.value_size + shape.key_size + 1;
}

}  // namespace apus::mlstm
