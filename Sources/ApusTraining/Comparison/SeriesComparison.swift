public import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import Foundation

/// The main job on series: every architecture and every honest baseline on the same rows under one
/// budget, chosen on validation, evaluated once on test.
public struct SeriesComparison: Sendable {
  let table: SeriesTable
  let source: DataSource
  let options: ComparisonOptions
  /// The folder of the runs' checkpoints, from which they go on; none are kept when nil.
  var runs: String?
  /// The file that every training run is logged in; none when nil.
  var trials: String?

  /// Creates the job; nothing is done before ``run(progress:)``.
  ///
  /// - Parameters:
  ///   - table: The series as read.
  ///   - source: The name of the data and its fingerprint, for the record.
  ///   - options: Models, budget, horizon and the like.
  public init(_ table: SeriesTable, source: DataSource, options: ComparisonOptions) {
    (self.table, self.source, self.options) = (table, source, options.fitting(table))
  }

  /// Runs the comparison, and fits what it recommends to all rows.
  ///
  /// A baseline is fitted to the rows it forecasts from. A model is trained again on all rows, with the
  /// seed of its best run and for as many steps as that run had made when it validated best; where this
  /// gives no finite loss, the judged one stays.
  ///
  /// - Parameter progress: Called after every step while models train, and awaited.
  /// - Returns: What was found, and the forecaster to use.
  /// - Throws: What is wrong with the data or the options. A model that fails is a row, not an error.
  ///   ``Interruption`` when the Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> SeriesReport {
    try await Interruption.naming("comparison", isKept: runs != nil) {
      try await recommended(by: try await compared(progress), progress: progress)
    }
  }

  /// What a comparison found, before anything is made of it.
  struct Found {
    let problem: SeriesProblem
    let contenders: [Contender<Forecaster>]
    /// The mean of the best runs, where it was asked for and there are two.
    let ensemble: SeriesEnsemble?
    let judged: SeriesJudgement
    let record: ComparisonRecord
  }

  func compared(_ progress: @escaping (WorkProgress) async -> Void) async throws -> Found {
    let began = Date.now
    let problem = try SeriesProblem(table, options: options)
    for part in [Split.Part.validation, .test] where problem.origins(part).all.isEmpty {
      throw ComparisonError.nothingToJudge(part: part.rawValue)
    }
    // Everything until `judge` sees training and validation only.
    let baselines = try baselines(problem)
    let log = try TrialLog(trials)
    let contenders = try await contenders(problem, log: log, progress: progress)
    let ensemble = options.hasEnsemble ? try SeriesEnsemble(problem, contenders) : nil
    let judged = try SeriesJudgement(
      problem, contenders: contenders, ensemble: ensemble, baselines: baselines, options: options)
    var record = judged.record(source: source, table: table, options: options)
    try log.judge(record.rows, seeds: options.seeds)
    record.trials = log.count
    record.directionSharpe = judged.finalists.direction(trials: log.count.logged)
    record.reproduction.startedAt = began.timeIntervalSince1970
    record.reproduction.seconds = Date.now.timeIntervalSince(began)
    return Found(
      problem: problem, contenders: contenders, ensemble: ensemble, judged: judged, record: record)
  }

  private func contenders(
    _ problem: SeriesProblem, log: TrialLog,
    progress: @escaping (WorkProgress) async -> Void
  ) async throws -> [Contender<Forecaster>] {
    if options.hasEnsemble, try options.choices().count * options.seeds.count < 2 {
      throw ConfigError.invalid(
        key: "ensemble", value: "1 run", rule: "a mean needs two; give more models or more seeds")
    }
    // What no model can do is wrong with the options, not with a row.
    try options.usualSize.validate()
    for choice in try options.choices() {
      try (try? options.forecaster(choice, recipe: problem.recipe))?.validate()
    }
    let job = ContenderJob<Forecaster>(
      options: options, usual: ComparisonOptions.usualForecaster,
      training: { .forecaster(learningRate: $0.learningRate) }, runs: runs, log: log
    ) { choice, own, seed in
      var task = try ForecastingTask(
        own.forecaster(choice, recipe: problem.recipe), seed: seed, recipe: problem.recipe,
        frames: problem.frames, split: problem.split, scales: problem.scales)
      task.identity = try problem.identity(task.forecaster.config, of: source)
      return (task.forecaster, task)
    }
    return try await Contender.trained(job, progress: progress)
  }

  /// The baselines, fitted on the training part of each series.
  private func baselines(_ problem: SeriesProblem) throws -> [SeriesBaseline] {
    var prototypes = Baseline.standard(
      for: problem.task, lookback: options.lookBack, isIntermittent: problem.isIntermittent)
    let longer = problem.table.cadence.longerSeasons
    if let place = prototypes.firstIndex(where: { $0.name == "mstl" }), !longer.isEmpty {
      prototypes[place] = .multiSeasonal([problem.task.seasonLength] + longer)
    }
    for name in options.namedBaselines where !prototypes.contains(where: { $0.name == name }) {
      prototypes.append(try Baseline.named(name, lookback: options.lookBack))
    }
    return try prototypes.map {
      try SeriesBaseline($0, problem: problem, limit: options.budget.seconds)
    }
  }
}
