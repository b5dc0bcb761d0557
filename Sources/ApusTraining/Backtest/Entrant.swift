import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor

/// One forecaster of a backtest.
struct Entrant {
  /// What every forecaster of a backtest is asked.
  struct Question {
    let measure: Measure
    let horizon: Int
    let season: Int
  }

  let choice: ForecasterChoice
  /// What its folder holds, where it is one.
  let saved: Model?
  let name: String
  let options: ComparisonOptions
  let question: Question

  /// Levels of its quantiles.
  var levels: [Double] { saved?.levels ?? options.levels }

  /// The share of the rows before an origin by which weights are chosen.
  private static let validation = 0.1

  /// Forecasts a fold: fits to the rows before its first origin, then reads on from origin to origin.
  ///
  /// - Returns: Of each window of the fold `[P][Q]`; nil where it cannot forecast.
  func forecasts(
    _ plan: BacktestPlan, _ fold: Range<Int>,
    progress: @escaping (TrainingProgress?) async -> Void
  ) async throws -> [[[Double]]?] {
    try Task.checkCancellation()
    let windows = Array(plan.origins[fold].joined())
    if let saved {
      await progress(nil)
      await Task.yield()
      let members =
        try saved.forecasters.map {
          try Self.forecasts(of: $0, recipe: saved.recipe, plan, windows)
        }
        + saved.baselines.map {
          try forecasts(of: $0.rule, task: $0.task, plan, fold, windows)
        }
      return windows.indices.map { window in
        let found = members.compactMap { $0[window] }
        return found.count == members.count ? saved.combined(found) : nil
      }
    }
    if let baseline = try baseline() {
      await progress(nil)
      await Task.yield()
      return try forecasts(of: baseline.rule, task: baseline.task, plan, fold, windows)
    }
    guard case .model(let model) = choice else { return windows.map { _ in nil } }
    let training = plan.training(before: fold.lowerBound)
    try options.head.requireFit(training, measure: question.measure)
    let split = Split(
      training: training, horizon: question.horizon, validation: Self.validation)
    let recipe = try FeatureRecipe(
      fitting: training, measure: question.measure, covariates: options.covariates,
      future: options.future, holidays: options.holidays, split: split,
      window: ForecasterConfig.usualWindow(context: options.lookBack),
      kind: options.head.scaleKind)
    let seed = options.seeds.first ?? 0
    var asked = options
    asked.horizon = question.horizon
    let task = try ForecastingTask(
      asked.forecaster(model, recipe: recipe), seed: seed, recipe: recipe,
      frames: recipe.frames(training.series), split: split,
      scales: question.measure == .level
        ? SeriesProblem.units(training.series.map(\.values), season: question.season) : nil)
    var trainer = TrainerOptions.forecaster(learningRate: options.learningRate)
    (trainer.budget, trainer.seed) = (options.budget, seed)
    let record = try await Trainer(trainer).run(task) { await progress($0) }
    try Task.checkCancellation()
    guard record.stopReason != .diverged else {
      throw TrainingError.diverged(step: record.steps)
    }
    return try Self.forecasts(of: task.forecaster, recipe: recipe, plan, windows)
  }

  private func baseline() throws -> (rule: Baseline, task: ForecastTask)? {
    guard case .baseline(let name) = choice else { return nil }
    let task = ForecastTask(
      horizon: question.horizon, levels: options.levels, seasonLength: question.season,
      measure: ForecastTask.Kind(question.measure))
    return (try Baseline.named(name, lookback: options.lookBack), task)
  }

  private func forecasts(
    of rule: Baseline, task: ForecastTask, _ plan: BacktestPlan, _ fold: Range<Int>,
    _ windows: [BacktestPlan.Window]
  ) throws -> [[[Double]]?] {
    var result = [[[Double]]?](repeating: nil, count: windows.count)
    let groups = Dictionary(grouping: windows.indices) { windows[$0].series }
    let recipe = try knownRecipe(plan, before: fold.lowerBound)
    for (number, places) in groups {
      try Task.checkCancellation()
      let origins = places.map { windows[$0].row + 1 }
      let series = plan.table.series[number]
      let shifts = recipe?.shifts(series) ?? []
      let rest = recipe?.rest(of: series) ?? series.values
      var baseline = rule
      do {
        let count = plan.training(series: number, before: fold.lowerBound).count
        try baseline.fit(Array(rest.prefix(count)), task: task)
        let found = try baseline.forecasts(rest, origins: origins, task: task)
        for (place, forecast) in zip(places, found) {
          result[place] = forecast.shifted(by: shifts.dropFirst(windows[place].row + 1)).quantiles
        }
      } catch is BaselineError {
        continue  // too short: its windows are told as not scored
      }
    }
    return result
  }

  /// How known inputs are seen by what was known before an origin; nil where there are none.
  private func knownRecipe(_ plan: BacktestPlan, before origin: Int) throws -> FeatureRecipe? {
    let (future, holidays) =
      saved.map { ($0.recipe.known?.columns ?? [], $0.recipe.known?.holidays) }
      ?? (options.future, options.holidays)
    guard !future.isEmpty || holidays != nil || !plan.table.cadence.longerSeasons.isEmpty else {
      return nil
    }
    let training = plan.training(before: origin)
    return try FeatureRecipe(
      fitting: training, measure: question.measure, covariates: [], future: future,
      holidays: holidays, split: Split(training: training, horizon: question.horizon))
  }

  private static func forecasts(
    of forecaster: Forecaster, recipe: FeatureRecipe, _ plan: BacktestPlan,
    _ windows: [BacktestPlan.Window]
  ) throws -> [[[Double]]?] {
    var result = [[[Double]]?](repeating: nil, count: windows.count)
    for (number, places) in Dictionary(grouping: windows.indices, by: { windows[$0].series }) {
      let frame = try recipe.frame(plan.table.series[number])
      for place in places {
        try Task.checkCancellation()
        let row = windows[place].row
        guard frame.isScaled[row] else { continue }
        let quantiles = SeriesForecast(forecaster, frame: frame, rows: row..<row + 1).quantiles[0]
        result[place] =
          recipe.measure == .volatility
          ? quantiles.map { $0.map { max(0, $0) } } : quantiles
      }
    }
    return result
  }

  /// What has to be known about the forecaster: rows that it had seen before the backtest.
  func notes(_ plan: BacktestPlan) -> [String] {
    guard let end = saved?.seen else { return [] }
    let seen = plan.origins.joined().contains { window in
      end > plan.table.series[window.series].timestamps[window.row]
    }
    guard seen else { return [] }
    return [
      """
      \(name) had seen rows after some of these origins in training: its scores are too good. \
      Name the architecture instead of the folder to have it trained before each of them.
      """
    ]
  }
}
