#include <algorithm>
#include <cstring>

#include "include/apus_kernels.h"
#include "ops/row_blocks.h"
#include "support/parallel.h"

namespace apus {
extern "C" {

void apus_embedding_f32(float* y, const float* table, const int32_t* ids, ptrdiff_t rows,
                        ptrdiff_t features) {
  const size_t bytes = static_cast<size_t>(features) * sizeof(float);
  ParallelRanges(rows, RowGrain(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      std::memcpy(y + r * features, table + ids[r] * features, bytes);
    }
  });
}

void apus_embedding_backward_f32(float* dtable, const float* dy, const int32_t* ids, ptrdiff_t rows,
                                 ptrdiff_t features, ptrdiff_t vocabulary) {
  (void)vocabulary;
  // Two rows may share an id, so the features are cut and not the rows: every element of the table
  // then receives its rows in order.
  const ptrdiff_t wanted = 16384 / std::max(rows, ptrdiff_t{1});
  const ptrdiff_t grain = std::max(ptrdiff_t{64}, (wanted + 15) / 16 * 16);
  ParallelRanges(features, grain, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = 0; r < rows; ++r) {
      AddInto(dtable + ids[r] * features + begin, dy + r * features + begin, end - begin);
    }
  });
}

}  // extern "C"
}  // namespace apus
