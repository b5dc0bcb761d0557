/// A table whose header, delimiter and number style are settled; every row has the same width.
struct CSVLayout {
  let table: CSVTable
  /// Column names, unique, never empty.
  let names: [String]
  /// The file names its columns.
  let hasHeader: Bool
  /// Line of the header, or of the first row.
  let headerLine: Int
  /// Indices into `table` of the rows below the header that have as many fields as names.
  let rows: [Int]
  /// Lines whose number of fields differs, and rows broken inside a quote.
  let badRows: [(line: Int, reason: String)]
  let numbers: NumberStyle
  /// What was assumed, as sentences.
  let notes: [String]
  /// Rows of unequal length are rows of series, not damage.
  let isRagged: Bool

  var width: Int { names.count }

  /// A trimmed cell of data row `index`; empty beyond the end of a ragged row.
  func cell(_ index: Int, _ column: Int) -> ArraySlice<UInt8> {
    let row = rows[index]
    guard !isRagged || column < table.fieldCount(row: row) else { return [] }
    return table.cell(row: row, column: column)
  }

  func text(_ index: Int, _ column: Int) -> String {
    let row = rows[index]
    guard !isRagged || column < table.fieldCount(row: row) else { return "" }
    return table.text(row: row, column: column)
  }

  func line(_ index: Int) -> Int { table.lines[rows[index]] }

  /// Up to `limit` rows, spread over the file.
  func sampleRows(_ limit: Int = 500) -> [Int] {
    guard rows.count > limit else { return Array(rows.indices) }
    return (0..<limit).map { $0 * (rows.count - 1) / (limit - 1) }
  }

  /// The cells of a column in a sample of rows, empty ones left out.
  func sample(_ column: Int, limit: Int = 500) -> [ArraySlice<UInt8>] {
    sampleRows(limit).map { cell($0, column) }.filter { !$0.isEmpty }
  }

  /// Finds delimiter, header and number style and splits the file.
  init(
    _ source: SourceFile, delimiter wanted: UInt8? = nil, numbers known: NumberStyle? = nil
  ) throws(SeriesError) {
    var notes: [String] = []
    if source.isLatin1 {
      notes.append("The text is not valid UTF-8; it was read as Latin-1.")
    }
    let (start, line, declared, skipped) = Self.skipPreamble(source.bytes)
    if skipped > 0 {
      notes.append("Skipped \(skipped) comment line\(skipped == 1 ? "" : "s") at the top.")
    }
    let delimiter: UInt8
    if let known = wanted ?? declared {
      delimiter = known
    } else {
      delimiter = try Self.sniff(source, from: start, line: line)
    }
    let table = try CSVTable(source, delimiter: delimiter, from: start, line: line)
    guard table.rowCount > 0 else { throw .empty(file: source.name) }
    let titles = Self.titleRows(table)
    if titles > 0 {
      notes.append("Skipped \(titles) title line\(titles == 1 ? "" : "s") above the table.")
    }
    let body = Array(titles..<table.rowCount)
    let sample = body.dropFirst().prefix(200).flatMap { row in
      (0..<table.fieldCount(row: row)).map { table.cell(row: row, column: $0) }
    }
    numbers = known ?? NumberStyle.guess(from: sample, isCommaDelimited: delimiter == 0x2C)
    if numbers.usesDecimalComma { notes.append("Numbers are written with a decimal comma.") }
    hasHeader = Self.looksLikeHeader(table, row: titles, body: body.dropFirst(), numbers: numbers)
    headerLine = table.lines[titles]
    let data = hasHeader ? Array(body.dropFirst()) : body
    var width = table.fieldCount(row: titles)
    var names = hasHeader ? (0..<width).map { table.text(row: titles, column: $0) } : []
    if !hasHeader {
      width = Self.commonWidth(table, data) ?? width
      names = (1...width).map { "column\($0)" }
      notes.append("The file names no columns; they are called \(names[0]), … by position.")
    }
    guard !data.isEmpty else { throw .onlyHeader(file: source.name, names: names) }
    isRagged = Self.isRagged(table, data, width: width, numbers: numbers)
    if !isRagged, hasHeader,
      data.count(where: { table.fieldCount(row: $0) == width + 1 }) * 2 > data.count
    {
      let isTrailing = data.allSatisfy { row in
        table.fieldCount(row: row) != width + 1 || table.cell(row: row, column: width).isEmpty
      }
      if isTrailing {
        names.append("")  // every row ends in a delimiter
      } else {
        names.insert("", at: 0)
        notes.append("Rows have one field more than the header; the first is taken as a row name.")
      }
      width += 1
    }
    self.names = Self.uniqueNames(names)
    let split = Self.splitRows(table, data, width: width, isRagged: isRagged)
    rows = split.good
    badRows = split.bad
    self.table = table
    self.notes = notes
  }

  /// Splits off the rows that cannot be read.
  private static func splitRows(
    _ table: CSVTable, _ data: [Int], width: Int, isRagged: Bool
  ) -> (good: [Int], bad: [(line: Int, reason: String)]) {
    var good: [Int] = []
    good.reserveCapacity(data.count)
    var bad: [(line: Int, reason: String)] = []
    for row in data {
      let count = table.fieldCount(row: row)
      if table.malformedRows.contains(row) {
        bad.append((table.lines[row], "found text after a closing quote, expected a delimiter"))
      } else if count == width || isRagged {
        good.append(row)
      } else if count > width,
        (width..<count).allSatisfy({ table.cell(row: row, column: $0).isEmpty })
      {
        good.append(row)
      } else {
        bad.append(
          (table.lines[row], "found \(count) field\(count == 1 ? "" : "s"), expected \(width)"))
      }
    }
    return (good, bad)
  }

  /// Where the table begins: after comment lines and Excel's `sep=`.
  private static func skipPreamble(
    _ bytes: [UInt8]
  ) -> (start: Int, line: Int, delimiter: UInt8?, skipped: Int) {
    var (start, line, skipped) = (0, 1, 0)
    var delimiter: UInt8?
    while start < bytes.count {
      let end = bytes[start...].firstIndex { $0 == 0x0A || $0 == 0x0D } ?? bytes.count
      let text = bytes[start..<end].drop { $0 == 0x20 }
      if text.count == 5, text.starts(with: "sep=".utf8), let byte = text.last {
        delimiter = byte
      } else if text.first == 0x23 {
        skipped += 1
      } else if !text.isEmpty {
        break
      }
      start = end + 1
      if end < bytes.count, bytes[end] == 0x0D, start < bytes.count, bytes[start] == 0x0A {
        start += 1
      }
      line += 1
    }
    return (min(start, bytes.count), line, delimiter, skipped)
  }

  /// The delimiter under which the first rows are widest, most even and most full of dates and numbers.
  private static func sniff(_ source: SourceFile, from start: Int, line: Int) throws(SeriesError)
    -> UInt8
  {
    var best: (delimiter: UInt8, score: Double)?
    var failure: SeriesError?
    for delimiter: UInt8 in [0x2C, 0x3B, 0x09, 0x7C] {
      do throws(SeriesError) {
        let table = try CSVTable(
          source, delimiter: delimiter, from: start, line: line, maximumRows: 60)
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

  private static func score(_ table: CSVTable) -> Double {
    guard let width = commonWidth(table, Array(0..<table.rowCount)), width > 1 else { return 0 }
    let even = (0..<table.rowCount).count { table.fieldCount(row: $0) == width }
    let cells = (1..<max(table.rowCount, 2)).flatMap { row -> [ArraySlice<UInt8>] in
      guard row < table.rowCount else { return [] }
      return (0..<min(table.fieldCount(row: row), 64)).map { table.cell(row: row, column: $0) }
    }
    let style = NumberStyle.guess(from: cells, isCommaDelimited: table.delimiter == 0x2C)
    let typed = cells.count { isTyped($0, style) }
    let share = cells.isEmpty ? 0 : Double(typed) / Double(cells.count)
    return Double(even) / Double(table.rowCount) * (0.1 + share)
  }

  /// A number or a date.
  private static func isTyped(_ cell: ArraySlice<UInt8>, _ numbers: NumberStyle) -> Bool {
    if cell.isEmpty { return false }
    switch numbers.parse(cell) {
    case .number: return true
    case .missing: return false
    case .bad: return DateColumn.guessStyle(of: [cell]) != nil
    }
  }

  /// The number of fields that most rows have.
  private static func commonWidth(_ table: CSVTable, _ rows: [Int]) -> Int? {
    var counts: [Int: Int] = [:]
    for row in rows.prefix(1_000) { counts[table.fieldCount(row: row), default: 0] += 1 }
    return counts.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key
  }

  /// Lines above the table that hold a title and not a row: one field where the table has more.
  private static func titleRows(_ table: CSVTable) -> Int {
    guard let width = commonWidth(table, Array(0..<table.rowCount)), width > 1 else { return 0 }
    let titles = (0..<min(20, table.rowCount)).prefix { table.fieldCount(row: $0) == 1 }.count
    return titles < table.rowCount ? titles : 0
  }

  /// The first row is a header when some column has text there and dates or numbers below.
  private static func looksLikeHeader(
    _ table: CSVTable, row: Int, body: ArraySlice<Int>, numbers: NumberStyle
  ) -> Bool {
    let width = table.fieldCount(row: row)
    let first = (0..<width).map { table.cell(row: row, column: $0) }
    let isText = first.map { cell in
      if case .bad = numbers.parse(cell) { return DateColumn.guessStyle(of: [cell]) == nil }
      return false
    }
    let sample = body.prefix(50).filter { table.fieldCount(row: $0) > 0 }
    guard !sample.isEmpty else {
      return isText.contains(true) || !first.contains { isTyped($0, numbers) }
    }
    for column in 0..<min(width, 2_000) where isText[column] {
      let cells = sample.filter { column < table.fieldCount(row: $0) }
        .map { table.cell(row: $0, column: column) }.filter { !$0.isEmpty }
      let typed = cells.count { isTyped($0, numbers) }
      if typed * 2 > cells.count { return true }
    }
    let areDates = first.map { cell in
      if case .bad = numbers.parse(cell) { return DateColumn.guessStyle(of: [cell]) != nil }
      return false
    }
    for column in 1..<max(1, min(width, 20)) where areDates[column] {
      let cells = sample.filter { column < table.fieldCount(row: $0) }
        .map { table.cell(row: $0, column: column) }
      let numeric = cells.count { cell in
        if case .number = numbers.parse(cell) { true } else { false }
      }
      if numeric * 2 > cells.count { return true }
    }
    // Text over text: a header when nothing in the first row could be data.
    return isText.allSatisfy { $0 } && Set(first).count == first.count
  }

  /// Rows of many lengths whose first cell is a label and whose others are numbers.
  private static func isRagged(
    _ table: CSVTable, _ data: [Int], width: Int, numbers: NumberStyle
  ) -> Bool {
    let lengths = Set(data.prefix(1_000).map { table.fieldCount(row: $0) })
    guard lengths.count > 2, lengths.count * 4 > min(data.count, 1_000) else { return false }
    return data.prefix(50).allSatisfy { row in
      table.fieldCount(row: row) > 8 && !isTyped(table.cell(row: row, column: 0), numbers)
        && (1...8).allSatisfy { isTyped(table.cell(row: row, column: $0), numbers) }
    }
  }

  private static func uniqueNames(_ names: [String]) -> [String] {
    var seen: Set<String> = []
    return names.enumerated().map { index, name in
      let base = name.isEmpty ? "column\(index + 1)" : name
      var unique = base
      var number = 2
      while !seen.insert(unique).inserted {
        unique = "\(base).\(number)"
        number += 1
      }
      return unique
    }
  }
}
