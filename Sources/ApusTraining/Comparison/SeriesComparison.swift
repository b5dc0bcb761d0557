public import ApusData
public import ApusEvaluation
import ApusModels
public import ApusRuntime
import ApusTensor
import Foundation

/// The main job on series: every architecture and every honest baseline on the same rows under one
/// budget, chosen on validation, evaluated once on test.
public struct SeriesComparison: Sendable {
  let table: SeriesTable
  let source: DataSource
  let options: ComparisonOptions

  /// Creates the job; nothing is done before ``run(progress:)``.
  ///
  /// - Parameters:
  ///   - table: The series as read.
  ///   - source: The name of the data and its fingerprint, for the record.
  ///   - options: Models, budget, horizon and the like.
  public init(_ table: SeriesTable, source: DataSource, options: ComparisonOptions) {
    (self.table, self.source, self.options) = (table, source, options)
  }

  /// Runs the comparison.
  ///
  /// - Parameter progress: Called after every step while models train, and awaited.
  /// - Returns: The finding.
  /// - Throws: What is wrong with the data or the options. A model that fails is a row, not an error.
  ///   ``Interruption`` when the Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> ComparisonReport<ModelFolder.SavedForecaster> {
    try await Interruption.naming("comparison") {
      let found = try await compared(progress)
      let winner = found.judged.winner.map {
        ModelFolder.SavedForecaster(
          forecaster: $0.forecaster, recipe: found.problem.recipe, target: table.targetName)
      }
      return ComparisonReport(record: found.record, winner: winner)
    }
  }

  /// What a comparison found, before anything is made of it.
  struct Found {
    let problem: SeriesProblem
    let contenders: [Contender<Forecaster>]
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
    let contenders = try await contenders(problem, progress: progress)
    let judged = try SeriesJudgement(
      problem, contenders: contenders, baselines: baselines, options: options)
    var record = judged.record(source: source, table: table, options: options)
    record.reproduction.startedAt = began.timeIntervalSince1970
    record.reproduction.seconds = Date.now.timeIntervalSince(began)
    return Found(problem: problem, contenders: contenders, judged: judged, record: record)
  }

  private func contenders(
    _ problem: SeriesProblem, progress: @escaping (WorkProgress) async -> Void
  ) async throws -> [Contender<Forecaster>] {
    let usual = BackboneSize(
      width: options.width ?? 64, layers: options.layers ?? 2,
      context: max(1, options.context / max(1, options.patch)))
    func config(_ choice: ModelChoice) throws -> ForecasterConfig {
      ForecasterConfig(
        try options.blueprint(choice, usual: usual), context: options.context,
        inputs: problem.recipe.inputs, horizon: options.horizon, levels: options.levels,
        patch: options.patch)
    }
    // What no model can do is wrong with the options, not with a row.
    try usual.validate()
    for choice in try options.choices() { try (try? config(choice))?.validate() }
    return try await Contender.trained(
      options, training: .forecaster(learningRate: options.learningRate),
      make: { choice, seed in
        let forecaster = try Forecaster(config(choice), key: RandomKey(seed: seed))
        return (
          forecaster,
          try ForecastingTask(forecaster, frames: problem.frames, split: problem.split)
        )
      }, progress: progress)
  }

  /// The baselines, fitted on the training part of each series.
  private func baselines(_ problem: SeriesProblem) throws -> [SeriesBaseline] {
    let task = problem.baselineTask(levels: options.levels)
    return try Baseline.standard(for: task, lookback: options.context).map { prototype in
      try SeriesBaseline(prototype, problem: problem, task: task)
    }
  }
}

/// What a comparison found.
public struct ComparisonReport<Winner> {
  /// Everything that was found, ready to be drawn.
  public let record: ComparisonRecord
  /// The model that validation chose; nil when none survived.
  public let winner: Winner?

  /// The answer in one line, such as "No model beats garch-t".
  public var headline: String { record.headline }
}

/// One classical baseline, fitted to every series of a table.
struct SeriesBaseline {
  let name: String
  let task: ForecastTask
  private var fitted: [Baseline] = []
  private(set) var failure: String?
  private(set) var seconds = 0.0

  /// Throws `CancellationError` alone; what else goes wrong is kept as a failure.
  init(_ prototype: Baseline, problem: SeriesProblem, task: ForecastTask) throws {
    name = prototype.name
    self.task = task
    let start = ContinuousClock.now
    do {
      for (index, series) in problem.table.series.enumerated() {
        try Task.checkCancellation()
        var baseline = prototype
        try baseline.fit(
          Array(series.values[problem.split.fittingRows(series: index)]), task: task)
        fitted.append(baseline)
      }
    } catch let error as CancellationError {
      throw error
    } catch {
      failure = "\(error)"
    }
    seconds = (ContinuousClock.now - start).seconds
  }

  /// Forecasts at the given origins: for each `[P][Q]`, and its mean `[P]`.
  func forecasts(
    _ problem: SeriesProblem, _ origins: ForecastOrigins
  ) throws -> (quantiles: [[[Double]]], means: [[Double]]) {
    var (quantiles, means) = ([[[Double]]](), [[Double]]())
    for (series, baseline) in fitted.enumerated() {
      let rows = origins.all.filter { $0.series == series }.map { $0.row + 1 }
      guard !rows.isEmpty else { continue }
      let forecasts = try baseline.forecasts(
        problem.table.series[series].values, origins: rows, task: task)
      quantiles += forecasts.map(\.quantiles)
      means += forecasts.map(\.mean)
    }
    return (quantiles, means)
  }

  /// The score on one part.
  func score(_ problem: SeriesProblem, part: Split.Part) throws -> ForecastScore {
    let origins = problem.origins(part)
    let forecasts = try forecasts(problem, origins)
    return try ForecastScore(
      quantiles: forecasts.quantiles, means: forecasts.means, origins: origins,
      table: problem.table, split: problem.split, levels: task.levels, measure: problem.measure)
  }

  /// Milliseconds of one forecast, as a rough median.
  func latency(_ problem: SeriesProblem) -> Double? {
    guard let baseline = fitted.first, let series = problem.table.series.first else { return nil }
    let times = (0..<5).compactMap { _ -> Double? in
      let start = ContinuousClock.now
      guard (try? baseline.forecast(series.values[...], task: task)) != nil else { return nil }
      return (ContinuousClock.now - start).seconds * 1e3
    }.sorted()
    return times.isEmpty ? nil : times[times.count / 2]
  }
}
