import ApusModels
import Foundation

/// What the errors of a forecaster still hold: a bias, a pattern in time, a spread that changes.
///
/// Of many series the error of a date is the mean over them, in the unit of each. All p-values are
/// two-sided.
public struct ResidualChecks: Codable, Sendable, Equatable {
  /// Whether errors are 0 on average.
  public struct Bias: Codable, Sendable, Equatable {
    /// The mean of what came less what was forecast.
    public var mean: Double
    /// Its interval of 95 percent.
    public var interval: ClosedRange<Double>
    /// The p-value of a mean of 0: Student t with Newey and West's variance, whose number of lags is
    /// `⌈4 (T/100)^(2/9)⌉`.
    public var pValue: Double
  }

  /// Whether errors depend on those before them.
  public struct Autocorrelation: Codable, Sendable, Equatable {
    /// The correlations of lags 1 to K.
    public var correlations: [Double]
    /// Ljung and Box's `Q = T (T + 2) Σ r_k² / (T - k)`.
    public var statistic: Double
    /// The probability of a Q as high without any correlation: chi-squared with K degrees of freedom.
    public var pValue: Double
  }

  /// Whether the size of errors changes with time.
  public struct Spread: Codable, Sendable, Equatable {
    /// The mean absolute error in the first third.
    public var first: Double
    /// The mean absolute error in the last third.
    public var last: Double
    /// The p-value of no straight trend of absolute errors over time, with Newey and West's variance.
    public var pValue: Double
  }

  /// The forecaster.
  public var name: String
  /// Errors of one step ahead in order of time, a value for each date, thinned to a few hundred.
  public var errors: [SeriesPoint]
  /// How many dates there are.
  public var count: Int
  /// The mean absolute error, in the unit of the loss.
  public var meanAbsolute: Double
  /// Whether errors are 0 on average.
  public var bias: Bias
  /// Whether errors depend on those before them; nil where they never move.
  public var autocorrelation: Autocorrelation?
  /// Whether the size of errors changes with time.
  public var spread: Spread

  /// Checks errors.
  ///
  /// - Parameters:
  ///   - name: The forecaster.
  ///   - errors: What came less what was forecast one step ahead, in order of time; NaN is left out. At
  ///     least 10 numbers.
  ///   - season: Rows in a season; two of them are looked at, where a fifth of the errors allows it, else
  ///     ten lags. Default: 1, no season.
  /// - Throws: ``MetricError`` with fewer than 10 errors.
  public init(name: String, errors: [SeriesPoint], season: Int = 1) throws {
    let errors = errors.filter(\.value.isFinite)
    let values = errors.map(\.value)
    try check("The check of residuals", values.count, values.count, needed: 10)
    (self.name, count) = (name, values.count)
    let stride = max(1, (values.count + Self.mostPoints - 1) / Self.mostPoints)
    self.errors = Swift.stride(from: 0, to: errors.count, by: stride).map { errors[$0] }
    let sizes = values.map(abs)
    meanAbsolute = Metrics.mean(sizes)
    bias = Self.bias(values)
    // Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 5.4.
    let lags = max(1, min(season > 1 ? 2 * season : 10, values.count / 5))
    autocorrelation = Self.autocorrelation(values, lags: lags)
    spread = Self.spread(sizes)
  }

  private static let mostPoints = 400

  private static func lags(_ count: Int) -> Int {
    min(count - 1, Int((4 * pow(Double(count) / 100, 2.0 / 9)).rounded(.up)))
  }

  private static func twoSided(_ statistic: Double, _ count: Int) -> Double {
    statistic.isNaN
      ? 1 : min(1, 2 * StudentT(degreesOfFreedom: Double(count - 1)).upperTail(abs(statistic)))
  }

  private static func bias(_ values: [Double]) -> Bias {
    let mean = Metrics.mean(values)
    let count = Double(values.count)
    let error = (longRunVariance(values.map { $0 - mean }, lags: lags(values.count)) / count)
      .squareRoot()
    let reach = error * StudentT(degreesOfFreedom: count - 1).quantile(0.975)
    return Bias(
      mean: mean, interval: (mean - reach)...(mean + reach),
      pValue: mean == 0 ? 1 : twoSided(mean / error, values.count))
  }

  private static func autocorrelation(_ values: [Double], lags: Int) -> Autocorrelation? {
    let mean = Metrics.mean(values)
    let centered = values.map { $0 - mean }
    let variance = centered.reduce(0) { $0 + $1 * $1 }
    guard variance > 0 else { return nil }
    let count = Double(values.count)
    let correlations = (1...lags).map { lag in
      zip(centered, centered.dropFirst(lag)).reduce(0) { $0 + $1.0 * $1.1 } / variance
    }
    let sum = correlations.enumerated().reduce(0) {
      $0 + $1.element * $1.element / (count - Double($1.offset + 1))
    }
    let statistic = count * (count + 2) * sum
    return Autocorrelation(
      correlations: correlations, statistic: statistic,
      pValue: ChiSquared.upperTail(statistic, degrees: lags))
  }

  /// The trend is that of least squares; its variance allows for errors that depend on their neighbors.
  private static func spread(_ sizes: [Double]) -> Spread {
    let third = sizes.count / 3
    let middle = Double(sizes.count - 1) / 2
    let times = sizes.indices.map { Double($0) - middle }
    let square = times.reduce(0) { $0 + $1 * $1 }
    let mean = Metrics.mean(sizes)
    let slope = zip(times, sizes).reduce(0) { $0 + $1.0 * ($1.1 - mean) } / square
    let scores = zip(times, sizes).map { $0 * ($1 - mean - slope * $0) }
    let variance = longRunVariance(scores, lags: lags(sizes.count)) * Double(sizes.count)
    let statistic = slope / (variance.squareRoot() / square)
    return Spread(
      first: Metrics.mean(Array(sizes.prefix(third))),
      last: Metrics.mean(Array(sizes.suffix(third))),
      pValue: slope == 0 ? 1 : twoSided(statistic, sizes.count))
  }
}
