import Foundation

extension Metrics {
  /// What a scaled error is measured in: the mean absolute, or squared, change over one season.
  ///
  /// - Parameters:
  ///   - training: The series before the forecast; pairs with a missing value do not count.
  ///   - seasonLength: m; 1 for one-step changes.
  ///   - isSquared: Whether changes are squared.
  /// - Returns: The scale, greater than 0.
  /// - Throws: ``MetricError`` when there are too few values or the series repeats itself exactly.
  public static func seasonalScale(
    of training: [Double], seasonLength: Int = 1, isSquared: Bool = false
  ) throws -> Double {
    let m = max(1, seasonLength)
    guard training.count > m else {
      throw MetricError.tooFew(metric: "A scaled error", found: training.count, needed: m + 1)
    }
    let changes = zip(training, training.dropFirst(m)).map { $1 - $0 }.filter(\.isFinite)
    let scale = mean(changes.map { isSquared ? $0 * $0 : abs($0) })
    guard scale > 0 else {
      throw MetricError.undefined(
        metric: "A scaled error", what: "a mean seasonal change in training of", found: scale)
    }
    return scale
  }

  /// Mean absolute scaled error: the error over that of the seasonal naive forecast in training.
  ///
  /// Hyndman and Koehler, 2006, *Another look at measures of forecast accuracy*.
  ///
  /// - Parameters:
  ///   - values: What happened, `[P]`.
  ///   - forecasts: What was said, `[P]`.
  ///   - training: The series before the forecast.
  ///   - seasonLength: m; 1 scales by one-step changes.
  /// - Returns: The error in units of the seasonal naive one.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func mase(
    _ values: [Double], forecasts: [Double], training: [Double], seasonLength: Int = 1
  ) throws -> Double {
    let scale = try seasonalScale(of: training, seasonLength: seasonLength)
    return try mae(values, forecasts: forecasts) / scale
  }

  /// Root mean squared scaled error: `√(MSE / mean squared seasonal change in training)`.
  ///
  /// Hyndman and Koehler, 2006; the measure of the M5 competition. Arguments as for
  /// ``mase(_:forecasts:training:seasonLength:)``.
  public static func rmsse(
    _ values: [Double], forecasts: [Double], training: [Double], seasonLength: Int = 1
  ) throws -> Double {
    let scale = try seasonalScale(of: training, seasonLength: seasonLength, isSquared: true)
    return try (mse(values, forecasts: forecasts) / scale).squareRoot()
  }

  /// Scaled quantile loss: twice the mean pinball loss over the mean absolute seasonal change in
  /// training.
  ///
  /// Of the median alone it is ``mase(_:forecasts:training:seasonLength:)``; the measure of
  /// fev-bench (Shchur et al., 2025, arXiv:2509.26468).
  ///
  /// - Parameters:
  ///   - values: What happened, `[P]`.
  ///   - quantiles: What was said, `[P][levels]`.
  ///   - levels: The levels of the quantiles, inside 0...1.
  ///   - training: The series before the forecast.
  ///   - seasonLength: m; 1 scales by one-step changes.
  /// - Returns: A loss without unit.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func scaledQuantileLoss(
    _ values: [Double], quantiles: [[Double]], levels: [Double], training: [Double],
    seasonLength: Int = 1
  ) throws -> Double {
    let scale = try seasonalScale(of: training, seasonLength: seasonLength)
    return try 2 * pinball(values, quantiles: quantiles, levels: levels) / scale
  }

  /// Mean scaled interval score: the width of an interval and what misses it cost, over the mean
  /// absolute seasonal change in training.
  ///
  /// `u - l + 2/α (l - y) 1[y < l] + 2/α (y - u) 1[y > u]` with `α = 1 - confidence`. Gneiting and
  /// Raftery, 2007; scaled as in the M4 competition.
  ///
  /// - Parameters:
  ///   - values: What happened, `[P]`.
  ///   - lower: The quantile at `α / 2`, `[P]`.
  ///   - upper: The quantile at `1 - α / 2`, `[P]`.
  ///   - confidence: The nominal share of values inside, strictly between 0 and 1.
  ///   - training: The series before the forecast.
  ///   - seasonLength: m; 1 scales by one-step changes.
  /// - Returns: A score without unit.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func msis(
    _ values: [Double], lower: [Double], upper: [Double], confidence: Double = 0.95,
    training: [Double], seasonLength: Int = 1
  ) throws -> Double {
    try check("MSIS", lower.count, values.count)
    try check("MSIS", upper.count, values.count)
    guard confidence > 0, confidence < 1 else {
      throw MetricError.undefined(metric: "MSIS", what: "a confidence of", found: confidence)
    }
    let scale = try seasonalScale(of: training, seasonLength: seasonLength)
    let scores = values.indices.map { index in
      let (low, high, value) = (lower[index], upper[index], values[index])
      let miss = max(0, low - value) + max(0, value - high)
      return high - low + 2 / (1 - confidence) * miss
    }
    // max(0, NaN) is 0: a missing value must not pass as a hit.
    guard values.allSatisfy({ !$0.isNaN }) else { return .nan }
    return mean(scores) / scale
  }

  /// Overall weighted average of the M4 competition: `(sMAPE / sMAPE_b + MASE / MASE_b) / 2`, the
  /// benchmark b being Naive2 there; of means over all series.
  ///
  /// - Parameters:
  ///   - smape: Mean sMAPE of the forecasts.
  ///   - mase: Mean MASE of the forecasts.
  ///   - benchmark: The same of the benchmark, both greater than 0.
  /// - Returns: A number that is 1 for the benchmark.
  /// - Throws: ``MetricError/undefined(metric:what:found:)`` for a benchmark without error.
  public static func owa(
    smape: Double, mase: Double, benchmark: (smape: Double, mase: Double)
  ) throws -> Double {
    for found in [benchmark.smape, benchmark.mase] where !(found > 0) {
      throw MetricError.undefined(metric: "OWA", what: "a benchmark error of", found: found)
    }
    return 0.5 * (smape / benchmark.smape + mase / benchmark.mase)
  }
}
