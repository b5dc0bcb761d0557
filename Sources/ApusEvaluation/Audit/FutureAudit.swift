import ApusData

// Whether what is used was known: covariates of the future, publication, a table made again.
extension LeakAudit {
  // MARK: Known ahead

  /// The answer about columns that are passed as known ahead.
  ///
  /// - Throws: `SeriesError/noSuchColumn(file:name:names:)`.
  func futureCheck() throws -> AuditCheck {
    guard !options.known.isEmpty else {
      return AuditCheck(
        .unknownFuture, .notMade, "it needs the columns that are passed as known ahead (--future).")
    }
    let target = table.column(named: table.target) ?? []
    var findings: [LeakFinding] = []
    for name in options.known {
      guard let values = table.column(named: name) else {
        throw SeriesError.noSuchColumn(
          file: table.source, name: name, names: table.columns.map(\.name))
      }
      if let found = unknown(name, values, target: target) { findings.append(found) }
    }
    return AuditCheck(
      .unknownFuture, findings: findings,
      passed:
        "\(options.known.joined(separator: ", ")): given ahead, or of the kind that is planned.")
  }

  private func unknown(_ name: String, _ values: [Double], target: [Double]) -> LeakFinding? {
    let advice = "Leave it out of the known columns, or give a forecast of it made before."
    let ends = table.ranges.map { range in
      range.last { target[$0].isFinite }.map { $0 + 1 } ?? range.lowerBound
    }
    let ahead = zip(table.ranges, ends).flatMap { range, end in Array(end..<range.upperBound) }
    if name.lowercased() == table.target.lowercased() {
      return finding(
        nil, column: name, "It is the target, which nobody knows ahead.", advice: advice)
    }
    if !ahead.isEmpty {
      guard let row = ahead.first(where: { !values[$0].isFinite }) else { return nil }
      let empty = ahead.count { !values[$0].isFinite }
      return finding(
        row, column: name, rows: empty,
        "\(empty) of \(counted(ahead.count, "row")) after the last target have no value of it.",
        advice: advice)
    }
    guard let range = longest(1).first else { return nil }
    let present = range.map { values[$0] }.filter(\.isFinite)
    let distinct = Set(present).count
    // Plans, prices, holidays and parts of the calendar have few values, or stand still for long.
    let changes = zip(present.dropFirst(), present).count { $0 != $1 }
    guard distinct * 20 > present.count, distinct > 31, changes * 2 > present.count else {
      return nil
    }
    var past = Residuals()
    let season = table.cadence.seasonLength
    var lags = Array(1...min(24, max(1, present.count / 12)))
    if season > lags.count, season < present.count / 4 { lags.append(season) }
    let skipped = lags.last ?? 1
    for lag in lags { past.add(Array(present[(skipped - lag)..<(present.count - lag)])) }
    let rest = past.of(Array(present[skipped...]))
    let share =
      AuditStatistics.variance(rest) / max(AuditStatistics.variance(present[skipped...]), 1e-300)
    // What the calendar makes follows from its own past.
    guard share > 1e-4 else { return nil }
    let row = range.first { values[$0].isFinite }
    return finding(
      row, column: name,
      "It is measured: it changes in \(changes) of \(counted(present.count - 1, "step")), its own past leaves "
        + "\(Figures.significant(100 * share, 2)) % of its variance open, and no row after the last target "
        + "gives it.",
      advice: advice)
  }

  // MARK: Publication

  /// The answer about values that were published later.
  ///
  /// - Throws: `AuditError/nothingShared(file:other:)`, `AuditError/missingColumn(file:column:purpose:)`.
  func publicationCheck() throws -> AuditCheck {
    guard table.published != nil || options.vintages != nil else {
      return AuditCheck(
        .restated, .notMade,
        "it needs times of publication: a column (--published), or every value with its time (--vintages)."
      )
    }
    var (findings, passed) = ([LeakFinding](), [String]())
    if let published = table.published {
      let late = table.rows.indices.filter { row in
        published.times[row].map { $0 >= end(of: row) } ?? false
      }
      if let row = late.first, let time = published.times[row] {
        findings.append(
          finding(
            row, column: published.name, rows: late.count,
            "\(counted(late.count, "row")) \(late.count == 1 ? "has" : "have") values that were published "
              + "later, here on \(time).",
            advice: "Use each row's values from their time of publication on."))
      } else {
        passed.append("Every row was published by its end.")
      }
    }
    if let vintages = options.vintages {
      let found = try restated(vintages)
      findings += found.findings
      passed.append(
        "\(counted(found.compared, "value")) compared with what was published by their rows' ends.")
    }
    return AuditCheck(.restated, findings: findings, passed: passed.joined(separator: " "))
  }

  /// The time at which the next row would begin: a row holds what is known before it.
  private func end(of row: Int) -> Timestamp {
    let time = table.rows[row].time
    if let next = try? table.cadence.stamps(after: time, count: 1).first { return next }
    // Without a rhythm the next row counts, and behind the last one a day.
    let following = row + 1
    if following < table.rows.count, table.rows[following].series == table.rows[row].series,
      table.rows[following].time > time
    {
      return table.rows[following].time
    }
    return Timestamp(secondsSinceEpoch: time.secondsSinceEpoch &+ 86_400)
  }

  private func restated(_ vintages: AuditTable) throws -> (findings: [LeakFinding], compared: Int) {
    guard let published = vintages.published else {
      throw AuditError.missingColumn(
        file: vintages.source, column: "published", purpose: "when each value was published")
    }
    let match = try VintageMatch(table, vintages, published: published.times)
    var (findings, compared) = ([LeakFinding](), 0)
    for column in table.columns {
      guard let values = vintages.column(named: column.name) else { continue }
      var (count, first, was) = (0, Int?.none, "")
      for row in table.rows.indices where column.values[row].isFinite {
        let all = match.rows[row]
        guard !all.isEmpty else { continue }
        compared += 1
        let limit = end(of: row)
        let known = all.last { published.times[$0].map { $0 < limit } ?? false }
        if let known, values[known] == column.values[row] { continue }
        let later = all.first { place in
          values[place] == column.values[row]
            && (published.times[place].map { $0 >= limit } ?? false)
        }
        guard let later, let time = published.times[later] else { continue }
        count += 1
        if first == nil {
          first = row
          let before = known.map { "; \(Figures.significant(values[$0], 6)) was known" } ?? ""
          was = "\(Figures.significant(values[later], 6)) was published on \(time)\(before)"
        }
      }
      guard count > 0 else { continue }
      findings.append(
        finding(
          first, column: column.name, rows: count,
          "\(counted(count, "value")) \(count == 1 ? "is" : "are") of a later publication: \(was).",
          advice: "Take the last value that was published by the end of its row."))
    }
    return (findings, compared)
  }

  // MARK: Made again

  /// The answer about a table that was made again from data that ends earlier, or was changed later.
  ///
  /// - Throws: `AuditError/nothingShared(file:other:)`.
  func rerunCheck() throws -> AuditCheck {
    guard let rerun = options.rerun else {
      return AuditCheck(
        .causality, .notMade,
        "it needs the same table made again from data that ends earlier, or changes after --cut (--rerun), or a "
          + "model (--model).")
    }
    let match = try RowMatch(table, rerun)
    guard let cut = options.cut ?? rerun.rows.map(\.time).max() else {
      return AuditCheck(.causality, .notMade, "it needs rows in both tables.")
    }
    var (findings, compared, columns) = ([LeakFinding](), 0, 0)
    for column in table.columns {
      guard let again = rerun.column(named: column.name) else { continue }
      columns += 1
      var (count, first, largest) = (0, Int?.none, 0.0)
      for row in table.rows.indices where table.rows[row].time <= cut {
        guard let place = match.rows[row] else { continue }
        compared += 1
        let (one, other) = (column.values[row], again[place])
        if one == other || one.isNaN && other.isNaN { continue }
        count += 1
        first = first ?? row
        if (one - other).isFinite { largest = max(largest, abs(one - other)) }
      }
      guard count > 0, let first else { continue }
      findings.append(
        finding(
          first, column: column.name, rows: count,
          "\(counted(count, "row")) up to \(table.text(cut)) \(count == 1 ? "changes" : "change") with rows after "
            + "it, by up to \(Figures.significant(largest)).",
          advice:
            "Make the column from rows up to its own alone, and fit what it needs to training rows."
        ))
    }
    return AuditCheck(
      .causality, findings: findings,
      passed:
        "\(compared) values of \(counted(columns, "column")) up to \(table.text(cut)) are the same to the "
        + "bit.")
  }
}

/// All publications of the value of each row, in order.
private struct VintageMatch {
  let rows: [[Int]]

  init(_ table: AuditTable, _ vintages: AuditTable, published: [Timestamp?]) throws {
    struct Key: Hashable {
      let series: String
      let time: Timestamp
    }
    let isSingle = table.series.count == 1 && vintages.series.count == 1
    func key(_ table: AuditTable, _ row: AuditTable.Row) -> Key {
      Key(series: isSingle ? "" : table.series[row.series], time: row.time)
    }
    var places: [Key: [Int]] = [:]
    for (place, row) in vintages.rows.enumerated() where published[place] != nil {
      places[key(vintages, row), default: []].append(place)
    }
    for found in places.keys {
      places[found]?.sort { one, other in
        guard let a = published[one], let b = published[other] else { return false }
        return a < b
      }
    }
    rows = table.rows.map { places[key(table, $0)] ?? [] }
    guard rows.contains(where: { !$0.isEmpty }) else {
      throw AuditError.nothingShared(file: vintages.source, other: table.source)
    }
  }
}
