#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/text_fields.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <atomic>
#include <cstring>

#include "include/apus_text.h"
#include "ops/text.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<uint8_t>;
using V = hn::Vec<D>;
using M = hn::Mask<D>;

HWY_INLINE uint64_t Bits(M mask) {
  uint64_t bits = 0;
  hn::StoreMaskBits(D(), mask, reinterpret_cast<uint8_t*>(&bits));
  return bits;
}

/// The kinds of bytes [begin, end) of a text of `count`; its end, not the block's, ends a line.
int Kinds(const uint8_t* bytes, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t count) {
  const D d;
  const ptrdiff_t lanes = hn::Lanes(d);
  const V tab = hn::Set(d, 0x09), five = hn::Set(d, 5), space = hn::Set(d, 0x20);
  const V substitute = hn::Set(d, 0x1A), high = hn::Set(d, 0x80), quote = hn::Set(d, 0x22);
  const V carriage = hn::Set(d, 0x0D), feed = hn::Set(d, 0x0A);
  M controls = hn::FirstN(d, 0), quotes = controls, lone = controls;
  V all = hn::Zero(d);
  ptrdiff_t i = begin;
  for (; i + lanes <= end && i + lanes < count; i += lanes) {
    const V v = hn::LoadU(d, bytes + i);
    const V next = hn::LoadU(d, bytes + i + 1);
    const M white = hn::Lt(hn::Sub(v, tab), five);  // 0x09 to 0x0D: others wrap around
    controls = hn::Or(controls, hn::AndNot(hn::Or(white, hn::Eq(v, substitute)), hn::Lt(v, space)));
    all = hn::Or(all, v);
    quotes = hn::Or(quotes, hn::Eq(v, quote));
    lone = hn::Or(lone, hn::AndNot(hn::Eq(next, feed), hn::Eq(v, carriage)));
  }
  int kinds = (hn::AllFalse(d, controls) ? 0 : APUS_TEXT_CONTROL) |
              (hn::AllTrue(d, hn::Lt(all, high)) ? 0 : APUS_TEXT_HIGH) |
              (hn::AllFalse(d, quotes) ? 0 : APUS_TEXT_QUOTE) |
              (hn::AllFalse(d, lone) ? 0 : APUS_TEXT_RETURN);
  for (; i < end; ++i) kinds |= KindOf(bytes, i, count);
  return kinds;
}

/// Counts breaks and line feeds.
void CountBreaks(ptrdiff_t* breaks, ptrdiff_t* feeds, const uint8_t* bytes, ptrdiff_t count,
                 uint8_t delimiter) {
  const D d;
  const ptrdiff_t lanes = hn::Lanes(d);
  const V mark = hn::Set(d, delimiter), feed = hn::Set(d, 0x0A);
  ptrdiff_t all = 0, ends = 0;
  ptrdiff_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const V v = hn::LoadU(d, bytes + i);
    const M is_feed = hn::Eq(v, feed);
    ends += hn::CountTrue(d, is_feed);
    all += hn::CountTrue(d, hn::Or(is_feed, hn::Eq(v, mark)));
  }
  for (; i < count; ++i) {
    ends += bytes[i] == 0x0A;
    all += bytes[i] == 0x0A || bytes[i] == delimiter;
  }
  *breaks = all;
  *feeds = ends;
}

/// Writes the fields that end at the breaks of bytes [begin, end).
void SplitBlock(FieldWriter* writer, ptrdiff_t begin, ptrdiff_t end, uint8_t delimiter) {
  const D d;
  const ptrdiff_t lanes = hn::Lanes(d);
  const V mark = hn::Set(d, delimiter), feed = hn::Set(d, 0x0A);
  const uint8_t* bytes = writer->bytes;
  ptrdiff_t i = begin;
  for (; i + lanes <= end; i += lanes) {
    const V v = hn::LoadU(d, bytes + i);
    uint64_t bits = Bits(hn::Or(hn::Eq(v, feed), hn::Eq(v, mark)));
    while (bits != 0) {
      writer->Break(i + hwy::Num0BitsBelowLS1Bit_Nonzero64(bits));
      bits &= bits - 1;
    }
  }
  for (; i < end; ++i) {
    if (bytes[i] == 0x0A || bytes[i] == delimiter) writer->Break(i);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(Kinds);
HWY_EXPORT(CountBreaks);
HWY_EXPORT(SplitBlock);

ptrdiff_t BlockEnd(ptrdiff_t block, ptrdiff_t count) {
  return (block + 1) * APUS_TEXT_BLOCK < count ? (block + 1) * APUS_TEXT_BLOCK : count;
}

ptrdiff_t BlockCount(ptrdiff_t count) { return (count + APUS_TEXT_BLOCK - 1) / APUS_TEXT_BLOCK; }

/// Turns the counts of blocks into those up to their ends; a text that does not end in a line feed
/// has one more field and line.
void SumUp(ptrdiff_t* fields, ptrdiff_t* lines, const uint8_t* bytes, ptrdiff_t count) {
  const ptrdiff_t blocks = BlockCount(count);
  for (ptrdiff_t b = 1; b < blocks; ++b) {
    fields[b] += fields[b - 1];
    lines[b] += lines[b - 1];
  }
  if (count > 0 && bytes[count - 1] != 0x0A) {
    fields[blocks - 1] += 1;
    lines[blocks - 1] += 1;
  }
}

}  // namespace

extern "C" {

int apus_text_kinds(const uint8_t* bytes, ptrdiff_t count) {
  std::atomic<int> kinds{0};
  ParallelBlocks(BlockCount(count), [&](ptrdiff_t block) {
    kinds |=
        HWY_DYNAMIC_DISPATCH(Kinds)(bytes, block * APUS_TEXT_BLOCK, BlockEnd(block, count), count);
  });
  return kinds;
}

int apus_text_kinds_reference(const uint8_t* bytes, ptrdiff_t count) {
  int kinds = 0;
  for (ptrdiff_t i = 0; i < count; ++i) kinds |= KindOf(bytes, i, count);
  return kinds;
}

void apus_text_count(ptrdiff_t* fields, ptrdiff_t* lines, const uint8_t* bytes, ptrdiff_t count,
                     uint8_t delimiter) {
  ParallelBlocks(BlockCount(count), [&](ptrdiff_t block) {
    const ptrdiff_t begin = block * APUS_TEXT_BLOCK;
    HWY_DYNAMIC_DISPATCH(CountBreaks)
    (fields + block, lines + block, bytes + begin, BlockEnd(block, count) - begin, delimiter);
  });
  SumUp(fields, lines, bytes, count);
}

void apus_text_count_reference(ptrdiff_t* fields, ptrdiff_t* lines, const uint8_t* bytes,
                               ptrdiff_t count, uint8_t delimiter) {
  for (ptrdiff_t block = 0; block < BlockCount(count); ++block) {
    fields[block] = lines[block] = 0;
    for (ptrdiff_t i = block * APUS_TEXT_BLOCK; i < BlockEnd(block, count); ++i) {
      lines[block] += bytes[i] == 0x0A;
      fields[block] += bytes[i] == 0x0A || bytes[i] == delimiter;
    }
  }
  SumUp(fields, lines, bytes, count);
}

int apus_text_fields(uint32_t* starts, uint32_t* lengths, ptrdiff_t* ends, const uint8_t* bytes,
                     const ptrdiff_t* fields, const ptrdiff_t* lines, ptrdiff_t count,
                     uint8_t delimiter, ptrdiff_t offset, ptrdiff_t limit) {
  std::atomic<int> too_long{0};
  ParallelBlocks(BlockCount(count), [&](ptrdiff_t block) {
    const ptrdiff_t begin = block * APUS_TEXT_BLOCK;
    FieldWriter writer{starts, lengths, ends, bytes, offset, limit};
    if (block > 0) {
      writer.field = fields[block - 1];
      writer.line = lines[block - 1];
      writer.start = begin;  // the field that reaches into the block began in an earlier one
      while (writer.start > 0 && begin - writer.start <= limit && bytes[writer.start - 1] != 0x0A &&
             bytes[writer.start - 1] != delimiter)
        --writer.start;
    }
    HWY_DYNAMIC_DISPATCH(SplitBlock)(&writer, begin, BlockEnd(block, count), delimiter);
    if (BlockEnd(block, count) == count && bytes[count - 1] != 0x0A) writer.End(count);
    if (writer.too_long) too_long = 1;
  });
  return too_long;
}

int apus_text_fields_reference(uint32_t* starts, uint32_t* lengths, ptrdiff_t* ends,
                               const uint8_t* bytes, const ptrdiff_t*, const ptrdiff_t*,
                               ptrdiff_t count, uint8_t delimiter, ptrdiff_t offset,
                               ptrdiff_t limit) {
  ptrdiff_t field = 0, line = 0, start = 0;
  for (ptrdiff_t i = 0; i <= count; ++i) {
    const bool is_end = i == count ? count > 0 && bytes[count - 1] != 0x0A : bytes[i] == 0x0A;
    if (!is_end && (i == count || bytes[i] != delimiter)) continue;
    if (i - start > limit) return 1;
    ptrdiff_t from = start, to = i;
    if (is_end && i < count && to > from && bytes[to - 1] == 0x0D) --to;
    while (from < to && (bytes[from] == 0x20 || bytes[from] == 0x09)) ++from;
    while (to > from && (bytes[to - 1] == 0x20 || bytes[to - 1] == 0x09)) --to;
    starts[field] = static_cast<uint32_t>(offset + from);
    lengths[field++] = static_cast<uint32_t>(to - from);
    if (is_end) ends[line++] = field;
    start = i + 1;
  }
  return 0;
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
