import ApusModels
import Foundation

/// The regression of what happened on what was said: `y_t = a + b f_t + e_t`.
///
/// An unbiased and efficient forecast has a = 0 and b = 1, which Wald's test asks of both together,
/// with the covariance of Newey and West. R² says how much a forecast explains when its bias is taken
/// off. Mincer and Zarnowitz, 1969, *The Evaluation of Economic Forecasts*.
public struct MincerZarnowitz: Sendable, Hashable, Codable {
  /// a.
  public let intercept: Double
  /// b.
  public let slope: Double
  /// The standard errors of a and b.
  public let interceptError, slopeError: Double
  /// The share of the variance explained, 0...1.
  public let rSquared: Double
  /// Wald's statistic of a = 0 and b = 1, χ² with two degrees of freedom.
  public let statistic: Double
  /// The number of forecasts.
  public let count: Int

  /// Regresses values on forecasts, in time order.
  ///
  /// - Parameters:
  ///   - values: What happened, `[T]`.
  ///   - forecasts: What was said, not all the same.
  ///   - lags: Lags of the covariance; at least the horizon less 1. Default: 0, White's covariance.
  /// - Throws: ``MetricError`` when lengths differ, T is below 4, or the forecasts are constant.
  public init(_ values: [Double], forecasts: [Double], lags: Int = 0) throws {
    let title = "The Mincer-Zarnowitz regression"
    try check(title, forecasts.count, values.count, needed: 4)
    let (n, center) = (Double(values.count), Metrics.mean(forecasts))
    let middle = Metrics.mean(values)
    let deviations = forecasts.map { $0 - center }
    let spread = deviations.reduce(0) { $0 + $1 * $1 }
    guard spread > 0, spread.isFinite else {
      throw MetricError.undefined(metric: title, what: "a spread of forecasts of", found: spread)
    }
    let total = values.reduce(0) { $0 + ($1 - middle) * ($1 - middle) }
    let b = zip(deviations, values).reduce(0) { $0 + $1.0 * ($1.1 - middle) } / spread
    let errors = zip(deviations, values).map { $1 - middle - b * $0 }
    let squares = errors.reduce(0) { $0 + $1 * $1 }
    (slope, intercept, count) = (b, middle - b * center, values.count)
    rSquared = total > 0 ? 1 - squares / total : 0
    // In the coordinates (level at the center, slope) the products of the inputs are diagonal.
    let scores = [errors, zip(errors, deviations).map { $0 * $1 }]
    func covariance(_ i: Int, _ j: Int) -> Double {
      var sum = 0.0
      for lag in 0...min(max(0, lags), values.count - 1) {
        let weight = 1 - Double(lag) / Double(max(0, lags) + 1)
        let forward = zip(scores[i].dropFirst(lag), scores[j]).reduce(0) { $0 + $1.0 * $1.1 }
        let backward = zip(scores[j].dropFirst(lag), scores[i]).reduce(0) { $0 + $1.0 * $1.1 }
        sum += lag == 0 ? forward : weight * (forward + backward)
      }
      return sum / ((i == 0 ? n : spread) * (j == 0 ? n : spread))
    }
    let (level, both, tilt) = (covariance(0, 0), covariance(0, 1), covariance(1, 1))
    slopeError = max(0, tilt).squareRoot()
    interceptError = max(0, level - 2 * center * both + center * center * tilt).squareRoot()
    // The hypothesis in the same coordinates: the level is the center, the slope is 1.
    let (x, y) = (middle - center, b - 1)
    let determinant = level * tilt - both * both
    let quadratic = tilt * x * x - 2 * both * x * y + level * y * y
    statistic = determinant > 0 ? quadratic / determinant : x == 0 && y == 0 ? 0 : .infinity
  }

  /// The probability of a statistic as high when a = 0 and b = 1.
  public var pValue: Double { exp(-0.5 * statistic) }
}
