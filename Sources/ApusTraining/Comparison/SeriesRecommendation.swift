public import ApusData
public import ApusEvaluation
import ApusModels
public import ApusRuntime
import ApusTensor
import Foundation

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
    .run(progress: progress)
}

/// What a comparison of series found, and the forecaster to use.
public struct SeriesReport {
  /// Everything that was found, ready to be drawn.
  public let record: ComparisonRecord
  /// The recommended model, or the best baseline where no model is, fitted to all rows; nil where
  /// everything failed.
  public let recommended: Model?

  /// What it says about the time ahead; nil where everything failed.
  public let forecast: FutureForecast?

  /// The answer in one line, such as "No model beats garch-t".
  public var headline: String { record.headline }

  /// The recommended forecaster.
  ///
  /// - Throws: ``ComparisonError/nothingToRecommend`` where everything failed.
  public var best: Model {
    get throws {
      guard let recommended else { throw ComparisonError.nothingToRecommend }
      return recommended
    }
  }
}

extension SeriesComparison {
  /// Fits what a comparison recommends to all rows, and asks it for the time ahead.
  func recommended(
    by found: Found, progress: @escaping (WorkProgress) async -> Void
  ) async throws -> SeriesReport {
    guard let chosen = try await chosen(found, progress: progress) else {
      return SeriesReport(record: found.record, recommended: nil, forecast: nil)
    }
    var record = found.record
    do {
      let forecast = try chosen.model.forecast(after: table)
      let csv = forecast.csv()
      record.recommendation = Recommendation(
        name: chosen.model.name, fit: chosen.fit,
        csv: csv.utf8.count <= Self.longestCSV ? csv : nil,
        future: outlook(forecast, found.problem))
      return SeriesReport(record: record, recommended: chosen.model, forecast: forecast)
    } catch let error as any ApusError {
      // What was found stands, though nothing follows from these last rows.
      record.recommendation = Recommendation(
        name: chosen.model.name,
        fit: "\(chosen.fit) It gives no forecast after the last row: \(error)", csv: nil, future: []
      )
      return SeriesReport(record: record, recommended: chosen.model, forecast: nil)
    }
  }

  /// What is recommended, fitted to all rows, and how; nil where everything failed.
  private func chosen(
    _ found: Found, progress: @escaping (WorkProgress) async -> Void
  ) async throws -> (model: Model, fit: String)? {
    let (problem, verdict) = (found.problem, found.record.verdict)
    if let name = verdict.recommended,
      let contender = found.contenders.first(where: { $0.name == name }),
      let run = contender.bestRun
    {
      let place = contender.runs.firstIndex { $0.seed == run.seed } ?? 0
      let correction = found.judged.correction(of: name, run: place)
      let (saved, how) = try await refitted(run, problem, correction) { state in
        await progress(
          WorkProgress(phase: "\(name), on all rows", share: 1, detail: state.losses))
      }
      let seen = table.series.compactMap(\.timestamps.last).max()
      return (Model(saved, history: table.series, seen: seen), how)
    }
    guard let name = verdict.baseline else { return nil }
    let model = Model(
      try Baseline.named(name, lookback: options.lookBack), task: problem.task,
      lookback: options.lookBack, recipe: try wholeRecipe(problem).recipe,
      target: table.targetName, history: table.series,
      correction: found.judged.correction(of: name))
    return (model, "\(name) is fitted to all rows.")
  }

  /// The most bytes of a forecast that a report carries within it.
  private static let longestCSV = 1 << 18

  /// The first few series with what is forecast of them, as the report draws it.
  private func outlook(_ forecast: FutureForecast, _ problem: SeriesProblem) -> [ForecastExample] {
    let hasClock = problem.table.cadence.frequency != .steps
    return forecast.series.prefix(6).compactMap { one in
      guard let past = problem.table.series.first(where: { $0.id == one.uniqueId }) else {
        return nil
      }
      func time(_ row: Int) -> Double {
        hasClock ? Double(past.timestamps[row].secondsSinceEpoch) : Double(row)
      }
      let ahead = forecast.rows(of: one).enumerated().map { step, row in
        hasClock ? row.date.timeIntervalSince1970 : Double(past.count + step)
      }
      let first = max(0, past.count - max(40, 3 * ahead.count))
      var example = ForecastExample(
        history: (first..<past.count).map { SeriesPoint(time: time($0), value: past.values[$0]) }
          .filter(\.value.isFinite),
        actual: [],
        fans: [ForecastFan(name: forecast.model, levels: forecast.levels, quantiles: one.quantiles)]
      )
      (example.series, example.ahead) = (one.uniqueId, ahead)
      return example
    }
  }

  /// How rows are seen when all of them are fitted to.
  private func wholeRecipe(
    _ problem: SeriesProblem
  ) throws -> (recipe: FeatureRecipe, split: Split) {
    let whole = Split(training: problem.table, horizon: options.horizon)
    let recipe = try FeatureRecipe(
      fitting: problem.table, measure: problem.measure, covariates: options.covariates,
      future: options.future, holidays: options.holidays, split: whole,
      window: ForecasterConfig.usualWindow(context: options.lookBack))
    return (recipe, whole)
  }

  /// Trains a judged model again, on all rows. The correction stays that of the judged one: of rows that it is
  /// trained on, the new one would think too well.
  private func refitted(
    _ run: Contender<Forecaster>.Run, _ problem: SeriesProblem,
    _ correction: ConformalCorrection?, progress: @escaping (TrainingProgress) async -> Void
  ) async throws -> (ModelFolder.SavedForecaster, fit: String) {
    let (recipe, whole) = try wholeRecipe(problem)
    let task = try ForecastingTask(
      run.model.config, seed: run.seed, recipe: recipe,
      frames: problem.table.series.map { try recipe.frame($0) }, split: whole,
      scales: problem.scales)
    var trainer = TrainerOptions.forecaster(learningRate: options.learningRate)
    let steps = max(1, run.record.best?.step ?? run.record.steps)
    (trainer.budget, trainer.seed) = (.steps(steps), run.seed)
    let record = try await Trainer(trainer).run(task, progress: progress)
    try Task.checkCancellation()
    let name = run.model.config.backbone.architecture.name
    guard record.stopReason != .diverged else {
      return (
        ModelFolder.SavedForecaster(
          forecaster: run.model, recipe: problem.recipe, target: table.targetName,
          correction: correction),
        "\(name) is as it was judged: training on all rows gave no finite loss."
      )
    }
    return (
      ModelFolder.SavedForecaster(
        forecaster: task.forecaster, recipe: recipe, target: table.targetName,
        correction: correction),
      "\(name) was trained again on all rows for \(steps) steps, those of its best validation."
    )
  }
}
