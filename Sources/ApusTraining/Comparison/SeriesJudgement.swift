import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime

/// What a comparison of series found: the judgement, and forecasts to look at.
struct SeriesJudgement {
  let problem: SeriesProblem
  let judgement: Judgement
  let examples: [ForecastExample]
  let windows: Int
  /// Losses of every entry that was judged, by series of the table.
  let bySeries: [String: [Double]]

  init(
    _ problem: SeriesProblem, contenders: [Contender<Forecaster>], baselines: [SeriesBaseline],
    options: ComparisonOptions
  ) throws {
    self.problem = problem
    let origins = problem.origins(.test)
    windows = origins.all.count
    var bySeries: [String: [Double]] = [:]
    let judgement = try Judgement(
      overlap: problem.judgesBySeries ? 1 : problem.split.horizon, seed: options.seeds.first ?? 0
    ) {
      try contenders.map { try Self.entry($0, problem, &bySeries) }
        + baselines.map { try Self.entry($0, problem, &bySeries) }
    }
    (self.judgement, self.bySeries) = (judgement, bySeries)
    let best = contenders.first { $0.name == judgement.verdict.model }
    let bar = baselines.first { $0.name == judgement.verdict.baseline }
    examples = Self.examples(problem, contender: best, baseline: bar, origins: origins)
  }

  /// The mean over seeds at each date, so that no lucky seed is shown.
  private static func entry(
    _ contender: Contender<Forecaster>, _ problem: SeriesProblem,
    _ bySeries: inout [String: [Double]]
  ) throws -> JudgedEntry {
    try JudgedEntry(contender.row()) { entry in
      let validation = try contender.scores(problem, part: .validation)
      let test = try contender.scores(problem, part: .test)
      guard let first = test.first else { return }
      entry.row.fill(from: first)
      let losses = test.map { Metrics.mean(problem.units($0)) }
      entry.row.loss = Metrics.mean(losses)
      entry.row.lossDeviation = test.count > 1 ? deviation(losses) : nil
      entry.row.validationLoss = Metrics.mean(
        validation.map { Metrics.mean(problem.units($0)) })
      if let latency = contender.latency(problem) {
        (entry.row.millisecondsP50, entry.row.millisecondsP99) = (latency.p50, latency.p99)
      }
      entry.validationLosses = meanByWindow(validation.map(problem.units))
      entry.testLosses = meanByWindow(test.map(problem.units))
      bySeries[contender.name] = meanByWindow(test.map(\.lossBySeries))
    }
  }

  private static func entry(
    _ baseline: SeriesBaseline, _ problem: SeriesProblem, _ bySeries: inout [String: [Double]]
  ) throws -> JudgedEntry {
    var row = ComparisonRow(name: baseline.name, kind: .baseline)
    row.seconds = baseline.seconds
    if let failure = baseline.failure { (row.status, row.message) = (.failed, failure) }
    return try JudgedEntry(row) { entry in
      let (validation, _) = try baseline.score(problem, part: .validation)
      let (test, standIns) = try baseline.score(problem, part: .test)
      entry.row.fill(from: test)
      bySeries[baseline.name] = test.lossBySeries
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

  /// Six origins, evenly spread over the test part of the first series.
  private static func examples(
    _ problem: SeriesProblem, contender: Contender<Forecaster>?, baseline: SeriesBaseline?,
    origins: ForecastOrigins
  ) -> [ForecastExample] {
    let own = origins.all.indices.filter { origins.all[$0].series == 0 }
    guard let series = problem.table.series.first, own.count >= 6 else { return [] }
    let learned = try? contender.flatMap { contender in
      try contender.runs.first.map { try contender.forecasts($0, problem, origins) }
    }
    let classical = try? baseline?.forecasts(problem, origins).quantiles
    let levels = contender?.runs.first?.model.config.levels ?? baseline?.task.levels ?? []
    func point(_ row: Int) -> SeriesPoint {
      SeriesPoint(
        time: Double(series.timestamps[row].secondsSinceEpoch), value: series.values[row])
    }
    return (0..<6).map { number in
      let index = own[(2 * number + 1) * own.count / 12]
      let row = origins.all[index].row
      var fans: [ForecastFan] = []
      if let contender, let learned {
        fans.append(
          ForecastFan(
            name: contender.name, levels: levels, quantiles: learned[index]))
      }
      if let baseline, let classical {
        fans.append(ForecastFan(name: baseline.name, levels: levels, quantiles: classical[index]))
      }
      return ForecastExample(
        history: (max(0, row - 40)...row).map(point).filter(\.value.isFinite),
        actual: (row + 1...row + problem.split.horizon).map(point), fans: fans)
    }
  }
}

extension ComparisonRow {
  fileprivate mutating func fill(from score: ForecastScore) {
    (coverageError, calibration, pit) = (score.coverageError, score.calibration, score.pit)
    (lossBySteps, metrics) = (score.lossBySteps, score.metrics)
  }
}

/// The mean over seeds of the losses at each window.
func meanByWindow(_ runs: [[Double]]) -> [Double] {
  guard let first = runs.first else { return [] }
  return first.indices.map { window in Metrics.mean(runs.map { $0[window] }) }
}
