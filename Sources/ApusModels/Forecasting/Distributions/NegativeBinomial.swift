import Foundation

/// The negative binomial distribution of counts by its mean and dispersion: with r = 1 / dispersion and
/// p = r / (r + mean), `P(k) = Γ(k + r) / (Γ(r) k!) pʳ (1 − p)ᵏ`, variance `mean + dispersion · mean²`.
///
/// Salinas et al., 2017, *DeepAR*, arXiv:1704.04110, section 3.1.
package struct NegativeBinomial: Sendable, Hashable {
  /// Above 0.
  package let mean: Double
  /// Above 0; near 0 it is Poisson's distribution.
  package let dispersion: Double

  package init(mean: Double, dispersion: Double) {
    (self.mean, self.dispersion) = (mean, dispersion)
  }

  /// Terms that are added at most; past them the beta function finds quantiles.
  private static let mostTerms = 10_000
  /// No quantile is larger: counts up to here are exact.
  private static let largest = 9_007_199_254_740_992.0

  /// The probability of a count at most `k`, `k >= 0`.
  package func cumulative(_ k: Double) -> Double {
    let over = dispersion * mean
    return regularizedBeta(1 / (1 + over), complement: over / (1 + over), 1 / dispersion, k + 1)
  }

  /// For each level the least count of which at least that share of draws is not above it.
  ///
  /// - Parameter levels: Ascending, below 1; 0 for one below 0.
  /// - Returns: Whole numbers, not falling; NaN where a parameter is.
  package func quantiles(_ levels: [Double]) -> [Double] {
    guard mean.isFinite, dispersion.isFinite, !levels.contains(where: \.isNaN) else {
      return levels.map { _ in .nan }
    }
    let over = dispersion * mean
    let ratio = mean / (1 + over)
    // Below this the first probability has lost digits.
    let start = -log1p(over) / dispersion
    guard start > -600 else { return levels.map { bisected($0, from: 0) } }
    var (probability, count) = (exp(start), 0.0)
    var sum = probability
    return levels.map { level in
      while sum < level, count < Double(Self.mostTerms) {
        probability *= (1 + dispersion * count) * ratio / (count + 1)
        count += 1
        sum += probability
      }
      return sum < level ? bisected(level, from: count) : count
    }
  }

  private func bisected(_ level: Double, from first: Double) -> Double {
    var (low, high) = (first - 1, max(1, first, mean.rounded()))
    while cumulative(high) < level, high < Self.largest { (low, high) = (high, 2 * high) }
    while high - low > 1 {
      let middle = (0.5 * (low + high)).rounded(.down)
      if cumulative(middle) < level { low = middle } else { high = middle }
    }
    return high
  }
}
