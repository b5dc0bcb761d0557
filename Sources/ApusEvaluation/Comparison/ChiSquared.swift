import ApusModels
import Foundation

/// The chi-squared distribution.
package enum ChiSquared {
  /// The probability of a value above `x`.
  ///
  /// The finite sums for whole degrees of freedom (Abramowitz and Stegun 26.4.4 and 26.4.5).
  /// - Parameters:
  ///   - x: The value; 0 and below give 1, NaN gives NaN.
  ///   - degrees: Degrees of freedom, at least 1; below it is NaN.
  /// - Returns: A probability.
  package static func upperTail(_ x: Double, degrees: Int) -> Double {
    guard degrees > 0, !x.isNaN else { return .nan }
    guard x > 0 else { return 1 }
    let half = x / 2
    // Terms in logarithms: half to a high power leaves the range of numbers.
    func term(_ power: Double) -> Double { exp(power * log(half) - half - logGamma(power + 1)) }
    var sum = degrees % 2 == 0 ? 0 : erfc(half.squareRoot())
    var power = degrees % 2 == 0 ? 0 : 0.5
    while power < Double(degrees) / 2 - 0.75 {
      sum += term(power)
      power += 1
    }
    return min(1, sum)
  }
}
