import ApusData
import ApusEvaluation
import ApusModels
import ApusTensor
import Foundation

extension SeriesJudgement {
  /// Everything found, as the report draws it.
  func record(source: DataSource, table: SeriesTable, options: ComparisonOptions)
    -> ComparisonRecord
  {
    var task = ComparisonTask(
      .series, of: source, rows: table.rowCount, target: targetName(table),
      lossName: problem.scales == nil ? "mean pinball loss" : "mean scaled pinball loss",
      options: options)
    (task.measure, task.horizon) = (problem.measure.title, options.horizon)
    task.covariates = options.covariates
    task.originStride = problem.originStride > 1 ? problem.originStride : nil
    task.stepName = table.cadence.frequency.stepName
    task.timeAxis = table.cadence.frequency != .steps ? .utcSeconds : .index
    var record = judgement.record(task, source: source, options: options, windows: windows)
    record.split = splitParts(table)
    record.overview = overview()
    record.examples = finalists.examples(series: 0, count: 6)
    record.health = table.report.health + [splitCheck] + unjudged
    record.nestedTest = finalists.nestedTest(lookback: options.lookBack)
    // Errors of dates that are not neighbors tell nothing of those that are.
    record.residuals =
      problem.originStride > 1
      ? nil
      : finalists.residuals(of: record.verdict.recommended ?? record.verdict.baseline)
    guard problem.table.series.count > 1 else { return record }
    record.series = outcomes()
    record.seriesSkill = seriesSkill(record.rows, seed: options.seeds.first ?? 0)
    for place in record.seriesPlaces?.places ?? [] {
      record.series?[place.series].example =
        finalists.examples(series: place.series, count: 1).first
    }
    return record
  }

  /// Skill and win rate over the series that the naive forecast of the season, or the naive one, was
  /// judged on. A series that had a stand-in counts as a failure.
  private func seriesSkill(_ rows: [ComparisonRow], seed: UInt64) -> SeriesSkill? {
    guard let bar = ["seasonal-naive", "naive"].first(where: { bySeries[$0] != nil }),
      let base = bySeries[bar]
    else { return nil }
    let series = problem.table.series
    let judged = base.indices.filter { base[$0].isFinite }
    var generator = PhiloxGenerator(RandomKey(seed: seed, stream: 78))
    let skill = try? TaskSkill(
      errors: rows.map { row in
        let failed = judgement.standIns[row.name] ?? []
        return (
          row.name,
          judged.map { number in
            guard let losses = bySeries[row.name], row.status == .ok, losses[number].isFinite,
              row.name == bar || !failed.contains(series[number].id)
            else { return nil }
            return losses[number]
          }
        )
      }, baseline: bar, using: &generator)
    return skill.map { SeriesSkill(baseline: bar, series: judged.count, rows: $0.rows) }
  }

  /// What came out for each of several series.
  private func outcomes() -> [SeriesOutcome] {
    problem.table.series.enumerated().map { number, series in
      let losses = bySeries.compactMapValues { losses in
        losses.indices.contains(number) && losses[number].isFinite ? losses[number] : nil
      }
      return SeriesOutcome(
        series: series.id, rows: series.count, losses: losses,
        best: losses.min { ($0.value, $0.key) < ($1.value, $1.key) }?.key)
    }
  }

  private var unjudged: [HealthFinding] {
    let names = problem.unjudged
    guard !names.isEmpty else { return [] }
    var finding = HealthFinding(
      check: "series without training rows", severity: .warning, count: names.count,
      detail: "Not judged: no baseline can be fitted to them. Models forecast them nevertheless.")
    finding.lines = Array(names.prefix(20))
    return [finding]
  }

  private func targetName(_ table: SeriesTable) -> String {
    guard table.series.count == 1, let only = table.series.first else {
      return "\(table.targetName) of \(table.series.count) series"
    }
    return table.targetName.isEmpty ? only.id : table.targetName
  }

  /// The split of the longest series, with what the embargo leaves out.
  private func splitParts(_ table: SeriesTable) -> [SplitPart] {
    guard
      let number = problem.table.series.indices.max(by: {
        problem.table.series[$0].count < problem.table.series[$1].count
      })
    else { return [] }
    let series = problem.table.series[number]
    var parts: [SplitPart] = []
    func add(_ use: SplitPart.Use, _ rows: Range<Int>) {
      guard let first = rows.first, let last = rows.last else { return }
      parts.append(
        SplitPart(
          use: use, rows: first...last,
          times: problem.time(first, of: series)...problem.time(last, of: series)))
    }
    for (use, part) in zip([SplitPart.Use.train, .validation, .test], Split.Part.allCases) {
      let rows = problem.split.rows(part, series: number)
      let end = (parts.last?.rows.upperBound).map { $0 + 1 } ?? rows.lowerBound
      add(.gap, min(end, rows.lowerBound)..<rows.lowerBound)
      add(use, rows)
    }
    return parts
  }

  /// The first series, thinned to two thousand points.
  private func overview() -> [SeriesPoint] {
    guard let series = problem.table.series.first else { return [] }
    let stride = max(1, series.count / 2000)
    return Swift.stride(from: 0, to: series.count, by: stride).compactMap { row in
      guard series.values[row].isFinite else { return nil }
      return SeriesPoint(time: problem.time(row, of: series), value: series.values[row])
    }
  }

  private var splitCheck: HealthFinding {
    HealthFinding(
      check: "targets across the borders of the split", severity: .clean, count: 0,
      detail: "The last target of each part lies before the first target of the next; scalers were "
        + "fitted on the training part or on the past of each row.")
  }
}

extension DataReport {
  /// The report as findings with what was done about them.
  var health: [HealthFinding] {
    var result = findings.map { finding in
      var one = HealthFinding(
        check: finding.kind.title, severity: finding.kind.severity, count: finding.count,
        detail: ["\(headline(finding)).", finding.kind.treatment].compactMap(\.self)
          .joined(separator: " "))
      one.lines = finding.examples.map { example in
        [
          example.line.map { "line \($0)" }, example.series, example.time.map { "\($0)" },
          example.detail,
        ].compactMap(\.self).joined(separator: ", ")
      }
      return one
    }
    result += choices.map { choice in
      HealthFinding(
        check: choice.subject, severity: .note, count: 0,
        detail: "\(choice.chosen), because \(choice.reason)")
    }
    let clean: [Kind] = [.unreadableRow, .missingTarget, .duplicateRow, .outOfOrder, .gap]
    result += clean.filter { finding($0) == nil }.map {
      HealthFinding(check: $0.title, severity: .clean, count: 0, detail: "None found.")
    }
    return result
  }
}

extension DataReport.Kind {
  fileprivate var title: String {
    switch self {
    case .unreadableRow: "unreadable rows"
    case .unreadableValue: "unreadable values"
    case .missingTarget: "missing targets"
    case .missingCovariate: "missing values in other columns"
    case .duplicateRow: "repeated rows"
    case .conflictingRow: "conflicting rows for one time"
    case .outOfOrder: "rows out of order"
    case .gap: "gaps"
    case .closure: "market holidays"
    case .constantStretch: "stretches that stand still"
    case .nonPositivePrice: "prices at or below zero"
    case .highBelowLow: "high below low"
    case .jump: "jumps of more than a third"
    case .outlier: "values far from the others"
    }
  }

  fileprivate var severity: HealthFinding.Severity {
    switch self {
    case .closure, .missingCovariate, .outOfOrder, .duplicateRow: .note
    case .gap, .missingTarget, .constantStretch, .unreadableValue, .unreadableRow, .jump,
      .outlier:
      .warning
    case .conflictingRow, .nonPositivePrice, .highBelowLow: .problem
    }
  }

  /// What was done about it, where its headline does not say so.
  fileprivate var treatment: String? {
    switch self {
    case .unreadableRow, .duplicateRow, .outOfOrder, .closure: nil
    case .unreadableValue, .missingTarget, .missingCovariate:
      "Counted as missing: neither learned from nor scored."
    case .conflictingRow: "One of each was kept; check which is right."
    case .gap: "Left as they are: rows follow each other as they stand."
    case .constantStretch: "Kept; a sensor or a feed may have stood still."
    case .nonPositivePrice: "No logarithm: counted as missing where returns are taken."
    case .highBelowLow: "Kept; the range of these rows is not used."
    case .outlier: "Kept; where it stands for a missing value, name it with --missing."
    case .jump: "Kept; corporate actions or bad ticks look like this, and one can rule a mean."
    }
  }
}

extension Measure {
  fileprivate var title: String {
    switch self {
    case .returns: "log return"
    case .volatility: "variance"
    case .level: "level"
    }
  }
}

extension Frequency {
  fileprivate var stepName: String {
    switch self {
    case .businessDays, .days(1): "day"
    case .days(7): "week"
    case .months(1): "month"
    case .months(12): "year"
    case .seconds(3_600): "hour"
    case .seconds(60): "minute"
    default: "step"
    }
  }
}
