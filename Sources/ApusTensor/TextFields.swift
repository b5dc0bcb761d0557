import CApusKernels

/// The kinds of bytes in a text that decide how it can be read.
package struct TextKinds: OptionSet, Sendable {
  package let rawValue: Int32
  package init(rawValue: Int32) { self.rawValue = rawValue }

  /// A control byte that no text has.
  package static let control = TextKinds(rawValue: Int32(APUS_TEXT_CONTROL))
  /// A byte beyond ASCII.
  package static let high = TextKinds(rawValue: Int32(APUS_TEXT_HIGH))
  /// A double quote.
  package static let quote = TextKinds(rawValue: Int32(APUS_TEXT_QUOTE))
  /// A carriage return that no line feed follows.
  package static let loneReturn = TextKinds(rawValue: Int32(APUS_TEXT_RETURN))

  /// Looks at every byte.
  package init(_ bytes: [UInt8]) {
    rawValue = bytes.withUnsafeBufferPointer { buffer in
      buffer.baseAddress.map { apus_text_kinds($0, buffer.count) } ?? 0
    }
  }
}

/// Where the fields of delimited text without quotes lie.
package struct TextFields: Sendable {
  /// First byte of each field, spaces and tabs before it left out.
  package private(set) var starts: [UInt32] = []
  /// Length of each field, spaces and tabs behind it left out.
  package private(set) var lengths: [UInt32] = []
  /// Index of the first field of each line, and one past the last field at the end.
  package private(set) var lineStarts: [Int] = [0]

  /// Splits a text at the delimiter and at line feeds, with a carriage return before them or not; nil where a
  /// field is longer than the limit.
  ///
  /// - Parameters:
  ///   - bytes: Fewer than 2³² bytes; no quotes, and no carriage return without a line feed.
  ///   - start: The offset to begin at, the start of a line.
  ///   - delimiter: The byte between fields.
  ///   - limit: The most bytes of a field.
  package init?(_ bytes: [UInt8], from start: Int, delimiter: UInt8, limit: Int) {
    let count = bytes.count - start
    guard start >= 0, count > 0, bytes.count <= Int(UInt32.max) else { return nil }
    let blocks = (count - 1) / Int(APUS_TEXT_BLOCK) + 1
    var fields = [Int](repeating: 0, count: blocks)
    var lines = fields
    let isShort = bytes.withUnsafeBufferPointer { buffer -> Bool in
      guard let base = buffer.baseAddress else { return false }
      let text = base + start
      apus_text_count(&fields, &lines, text, count, delimiter)
      let (fieldCount, lineCount) = (fields[blocks - 1], lines[blocks - 1])
      var isTooLong = false
      starts = Array(unsafeUninitializedCapacity: fieldCount) { starts, startCount in
        lengths = Array(unsafeUninitializedCapacity: fieldCount) { lengths, lengthCount in
          lineStarts = Array(unsafeUninitializedCapacity: lineCount + 1) { ends, endCount in
            guard let first = starts.baseAddress, let length = lengths.baseAddress,
              let end = ends.baseAddress
            else { return }
            end[0] = 0
            isTooLong =
              apus_text_fields(
                first, length, end + 1, text, fields, lines, count, delimiter, start, limit) != 0
            (startCount, lengthCount, endCount) =
              isTooLong ? (0, 0, 0) : (fieldCount, fieldCount, lineCount + 1)
          }
        }
      }
      return !isTooLong
    }
    guard isShort else { return nil }
  }
}

/// How many of the plain numbers of a column are written in which way.
package struct DecimalMarks: Equatable, Sendable {
  /// One to three digits, the first no zero, a point and three digits: it could part thousands.
  package let open: Int
  /// Any other number with a point.
  package let point: Int
  /// One to three digits without a point, and not 0 alone.
  package let short: Int
  /// Four digits and more without a point.
  package let long: Int
  /// The first row that ``open`` counts.
  package let firstOpen: Int?

  fileprivate init(_ marks: apus_text_marks) {
    (open, point, short, long) = (marks.open, marks.point, marks.small, marks.large)
    firstOpen = marks.open > 0 ? marks.first_open : nil
  }
}

/// Cells of a table, by the place of their fields in a text.
package struct TextCells {
  /// The text.
  package let bytes: [UInt8]
  /// First byte of each field, and its length.
  package let starts: [UInt32]
  /// See ``starts``.
  package let lengths: [UInt32]
  /// The first field of each row.
  package let firsts: [Int]

  /// - Precondition: Fields lie within `bytes`, and `width` of them begin at each of `firsts`.
  package init(
    _ bytes: [UInt8], starts: [UInt32], lengths: [UInt32], firsts: [Int], width: Int
  ) {
    precondition(
      starts.count == lengths.count && width >= 0
        && firsts.allSatisfy { $0 >= 0 && $0 <= starts.count - width },
      "TextCells: rows reach beyond \(starts.count) fields")
    (self.bytes, self.starts, self.lengths, self.firsts) = (bytes, starts, lengths, firsts)
  }

  /// The plain decimals of a column, an optional sign and digits with at most one point; not-a-number for
  /// any other cell.
  ///
  /// - Returns: A number for each row, and how numbers are written.
  package func decimals(_ column: Int) -> (values: [Double], marks: DecimalMarks) {
    var marks = apus_text_marks()
    let values = [Double](unsafeUninitializedCapacity: firsts.count) { values, count in
      guard let out = values.baseAddress else { return }
      apus_text_decimals_f64(
        out, &marks, bytes, starts, lengths, firsts, column, firsts.count)
      count = firsts.count
    }
    return (values, DecimalMarks(marks))
  }

  /// The seconds since 1970 of a column of dates such as `2015-12-31` and `2015-12-31 13:05:00`;
  /// `Int64.min` for any other cell.
  package func dates(_ column: Int) -> [Int64] {
    Array(unsafeUninitializedCapacity: firsts.count) { seconds, count in
      guard let out = seconds.baseAddress else { return }
      apus_text_dates_i64(out, bytes, starts, lengths, firsts, column, firsts.count)
      count = firsts.count
    }
  }
}
