import Foundation

/// The natural logarithm of the gamma function, for `x > 0`.
///
/// Lanczos, 1964, with g = 7 and nine terms; the relative error stays near 1e-15.
/// Zero gives infinity; a negative or NaN argument gives NaN.
package func logGamma(_ x: Double) -> Double {
  guard x > 0 else { return x == 0 ? .infinity : .nan }
  if x < 0.5 { return log(Double.pi / sin(Double.pi * x)) - logGamma(1 - x) }
  let coefficients = [
    676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ]
  var sum = 0.99999999999980993
  for (index, coefficient) in coefficients.enumerated() {
    sum += coefficient / (x + Double(index))
  }
  let t = x + 6.5
  return 0.5 * log(2 * Double.pi) + (x - 0.5) * log(t) - t + log(sum)
}

/// The regularized incomplete beta function I_x(a, b), for `a, b > 0`.
///
/// - Parameters:
///   - x: The argument, in 0...1.
///   - complement: `1 - x`, which the caller may know more exactly than a subtraction gives.
///   - a: The first shape.
///   - b: The second shape.
/// - Returns: A probability; NaN when an argument lies outside its range.
package func regularizedBeta(_ x: Double, complement: Double? = nil, _ a: Double, _ b: Double)
  -> Double
{
  let y = complement ?? (1 - x)
  guard a > 0, b > 0, x >= 0, y >= 0 else { return .nan }
  if x == 0 { return 0 }
  if y == 0 { return 1 }
  // The continued fraction converges fast only below the mean of the distribution.
  if x > (a + 1) / (a + b + 2) { return 1 - betaFraction(y, x, b, a) }
  return betaFraction(x, y, a, b)
}

/// I_x(a, b) by Lentz' evaluation of its continued fraction (Abramowitz and Stegun 26.5.8).
private func betaFraction(_ x: Double, _ y: Double, _ a: Double, _ b: Double) -> Double {
  let front = exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * log(x) + b * log(y) - log(a))
  let tiny = 1e-300
  var c = 1.0
  var d = 1 - (a + b) * x / (a + 1)
  d = 1 / (abs(d) < tiny ? tiny : d)
  var fraction = d
  for step in 1...20_000 {
    let m = Double(step)
    let even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    let odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    var factor = 1.0
    for numerator in [even, odd] {
      d = 1 + numerator * d
      d = 1 / (abs(d) < tiny ? tiny : d)
      c = 1 + numerator / c
      if abs(c) < tiny { c = tiny }
      factor = c * d
      fraction *= factor
    }
    if abs(factor - 1) < 1e-16 { break }
  }
  return front * fraction
}

/// The x at which I_x(a, b) equals `probability`, found by bisection to the last bit.
///
/// Exact binomial bounds need it. Probabilities of 0 and 1 give 0 and 1.
package func inverseRegularizedBeta(_ probability: Double, _ a: Double, _ b: Double) -> Double {
  guard probability > 0 else { return probability == 0 ? 0 : .nan }
  guard probability < 1 else { return probability == 1 ? 1 : .nan }
  var (low, high) = (0.0, 1.0)
  for _ in 0..<200 {
    let middle = 0.5 * (low + high)
    if middle <= low || middle >= high { break }
    if regularizedBeta(middle, a, b) < probability { low = middle } else { high = middle }
  }
  return 0.5 * (low + high)
}
