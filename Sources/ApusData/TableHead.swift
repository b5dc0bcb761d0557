/// The lines above the rows of a table: titles, and one or more lines of names.
struct TableHead {
  /// Lines before the names.
  let titles: Int
  /// Lines of names; 0 where the file names no columns.
  let names: Int

  /// The most lines of names that are looked for.
  static let nameLimit = 4

  /// Finds both.
  ///
  /// - Parameters:
  ///   - table: The whole file.
  ///   - width: Fields of most rows.
  ///   - wanted: How many lines of names a person counts; nil finds them.
  init(_ table: CSVTable, width: Int, names wanted: Int?) {
    titles = Self.titleRows(table, width: width)
    if let wanted {
      names = min(wanted, max(0, table.rowCount - titles))
      return
    }
    var found = 0
    let body = TypedBody(table, from: titles)
    while found < Self.nameLimit, titles + found < table.rowCount,
      body.isNames(row: titles + found, isFirst: found == 0)
    {
      found += 1
    }
    // A table of nothing but text has one line of names, if any.
    names = found
  }

  /// Lines above the table that hold a title and not a row: one field where the table has more, or far
  /// fewer fields than it.
  private static func titleRows(_ table: CSVTable, width: Int) -> Int {
    guard width > 1 else { return 0 }
    let titles = (0..<min(20, table.rowCount)).prefix { row in
      let count = table.fieldCount(row: row)
      let filled = (0..<count).count { !table.cell(row: row, column: $0).isEmpty }
      return count == 1 || (width >= 4 && filled <= 1 && count > 1 && row == 0)
        || (width >= 6 && count * 2 < width)
    }.count
    return titles < table.rowCount ? titles : 0
  }

  /// Lines below the table that hold a source or a remark and no row.
  static func footRows(_ table: CSVTable, from first: Int, width: Int) -> Int {
    guard width > 2 else { return 0 }
    var count = 0
    while count < 20, table.rowCount - count - 1 > first {
      let row = table.rowCount - count - 1
      let fields = table.fieldCount(row: row)
      let filled = (0..<fields).count { !table.cell(row: row, column: $0).isEmpty }
      guard fields == 1 || (fields == width && filled == 1 && isRemark(table, row)) else { break }
      count += 1
    }
    return count
  }

  /// A lone text of several words in the first field.
  private static func isRemark(_ table: CSVTable, _ row: Int) -> Bool {
    let cell = table.cell(row: row, column: 0)
    return cell.contains(0x20) && !TypedBody.isTyped(cell)
  }
}

/// Which columns of a table hold numbers, dates or times, by its rows below the head.
struct TypedBody {
  private let table: CSVTable
  private let isTyped: [Bool]
  private let isDate: [Bool]
  private let hasRows: Bool

  init(_ table: CSVTable, from first: Int) {
    self.table = table
    // Past the lines that could be names, where there are enough rows.
    let all = table.rowCount - first
    let skipped = all > TableHead.nameLimit + 4 ? TableHead.nameLimit : min(1, all - 1)
    let body = ((first + max(skipped, 0))..<table.rowCount).prefix(60)
    let width = body.map { table.fieldCount(row: $0) }.max() ?? 0
    hasRows = all > 1
    var (isTyped, isDate) = ([Bool](), [Bool]())
    for column in 0..<min(width, 4_096) {
      var (typed, dates, filled) = (0, 0, 0)
      for row in body where column < table.fieldCount(row: row) {
        let cell = table.cell(row: row, column: column)
        if cell.isEmpty { continue }
        filled += 1
        if Self.isTyped(cell) {
          typed += 1
          if !Self.isNumber(cell) { dates += 1 }
        }
      }
      isTyped.append(typed * 2 > filled && filled > 0)
      isDate.append(dates * 2 > filled && filled > 0)
    }
    (self.isTyped, self.isDate) = (isTyped, isDate)
  }

  /// Whether a row holds names: text where the rows below hold numbers or dates, or dates over numbers.
  func isNames(row: Int, isFirst: Bool) -> Bool {
    let cells = (0..<table.fieldCount(row: row)).map { table.cell(row: row, column: $0) }
    guard hasRows else {
      let isText = cells.map { !$0.isEmpty && !Self.isTyped($0) }
      return isFirst && (isText.contains(true) || !cells.contains { Self.isTyped($0) })
    }
    if isFirst, isDateRun(cells, row: row) { return true }
    var (text, typed) = (0, 0)
    for (column, cell) in cells.enumerated() where column < isTyped.count && isTyped[column] {
      if cell.isEmpty { continue }
      if Self.isTyped(cell) {
        typed += 1
        // A line of names has no date in the column of dates.
        if isDate[column], !Self.isNumber(cell) { return false }
      } else if !NumberStyle().isMissing(cell) {
        text += 1
      }
    }
    if isTyped.contains(true) { return text > 0 && (isFirst || typed == 0) }
    // Text over text: a head when nothing in the first row could be data.
    return isFirst && cells.allSatisfy { !$0.isEmpty && !Self.isTyped($0) }
      && Set(cells.map(Array.init)).count == cells.count
  }

  /// Dates or rising years side by side where the next row has none: the head of a series a row.
  private func isDateRun(_ cells: [ArraySlice<UInt8>], row: Int) -> Bool {
    guard row + 1 < table.rowCount, cells.count >= 4 else { return false }
    let run = DateRun(cells)
    guard let run, run.columns.count >= 3,
      run.columns.count * 2 >= cells.count || run.columns.count > 8
    else { return false }
    let below = (0..<table.fieldCount(row: row + 1)).map { table.cell(row: row + 1, column: $0) }
    return DateRun(below) == nil
  }

  private static func isNumber(_ cell: ArraySlice<UInt8>) -> Bool {
    guard !cell.isEmpty else { return false }
    return [NumberStyle(), NumberStyle(usesDecimalComma: true)].contains { style in
      if case .number = style.parse(cell) { true } else { false }
    }
  }

  /// A number, a date or a time of day.
  static func isTyped(_ cell: ArraySlice<UInt8>) -> Bool {
    guard let first = cell.first, first < 0x80 || NumberBody(cell) != nil else { return false }
    if isNumber(cell) { return true }
    return DateColumn.styles(of: [cell]).isEmpty == false || DateScanner.clock(cell) != nil
  }
}

/// Columns side by side whose names are dates that rise or fall.
struct DateRun {
  /// Places of the columns.
  let columns: Range<Int>
  /// How the names are written.
  let style: DateStyle

  /// Finds the longest run of at least three; nil without one.
  init?(_ names: [ArraySlice<UInt8>]) {
    var best: (columns: Range<Int>, style: DateStyle)?
    for style in DateStyle.allCases where !style.isBareNumber || style == .year || style == .compact
    {
      var start = 0
      let dates = names.map { name in
        DateScanner.parse(style == .year ? DateRun.year(name) : name, as: style)?.local
      }
      while start < dates.count {
        guard dates[start] != nil else {
          start += 1
          continue
        }
        var end = start + 1
        while end < dates.count, dates[end] != nil { end += 1 }
        let run = dates[start..<end].compactMap(\.self)
        let pairs = zip(run, run.dropFirst())
        let isSorted = pairs.allSatisfy { $0 < $1 } || pairs.allSatisfy { $0 > $1 }
        // Of both orders of day and month the caller decides.
        if end - start >= 3, isSorted || style.isNumericDate, end - start > best?.columns.count ?? 0
        {
          best = (start..<end, style)
        }
        start = end
      }
    }
    guard let best else { return nil }
    if best.style == .year, !Self.isEvenly(names[best.columns]) { return nil }
    (columns, style) = best
  }

  /// `1975` of `1975` and of `1975 [YR1975]`.
  static func year(_ name: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let head = name.prefix(4)
    let tail = name.dropFirst(4)
    let isLabelled = tail.starts(with: " [YR".utf8) || tail.first == 0x46 && tail.count == 1
    return isLabelled ? head : name
  }

  /// Years that follow each other at one distance.
  private static func isEvenly(_ names: ArraySlice<ArraySlice<UInt8>>) -> Bool {
    let years = names.compactMap { Int(String(decoding: year($0), as: UTF8.self)) }
    let steps = Set(zip(years, years.dropFirst()).map { $1 - $0 })
    return steps.count == 1 && years.count >= 4
  }
}
