extension SeriesTable {
  /// Reads a CSV file of one or many series.
  ///
  /// Understood are one series with covariates, several series side by side, a long table with a column of
  /// names, and one series per row. Nothing is resampled or filled: a gap stays a gap, a missing value NaN.
  ///
  /// - Parameters:
  ///   - path: A plain text file.
  ///   - options: What is known about it; the default infers everything.
  /// - Throws: ``SeriesError``, whose description names file, line, what was found and what was expected.
  public init(readingCSVAt path: String, options: SeriesOptions = SeriesOptions())
    throws(SeriesError)
  {
    let source = try SourceFile(path: path, limit: options.maximumBytes)
    self = try SeriesReader(source, options: options).table()
  }

  /// Reads CSV text that is already in memory; `name` stands for the file in messages.
  ///
  /// - Throws: ``SeriesError``.
  public init(
    parsingCSV bytes: [UInt8], name: String = "input", options: SeriesOptions = SeriesOptions()
  ) throws(SeriesError) {
    let source = try SourceFile(
      name: name, bytes: bytes, limit: min(options.maximumBytes, Int(Int32.max)))
    self = try SeriesReader(source, options: options).table()
  }
}

/// Turns a table of cells into series, and keeps the book.
struct SeriesReader {
  private let source: SourceFile
  private let options: SeriesOptions
  private let layout: CSVLayout
  private var report: DataReport

  init(_ source: SourceFile, options: SeriesOptions) throws(SeriesError) {
    self.source = source
    self.options = options
    layout = try CSVLayout(
      source, delimiter: options.delimiter, numbers: options.format?.numbers)
    report = DataReport(source: source.name)
    report.rowsRead = layout.rows.count + layout.badRows.count
    report.columns = Array(layout.names.prefix(1_000))
    report.notes = layout.notes
    for bad in layout.badRows { report.add(.unreadableRow, line: bad.line, bad.reason) }
  }

  func table() throws(SeriesError) -> SeriesTable {
    guard !layout.rows.isEmpty else {
      guard let bad = layout.badRows.first else {
        throw .onlyHeader(file: source.name, names: layout.names)
      }
      throw .tooManyBadRows(
        file: source.name, bad: layout.badRows.count, rows: report.rowsRead, line: bad.line,
        reason: bad.reason)
    }
    if let rows = RowSeries(layout, options: options) { return try rows.table(report) }
    var reader = self
    return try reader.columns()
  }

  /// One column of numbers with what became of its cells.
  private struct NumberColumn {
    var values: [Double]
    var bad: [Int] = []
    var missing: [Int] = []
  }

  private mutating func columns() throws(SeriesError) -> SeriesTable {
    let roles = try ColumnRoles(layout, options: options)
    report.choices = roles.choices
    if !roles.ignored.isEmpty {
      let names = roles.ignored.prefix(5).map { "'\(layout.names[$0].prefix(40))'" }
      report.notes.append(
        "Left out \(roles.ignored.count) column\(roles.ignored.count == 1 ? "" : "s") without numbers: "
          + names.joined(separator: ", ") + (roles.ignored.count > 5 ? ", …." : "."))
    }
    let (stamps, dates) = readTimes(roles.time)
    let targets = roles.targets.map(readNumbers)
    let covariates = roles.covariates.map(readNumbers)
    try refuseWreck(stamps: stamps, targets: targets, roles: roles)
    noteCells(targets, columns: roles.targets, isTarget: true)
    noteCells(covariates, columns: roles.covariates, isTarget: false)
    let groups = groupRows(by: roles.id, stamps: stamps)
    let isAlone = groups.count == 1 && roles.targets.count == 1
    let covariateNames = roles.covariates.map { layout.names[$0] }
    var builder = SeriesBuilder(layout: layout, options: options, stamps: stamps, report: report)
    var series: [TimeSeries] = []
    for group in groups {
      for (index, column) in roles.targets.enumerated() {
        let id = seriesID(group.label, column: column, roles: roles)
        series.append(
          try builder.series(
            id: id, rows: group.rows, target: targets[index].values,
            covariates: zip(covariateNames, covariates).map {
              Covariate(name: $0, values: $1.values)
            },
            isAlone: isAlone, isFirstOfRow: index == 0))
      }
    }
    report = builder.report
    guard series.contains(where: { $0.values.contains { !$0.isNaN } }) else {
      throw .noUsableRows(
        file: source.name, target: roles.targets.map { layout.names[$0] }.joined(separator: ", "))
    }
    var table = SeriesChecks.table(
      series, lines: builder.lines,
      targetName: roles.targets.count == 1 ? layout.names[roles.targets[0]] : "",
      covariateNames: covariateNames, hasClock: roles.time.hasClock, report: report)
    table.format = format(roles, dates)
    return table
  }

  /// What was decided about the file.
  private func format(_ roles: ColumnRoles, _ dates: DateColumn?) -> TableFormat {
    let names = layout.names
    let time: TableFormat.Time =
      switch roles.time {
      case .dates(let column, let style, let clock):
        .dates(
          column: names[column], style: dates?.style ?? style, timeOfDay: clock.map { names[$0] })
      case .parts(let columns): .parts(columns: columns.map { names[$0] })
      case .ordinal(let column): .ordinal(column: names[column])
      case .rowOrder: .rowOrder
      }
    return TableFormat(
      time: time, isUniversal: dates?.isUniversal ?? false, series: roles.id.map { names[$0] },
      targets: roles.targets.map { names[$0] }, covariates: roles.covariates.map { names[$0] },
      numbers: layout.numbers)
  }

  private func seriesID(_ label: String?, column: Int, roles: ColumnRoles) -> String {
    switch (label, roles.targets.count) {
    case (let label?, 1): label
    case (let label?, _): "\(label)/\(layout.names[column])"
    case (nil, 1): fileStem
    case (nil, _): layout.names[column]
    }
  }

  /// The file's name without folders and extension.
  private var fileStem: String {
    let last = source.name.split(separator: "/").last.map(String.init) ?? source.name
    guard let dot = last.lastIndex(of: "."), dot != last.startIndex else { return last }
    return String(last[..<dot])
  }

  // MARK: Cells

  /// The stamp of each row, and the column of dates where there is one.
  private mutating func readTimes(
    _ time: ColumnRoles.Time
  ) -> (stamps: [Timestamp?], dates: DateColumn?) {
    switch time {
    case .rowOrder:
      return (steps(), nil)
    case .ordinal(let column):
      return (ordinals(column), nil)
    case .parts(let columns):
      let dates = DateColumn(
        count: layout.rows.count, style: .yearMonthDay, dayFirst: nil,
        isUniversal: options.format?.isUniversal
      ) { row in
        DateColumn.composed(columns.map { layout.cell(row, $0) })
      }
      for (row, stamp) in dates.stamps.enumerated() where stamp == nil {
        noteTime(row, columns[columns.count - 1])
      }
      return (dates.stamps, dates)
    case .dates(let column, let style, let clock):
      let dates = DateColumn(
        count: layout.rows.count, style: style, dayFirst: options.knownDayFirst,
        isUniversal: options.format?.isUniversal
      ) { row in
        guard let clock else { return layout.cell(row, column) }
        return (Array(layout.cell(row, column)) + [0x20] + layout.cell(row, clock))[...]
      }
      report.notes += dates.notes
      for (row, stamp) in dates.stamps.enumerated() where stamp == nil { noteTime(row, column) }
      return (dates.stamps, dates)
    }
  }

  private func steps() -> [Timestamp?] {
    layout.rows.indices.map { Timestamp(secondsSinceEpoch: Int64($0)) }
  }

  private mutating func ordinals(_ column: Int) -> [Timestamp?] {
    layout.rows.indices.map { row in
      guard case .number(let value) = layout.numbers.parse(layout.cell(row, column)),
        let step = Int64(exactly: value)
      else {
        noteTime(row, column)
        return nil
      }
      return Timestamp(secondsSinceEpoch: step)
    }
  }

  private mutating func noteTime(_ row: Int, _ column: Int) {
    let layout = layout
    report.add(
      .unreadableRow, line: layout.line(row), Self.timeReason(layout, row, column))
  }

  private static func timeReason(_ layout: CSVLayout, _ row: Int, _ column: Int) -> String {
    "found '\(layout.text(row, column).prefix(40))' in column '\(layout.names[column])', expected a date"
  }

  private func readNumbers(_ column: Int) -> NumberColumn {
    var result = NumberColumn(values: Array(repeating: .nan, count: layout.rows.count))
    for row in layout.rows.indices {
      switch layout.numbers.parse(layout.cell(row, column)) {
      case .number(let value): result.values[row] = value
      case .missing: result.missing.append(row)
      case .bad: result.bad.append(row)
      }
    }
    return result
  }

  private mutating func noteCells(_ cells: [NumberColumn], columns: [Int], isTarget: Bool) {
    let layout = layout
    for (cell, column) in zip(cells, columns) {
      let name = layout.names[column]
      for row in cell.bad {
        report.add(.unreadableValue, line: layout.line(row), Self.numberReason(layout, row, column))
      }
      for row in cell.missing {
        report.add(
          isTarget ? .missingTarget : .missingCovariate, line: layout.line(row),
          "'\(name)' is '\(layout.text(row, column).prefix(20))'")
      }
    }
  }

  private static func numberReason(_ layout: CSVLayout, _ row: Int, _ column: Int) -> String {
    "found '\(layout.text(row, column).prefix(40))' in column '\(layout.names[column])', "
      + "expected a number"
  }

  /// A file in which many rows are bad is misread or damaged, and no series should come of it.
  private func refuseWreck(
    stamps: [Timestamp?], targets: [NumberColumn], roles: ColumnRoles
  ) throws(SeriesError) {
    let badTimes = stamps.indices.filter { stamps[$0] == nil }
    let badTargets = targets.flatMap(\.bad)
    let rows = max(1, report.rowsRead)
    let badShare =
      Double(layout.badRows.count + badTimes.count) / Double(rows)
      + Double(badTargets.count) / Double(rows * max(1, targets.count))
    guard badShare > options.badRowTolerance else { return }
    var first = layout.badRows.first.map { ($0.line, $0.reason) }
    if let row = badTimes.first, layout.line(row) < first?.0 ?? .max, let column = roles.time.column
    {
      first = (layout.line(row), Self.timeReason(layout, row, column))
    }
    for (cells, column) in zip(targets, roles.targets) {
      if let row = cells.bad.first, layout.line(row) < first?.0 ?? .max {
        first = (layout.line(row), Self.numberReason(layout, row, column))
      }
    }
    guard let first else { return }
    throw .tooManyBadRows(
      file: source.name, bad: layout.badRows.count + badTimes.count + badTargets.count, rows: rows,
      line: first.0, reason: first.1)
  }

  /// Rows of each series, in the order in which the file first names them.
  private func groupRows(by id: Int?, stamps: [Timestamp?]) -> [(label: String?, rows: [Int])] {
    guard let id else { return [(nil, stamps.indices.filter { stamps[$0] != nil })] }
    var indices: [ArraySlice<UInt8>: Int] = [:]
    var groups: [(label: String?, rows: [Int])] = []
    var last: (label: ArraySlice<UInt8>, index: Int)?
    for row in stamps.indices where stamps[row] != nil {
      let label = layout.cell(row, id)
      if let last, last.label == label {
        groups[last.index].rows.append(row)
        continue
      }
      let index = indices[label] ?? groups.count
      if index == groups.count {
        groups.append((layout.text(row, id), []))
        indices[label] = index
      }
      groups[index].rows.append(row)
      last = (label, index)
    }
    return groups
  }
}

extension ColumnRoles.Time {
  /// Whether stamps are moments and not counts.
  var hasClock: Bool {
    switch self {
    case .dates, .parts: true
    case .ordinal, .rowOrder: false
    }
  }

  /// The columns that stamps are read from.
  var columns: Set<Int> {
    switch self {
    case .dates(let column, _, let clock): [column, clock ?? column]
    case .parts(let columns): Set(columns)
    case .ordinal(let column): [column]
    case .rowOrder: []
    }
  }

  /// The column that holds the stamps.
  var column: Int? {
    switch self {
    case .dates(let column, _, _), .ordinal(let column): column
    case .parts(let columns): columns.last
    case .rowOrder: nil
    }
  }
}
