import ApusModels
import Foundation

/// The test of Clark and West whether a model forecasts better than one nested in it.
///
/// Under the null hypothesis the larger model errs more because it estimates what is 0. Its squared
/// error is therefore adjusted: `f_t = e_1² - (e_2² - (ŷ_1 - ŷ_2)²)`, and the mean of f over its
/// standard error (Newey and West's) is compared with the normal distribution, on one side.
/// Clark and West, 2007, *Approximately normal tests for equal predictive accuracy in nested
/// models*, equation 3.1.
public struct ClarkWest: Sendable, Hashable, Codable {
  /// The mean of f; positive means that the larger model is better.
  public let meanDifference: Double
  /// The mean over its standard error.
  public let statistic: Double
  /// The lags in the variance.
  public let lags: Int
  /// The number of origins.
  public let count: Int

  /// Tests two series of forecasts of the same values, in time order.
  ///
  /// - Parameters:
  ///   - values: What happened, `[T]`.
  ///   - nested: Forecasts of the smaller model, for example zeros for returns.
  ///   - larger: Forecasts of the model that contains it.
  ///   - horizon: How many successive origins share some target; one less is the number of lags.
  /// - Throws: ``MetricError`` when lengths differ, a number is not finite, or T is not above both
  ///   the horizon and 2.
  public init(_ values: [Double], nested: [Double], larger: [Double], horizon: Int = 1) throws {
    try check(Self.title, nested.count, values.count)
    try check(Self.title, larger.count, values.count)
    let differences = values.indices.map {
      Self.difference(values[$0], nested: nested[$0], larger: larger[$0])
    }
    try self.init(differences: differences, horizon: horizon)
  }

  /// The adjusted difference of one forecast, f.
  ///
  /// - Parameters:
  ///   - value: What happened.
  ///   - nested: The forecast of the smaller model.
  ///   - larger: That of the larger one.
  /// - Returns: f; positive where the larger model is better.
  public static func difference(_ value: Double, nested: Double, larger: Double) -> Double {
    let (first, second) = (value - nested, value - larger)
    return first * first - (second * second - (nested - larger) * (nested - larger))
  }

  private static let title = "The Clark-West test"

  /// Tests adjusted differences, in time order; of a panel their mean at each date.
  ///
  /// - Parameters:
  ///   - differences: f, `[T]`.
  ///   - horizon: As above.
  /// - Throws: ``MetricError`` when a number is not finite, or T is not above both the horizon and 2.
  public init(differences: [Double], horizon: Int = 1) throws {
    let title = Self.title
    try check(title, differences.count, differences.count, needed: max(3, horizon + 1))
    if let bad = differences.first(where: { !$0.isFinite }) {
      throw MetricError.undefined(metric: title, what: "an adjusted difference of", found: bad)
    }
    (count, lags) = (differences.count, max(0, horizon - 1))
    let mean = Metrics.mean(differences)
    meanDifference = mean
    let variance = longRunVariance(differences.map { $0 - mean }, lags: lags)
    statistic =
      variance > 0
      ? mean / (variance / Double(count)).squareRoot()
      : mean == 0 ? 0 : mean > 0 ? .infinity : -.infinity
  }

  /// The probability of a statistic as high when the larger model is no better.
  public var pValue: Double { Normal.cumulative(-statistic) }
}
