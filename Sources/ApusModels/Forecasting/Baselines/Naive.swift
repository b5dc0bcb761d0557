/// The forecasts that need no parameters: last value, last season, drift, mean.
///
/// Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd edition, section 5.2.
package struct Naive: AnchorRule {
  package enum Form: Sendable, Hashable {
    /// The last value: `y_t`.
    case last
    /// The value one season earlier: `y_{t + h - m ceil(h / m)}`.
    case season
    /// The line through the first and the last value: `y_t + h (y_t - y_1) / (t - 1)`.
    case drift
    /// The mean of the last `count` values, or of all.
    case mean(count: Int?)
  }

  let form: Form
  package var residuals = ResidualQuantiles()
  private var season = 1
  private var smallest = 0.0

  package init(_ form: Form) { self.form = form }

  package var warmUp: Int {
    switch form {
    case .last: 1
    case .season: season
    case .drift: 2
    case .mean(let count): count ?? 1
    }
  }

  package mutating func estimate(_ history: [Double], task: ForecastTask) {
    season = task.seasonLength
    smallest = smallestScale(of: history)
  }

  package func anchors(of series: [Double], task: ForecastTask) -> (Int, Int) -> Anchor {
    let point = points(of: series)
    let smallest = smallest
    let isVolatility = task.measure == .volatility
    return { origin, step in
      let value = point(origin, step)
      guard isVolatility else { return Anchor(location: value, scale: 1, mean: value) }
      let scale = max(value, smallest)
      return Anchor(location: 0, scale: scale, mean: scale)
    }
  }

  /// The point forecast for an origin and a step.
  private func points(of series: [Double]) -> (Int, Int) -> Double {
    let filled = filledForward(series)
    switch form {
    case .last:
      return { origin, _ in filled[origin - 1] }
    case .season:
      let m = season
      return { origin, step in
        var index = origin - m + (step - 1) % m
        while index >= 0, !series[index].isFinite { index -= m }
        return index >= 0 ? series[index] : filled[origin - 1]
      }
    case .drift:
      let first = series.firstIndex(where: \.isFinite) ?? 0
      return { origin, step in
        let span = origin - 1 - first
        guard span > 0 else { return filled[origin - 1] }
        let slope = (filled[origin - 1] - series[first]) / Double(span)
        return filled[origin - 1] + Double(step) * slope
      }
    case .mean(let count):
      let sums = RunningSums(series)
      return { origin, _ in
        let start = max(0, origin - (count ?? origin))
        return sums.mean(start..<origin) ?? filled[origin - 1]
      }
    }
  }
}

/// Sums of the values present, so that the mean over any window costs one subtraction.
struct RunningSums {
  private var sums = [0.0]
  private var counts = [0]
  /// Taken off before summing, so that a far level does not eat the digits.
  private var offset = 0.0

  init(_ series: [Double]) {
    offset = series.first(where: \.isFinite) ?? 0
    for value in series {
      let isPresent = value.isFinite
      sums.append(sums[sums.count - 1] + (isPresent ? value - offset : 0))
      counts.append(counts[counts.count - 1] + (isPresent ? 1 : 0))
    }
  }

  /// The mean of the values present in `range`; nil when all are missing.
  func mean(_ range: Range<Int>) -> Double? {
    let count = counts[range.upperBound] - counts[range.lowerBound]
    guard count > 0 else { return nil }
    return offset + (sums[range.upperBound] - sums[range.lowerBound]) / Double(count)
  }
}

/// A thousandth of the root mean square of the values present.
///
/// Scales never fall below it, so that a stretch of zeros cannot make a residual infinite.
func smallestScale(of values: [Double]) -> Double {
  let present = values.filter(\.isFinite)
  let largest = present.reduce(0) { max($0, abs($1)) }
  guard largest > 0 else { return 0 }
  let sum = present.reduce(0) { $0 + ($1 / largest) * ($1 / largest) }
  return 1e-3 * largest * (sum / Double(present.count)).squareRoot()
}
