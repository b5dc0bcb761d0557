import Foundation

/// A series taken apart into trend, season and rest by local regressions: STL.
///
/// Seasonal windows are of degree 0, trend and low-pass windows of degree 1; two inner iterations,
/// none of the robust ones. Missing values take the last value before them.
/// Cleveland, Cleveland, McRae and Terpenning, 1990, *STL: A Seasonal-Trend Decomposition Procedure
/// Based on Loess*.
package struct STL: Sendable {
  package private(set) var trend: [Double]
  package private(set) var season: [Double]

  /// Takes a series apart.
  ///
  /// - Parameters:
  ///   - values: All finite; at least two seasons.
  ///   - m: Values in one season, at least 2.
  ///   - window: Seasons that one place in the season looks at; odd.
  package init(_ values: [Double], seasonLength m: Int, window: Int = 11) {
    let n = values.count
    func odd(_ x: Double) -> Int { Int(x.rounded(.up)) / 2 * 2 + 1 }
    let trendWindow = odd(1.5 * Double(m) / (1 - 1.5 / Double(window)) - 1)
    let lowWindow = odd(Double(m))
    trend = [Double](repeating: 0, count: n)
    season = trend
    for _ in 0..<2 {
      let cycles = Self.cycles(zip(values, trend).map { $0 - $1 }, m, window)  // [n + 2m]
      let smooth = loess(movingMeans(movingMeans(movingMeans(cycles, m), m), 3), window: lowWindow)
      season = (0..<n).map { cycles[$0 + m] - smooth[$0] }
      trend = loess(zip(values, season).map { $0 - $1 }, window: trendWindow)
    }
  }

  /// Each place of the season smoothed over the seasons, one season longer at both ends.
  private static func cycles(_ values: [Double], _ m: Int, _ window: Int) -> [Double] {
    var result = [Double](repeating: 0, count: values.count + 2 * m)
    for place in 0..<m {
      let own = stride(from: place, to: values.count, by: m).map { values[$0] }
      let smooth = loess(own, window: window, degree: 0, beyond: 1)
      for (turn, value) in smooth.enumerated() where place + turn * m < result.count {
        result[place + turn * m] = value
      }
    }
    return result
  }

  /// How much of what is not trend is season: `1 - Var(rest) / Var(rest + season)`, in 0...1.
  ///
  /// Wang, Smith and Hyndman, 2006, *Characteristic-based clustering for time series data*.
  package static func seasonalStrength(_ values: [Double], seasonLength m: Int) -> Double {
    guard m > 1, values.count >= 2 * m + 1 else { return 0 }
    let parts = STL(values, seasonLength: m)
    let without = zip(values, parts.trend).map { $0 - $1 }
    let rest = zip(without, parts.season).map { $0 - $1 }
    let all = variance(of: without)
    return all > 0 ? max(0, 1 - variance(of: rest) / all) : 0
  }
}

/// The variance of values around their mean.
func variance(of values: [Double]) -> Double {
  let count = Double(max(1, values.count))
  let mean = values.reduce(0, +) / count
  return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
}

/// Means over `length` values, `[n - length + 1]`.
private func movingMeans(_ values: [Double], _ length: Int) -> [Double] {
  var sum = values.prefix(length).reduce(0, +)
  var means = [sum / Double(length)]
  for index in length..<max(length, values.count) {
    sum += values[index] - values[index - length]
    means.append(sum / Double(length))
  }
  return means
}

/// Local regressions over the `window` nearest values with tricube weights, `[n + 2 beyond]`: so many
/// values before the first and after the last are estimated as well.
private func loess(_ values: [Double], window: Int, degree: Int = 1, beyond: Int = 0) -> [Double] {
  let n = values.count
  let span = min(window, n)
  return (-beyond..<(n + beyond)).map { place in
    let left = min(max(place - (span - 1) / 2, 0), n - span)
    var reach = Double(max(place - left, left + span - 1 - place))
    if window > n { reach += Double((window - n) / 2) }
    var (sum, time, mean) = (0.0, 0.0, 0.0)
    var weights = [Double](repeating: 0, count: span)
    for offset in 0..<span {
      let distance = abs(Double(left + offset - place))
      guard distance <= 0.999 * reach || reach == 0 else { continue }
      let ratio = reach > 0 ? distance / reach : 0
      let cube = 1 - ratio * ratio * ratio
      weights[offset] = distance <= 0.001 * reach ? 1 : cube * cube * cube
      sum += weights[offset]
      time += weights[offset] * Double(offset)
      mean += weights[offset] * values[left + offset]
    }
    guard sum > 0 else { return values[min(max(place, 0), n - 1)] }
    (time, mean) = (time / sum, mean / sum)
    guard degree > 0 else { return mean }
    var (times, products) = (0.0, 0.0)
    for offset in 0..<span where weights[offset] > 0 {
      let from = Double(offset) - time
      times += weights[offset] * from * from
      products += weights[offset] * from * values[left + offset]
    }
    // Of one place alone no slope is seen.
    return times > 1e-6 * sum ? mean + products / times * (Double(place - left) - time) : mean
  }
}
