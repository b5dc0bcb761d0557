// What the kernels of tables of text share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "include/apus_text.h"

namespace apus {

/// The kinds of byte i of a text of `count`.
inline int KindOf(const uint8_t* bytes, ptrdiff_t i, ptrdiff_t count) {
  const uint8_t byte = bytes[i];
  if (byte >= 0x80) return APUS_TEXT_HIGH;
  if (byte == 0x22) return APUS_TEXT_QUOTE;
  if (byte == 0x0D) return i + 1 < count && bytes[i + 1] == 0x0A ? 0 : APUS_TEXT_RETURN;
  return byte < 0x09 || (byte > 0x0D && byte < 0x20 && byte != 0x1A) ? APUS_TEXT_CONTROL : 0;
}

/// Writes fields in the order of their breaks.
struct FieldWriter {
  uint32_t* starts;
  uint32_t* lengths;
  ptrdiff_t* ends;
  const uint8_t* bytes;
  ptrdiff_t offset, limit;
  ptrdiff_t field = 0, line = 0;
  ptrdiff_t start = 0;  ///< of the field that the next break ends
  bool too_long = false;

  /// Ends a field at the delimiter or line feed that stands at `position`.
  void Break(ptrdiff_t position) {
    if (bytes[position] != 0x0A) {
      Put(position);
    } else {
      Put(position > start && bytes[position - 1] == 0x0D ? position - 1 : position);
      ends[line++] = field;
    }
    start = position + 1;
  }

  /// Ends the last field of a text that no line feed ends.
  void End(ptrdiff_t count) {
    Put(count);
    ends[line++] = field;
  }

 private:
  static bool IsBlank(uint8_t byte) { return byte == 0x20 || byte == 0x09; }

  void Put(ptrdiff_t end) {
    ptrdiff_t from = start;
    too_long |= end - from > limit;
    while (from < end && IsBlank(bytes[from])) ++from;
    while (end > from && IsBlank(bytes[end - 1])) --end;
    starts[field] = static_cast<uint32_t>(offset + from);
    lengths[field++] = static_cast<uint32_t>(end - from);
  }
};

}  // namespace apus
