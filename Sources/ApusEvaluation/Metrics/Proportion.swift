import ApusModels
import Foundation

/// A share of successes with its binomial uncertainty.
public struct Proportion: Sendable, Hashable, Codable {
  /// The number of successes.
  public let successes: Int
  /// Out of how many.
  public let count: Int

  /// Creates the share; throws when there is nothing to count or a count is impossible.
  public init(successes: Int, of count: Int) throws {
    guard count > 0 else { throw MetricError.tooFew(metric: "A share", found: count, needed: 1) }
    guard (0...count).contains(successes) else {
      throw MetricError.lengthMismatch(
        metric: "A share", found: successes, expected: count)
    }
    self.successes = successes
    self.count = count
  }

  /// The share itself, in 0...1.
  public var value: Double { Double(successes) / Double(count) }

  /// Wilson's interval: the shares that a test at `1 - confidence` does not reject.
  ///
  /// Wilson, 1927. It assumes independent trials; overlapping horizons make it too narrow.
  public func interval(confidence: Double = 0.95) -> ClosedRange<Double> {
    let z = Normal.quantile(0.5 + 0.5 * min(max(confidence, 0), 1 - 1e-12))
    let n = Double(count)
    let center = (value + z * z / (2 * n)) / (1 + z * z / n)
    let half =
      z / (1 + z * z / n)
      * (value * (1 - value) / n + z * z / (4 * n * n)).squareRoot()
    return max(0, center - half)...min(1, center + half)
  }

  /// The band in which the share would fall with `confidence` if the true share were `expected`.
  ///
  /// Normal approximation, clipped to 0...1: half a width of `z √(p (1 - p) / n)`.
  public func band(around expected: Double, confidence: Double = 0.95) -> ClosedRange<Double> {
    let p = min(max(expected, 0), 1)
    let z = Normal.quantile(0.5 + 0.5 * min(max(confidence, 0), 1 - 1e-12))
    let half = z * (p * (1 - p) / Double(count)).squareRoot()
    return max(0, p - half)...min(1, p + half)
  }

  /// The exact two-sided binomial p-value of the hypothesis that the true share is `expected`.
  ///
  /// Twice the smaller tail, at most 1.
  public func pValue(against expected: Double = 0.5) -> Double {
    let (k, n) = (Double(successes), Double(count))
    // P(X >= k) = I_p(k, n - k + 1)
    let upper = successes == 0 ? 1 : regularizedBeta(expected, k, n - k + 1)
    let lower = successes == count ? 1 : 1 - regularizedBeta(expected, k + 1, n - k)
    return min(1, 2 * min(upper, lower))
  }
}

extension Metrics {
  /// The share of values inside the central interval of a forecast.
  ///
  /// - Parameters:
  ///   - values: What happened, `[n]`.
  ///   - lower: The quantile at `(1 - confidence) / 2`, `[n]`.
  ///   - upper: The quantile at `(1 + confidence) / 2`, `[n]`.
  /// - Returns: The share with its binomial band; compare it with the nominal share.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func coverage(_ values: [Double], lower: [Double], upper: [Double]) throws
    -> Proportion
  {
    try check("Coverage", lower.count, values.count)
    try check("Coverage", upper.count, values.count)
    let inside = values.indices.count { lower[$0] <= values[$0] && values[$0] <= upper[$0] }
    return try Proportion(successes: inside, of: values.count)
  }

  /// The share of values at or below each quantile, one for each level.
  ///
  /// - Parameters:
  ///   - values: What happened, `[n]`.
  ///   - quantiles: What was said, `[n][levels]`.
  ///   - levels: What each share should be.
  /// - Returns: One share for each level.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func coverage(_ values: [Double], quantiles: [[Double]], levels: [Double]) throws
    -> [Proportion]
  {
    try check("Coverage", quantiles.count, values.count)
    var below = [Int](repeating: 0, count: levels.count)
    for (value, row) in zip(values, quantiles) {
      try check("Coverage", row.count, levels.count)
      for (level, quantile) in row.enumerated() where value <= quantile { below[level] += 1 }
    }
    return try below.map { try Proportion(successes: $0, of: values.count) }
  }

  /// The share of forecasts with the sign of the value.
  ///
  /// Values of exactly 0 have no direction and do not count; a forecast of 0 counts as a miss.
  /// Throws when no value has a direction.
  public static func direction(_ values: [Double], forecasts: [Double]) throws -> Proportion {
    try check("Direction", forecasts.count, values.count)
    let moves = zip(values, forecasts).filter { $0.0 != 0 && !$0.0.isNaN }
    return try Proportion(
      successes: moves.count { $0.0 * $0.1.signum > 0 }, of: moves.count)
  }
}

extension Double {
  /// -1, 0 or 1; a product of two small numbers could vanish where their signs do not.
  fileprivate var signum: Double { self > 0 ? 1 : self < 0 ? -1 : 0 }
}
