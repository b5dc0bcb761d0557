public import ApusData
public import ApusEvaluation
import ApusModels
public import ApusRuntime
import ApusTensor

/// Compares architectures and baselines on a series, and fits what is recommended to all of its rows.
///
///     let report = try await compare(series, horizon: 5, budget: .seconds(20))
///     print(report.headline)
///     for row in try report.best.forecast().rows { print(row.date, row.median) }
///     try report.best.save(to: "best")
///
/// - Parameters:
///   - series: The series; nothing is read from or written to disk.
///   - horizon: Rows ahead, P. Default: 5.
///   - budget: The budget of each training run. Default: 20 seconds.
///   - options: Models, seeds, measure and the like; horizon and budget are those above.
///   - progress: Called after every step while models train, and awaited.
/// - Returns: What was found, and the forecaster to use.
/// - Throws: What is wrong with the data or the options; ``Interruption`` when the Swift task is
///   cancelled.
public func compare(
  _ series: TimeSeries, horizon: Int = 5, budget: Budget = .seconds(20),
  options: ComparisonOptions = ComparisonOptions(),
  progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
) async throws -> SeriesReport {
  try await compare(
    SeriesTable([series], targetName: series.id), horizon: horizon, budget: budget,
    options: options, progress: progress)
}

/// The same for series that belong together.
public func compare(
  _ table: SeriesTable, horizon: Int = 5, budget: Budget = .seconds(20),
  options: ComparisonOptions = ComparisonOptions(),
  progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
) async throws -> SeriesReport {
  var options = options
  (options.horizon, options.budget) = (horizon, budget)
  return try await SeriesComparison(table, source: DataSource(table), options: options)
    .recommendation(progress: progress)
}

/// What a comparison of series found, and the forecaster to use.
public struct SeriesReport {
  /// Everything that was found, ready to be drawn.
  public let record: ComparisonRecord
  /// The recommended model, or the best baseline where no model is, fitted to all rows.
  public let best: Model
  /// How ``best`` was fitted, in a sentence.
  public let fit: String

  /// The answer in one line, such as "No model beats garch-t".
  public var headline: String { record.headline }
}

extension SeriesComparison {
  /// Runs the comparison, and fits what it recommends to all rows.
  ///
  /// A baseline is fitted to the rows it forecasts from. A model is trained again on all rows, with the
  /// seed of its best run and for as many steps as that run had made when it validated best; where this
  /// gives no finite loss, the judged one stays.
  ///
  /// - Parameter progress: Called after every step while models train, and awaited.
  /// - Returns: What was found, and the forecaster to use.
  /// - Throws: As ``run(progress:)``; ``ComparisonError/nothingToRecommend`` when everything failed.
  @concurrent
  public func recommendation(
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> SeriesReport {
    try await Interruption.naming("comparison") {
      let found = try await compared(progress)
      let (problem, verdict) = (found.problem, found.record.verdict)
      if let name = verdict.recommended,
        let run = found.contenders.first(where: { $0.name == name })?.bestRun
      {
        let (saved, fit) = try await refitted(run, problem) { state in
          await progress(
            WorkProgress(phase: "\(name), on all rows", share: 1, detail: state.losses))
        }
        return SeriesReport(
          record: found.record, best: Model(saved, history: table.series), fit: fit)
      }
      guard let name = verdict.baseline else { throw ComparisonError.nothingToRecommend }
      let best = Model(
        try Baseline.named(name, lookback: options.context),
        task: problem.baselineTask(levels: options.levels), lookback: options.context,
        recipe: problem.recipe, target: table.targetName, history: table.series)
      return SeriesReport(
        record: found.record, best: best, fit: "\(name) is fitted to all rows it is given.")
    }
  }

  private func refitted(
    _ run: Contender<Forecaster>.Run, _ problem: SeriesProblem,
    progress: @escaping (TrainingProgress) async -> Void
  ) async throws -> (ModelFolder.SavedForecaster, fit: String) {
    let whole = Split(training: problem.table, horizon: options.horizon)
    let recipe = try FeatureRecipe(
      fitting: problem.table, measure: problem.measure, covariates: options.covariates,
      split: whole)
    let forecaster = try Forecaster(run.model.config, key: RandomKey(seed: run.seed))
    let task = try ForecastingTask(
      forecaster, frames: problem.table.series.map { try recipe.frame($0) }, split: whole)
    var trainer = TrainerOptions.forecaster(learningRate: options.learningRate)
    let steps = max(1, run.record.best?.step ?? run.record.steps)
    (trainer.budget, trainer.seed) = (.steps(steps), run.seed)
    let record = try await Trainer(trainer).run(task, progress: progress)
    try Task.checkCancellation()
    let name = run.model.config.backbone.architecture.name
    guard record.stopReason != .diverged else {
      return (
        ModelFolder.SavedForecaster(
          forecaster: run.model, recipe: problem.recipe, target: table.targetName),
        "\(name) is as it was judged: training on all rows gave no finite loss."
      )
    }
    return (
      ModelFolder.SavedForecaster(
        forecaster: forecaster, recipe: recipe, target: table.targetName),
      "\(name) was trained again on all rows for \(steps) steps, those of its best validation."
    )
  }
}
