// The only door to the arithmetic of Apus: plain C, no exception crosses it.
//
// Conventions that hold for every function below, unless its comment says otherwise:
// - arrays are row-major, the last index fastest; `[B, T, D]` is batch, time, features;
// - arguments run outputs, inputs, sizes, scalars; gradients are `d` + name;
// - outputs are written whole, never read, and may hold anything on entry; outputs alias nothing;
// - a `_stride` is the distance in elements between consecutive tokens (rows), so that a part of a
//   fused array can be read or written in place; it is at least the row's own length;
// - reductions accumulate in float unless the comment says double, in an order that depends on the
//   sizes only, never on the number of threads: every thread count gives the same bits;
// - each operation has a `_reference` twin: scalar, double accumulation, one thread, the truth.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------
// The machine: threads, instruction sets, memory.

/// Sets how many threads the kernels use, from 1 to the number of cores; 0 means all cores.
/// Returns the count in force.
int apus_set_threads(int count);
int apus_threads(void);
/// The vector instruction set in use, e.g. "AVX2". `APUS_MAX_TARGET` in the environment caps it.
const char* apus_isa_name(void);
/// Caps the instruction set from now on ("SSE4", "AVX2", "AVX3", or NULL for the best). Returns 0
/// and changes nothing when the CPU has no such target. For tests; not while kernels run.
int apus_cap_target(const char* name);
/// The targets this CPU can run, best first, separated by spaces.
const char* apus_available_targets(void);
/// The instruction set that the matrix products use.
const char* apus_product_isa_name(void);
/// Whether the CPU multiplies bfloat16 in hardware.
int apus_has_bf16_products(void);

/// Memory from the pool: 64-byte aligned, contents undefined. NULL when the system has none left.
void* apus_buffer_acquire(size_t bytes);
/// Gives a buffer back. `bytes` is what was asked for.
void apus_buffer_release(void* buffer, size_t bytes);
/// Bytes handed out now, and the most that ever were since the last reset.
size_t apus_buffer_bytes_in_use(void);
size_t apus_buffer_peak_bytes(void);
void apus_buffer_reset_peak(void);
/// Returns cached, unused memory to the system.
void apus_buffer_trim(void);

/// Watches the signals of a long run: SIGINT, SIGTERM and SIGHUP to stop, SIGUSR1 for a checkpoint.
/// The first one to stop sets a flag, the second ends the process with 128 + signal. Ignored
/// signals stay ignored. `stops_with_parent` sends SIGTERM when the parent dies (Linux only). Not
/// thread-safe.
void apus_signals_watch(int stops_with_parent);
/// Restores what handled the signals before.
void apus_signals_unwatch(void);
/// The first signal to stop, or 0.
int apus_signals_stop(void);
/// Whether a checkpoint was asked for since the last call.
int apus_signals_take_checkpoint_request(void);

// ---------------------------------------------------------------------------------------------
// Matrix products (oneDNN).

typedef struct {
  ptrdiff_t rows, columns, inner;          ///< c is [rows, columns]; the sum runs over `inner`.
  ptrdiff_t a_stride, b_stride, c_stride;  ///< distance between stored rows
  int transpose_a;                         ///< a is stored [inner, rows] instead of [rows, inner]
  int transpose_b;                         ///< b is stored [columns, inner], as a weight is
  int accumulate;                          ///< add to c instead of overwriting it
} apus_product_shape;

/// c = op(a) · op(b) + bias. `bias` is [columns] or NULL. Returns 0, or a oneDNN status.
int apus_product_f32(float* c, const float* a, const float* b, const float* bias,
                     const apus_product_shape* shape);
/// The same with a and b rounded to bfloat16 and accumulation in float, where the CPU has the
/// instruction; elsewhere it is `apus_product_f32`.
int apus_product_bf16(float* c, const float* a, const float* b, const float* bias,
                      const apus_product_shape* shape);
/// The float product through the same kept primitives as bfloat16's, so that their code is tested
/// on machines without bfloat16. Returns 0, or a oneDNN status.
int apus_product_primitive_f32(float* c, const float* a, const float* b, const float* bias,
                               const apus_product_shape* shape);
void apus_product_reference_f32(float* c, const float* a, const float* b, const float* bias,
                                const apus_product_shape* shape);

// ---------------------------------------------------------------------------------------------
// Element-wise. `y` may be `x` (or `a`) in this section.

void apus_fill_f32(float* y, float value, ptrdiff_t count);
/// y = a + b
void apus_add_f32(float* y, const float* a, const float* b, ptrdiff_t count);
/// y = a · b
void apus_multiply_f32(float* y, const float* a, const float* b, ptrdiff_t count);
/// y += scale · x
void apus_axpy_f32(float* y, const float* x, float scale, ptrdiff_t count);
/// y = scale · x
void apus_scale_f32(float* y, const float* x, float scale, ptrdiff_t count);
/// Sum of x, accumulated in double in fixed blocks.
double apus_sum_f32(const float* x, ptrdiff_t count);
/// Sum of x², accumulated in double in fixed blocks: for gradient clipping.
double apus_sum_of_squares_f32(const float* x, ptrdiff_t count);
/// y[c] = Σ_r x[r, c]: the gradient of a bias. Accumulates when `accumulate` is not 0.
void apus_column_sum_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t columns,
                         ptrdiff_t x_stride, int accumulate);
void apus_column_sum_reference_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t columns,
                                   ptrdiff_t x_stride, int accumulate);
/// Copies rows between strided arrays: y[r, 0..<columns] = x[r, 0..<columns]; adds when asked.
void apus_copy_rows_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t columns,
                        ptrdiff_t y_stride, ptrdiff_t x_stride, int accumulate);
/// Rounds to nearest even. Not-a-number stays one.
void apus_f32_to_bf16(uint16_t* y, const float* x, ptrdiff_t count);
void apus_bf16_to_f32(float* y, const uint16_t* x, ptrdiff_t count);
void apus_f32_to_f16(uint16_t* y, const float* x, ptrdiff_t count);
void apus_f16_to_f32(float* y, const uint16_t* x, ptrdiff_t count);

typedef enum {
  APUS_RELU = 0,
  APUS_GELU = 1,       ///< x · Φ(x), by erf
  APUS_GELU_TANH = 2,  ///< 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))
  APUS_SILU = 3,       ///< x · sigmoid(x)
  APUS_SIGMOID = 4,
  APUS_TANH = 5,
  APUS_SOFTPLUS = 6,  ///< ln(1 + eˣ); x itself above 20
  APUS_EXP = 7,
  APUS_LOG = 8,  ///< ln x
  APUS_ERF = 9,  ///< the error function
} apus_activation;

void apus_activation_f32(float* y, const float* x, ptrdiff_t count, apus_activation kind);
/// dx = dy · f'(x). `dx` may be `dy`.
void apus_activation_backward_f32(float* dx, const float* dy, const float* x, ptrdiff_t count,
                                  apus_activation kind);
void apus_activation_reference_f32(float* y, const float* x, ptrdiff_t count, apus_activation kind);
void apus_activation_backward_reference_f32(float* dx, const float* dy, const float* x,
                                            ptrdiff_t count, apus_activation kind);

/// y = silu(gate) · up, with gate and up the two halves of each row of x `[rows, 2 · features]`.
/// Shazeer, 2020, arXiv:2002.05202.
void apus_swiglu_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t features);
void apus_swiglu_backward_f32(float* dx, const float* dy, const float* x, ptrdiff_t rows,
                              ptrdiff_t features);
void apus_swiglu_reference_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t features);
void apus_swiglu_backward_reference_f32(float* dx, const float* dy, const float* x, ptrdiff_t rows,
                                        ptrdiff_t features);

/// y = a ⊙ silu(b): a gate. Backward gives da and db.
void apus_gate_silu_f32(float* y, const float* a, const float* b, ptrdiff_t count);
void apus_gate_silu_backward_f32(float* da, float* db, const float* dy, const float* a,
                                 const float* b, ptrdiff_t count);

/// y = x held within ±limit. Not-a-number stays one. y may be x.
void apus_clamp_f32(float* y, const float* x, float limit, ptrdiff_t count);
/// dx = dy where |x| < limit, 0 elsewhere. dx may be dy.
void apus_clamp_backward_f32(float* dx, const float* dy, const float* x, float limit,
                             ptrdiff_t count);
void apus_clamp_reference_f32(float* y, const float* x, float limit, ptrdiff_t count);
void apus_clamp_backward_reference_f32(float* dx, const float* dy, const float* x, float limit,
                                       ptrdiff_t count);

/// Dropout by counter: keeps element i with probability `keep`, scaled by 1/keep, decided by
/// Philox4x32-10 of (seed, stream, i). Backward is the same call on dy. y may be x.
void apus_dropout_f32(float* y, const float* x, ptrdiff_t count, float keep, uint64_t seed,
                      uint64_t stream);

// ---------------------------------------------------------------------------------------------
// Random numbers: Philox4x32-10 (Salmon et al., 2011), element i depends on (seed, stream, i) only.

/// Uniform in [low, high).
void apus_random_uniform_f32(float* y, ptrdiff_t count, float low, float high, uint64_t seed,
                             uint64_t stream, uint64_t offset);
/// Normal by Box-Muller.
void apus_random_normal_f32(float* y, ptrdiff_t count, float mean, float deviation, uint64_t seed,
                            uint64_t stream, uint64_t offset);
/// Four 32-bit words of Philox4x32-10 at a counter.
void apus_philox4x32(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t counter);

// ---------------------------------------------------------------------------------------------
// Normalization over the last axis. `statistics` is [rows, 2]: mean and 1/deviation (LayerNorm),
// or [rows]: 1/root-mean-square (RMSNorm), kept for backward.

/// y = (x − mean)/√(variance + epsilon) · weight + bias. `bias` may be NULL.
void apus_layer_norm_f32(float* y, float* statistics, const float* x, const float* weight,
                         const float* bias, ptrdiff_t rows, ptrdiff_t features, float epsilon);
/// `dweight` and `dbias` are overwritten; `dbias` may be NULL. `dx` may be `dy`.
void apus_layer_norm_backward_f32(float* dx, float* dweight, float* dbias, const float* dy,
                                  const float* x, const float* weight, const float* statistics,
                                  ptrdiff_t rows, ptrdiff_t features);
void apus_layer_norm_reference_f32(float* y, float* statistics, const float* x, const float* weight,
                                   const float* bias, ptrdiff_t rows, ptrdiff_t features,
                                   float epsilon);
void apus_layer_norm_backward_reference_f32(float* dx, float* dweight, float* dbias,
                                            const float* dy, const float* x, const float* weight,
                                            const float* statistics, ptrdiff_t rows,
                                            ptrdiff_t features);
/// The same for each of the first `heads` heads of a row alone, without a bias: `weight` is
/// [heads, head_size], `statistics` [rows, heads, 2]. x and y are [rows, stride]; what lies behind
/// the heads is neither read nor written. y may be x.
void apus_head_norm_f32(float* y, float* statistics, const float* x, const float* weight,
                        ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t head_size, ptrdiff_t stride,
                        float epsilon);
/// `dweight` is overwritten. dx and dy have the stride of x; `dx` may be `dy`.
void apus_head_norm_backward_f32(float* dx, float* dweight, const float* dy, const float* x,
                                 const float* weight, const float* statistics, ptrdiff_t rows,
                                 ptrdiff_t heads, ptrdiff_t head_size, ptrdiff_t stride);
void apus_head_norm_reference_f32(float* y, float* statistics, const float* x, const float* weight,
                                  ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t head_size,
                                  ptrdiff_t stride, float epsilon);
void apus_head_norm_backward_reference_f32(float* dx, float* dweight, const float* dy,
                                           const float* x, const float* weight,
                                           const float* statistics, ptrdiff_t rows, ptrdiff_t heads,
                                           ptrdiff_t head_size, ptrdiff_t stride);
/// y = x · weight / √(mean x² + epsilon). Zhang and Sennrich, 2019, arXiv:1910.07467.
/// `weight` may be NULL (all ones).
void apus_rms_norm_f32(float* y, float* statistics, const float* x, const float* weight,
                       ptrdiff_t rows, ptrdiff_t features, float epsilon);
void apus_rms_norm_backward_f32(float* dx, float* dweight, const float* dy, const float* x,
                                const float* weight, const float* statistics, ptrdiff_t rows,
                                ptrdiff_t features);
void apus_rms_norm_reference_f32(float* y, float* statistics, const float* x, const float* weight,
                                 ptrdiff_t rows, ptrdiff_t features, float epsilon);
void apus_rms_norm_backward_reference_f32(float* dx, float* dweight, const float* dy,
                                          const float* x, const float* weight,
                                          const float* statistics, ptrdiff_t rows,
                                          ptrdiff_t features);

// ---------------------------------------------------------------------------------------------
// Rotary positions. Su et al., 2021, arXiv:2104.09864. Rotates, in place, `heads` heads of
// `head_size` in each row of x `[rows, stride]`; only the first `2 · pairs` features of a head
// turn. `cosine` and `sine` are [rows of the table, pairs]; row r uses table row positions[r].
// `interleaved` pairs (2m, 2m+1), otherwise (m, m + pairs). `inverse` turns back: the gradient.

void apus_rope_f32(float* x, const float* cosine, const float* sine, const int32_t* positions,
                   ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t head_size, ptrdiff_t pairs,
                   ptrdiff_t stride, int interleaved, int inverse);
void apus_rope_reference_f32(float* x, const float* cosine, const float* sine,
                             const int32_t* positions, ptrdiff_t rows, ptrdiff_t heads,
                             ptrdiff_t head_size, ptrdiff_t pairs, ptrdiff_t stride,
                             int interleaved, int inverse);

// ---------------------------------------------------------------------------------------------
// Embedding. Ids must lie in 0..<vocabulary: the caller checks.

/// y[r] = table[ids[r]]
void apus_embedding_f32(float* y, const float* table, const int32_t* ids, ptrdiff_t rows,
                        ptrdiff_t features);
/// dtable[ids[r]] += dy[r], in row order; `dtable` [vocabulary, features] is accumulated into.
void apus_embedding_backward_f32(float* dtable, const float* dy, const int32_t* ids, ptrdiff_t rows,
                                 ptrdiff_t features, ptrdiff_t vocabulary);

// ---------------------------------------------------------------------------------------------
// Losses.

/// Softmax cross-entropy of one block of logits, in place: on entry `logits` [rows, vocabulary];
/// on return its gradient, (softmax − one-hot) · gradient_scale, when gradient_scale is not 0, else
/// left as it was. `losses` [rows] gets −ln p(target); rows with target < 0 get loss 0, gradient 0;
/// a target past the vocabulary gets not-a-number as its loss, gradient 0.
void apus_cross_entropy_f32(float* logits, float* losses, const int32_t* targets, ptrdiff_t rows,
                            ptrdiff_t vocabulary, float gradient_scale);
void apus_cross_entropy_reference_f32(float* logits, float* losses, const int32_t* targets,
                                      ptrdiff_t rows, ptrdiff_t vocabulary, float gradient_scale);

/// Monotone quantiles from a free vector: with m = levels / 2 (the median's index),
/// q_m = x_m, q_{i+1} = q_i + softplus(x_{i+1}) above and q_{i−1} = q_i − softplus(x_{i−1}) below.
/// x and q are [rows, levels].
void apus_monotone_quantiles_f32(float* q, const float* x, ptrdiff_t rows, ptrdiff_t levels);
void apus_monotone_quantiles_backward_f32(float* dx, const float* dq, const float* x,
                                          ptrdiff_t rows, ptrdiff_t levels);
/// Pinball loss ρ_τ(y, q) = max(τ (y − q), (τ − 1)(y − q)). `losses` [rows] gets the mean over the
/// levels times weights[row]; `dq` (may be NULL) its gradient. `weights` may be NULL (ones); a row
/// of weight 0 is skipped whatever its target holds.
void apus_pinball_f32(float* losses, float* dq, const float* q, const float* targets,
                      const float* weights, const float* levels, ptrdiff_t rows,
                      ptrdiff_t level_count);

// ---------------------------------------------------------------------------------------------
// Exact attention, tile by tile; the score matrix never stands in memory.
// Dao, 2023, FlashAttention-2, arXiv:2307.08691.

typedef struct {
  ptrdiff_t batch, queries, keys;  ///< B, T_q, T_k; query i stands at key i + keys − queries
  ptrdiff_t heads, kv_heads, head_size;  ///< kv_heads divides heads; head_size up to 256
  ptrdiff_t q_stride, k_stride, v_stride, o_stride;  ///< between tokens
  ptrdiff_t q_batch, k_batch, v_batch, o_batch;      ///< between batch rows
  ptrdiff_t window;  ///< a query sees the last so many keys, itself included, none after; 0: all
  int causal;
  float scale;
} apus_attention_shape;

/// o = softmax(scale · q kᵀ, masked) v. `lse` [B, heads, T_q] gets the log of the sum of the
/// exponentials (+∞ for a row without keys, whose output is 0). It may be NULL.
/// Head h reads key-value head h / (heads / kv_heads). Head h of a token starts at h · head_size.
void apus_attention_f32(float* o, float* lse, const float* q, const float* k, const float* v,
                        const apus_attention_shape* shape);
/// dq, dk, dv use the strides of q, k, v; dout those of o. All are overwritten whole.
void apus_attention_backward_f32(float* dq, float* dk, float* dv, const float* dout, const float* q,
                                 const float* k, const float* v, const float* o, const float* lse,
                                 const apus_attention_shape* shape);
void apus_attention_reference_f32(float* o, float* lse, const float* q, const float* k,
                                  const float* v, const apus_attention_shape* shape);
void apus_attention_backward_reference_f32(float* dq, float* dk, float* dv, const float* dout,
                                           const float* q, const float* k, const float* v,
                                           const float* o, const float* lse,
                                           const apus_attention_shape* shape);

// ---------------------------------------------------------------------------------------------
// LSH attention: every token attends within lists of tokens that hash alike. Kitaev, Kaiser and
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
//   o_t = Σ_s φ_q(q_t)·φ_k(k_s) v_s, over s <= t if causal, over all s otherwise;
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
  int causal;
  float scale;    ///< of x̃
  float epsilon;  ///< added to denominators
} apus_feature_shape;

/// Floats of the state of one head: S [m, dv]; z [m] unless Gaussian; c [m] if exponential.
ptrdiff_t apus_feature_state_size(const apus_feature_shape* shape);
/// How many states of a head backward needs: one per tile of tokens if causal, one otherwise.
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
/// `checkpoints` gets the state before each chunk, [B, ceil(T / chunk), 2, N, D] with values private
/// to the kernels; NULL when no backward follows.
void apus_complex_ema_f32(float* y, float* state, float* checkpoints, const float* x,
                          const apus_complex_ema_parameters* parameters,
                          const apus_complex_ema_shape* shape);
/// Gradients from dy [B, T, D]. `dstate` [B, 2, N, D] holds the gradient of the state after the last
/// token on entry and of that before the first on return (∂/∂Re and ∂/∂Im); NULL means zeros.
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

// ---------------------------------------------------------------------------------------------
// Optimizers, fused: one pass over the parameter.

typedef struct {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float gradient_scale;  ///< multiplies the gradient first: clipping and accumulation
  int64_t step;          ///< from 1, for the bias correction
} apus_adamw_options;

/// AdamW. Loshchilov and Hutter, 2017, arXiv:1711.05101. All arrays have `count` elements.
void apus_adamw_f32(float* parameter, float* first_moment, float* second_moment,
                    const float* gradient, ptrdiff_t count, const apus_adamw_options* options);
void apus_adamw_reference_f32(float* parameter, float* first_moment, float* second_moment,
                              const float* gradient, ptrdiff_t count,
                              const apus_adamw_options* options);
/// Stochastic gradient descent with momentum: v = momentum · v + g + decay · p; p −= rate · v.
void apus_sgd_f32(float* parameter, float* velocity, const float* gradient, ptrdiff_t count,
                  float learning_rate, float momentum, float weight_decay, float gradient_scale);

#ifdef __cplusplus
}
#endif
