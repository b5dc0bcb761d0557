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
