import ApusModels
import Foundation

/// The test of Diebold and Mariano whether two forecasts lose equally much.
///
/// Diebold and Mariano, 1995, *Comparing Predictive Accuracy*, with the small-sample factor of
/// Harvey, Leybourne and Newbold, 1997, and Student t with T - 1 degrees of freedom. The variance
/// of the mean is Newey and West's with q = max(h - 1, ⌈4 (T/100)^(2/9)⌉) lags unless more are
/// asked for. Its weights fall from the first lag on, so that with heavy overlap a true hypothesis
/// is rejected too often (1 in 10 at a level of 5 percent for h = 5); twice the lags help.
public struct DieboldMariano: Sendable, Hashable, Codable {
  /// The mean of `first - second`; positive means that the second forecast is better.
  public let meanDifference: Double
  /// The corrected statistic.
  public let statistic: Double
  /// The lags in the variance, q.
  public let lags: Int
  /// The number of origins, T.
  public let count: Int

  /// Tests the losses of two forecasts at the same origins, in time order.
  ///
  /// - Parameters:
  ///   - first: Losses of one forecast, `[T]`, for example of the baseline.
  ///   - second: Losses of the other.
  ///   - horizon: h, in origins: how many successive origins share some target. With origins s
  ///     steps apart and P steps forecast, ⌈P / s⌉.
  ///   - lags: q; nil for the rule above.
  /// - Throws: ``MetricError`` when the lengths differ, when a loss is not finite, or when
  ///   T is not above both h and 2.
  public init(_ first: [Double], _ second: [Double], horizon: Int = 1, lags: Int? = nil)
    throws
  {
    let h = max(1, horizon)
    try check(Self.title, second.count, first.count, needed: max(3, h + 1))
    let differences = zip(first, second).map { $0 - $1 }
    if let bad = differences.first(where: { !$0.isFinite }) {
      throw MetricError.undefined(metric: Self.title, what: "a loss difference of", found: bad)
    }
    let T = Double(differences.count)
    count = differences.count
    let rule = max(h - 1, Int((4 * pow(T / 100, 2.0 / 9)).rounded(.up)))
    self.lags = min(count - 1, max(0, lags ?? rule))
    let mean = Metrics.mean(differences)
    meanDifference = mean
    let variance = longRunVariance(differences.map { $0 - mean }, lags: self.lags)
    let H = Double(h)
    let correction = ((T + 1 - 2 * H + H * (H - 1) / T) / T).squareRoot()
    // Without any variance an equal mean is a tie, and another one leaves no doubt.
    statistic =
      variance > 0
      ? correction * mean / (variance / T).squareRoot()
      : mean == 0 ? 0 : mean > 0 ? .infinity : -.infinity
  }

  /// The probability of a statistic as far from 0 when both forecasts lose equally much.
  public var pValue: Double { min(1, 2 * distribution.upperTail(abs(statistic))) }

  /// The probability of a statistic as high when the second forecast is not better.
  public var pValueSecondBetter: Double {
    statistic >= 0 ? distribution.upperTail(statistic) : distribution.cumulative(-statistic)
  }

  private var distribution: StudentT { StudentT(degreesOfFreedom: Double(count - 1)) }
  private static let title = "The Diebold-Mariano test"
}

/// Newey and West's variance of a centered series: `g_0 + 2 Σ (1 - k/(q+1)) g_k`.
func longRunVariance(_ centered: [Double], lags: Int) -> Double {
  let T = Double(centered.count)
  var sum = 0.0
  for lag in 0...max(0, min(lags, centered.count - 1)) {
    let covariance = zip(centered, centered.dropFirst(lag)).reduce(0) { $0 + $1.0 * $1.1 } / T
    sum += (lag == 0 ? 1 : 2) * (1 - Double(lag) / Double(lags + 1)) * covariance
  }
  return max(0, sum)
}

/// Holm's adjusted p-values, in the order given.
///
/// Reject where the result is below the level: the chance of any false rejection among all
/// hypotheses stays below it. Holm, 1979. NaN marks a test that could not be made; it stays NaN and
/// still counts as one of those tried.
public func holm(_ pValues: [Double]) -> [Double] {
  var adjusted = pValues
  var largest = 0.0
  let order = pValues.indices.filter { !pValues[$0].isNaN }.sorted { pValues[$0] < pValues[$1] }
  for (rank, index) in order.enumerated() {
    largest = max(largest, min(1, Double(pValues.count - rank) * pValues[index]))
    adjusted[index] = largest
  }
  return adjusted
}
