// Tables of text: fields and numbers; a part of apus_kernels.h, whose conventions hold here.
#pragma once

#include "apus_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------
// Delimited text without quotes. A break is the delimiter or a line feed; a field is what lies
// between two breaks, without the spaces and tabs around it and without the carriage return before
// a line feed. The work is cut into blocks of APUS_TEXT_BLOCK bytes, whatever the threads.

enum {
  APUS_TEXT_BLOCK = 1 << 18,
  APUS_TEXT_CONTROL = 1,  ///< a byte below 0x20 but 0x09 to 0x0D and 0x1A
  APUS_TEXT_HIGH = 2,     ///< a byte of 0x80 and above
  APUS_TEXT_QUOTE = 4,    ///< a double quote
  APUS_TEXT_RETURN = 8    ///< a carriage return that no line feed follows
};

/// Which of the kinds of bytes above stand among bytes [count], ored together.
int apus_text_kinds(const uint8_t* bytes, ptrdiff_t count);
int apus_text_kinds_reference(const uint8_t* bytes, ptrdiff_t count);

/// Counts the fields and the lines up to the end of each block of bytes [count]: fields, lines
/// [blocks], blocks = ⌈count / APUS_TEXT_BLOCK⌉. What follows the last line feed, if anything does,
/// is a line.
void apus_text_count(ptrdiff_t* fields, ptrdiff_t* lines, const uint8_t* bytes, ptrdiff_t count,
                     uint8_t delimiter);
void apus_text_count_reference(ptrdiff_t* fields, ptrdiff_t* lines, const uint8_t* bytes,
                               ptrdiff_t count, uint8_t delimiter);

/// Where the fields of bytes [count] lie: starts and lengths [fields.back()], starts counted from
/// `offset`; ends [lines.back()]: one past the last field of each line. `fields` and `lines` are
/// those of apus_text_count; offset + count < 2³².
/// Returns 0, or 1, with the outputs undefined, when a field is longer than `limit` bytes.
int apus_text_fields(uint32_t* starts, uint32_t* lengths, ptrdiff_t* ends, const uint8_t* bytes,
                     const ptrdiff_t* fields, const ptrdiff_t* lines, ptrdiff_t count,
                     uint8_t delimiter, ptrdiff_t offset, ptrdiff_t limit);
int apus_text_fields_reference(uint32_t* starts, uint32_t* lengths, ptrdiff_t* ends,
                               const uint8_t* bytes, const ptrdiff_t* fields,
                               const ptrdiff_t* lines, ptrdiff_t count, uint8_t delimiter,
                               ptrdiff_t offset, ptrdiff_t limit);

/// How many numbers of a column are written in which way.
typedef struct {
  ptrdiff_t open;        ///< one to three digits, the first no zero, a point, and three digits
  ptrdiff_t point;       ///< any other number with a point
  ptrdiff_t small;       ///< one to three digits, without a point, and not 0 alone
  ptrdiff_t large;       ///< four digits and more without a point
  ptrdiff_t first_open;  ///< the first row counted by `open`, or −1
} apus_text_marks;

/// The plain decimals of one column of a table: values [rows], not-a-number where a cell is
/// anything else, and how they are written.
///
/// Row r has its cell in field firsts[r] + place of `starts` and `lengths`, which lie in `bytes`; a
/// length above 2³¹ marks a cell that is not plain. Plain is an optional sign, then digits with at
/// most one point among them, whose digits, 19 at most, make at most 2⁵³ without the point: one
/// division of two exact doubles rounds right (Clinger, 1990, How to Read Floating Point Numbers
/// Accurately). Scalar itself: cells of a few bytes leave vectors empty.
void apus_text_decimals_f64(double* values, apus_text_marks* marks, const uint8_t* bytes,
                            const uint32_t* starts, const uint32_t* lengths,
                            const ptrdiff_t* firsts, ptrdiff_t place, ptrdiff_t rows);

/// The seconds since 1970 of the dates of one column, seconds [rows]: `YYYY-MM-DD`, alone or with
/// ` HH:MM` or ` HH:MM:SS` behind it, the space a `T` as well; INT64_MIN where a cell is anything
/// else, or no date of the years 1 to 9999. Hours to 23, minutes and seconds to 59. Scalar itself;
/// cells are those of apus_text_decimals_f64.
void apus_text_dates_i64(int64_t* seconds, const uint8_t* bytes, const uint32_t* starts,
                         const uint32_t* lengths, const ptrdiff_t* firsts, ptrdiff_t place,
                         ptrdiff_t rows);

#ifdef __cplusplus
}  // extern "C"
#endif
