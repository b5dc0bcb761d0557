public import ApusData
public import ApusEvaluation
public import ApusModels
public import ApusRuntime
import ApusTensor
import Foundation

/// The main job on series: every architecture and every honest baseline on the same rows under one
/// budget, chosen on validation, judged once on test.
public struct SeriesComparison {
  /// Everything that was found, ready to be drawn.
  public let record: ComparisonRecord
  /// The model that validation chose, with its recipe; nil when none survived.
  public let winner: (forecaster: Forecaster, recipe: FeatureRecipe, name: String)?

  /// Runs the comparison.
  ///
  /// - Parameters:
  ///   - table: The series as read.
  ///   - source: The name of the data and its fingerprint, for the record.
  ///   - options: Models, budget, horizon and the like.
  ///   - progress: Called often while models train.
  /// - Throws: What is wrong with the data or the options. A model that fails is a row, not an error.
  public init(
    _ table: SeriesTable, source: DataSource, options: ComparisonOptions,
    progress: @escaping (ComparisonProgress) -> Void
  ) throws {
    let began = Date.now
    let problem = try SeriesProblem(table, options: options)
    for part in [Split.Part.validation, .test] where problem.origins(part).all.isEmpty {
      throw ComparisonError.nothingToJudge(part: part.rawValue)
    }
    // Everything until `judge` sees training and validation only.
    let baselines = Self.baselines(problem, options: options)
    let contenders = try Self.contenders(problem, options: options, progress: progress)
    let judged = try SeriesJudgement(
      problem, contenders: contenders, baselines: baselines, options: options)
    var record = judged.record(source: source, table: table, options: options)
    record.reproduction.startedAt = began.timeIntervalSince1970
    record.reproduction.seconds = Date.now.timeIntervalSince(began)
    self.record = record
    winner = judged.winner.map { ($0.forecaster, problem.recipe, $0.name) }
  }

  private static func contenders(
    _ problem: SeriesProblem, options: ComparisonOptions,
    progress: (ComparisonProgress) -> Void
  ) throws -> [Contender<Forecaster>] {
    func config(_ architecture: Architecture) -> ForecasterConfig {
      let size = BackboneSize(
        width: options.width ?? 64,
        layers: architecture.layersPerBlock * (options.layers ?? 2), context: options.context)
      return ForecasterConfig(
        architecture: architecture.name, size: size, inputs: problem.recipe.inputs,
        horizon: options.horizon, levels: options.levels, patch: options.patch)
    }
    // What no architecture can do is wrong with the options, not with a row.
    for architecture in try options.architectures() { try config(architecture).validate() }
    return try Contender.trained(
      options, training: .forecaster(learningRate: options.learningRate),
      make: { architecture, seed in
        let forecaster = try Forecaster(config(architecture), key: RandomKey(seed: seed))
        return (
          forecaster,
          try ForecastingTask(forecaster, frames: problem.frames, split: problem.split)
        )
      }, progress: progress)
  }

  /// The baselines, fitted on the training part of each series.
  private static func baselines(
    _ problem: SeriesProblem, options: ComparisonOptions
  ) -> [SeriesBaseline] {
    let task = problem.baselineTask(levels: options.levels)
    return Baseline.standard(for: task, lookback: options.context).map { prototype in
      SeriesBaseline(prototype, problem: problem, task: task)
    }
  }
}

/// One classical baseline, fitted to every series of a table.
struct SeriesBaseline {
  let name: String
  let task: ForecastTask
  private var fitted: [Baseline] = []
  private(set) var failure: String?
  private(set) var seconds = 0.0

  init(_ prototype: Baseline, problem: SeriesProblem, task: ForecastTask) {
    name = prototype.name
    self.task = task
    let start = ContinuousClock.now
    do {
      for (index, series) in problem.table.series.enumerated() {
        var baseline = prototype
        try baseline.fit(
          Array(series.values[problem.split.fittingRows(series: index)]), task: task)
        fitted.append(baseline)
      }
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
