// Matrix products by oneDNN: the only file that includes its header.
//
// The product is cut into blocks by its sizes alone, and the pool's threads take blocks; oneDNN
// runs on one thread inside each. float goes through the BLAS-like call, which has no set-up cost;
// bfloat16 goes through primitives, whose creation costs 170 us and which are therefore kept by
// shape.
#include "support/product.h"

#include <dnnl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <vector>

#include "include/apus_kernels.h"
#include "support/parallel.h"
#include "support/product_threads.h"

namespace apus {
namespace {

/// Rows and columns of a block. Tall blocks amortise the packing of b; several blocks feed several
/// threads even when c is a small weight gradient.
struct Blocking {
  ptrdiff_t rows, columns, row_blocks, column_blocks;
};

Blocking BlockingOf(const apus_product_shape& s) {
  Blocking blocking{s.rows, s.columns, 1, 1};
  const double operations = 2.0 * s.rows * s.columns * s.inner;
  if (operations < 4e5) return blocking;  // a hand-over to a second thread would cost more
  constexpr ptrdiff_t kRows = 256, kColumns = 64, kEnough = 8;
  if (s.rows >= 2 * kRows) {
    blocking.rows = kRows;
  } else {
    blocking.rows = (s.rows + 1) / 2 < 64 ? (s.rows < 64 ? s.rows : 64) : (s.rows + 1) / 2;
    blocking.rows = (blocking.rows + 15) / 16 * 16;
  }
  blocking.row_blocks = (s.rows + blocking.rows - 1) / blocking.rows;
  if (blocking.row_blocks < kEnough && s.columns >= 2 * kColumns) {
    ptrdiff_t wanted = (kEnough + blocking.row_blocks - 1) / blocking.row_blocks;
    ptrdiff_t width = (s.columns + wanted - 1) / wanted;
    width = (width + kColumns - 1) / kColumns * kColumns;
    blocking.columns = width;
    blocking.column_blocks = (s.columns + width - 1) / width;
  }
  return blocking;
}

void PlaceBias(float* c, const float* bias, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t stride,
               bool accumulate) {
  for (ptrdiff_t r = 0; r < rows; ++r, c += stride) {
    if (accumulate) {
      for (ptrdiff_t j = 0; j < columns; ++j) c[j] += bias[j];
    } else {
      std::memcpy(c, bias, static_cast<size_t>(columns) * sizeof(float));
    }
  }
}

int FloatBlock(float* c, const float* a, const float* b, const float* bias,
               const apus_product_shape& s, ptrdiff_t i, ptrdiff_t j, ptrdiff_t rows,
               ptrdiff_t columns) {
  a += s.transpose_a ? i : i * s.a_stride;
  b += s.transpose_b ? j * s.b_stride : j;
  c += i * s.c_stride + j;
  const bool keeps = s.accumulate || bias != nullptr;
  if (bias != nullptr) PlaceBias(c, bias + j, rows, columns, s.c_stride, s.accumulate != 0);
  return dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', rows, columns, s.inner,
                    1.0f, a, s.a_stride, b, s.b_stride, keeps ? 1.0f : 0.0f, c, s.c_stride);
}

/// Rows a multiple of 1 KiB apart fall into few sets of the cache, and a kernel that walks down
/// columns then runs at less than half its rate (40 against 92 GFLOP/s a core on Zen 3, rows of
/// 1,024 floats). Such a matrix is copied to rows 16 floats further apart, at the cost of one pass
/// over it.
class SpreadRows {
 public:
  /// `data` and `stride` are those of a [rows, columns] matrix; `uses` is how often each element is
  /// multiplied.
  SpreadRows(const float* data, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t stride, ptrdiff_t uses)
      : data_(data), stride_(stride) {
    if (stride % 256 != 0 || rows < 32 || uses < 48) return;
    const ptrdiff_t spread = (columns + 15) / 16 * 16 + 16;
    bytes_ = static_cast<size_t>(rows * spread) * sizeof(float);
    copy_ = static_cast<float*>(apus_buffer_acquire(bytes_));
    if (copy_ == nullptr) return;  // slower, not wrong
    ParallelRanges(rows, RowGrain(columns), [&](ptrdiff_t first, ptrdiff_t last) {
      for (ptrdiff_t r = first; r < last; ++r) {
        std::memcpy(copy_ + r * spread, data + r * stride,
                    static_cast<size_t>(columns) * sizeof(float));
      }
    });
    data_ = copy_;
    stride_ = spread;
  }
  ~SpreadRows() {
    if (copy_ != nullptr) apus_buffer_release(copy_, bytes_);
  }
  SpreadRows(const SpreadRows&) = delete;

  const float* data() const { return data_; }
  ptrdiff_t stride() const { return stride_; }

 private:
  const float* data_;
  ptrdiff_t stride_;
  float* copy_ = nullptr;
  size_t bytes_ = 0;
};

bool IsEmpty(const apus_product_shape& s) { return s.rows <= 0 || s.columns <= 0; }

/// Each row as a product of its own.
int RowByRow(float* c, const float* a, const float* b, const float* bias,
             const apus_product_shape& s) {
  apus_product_shape row = s;
  row.rows = 1;
  for (ptrdiff_t i = 0; i < s.rows; ++i) {
    const int status = apus_product_f32(c + i * s.c_stride, a + i * s.a_stride, b, bias, &row);
    if (status != 0) return status;
  }
  return 0;
}

void Clear(float* c, const float* bias, const apus_product_shape& s) {
  for (ptrdiff_t r = 0; r < s.rows; ++r) {
    float* row = c + r * s.c_stride;
    if (!s.accumulate) std::memset(row, 0, static_cast<size_t>(s.columns) * sizeof(float));
    if (bias == nullptr) continue;
    for (ptrdiff_t j = 0; j < s.columns; ++j) row[j] += bias[j];
  }
}

// ---- Products through primitives ---------------------------------------------------------------

struct Key {
  ptrdiff_t rows, columns, inner, a_stride, c_stride;
  int transpose_a, accumulate, type;
  bool operator==(const Key& o) const {
    return rows == o.rows && columns == o.columns && inner == o.inner && a_stride == o.a_stride &&
           c_stride == o.c_stride && transpose_a == o.transpose_a && accumulate == o.accumulate &&
           type == o.type;
  }
};

struct KeyHash {
  size_t operator()(const Key& k) const {
    size_t h = 1469598103934665603ull;
    for (ptrdiff_t v : {k.rows, k.columns, k.inner, k.a_stride, k.c_stride,
                        ptrdiff_t{k.transpose_a}, ptrdiff_t{k.accumulate}, ptrdiff_t{k.type}}) {
      h = (h ^ static_cast<size_t>(v)) * 1099511628211ull;
    }
    return h;
  }
};

dnnl_engine_t Engine() {
  static dnnl_engine_t engine = [] {
    dnnl_engine_t e = nullptr;
    if (dnnl_engine_create(&e, dnnl_cpu, 0) != dnnl_success) e = nullptr;
    return e;
  }();
  return engine;
}

dnnl_stream_t Stream() {
  thread_local dnnl_stream_t stream = [] {
    dnnl_stream_t s = nullptr;
    if (Engine() != nullptr) dnnl_stream_create(&s, Engine(), dnnl_stream_default_flags);
    return s;
  }();
  return stream;
}

dnnl_memory_desc_t Plain(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t row_stride,
                         ptrdiff_t column_stride, dnnl_data_type_t type) {
  dnnl_memory_desc_t desc;
  const dnnl_dims_t dims = {rows, columns}, strides = {row_stride, column_stride};
  dnnl_memory_desc_init_by_strides(&desc, 2, dims, type, strides);
  return desc;
}

/// One product of fixed sizes: its primitive and the layout it needs of b. Kept by each thread for
/// itself, because a primitive's scratch memory belongs to the thread that made it.
struct Primitive {
  dnnl_primitive_t matmul = nullptr;
  dnnl_memory_desc_t a, b, c;
  uint64_t used = 0;
};

using Primitives = std::unordered_map<Key, Primitive, KeyHash>;

Primitives& PrimitivesOfThread() {
  thread_local Primitives primitives;
  return primitives;
}

/// Makes room for one more. A product holds two at once: the last two used stay.
void DropOldest(Primitives& primitives) {
  constexpr size_t kMost = 256;
  if (primitives.size() < kMost) return;
  const auto oldest =
      std::min_element(primitives.begin(), primitives.end(),
                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  if (oldest->second.matmul != nullptr) dnnl_primitive_destroy(oldest->second.matmul);
  primitives.erase(oldest);
}

/// Null where oneDNN cannot make it.
const Primitive* PrimitiveFor(const Key& key) {
  Primitives& cache = PrimitivesOfThread();
  thread_local uint64_t clock = 0;
  const auto found = cache.find(key);
  if (found != cache.end()) {
    found->second.used = ++clock;
    return found->second.matmul == nullptr ? nullptr : &found->second;
  }
  if (Engine() == nullptr) return nullptr;
  DropOldest(cache);
  const auto type = static_cast<dnnl_data_type_t>(key.type);
  Primitive p;
  p.a = key.transpose_a ? Plain(key.rows, key.inner, 1, key.a_stride, type)
                        : Plain(key.rows, key.inner, key.a_stride, 1, type);
  p.c = Plain(key.rows, key.columns, key.c_stride, 1, dnnl_f32);
  const dnnl_dims_t b_dims = {key.inner, key.columns};
  dnnl_memory_desc_init_by_tag(&p.b, 2, b_dims, type, dnnl_format_tag_any);
  dnnl_primitive_attr_t attributes = nullptr;
  dnnl_post_ops_t post = nullptr;
  dnnl_primitive_attr_create(&attributes);
  if (key.accumulate) {
    dnnl_post_ops_create(&post);
    dnnl_post_ops_append_sum(post, 1.0f);
    dnnl_primitive_attr_set_post_ops(attributes, post);
  }
  dnnl_matmul_desc_t desc;
  dnnl_primitive_desc_t description = nullptr;
  dnnl_status_t status = dnnl_matmul_desc_init(&desc, &p.a, &p.b, nullptr, &p.c);
  if (status == dnnl_success) {
    status = dnnl_primitive_desc_create(&description, &desc, attributes, Engine(), nullptr);
  }
  if (status == dnnl_success) {
    p.b = *dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
    status = dnnl_primitive_create(&p.matmul, description);
  }
  if (description != nullptr) dnnl_primitive_desc_destroy(description);
  if (post != nullptr) dnnl_post_ops_destroy(post);
  dnnl_primitive_attr_destroy(attributes);
  if (status != dnnl_success) p.matmul = nullptr;
  p.used = ++clock;
  const Primitive& kept = cache.emplace(key, p).first->second;
  return kept.matmul == nullptr ? nullptr : &kept;
}

struct Memory {
  dnnl_memory_t memory = nullptr;
  Memory(const dnnl_memory_desc_t& desc, const void* data) {
    dnnl_memory_create(&memory, &desc, Engine(), const_cast<void*>(data));
  }
  ~Memory() {
    if (memory != nullptr) dnnl_memory_destroy(memory);
  }
  Memory(const Memory&) = delete;
};

/// dst = src in another layout or type.
int Reorder(const dnnl_memory_desc_t& from, const void* src, const dnnl_memory_desc_t& to,
            void* dst) {
  dnnl_primitive_desc_t description = nullptr;
  dnnl_primitive_t reorder = nullptr;
  dnnl_status_t status =
      dnnl_reorder_primitive_desc_create(&description, &from, Engine(), &to, Engine(), nullptr);
  if (status == dnnl_success) status = dnnl_primitive_create(&reorder, description);
  if (description != nullptr) dnnl_primitive_desc_destroy(description);
  if (status != dnnl_success) return status;
  Memory source(from, src), target(to, dst);
  const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, source.memory},
                                       {DNNL_ARG_TO, target.memory}};
  status = dnnl_primitive_execute(reorder, Stream(), 2, arguments);
  dnnl_stream_wait(Stream());
  dnnl_primitive_destroy(reorder);
  return status;
}

struct Buffer {
  size_t bytes;
  void* data;
  explicit Buffer(size_t bytes) : bytes(bytes), data(apus_buffer_acquire(bytes)) {}
  ~Buffer() { apus_buffer_release(data, bytes); }
  Buffer(const Buffer&) = delete;
};

/// A product through primitives: a is rounded and b packed once, both in parallel, and then blocks
/// of c are made.
class PrimitiveProduct {
 public:
  PrimitiveProduct(float* c, const float* a, const float* b, const float* bias,
                   const apus_product_shape& s, bool bf16)
      : c_(c), a_(a), b_(b), bias_(bias), s_(s), type_(bf16 ? dnnl_bf16 : dnnl_f32) {
    block_rows_ = s.rows;
    block_columns_ = s.columns;
    if (2.0 * s.rows * s.columns * s.inner < 4e5) return;  // see BlockingOf
    if (s.rows >= 128) block_rows_ = s.rows >= 512 ? 256 : (s.rows + 31) / 32 * 16;
    // Whole vectors of the widest kind; four blocks pack b on as many threads.
    constexpr ptrdiff_t kColumns = 64;
    const ptrdiff_t quarter = (s.columns + 3) / 4;
    block_columns_ = std::min(s.columns, (quarter + kColumns - 1) / kColumns * kColumns);
  }

  /// Returns 0, or a oneDNN status; `wrote` says whether c was touched then. Until every block's b
  /// is packed nothing is written, and a block that then finds no primitive or memory is multiplied
  /// without: what has been added to c is added once.
  int Run(bool* wrote) {
    const ptrdiff_t row_blocks = (s_.rows + block_rows_ - 1) / block_rows_;
    const ptrdiff_t column_blocks = (s_.columns + block_columns_ - 1) / block_columns_;
    if (Engine() == nullptr) return dnnl_runtime_error;
    Buffer rounded(type_ == dnnl_bf16 ? static_cast<size_t>(s_.rows * s_.inner) * 2 : 64);
    if (rounded.data == nullptr) return dnnl_out_of_memory;
    if (type_ == dnnl_bf16) RoundA(static_cast<uint16_t*>(rounded.data));
    std::vector<std::unique_ptr<Buffer>> packed(static_cast<size_t>(column_blocks));
    std::vector<int> statuses(static_cast<size_t>(row_blocks * column_blocks), 0);
    ParallelBlocks(column_blocks, [&](ptrdiff_t block) {
      statuses[static_cast<size_t>(block)] = Pack(block, packed[static_cast<size_t>(block)]);
    });
    for (int status : statuses) {
      if (status != 0) return status;
    }
    *wrote = true;
    ParallelBlocks(row_blocks * column_blocks, [&](ptrdiff_t block) {
      const ptrdiff_t column = block % column_blocks;
      statuses[static_cast<size_t>(block)] = Multiply(
          block / column_blocks, column, packed[static_cast<size_t>(column)]->data, rounded.data);
    });
    for (int status : statuses) {
      if (status != 0) return status;
    }
    return 0;
  }

 private:
  ptrdiff_t Rows(ptrdiff_t block) const {
    return std::min(block_rows_, s_.rows - block * block_rows_);
  }
  ptrdiff_t Columns(ptrdiff_t block) const {
    return std::min(block_columns_, s_.columns - block * block_columns_);
  }
  bool Keeps() const { return s_.accumulate || bias_ != nullptr; }

  const Primitive* For(ptrdiff_t rows, ptrdiff_t columns) const {
    // A rounded a lies densely; a float one is read where it is.
    const ptrdiff_t dense = s_.transpose_a ? s_.rows : s_.inner;
    return PrimitiveFor({rows, columns, s_.inner, type_ == dnnl_f32 ? s_.a_stride : dense,
                         s_.c_stride, s_.transpose_a, Keeps(), type_});
  }

  void RoundA(uint16_t* rounded) const {
    const ptrdiff_t lines = s_.transpose_a ? s_.inner : s_.rows;
    const ptrdiff_t length = s_.transpose_a ? s_.rows : s_.inner;
    ParallelRanges(lines, RowGrain(length), [&](ptrdiff_t first, ptrdiff_t last) {
      for (ptrdiff_t line = first; line < last; ++line) {
        apus_f32_to_bf16(rounded + line * length, a_ + line * s_.a_stride, length);
      }
    });
  }

  /// Some columns of b, in the type and the layout that a primitive needs.
  int PackFor(const Primitive& p, ptrdiff_t block, void* to) const {
    const ptrdiff_t j = block * block_columns_, columns = Columns(block);
    const dnnl_memory_desc_t from = s_.transpose_b
                                        ? Plain(s_.inner, columns, 1, s_.b_stride, dnnl_f32)
                                        : Plain(s_.inner, columns, s_.b_stride, 1, dnnl_f32);
    return Reorder(from, b_ + (s_.transpose_b ? j * s_.b_stride : j), p.b, to);
  }

  int Pack(ptrdiff_t block, std::unique_ptr<Buffer>& packed) const {
    const Primitive* p = For(Rows(0), Columns(block));
    if (p == nullptr) return dnnl_unimplemented;
    packed = std::make_unique<Buffer>(dnnl_memory_desc_get_size(&p->b));
    if (packed->data == nullptr) return dnnl_out_of_memory;
    return PackFor(*p, block, packed->data);
  }

  int Multiply(ptrdiff_t row_block, ptrdiff_t column_block, const void* packed,
               const void* rounded) const {
    const ptrdiff_t i = row_block * block_rows_, rows = Rows(row_block);
    const ptrdiff_t j = column_block * block_columns_, columns = Columns(column_block);
    const auto plainly = [&] { return FloatBlock(c_, a_, b_, bias_, s_, i, j, rows, columns); };
    const Primitive* p = For(rows, columns);
    const Primitive* first = For(Rows(0), columns);
    if (p == nullptr || first == nullptr) return plainly();
    // Another number of rows may want another layout of b: then this block packs its own.
    std::unique_ptr<Buffer> own;
    if (!dnnl_memory_desc_equal(&p->b, &first->b)) {
      own = std::make_unique<Buffer>(dnnl_memory_desc_get_size(&p->b));
      if (own->data == nullptr || PackFor(*p, column_block, own->data) != 0) return plainly();
      packed = own->data;
    }
    const void* a = a_ + (s_.transpose_a ? i : i * s_.a_stride);
    if (type_ == dnnl_bf16) {
      a = static_cast<const uint16_t*>(rounded) + (s_.transpose_a ? i : i * s_.inner);
    }
    float* c = c_ + i * s_.c_stride + j;
    if (bias_ != nullptr) {
      PlaceBias(c, bias_ + j, rows, columns, s_.c_stride, s_.accumulate != 0);
    }
    Memory ma(p->a, a), mb(p->b, packed), mc(p->c, c);
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, ma.memory}, {DNNL_ARG_WEIGHTS, mb.memory}, {DNNL_ARG_DST, mc.memory}};
    const dnnl_status_t status = dnnl_primitive_execute(p->matmul, Stream(), 3, arguments);
    dnnl_stream_wait(Stream());
    return status;
  }

  float* c_;
  const float *a_, *b_, *bias_;
  const apus_product_shape& s_;
  const dnnl_data_type_t type_;
  ptrdiff_t block_rows_, block_columns_;
};

}  // namespace

int ProductByPrimitives(float* c, const float* a, const float* b, const float* bias,
                        const apus_product_shape& s, bool bf16, bool* wrote) {
  if (IsEmpty(s)) return 0;
  if (s.inner <= 0) return Clear(c, bias, s), 0;
  PinProductsToOneThread();
  return PrimitiveProduct(c, a, b, bias, s, bf16).Run(wrote);
}

}  // namespace apus

extern "C" {

int apus_product_f32(float* c, const float* a, const float* b, const float* bias,
                     const apus_product_shape* shape) {
  using namespace apus;
  const apus_product_shape& s = *shape;
  if (IsEmpty(s)) return 0;
  if (s.inner <= 0) return Clear(c, bias, s), 0;
  const bool isAlone = s.rows_alone != 0 && !s.transpose_a;
  if ((s.rows <= kVectorProductRows || isAlone) && s.transpose_b && !s.transpose_a) {
    VectorProduct(c, a, b, bias, s);
    return 0;
  }
  if (isAlone && s.rows > 1) return RowByRow(c, a, b, bias, s);
  PinProductsToOneThread();
  const Blocking blocking = BlockingOf(s);
  const bool isLarge = 2.0 * s.rows * s.columns * s.inner >= 4e6;
  const SpreadRows spread_a(a, s.inner, s.rows, s.a_stride,
                            isLarge && s.transpose_a ? s.columns : 0);
  const SpreadRows spread_b(b, s.transpose_b ? s.columns : s.inner,
                            s.transpose_b ? s.inner : s.columns, s.b_stride, isLarge ? s.rows : 0);
  apus_product_shape spread = s;
  spread.a_stride = spread_a.stride();
  spread.b_stride = spread_b.stride();
  const ptrdiff_t blocks = blocking.row_blocks * blocking.column_blocks;
  int statuses[2] = {0, 0};  // any failure will do; each block writes only a failure
  ParallelBlocks(blocks, [&](ptrdiff_t block) {
    const ptrdiff_t i = block / blocking.column_blocks * blocking.rows;
    const ptrdiff_t j = block % blocking.column_blocks * blocking.columns;
    const ptrdiff_t rows = i + blocking.rows < s.rows ? blocking.rows : s.rows - i;
    const ptrdiff_t columns = j + blocking.columns < s.columns ? blocking.columns : s.columns - j;
    const int status =
        FloatBlock(c, spread_a.data(), spread_b.data(), bias, spread, i, j, rows, columns);
    if (status != 0) __atomic_store_n(&statuses[0], status, __ATOMIC_RELAXED);
  });
  return statuses[0];
}

int apus_product_bf16(float* c, const float* a, const float* b, const float* bias,
                      const apus_product_shape* shape) {
  // Few rows are bound by reading b, which lies in memory as float: rounding it first costs more.
  const bool small =
      shape->rows < 32 || shape->inner < 16 || shape->columns < 16 || shape->rows_alone != 0;
  if (!small && apus_has_bf16_products()) {
    bool wrote = false;
    const int status = apus::ProductByPrimitives(c, a, b, bias, *shape, true, &wrote);
    if (status == 0 || wrote) return status;
  }
  return apus_product_f32(c, a, b, bias, shape);
}

int apus_product_primitive(float* c, const float* a, const float* b, const float* bias,
                           const apus_product_shape* shape, int bf16) {
  bool wrote = false;
  return apus::ProductByPrimitives(c, a, b, bias, *shape, bf16 != 0, &wrote);
}

ptrdiff_t apus_product_primitives_kept(void) {
  return static_cast<ptrdiff_t>(apus::PrimitivesOfThread().size());
}

void apus_product_reference_f32(float* c, const float* a, const float* b, const float* bias,
                                const apus_product_shape* shape) {
  const apus_product_shape& s = *shape;
  for (ptrdiff_t i = 0; i < s.rows; ++i) {
    for (ptrdiff_t j = 0; j < s.columns; ++j) {
      double sum = bias == nullptr ? 0.0 : bias[j];
      for (ptrdiff_t k = 0; k < s.inner; ++k) {
        const double x = s.transpose_a ? a[k * s.a_stride + i] : a[i * s.a_stride + k];
        const double y = s.transpose_b ? b[j * s.b_stride + k] : b[k * s.b_stride + j];
        sum += x * y;
      }
      float& out = c[i * s.c_stride + j];
      out = static_cast<float>(s.accumulate ? out + sum : sum);
    }
  }
}

int apus_has_bf16_products(void) {
  static const int has = [] {
    const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16 ? 1 : 0;
  }();
  return has;
}

const char* apus_product_isa_name(void) {
  switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
      return "SSE4.1";
    case dnnl_cpu_isa_avx:
      return "AVX";
    case dnnl_cpu_isa_avx2:
      return "AVX2";
    case dnnl_cpu_isa_avx2_vnni:
      return "AVX2-VNNI";
    case dnnl_cpu_isa_avx512_core:
      return "AVX-512";
    case dnnl_cpu_isa_avx512_core_vnni:
      return "AVX-512-VNNI";
    case dnnl_cpu_isa_avx512_core_bf16:
      return "AVX-512-BF16";
    case dnnl_cpu_isa_avx512_core_amx:
      return "AMX";
    default:
      return "unnamed";
  }
}

}  // extern "C"
