// Plain decimals and dates, cell by cell: cells of a few bytes leave vectors empty, so these are
// scalar, and what is gained is gained by the threads.
#include <limits>
#include <mutex>

#include "include/apus_text.h"
#include "support/parallel.h"

namespace apus {
namespace {

constexpr double kPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr ptrdiff_t kRows = 4096;  // of a block; enough for one of 256 KiB

/// Reads a cell and counts how it is written; not-a-number, uncounted, for what is not plain.
double Decimal(const uint8_t* cell, uint32_t length, ptrdiff_t row, apus_text_marks* marks) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const uint8_t* end = cell + length;
  if (cell == end) return kNone;
  const bool is_negative = *cell == '-';
  if (is_negative || *cell == '+') ++cell;
  const uint8_t* begin = cell;
  if (end - cell > 20) return kNone;  // 19 digits and a point
  uint64_t mantissa = 0;
  while (cell < end && uint8_t(*cell - '0') < 10) mantissa = mantissa * 10 + (*cell++ - '0');
  const ptrdiff_t whole = cell - begin;
  ptrdiff_t scale = 0;
  const bool has_point = cell < end && *cell == '.';
  if (has_point) {
    const uint8_t* point = cell++;
    while (cell < end && uint8_t(*cell - '0') < 10) mantissa = mantissa * 10 + (*cell++ - '0');
    scale = cell - point - 1;
  }
  const ptrdiff_t digits = whole + scale;
  if (cell < end || digits == 0 || digits > 19 || mantissa > (uint64_t{1} << 53)) return kNone;
  if (has_point) {
    if (scale == 3 && whole >= 1 && whole <= 3 && *begin != '0') {
      if (marks->open++ == 0) marks->first_open = row;
    } else {
      ++marks->point;
    }
  } else if (digits > 3) {
    ++marks->large;
  } else if (digits > 1 || *begin != '0') {
    ++marks->small;
  }
  const double value = static_cast<double>(mantissa) / kPowersOfTen[scale];
  return is_negative ? -value : value;
}

/// A number of two digits; 10,000 for what is none.
int Two(const uint8_t* text) {
  const uint8_t tens = text[0] - '0', ones = text[1] - '0';
  return tens < 10 && ones < 10 ? tens * 10 + ones : 10000;
}

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar; years begin in March, so
/// that the leap day is their last.
int64_t DayNumber(int year, int month, int day) {
  const int64_t y = month > 2 ? year : year - 1;  // 0 and above
  const int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return y * 365 + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

int64_t Date(const uint8_t* cell, uint32_t length) {
  constexpr int64_t kNone = std::numeric_limits<int64_t>::min();
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if ((length != 10 && length != 16 && length != 19) || cell[4] != '-' || cell[7] != '-')
    return kNone;
  const int year = Two(cell) * 100 + Two(cell + 2), month = Two(cell + 5), day = Two(cell + 8);
  if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1) return kNone;
  const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  if (day > kDays[month - 1] + (month == 2 && is_leap)) return kNone;
  const int64_t seconds = DayNumber(year, month, day) * 86400;
  if (length == 10) return seconds;
  if ((cell[10] != ' ' && cell[10] != 'T') || cell[13] != ':') return kNone;
  if (length == 19 && cell[16] != ':') return kNone;
  const int hour = Two(cell + 11), minute = Two(cell + 14);
  const int second = length == 19 ? Two(cell + 17) : 0;
  if (hour > 23 || minute > 59 || second > 59) return kNone;
  return seconds + hour * 3600 + minute * 60 + second;
}

}  // namespace

extern "C" {

void apus_text_decimals_f64(double* values, apus_text_marks* marks, const uint8_t* bytes,
                            const uint32_t* starts, const uint32_t* lengths,
                            const ptrdiff_t* firsts, ptrdiff_t place, ptrdiff_t rows) {
  apus_text_marks all = {0, 0, 0, 0, -1};
  std::mutex lock;
  ParallelRanges(rows, kRows, [&](ptrdiff_t begin, ptrdiff_t end) {
    apus_text_marks part = {0, 0, 0, 0, -1};
    for (ptrdiff_t r = begin; r < end; ++r) {
      const ptrdiff_t field = firsts[r] + place;
      values[r] = Decimal(bytes + starts[field], lengths[field], r, &part);
    }
    const std::lock_guard<std::mutex> guard(lock);
    if (part.open > 0 && (all.open == 0 || part.first_open < all.first_open))
      all.first_open = part.first_open;
    all.open += part.open;
    all.point += part.point;
    all.small += part.small;
    all.large += part.large;
  });
  *marks = all;
}

void apus_text_dates_i64(int64_t* seconds, const uint8_t* bytes, const uint32_t* starts,
                         const uint32_t* lengths, const ptrdiff_t* firsts, ptrdiff_t place,
                         ptrdiff_t rows) {
  ParallelRanges(rows, kRows, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      const ptrdiff_t field = firsts[r] + place;
      seconds[r] = Date(bytes + starts[field], lengths[field]);
    }
  });
}

}  // extern "C"
}  // namespace apus
