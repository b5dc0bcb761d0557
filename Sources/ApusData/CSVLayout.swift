import ApusTensor

/// A table whose head, delimiter and number styles are settled; every row has the same width.
struct CSVLayout {
  let table: CSVTable
  /// Column names, unique, never empty.
  private(set) var names: [String]
  /// The series that each column belongs to, where a second line of names says so; empty otherwise.
  let entities: [String?]
  /// Lines that name the columns; 0 where the file names none.
  let headLines: Int
  /// The file names its columns.
  var hasHeader: Bool { headLines > 0 }
  /// Line of the header, or of the first row.
  let headerLine: Int
  /// Indices into `table` of the rows below the header that have as many fields as names.
  let rows: [Int]
  /// Lines whose number of fields differs, and rows broken inside a quote.
  let badRows: [(line: Int, reason: String)]
  /// How the numbers of each column are written.
  private(set) var styles: [NumberStyle]
  /// Columns whose decimal mark nothing in the file tells, with a row that shows it.
  private(set) var openMarks: [Int: Int] = [:]
  /// What was assumed, as sentences.
  private(set) var notes: [String]
  /// Rows of unequal length are rows of series, not damage.
  let isRagged: Bool
  /// The plain numbers of each column that holds any; not-a-number where a cell is none.
  private(set) var decimals: [Int: PlainDecimals] = [:]

  var width: Int { names.count }

  /// A trimmed cell of data row `index`; empty beyond the end of a ragged row.
  @inline(__always)
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

  /// The column of that name, whatever the case of its letters and the marks between them.
  func column(named name: String) -> Int? {
    if let exact = names.firstIndex(of: name) { return exact }
    let wanted = normalizedName(name)
    return names.firstIndex { normalizedName($0) == wanted }
  }

  /// Finds delimiter, head and number styles and splits the file.
  init(_ source: SourceFile, options: SeriesOptions) throws(SeriesError) {
    var notes: [String] = []
    if source.isLatin1 {
      notes.append("The text is not valid UTF-8; it was read as Latin-1.")
    }
    let start = Preamble(source.bytes)
    if start.skipped > 0 {
      notes.append(
        "Skipped \(start.skipped) comment line\(start.skipped == 1 ? "" : "s") at the top.")
    }
    let delimiter: UInt8
    if let known = options.delimiter ?? start.delimiter {
      delimiter = known
    } else {
      delimiter = try Delimiter.sniffed(source, from: start)
    }
    let table = try CSVTable(source, delimiter: delimiter, from: start.offset, line: start.line)
    guard table.rowCount > 0 else { throw .empty(file: source.name) }
    let usual = Self.commonWidth(table, Array(0..<table.rowCount)) ?? 1
    let head = TableHead(table, width: usual, names: options.headerLines)
    if head.titles > 0 {
      notes.append(
        "Skipped \(head.titles) title line\(head.titles == 1 ? "" : "s") above the table.")
    }
    headLines = head.names
    headerLine = table.lines[min(head.titles, table.rowCount - 1)]
    let first = head.titles + head.names
    let foot = TableHead.footRows(table, from: first, width: usual)
    if foot > 0 {
      notes.append("Skipped \(foot) line\(foot == 1 ? "" : "s") below the table.")
    }
    let data = Array(first..<max(first, table.rowCount - foot))
    let lines = (head.titles..<first).map { row in
      (0..<table.fieldCount(row: row)).map { table.text(row: row, column: $0) }
    }
    let header = HeaderNames(lines, first: headerLine)
    notes += header.notes
    var width = header.names.count
    var names = header.names
    if head.names == 0 {
      width = Self.commonWidth(table, data) ?? usual
      names = Self.bareNames(width, known: options.format?.columns)
      notes.append("The file names no columns; they are called \(names[0]), … by position.")
    }
    guard !data.isEmpty else { throw .onlyHeader(file: source.name, names: names) }
    isRagged = Self.isRagged(table, data)
    if !isRagged, head.names > 0 {
      width += Self.unnamedColumns(table, data, names: &names, notes: &notes)
    }
    self.names = Self.uniqueNames(names, entities: header.entities)
    entities = header.hasEntities ? header.entities : []
    let split = Self.splitRows(table, data, width: width, isRagged: isRagged)
    rows = split.good
    badRows = split.bad
    self.table = table
    self.notes = notes
    styles = Array(repeating: NumberStyle(), count: self.names.count)
    settleStyles(options)
  }

  private static func bareNames(_ width: Int, known: [String]?) -> [String] {
    if let known, known.count == width { return known }
    return (1...max(1, width)).map { "column\($0)" }
  }

  /// Columns that rows have beyond the header: 1 for one at the end that is always empty, or for names of
  /// rows at the start.
  private static func unnamedColumns(
    _ table: CSVTable, _ data: [Int], names: inout [String], notes: inout [String]
  ) -> Int {
    let width = names.count
    guard data.count(where: { table.fieldCount(row: $0) == width + 1 }) * 2 > data.count else {
      return 0
    }
    let isTrailing = data.allSatisfy { row in
      table.fieldCount(row: row) != width + 1 || table.cell(row: row, column: width).isEmpty
    }
    if isTrailing {
      names.append("")  // every row ends in a delimiter
    } else {
      names.insert("", at: 0)
      notes.append("Rows have one field more than the header; the first is taken as a row name.")
    }
    return 1
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

  /// The number of fields that most rows have.
  static func commonWidth(_ table: CSVTable, _ rows: [Int]) -> Int? {
    var counts: [Int: Int] = [:]
    for row in rows.prefix(1_000) { counts[table.fieldCount(row: row), default: 0] += 1 }
    return counts.max { ($0.value, $0.key) < ($1.value, $1.key) }?.key
  }

  /// Rows of many lengths whose first cell is a label and whose others are numbers.
  private static func isRagged(_ table: CSVTable, _ data: [Int]) -> Bool {
    let lengths = Set(data.prefix(1_000).map { table.fieldCount(row: $0) })
    guard lengths.count > 2, lengths.count * 4 > min(data.count, 1_000) else { return false }
    return data.prefix(50).allSatisfy { row in
      table.fieldCount(row: row) > 8 && !TypedBody.isTyped(table.cell(row: row, column: 0))
        && (1...8).allSatisfy { TypedBody.isTyped(table.cell(row: row, column: $0)) }
    }
  }

  private static func uniqueNames(_ names: [String], entities: [String?]) -> [String] {
    var seen: Set<String> = []
    return names.enumerated().map { index, name in
      let base = name.isEmpty ? "column\(index + 1)" : name
      // Fields of different series share their name.
      let entity = index < entities.count ? entities[index] : nil
      var unique = base
      var number = 2
      while !seen.insert(entity.map { "\($0)\u{0}\(unique)" } ?? unique).inserted {
        unique = "\(base).\(number)"
        number += 1
      }
      return unique
    }
  }
}

extension CSVLayout {
  /// Settles how the numbers of each column are written: by what a person or a model's training says, then
  /// by the column itself, then by the other columns, then by the delimiter.
  private mutating func settleStyles(_ options: SeriesOptions) {
    let format = options.format
    readDecimals()
    var votes: [Int: MarkVotes] = [:]
    for column in names.indices {
      var style = format?.style(of: names[column]) ?? NumberStyle()
      style.missingWords += options.missing.map { $0.lowercased() }
      styles[column] = style
      if let mark = options.decimal {
        styles[column].usesDecimalComma = mark == .comma
      } else if format == nil {
        votes[column] = votesOfColumn(column)
      }
    }
    var decided: [DecimalMark: Int] = [:]
    for (column, vote) in votes {
      guard let mark = vote.decided else { continue }
      styles[column].usesDecimalComma = mark == .comma
      // A column of whole numbers says nothing to the others.
      if vote.point + vote.comma + vote.openPoint + vote.openComma > 0 {
        decided[mark, default: 0] += 1
      }
    }
    var common: DecimalMark? =
      switch (decided[.point] ?? 0, decided[.comma] ?? 0) {
      case (1..., 0): .point
      case (0, 1...): .comma
      default: nil
      }
    let open = votes.filter { $0.value.decided == nil && $0.value.isOpen }
    if common == nil, decided.isEmpty { common = commonMark(open.map(\.value)) }
    for (column, vote) in open {
      let known = common ?? usualMark(vote)
      styles[column].usesDecimalComma = (known ?? .point) == .comma
      if known == nil { openMarks[column] = vote.openRow ?? 0 }
    }
    if styles.contains(where: \.usesDecimalComma) {
      let all = names.indices.filter { votes[$0].map { $0.point + $0.comma > 0 } ?? false }
      let points = all.filter { !styles[$0].usesDecimalComma }
      notes.append(
        points.isEmpty
          ? "Numbers are written with a decimal comma."
          : "Some columns are written with a decimal comma, others with a point.")
    }
  }

  /// Points in one column and commas in another: one of them parts thousands, and the delimiter, or dates
  /// such as 31.12.2015, tell which.
  private func commonMark(_ open: [MarkVotes]) -> DecimalMark? {
    let hasDottedDates = names.indices.contains { column in
      let sample = sample(column, limit: 50)
      return !sample.isEmpty
        && sample.allSatisfy {
          $0.contains(0x2E) && DateScanner.parse($0, as: .dayMonthYear) != nil
        }
    }
    if table.delimiter == 0x3B, hasDottedDates { return .comma }
    guard open.contains(where: { $0.openPoint > 0 }), open.contains(where: { $0.openComma > 0 })
    else { return nil }
    return table.delimiter == 0x3B ? .comma : .point
  }

  /// What the delimiter makes likely where no column of the file tells: who parts fields by commas writes
  /// points, who parts them by semicolons writes commas. Nil where both are usual.
  private func usualMark(_ vote: MarkVotes) -> DecimalMark? {
    switch (table.delimiter, vote.openPoint > 0) {
    case (0x2C, _): .point
    case (0x3B, false): .comma
    case (_, true): table.delimiter == 0x3B ? nil : .point
    default: nil
    }
  }

  /// The marks of a column's cells; none where a sample of them holds no number.
  private func votesOfColumn(_ column: Int) -> MarkVotes {
    var votes = MarkVotes()
    let sample = self.sample(column, limit: 200)
    let styles = [NumberStyle(), NumberStyle(usesDecimalComma: true)]
    let hasNumbers = sample.contains { cell in
      styles.contains { if case .number = $0.parse(cell) { true } else { false } }
    }
    guard sample.isEmpty || hasNumbers else { return votes }
    guard let plain = decimals[column] else {
      for row in rows.indices { votes.add(cell(row, column), row: row) }
      return votes
    }
    for row in plain.others {
      let cell = cell(row, column)
      if !cell.isEmpty { votes.add(cell, row: row) }
    }
    votes.add(plain.marks)
    return votes
  }

  /// Reads the plain numbers of every column whose sample has some, where there are many rows.
  private mutating func readDecimals() {
    guard rows.count >= 1_000, let cells = textCells else { return }
    for column in names.indices {
      let hasNumbers = sample(column, limit: 50).contains { cell in
        if case .number = NumberStyle().parse(cell) { true } else { false }
      }
      if hasNumbers { decimals[column] = PlainDecimals(cells, column) }
    }
  }

  /// The cells as kernels read them; nil where rows are ragged.
  var textCells: TextCells? {
    guard !isRagged else { return nil }
    return TextCells(
      table.source.bytes, starts: table.starts, lengths: table.lengths,
      firsts: rows.map { table.rowStarts[$0] }, width: width)
  }

  /// What was decided about the file as a whole, for the report.
  var choice: DataReport.Choice {
    let marks: [UInt8: String] = [
      0x2C: "commas", 0x3B: "semicolons", 0x09: "tabs", 0x7C: "bars",
    ]
    let mark = marks[table.delimiter] ?? "the byte \(table.delimiter)"
    let names =
      headLines == 0 ? "no names" : "\(headLines) line\(headLines == 1 ? "" : "s") of names"
    return DataReport.Choice(
      subject: "layout", chosen: width == 1 ? names : "fields parted by \(mark), \(names)",
      reason: "the first rows are even and full of dates and numbers that way")
  }

  /// Calls the columns of price bars by their names, where the file names none.
  mutating func nameBars() {
    guard !hasHeader, let bars = PriceBars(self) else { return }
    names = bars.names(self)
    notes.append("Columns \(bars.open + 1) to \(bars.close + 1) hold price bars and are named so.")
  }

  /// Counts a word as a missing number in one column.
  mutating func addMissing(_ words: [String], column: Int) { styles[column].missingWords += words }
}
