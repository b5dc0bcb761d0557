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
//   Without one are those that are scalar themselves or a line long (fill, add, multiply, axpy,
//   scale, copy_rows, embedding, philox4x32, lsh_order, lsh_reserve, text_decimals, text_dates) and
//   other ways to an operation that has one (product_bf16, product_primitive, ssd_step).
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
/// Returns cached, unused memory to the system. Without it, what is cached and what is in use
/// together stay below five quarters of the most that was in use since the last trim, or 64 MiB
/// more than that: then the sizes that were asked for longest ago go.
void apus_buffer_trim(void);
/// Bytes cached now.
size_t apus_buffer_bytes_cached(void);
/// For tests: after `count` more acquisitions there is no memory; never with a negative count.
void apus_buffer_fail_after(ptrdiff_t count);

/// Ends the process with "apus: " and the message on standard error.
#if defined(__cplusplus)
[[noreturn]]
#else
_Noreturn
#endif
void apus_stop(const char* message);

/// Watches the signals of a long run: SIGINT, SIGTERM and SIGHUP to stop, SIGUSR1 for a checkpoint.
/// The first one to stop sets a flag, the second ends the process with 128 + signal. Ignored
/// signals stay ignored. Returns what ``apus_signals_wait`` waits for, or -1 when signals are
/// watched already or no descriptor is left. Not thread-safe.
int apus_signals_watch(void);
/// Waits until a signal to stop comes, which it returns, or until watching ends: then 0. Call it
/// once for each watch.
int apus_signals_wait(int watch);
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
  int rows_alone;                          ///< each row of c has the bits it has as the only one
} apus_product_shape;

/// c = op(a) · op(b) + bias. `bias` is [columns] or NULL. Returns 0, or a oneDNN status.
int apus_product_f32(float* c, const float* a, const float* b, const float* bias,
                     const apus_product_shape* shape);
/// The same with a and b rounded to bfloat16 and accumulation in float, where the CPU has the
/// instruction; elsewhere it is `apus_product_f32`.
int apus_product_bf16(float* c, const float* a, const float* b, const float* bias,
                      const apus_product_shape* shape);
/// The product through the kept primitives that bfloat16 takes, whatever the size: in float, so
/// that their code is tested on machines without bfloat16, or with a and b rounded where oneDNN can
/// at all, which is from AVX-512 on. Returns 0, or a oneDNN status.
int apus_product_primitive(float* c, const float* a, const float* b, const float* bias,
                           const apus_product_shape* shape, int bf16);
/// How many primitives the calling thread keeps: at most 256, of which the one unused for longest
/// makes room.
ptrdiff_t apus_product_primitives_kept(void);
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
double apus_sum_reference_f32(const float* x, ptrdiff_t count);
double apus_sum_of_squares_reference_f32(const float* x, ptrdiff_t count);
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
void apus_f32_to_bf16_reference(uint16_t* y, const float* x, ptrdiff_t count);
void apus_bf16_to_f32_reference(float* y, const uint16_t* x, ptrdiff_t count);
void apus_f32_to_f16_reference(uint16_t* y, const float* x, ptrdiff_t count);
void apus_f16_to_f32_reference(float* y, const uint16_t* x, ptrdiff_t count);

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
void apus_gate_silu_reference_f32(float* y, const float* a, const float* b, ptrdiff_t count);
void apus_gate_silu_backward_reference_f32(float* da, float* db, const float* dy, const float* a,
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
void apus_dropout_reference_f32(float* y, const float* x, ptrdiff_t count, float keep,
                                uint64_t seed, uint64_t stream);

// ---------------------------------------------------------------------------------------------
// Random numbers: Philox4x32-10 (Salmon et al., 2011), element i depends on (seed, stream, i) only.

/// Uniform in [low, high).
void apus_random_uniform_f32(float* y, ptrdiff_t count, float low, float high, uint64_t seed,
                             uint64_t stream, uint64_t offset);
/// Normal by Box-Muller.
void apus_random_normal_f32(float* y, ptrdiff_t count, float mean, float deviation, uint64_t seed,
                            uint64_t stream, uint64_t offset);
void apus_random_uniform_reference_f32(float* y, ptrdiff_t count, float low, float high,
                                       uint64_t seed, uint64_t stream, uint64_t offset);
void apus_random_normal_reference_f32(float* y, ptrdiff_t count, float mean, float deviation,
                                      uint64_t seed, uint64_t stream, uint64_t offset);
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
void apus_embedding_backward_reference_f32(float* dtable, const float* dy, const int32_t* ids,
                                           ptrdiff_t rows, ptrdiff_t features,
                                           ptrdiff_t vocabulary);

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
void apus_monotone_quantiles_reference_f32(float* q, const float* x, ptrdiff_t rows,
                                           ptrdiff_t levels);
void apus_monotone_quantiles_backward_reference_f32(float* dx, const float* dq, const float* x,
                                                    ptrdiff_t rows, ptrdiff_t levels);
/// Pinball loss ρ_τ(y, q) = max(τ (y − q), (τ − 1)(y − q)). `losses` [rows] gets the mean over the
/// levels times weights[row]; `dq` (may be NULL) its gradient. `weights` may be NULL (ones); a row
/// of weight 0 is skipped whatever its target holds.
void apus_pinball_f32(float* losses, float* dq, const float* q, const float* targets,
                      const float* weights, const float* levels, ptrdiff_t rows,
                      ptrdiff_t level_count);
void apus_pinball_reference_f32(float* losses, float* dq, const float* q, const float* targets,
                                const float* weights, const float* levels, ptrdiff_t rows,
                                ptrdiff_t level_count);

/// Families of distributions, by the free outputs x of a row. With s = softplus:
/// Student t, 3: location x_0, scale 1e-4 + s(x_1), degrees of freedom 2.01 + s(x_2), at most
/// 1002.01. Mixture of K <= 16 normals, 3 K: weights softmax(x_k), locations x_{K+k}, scales 1e-4 +
/// s(x_{2K+k}). Counts, 3, in a unit u of the row: 0 with probability logistic(x_2), else a
/// negative binomial of mean u (1e-6 + s(x_0)) and dispersion s(x_1) / sqrt(u), at least 1e-6, at
/// most 1e3: its variance is mean + dispersion mean^2. Locations are held within 1e6 in size,
/// scales and the mean over the unit to about as much.
enum { APUS_STUDENT_T = 0, APUS_MIXTURE = 1, APUS_COUNTS = 2 };

/// `losses` [rows] gets -ln p(target) times weights[row]; `dx` (may be NULL) its gradient, [rows,
/// outputs]. A target beyond 1e6 in size counts as that. Counts: target times scales[row], the
/// unit, is rounded to the count; `scales` may be NULL (ones), and one of 0 is 1. `weights` may be
/// NULL (ones); a row of weight 0 is skipped whatever its target holds.
void apus_likelihood_f32(float* losses, float* dx, const float* x, const float* targets,
                         const float* scales, const float* weights, ptrdiff_t rows,
                         ptrdiff_t outputs, int family);
void apus_likelihood_reference_f32(float* losses, float* dx, const float* x, const float* targets,
                                   const float* scales, const float* weights, ptrdiff_t rows,
                                   ptrdiff_t outputs, int family);
/// The parameters of the distributions, [rows, outputs], in the order of the outputs.
void apus_likelihood_parameters_f64(double* parameters, const float* x, const float* scales,
                                    ptrdiff_t rows, ptrdiff_t outputs, int family);
/// Quantiles of mixtures by their parameters, [rows, level_count], ascending like the levels;
/// `scores` are the standard normal's quantiles at the levels. At most 100 steps each.
void apus_mixture_quantiles_f64(double* q, const double* parameters, const double* levels,
                                const double* scores, ptrdiff_t rows, ptrdiff_t components,
                                ptrdiff_t level_count);
void apus_mixture_quantiles_reference_f64(double* q, const double* parameters, const double* levels,
                                          const double* scores, ptrdiff_t rows,
                                          ptrdiff_t components, ptrdiff_t level_count);

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

#include "apus_mixers.h"  // what mixes tokens besides exact attention
#include "apus_text.h"    // tables of text
#include "apus_xlstm.h"   // the recurrences of xLSTM

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
void apus_sgd_reference_f32(float* parameter, float* velocity, const float* gradient,
                            ptrdiff_t count, float learning_rate, float momentum,
                            float weight_decay, float gradient_scale);

#ifdef __cplusplus
}
#endif
