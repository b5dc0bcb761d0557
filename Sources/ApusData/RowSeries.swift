/// A table that holds one series per row: a label, then its values, as in the M4 competition.
///
/// Columns are named by dates, or numbered like `V2, V3, …`; then steps take the place of a clock.
struct RowSeries {
  private let layout: CSVLayout
  private let stamps: [Timestamp]
  /// How the names of the columns are written; nil where they are numbered.
  private let style: DateStyle?
  private var hasClock: Bool { style != nil }

  /// Recognizes the layout; nil when rows are times, as in any other table.
  init?(_ layout: CSVLayout, options: SeriesOptions) {
    guard layout.hasHeader, layout.width >= 4, options.time == nil,
      options.targets.isEmpty || options.format?.isRowPerSeries == true,
      DateColumn.guessStyle(of: layout.sample(0)) == nil
    else { return nil }
    let labels = layout.sample(0)
    guard !labels.isEmpty, Set(labels).count == labels.count else { return nil }
    let isText = labels.count { layout.numbers.parse($0) == .bad } == labels.count
    guard isText else { return nil }
    let names = layout.names.dropFirst()
    let cells = names.map { Array($0.utf8)[...] }
    if let guess = DateColumn.guessStyle(of: cells), guess.share == 1,
      guess.style != .year || names.count > 8
    {
      let column = DateColumn(
        count: cells.count, style: guess.style, dayFirst: options.knownDayFirst
      ) {
        cells[$0]
      }
      stamps = column.stamps.compactMap { $0 }
      style = column.style
      guard zip(stamps, stamps.dropFirst()).allSatisfy({ $0 < $1 }) else { return nil }
    } else if layout.isRagged || Self.isNumbered(Array(names)) {
      stamps = names.indices.map { Timestamp(secondsSinceEpoch: Int64($0 - names.startIndex)) }
      style = nil
    } else {
      return nil
    }
    let style = layout.numbers
    let isNumbers = layout.sampleRows(50).allSatisfy { row in
      (1..<min(layout.width, 8)).allSatisfy { style.parse(layout.cell(row, $0)) != .bad }
    }
    guard isNumbers else { return nil }
    self.layout = layout
  }

  /// The same letters, then numbers that count up by one.
  private static func isNumbered(_ names: [String]) -> Bool {
    let parts = names.map { name in
      let prefix = name.prefix { !$0.isNumber }
      return (prefix: prefix, number: Int(name.dropFirst(prefix.count)))
    }
    guard let first = parts.first, let start = first.number else { return false }
    return parts.enumerated().allSatisfy { index, part in
      part.prefix == first.prefix && part.number.map { $0 &- index == start } ?? false
    }
  }

  func table(_ start: DataReport) throws(SeriesError) -> SeriesTable {
    var report = start
    report.choose(
      "series", "one per row", because: "each row starts with a label and goes on with numbers")
    report.choose(
      "time", hasClock ? "the column names" : "none",
      because: hasClock ? "they are dates" : "columns are numbered; values are consecutive steps")
    var series: [TimeSeries] = []
    var lines: [[Int]] = []
    var bad = 0
    var firstBad: (line: Int, reason: String)?
    for row in layout.rows.indices {
      let id = layout.text(row, 0)
      var values: [Double] = []
      let width = layout.isRagged ? layout.table.fieldCount(row: layout.rows[row]) : layout.width
      for column in 1..<max(2, width) {
        switch layout.numbers.parse(layout.cell(row, column)) {
        case .number(let value): values.append(value)
        case .missing: values.append(.nan)
        case .bad:
          bad += 1
          let reason =
            "found '\(layout.text(row, column).prefix(40))' in field \(column + 1), expected a number"
          firstBad = firstBad ?? (layout.line(row), reason)
          report.add(.unreadableValue, line: layout.line(row), series: id, reason)
          values.append(.nan)
        }
      }
      while let last = values.last, last.isNaN { values.removeLast() }
      values = Array(values.prefix(stamps.count))
      for (index, value) in values.enumerated() where value.isNaN {
        report.add(
          .missingTarget, line: layout.line(row), series: id, "field \(index + 2) is empty")
      }
      guard !values.isEmpty else {
        report.add(.unreadableRow, line: layout.line(row), series: id, "found no number in the row")
        continue
      }
      series.append(
        TimeSeries(id: id, timestamps: Array(stamps.prefix(values.count)), values: values))
      lines.append(Array(repeating: layout.line(row), count: values.count))
    }
    if let firstBad, bad * 10 > layout.rows.count {
      throw .tooManyBadRows(
        file: report.source, bad: bad, rows: layout.rows.count, line: firstBad.line,
        reason: firstBad.reason)
    }
    report.rowsUsed = series.count
    guard !series.isEmpty else { throw .noUsableRows(file: report.source, target: "the rows") }
    var table = SeriesChecks.table(
      series, lines: lines, targetName: "value", covariateNames: [], hasClock: hasClock,
      report: report)
    table.format = TableFormat(
      time: .header(style: style), isUniversal: false, series: nil, targets: [], covariates: [],
      numbers: layout.numbers)
    return table
  }
}
