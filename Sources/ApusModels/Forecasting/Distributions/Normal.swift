import Foundation

/// The standard normal distribution.
package enum Normal {
  /// The density at `x`.
  package static func density(_ x: Double) -> Double {
    exp(-0.5 * x * x) / (2 * Double.pi).squareRoot()
  }

  /// The probability of a value at most `x`, exact in both tails.
  package static func cumulative(_ x: Double) -> Double { 0.5 * erfc(-x / 2.0.squareRoot()) }

  /// The value below which a draw falls with `probability`.
  ///
  /// Abramowitz and Stegun 26.2.23 gives the start, Halley steps the remaining digits.
  /// Probabilities 0 and 1 give the infinities; values outside 0...1 give NaN.
  package static func quantile(_ probability: Double) -> Double {
    guard probability > 0, probability < 1 else {
      return probability == 0 ? -.infinity : probability == 1 ? .infinity : .nan
    }
    let tail = min(probability, 1 - probability)
    let t = (-2 * log(tail)).squareRoot()
    var x =
      t - (2.515517 + t * (0.802853 + t * 0.010328))
      / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    for _ in 0..<3 {
      let step = (cumulative(-x) - tail) / density(x)
      x += step / (1 - 0.5 * x * step)
    }
    return probability < 0.5 ? -x : x
  }
}
