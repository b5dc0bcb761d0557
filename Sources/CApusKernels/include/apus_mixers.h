// What mixes tokens besides exact attention, and experts; a part of apus_kernels.h, whose
// conventions hold here.
#pragma once

#include "apus_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------
// LSH attention: every token attends within lists of tokens with equal hashes. Kitaev, Kaiser and
// Levskaya, 2020, Reformer, arXiv:2001.04451.
//
// Every head has R lists (rounds of hashing), each naming every token once. A list is cut into
// blocks of c entries; a block sees itself, `before` blocks and `after` blocks. All lists of a head
// form one circle (groups = 0: the published algorithm), or each is split into G groups, and
// nothing is seen across their borders (with lists in order of time: causal to the bit). The
// softmax runs over what a token sees in all rounds together; what it sees twice counts twice.
//
// Shared: the keys are the queries, normalized to k = q / √(mean q² + 10⁻⁶) / √K, and a token sees
// itself only where it sees nothing else in any round; otherwise k = k / √K, and it sees itself.

typedef struct {
  ptrdiff_t batch, time, heads, head_size;  ///< B, T, H, K; K up to 1024
  ptrdiff_t rounds;                         ///< R
  ptrdiff_t slots;          ///< S >= T, the length of a list; ids of T and above are empty entries
  ptrdiff_t groups;         ///< G, or 0 for the circle; then c divides S, and groups need S = T
  ptrdiff_t block;          ///< c
  ptrdiff_t before, after;  ///< blocks; up to 16 each, and after = 0 with groups
  ptrdiff_t q_stride, k_stride, v_stride;  ///< between tokens; batch rows lie T strides apart
  int causal;                              ///< a token sees no later one
  int shared;
} apus_lsh_shape;

/// buckets [B, H, R, T] of x [B, T, H · K] with q_stride: for every factor f of the number of
/// buckets, the first place of the largest among (y, −y), y the next f/2 products with rotations
/// [H, K, R, Σ f/2]; the first factor counts ones. Andoni et al., 2015, arXiv:1509.02897.
void apus_lsh_buckets_f32(int32_t* buckets, const float* x, const float* rotations,
                          const ptrdiff_t* factors, ptrdiff_t factor_count,
                          const apus_lsh_shape* shape);
void apus_lsh_buckets_reference_f32(int32_t* buckets, const float* x, const float* rotations,
                                    const ptrdiff_t* factors, ptrdiff_t factor_count,
                                    const apus_lsh_shape* shape);
/// order [B, H, R, S]: tokens by bucket, those of one bucket in order of time, then the empty ids
/// T ..< S. starts [B, H, R, bucket_count + 1] gets where each bucket begins; it may be NULL.
void apus_lsh_order(int32_t* order, int32_t* starts, const int32_t* buckets, ptrdiff_t bucket_count,
                    const apus_lsh_shape* shape);
/// o [B, T, H · K]. `lse` [B, H, T] gets the base-2 log of the sum of the exponentials, for
/// backward; +∞ where a token sees itself alone, whose o is its v. `order` may be NULL: one list
/// (R = 1) in order of time. `starts` is read with groups only, and may be NULL for one group. With
/// `shared`, k is not read.
void apus_lsh_attention_f32(float* o, float* lse, const float* q, const float* k, const float* v,
                            const int32_t* order, const int32_t* starts,
                            const apus_lsh_shape* shape);
/// dq, dk, dv use the strides of q, k, v, dout is dense. With `shared`, dq holds the gradients of
/// query and key together, and dk is not written.
void apus_lsh_attention_backward_f32(float* dq, float* dk, float* dv, const float* dout,
                                     const float* q, const float* k, const float* v, const float* o,
                                     const float* lse, const int32_t* order, const int32_t* starts,
                                     const apus_lsh_shape* shape);
void apus_lsh_attention_reference_f32(float* o, float* lse, const float* q, const float* k,
                                      const float* v, const int32_t* order, const int32_t* starts,
                                      const apus_lsh_shape* shape);
void apus_lsh_attention_backward_reference_f32(float* dq, float* dk, float* dv, const float* dout,
                                               const float* q, const float* k, const float* v,
                                               const float* o, const float* lse,
                                               const int32_t* order, const int32_t* starts,
                                               const apus_lsh_shape* shape);

/// Continues causal lists in groups, in order of time, by T tokens. counts [B, H, R, G] says how
/// many tokens each group has had; it is advanced. Group g keeps its last before + 1 blocks: block
/// i in page pages[b, h, r, g, i % (before + 1)] of `memory`, a page being [2, c, K], keys then
/// values. apus_lsh_reserve must have named the pages. `buckets` may be NULL: all tokens in group
/// 0. o [B, T, H · K].
void apus_lsh_step_f32(float* o, float* memory, int32_t* counts, const int32_t* pages,
                       const float* q, const float* k, const float* v, const int32_t* buckets,
                       const apus_lsh_shape* shape);
void apus_lsh_step_reference_f32(float* o, float* memory, int32_t* counts, const int32_t* pages,
                                 const float* q, const float* k, const float* v,
                                 const int32_t* buckets, const apus_lsh_shape* shape);
/// Names a page from `next` on for every block that the next T tokens open in a slot that has none
/// (−1). Returns how many pages are named then.
ptrdiff_t apus_lsh_reserve(int32_t* pages, ptrdiff_t next, const int32_t* counts,
                           const int32_t* buckets, const apus_lsh_shape* shape);
// Attention by features: linear in time, with a state of constant size.
// Choromanski et al., 2020, Performer, arXiv:2009.14794; Katharopoulos et al., 2020, linear
// attention, arXiv:2006.16236; landmarks after Chen et al., 2021, Skyformer, arXiv:2111.00035.
//   o_t = Σ_s φ_q(q_t)·φ_k(k_s) v_s, over s <= t;
//   divided by Σ_s φ_q(q_t)·φ_k(k_s) + epsilon unless the features are Gaussian.

typedef enum {
  APUS_FEATURES_EXPONENTIAL = 0,  ///< exp(w_i·x̃ − |x̃|²/2), x̃ = scale · x: FAVOR+
  APUS_FEATURES_RELU = 1,         ///< max(w_i·x, 0) + 0.001
  APUS_FEATURES_ELU = 2,          ///< elu(x_i) + 1: no w, as many features as the head has
  APUS_FEATURES_GAUSSIAN = 3,     ///< exp(−|x̃ − w_i|²/2); queries' features times `mixing`
} apus_features;

typedef struct {
  ptrdiff_t batch, time, heads;
  ptrdiff_t head_size, value_size, features;         ///< d, dv, m
  ptrdiff_t q_stride, k_stride, v_stride, o_stride;  ///< between tokens; batch rows lie end to end
  ptrdiff_t groups;  ///< of w [groups, m, d] and mixing [groups, m, m]: 1, heads, or batch · heads
  apus_features kind;
  float scale;    ///< of x̃
  float epsilon;  ///< added to denominators
} apus_feature_shape;

/// Floats of the state of one head: S [m, dv]; z [m] unless Gaussian; c [m] if exponential.
ptrdiff_t apus_feature_state_size(const apus_feature_shape* shape);
/// How many states of a head backward needs: one per tile of tokens.
ptrdiff_t apus_feature_checkpoints(const apus_feature_shape* shape);
/// Head h of a token starts at h · d in q and k, at h · dv in v and o. Exponential features are
/// kept relative to c, the largest logit of each feature so far, in powers of two: the ratio is
/// exact, needs no epsilon, and no later token changes a bit of an earlier output. `state`
/// [B, heads, state size] holds the sums before the first token on entry, after the last on return;
/// before any token S and z are 0 and c is −∞; NULL means that, and none returned. `checkpoints`
/// [B, heads, checkpoints, state size] is for backward, or NULL. `w` and `mixing` may be NULL where
/// the features have none.
void apus_feature_attention_f32(float* o, float* state, float* checkpoints, const float* q,
                                const float* k, const float* v, const float* w, const float* mixing,
                                const apus_feature_shape* shape);
/// From an empty state. dq, dk, dv use the strides of q, k, v; dout and o that of o. dw
/// [groups, m, d] and dmixing [groups, m, m] are for Gaussian features, NULL for others; the sums
/// over what shares a group run in the order of batch and heads.
void apus_feature_attention_backward_f32(float* dq, float* dk, float* dv, float* dw, float* dmixing,
                                         const float* dout, const float* o,
                                         const float* checkpoints, const float* q, const float* k,
                                         const float* v, const float* w, const float* mixing,
                                         const apus_feature_shape* shape);
/// From an empty state, pair by pair.
void apus_feature_attention_reference_f32(float* o, const float* q, const float* k, const float* v,
                                          const float* w, const float* mixing,
                                          const apus_feature_shape* shape);
void apus_feature_attention_backward_reference_f32(float* dq, float* dk, float* dv, float* dw,
                                                   float* dmixing, const float* dout,
                                                   const float* q, const float* k, const float* v,
                                                   const float* w, const float* mixing,
                                                   const apus_feature_shape* shape);

// ---------------------------------------------------------------------------------------------
// Kernelized attention and its landmarks. Chen et al., 2021, Skyformer, arXiv:2111.00035.

/// o_i = Σ_j exp(−scale |q_i − k_j|²/2) v_j over the keys that query i sees; the shape as for exact
/// attention. Nothing is divided: a row without keys gives 0.
void apus_gaussian_attention_f32(float* o, const float* q, const float* k, const float* v,
                                 const apus_attention_shape* shape);
/// dq, dk, dv use the strides of q, k, v; dout those of o. All are overwritten whole.
void apus_gaussian_attention_backward_f32(float* dq, float* dk, float* dv, const float* dout,
                                          const float* q, const float* k, const float* v,
                                          const apus_attention_shape* shape);
void apus_gaussian_attention_reference_f32(float* o, const float* q, const float* k, const float* v,
                                           const apus_attention_shape* shape);
void apus_gaussian_attention_backward_reference_f32(float* dq, float* dk, float* dv,
                                                    const float* dout, const float* q,
                                                    const float* k, const float* v,
                                                    const apus_attention_shape* shape);

/// The matrix between the features of landmarks: with M_ij = exp(−|x_i − x_j|²/2) + gamma [i = j],
/// r = (M 1)^(−1/2), A = diag(r) M diag(r) and V ≈ A⁻¹ after `iterations` third-order steps
/// V ← ¼ V (13 I − A V (15 I − A V (7 I − A V))) from Aᵀ / max column sum:
/// g = diag(r) V diag(r). x is [count, landmarks, size], g [count, landmarks, landmarks]; each
/// matrix is scaled by itself. `saved` is for backward, [count, apus_landmarks_saved(…)], or NULL.
/// Returns 0, or the status of a product.
int apus_landmarks_f32(float* g, float* saved, const float* x, ptrdiff_t count, ptrdiff_t landmarks,
                       ptrdiff_t size, float gamma, ptrdiff_t iterations);
ptrdiff_t apus_landmarks_saved(ptrdiff_t landmarks, ptrdiff_t iterations);
/// dx through every step of the iteration.
int apus_landmarks_backward_f32(float* dx, const float* dg, const float* saved, const float* x,
                                ptrdiff_t count, ptrdiff_t landmarks, ptrdiff_t size, float gamma,
                                ptrdiff_t iterations);
/// The same computed in double, from x alone.
void apus_landmarks_reference_f32(float* g, const float* x, ptrdiff_t count, ptrdiff_t landmarks,
                                  ptrdiff_t size, float gamma, ptrdiff_t iterations);
void apus_landmarks_backward_reference_f32(float* dx, const float* dg, const float* x,
                                           ptrdiff_t count, ptrdiff_t landmarks, ptrdiff_t size,
                                           float gamma, ptrdiff_t iterations);

// ---------------------------------------------------------------------------------------------
// Causal depthwise convolution with SiLU, the front of Mamba's mixer.
// c_t[e] = bias[e] + Σ_k weight[e, k] · x_{t−(K−1)+k}[e]; y = silu(c).

/// x [B, T, E] with x_stride; y [B, T, E] dense. `window` [B, K−1, E] holds the K−1 inputs before
/// the first token on entry and the last K−1 inputs on return; NULL means zeros, and none returned.
/// `bias` may be NULL.
void apus_causal_conv_silu_f32(float* y, float* window, const float* x, const float* weight,
                               const float* bias, ptrdiff_t batch, ptrdiff_t time,
                               ptrdiff_t channels, ptrdiff_t width, ptrdiff_t x_stride);
/// dx has dx_stride. c is recomputed from x; the window before the first token counts as zeros.
/// `dbias` may be NULL when there is no bias.
void apus_causal_conv_silu_backward_f32(float* dx, float* dweight, float* dbias, const float* dy,
                                        const float* x, const float* weight, const float* bias,
                                        ptrdiff_t batch, ptrdiff_t time, ptrdiff_t channels,
                                        ptrdiff_t width, ptrdiff_t x_stride, ptrdiff_t dx_stride);
void apus_causal_conv_silu_reference_f32(float* y, float* window, const float* x,
                                         const float* weight, const float* bias, ptrdiff_t batch,
                                         ptrdiff_t time, ptrdiff_t channels, ptrdiff_t width,
                                         ptrdiff_t x_stride);
void apus_causal_conv_silu_backward_reference_f32(float* dx, float* dweight, float* dbias,
                                                  const float* dy, const float* x,
                                                  const float* weight, const float* bias,
                                                  ptrdiff_t batch, ptrdiff_t time,
                                                  ptrdiff_t channels, ptrdiff_t width,
                                                  ptrdiff_t x_stride, ptrdiff_t dx_stride);

// ---------------------------------------------------------------------------------------------
// Selective scan with softplus and gate, the heart of Mamba. Gu and Dao, 2023, arXiv:2312.00752.
//   Δ = softplus(delta)        A = −exp(a_log)
//   h_t[e, n] = exp(Δ_t[e] A[e, n]) h_{t−1}[e, n] + Δ_t[e] B_t[n] s_t[e]
//   y_t[e] = Σ_n C_t[n] h_t[e, n] + d[e] s_t[e]          o = y ⊙ silu(z)

typedef struct {
  ptrdiff_t batch, time, channels, states;  ///< B, T, E, N
  ptrdiff_t z_stride;                       ///< of z (and of dz); s, delta, o are dense [B, T, E]
  ptrdiff_t bc_stride;                      ///< of b and c (and db, dc), each [B, T, N]
  ptrdiff_t chunk;  ///< tokens between saved states; apus_selective_scan_chunk() gives the default
} apus_scan_shape;

/// The chunk length that the kernels are tuned for.
ptrdiff_t apus_selective_scan_chunk(void);
/// `state` [B, E, N] holds h before the first token on entry and after the last on return; NULL
/// means zeros, and none returned. `checkpoints` gets h before each chunk,
/// [B, ceil(T / chunk), E, N] in a layout private to the kernel; NULL when no backward follows.
void apus_selective_scan_f32(float* o, float* state, float* checkpoints, const float* s,
                             const float* delta, const float* a_log, const float* b, const float* c,
                             const float* d, const float* z, const apus_scan_shape* shape);
/// Gradients of everything from dout [B, T, E]; the states are rebuilt chunk by chunk from
/// `checkpoints`. ddelta is the gradient before softplus. da_log [E, N] and dd [E] are overwritten
/// with sums over batch and time.
void apus_selective_scan_backward_f32(float* ds, float* ddelta, float* da_log, float* db, float* dc,
                                      float* dd, float* dz, const float* dout,
                                      const float* checkpoints, const float* s, const float* delta,
                                      const float* a_log, const float* b, const float* c,
                                      const float* d, const float* z, const apus_scan_shape* shape);
void apus_selective_scan_reference_f32(float* o, float* state, const float* s, const float* delta,
                                       const float* a_log, const float* b, const float* c,
                                       const float* d, const float* z,
                                       const apus_scan_shape* shape);
void apus_selective_scan_backward_reference_f32(float* ds, float* ddelta, float* da_log, float* db,
                                                float* dc, float* dd, float* dz, const float* dout,
                                                const float* s, const float* delta,
                                                const float* a_log, const float* b, const float* c,
                                                const float* d, const float* z,
                                                const apus_scan_shape* shape);

// ---------------------------------------------------------------------------------------------
// State space duality, the heart of Mamba-2. Dao and Gu, 2024, arXiv:2405.21060. Head h of H has P
// channels and shares B and C with the heads of its group, g = h / (H / G):
//   Δ = clamp(softplus(dt + dt_bias), low, high)        A = −exp(a_log), one per head
//   h_t[n, p] = exp(Δ_t A) h_{t−1}[n, p] + Δ_t B_t[n] x_t[p]
//   y_t[p] = Σ_n C_t[n] h_t[n, p] + d x_t[p]
// Not-a-number in a token may also show in outputs of the few tokens before it that share its tile.

typedef struct {
  ptrdiff_t batch, time, heads, head_size, groups, states;  ///< B, T, H, P, G, N; G divides H
  ptrdiff_t x_stride;         ///< of x [B, T, H, P], b and c [B, T, G, N], and their gradients
  ptrdiff_t dt_stride;        ///< of dt and ddt [B, T, H]; y and dy are dense [B, T, H, P]
  ptrdiff_t chunk;            ///< tokens between saved states; apus_ssd_chunk() gives the default
  float step_low, step_high;  ///< the bounds of Δ; step_high may be +∞
} apus_ssd_shape;

/// The chunk length that the kernels are tuned for.
ptrdiff_t apus_ssd_chunk(void);
/// `state` [B, H, N, P] holds h before the first token on entry and after the last on return; NULL
/// means zeros, and none returned. `checkpoints` gets h before each chunk,
/// [B, ceil(T / chunk), H, N, P]; NULL when no backward follows.
void apus_ssd_f32(float* y, float* state, float* checkpoints, const float* x, const float* b,
                  const float* c, const float* dt, const float* dt_bias, const float* a_log,
                  const float* d, const apus_ssd_shape* shape);
/// The same by its recurrence, token by token: for one or a few. `state` may not be NULL.
void apus_ssd_step_f32(float* y, float* state, const float* x, const float* b, const float* c,
                       const float* dt, const float* dt_bias, const float* a_log, const float* d,
                       const apus_ssd_shape* shape);
/// Gradients of everything from dy. ddt is the gradient before softplus. ddt_bias, da_log and dd
/// [H] are overwritten with sums over batch and time, accumulated in double.
void apus_ssd_backward_f32(float* dx, float* db, float* dc, float* ddt, float* ddt_bias,
                           float* da_log, float* dd, const float* dy, const float* checkpoints,
                           const float* x, const float* b, const float* c, const float* dt,
                           const float* dt_bias, const float* a_log, const float* d,
                           const apus_ssd_shape* shape);
void apus_ssd_reference_f32(float* y, float* state, const float* x, const float* b, const float* c,
                            const float* dt, const float* dt_bias, const float* a_log,
                            const float* d, const apus_ssd_shape* shape);
void apus_ssd_backward_reference_f32(float* dx, float* db, float* dc, float* ddt, float* ddt_bias,
                                     float* da_log, float* dd, const float* dy, const float* x,
                                     const float* b, const float* c, const float* dt,
                                     const float* dt_bias, const float* a_log, const float* d,
                                     const apus_ssd_shape* shape);

// ---------------------------------------------------------------------------------------------
// Root-mean-square norm behind a gate, by groups of features, as Mamba-2 ends its mixer:
// v = x ⊙ silu(z); y = v / √(mean of v² over the group + epsilon) ⊙ weight.

/// x and y are dense [rows, features]; z has z_stride. `groups` divides `features`.
void apus_gated_rms_norm_f32(float* y, const float* x, const float* z, const float* weight,
                             ptrdiff_t rows, ptrdiff_t features, ptrdiff_t groups,
                             ptrdiff_t z_stride, float epsilon);
/// dz has z_stride too. dweight [features] is overwritten with the sum over rows.
void apus_gated_rms_norm_backward_f32(float* dx, float* dz, float* dweight, const float* dy,
                                      const float* x, const float* z, const float* weight,
                                      ptrdiff_t rows, ptrdiff_t features, ptrdiff_t groups,
                                      ptrdiff_t z_stride, float epsilon);
void apus_gated_rms_norm_reference_f32(float* y, const float* x, const float* z,
                                       const float* weight, ptrdiff_t rows, ptrdiff_t features,
                                       ptrdiff_t groups, ptrdiff_t z_stride, float epsilon);
void apus_gated_rms_norm_backward_reference_f32(float* dx, float* dz, float* dweight,
                                                const float* dy, const float* x, const float* z,
                                                const float* weight, ptrdiff_t rows,
                                                ptrdiff_t features, ptrdiff_t groups,
                                                ptrdiff_t z_stride, float epsilon);
// Complex exponential moving average, the memory of Megalodon. Ma et al., 2024, arXiv:2404.08801.
// Channel e has the modes n = 1 … N:
//   a = sigmoid(alpha[e, n])        ρ = 1 − a · sigmoid(delta[e, n])
//   q = ρ exp(i · 2π n / N · sigmoid(theta[e]))        g = (gamma[e, n, 0] + i gamma[e, n, 1]) / √N
//   h_t = q h_{t−1} + a x_t        y_t = Σ_n Re(g h_t) + omega[e] x_t

typedef struct {
  ptrdiff_t batch, time, channels, modes;  ///< B, T, D, N
  ptrdiff_t chunk;  ///< tokens between saved states; apus_complex_ema_chunk() gives the default
} apus_complex_ema_shape;

typedef struct {
  const float *alpha, *delta;  ///< [D, N]; beyond ±60 they count as ±60
  const float* theta;          ///< [D]
  const float* gamma;          ///< [D, N, 2], real and imaginary part
  const float* omega;          ///< [D]
} apus_complex_ema_parameters;

/// In the shapes of the parameters; all are overwritten with sums over batch and time.
typedef struct {
  float *alpha, *delta, *theta, *gamma, *omega;
} apus_complex_ema_gradients;

/// The chunk length that the kernels are tuned for.
ptrdiff_t apus_complex_ema_chunk(void);
/// x and y are [B, T, D]. `state` [B, 2, N, D], real parts and then imaginary parts, holds h before
/// the first token on entry and after the last on return; NULL means zeros, and none returned.
/// `checkpoints` gets the state before each chunk, [B, ceil(T / chunk), 2, N, D] with values
/// private to the kernels; NULL when no backward follows.
void apus_complex_ema_f32(float* y, float* state, float* checkpoints, const float* x,
                          const apus_complex_ema_parameters* parameters,
                          const apus_complex_ema_shape* shape);
/// Gradients from dy [B, T, D]. `dstate` [B, 2, N, D] holds the gradient of the state after the
/// last token on entry and of that before the first on return (∂/∂Re and ∂/∂Im); NULL means zeros.
void apus_complex_ema_backward_f32(float* dx, apus_complex_ema_gradients* gradients, float* dstate,
                                   const float* dy, const float* checkpoints, const float* x,
                                   const apus_complex_ema_parameters* parameters,
                                   const apus_complex_ema_shape* shape);
void apus_complex_ema_reference_f32(float* y, float* state, const float* x,
                                    const apus_complex_ema_parameters* parameters,
                                    const apus_complex_ema_shape* shape);
/// `state` is the one before the first token, or NULL.
void apus_complex_ema_backward_reference_f32(float* dx, apus_complex_ema_gradients* gradients,
                                             float* dstate, const float* dy, const float* state,
                                             const float* x,
                                             const apus_complex_ema_parameters* parameters,
                                             const apus_complex_ema_shape* shape);

// ---------------------------------------------------------------------------------------------
// Timestep normalization: group normalization whose statistics run over all tokens so far.
// Ma et al., 2024, arXiv:2404.08801, equation 4. With m and s² the mean and the variance of the
// group_size features of token t in a group, and n = count + 1 … count + T:
//   v ← (n−1)/n v + s²/n + (n−1)/n² (m − u)²        u ← u + (m − u)/n
//   y = (x − u) / √(v + epsilon) · (1 + weight) + bias
// Statistics run in double: in float they stop moving after some thousand tokens.

typedef struct {
  ptrdiff_t batch, time, groups, group_size;  ///< B, T, G, D / G
  int64_t count;                              ///< tokens before the first
  float epsilon;
} apus_timestep_norm_shape;

/// x and y are [B, T, D]. `statistics` [B, T, 2, G] gets u and 1/√(v + epsilon), for backward.
/// `state` [B, 2, G] holds u and v before the first token on entry and after the last on return;
/// NULL when count is 0 and none is wanted.
void apus_timestep_norm_f32(float* y, float* statistics, double* state, const float* x,
                            const float* weight, const float* bias,
                            const apus_timestep_norm_shape* shape);
/// `state` is the one before the first token, or NULL when count is 0. `dstate` [B, 2, G] holds the
/// gradient of u and v after the last token on entry and of those before the first on return; NULL
/// means zeros. `dweight` and `dbias` are overwritten.
void apus_timestep_norm_backward_f32(float* dx, float* dweight, float* dbias, double* dstate,
                                     const float* dy, const float* x, const float* weight,
                                     const float* statistics, const double* state,
                                     const apus_timestep_norm_shape* shape);
void apus_timestep_norm_reference_f32(float* y, double* state, const float* x, const float* weight,
                                      const float* bias, const apus_timestep_norm_shape* shape);
void apus_timestep_norm_backward_reference_f32(float* dx, float* dweight, float* dbias,
                                               double* dstate, const float* dy, const float* x,
                                               const float* weight, const double* state,
                                               const apus_timestep_norm_shape* shape);

// ---------------------------------------------------------------------------------------------
// Queries and keys from one shared representation. Ma et al., 2024, arXiv:2404.08801, section 3.3.
//   n = z / √(mean z² + epsilon), head by head
//   q = n (1 + gain[0]) / √K + bias[0]        k = n (1 + gain[1]) / √K + bias[1]

/// z is [rows, H · K]; qk [rows, 2, H · K] gets q and k; `scales` [rows, H] gets what z was
/// multiplied by, for backward. `gain` and `bias` are [2, H · K].
void apus_shared_query_key_f32(float* qk, float* scales, const float* z, const float* gain,
                               const float* bias, ptrdiff_t rows, ptrdiff_t heads,
                               ptrdiff_t head_size, float epsilon);
/// `dgain` and `dbias` are overwritten.
void apus_shared_query_key_backward_f32(float* dz, float* dgain, float* dbias, const float* dqk,
                                        const float* z, const float* gain, const float* scales,
                                        ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t head_size);
void apus_shared_query_key_reference_f32(float* qk, float* scales, const float* z,
                                         const float* gain, const float* bias, ptrdiff_t rows,
                                         ptrdiff_t heads, ptrdiff_t head_size, float epsilon);
void apus_shared_query_key_backward_reference_f32(float* dz, float* dgain, float* dbias,
                                                  const float* dqk, const float* z,
                                                  const float* gain, const float* scales,
                                                  ptrdiff_t rows, ptrdiff_t heads,
                                                  ptrdiff_t head_size);

// ---------------------------------------------------------------------------------------------
// A diagonal recurrence of complex numbers: the state space of S5. Smith et al., 2022,
// arXiv:2208.04933, equation 7.
//   h_t = decay · h_{t−1} + gain · x_t              y_t = the conjugate of h_t

typedef struct {
  ptrdiff_t batch, time, states;  ///< B, T, N
} apus_complex_scan_shape;

/// x and y are [B, T, 2, N], decay and gain [2, N]: real parts, then imaginary ones. `state` [B, 2,
/// N] holds h before the first token on entry, after the last on return; NULL means zeros, and none
/// returned.
void apus_complex_scan_f32(float* y, float* state, const float* x, const float* decay,
                           const float* gain, const apus_complex_scan_shape* shape);
/// ddecay and dgain (∂/∂Re and ∂/∂Im) are overwritten. The state before the first token is zeros.
void apus_complex_scan_backward_f32(float* dx, float* ddecay, float* dgain, const float* dy,
                                    const float* y, const float* x, const float* decay,
                                    const float* gain, const apus_complex_scan_shape* shape);
void apus_complex_scan_reference_f32(float* y, float* state, const float* x, const float* decay,
                                     const float* gain, const apus_complex_scan_shape* shape);
void apus_complex_scan_backward_reference_f32(float* dx, float* ddecay, float* dgain,
                                              const float* dy, const float* y, const float* x,
                                              const float* decay, const float* gain,
                                              const apus_complex_scan_shape* shape);

// ---------------------------------------------------------------------------------------------
// LSTM. Hochreiter and Schmidhuber, 1997; gates in the order input, forget, cell, output.
// `gates` [B, T, 4H] holds W x + b; the kernel adds U h_{t−1}, with `recurrent` U [4H, H].

/// `gates` is overwritten with the activated gates, kept for backward. hidden [B, T, H] gets h_t,
/// cells [B, T, H] c_t. `state` [B, 2, H] holds (h, c) before the first token on entry, after the
/// last on return; NULL means zeros, and none returned.
void apus_lstm_f32(float* hidden, float* cells, float* gates, float* state, const float* recurrent,
                   ptrdiff_t batch, ptrdiff_t time, ptrdiff_t features);
/// dgates [B, T, 4H]: gradient of W x + b (before activation); drecurrent [4H, H] is overwritten.
/// The state before the first token counts as zeros.
void apus_lstm_backward_f32(float* dgates, float* drecurrent, const float* dhidden,
                            const float* hidden, const float* cells, const float* gates,
                            const float* recurrent, ptrdiff_t batch, ptrdiff_t time,
                            ptrdiff_t features);
void apus_lstm_reference_f32(float* hidden, float* cells, float* gates, float* state,
                             const float* recurrent, ptrdiff_t batch, ptrdiff_t time,
                             ptrdiff_t features);
void apus_lstm_backward_reference_f32(float* dgates, float* drecurrent, const float* dhidden,
                                      const float* hidden, const float* cells, const float* gates,
                                      const float* recurrent, ptrdiff_t batch, ptrdiff_t time,
                                      ptrdiff_t features);

// ---------------------------------------------------------------------------------------------
// Mixture of experts without capacity: every chosen pair of token and expert is computed.
// Shazeer et al., 2017, arXiv:1701.06538; Gale et al., 2022, MegaBlocks, arXiv:2211.15841.

typedef struct {
  ptrdiff_t tokens, experts, chosen;  ///< n, X, k; a token may see fewer than k experts
  float norm;  ///< the chosen probabilities are divided by their norm of this order; 0: they stay
} apus_route_shape;

/// probabilities [n, X] = softmax(logits) over the experts a token sees (`visible` [n, X] not 0;
/// NULL: all), 0 for the others; log_sums [n] = ln Σ exp(logit), may be NULL. chosen [n, k] gets
/// the k largest logits' experts, of equal ones the lower first, in ascending order; −1 where a
/// token sees fewer. weights [n, k] are their gates, 0 beside −1.
void apus_expert_route_f32(float* probabilities, float* log_sums, int32_t* chosen, float* weights,
                           const float* logits, const int32_t* visible,
                           const apus_route_shape* shape);
/// dlogits [n, X] from the gradient of the gates; the choice itself is not differentiated.
void apus_expert_route_backward_f32(float* dlogits, const float* dweights,
                                    const float* probabilities, const int32_t* chosen,
                                    const float* weights, const apus_route_shape* shape);
void apus_expert_route_reference_f32(float* probabilities, float* log_sums, int32_t* chosen,
                                     float* weights, const float* logits, const int32_t* visible,
                                     const apus_route_shape* shape);
void apus_expert_route_backward_reference_f32(float* dlogits, const float* dweights,
                                              const float* probabilities, const int32_t* chosen,
                                              const float* weights, const apus_route_shape* shape);
/// dlogits [n, X] of Σ_t (Σ_i slopes[i] p_t[i] + z lse_t²): the losses that keep routers in
/// balance.
void apus_router_losses_backward_f32(float* dlogits, const float* probabilities,
                                     const float* log_sums, const float* slopes, float z,
                                     ptrdiff_t tokens, ptrdiff_t experts);
void apus_router_losses_backward_reference_f32(float* dlogits, const float* probabilities,
                                               const float* log_sums, const float* slopes, float z,
                                               ptrdiff_t tokens, ptrdiff_t experts);

/// Sorts the chosen pairs by expert, then by token. offsets [X + 1]: where each expert's rows
/// begin; row_slots: the place in `chosen` of each row; slot_rows [n, k]: the inverse, −1 beside
/// −1. Returns the number of rows, at most n · k.
ptrdiff_t apus_expert_dispatch(int32_t* offsets, int32_t* row_slots, int32_t* slot_rows,
                               const int32_t* chosen, ptrdiff_t tokens, ptrdiff_t experts,
                               ptrdiff_t per_token);
/// y [rows, D] with y_stride: row r is the row row_slots[r] / per_token of x [n, D].
void apus_expert_gather_f32(float* y, const float* x, const int32_t* row_slots, ptrdiff_t rows,
                            ptrdiff_t features, ptrdiff_t per_token, ptrdiff_t y_stride);
/// y_t = Σ_s weights[t, s] · x[slot_rows[t, s]], in ascending s: no order of threads shows.
/// `weights` NULL: all ones.
void apus_expert_combine_f32(float* y, const float* x, const float* weights,
                             const int32_t* slot_rows, ptrdiff_t tokens, ptrdiff_t features,
                             ptrdiff_t per_token, ptrdiff_t x_stride);
ptrdiff_t apus_expert_dispatch_reference(int32_t* offsets, int32_t* row_slots, int32_t* slot_rows,
                                         const int32_t* chosen, ptrdiff_t tokens, ptrdiff_t experts,
                                         ptrdiff_t per_token);
void apus_expert_gather_reference_f32(float* y, const float* x, const int32_t* row_slots,
                                      ptrdiff_t rows, ptrdiff_t features, ptrdiff_t per_token,
                                      ptrdiff_t y_stride);
void apus_expert_combine_reference_f32(float* y, const float* x, const float* weights,
                                       const int32_t* slot_rows, ptrdiff_t tokens,
                                       ptrdiff_t features, ptrdiff_t per_token, ptrdiff_t x_stride);

/// a = silu(gate) ⊙ up, with gate and up the first and second F of each row of h.
void apus_expert_swiglu_f32(float* a, const float* h, ptrdiff_t rows, ptrdiff_t features,
                            ptrdiff_t a_stride, ptrdiff_t h_stride);
/// From da before the gate w = weights[row_slots[r]]: dh = w · (da through the activation),
/// wa = w · a, and dweights[row_slots[r]] = Σ da ⊙ a. wa has da's stride, dh has h's; wa may be da,
/// and dh may be h.
void apus_expert_swiglu_backward_f32(float* dh, float* wa, float* dweights, const float* da,
                                     const float* h, const float* weights, const int32_t* row_slots,
                                     ptrdiff_t rows, ptrdiff_t features, ptrdiff_t a_stride,
                                     ptrdiff_t h_stride);
void apus_expert_swiglu_reference_f32(float* a, const float* h, ptrdiff_t rows, ptrdiff_t features,
                                      ptrdiff_t a_stride, ptrdiff_t h_stride);
void apus_expert_swiglu_backward_reference_f32(float* dh, float* wa, float* dweights,
                                               const float* da, const float* h,
                                               const float* weights, const int32_t* row_slots,
                                               ptrdiff_t rows, ptrdiff_t features,
                                               ptrdiff_t a_stride, ptrdiff_t h_stride);

typedef struct {
  ptrdiff_t groups, columns, inner;        ///< X; the sizes of b: [inner, columns]
  ptrdiff_t a_stride, b_stride, c_stride;  ///< distance between stored rows
  int transpose_b;                         ///< every b is stored [columns, inner]
  int accumulate;                          ///< add to c instead of overwriting it
  int bf16;                                ///< round to bfloat16 as apus_product_bf16 does
  int rows_alone;                          ///< each row of c has the bits it has as the only one
} apus_grouped_shape;

/// c = a · op(b[g]) for the rows offsets[g] ..< offsets[g + 1] of each group g: one queue of tiles
/// over all groups. With fewer than 32 rows to a group on average the bits of a row do not depend
/// on the others. Returns 0, or a oneDNN status.
int apus_grouped_product_f32(float* c, const float* a, const float* const* b,
                             const int32_t* offsets, const apus_grouped_shape* shape);
/// The gradients of every b as it is stored from a (the first argument's rows) and dc:
/// db[g] = aᵀ · dc, [inner, columns], over the rows of the group; dcᵀ · a when transposed.
/// Zeros for a group without rows; a NULL is skipped.
int apus_grouped_product_backward_f32(float* const* db, const float* a, const float* dc,
                                      const int32_t* offsets, const apus_grouped_shape* shape);
void apus_grouped_product_reference_f32(float* c, const float* a, const float* const* b,
                                        const int32_t* offsets, const apus_grouped_shape* shape);
void apus_grouped_product_backward_reference_f32(float* const* db, const float* a, const float* dc,
                                                 const int32_t* offsets,
                                                 const apus_grouped_shape* shape);

#ifdef __cplusplus
}
#endif
