import Foundation

/// Student's t distribution with `degreesOfFreedom` > 0, not necessarily whole.
package struct StudentT: Sendable, Hashable {
  /// The shape; small means heavy tails, infinity is the normal distribution.
  package let degreesOfFreedom: Double

  package init(degreesOfFreedom: Double) { self.degreesOfFreedom = degreesOfFreedom }

  /// The density at `x`.
  package func density(_ x: Double) -> Double {
    let nu = degreesOfFreedom
    if nu.isInfinite { return Normal.density(x) }
    let front = logGamma((nu + 1) / 2) - logGamma(nu / 2) - 0.5 * log(nu * Double.pi)
    return exp(front - (nu + 1) / 2 * log1p(x * x / nu))
  }

  /// The probability of a value at most `x`.
  package func cumulative(_ x: Double) -> Double {
    x < 0 ? upperTail(-x) : 1 - upperTail(x)
  }

  /// The probability of a value above `x`, for `x >= 0`, exact also where it is tiny.
  package func upperTail(_ x: Double) -> Double {
    let nu = degreesOfFreedom
    if nu.isInfinite || x.isInfinite { return Normal.cumulative(-x) }
    let square = x * x
    return 0.5
      * regularizedBeta(
        nu / (nu + square), complement: square / (nu + square), nu / 2, 0.5)
  }

  /// The value below which a draw falls with `probability`.
  ///
  /// Newton steps on the tail probability inside a shrinking bracket. Probabilities 0 and 1 give
  /// the infinities; values outside 0...1 give NaN.
  package func quantile(_ probability: Double) -> Double {
    guard probability > 0, probability < 1, degreesOfFreedom > 0 else {
      return probability == 0 ? -.infinity : probability == 1 ? .infinity : .nan
    }
    if probability == 0.5 { return 0 }
    let tail = min(probability, 1 - probability)
    var (low, high) = (0.0, max(1, Normal.quantile(1 - tail)))
    while upperTail(high) > tail, high < 1e300 { (low, high) = (high, 2 * high) }
    var x = 0.5 * (low + high)
    for _ in 0..<200 {
      let excess = upperTail(x) - tail
      if excess > 0 { low = x } else { high = x }
      let newton = x + excess / density(x)
      let next = newton > low && newton < high ? newton : 0.5 * (low + high)
      if abs(next - x) <= 2e-16 * abs(x) { break }
      x = next
    }
    return probability < 0.5 ? -x : x
  }
}
