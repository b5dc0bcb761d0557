// The two recurrences of xLSTM; a part of apus_kernels.h, whose conventions hold here. Beck et al.,
// 2024, arXiv:2405.04517. Both gates into the memory may be exponential; a running maximum m keeps
// what is stored in range, and cancels out of the result.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------
// sLSTM: a scalar memory with a recurrence of its own in every head, equations 8 to 17.
//   i, f, z, o = gates + h_{t−1} R                       f = min(f, 15)
//   m ← max(i, ln σ(f) + m)
//   c ← e^{ln σ(f) + m' − m} c + e^{i − m} tanh z        n likewise, with 1 for tanh z
//   h = σ(o) c / n

typedef struct {
  ptrdiff_t batch, time, heads, head_size;  ///< B, T, H, P; D = H · P
} apus_slstm_shape;

/// What m is before the first token: below every exponent.
float apus_slstm_nothing(void);
/// `gates` [B, T, H, 4, P] are overwritten with the activated ones: e^{i − m}, e^{ln σ(f) + m' −
/// m}, tanh z, σ(o). hidden, cells and norms [B, T, D] get h, c and n, `slopes` σ(−f); all are kept
/// for backward. `recurrent` is [H, P, 4P]. `state` [B, 4, D] holds h, c, n, m before the first
/// token on entry, after the last on return; NULL means none, and none returned.
void apus_slstm_f32(float* hidden, float* cells, float* norms, float* slopes, float* gates,
                    float* state, const float* recurrent, const apus_slstm_shape* shape);
/// dgates: gradient of what `gates` were on entry; drecurrent is overwritten. The state before the
/// first token counts as none.
void apus_slstm_backward_f32(float* dgates, float* drecurrent, const float* dhidden,
                             const float* hidden, const float* cells, const float* norms,
                             const float* slopes, const float* gates, const float* recurrent,
                             const apus_slstm_shape* shape);
void apus_slstm_reference_f32(float* hidden, float* cells, float* norms, float* slopes,
                              float* gates, float* state, const float* recurrent,
                              const apus_slstm_shape* shape);
void apus_slstm_backward_reference_f32(float* dgates, float* drecurrent, const float* dhidden,
                                       const float* hidden, const float* cells, const float* norms,
                                       const float* slopes, const float* gates,
                                       const float* recurrent, const apus_slstm_shape* shape);

// ---------------------------------------------------------------------------------------------
// mLSTM: a memory of outer products, equations 19 to 27.
//   m ← max(i, ln σ(f) + m)          C ← e^{ln σ(f) + m' − m} C + e^{i − m} k vᵀ     n likewise
//   h = Cᵀ q / (max(|n · q|, e^{−m}) + epsilon) with q / √K for q; before the first token C, n and
//   m are 0

typedef struct {
  ptrdiff_t batch, time, heads;    ///< B, T, H
  ptrdiff_t key_size, value_size;  ///< K, V of a head
  ptrdiff_t x_stride;              ///< between rows of q, k and v, and of their gradients
  ptrdiff_t chunk;                 ///< tokens that are passed as products of matrices
  float epsilon;
} apus_mlstm_shape;

/// The chunk length that the kernels are tuned for.
ptrdiff_t apus_mlstm_chunk(void);
/// h is [B, T, H · V]; rows of q and k are [H · K], of v [H · V]; gates [B, T, 2, H] are i and f.
/// `state` [B, H, K · V + K + 1] holds C, n and m before the first token on entry, after the last
/// on return; NULL means none, and none returned. For backward, `checkpoints` [B, ceil(T / chunk),
/// H, K · V + K + 1] gets the state before each chunk, and `norms` [B, T, H, 2] one over the
/// denominator and the sign of n · q, 0 where e^{−m} outweighs it; both NULL when none follows.
void apus_mlstm_f32(float* h, float* norms, float* state, float* checkpoints, const float* q,
                    const float* k, const float* v, const float* gates,
                    const apus_mlstm_shape* shape);
/// The same by the recurrence, for one token or a few.
void apus_mlstm_step_f32(float* h, float* state, const float* q, const float* k, const float* v,
                         const float* gates, const apus_mlstm_shape* shape);
/// Gradients from dh; the state before the first token counts as none, and epsilon as nothing.
void apus_mlstm_backward_f32(float* dq, float* dk, float* dv, float* dgates, const float* dh,
                             const float* h, const float* norms, const float* checkpoints,
                             const float* q, const float* k, const float* v, const float* gates,
                             const apus_mlstm_shape* shape);
void apus_mlstm_reference_f32(float* h, float* state, const float* q, const float* k,
                              const float* v, const float* gates, const apus_mlstm_shape* shape);
void apus_mlstm_backward_reference_f32(float* dq, float* dk, float* dv, float* dgates,
                                       const float* dh, const float* q, const float* k,
                                       const float* v, const float* gates,
                                       const apus_mlstm_shape* shape);

#ifdef __cplusplus
}
#endif
