/// A table with a year a row and a month, or a quarter, a column, as offices of statistics and weather print
/// them.
struct CalendarGrid {
  private let layout: CSVLayout
  private let year: Int
  /// Columns with the month, from 1, that each stands for.
  private let columns: [(column: Int, month: Int)]
  /// Columns that name the series of a row.
  private let labels: [Int]

  /// Recognizes the layout; nil for any other.
  init?(_ layout: CSVLayout, options: SeriesOptions) {
    guard layout.hasHeader, options.time.isEmpty, !options.countsRows, options.targets.isEmpty,
      layout.entities.isEmpty
    else { return nil }
    guard let columns = Self.months(layout.names) ?? Self.quarters(layout.names) else { return nil }
    let taken = Set(columns.map(\.column))
    let others = layout.names.indices.filter { !taken.contains($0) }
    let years = others.filter { column in
      let sample = layout.sample(column, limit: 200)
      return !sample.isEmpty && sample.allSatisfy { DateScanner.parse($0, as: .year) != nil }
    }
    guard years.count == 1, let year = years.first else { return nil }
    self.layout = layout
    (self.year, self.columns) = (year, columns)
    labels = others.filter { column in
      column != year && layout.sample(column).contains { layout.styles[column].parse($0) == .bad }
    }
  }

  /// Twelve columns called by the months in order, in one language.
  private static func months(_ names: [String]) -> [(column: Int, month: Int)]? {
    for language in MonthNames.all {
      let found = names.indices.compactMap { column in
        let word = names[column].lowercased().filter(\.isLetter)
        return language.month(word).map { (column: column, month: $0) }
      }
      if found.map(\.month) == Array(1...12) { return found }
    }
    return nil
  }

  /// Four columns called Q1 to Q4.
  private static func quarters(_ names: [String]) -> [(column: Int, month: Int)]? {
    let found = names.indices.compactMap { column in
      let name = normalizedName(names[column])
      return (1...4).first { name == "q\($0)" || name == "qtr\($0)" || name == "quarter\($0)" }
        .map { (column: column, month: $0 * 3 - 2) }
    }
    return found.map(\.month) == [1, 4, 7, 10] ? found : nil
  }

  /// One series, or one for every name of rows.
  func table(_ start: DataReport, options: SeriesOptions) throws(SeriesError) -> SeriesTable {
    var report = start
    report.choices.append(layout.choice)
    report.choose(
      "time", "\(layout.names[year]) and the names of \(columns.count) columns",
      because: "rows are years and columns their \(columns.count == 12 ? "months" : "quarters")")
    var order: [String] = []
    var cells: [String: [(stamp: Timestamp, value: Double, line: Int)]] = [:]
    for row in layout.rows.indices {
      guard let stamp = DateScanner.parse(layout.cell(row, year), as: .year)?.local else {
        report.add(
          .unreadableRow, line: layout.line(row),
          "found '\(layout.text(row, year).prefix(40))' in column '\(layout.names[year])', expected a year"
        )
        continue
      }
      let names = labels.map { layout.text(row, $0) }
      let id = names.isEmpty ? layout.table.source.stem : names.joined(separator: "/")
      if cells[id] == nil { order.append(id) }
      for (column, month) in columns {
        guard let time = Timestamp(year: stamp.civil.year, month: month, day: 1) else { continue }
        let value = number(row, column, id: id, report: &report)
        cells[id, default: []].append((time, value, layout.line(row)))
      }
    }
    return try assembled(order, cells, report, options)
  }

  private func number(
    _ row: Int, _ column: Int, id: String, report: inout DataReport
  ) -> Double {
    switch layout.styles[column].parse(layout.cell(row, column)) {
    case .number(let value): return value
    case .missing: return .nan
    case .bad:
      report.add(
        .unreadableValue, line: layout.line(row), series: id,
        "found '\(layout.text(row, column).prefix(40))' in column '\(layout.names[column])', "
          + "expected a number")
      return .nan
    }
  }

  private func assembled(
    _ order: [String], _ cells: [String: [(stamp: Timestamp, value: Double, line: Int)]],
    _ start: DataReport, _ options: SeriesOptions
  ) throws(SeriesError) -> SeriesTable {
    var report = start
    var series: [TimeSeries] = []
    var lines: [[Int]] = []
    for id in order {
      let rows = (cells[id] ?? []).sorted { $0.stamp < $1.stamp }
      for (one, next) in zip(rows, rows.dropFirst()) where one.stamp == next.stamp {
        throw .duplicateTime(
          file: report.source, line: next.line, series: id, time: "\(next.stamp)")
      }
      // What is missing at both ends was not there yet, or is not there yet.
      guard let first = rows.firstIndex(where: { !$0.value.isNaN }),
        let last = rows.lastIndex(where: { !$0.value.isNaN })
      else { continue }
      let used = rows[first...last]
      for row in used where row.value.isNaN {
        report.add(.missingTarget, line: row.line, series: id, time: row.stamp, "the cell is empty")
      }
      series.append(
        TimeSeries(id: id, timestamps: used.map(\.stamp), values: used.map(\.value)))
      lines.append(used.map(\.line))
    }
    report.rowsUsed = layout.rows.count
    guard !series.isEmpty else { throw .noUsableRows(file: report.source, target: "the columns") }
    return SeriesChecks.table(
      series, lines: lines, targetName: "value", covariateNames: [], hasClock: true,
      options: options, report: report)
  }
}
