/// Puts the rows of one series in order and settles rows for the same time.
struct SeriesBuilder {
  let layout: CSVLayout
  let options: SeriesOptions
  let stamps: [Timestamp?]
  var report: DataReport
  /// Line of each kept row, by series in the order built.
  private(set) var lines: [[Int]] = []

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
  /// - Returns: The series, in order, one row per time.
  /// - Throws: ``SeriesError/duplicateTime(file:line:series:time:)`` where the options say so.
  mutating func series(
    id: String, rows: [Int], target: [Double], covariates: [Covariate], isAlone: Bool,
    isFirstOfRow: Bool
  ) throws(SeriesError) -> TimeSeries {
    let ordered = inOrder(rows, id: isAlone ? nil : id, reports: isFirstOfRow)
    var kept: [Int] = []
    kept.reserveCapacity(ordered.count)
    for row in ordered {
      guard let previous = kept.last, stamps[previous] == stamps[row] else {
        kept.append(row)
        continue
      }
      let isSame =
        same(target[previous], target[row])
        && covariates.allSatisfy { same($0.values[previous], $0.values[row]) }
      if isSame {
        if isFirstOfRow {
          report.add(
            .duplicateRow, line: layout.line(row), series: isAlone ? nil : id, time: stamps[row],
            "same as line \(layout.line(previous))")
        }
        continue
      }
      switch options.duplicates {
      case .fail:
        throw .duplicateTime(
          file: layout.table.source.name, line: layout.line(row), series: id,
          time: stamps[row].map { "\($0)" } ?? "")
      case .keepFirst: break
      case .keepLast: kept[kept.count - 1] = row
      }
      report.add(
        .conflictingRow, line: layout.line(row), series: isAlone ? nil : id, time: stamps[row],
        "line \(layout.line(previous)) has \(target[previous]), this one \(target[row]); "
          + (options.duplicates == .keepLast ? "the later line counts" : "the earlier line counts"))
    }
    lines.append(kept.map(layout.line))
    if isFirstOfRow { report.rowsUsed += kept.count }
    return TimeSeries(
      id: id, timestamps: kept.compactMap { stamps[$0] }, values: kept.map { target[$0] },
      covariates: covariates.map { column in
        Covariate(name: column.name, values: kept.map { column.values[$0] })
      })
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
