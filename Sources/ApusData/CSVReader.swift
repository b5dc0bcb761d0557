import ApusTensor

/// A table of fields: where each lies in the bytes, and on which line each row began.
///
/// The grammar is RFC 4180 read kindly: any of comma, semicolon, tab and bar; lines end in LF, CRLF or CR;
/// spaces around a field do not count; a quote inside an unquoted field is a character.
struct CSVTable {
  let source: SourceFile
  let delimiter: UInt8
  /// First byte of each field, quotes left out.
  private(set) var starts: [UInt32] = []
  /// Length of each field; the top bit says that doubled quotes remain to be undoubled.
  private(set) var lengths: [UInt32] = []
  /// Index of the first field of each row, and one past the last field at the end.
  private(set) var rowStarts: [Int] = [0]
  /// Line on which each row began, from 1.
  private(set) var lines: [Int] = []
  /// Rows with text after a closing quote, by index.
  private(set) var malformedRows: Set<Int> = []

  /// Number of rows; lines of nothing but spaces are none.
  var rowCount: Int { lines.count }

  /// Number of fields in a row.
  func fieldCount(row: Int) -> Int { rowStarts[row + 1] - rowStarts[row] }

  /// The raw bytes of a field without spaces around it. Doubled quotes stay doubled.
  func cell(row: Int, column: Int) -> ArraySlice<UInt8> {
    let field = rowStarts[row] + column
    let start = Int(starts[field])
    return source.bytes[start..<start + Int(lengths[field] & Self.lengthMask)]
  }

  /// The text of a field.
  func text(row: Int, column: Int) -> String {
    let bytes = cell(row: row, column: column)
    guard lengths[rowStarts[row] + column] & Self.escapedBit != 0 else { return source.text(bytes) }
    // Inside of quotes they come in pairs. By bytes: to a String a quote with an accent is no quote.
    var isSecond = true
    return source.text(
      bytes.filter { byte in
        isSecond = byte == 0x22 && !isSecond
        return !isSecond
      }[...])
  }

  private static let escapedBit: UInt32 = 1 << 31
  private static let lengthMask: UInt32 = escapedBit - 1
  static let fieldLimit = 1 << 20
  static let columnLimit = 1 << 16
  /// Texts of fewer bytes are split by the scanner.
  private static let kernelBytes = 1 << 16

  /// Splits the whole file, or its first rows.
  ///
  /// - Parameters:
  ///   - source: The file.
  ///   - delimiter: The byte between fields.
  ///   - start: The offset to begin at, the start of a line.
  ///   - line: The number of that line.
  ///   - maximumRows: Stop after so many rows.
  /// - Throws: ``SeriesError/unterminatedQuote(file:line:)``,
  ///   ``SeriesError/fieldTooLong(file:line:limit:)`` and
  ///   ``SeriesError/tooManyColumns(file:line:limit:)``.
  init(
    _ source: SourceFile, delimiter: UInt8, from start: Int = 0, line: Int = 1,
    maximumRows: Int = .max
  ) throws(SeriesError) {
    self.source = source
    self.delimiter = delimiter
    if maximumRows == .max, split(from: start, line: line) { return }
    let bytes = source.bytes
    let end = bytes.count
    var position = start
    var line = line
    while position < end, lines.count < maximumRows {
      let rowLine = line
      let firstField = starts.count
      var isMalformed = false
      row: while true {
        var begin = position
        while begin < end, bytes[begin] == 0x20 || (bytes[begin] == 0x09 && delimiter != 0x09) {
          begin += 1
        }
        if begin < end, bytes[begin] == 0x22 {
          let quoteLine = line
          let (close, escaped) = try Self.closingQuote(source, after: begin, line: &line)
          guard let close else { throw .unterminatedQuote(file: source.name, line: quoteLine) }
          append(from: begin + 1, to: close, escaped: escaped)
          position = close + 1
          while position < end, !isBreak(bytes[position], delimiter) {
            if bytes[position] != 0x20, bytes[position] != 0x09 { isMalformed = true }
            position += 1
          }
        } else {
          position = begin
          while position < end, !isBreak(bytes[position], delimiter) { position += 1 }
          guard position - begin <= Self.fieldLimit else {
            throw .fieldTooLong(file: source.name, line: line, limit: Self.fieldLimit)
          }
          var last = position
          while last > begin, bytes[last - 1] == 0x20 || bytes[last - 1] == 0x09 { last -= 1 }
          append(from: begin, to: last, escaped: false)
        }
        guard starts.count - firstField <= Self.columnLimit else {
          throw .tooManyColumns(file: source.name, line: rowLine, limit: Self.columnLimit)
        }
        guard position < end else { break row }
        let byte = bytes[position]
        position += 1
        if byte == delimiter { continue row }
        if byte == 0x0D, position < end, bytes[position] == 0x0A { position += 1 }
        line += 1
        break row
      }
      finishRow(firstField: firstField, line: rowLine, isMalformed: isMalformed)
    }
  }

  /// Splits a text without quotes by kernels, to the same fields as the scanner; false, and nothing changed,
  /// where only the scanner can read it, or is to say what is wrong.
  private mutating func split(from start: Int, line: Int) -> Bool {
    guard source.bytes.count - start >= Self.kernelBytes,
      source.kinds.isDisjoint(with: [.quote, .loneReturn]), Delimiter.known.contains(delimiter),
      let fields = TextFields(
        source.bytes, from: start, delimiter: delimiter, limit: Self.fieldLimit)
    else { return false }
    let ends = fields.lineStarts
    var isPlain = true
    for row in 0..<ends.count - 1 {
      let count = ends[row + 1] - ends[row]
      guard count <= Self.columnLimit else { return false }
      if count == 1, fields.lengths[ends[row]] == 0 { isPlain = false }
    }
    if isPlain {
      (starts, lengths, rowStarts) = (fields.starts, fields.lengths, ends)
      lines = Array(line..<line + ends.count - 1)
      return true
    }
    for row in 0..<ends.count - 1 {
      starts += fields.starts[ends[row]..<ends[row + 1]]
      lengths += fields.lengths[ends[row]..<ends[row + 1]]
      finishRow(
        firstField: starts.count - ends[row + 1] + ends[row], line: line + row, isMalformed: false)
    }
    return true
  }

  private mutating func append(from begin: Int, to end: Int, escaped: Bool) {
    starts.append(UInt32(truncatingIfNeeded: begin))
    lengths.append(UInt32(truncatingIfNeeded: end - begin) | (escaped ? Self.escapedBit : 0))
  }

  private mutating func finishRow(firstField: Int, line: Int, isMalformed: Bool) {
    if starts.count == firstField + 1, lengths[firstField] == 0 {
      starts.removeLast()
      lengths.removeLast()
      return
    }
    if isMalformed { malformedRows.insert(lines.count) }
    rowStarts.append(starts.count)
    lines.append(line)
  }

  /// Where the quote opened at `open` closes; nil when the file ends first.
  private static func closingQuote(
    _ source: SourceFile, after open: Int, line: inout Int
  ) throws(SeriesError) -> (close: Int?, escaped: Bool) {
    let bytes = source.bytes
    let openLine = line
    var position = open + 1
    var escaped = false
    while position < bytes.count {
      let byte = bytes[position]
      if byte == 0x22 {
        guard position + 1 < bytes.count, bytes[position + 1] == 0x22 else {
          return (position, escaped)
        }
        escaped = true
        position += 1
      } else if byte == 0x0A
        || (byte == 0x0D && (position + 1 == bytes.count || bytes[position + 1] != 0x0A))
      {
        line += 1
      }
      position += 1
      if position - open > fieldLimit {
        throw .fieldTooLong(file: source.name, line: openLine, limit: fieldLimit)
      }
    }
    return (nil, escaped)
  }
}

/// Whether a byte ends an unquoted field.
@inline(__always)
private func isBreak(_ byte: UInt8, _ delimiter: UInt8) -> Bool {
  byte == delimiter || byte == 0x0A || byte == 0x0D
}
