/// A table that holds one series per row: labels, then its values.
///
/// The columns of the values are named by dates, as in tables of the World Bank, or numbered like
/// `V2, V3, …`, as in the M4 competition; then steps take the place of a clock.
struct RowSeries {
  private let layout: CSVLayout
  /// Columns of values, in order of time.
  let columns: [Int]
  let stamps: [Timestamp]
  /// Columns that name the series together.
  let labels: [Int]
  /// How the names of the columns are written; nil where they are numbered.
  private let style: DateStyle?
  private let options: SeriesOptions
  private var hasClock: Bool { style != nil }

  /// Recognizes the layout; nil when rows are times, as in any other table.
  ///
  /// - Throws: ``SeriesError/undecided(file:column:line:found:readings:choice:)`` where the names of columns are
  ///   dates whose order of day and month nothing tells.
  init?(_ layout: CSVLayout, options: SeriesOptions) throws(SeriesError) {
    guard layout.hasHeader, layout.width >= 4, options.time.isEmpty, layout.entities.isEmpty,
      options.targets.isEmpty || options.format?.isRowPerSeries == true
    else { return nil }
    (self.layout, self.options) = (layout, options)
    if let run = DateRun(layout.names.map { Array($0.utf8)[...] }),
      run.columns.count >= max(3, (layout.width - run.columns.count) / 2)
    {
      guard let dated = try Self.dated(layout, run, options: options) else { return nil }
      (columns, stamps, style) = dated
      let others = layout.names.indices.filter { !run.columns.contains($0) }
      let known = (options.format?.series ?? []).compactMap { layout.column(named: $0) }
      labels =
        !known.isEmpty && known.allSatisfy(others.contains)
        ? known : Self.labels(layout, others: others)
      guard Self.holdNumbers(layout, columns) else { return nil }
      return
    }
    let first = layout.sample(0)
    guard !first.isEmpty, Set(first).count == first.count,
      first.allSatisfy({ layout.styles[0].parse($0) == .bad }),
      DateColumn.styles(of: first).first?.share ?? 0 < 0.5,
      layout.isRagged || Self.isNumbered(Array(layout.names.dropFirst()))
    else { return nil }
    columns = Array(1..<layout.width)
    stamps = columns.map { Timestamp(secondsSinceEpoch: Int64($0 - 1)) }
    style = nil
    labels = [0]
    guard Self.holdNumbers(layout, Array(columns.prefix(7))) else { return nil }
  }

  /// The columns in order of time, where their names are dates that rise or fall.
  private static func dated(
    _ layout: CSVLayout, _ run: DateRun, options: SeriesOptions
  ) throws(SeriesError) -> ([Int], [Timestamp], DateStyle?)? {
    func stamps(_ style: DateStyle) -> [Timestamp]? {
      let dates = run.columns.compactMap { column -> Timestamp? in
        let name = Array(layout.names[column].utf8)[...]
        return DateScanner.parse(style == .year ? DateRun.year(name) : name, as: style)?.local
      }
      let pairs = zip(dates, dates.dropFirst())
      let isSorted = pairs.allSatisfy { $0 < $1 } || pairs.allSatisfy { $0 > $1 }
      return dates.count == run.columns.count && isSorted ? dates : nil
    }
    var styles = [run.style]
    if run.style.isNumericDate {
      styles = [.dayMonthYear, .monthDayYear, .shortYearMonthDay]
      if let dayFirst = options.knownDayFirst {
        styles = [dayFirst ? .dayMonthYear : .monthDayYear]
      }
    }
    let readings = styles.compactMap { style in
      stamps(style).map { (style: style, stamps: $0, evenness: DateColumn.evenness($0)) }
    }.sorted { $0.evenness > $1.evenness }
    guard let best = readings.first else { return nil }
    if readings.count > 1, readings[1].evenness * 2 > best.evenness {
      let column = run.columns.lowerBound
      throw .undecided(
        file: layout.table.source.name, column: layout.names[column], line: layout.headerLine,
        found: layout.names[column],
        readings: readings.map { "\($0.stamps[0])" }.joined(separator: " or "),
        choice: "--day-first or --no-day-first")
    }
    let order = best.stamps.indices.sorted { best.stamps[$0] < best.stamps[$1] }
    return (order.map { run.columns.lowerBound + $0 }, order.map { best.stamps[$0] }, best.style)
  }

  /// The fewest columns beside the values whose cells differ from row to row; text before numbers.
  private static func labels(_ layout: CSVLayout, others: [Int]) -> [Int] {
    func isUnique(_ columns: [Int]) -> Bool {
      let rows = layout.rows.indices
      return Set(rows.map { row in columns.map { layout.cell(row, $0) } }).count == rows.count
    }
    let text = others.filter { column in
      layout.sample(column, limit: 50).contains { layout.styles[column].parse($0) == .bad }
    }
    let ranked = text + others.filter { !text.contains($0) }
    if let one = text.first(where: { isUnique([$0]) }) { return [one] }
    for (place, first) in text.enumerated() {
      for second in text[(place + 1)...] where isUnique([first, second]) { return [first, second] }
    }
    let varying = text.filter { column in
      Set(layout.sampleRows(200).map { layout.cell($0, column) }).count > 1
    }
    if varying.isEmpty, let one = ranked.first(where: { isUnique([$0]) }) { return [one] }
    var all = varying
    if isUnique(all) { return all }
    for column in ranked where !text.contains(column) {
      all.append(column)
      if isUnique(all) { return all }
    }
    return varying.isEmpty ? others : varying
  }

  /// Whether most cells of some rows are numbers or empty.
  private static func holdNumbers(_ layout: CSVLayout, _ columns: [Int]) -> Bool {
    var (cells, bad, numbers) = (0, 0, 0)
    for row in layout.sampleRows(50) {
      for column in columns.prefix(200) {
        cells += 1
        switch layout.styles[column].parse(layout.cell(row, column)) {
        case .bad: bad += 1
        case .number: numbers += 1
        case .missing: break
        }
      }
    }
    return numbers > 0 && bad * 20 <= cells
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

  /// The name of a row; a number behind it where an earlier row has it.
  private func name(_ row: Int, _ seen: inout Set<String>) -> String {
    let parts = labels.map { layout.text(row, $0) }.filter { !$0.isEmpty }
    let base = parts.isEmpty ? "row \(row + 1)" : parts.joined(separator: "/")
    var unique = base
    var number = 2
    while !seen.insert(unique).inserted {
      unique = "\(base) \(number)"
      number += 1
    }
    return unique
  }

  func table(_ start: DataReport) throws(SeriesError) -> SeriesTable {
    var report = start
    report.choices.append(layout.choice)
    report.choose(
      "series",
      "one per row, called by \(labels.map { layout.names[$0] }.joined(separator: " and "))",
      because: "each row starts with labels and goes on with numbers")
    report.choose(
      "time", hasClock ? "the column names" : "none",
      because: hasClock
        ? "they are dates (\(layout.names[columns[0]]), …)"
        : "columns are numbered; values are consecutive steps")
    var series: [TimeSeries] = []
    var lines: [[Int]] = []
    var seen: Set<String> = []
    var bad: [(line: Int, reason: String)] = []
    for row in layout.rows.indices {
      let id = name(row, &seen)
      var values = self.values(row, id: id, report: &report, bad: &bad)
      while let last = values.last, last.isNaN { values.removeLast() }
      // What was not there yet is no gap.
      let skipped = values.prefix { $0.isNaN }.count
      for (index, value) in values.enumerated() where value.isNaN && index >= skipped {
        report.add(
          .missingTarget, line: layout.line(row), series: id,
          "'\(layout.names[columns[index]])' is empty")
      }
      guard values.count > skipped else {
        report.add(.unreadableRow, line: layout.line(row), series: id, "found no number in the row")
        continue
      }
      series.append(
        TimeSeries(
          id: id, timestamps: Array(stamps[skipped..<values.count]),
          values: Array(values[skipped...])))
      lines.append(Array(repeating: layout.line(row), count: values.count - skipped))
    }
    if let first = bad.first, bad.count * 10 > layout.rows.count {
      throw .tooManyBadRows(
        file: report.source, bad: bad.count, rows: layout.rows.count, line: first.line,
        reason: first.reason)
    }
    report.rowsUsed = series.count
    guard !series.isEmpty else { throw .noUsableRows(file: report.source, target: "the rows") }
    var table = SeriesChecks.table(
      series, lines: lines, targetName: "value", covariateNames: [], hasClock: hasClock,
      options: options, report: report)
    table.format = TableFormat(
      time: .header(style: style), isUniversal: false, series: labels.map { layout.names[$0] },
      targets: [], covariates: [],
      numbers: columns.first.map { layout.styles[$0] } ?? NumberStyle())
    return table
  }

  private func values(
    _ row: Int, id: String, report: inout DataReport, bad: inout [(line: Int, reason: String)]
  ) -> [Double] {
    columns.map { column in
      switch layout.styles[column].parse(layout.cell(row, column)) {
      case .number(let value): return value
      case .missing: return .nan
      case .bad:
        let reason =
          "found '\(layout.text(row, column).prefix(40))' in field \(column + 1), expected a number"
        bad.append((layout.line(row), reason))
        report.add(.unreadableValue, line: layout.line(row), series: id, reason)
        return .nan
      }
    }
  }
}
