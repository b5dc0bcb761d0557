import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import Foundation

/// What a comparison of series found: the judgement, and forecasts to look at.
struct SeriesJudgement {
  let problem: SeriesProblem
  let judgement: Judgement
  let windows: Int
  /// Losses of every entry that was judged, by series of the table.
  var bySeries: [String: [Double]] { found.bySeries }
  private let found: Found

  /// What scoring finds beside the rows of the table.
  private struct Found {
    var bySeries: [String: [Double]] = [:]
    /// The correction of every seed of a model, or of a baseline.
    var corrections: [String: [ConformalCorrection?]] = [:]

    mutating func take(_ other: Found) {
      bySeries.merge(other.bySeries) { $1 }
      corrections.merge(other.corrections) { $1 }
    }
  }

  /// The correction of a baseline, or of one seed of a model; nil where there is none.
  func correction(of name: String, run: Int = 0) -> ConformalCorrection? {
    let all = found.corrections[name] ?? []
    return all.indices.contains(run) ? all[run] : nil
  }
  /// The chosen model and the best baseline.
  let finalists: Finalists

  init(
    _ problem: SeriesProblem, contenders: [Contender<Forecaster>], ensemble: SeriesEnsemble? = nil,
    baselines: [SeriesBaseline], options: ComparisonOptions
  ) throws {
    self.problem = problem
    let origins = problem.origins(.test)
    windows = origins.all.count
    var (found, baselines) = (Found(), baselines)
    let judgement = try Judgement(
      overlap: problem.overlap, wanders: problem.wanders, seed: options.seeds.first ?? 0
    ) {
      var entries = try contenders.map { try Self.entry($0, problem, &found) }
      if let ensemble { entries.append(try Self.entry(ensemble, problem, &found)) }
      let classical = try Self.entries(baselines, problem, &found)
      entries += classical
      let combination = try SeriesCombination(
        problem, baselines, losses: classical.map(\.row.validationLoss))
      if let mean = combination.mean, !baselines.contains(where: { $0.name == mean.name }) {
        entries += try Self.entries([mean], problem, &found).map { entry in
          var entry = entry
          entry.row.message =
            entry.row.message ?? "The mean of baselines that validates better than each of them."
          return entry
        }
        baselines.append(mean)
      }
      return entries
    }
    (self.judgement, self.found) = (judgement, found)
    let chosen = judgement.verdict.model
    var runs = contenders.first { $0.name == chosen }?.runs.map { [$0.model] }
    if let ensemble, chosen == Model.ensembleName { runs = [ensemble.members.map(\.run.model)] }
    finalists = try Finalists(
      problem, model: chosen.flatMap { name in runs.map { (name, $0) } },
      baseline: baselines.first { $0.name == judgement.verdict.baseline },
      corrections: found.corrections)
  }

  /// The mean over seeds at each date, so that no lucky seed is shown.
  private static func entry(
    _ contender: Contender<Forecaster>, _ problem: SeriesProblem, _ found: inout Found
  ) throws -> JudgedEntry {
    try JudgedEntry(contender.row()) { entry in
      let scores = try contender.scores(problem)
      let (validation, test) = (scores.map(\.validation), scores.map(\.test))
      guard let first = scores.first else { return }
      entry.row.fill(from: first)
      found.corrections[contender.name] = scores.map(\.correction)
      let losses = test.map { Metrics.mean(problem.units($0)) }
      (entry.row.loss, entry.row.lossBySeed) = (Metrics.mean(losses), losses)
      entry.row.lossDeviation = test.count > 1 ? deviation(losses) : nil
      entry.row.validationLoss = Metrics.mean(
        validation.map { Metrics.mean(problem.units($0)) })
      if let latency = contender.latency(problem) {
        (entry.row.millisecondsP50, entry.row.millisecondsP99) = (latency.p50, latency.p99)
      }
      entry.validationLosses = meanByWindow(validation.map(problem.units))
      entry.testLosses = meanByWindow(test.map(problem.units))
      found.bySeries[contender.name] = meanByWindow(test.map(\.lossBySeries))
    }
  }

  private static func entry(
    _ ensemble: SeriesEnsemble, _ problem: SeriesProblem, _ found: inout Found
  ) throws -> JudgedEntry {
    try JudgedEntry(ensemble.row) { entry in
      let scores = try CorrectedScores(problem, levels: problem.task.levels) { part in
        (try ensemble.forecasts(problem, problem.origins(part)), nil)
      }
      entry.row.fill(from: scores)
      found.bySeries[entry.row.name] = scores.test.lossBySeries
      found.corrections[entry.row.name] = [scores.correction]
      entry.row.loss = Metrics.mean(problem.units(scores.test))
      entry.row.validationLoss = Metrics.mean(problem.units(scores.validation))
      entry.validationLosses = problem.units(scores.validation)
      entry.testLosses = problem.units(scores.test)
    }
  }

  /// Baselines side by side, some at a time, so that a person who interrupts does not wait for all.
  private static func entries(
    _ baselines: [SeriesBaseline], _ problem: SeriesProblem, _ found: inout Found
  ) throws -> [JudgedEntry] {
    var entries: [JudgedEntry] = []
    let most = 2 * ProcessInfo.processInfo.activeProcessorCount
    for start in stride(from: 0, to: baselines.count, by: most) {
      try Task.checkCancellation()
      let results = try sideBySide(min(most, baselines.count - start)) { place in
        var own = Found()
        let entry = try entry(baselines[start + place], problem, &own)
        return (entry: entry, found: own)
      }
      entries += results.map(\.entry)
      for one in results { found.take(one.found) }
    }
    return entries
  }

  private static func entry(
    _ baseline: SeriesBaseline, _ problem: SeriesProblem, _ found: inout Found
  ) throws -> JudgedEntry {
    var row = ComparisonRow(name: baseline.name, kind: .baseline)
    row.seconds = baseline.seconds
    if let failure = baseline.failure { (row.status, row.message) = (.failed, failure) }
    return try JudgedEntry(row) { entry in
      let (scores, standIns) = try baseline.scores(problem)
      let (validation, test) = (scores.validation, scores.test)
      entry.row.fill(from: scores)
      found.bySeries[baseline.name] = test.lossBySeries
      found.corrections[baseline.name] = [scores.correction]
      entry.standIns = standIns
      if !standIns.isEmpty { entry.row.message = Self.message(standIns) }
      entry.row.loss = Metrics.mean(problem.units(test))
      entry.row.validationLoss = Metrics.mean(problem.units(validation))
      entry.row.millisecondsP50 = baseline.latency(problem)
      entry.validationLosses = problem.units(validation)
      entry.testLosses = problem.units(test)
    }
  }

  /// Which series were too short for a baseline.
  private static func message(_ standIns: [String]) -> String {
    let names = standIns.prefix(3).joined(separator: ", ") + (standIns.count > 3 ? ", …" : "")
    return standIns.count == 1
      ? "Series \(names) is too short for it and has the naive forecast."
      : "\(standIns.count) series are too short for it and have the naive forecast: \(names)."
  }

  private static func deviation(_ values: [Double]) -> Double {
    let mean = Metrics.mean(values)
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return (squares / Double(values.count - 1)).squareRoot()
  }
}

extension ComparisonRow {
  fileprivate mutating func fill(from scores: CorrectedScores) {
    let score = scores.test
    intervals = scores.intervals
    (coverageError, calibration, pit) = (score.coverageError, score.calibration, score.pit)
    (lossBySteps, metrics) = (score.lossBySteps, score.metrics)
  }
}

/// The mean over seeds of the losses at each window.
func meanByWindow(_ runs: [[Double]]) -> [Double] {
  guard let first = runs.first else { return [] }
  return first.indices.map { window in Metrics.mean(runs.map { $0[window] }) }
}
