/// Puts the rows of one series in order and settles rows for the same time.
struct SeriesBuilder {
  let layout: CSVLayout
  let options: SeriesOptions
  let stamps: [Timestamp?]
  var report: DataReport
  /// Line of each kept row, by series in the order built.
  private(set) var lines: [[Int]] = []
  /// Rows of the file behind the last value of the series built last.
  private(set) var futureRows: Set<Int> = []

  init(layout: CSVLayout, options: SeriesOptions, stamps: [Timestamp?], report: DataReport) {
    self.layout = layout
    self.options = options
    self.stamps = stamps
    self.report = report
  }

  /// Builds one series.
  ///
  /// - Parameters:
  ///   - id: Its name.
  ///   - rows: Its rows in the order of the file; each has a stamp.
  ///   - target: One value per row of the file.
  ///   - covariates: Each with one value per row of the file.
  ///   - isAlone: The table has no other series, so that examples need not name it.
  ///   - isFirstOfRow: Order and duplicates are reported once, not for every target of a row.
  /// - Returns: The series, in order, one row per time, up to its last value.
  /// - Throws: ``SeriesError/duplicateTime(file:line:series:time:)`` where the options say so.
  mutating func series(
    id: String, rows: [Int], target: [Double], covariates: [Covariate], isAlone: Bool,
    isFirstOfRow: Bool
  ) throws(SeriesError) -> TimeSeries {
    futureRows = []
    let ordered = inOrder(rows, id: isAlone ? nil : id, reports: isFirstOfRow)
    let name = isAlone ? nil : id
    var kept: [Int] = []
    var values: [Double] = []
    var shares: [Int] = []  // rows that a value is made of
    kept.reserveCapacity(ordered.count)
    values.reserveCapacity(ordered.count)
    for row in ordered {
      guard let previous = kept.last, stamps[previous] == stamps[row] else {
        kept.append(row)
        values.append(target[row])
        shares.append(1)
        continue
      }
      let last = kept.count - 1
      let rule = options.duplicates ?? .keepLast
      let isSame =
        same(target[previous], target[row])
        && covariates.allSatisfy { same($0.values[previous], $0.values[row]) }
      if isSame, rule != .sum {
        if isFirstOfRow {
          report.add(
            .duplicateRow, line: layout.line(row), series: name, time: stamps[row],
            "same as line \(layout.line(previous))")
        }
        continue
      }
      report.add(
        .conflictingRow, line: layout.line(row), series: name, time: stamps[row],
        "line \(layout.line(previous)) has \(target[previous]), this one \(target[row]); "
          + rule.treatment)
      switch rule {
      case .fail:
        throw .duplicateTime(
          file: layout.table.source.name, line: layout.line(row), series: id,
          time: stamps[row].map { "\($0)" } ?? "")
      case .keepFirst: break
      case .keepLast: (kept[last], values[last]) = (row, target[row])
      case .sum, .mean:
        kept[last] = row
        guard !target[row].isNaN else { continue }
        let isFirst = values[last].isNaN
        values[last] = isFirst ? target[row] : values[last] + target[row]
        shares[last] = isFirst ? 1 : shares[last] + 1
      }
    }
    if options.duplicates == .mean {
      for index in values.indices { values[index] /= Double(shares[index]) }
    }
    return finished(
      id: id, kept: kept, values: values, covariates: covariates, isFirstOfRow: isFirstOfRow)
  }

  /// The series up to its last value; the rows behind it are the known future.
  private mutating func finished(
    id: String, kept: [Int], values: [Double], covariates: [Covariate], isFirstOfRow: Bool
  ) -> TimeSeries {
    let end = (values.lastIndex { !$0.isNaN }).map { $0 + 1 } ?? values.count
    lines.append(kept[..<end].map(layout.line))
    if isFirstOfRow { report.rowsUsed += end }
    func columns(_ rows: ArraySlice<Int>) -> [Covariate] {
      covariates.map { column in
        Covariate(name: column.name, values: rows.map { column.values[$0] })
      }
    }
    var series = TimeSeries(
      id: id, timestamps: kept[..<end].compactMap { stamps[$0] }, values: Array(values[..<end]),
      covariates: columns(kept[..<end]))
    let ahead = kept[end...]
    if !ahead.isEmpty {
      series.future.timestamps = ahead.compactMap { stamps[$0] }
      series.future.covariates = columns(ahead)
      futureRows.formUnion(ahead)
    }
    return series
  }

  private func same(_ left: Double, _ right: Double) -> Bool {
    left == right || (left.isNaN && right.isNaN)
  }

  /// Rows by time; rows of one time keep the order of the file.
  private mutating func inOrder(_ rows: [Int], id: String?, reports: Bool) -> [Int] {
    var (rises, falls) = (0, 0)
    for (left, right) in zip(rows, rows.dropFirst()) {
      guard let a = stamps[left], let b = stamps[right] else { continue }
      if b > a { rises += 1 }
      if b < a { falls += 1 }
    }
    guard falls > 0 else { return rows }
    let isReversed = rises * 20 < falls
    let source = isReversed ? Array(rows.reversed()) : rows
    if reports, isReversed {
      let note = "Rows stood newest first and were turned around."
      if !report.notes.contains(note) { report.notes.append(note) }
    }
    if reports {
      var latest: Timestamp?
      for row in source {
        guard let stamp = stamps[row] else { continue }
        if let known = latest, stamp < known {
          report.add(
            .outOfOrder, line: layout.line(row), series: id, time: stamp, "found after \(known)")
        } else {
          latest = stamp
        }
      }
    }
    return rows.sorted { left, right in
      guard let a = stamps[left], let b = stamps[right] else { return left < right }
      return a == b ? left < right : a < b
    }
  }
}

extension SeriesOptions.DuplicateRule {
  /// What becomes of the rows, in words.
  fileprivate var treatment: String {
    switch self {
    case .keepLast: "the later line counts"
    case .keepFirst: "the earlier line counts"
    case .fail: "neither counts"
    case .sum: "they are added"
    case .mean: "their mean counts"
    }
  }
}
