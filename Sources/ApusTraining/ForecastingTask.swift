public import ApusData
public import ApusModels
public import ApusRuntime
public import ApusTensor

/// Training a forecaster: windows of 2 L rows of which the last L are forecast origins, as in
/// `SeriesForecast`.
///
/// Targets never leave the training part, and rows are normalized by their past alone.
public struct ForecastingTask: TrainingTask {
  /// The model that learns.
  public let forecaster: Forecaster
  /// Windows of one micro-batch.
  public var batch: Int
  /// What a resumed run must find unchanged; nothing is known by default.
  public var identity = TaskIdentity.none
  let frames: [SeriesFrame]
  let split: Split
  /// The unit of validation losses, by series.
  private let scales: [Double]?
  /// Where windows may start, per series, and how many starts there are up to it.
  private let starts: [Range<Int>]
  /// The usual scale of each series.
  private let units: [Double]
  private let cumulative: [Int]

  /// Creates a task.
  ///
  /// - Parameters:
  ///   - forecaster: The model that learns.
  ///   - frames: The series as the model sees them.
  ///   - split: Which rows are training and validation.
  ///   - batch: Windows of one micro-batch.
  ///   - scales: The unit that validation losses of each series are given in. Default: that of the
  ///     measure.
  /// - Throws: ``TrainingDataError`` when no series has a training origin.
  public init(
    _ forecaster: Forecaster, frames: [SeriesFrame], split: Split, batch: Int = 8,
    scales: [Double]? = nil
  ) throws {
    self.forecaster = forecaster
    self.frames = frames
    self.split = split
    (self.batch, self.scales) = (batch, scales)
    units = frames.enumerated().map { Self.unit($1, split.rows(.train, series: $0)) }
    let length = 2 * forecaster.config.context
    starts = frames.indices.map { series in
      let origins = split.origins(.train, series: series, lookBack: 1)
      guard !origins.isEmpty else { return 0..<0 }
      // The first origins have their window begin before the first row.
      let (first, last) = (-forecaster.config.context, origins.upperBound - length)
      return min(first, last)..<last + 1
    }
    cumulative = starts.reduce(into: []) { $0.append(($0.last ?? 0) + $1.count) }
    guard (cumulative.last ?? 0) > 0 else {
      throw TrainingDataError.tooShort(
        found: frames.map(\.count).max() ?? 0, needed: forecaster.config.horizon + 1)
    }
  }

  /// Creates the task of a forecaster with fresh weights, which begins with the linear map that fits the
  /// training part best.
  ///
  /// - Parameters:
  ///   - config: The model to make.
  ///   - seed: Of its weights.
  ///   - recipe: How `frames` were made.
  ///   - frames: The series as the model sees them.
  ///   - split: Which rows are training and validation.
  ///   - batch: Windows of one micro-batch.
  ///   - scales: The unit that validation losses of each series are given in. Default: that of the
  ///     measure.
  /// - Throws: `ConfigError`, ``TrainingDataError``.
  public init(
    _ config: ForecasterConfig, seed: UInt64, recipe: FeatureRecipe, frames: [SeriesFrame],
    split: Split, batch: Int = 8, scales: [Double]? = nil
  ) throws {
    let forecaster = try Forecaster(config, key: RandomKey(seed: seed))
    try self.init(forecaster, frames: frames, split: split, batch: batch, scales: scales)
    guard config.window > 0, !config.head.isOfCounts else { return }
    let map = DirectMap(
      fitting: frames.indices.map { series in
        DirectMap.History(
          values: Array(frames[series].values[split.rows(.train, series: series)]),
          unit: units[series])
      }, window: config.window, horizon: config.horizon, isRelative: recipe.kind == .level)
    forecaster.begin(with: map, errors: errors(of: map))
  }

  /// The usual scale of a series in its training rows; 1 where none of them has one.
  private static func unit(_ frame: SeriesFrame, _ rows: Range<Int>) -> Double {
    let scales = rows.filter { frame.isScaled[$0] }.map { frame.scales[$0] }
    return scales.isEmpty ? 1 : scales.reduce(0) { $0 + $1 / Double(scales.count) }
  }

  /// Errors of a map at origins of the training part, evenly chosen: `[P]`, in normalized units.
  private func errors(of map: DirectMap) -> [[Double]] {
    let config = forecaster.config
    var errors = [[Double]](repeating: [], count: config.horizon)
    let origins = frames.indices.flatMap { series in
      split.origins(.train, series: series, lookBack: config.window).map { (series, $0) }
    }
    for (series, row) in stride(from: 0, to: origins.count, by: max(1, origins.count / 2048))
      .map({ origins[$0] })
    {
      let frame = frames[series]
      let window = frame.rows(row - config.window + 1..<row + 1, window: config.window)
        .suffix(config.window).map(Double.init)
      let end = split.rows(.train, series: series).upperBound
      for (step, weights) in map.weights.enumerated() {
        let (target, weight) = Self.target(frame, row: row, ahead: step + 1, end: end)
        guard weight > 0 else { continue }
        let start = zip(weights, window).reduce(0) { $0 + $1.0 * $1.1 }
        errors[step].append(Double(target) - start)
      }
    }
    return errors
  }

  public var parameters: [Parameter] { forecaster.parameters }
  public var unit: String { "rows" }

  public func loss(step: Int, microStep: Int, key: RandomKey) throws -> (loss: Tensor, units: Int) {
    var generator = PhiloxGenerator(key.derived(UInt64(step)).derived(UInt64(microStep)))
    let config = forecaster.config
    let (length, horizon) = (2 * config.context, config.horizon)
    var (rows, targets, weights) = ([Float](), [Float](), [Float]())
    rows.reserveCapacity(batch * length * forecaster.rowWidth)
    for _ in 0..<batch {
      let number = Int.random(in: 0..<(cumulative.last ?? 1), using: &generator)
      let series = cumulative.firstIndex { $0 > number } ?? 0
      let before = series > 0 ? cumulative[series - 1] : 0
      let start = starts[series].lowerBound + number - before
      let frame = frames[series]
      rows += frame.rows(
        start..<start + length, window: config.window, horizon: config.horizon,
        hasScale: config.head.isOfCounts)
      let end = split.rows(.train, series: series).upperBound
      for row in start + config.context..<start + length {
        // Errors count as they do when forecasts are judged: in one unit for all rows of a series.
        let counts = row >= 0 && row < frame.count ? Float(frame.scales[row] / units[series]) : 0
        for ahead in 1...horizon {
          let (target, weight) = Self.target(frame, row: row, ahead: ahead, end: end)
          targets.append(target)
          weights.append(weight * counts)
        }
      }
    }
    let loss = forecaster.loss(
      Tensor(rows, [batch, length, forecaster.rowWidth]),
      targets: Tensor(targets, [batch, config.context, horizon]),
      weights: Tensor(weights, [batch, config.context, horizon]))
    return (loss, batch * length)
  }

  /// What row `row + ahead` holds, as the forecast made at `row` sees it; weight 0 where it holds
  /// nothing or lies outside of the training part.
  private static func target(
    _ frame: SeriesFrame, row: Int, ahead: Int, end: Int
  ) -> (Float, Float) {
    let place = row + ahead
    guard row >= 0, place < end, place < frame.count, frame.isScaled[row] else { return (0, 0) }
    let value = frame.values[place]
    guard value.isFinite else { return (0, 0) }
    // An error of the rest counts as much as what known inputs make of it.
    return (
      Float((value - frame.locations[row]) / frame.scales[row]), Float(frame.shift(place).factor)
    )
  }

  /// Mean pinball loss of the validation part, in units of the measure or of the scales.
  public func validationLoss() throws -> Double? {
    let losses = try partLosses(.validation)
    let finite = losses.flatMap { $0 }.filter(\.isFinite)
    guard !finite.isEmpty else { return nil }
    return finite.reduce(0, +) / Double(finite.count)
  }

  /// The mean pinball loss of each origin of a part, or of one in so many where there are very many, by
  /// series, in units of the measure or of the scales; NaN where no target is there.
  func partLosses(_ part: Split.Part) throws -> [[Double]] {
    let every = split.originStride
    let origins = frames.indices.map { series in
      let all = split.origins(part, series: series, lookBack: 1)
      return Array(stride(from: all.lowerBound, to: all.upperBound, by: every))
    }
    let found = try SeriesForecast.quantiles(of: forecaster, frames: frames, after: origins)
    return zip(origins, found).enumerated().map { series, pairs in
      zip(pairs.0, pairs.1).map { origin, quantiles in
        originLoss(
          quantiles, targets: (1...split.horizon).map { frames[series].measured(origin + $0) },
          levels: forecaster.config.levels) / (scales?[series] ?? 1)
      }
    }
  }
}

/// The mean pinball loss over steps and levels of one forecast; NaN when no target is there.
func originLoss(
  _ quantiles: [[Double]], targets: [Double], levels: [Double]
) -> Double {
  var (sum, count) = (0.0, 0)
  for (step, target) in zip(quantiles, targets) where target.isFinite {
    for (quantile, level) in zip(step, levels) {
      sum += max(level * (target - quantile), (level - 1) * (target - quantile))
      count += 1
    }
  }
  return count > 0 ? sum / Double(count) : .nan
}
