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
    let hasClock = table.cadence.frequency != .steps
    var task = ComparisonTask(
      kind: .series, data: source.name, rows: table.rowCount, target: targetName(table),
      lossName: "mean pinball loss", context: options.context,
      budgetUnit: options.budget.unit, budgetAmount: options.budget.amount, seeds: options.seeds,
      threads: Machine.threads, isa: Machine.instructionSet)
    task.measure = problem.measure.title
    task.horizon = options.horizon
    task.stepName = table.cadence.frequency.stepName
    task.testWindows = testOrigins.all.count
    task.timeAxis = hasClock ? .utcSeconds : .index
    var record = ComparisonRecord(
      task: task, headline: headline, explanation: explanation(options), rows: rows,
      reproduction: reproduction(source: source, options: options))
    record.chosen = winner?.name
    record.split = splitParts(table)
    record.overview = overview()
    record.examples = examples
    record.health = table.report.health + [splitCheck]
    record.openings = [
      TestOpening(
        at: openedAt,
        purpose: "final scores of \(rows.count { $0.kind == .model }) models and "
          + "\(rows.count { $0.kind == .baseline }) baselines",
        windows: testOrigins.all.count)
    ]
    return record
  }

  private func targetName(_ table: SeriesTable) -> String {
    guard table.series.count == 1, let only = table.series.first else {
      return "\(table.targetName) of \(table.series.count) series"
    }
    return table.targetName.isEmpty ? only.id : table.targetName
  }

  /// One line: who beats whom, or that nobody does.
  private var headline: String {
    let bar = selection.bestBaseline
    guard let recommended = selection.recommended,
      let standing = selection.standings.first(where: { $0.name == recommended }),
      let skill = standing.skill
    else { return "No model beats \(bar)" }
    return "\(recommended) beats \(bar) by \(percent(skill))"
  }

  /// The answer in full, with what it rests on.
  private func explanation(_ options: ComparisonOptions) -> String {
    var sentences: [String] = []
    let bar = selection.bestBaseline
    if let model = selection.bestModel,
      let standing = selection.standings.first(where: { $0.name == model }),
      let skill = standing.skill, let interval = standing.interval
    {
      sentences.append(
        "Validation chose \(model) among the models; \(bar) is the strongest baseline. On the test part, "
          + "opened once, the loss of \(model) is \(percent(abs(skill))) \(skill >= 0 ? "below" : "above") "
          + "that of \(bar); the 95 % interval of this difference runs from "
          + "\(percent(interval.lowerBound)) to \(percent(interval.upperBound)).")
      if selection.recommended == nil {
        sentences.append(
          interval.lowerBound <= 0 && interval.upperBound >= 0
            ? "The interval holds 0, so the difference may be chance: use \(bar)."
            : "That is not enough to recommend it: use \(bar).")
      } else {
        sentences.append(
          "The Diebold-Mariano test, corrected for all models tried, agrees "
            + "(p = \(String(format: "%.3g", standing.adjustedPValue ?? 1))).")
      }
    } else {
      sentences.append("No model finished; \(bar) is the best of the baselines.")
    }
    if problem.measure == .returns { sentences.append(direction) }
    if !options.covariates.isEmpty {
      sentences.append(
        "The models also read \(options.covariates.joined(separator: ", ")), the baselines did not."
      )
    }
    return sentences.joined(separator: " ")
  }

  /// What can be said about up and down.
  private var direction: String {
    let shares = rows.filter { $0.kind == .model }.compactMap { row in
      row.metrics.first { $0.name == "direction" }.map { (row.name, $0) }
    }
    guard let best = shares.max(by: { $0.1.value < $1.1.value }) else { return "" }
    return "Direction: the best model, \(best.0), calls \(percent(best.1.value)) of the moves right"
      + (best.1.detail.map { " (\($0))" } ?? "")
      + "; a share of rising days above one half does as much for anyone who always says up. "
      + "What is forecast here is the width of the distribution, not the sign."
  }

  private func reproduction(source: DataSource, options: ComparisonOptions) -> Reproduction {
    let machine = MachineDescription.current
    var block = Reproduction(
      command: options.command, seed: options.seeds.first ?? 0,
      versions: [
        .init(name: "apus", version: machine.apus),
        .init(name: "kernels", version: machine.isa),
        .init(name: "matrix products", version: "oneDNN, \(machine.productIsa)"),
      ])
    block.dataSha256 = source.sha256
    block.dataBytes = source.bytes
    block.machine = "\(machine.processor), \(machine.cores) cores, \(machine.system)"
    return block
  }

  /// The split of the longest series, with the gaps that the purge leaves between origins.
  private func splitParts(_ table: SeriesTable) -> [SplitPart] {
    guard
      let number = problem.table.series.indices.max(by: {
        problem.table.series[$0].count < problem.table.series[$1].count
      })
    else { return [] }
    let series = problem.table.series[number]
    let hasClock = table.cadence.frequency != .steps
    func time(_ row: Int) -> Double {
      hasClock ? Double(series.timestamps[row].secondsSinceEpoch) : Double(row)
    }
    return zip([SplitPart.Use.train, .validation, .test], Split.Part.allCases).compactMap {
      use, part in
      let rows = problem.split.rows(part, series: number)
      guard let first = rows.first, let last = rows.last else { return nil }
      return SplitPart(use: use, rows: first...last, times: time(first)...time(last))
    }
  }

  /// The first series, thinned to two thousand points.
  private func overview() -> [SeriesPoint] {
    guard let series = problem.table.series.first else { return [] }
    let hasClock = problem.table.cadence.frequency != .steps
    let stride = max(1, series.count / 2000)
    return Swift.stride(from: 0, to: series.count, by: stride).compactMap { row in
      guard series.values[row].isFinite else { return nil }
      let time = hasClock ? Double(series.timestamps[row].secondsSinceEpoch) : Double(row)
      return SeriesPoint(time: time, value: series.values[row])
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
        detail: finding.kind.treatment)
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
    }
  }

  fileprivate var severity: HealthFinding.Severity {
    switch self {
    case .closure, .missingCovariate, .outOfOrder, .duplicateRow: .note
    case .gap, .missingTarget, .constantStretch, .unreadableValue, .unreadableRow, .jump: .warning
    case .conflictingRow, .nonPositivePrice, .highBelowLow: .problem
    }
  }

  fileprivate var treatment: String {
    switch self {
    case .unreadableRow: "Left out."
    case .unreadableValue, .missingTarget, .missingCovariate:
      "Counted as missing: neither learned from nor scored."
    case .duplicateRow: "One of each was kept."
    case .conflictingRow: "One of each was kept; check which is right."
    case .outOfOrder: "Put in order."
    case .gap: "Left as they are: rows follow each other as they stand."
    case .closure: "Taken as days without trade."
    case .constantStretch: "Kept; a sensor or a feed may have stood still."
    case .nonPositivePrice: "No logarithm: counted as missing where returns are taken."
    case .highBelowLow: "Kept; the range of these rows is not used."
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

/// A share in percent with sensible digits.
func percent(_ share: Double) -> String { String(format: "%.1f %%", share * 100) }
