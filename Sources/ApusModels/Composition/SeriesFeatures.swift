import Foundation

/// The features of a series for a router: a dozen numbers that distinguish regimes, from the
/// context alone.
///
/// None depends on the unit of the series or on where it lies, but for the coefficient of variation.
public enum SeriesFeatures {
  /// The name of each number, in order.
  public static let names = [
    "trend strength", "slope", "first autocorrelation", "best autocorrelation", "its lag",
    "spectral entropy", "zeros", "variation", "kurtosis", "level shifts", "missing", "length",
  ]

  /// The features of a context.
  ///
  /// - Parameter context: Values in order of time; NaN where missing. May be empty.
  /// - Returns: One finite number per name.
  public static func vector(_ context: some Collection<Double>) -> [Double] {
    let raw = Array(context)
    let present = raw.filter(\.isFinite)
    guard let first = present.first, raw.count > 1 else {
      return [Double](repeating: 0, count: names.count)
    }
    var last = first
    let y = raw.map { value -> Double in
      if value.isFinite { last = value }
      return last
    }
    let count = Double(y.count)
    let mean = y.reduce(0, +) / count
    let variance = y.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
    let deviation = variance.squareRoot()
    // A constant has no shape: what divides by its deviation is zero.
    let z = deviation > 1e-12 * (abs(mean) + 1e-300) ? y.map { ($0 - mean) / deviation } : nil
    guard let z else {
      return [
        0, 0, 0, 0, 0, 0, share(y) { $0 == 0 }, 0, 0, 0, 1 - Double(present.count) / count,
        log(count),
      ]
    }
    let (slope, strength) = trend(z)
    let (best, lag) = bestAutocorrelation(z)
    let fourth = z.reduce(0) { $0 + $1 * $1 * $1 * $1 } / count
    return [
      strength, abs(slope), autocorrelation(z, lag: 1), best, Double(lag) / count,
      spectralEntropy(z), share(y) { $0 == 0 }, log1p(min(deviation / (abs(mean) + 1e-12), 1e6)),
      log1p(max(fourth - 1, 0)), levelShifts(y), 1 - Double(present.count) / count, log(count),
    ]
  }

  /// The slope over the whole length, in deviations, and the share of variance that it explains.
  private static func trend(_ z: [Double]) -> (slope: Double, strength: Double) {
    let count = Double(z.count)
    let middle = (count - 1) / 2
    var (product, square) = (0.0, 0.0)
    for (t, value) in z.enumerated() {
      let x = Double(t) - middle
      product += x * value
      square += x * x
    }
    let slope = product / square
    return (slope * count, min(max(slope * slope * square / count, 0), 1))
  }

  private static func autocorrelation(_ z: [Double], lag: Int) -> Double {
    guard lag < z.count else { return 0 }
    var sum = 0.0
    for t in lag..<z.count { sum += z[t] * z[t - lag] }
    return sum / Double(z.count)
  }

  /// Over lags from 6 to half of the length; the first of equal ones.
  private static func bestAutocorrelation(_ z: [Double]) -> (value: Double, lag: Int) {
    var best = (value: 0.0, lag: 0)
    guard z.count >= 12 else { return best }
    for lag in 6...z.count / 2 {
      let value = autocorrelation(z, lag: lag)
      if value > best.value { best = (value, lag) }
    }
    return best
  }

  /// The entropy of the periodogram over that of a flat one: 0 for a sine, 1 for noise in the mean of
  /// many.
  private static func spectralEntropy(_ z: [Double]) -> Double {
    let half = z.count / 2
    guard half > 1 else { return 0 }
    var powers = [Double](repeating: 0, count: half)
    for k in 1...half {
      // Goertzel's recurrence: one multiplication a row.
      let turn = 2 * cos(2 * Double.pi * Double(k) / Double(z.count))
      var (one, two) = (0.0, 0.0)
      for value in z { (one, two) = (value + turn * one - two, one) }
      powers[k - 1] = max(one * one + two * two - turn * one * two, 0)
    }
    let total = powers.reduce(0, +)
    guard total > 0 else { return 0 }
    let entropy = powers.reduce(0) { $1 > 0 ? $0 - $1 / total * log($1 / total) : $0 }
    return entropy / log(Double(half))
  }

  /// The share of steps above four robust deviations of the steps.
  private static func levelShifts(_ y: [Double]) -> Double {
    let steps = zip(y.dropFirst(), y).map { abs($0 - $1) }
    let sorted = steps.sorted()
    let robust = sorted[sorted.count / 2] / 0.6745
    guard robust > 0 else { return 0 }
    return share(steps) { $0 > 4 * robust }
  }

  private static func share(_ values: [Double], _ holds: (Double) -> Bool) -> Double {
    Double(values.count(where: holds)) / Double(max(values.count, 1))
  }
}
