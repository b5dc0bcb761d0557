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

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(
      parameters: parameters, state: start,
      // φ + φ² + … + φ^h
      damping: (1...task.horizon).map { step in
        (1...step).reduce(0) { $0 + pow(parameters.phi, Double($1)) }
      }, isVolatility: task.measure == .volatility)
  }

  package struct Anchors: AnchorMemory {
    fileprivate let parameters: Parameters
    fileprivate var state: State
    let damping: [Double]
    let isVolatility: Bool
    private var range = RunningRange()

    fileprivate init(parameters: Parameters, state: State, damping: [Double], isVolatility: Bool) {
      (self.parameters, self.state) = (parameters, state)
      (self.damping, self.isVolatility) = (damping, isVolatility)
    }

    package mutating func push(_ value: Double) {
      parameters.step(value, &state)
      range.push(value)
    }

    package func anchor(_ step: Int) -> Anchor {
      let value = state.level + damping[step - 1] * state.trend + state.season(step)
      guard isVolatility else { return Anchor(location: value, scale: 1, mean: value) }
      let sane = range.clamp(value)
      return Anchor(location: 0, scale: sane, mean: sane)
    }
  }

  /// Where smoothing stands.
  fileprivate struct State {
    var level: Double
    var trend: Double
    /// `[m]`, in turn: the next value belongs to `season[count % m]`. Sums to 0 at the start.
    var season: [Double]
    /// Values taken in.
    var count = 0

    /// The season of the value `step` ahead.
    func season(_ step: Int) -> Double {
      season[(count + (step - 1) % season.count) % season.count]
    }

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

  fileprivate struct Parameters {
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

    /// Takes one value in. Returns the error.
    @discardableResult
    func step(_ value: Double, _ state: inout State) -> Double {
      let place = state.count % state.season.count
      let before = state.level + phi * state.trend
      let error = value.isFinite ? value - before - state.season[place] : 0
      state.level = before + alpha * error
      state.trend = phi * state.trend + beta * error
      state.season[place] += gamma * error
      state.count += 1
      return error
    }

    func squaredError(_ history: [Double], from start: State) -> Double {
      var state = start
      return history.reduce(0) { sum, value in
        let error = step(value, &state)
        return sum + error * error
      }
    }
  }
}
