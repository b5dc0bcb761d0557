// Which experts a token takes, and the norm of its gates: scalar, a handful of numbers per token.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace apus {

/// Writes the `k` visible experts of the largest logits in ascending order, of equal ones the lower
/// index first, then −1. Returns how many there are. Not-a-number is larger than nothing.
inline ptrdiff_t Choose(int32_t* chosen, const float* logits, const int32_t* visible,
                        ptrdiff_t experts, ptrdiff_t k) {
  ptrdiff_t count = 0;
  for (; count < k; ++count) {
    ptrdiff_t best = -1;
    for (ptrdiff_t i = 0; i < experts; ++i) {
      if (visible != nullptr && visible[i] == 0) continue;
      if (best >= 0 && !(logits[i] > logits[best])) continue;
      if (std::find(chosen, chosen + count, i) == chosen + count) best = i;
    }
    if (best < 0) break;
    chosen[count] = static_cast<int32_t>(best);
  }
  std::sort(chosen, chosen + count);
  std::fill(chosen + count, chosen + k, -1);
  return count;
}

/// x^q for x >= 0, without a call for the orders in use.
inline float Power(float x, float q) { return q == 1 ? x : (q == 2 ? x * x : std::pow(x, q)); }

/// (Σ x^q)^(1/q) for x >= 0.
inline float Norm(const float* x, ptrdiff_t count, float q) {
  float sum = 0;
  for (ptrdiff_t i = 0; i < count; ++i) sum += Power(x[i], q);
  return q == 1 ? sum : std::pow(sum, 1 / q);
}

}  // namespace apus
