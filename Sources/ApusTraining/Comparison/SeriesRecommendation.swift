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
    if let name = verdict.recommended, let (runs, place) = runs(found, of: name) {
      return try await fitted(
        runs, as: name, problem, found.judged.correction(of: name, run: place), progress: progress)
    }
    guard let name = verdict.simplest ?? verdict.baseline else { return nil }
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
      window: ForecasterConfig.usualWindow(context: options.lookBack),
      kind: options.head.scaleKind)
    return (recipe, whole)
  }

  /// The runs that a row of the table stands for, and which of its corrections is theirs; nil where there are
  /// none: the best run of a model, the members of the ensemble.
  private func runs(
    _ found: Found, of name: String
  ) -> (runs: [SeriesEnsemble.Member], place: Int)? {
    if let contender = found.contenders.first(where: { $0.name == name }),
      let run = contender.bestRun
    {
      let place = contender.runs.firstIndex { $0.seed == run.seed } ?? 0
      return ([SeriesEnsemble.Member(model: name, run: run, search: contender.search)], place)
    }
    guard let ensemble = found.ensemble, name == Model.ensembleName else { return nil }
    return (ensemble.members, 0)
  }

  /// Trains judged runs again, on all rows. The correction stays that of the judged ones: of rows that they are
  /// trained on, new ones would think too well.
  private func fitted(
    _ runs: [SeriesEnsemble.Member], as name: String, _ problem: SeriesProblem,
    _ correction: ConformalCorrection?, progress: @escaping (WorkProgress) async -> Void
  ) async throws -> (model: Model, fit: String) {
    let (recipe, whole) = try wholeRecipe(problem)
    let frames = try recipe.frames(problem.table.series)
    let seen = table.series.compactMap(\.timestamps.last).max()
    func model(_ forecasters: [Forecaster], _ recipe: FeatureRecipe) throws -> Model {
      let members = forecasters.map {
        Model(
          ModelFolder.SavedForecaster(
            forecaster: $0, recipe: recipe, target: table.targetName,
            correction: forecasters.count == 1 ? correction : nil),
          history: table.series, seen: seen)
      }
      return members.count == 1
        ? members[0] : try Model(mean: members, correction: correction)
    }
    var (forecasters, steps) = ([Forecaster](), [Int]())
    for (number, member) in runs.enumerated() {
      let run = member.run
      let task = try ForecastingTask(
        run.model.config, seed: run.seed, recipe: recipe, frames: frames, split: whole,
        scales: problem.scales)
      var trainer = TrainerOptions.forecaster(learningRate: run.learningRate)
      steps.append(max(1, run.record.best?.step ?? run.record.steps))
      (trainer.budget, trainer.seed) = (.steps(steps[number]), run.seed)
      let part = runs.count > 1 ? " (\(number + 1) of \(runs.count))" : ""
      let record = try await Trainer(trainer).run(task) { state in
        await progress(
          WorkProgress(
            phase: "\(member.model), on all rows\(part)", share: 1, detail: state.losses))
      }
      try Task.checkCancellation()
      guard record.stopReason != .diverged else {
        return (
          try model(runs.map(\.run.model), problem.recipe),
          "\(name) is as it was judged: training on all rows gave no finite loss."
        )
      }
      forecasters.append(task.forecaster)
    }
    let fit =
      runs.count == 1
      ? "\(name) was trained again on all rows for \(steps[0]) steps, those of its best validation."
      : "Its members were trained again on all rows, each for the steps of its best validation: "
        + zip(runs, steps).map { "\($0.model) \($1)" }.joined(separator: ", ") + "."
    return (try model(forecasters, recipe), fit)
  }
}
