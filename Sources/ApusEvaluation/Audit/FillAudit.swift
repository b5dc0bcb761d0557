import ApusData

// Whether missing values were filled from later ones.
extension LeakAudit {
  /// The answer about filled values.
  ///
  /// - Throws: `AuditError/nothingShared(file:other:)`.
  func fillCheck() throws -> AuditCheck {
    var pairs: [(filled: Covariate, raw: [Double])] = []
    if let raw = options.raw {
      let match = try RowMatch(table, raw)
      for column in table.columns {
        guard let values = raw.column(named: column.name) else { continue }
        pairs.append((column, match.rows.map { $0.map { values[$0] } ?? .nan }))
      }
    }
    pairs += partners()
    let gaps = pairs.filter { pair in
      zip(pair.filled.values, pair.raw).contains { $0.isFinite && $1.isNaN }
    }
    guard gaps.isEmpty else { return filled(gaps) }
    if options.raw != nil {
      return AuditCheck(.backFill, .passed, "No value stands where --raw has none.")
    }
    return stretches()
  }

  /// Columns that repeat another one wherever that has a value, and go on where it has none.
  private func partners() -> [(filled: Covariate, raw: [Double])] {
    table.columns.flatMap { raw -> [(filled: Covariate, raw: [Double])] in
      let present = raw.values.indices.filter { raw.values[$0].isFinite }
      guard present.count >= 10, present.count < raw.values.count,
        Set(present.prefix(200).map { raw.values[$0] }).count > 3
      else { return [] }
      return table.columns.compactMap { filled in
        guard filled.name != raw.name, present.allSatisfy({ filled.values[$0] == raw.values[$0] }),
          raw.values.indices.contains(where: { raw.values[$0].isNaN && filled.values[$0].isFinite })
        else { return nil }
        return (filled, raw.values)
      }
    }
  }

  /// How the gaps of columns were filled.
  private func filled(_ pairs: [(filled: Covariate, raw: [Double])]) -> AuditCheck {
    var findings: [LeakFinding] = []
    var count = 0
    for (column, raw) in pairs {
      let parts = self.parts.folds.first?.parts
      var (later, first, mean, crosses) = (0, Int?.none, 0, Int?.none)
      let all = AuditStatistics.mean(raw.filter(\.isFinite))
      let train = parts.map { parts in
        AuditStatistics.mean(
          raw.indices.filter { parts[$0] == .train && raw[$0].isFinite }.map { raw[$0] })
      }
      for gap in gaps(column.values, raw) {
        count += gap.rows.count
        switch fill(column.values, raw, gap) {
        case .later:
          later += gap.rows.count
          first = first ?? gap.rows.lowerBound
          if let parts, let next = gap.next,
            let row = gap.rows.first(where: { parts[$0] == .train && parts[next].isHeld })
          {
            crosses = crosses ?? row
          }
        case .constant(let value):
          if let train, abs(value - all) < 1e-6 * (1 + abs(all)),
            abs(train - all) > 1e-6 * (1 + abs(all))
          {
            mean += gap.rows.count
            first = first ?? gap.rows.lowerBound
          }
        case .other: break
        }
      }
      if later > 0 {
        findings.append(
          finding(
            crosses ?? first, column: column.name, rows: later,
            "\(counted(later, "missing value")) \(later == 1 ? "was" : "were") filled from a later row"
              + (crosses == nil ? "." : ", here from across the split."),
            advice: "Fill forward: a gap takes the last value before it."))
      } else if mean > 0 {
        findings.append(
          finding(
            first, column: column.name, rows: mean,
            "\(counted(mean, "missing value")) \(mean == 1 ? "is" : "are") the mean of all rows, "
              + "\(Figures.significant(all, 6)), not that of training rows.",
            advice: "Take the mean of training rows."))
      }
    }
    return AuditCheck(
      .backFill, findings: findings,
      passed: "\(counted(count, "filled value")) in \(counted(pairs.count, "column")).")
  }

  private struct Gap {
    var rows: Range<Int>
    var previous, next: Int?
  }

  private enum Fill: Equatable {
    case later
    case constant(Double)
    case other
  }

  /// Stretches of rows without a raw value that have a filled one.
  private func gaps(_ filled: [Double], _ raw: [Double]) -> [Gap] {
    table.ranges.flatMap { range -> [Gap] in
      var (gaps, start) = ([Gap](), Int?.none)
      for row in range {
        if raw[row].isNaN, filled[row].isFinite {
          start = start ?? row
        } else if let begin = start {
          gaps.append(
            Gap(
              rows: begin..<row, previous: begin > range.lowerBound ? begin - 1 : nil,
              next: raw[row].isFinite ? row : nil))
          start = nil
        }
      }
      return gaps
    }
  }

  private func fill(_ filled: [Double], _ raw: [Double], _ gap: Gap) -> Fill {
    let values = gap.rows.map { filled[$0] }
    let previous = gap.previous.map { raw[$0] } ?? .nan
    guard let next = gap.next else { return .other }
    // Rows before the first value have nothing else to be filled from.
    guard previous.isFinite, previous != raw[next] else { return .other }
    if values.allSatisfy({ $0 == raw[next] }) { return .later }
    let step = (raw[next] - previous) / Double(gap.rows.count + 1)
    let isLine = values.enumerated().allSatisfy { index, value in
      abs(value - previous - step * Double(index + 1)) <= 1e-6 * (abs(step) + abs(value))
    }
    if isLine { return .later }
    let isOne = values.allSatisfy { $0 == values[0] }
    return isOne && values[0] != previous ? .constant(values[0]) : .other
  }

  /// Without the raw values: a gap filled forward ends in a large step, one filled backward begins with it.
  private func stretches() -> AuditCheck {
    var (findings, open) = ([LeakFinding](), [String]())
    for column in table.columns {
      var (into, out, first, count) = (0, 0, Int?.none, 0)
      for range in table.ranges {
        var start = range.lowerBound
        for row in range.dropFirst() where column.values[row] != column.values[row - 1] {
          let stretch = start..<row
          if stretch.count > 1, start > range.lowerBound, column.values[row].isFinite,
            column.values[start - 1].isFinite
          {
            let before = abs(column.values[start] - column.values[start - 1])
            let after = abs(column.values[row] - column.values[row - 1])
            count += 1
            if before > after { into += 1 } else if after > before { out += 1 }
            if before > after { first = first ?? start }
          }
          start = row
        }
      }
      let values = column.values.filter(\.isFinite)
      // A column of few values stands still by nature.
      guard count > 0, Set(values).count * 2 > values.count else { continue }
      guard count >= 14 else {
        open.append(column.name)
        continue
      }
      // Four standard errors of a fair coin.
      let balance = Double(into - out) / Double(max(1, into + out)).squareRoot()
      if balance > 4 {
        findings.append(
          finding(
            first, column: column.name, rows: count,
            "\(into) of \(counted(into + out, "stretch", "stretches")) of equal values begin with the larger "
              + "step, as values filled from later rows do.",
            advice: "Fill forward: a gap takes the last value before it."))
      } else if balance > -4 {
        open.append(column.name)
      }
    }
    if !findings.isEmpty { return AuditCheck(.backFill, findings: findings, passed: "") }
    let names = open.prefix(4).joined(separator: ", ")
    return AuditCheck(
      .backFill, .notMade,
      open.isEmpty
        ? "it needs the table before it was filled (--raw), or a column with the gaps; no column repeats values."
        : "it needs the table before it was filled (--raw), or a column with the gaps; \(names) "
          + "\(open.count == 1 ? "repeats" : "repeat") values in few places.")
  }
}

/// Which row of another table has the series and the time of each row of this one.
struct RowMatch {
  /// A row of the other table; nil for none. Of repeated times the last.
  let rows: [Int?]

  /// - Throws: `AuditError/nothingShared(file:other:)`.
  init(_ table: AuditTable, _ other: AuditTable) throws {
    struct Key: Hashable {
      let series: String
      let time: Timestamp
    }
    let isSingle = table.series.count == 1 && other.series.count == 1
    func key(_ table: AuditTable, _ row: AuditTable.Row) -> Key {
      Key(series: isSingle ? "" : table.series[row.series], time: row.time)
    }
    var places: [Key: Int] = [:]
    for (place, row) in other.rows.enumerated() { places[key(other, row)] = place }
    rows = table.rows.map { places[key(table, $0)] }
    guard rows.contains(where: { $0 != nil }) else {
      throw AuditError.nothingShared(file: other.source, other: table.source)
    }
  }
}
