import ApusData

// Questions about the parts alone: order, overlap, distance, repeated times.
extension LeakAudit {
  /// The answers about the split.
  func splitChecks() -> [AuditCheck] {
    guard !parts.isEmpty else {
      return [.labelOverlap, .embargo, .shuffledSplit, .duplicates].map {
        AuditCheck($0, .notMade, "\(Self.partsWanted).")
      }
    }
    guard
      parts.folds.contains(where: { fold in
        fold.parts.contains(.train) && fold.parts.contains(where: \.isHeld)
      })
    else {
      return [.labelOverlap, .embargo, .shuffledSplit, .duplicates].map {
        AuditCheck($0, .notMade, "it needs rows of training and rows that are judged.")
      }
    }
    return [overlapCheck(), embargoCheck(), orderCheck(), duplicateCheck()]
  }

  private func named(_ fold: String) -> String { fold.isEmpty ? "" : "in fold \(fold) " }

  // MARK: Order

  /// Rows dealt at random change their part every few rows.
  private func orderCheck() -> AuditCheck {
    var findings: [LeakFinding] = []
    var follows = false
    for fold in parts.folds {
      var (runs, held, trainRuns, train) = (0, 0, 0, 0)
      var (between, first) = (0, Int?.none)
      for range in table.ranges {
        let rows = range.filter { fold.parts[$0] != .unused }
        for (place, row) in rows.enumerated() {
          let isHeld = fold.parts[row].isHeld
          let starts = place == 0 || fold.parts[rows[place - 1]].isHeld != isHeld
          let ends = place + 1 == rows.count || fold.parts[rows[place + 1]].isHeld != isHeld
          if isHeld {
            held += 1
            runs += starts ? 1 : 0
            between += (starts && place > 0) || (ends && place + 1 < rows.count) ? 1 : 0
          } else {
            train += 1
            trainRuns += starts ? 1 : 0
            if starts, place > 0 {
              follows = true
              first = first ?? row
            }
          }
        }
      }
      let isMixed = runs > 2 * table.ranges.count && trainRuns > 2 * table.ranges.count
      let shortest = min(
        Double(held) / Double(max(1, runs)), Double(train) / Double(max(1, trainRuns)))
      guard isMixed, shortest < 2.5, let first else { continue }
      findings.append(
        finding(
          first, column: table.labels.first?.name, rows: between,
          "\(named(fold.name))\(between) of \(counted(held, "judged row")) lie next to a training row; the "
            + "part changes \(runs + trainRuns - table.ranges.count) times.",
          advice: "Cut at one time: all training rows before all rows that are judged."))
    }
    return AuditCheck(
      .shuffledSplit, findings: findings,
      passed: follows
        ? "Blocks of training rows follow judged blocks, as in cross-validation; it says nothing of forecasts "
          + "from the last row."
        : "Every judged row comes after every training row of its series.")
  }

  // MARK: Overlap

  /// Labels over (t, t + H] of two rows overlap where the rows are fewer than H apart.
  private func overlapCheck() -> AuditCheck {
    let found = inferredHorizon()
    guard let horizon = options.horizon ?? found?.horizon else {
      return AuditCheck(
        .labelOverlap, .notMade,
        "it needs the rows that a label reaches ahead (--horizon); no column shows how the target was made."
      )
    }
    var findings: [LeakFinding] = []
    for fold in parts.folds where horizon > 1 {
      var (count, first) = (0, Int?.none)
      for range in table.ranges {
        let places = self.places(range)
        var held: [Int] = []
        for row in range where fold.parts[row].isHeld {
          held.append(places[row - range.lowerBound])
        }
        for row in range where fold.parts[row] == .train {
          let place = places[row - range.lowerBound]
          guard let distance = Self.nearest(place, in: held), distance > 0, distance < horizon
          else {
            continue
          }
          count += 1
          first = first ?? row
        }
      }
      guard count > 0 else { continue }
      findings.append(
        finding(
          first, rows: count,
          "\(named(fold.name))\(counted(count, "training row")) \(count == 1 ? "has a label" : "have labels") "
            + "of \(horizon) rows that \(count == 1 ? "shares" : "share") rows with the label of a judged row.",
          advice: "Leave out training rows fewer than \(horizon) rows from a judged one (purge)."))
    }
    let source = options.horizon == nil ? found.map { ", as \($0.source) shows" } ?? "" : ""
    return AuditCheck(
      .labelOverlap, findings: findings,
      passed: horizon > 1
        ? "Labels reach \(horizon) rows ahead\(source)." : "Labels reach one row ahead\(source).")
  }

  /// The number of the distinct time of each row of a series.
  private func places(_ range: Range<Int>) -> [Int] {
    var (places, place) = ([Int](), -1)
    for row in range {
      if row == range.lowerBound || table.rows[row].time != table.rows[row - 1].time { place += 1 }
      places.append(place)
    }
    return places
  }

  /// The distance to the nearest of some ascending places; nil where there is none.
  private static func nearest(_ place: Int, in sorted: [Int]) -> Int? {
    var (low, high) = (0, sorted.count)
    while low < high {
      let middle = (low + high) / 2
      if sorted[middle] < place { low = middle + 1 } else { high = middle }
    }
    let after = low < sorted.count ? sorted[low] - place : nil
    let before = low > 0 ? place - sorted[low - 1] : nil
    return [after, before].compactMap(\.self).min()
  }

  // MARK: Embargo

  /// Training rows after judged ones know what became of them, as far as the target remembers.
  private func embargoCheck() -> AuditCheck {
    let dependence = self.dependence()
    let horizon = options.horizon ?? inferredHorizon()?.horizon ?? 1
    let after = max(options.embargo ?? dependence.rows, horizon - 1)
    let before = options.embargo ?? 0
    var findings: [LeakFinding] = []
    var hasTrainingBehind = false
    for fold in parts.folds {
      var (count, first, closest) = (0, Int?.none, Int.max)
      for range in table.ranges {
        let places = self.places(range)
        var (lastHeld, lastTrain) = (Int?.none, Int?.none)
        for row in range {
          let place = places[row - range.lowerBound]
          let part = fold.parts[row]
          if part == .train, let held = lastHeld, place > held {
            hasTrainingBehind = true
            // Rows between the two.
            if place - held - 1 < after, options.embargo != nil || dependence.rows > 0 {
              count += 1
              first = first ?? row
              closest = min(closest, place - held - 1)
            }
          }
          if part.isHeld, let train = lastTrain, place > train, place - train - 1 < before {
            count += 1
            first = first ?? row
            closest = min(closest, place - train - 1)
          }
          if part.isHeld { lastHeld = place }
          if part == .train { lastTrain = place }
        }
      }
      guard count > 0 else { continue }
      let wanted = max(after, before)
      findings.append(
        finding(
          first, rows: count,
          "\(named(fold.name))\(counted(closest, "row")) \(closest == 1 ? "lies" : "lie") between parts, "
            + "expected at least \(wanted)\(options.embargo == nil ? "; \(dependence.words)" : "").",
          advice: "Leave out \(counted(wanted, "training row")) after each judged block (embargo).")
      )
    }
    return AuditCheck(
      .embargo, findings: findings,
      passed: options.embargo.map { "At least \(counted($0, "row")) between parts." }
        ?? (hasTrainingBehind
          ? "Training rows follow judged ones; \(dependence.words)."
          : "No training row follows a judged one, so none is needed; --embargo asks for a distance before, "
            + "too."))
  }

  /// How many rows the target remembers: up to the first lag with an autocorrelation below a tenth, or
  /// what chance makes, at most the larger of the horizon and a hundredth of the rows.
  private func dependence() -> (rows: Int, words: String) {
    guard let range = longest(1).first, let target = table.column(named: table.target) else {
      return (0, "the target has no rows")
    }
    let values = range.map { target[$0] }.filter(\.isFinite)
    let limit = max(options.horizon ?? 1, (values.count + 99) / 100)
    let chance = max(0.1, 4 / Double(max(1, values.count)).squareRoot())
    let first = AuditStatistics.autocorrelation(values, lag: 1)
    guard abs(first) > chance else {
      return (0, "the target shows no serial correlation (\(Figures.fixed(first, 2)) at lag 1)")
    }
    let lag = (1...max(1, limit)).first {
      abs(AuditStatistics.autocorrelation(values, lag: $0 + 1)) <= chance
    }
    let rows = lag ?? limit
    return (
      rows,
      "the target's autocorrelation is \(Figures.fixed(first, 2)) at lag 1, and \(rows) rows on still "
        + "\(Figures.fixed(AuditStatistics.autocorrelation(values, lag: rows), 2))"
    )
  }

  // MARK: Repeated times

  private func duplicateCheck() -> AuditCheck {
    var findings: [LeakFinding] = []
    for fold in parts.folds {
      if let found = repeatedTimes(fold) { findings.append(found) }
      if let found = sharedDates(fold) { findings.append(found) }
      if let found = repeatedRows(fold) { findings.append(found) }
    }
    return AuditCheck(
      .duplicates, findings: findings, passed: "No time of a series is in two parts.")
  }

  private func repeatedTimes(_ fold: (name: String, parts: [PartName])) -> LeakFinding? {
    var (count, first, parts) = (0, Int?.none, "")
    for range in table.ranges {
      for row in range.dropFirst() where table.rows[row].time == table.rows[row - 1].time {
        let (one, other) = (fold.parts[row - 1], fold.parts[row])
        guard one != other, one != .unused, other != .unused else { continue }
        count += 1
        if first == nil { (first, parts) = (row, "\(one.rawValue) and \(other.rawValue)") }
      }
    }
    guard count > 0 else { return nil }
    return finding(
      first, rows: count,
      "\(named(fold.name))\(counted(count, "time")) of the same series \(count == 1 ? "stands" : "stand") in "
        + "\(parts).",
      advice: "Keep one row of each time, then split.")
  }

  /// In a panel that is parted by time, a date belongs to one part in all series.
  private func sharedDates(_ fold: (name: String, parts: [PartName])) -> LeakFinding? {
    guard table.series.count > 1, table.hasClock else { return nil }
    let isByTime = table.ranges.contains { range in
      range.contains { fold.parts[$0] == .train } && range.contains { fold.parts[$0].isHeld }
    }
    guard isByTime else { return nil }
    var trained: [Timestamp: Int] = [:]
    for row in table.rows.indices where fold.parts[row] == .train {
      trained[table.rows[row].time] = row
    }
    var (count, first) = (Set<Timestamp>(), Int?.none)
    for row in table.rows.indices where fold.parts[row].isHeld {
      let time = table.rows[row].time
      guard let other = trained[time], table.rows[other].series != table.rows[row].series else {
        continue
      }
      count.insert(time)
      if first.map({ table.rows[$0].time > time }) ?? true { first = row }
    }
    guard !count.isEmpty else { return nil }
    return finding(
      first, rows: count.count,
      "\(named(fold.name))\(counted(count.count, "time")) \(count.count == 1 ? "is" : "are") training in one "
        + "series and judged in another.",
      advice: "Cut all series at the same time, or keep whole series apart.")
  }

  /// Judged rows that repeat a training row in every number.
  private func repeatedRows(_ fold: (name: String, parts: [PartName])) -> LeakFinding? {
    let telling = table.columns.filter { column in
      let values = column.values.filter(\.isFinite)
      return Set(values).count * 2 > table.rows.count
    }
    guard telling.count >= 2 else { return nil }
    func key(_ row: Int) -> [UInt64]? {
      let bits = telling.map(\.values[row].bitPattern)
      return telling.allSatisfy { $0.values[row].isFinite } ? bits : nil
    }
    var trained: Set<[UInt64]> = []
    for row in table.rows.indices where fold.parts[row] == .train {
      if let key = key(row) { trained.insert(key) }
    }
    let held = table.rows.indices.filter { fold.parts[$0].isHeld }
    let repeated = held.filter { row in key(row).map { trained.contains($0) } ?? false }
    // A holiday may repeat the day before it.
    guard repeated.count > 2, repeated.count * 20 > held.count else { return nil }
    return finding(
      repeated.first, rows: repeated.count,
      "\(named(fold.name))\(repeated.count) of \(counted(held.count, "judged row")) repeat a training row in "
        + "every number.",
      advice: "Keep one row of each, then split.")
  }
}
