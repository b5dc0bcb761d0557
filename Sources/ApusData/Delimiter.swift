/// What stands before a table: comment lines and Excel's `sep=`.
struct Preamble {
  /// Where the table begins, in bytes.
  private(set) var offset = 0
  /// The line there, from 1.
  private(set) var line = 1
  /// The delimiter that the file names itself.
  private(set) var delimiter: UInt8?
  /// Comment lines passed over.
  private(set) var skipped = 0

  init(_ bytes: [UInt8]) {
    while offset < bytes.count {
      let end = bytes[offset...].firstIndex { $0 == 0x0A || $0 == 0x0D } ?? bytes.count
      let text = bytes[offset..<end].drop { $0 == 0x20 }
      if text.count == 5, text.starts(with: "sep=".utf8), let byte = text.last {
        delimiter = byte
      } else if text.first == 0x23, !isHeader(text) {
        skipped += 1
      } else if !text.isEmpty {
        break
      }
      offset = end + 1
      if end < bytes.count, bytes[end] == 0x0D, offset < bytes.count, bytes[offset] == 0x0A {
        offset += 1
      }
      line += 1
    }
    offset = min(offset, bytes.count)
  }

  /// `#date,value`: names, behind a hash as some tools write them, have no space after it.
  private func isHeader(_ text: ArraySlice<UInt8>) -> Bool {
    guard text.count > 1, let second = text.dropFirst().first, second != 0x20, second != 0x23 else {
      return false
    }
    return text.contains { $0 == 0x2C || $0 == 0x3B || $0 == 0x09 } && !text.contains(0x20)
  }
}

/// The byte between fields.
enum Delimiter {
  /// Those that are looked for: comma, semicolon, tab, bar.
  static let known: [UInt8] = [0x2C, 0x3B, 0x09, 0x7C]

  /// The delimiter under which the first rows are widest, most even and most full of dates and numbers.
  static func sniffed(_ source: SourceFile, from start: Preamble) throws(SeriesError) -> UInt8 {
    var best: (delimiter: UInt8, score: Double)?
    var failure: SeriesError?
    for delimiter in known {
      do throws(SeriesError) {
        let table = try CSVTable(
          source, delimiter: delimiter, from: start.offset, line: start.line, maximumRows: 60)
        let score = score(table)
        if score > best?.score ?? -1 { best = (delimiter, score) }
      } catch {
        failure = failure ?? error
      }
    }
    if let best, best.score > 0 || failure == nil { return best.delimiter }
    if let failure { throw failure }
    return 0x2C
  }

  /// How well the delimiter of a table explains its rows: 0 where it parts nothing, at most 1.1.
  static func score(_ table: CSVTable) -> Double {
    guard let width = CSVLayout.commonWidth(table, Array(0..<table.rowCount)), width > 1 else {
      return 0
    }
    let even = (0..<table.rowCount).count { table.fieldCount(row: $0) == width }
    return Double(even) / Double(table.rowCount) * (0.1 + typedShare(table))
  }

  /// The share of cells below the first row that hold a number, a date or a time.
  static func typedShare(_ table: CSVTable) -> Double {
    let cells = (1..<max(table.rowCount, 2)).flatMap { row -> [ArraySlice<UInt8>] in
      guard row < table.rowCount else { return [] }
      return (0..<min(table.fieldCount(row: row), 64)).map { table.cell(row: row, column: $0) }
    }
    let typed = cells.count { TypedBody.isTyped($0) }
    return cells.isEmpty ? 0 : Double(typed) / Double(cells.count)
  }
}

extension SeriesTable {
  /// Whether the first lines of a file are rows of a table: fields of dates and numbers, evenly parted, in a
  /// file of series by its own head, or in lines of numbers alone.
  ///
  /// - Returns: False for prose, and for what cannot be read.
  public static func isTable(fileAt path: String) -> Bool {
    guard let bytes = try? SourceFile.bytes(at: path, limit: Int(Int32.max)) else { return false }
    // Whole lines of the first 64 KiB.
    let head = bytes.prefix(1 << 16)
    let end = head.count < bytes.count ? head.lastIndex(of: 0x0A) ?? head.endIndex : head.endIndex
    guard
      let source = try? SourceFile(name: path, bytes: Array(head[..<end]), limit: 1 << 16)
    else { return false }
    if TSFReader.recognizes(source) || JSONLinesReader.recognizes(source) { return true }
    let start = Preamble(source.bytes)
    return Delimiter.known.contains { delimiter in
      guard
        let table = try? CSVTable(
          source, delimiter: delimiter, from: start.offset, line: start.line, maximumRows: 200)
      else { return false }
      let isColumn =
        delimiter == 0x2C && table.rowCount >= 3
        && (1..<table.rowCount).allSatisfy {
          table.fieldCount(row: $0) == 1 && TypedBody.isTyped(table.cell(row: $0, column: 0))
        }
      return isColumn
        || table.rowCount >= 3 && Delimiter.score(table) >= 0.45
          && Delimiter.typedShare(table) >= 0.5
    }
  }
}
