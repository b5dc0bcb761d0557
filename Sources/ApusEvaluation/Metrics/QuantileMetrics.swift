import ApusModels
import Foundation

extension Metrics {
  /// The pinball loss of one quantile: `max(τ (y - q), (τ - 1)(y - q))`.
  public static func pinball(_ value: Double, quantile: Double, level: Double) -> Double {
    max(level * (value - quantile), (level - 1) * (value - quantile))
  }

  /// The pinball loss of one forecast, the mean over its levels.
  ///
  /// - Parameters:
  ///   - value: What happened.
  ///   - quantiles: One number for each level.
  ///   - levels: The levels of the quantiles, inside 0...1.
  /// - Returns: The mean loss.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func pinball(_ value: Double, quantiles: [Double], levels: [Double]) throws
    -> Double
  {
    try check("Pinball loss", quantiles.count, levels.count)
    let sum = zip(quantiles, levels).reduce(0) {
      $0 + pinball(value, quantile: $1.0, level: $1.1)
    }
    return sum / Double(levels.count)
  }

  /// The pinball loss over steps and levels, both weighted evenly.
  ///
  /// - Parameters:
  ///   - values: What happened, `[P]`.
  ///   - quantiles: What was said, `[P][levels]`.
  ///   - levels: The levels of the quantiles, inside 0...1.
  /// - Returns: The mean loss.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func pinball(_ values: [Double], quantiles: [[Double]], levels: [Double]) throws
    -> Double
  {
    try check("Pinball loss", quantiles.count, values.count)
    return try mean(
      zip(values, quantiles).map { try pinball($0, quantiles: $1, levels: levels) })
  }

  /// Weighted quantile loss: `2 Σ ρ / Σ |y|`, the mean over the levels.
  ///
  /// Gasthaus et al., 2019. Not defined where every value is 0.
  ///
  /// - Parameters:
  ///   - values: What happened, `[n]`.
  ///   - quantiles: What was said, `[n][levels]`.
  ///   - levels: The levels of the quantiles, inside 0...1.
  /// - Returns: A loss without unit.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func weightedQuantileLoss(
    _ values: [Double], quantiles: [[Double]], levels: [Double]
  ) throws -> Double {
    let size = values.reduce(0) { $0 + abs($1) }
    guard size > 0 else {
      throw MetricError.undefined(metric: "wQL", what: "a sum of magnitudes of", found: size)
    }
    let loss = try pinball(values, quantiles: quantiles, levels: levels)
    return 2 * loss * Double(values.count) / size
  }

  /// The continuous ranked probability score from quantiles, `2 ∫ ρ_τ dτ`.
  ///
  /// Each level stands for the stretch of 0...1 that is nearest to it, so that dense levels come
  /// close to the exact score, and few of them leave the tails to the outermost.
  public static func crps(_ value: Double, quantiles: [Double], levels: [Double]) throws -> Double {
    try check("CRPS", quantiles.count, levels.count)
    var (sum, start) = (0.0, 0.0)
    for (index, level) in levels.enumerated() {
      let end = index + 1 < levels.count ? 0.5 * (level + levels[index + 1]) : 1
      sum += (end - start) * pinball(value, quantile: quantiles[index], level: level)
      start = end
    }
    return 2 * sum
  }

  /// The continuous ranked probability score from draws, in its fair form.
  ///
  /// `mean |x_i - y| - Σ_ij |x_i - x_j| / (2 M (M - 1))`, whose expectation does not depend on the
  /// number of draws M ≥ 2. Ferro, 2014.
  public static func crps(_ value: Double, samples: [Double]) throws -> Double {
    try check("CRPS from samples", samples.count, samples.count, needed: 2)
    let sorted = samples.sorted()
    let count = Double(sorted.count)
    var (distance, spread) = (0.0, 0.0)
    for (index, sample) in sorted.enumerated() {
      distance += abs(sample - value)
      spread += (2 * Double(index) + 1 - count) * sample  // Σ_{i<j} (x_j - x_i)
    }
    return distance / count - spread / (count * (count - 1))
  }

  /// The continuous ranked probability score of a normal distribution.
  ///
  /// Gneiting and Raftery, 2007, equation 21. A deviation of 0 gives the absolute error.
  public static func gaussianCRPS(_ value: Double, mean: Double, deviation: Double) throws
    -> Double
  {
    guard deviation >= 0 else {
      throw MetricError.undefined(
        metric: "Gaussian CRPS", what: "a deviation of", found: deviation)
    }
    guard deviation > 0 else { return abs(value - mean) }
    let z = (value - mean) / deviation
    return deviation
      * (z * (2 * Normal.cumulative(z) - 1) + 2 * Normal.density(z)
        - 1 / Double.pi.squareRoot())
  }

  /// Where each value falls in its forecast distribution, counted in equal bins of 0...1.
  ///
  /// Calibrated forecasts fill the bins evenly. Between two levels the position is linear in the
  /// value; outside all levels it is the middle of the tail. A value that equals several quantiles
  /// takes the middle of their levels.
  ///
  /// - Parameters:
  ///   - values: What happened, `[n]`.
  ///   - quantiles: `[n][levels]`, ascending in each row.
  ///   - levels: The levels of the quantiles, inside 0...1.
  ///   - bins: How many, at least 1.
  /// - Returns: Counts, `[bins]`.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func pitHistogram(
    _ values: [Double], quantiles: [[Double]], levels: [Double], bins: Int = 10
  ) throws -> [Int] {
    try check("PIT histogram", quantiles.count, values.count)
    var counts = [Int](repeating: 0, count: max(1, bins))
    for (value, row) in zip(values, quantiles) {
      try check("PIT histogram", row.count, levels.count)
      let position = pit(value, row, levels)
      guard position.isFinite else { continue }
      counts[min(counts.count - 1, max(0, Int(position * Double(counts.count))))] += 1
    }
    return counts
  }

  /// The level of `value` among `quantiles`.
  private static func pit(_ value: Double, _ quantiles: [Double], _ levels: [Double]) -> Double {
    guard value.isFinite else { return .nan }
    let below = quantiles.count { $0 < value }
    let upTo = quantiles.count { $0 <= value }
    if upTo > below { return 0.5 * (levels[below] + levels[upTo - 1]) }
    if below == 0 { return 0.5 * levels[0] }
    if below == quantiles.count { return 0.5 * (1 + levels[below - 1]) }
    let (low, high) = (quantiles[below - 1], quantiles[below])
    let fraction = (value - low) / (high - low)
    return levels[below - 1] + fraction * (levels[below] - levels[below - 1])
  }
}

extension Metrics {
  /// The arithmetic mean.
  package static func mean(_ values: [Double]) -> Double {
    values.reduce(0, +) / Double(values.count)
  }
}
