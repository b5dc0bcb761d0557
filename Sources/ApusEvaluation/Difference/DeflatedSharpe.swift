import ApusModels
import Foundation

/// How likely a Sharpe ratio is real, given how many were tried.
///
/// The probabilistic ratio against a benchmark SR* is
/// `Φ((SR - SR*) √(T - 1) / √(1 - g3 SR + (g4 - 1)/4 SR²))` with skewness g3 and kurtosis g4 (3 for
/// normal returns); deflated, SR* is what the best of N trials without any skill is expected to show,
/// `√Var[SR] ((1 - γ) Φ⁻¹(1 - 1/N) + γ Φ⁻¹(1 - 1/(N e)))`, γ = 0.5772. All ratios are per period.
/// Bailey and López de Prado, 2014, *The Deflated Sharpe Ratio*.
public struct DeflatedSharpe: Sendable, Hashable, Codable {
  /// Mean over standard deviation of the returns, per period.
  public let ratio: Double
  /// g3.
  public let skewness: Double
  /// g4; 3 for a normal distribution.
  public let kurtosis: Double
  /// The number of returns, T.
  public let count: Int
  /// SR*: 0 with a single trial.
  public let expectedMaximum: Double

  /// Measures returns.
  ///
  /// - Parameters:
  ///   - returns: One for each period, at least 3.
  ///   - trials: N, the effective number of independent strategies tried, this one included.
  ///   - trialVariance: The variance of the trials' ratios per period; not used with one trial.
  /// - Throws: ``MetricError`` with too few returns, returns without any variance or that are not finite,
  ///   no trial or a negative variance.
  public init(returns: [Double], trials: Int = 1, trialVariance: Double = 0) throws {
    let title = "The Sharpe ratio"
    try check(title, returns.count, returns.count, needed: 3)
    try check(title + " of trials", trials, trials, needed: 1)
    guard trialVariance >= 0 else {
      throw MetricError.undefined(
        metric: title, what: "a variance of trials of", found: trialVariance)
    }
    let mean = Metrics.mean(returns)
    func moment(_ power: Double) -> Double { Metrics.mean(returns.map { pow($0 - mean, power) }) }
    let variance = moment(2)
    guard variance > 0, variance.isFinite else {
      throw MetricError.undefined(metric: title, what: "a variance of returns of", found: variance)
    }
    count = returns.count
    ratio = mean / (variance * Double(count) / Double(count - 1)).squareRoot()
    skewness = moment(3) / pow(variance, 1.5)
    kurtosis = moment(4) / (variance * variance)
    expectedMaximum = Self.expectedMaximum(trials: trials, variance: trialVariance)
  }

  /// What the best of several trials without any skill is expected to show.
  ///
  /// - Parameters:
  ///   - trials: N; 0 for one or none.
  ///   - variance: The variance of the trials' ratios per period.
  /// - Returns: SR*, per period.
  public static func expectedMaximum(trials: Int, variance: Double) -> Double {
    guard trials > 1 else { return 0 }
    let (euler, n) = (0.577_215_664_901_532_9, Double(trials))
    return variance.squareRoot()
      * ((1 - euler) * Normal.quantile(1 - 1 / n) + euler * Normal.quantile(1 - exp(-1) / n))
  }

  /// The probabilistic Sharpe ratio: how likely the true ratio is above a benchmark.
  ///
  /// - Parameters:
  ///   - benchmark: SR*, per period.
  ///   - ratio: The ratio found, per period.
  ///   - skewness: g3 of the returns.
  ///   - kurtosis: g4 of the returns; 3 for a normal distribution.
  ///   - count: T.
  /// - Returns: A probability.
  public static func probability(
    above benchmark: Double, ratio: Double, skewness: Double, kurtosis: Double, count: Int
  ) -> Double {
    let spread = 1 - skewness * ratio + 0.25 * (kurtosis - 1) * ratio * ratio
    return Normal.cumulative(
      (ratio - benchmark) * Double(count - 1).squareRoot() / max(spread, 1e-12).squareRoot())
  }

  /// The probability that the true ratio is above `benchmark`, per period.
  public func probability(above benchmark: Double) -> Double {
    Self.probability(
      above: benchmark, ratio: ratio, skewness: skewness, kurtosis: kurtosis, count: count)
  }

  /// The deflated Sharpe ratio: the probability that the true ratio is above ``expectedMaximum``.
  public var probability: Double { probability(above: expectedMaximum) }
}
