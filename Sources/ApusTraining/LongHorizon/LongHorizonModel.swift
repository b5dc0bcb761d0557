import ApusData
import ApusModels
import ApusRuntime
import ApusTensor

/// A forecaster trained and judged by the protocol: one model for all channels, which reads the L rows
/// of a window and nothing before them.
struct LongHorizonModel {
  let forecaster: Forecaster
  let recipe: FeatureRecipe
  let record: TrainingRecord

  /// Trains with one seed on the training part; validation chooses the weights.
  static func trained(
    _ choice: ModelChoice, on data: LongHorizonData, options: LongHorizonOptions, seed: UInt64,
    progress: @escaping (TrainingProgress) async -> Void
  ) async throws -> LongHorizonModel {
    let split = try Split(
      data.table,
      sizes: .counts(
        train: data.parts[0].count, validation: data.parts[1].count, test: data.parts[2].count),
      horizon: data.horizon)
    let window = options.window ?? ForecasterConfig.usualWindow(context: data.context)
    let recipe = try FeatureRecipe(
      fitting: data.table, measure: .level, covariates: [], split: split,
      window: window > 0 ? window : nil)
    let usual = BackboneSize(
      width: options.width, layers: options.layers, context: data.context)
    let config = ForecasterConfig(
      try choice.blueprint(usual), context: data.context, inputs: recipe.inputs,
      horizon: data.horizon, levels: options.levels,
      window: window)
    let task = try ForecastingTask(
      config, seed: seed, recipe: recipe,
      frames: try recipe.frames(data.table.series),
      split: split, batch: options.batch)
    var training = TrainerOptions.forecaster(learningRate: options.learningRate)
    (training.budget, training.seed) = (options.budget, seed)
    let record = try await Trainer(training).run(task, progress: progress)
    try Task.checkCancellation()
    guard record.stopReason != .diverged else { throw TrainingError.diverged(step: record.steps) }
    return LongHorizonModel(forecaster: task.forecaster, recipe: recipe, record: record)
  }

  /// The errors over every window of test.
  func score(_ data: LongHorizonData) throws -> LongHorizonScore {
    try data.score(.test) { channel, targets, body in
      for first in stride(from: targets.lowerBound, to: targets.upperBound, by: Self.batch) {
        try Task.checkCancellation()
        let some = first..<min(first + Self.batch, targets.upperBound)
        for (row, forecast) in zip(some, try forecasts(data.table.series[channel], some, data)) {
          body(row, forecast)
        }
      }
    }
  }

  /// Windows that are forecast at once; no figure depends on it.
  private static let batch = 256

  /// The medians of the forecasts of windows whose targets begin at `targets`, `[windows][H]`.
  private func forecasts(
    _ series: TimeSeries, _ targets: Range<Int>, _ data: LongHorizonData
  ) throws -> [[Double]] {
    let config = forecaster.config
    var rows: [Float] = []
    var places: [(location: Double, scale: Double, season: SeasonPlace)] = []
    for first in targets {
      // A window begins anew, as if nothing had been before it.
      let frame = try recipe.frame(series.slice(first - data.context..<first))
      rows += frame.rows(0..<data.context, window: config.window)
      let last = data.context - 1
      places.append((frame.locations[last], frame.scales[last], frame.seasons[last]))
    }
    let input = Tensor(rows, [targets.count, data.context, forecaster.rowWidth])
    let all = forecaster.quantiles(input, last: 1).values
    let width = all.count / targets.count
    let levels = config.levels
    let median = levels.indices.min { abs(levels[$0] - 0.5) < abs(levels[$1] - 0.5) } ?? 0
    return places.enumerated().map { window, place in
      (0..<data.horizon).map { step in
        let q = all[window * width + step * levels.count + median]
        return place.location + place.scale * Double(q) + place.season.offset(ahead: step + 1)
      }
    }
  }
}
