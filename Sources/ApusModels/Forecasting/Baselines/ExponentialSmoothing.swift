import Foundation

/// Exponential smoothing with additive errors, a damped trend and an additive season: ETS(A,Ad,A).
///
/// `ŷ = l + φ b + s`, and the error e moves the state: `l ← l + φ b + α e`, `b ← φ b + β e`,
/// `s ← s + γ e`. Without a season it is ETS(A,Ad,N). The four parameters make the one-step squared
/// error of training least; start values come from the first seasons of training, so a series has
/// to start where training started. Missing values move nothing.
/// Hyndman, Koehler, Ord and Snyder, 2008, *Forecasting with Exponential Smoothing*.
package struct ExponentialSmoothing: AnchorRule {
  package var residuals = ResidualQuantiles()
  /// α, β, γ and φ.
  private var parameters = Parameters()
  private var start = State(level: 0, trend: 0, season: [0])
  /// Longer histories choose the parameters on this many of their last values.
  private static let mostValues = 8000

  package init() {}

  package var warmUp: Int { 2 * start.season.count }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    let m = task.seasonLength
    guard history.count >= 3 * m + 8 else {
      throw RuleError.tooShort(found: history.count, needed: 3 * m + 8)
    }
    start = State(history, seasonLength: m)
    let recent = Array(history.suffix(max(Self.mostValues, 3 * m)))
    let first = recent.count == history.count ? start : State(recent, seasonLength: m)
    // The objective in units of the naive error, so that a tolerance means the same in any unit.
    let unit = max(Parameters().squaredError(recent, from: first), .leastNormalMagnitude)
    let best = minimize(from: [-1, -2, -2, 1], tolerance: 1e-7, limit: 1500) { point in
      Parameters(point).squaredError(recent, from: first) / unit
    }
    parameters = Parameters(best.point)
  }

  package func anchors(of series: [Double], task: ForecastTask) -> (Int, Int) -> Anchor {
    let m = start.season.count
    var (level, trend, season) = (start.level, start.trend, start.season)
    var levels = [level]
    var trends = [trend]
    for (index, value) in series.enumerated() {
      parameters.step(value, &level, &trend, &season, index)
      levels.append(level)
      trends.append(trend)
    }
    // φ + φ² + … + φ^h
    let damping = (1...task.horizon).map { step in
      (1...step).reduce(0) { $0 + pow(parameters.phi, Double($1)) }
    }
    let isVolatility = task.measure == .volatility
    let range = RunningRange(series)
    return { [season] origin, step in
      let value =
        levels[origin] + damping[step - 1] * trends[origin] + season[origin + (step - 1) % m]
      guard isVolatility else { return Anchor(location: value, scale: 1, mean: value) }
      let sane = range.clamp(value, before: origin)
      return Anchor(location: 0, scale: sane, mean: sane)
    }
  }

  /// Where smoothing starts.
  private struct State {
    var level: Double
    var trend: Double
    /// `[m]`, summing to 0.
    var season: [Double]

    init(level: Double, trend: Double, season: [Double]) {
      (self.level, self.trend, self.season) = (level, trend, season)
    }

    /// Means of the first two seasons (of ten values without one), and what deviates from them.
    init(_ history: [Double], seasonLength m: Int) {
      let span = m > 1 ? m : 10
      let sums = RunningSums(history)
      let fallback = history.first(where: \.isFinite) ?? 0
      let first = sums.mean(0..<min(span, history.count)) ?? fallback
      let second = sums.mean(min(span, history.count)..<min(2 * span, history.count)) ?? first
      trend = (second - first) / Double(span)
      level = first - trend * Double(span + 1) / 2
      season = [Double](repeating: 0, count: m)
      guard m > 1 else { return }
      for index in 0..<m {
        let here = [index, index + m].filter { history[$0].isFinite }
        let sum = here.reduce(0) { $0 + history[$1] - level - trend * Double($1 + 1) }
        season[index] = here.isEmpty ? 0 : sum / Double(here.count)
      }
    }
  }

  private struct Parameters {
    var alpha = 0.999
    var beta = 0.0
    var gamma = 0.0
    var phi = 0.8

    init() {}

    /// Free numbers into the usual region: 0 < β < α < 1, 0 < γ < 1 - α, 0.8 < φ < 0.98.
    init(_ point: [Double]) {
      func unit(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
      alpha = unit(point[0])
      beta = alpha * unit(point[1])
      gamma = (1 - alpha) * unit(point[2])
      phi = 0.8 + 0.18 * unit(point[3])
    }

    /// Takes one value in; `season[index]` holds the season of that value. Returns the error.
    @discardableResult
    func step(
      _ value: Double, _ level: inout Double, _ trend: inout Double, _ season: inout [Double],
      _ index: Int
    ) -> Double {
      let before = level + phi * trend
      let error = value.isFinite ? value - before - season[index] : 0
      level = before + alpha * error
      trend = phi * trend + beta * error
      season.append(season[index] + gamma * error)
      return error
    }

    func squaredError(_ history: [Double], from start: State) -> Double {
      var (level, trend, season) = (start.level, start.trend, start.season)
      season.reserveCapacity(season.count + history.count)
      var sum = 0.0
      for (index, value) in history.enumerated() {
        let error = step(value, &level, &trend, &season, index)
        sum += error * error
      }
      return sum
    }
  }
}
