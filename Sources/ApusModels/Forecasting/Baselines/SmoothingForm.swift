import Foundation

/// One member of the family of exponential smoothing, such as ETS(M,Ad,A): how error, trend and
/// season combine.
///
/// With `r = l + φ b`, the value expected is `r`, `r + s` or `r s`, and what is observed beyond it,
/// `d`, moves the state: `l ← r + α d / w`, `b ← φ b + β d / w`, `s ← s + γ d / v`, where w and v
/// are 1, but s and r where the season is a factor. A multiplicative error leaves these recursions
/// as they are and changes the likelihood: the errors are `d / ŷ`.
/// Hyndman, Koehler, Ord and Snyder, 2008, *Forecasting with Exponential Smoothing*, tables 2.2, 2.3.
package struct SmoothingForm: Sendable, Hashable, CustomStringConvertible {
  package enum Trend: String, Sendable, Hashable {
    case none = "N"
    case additive = "A"
    case damped = "Ad"
  }

  package enum Season: String, Sendable, Hashable {
    case none = "N"
    case additive = "A"
    case multiplicative = "M"
  }

  /// Whether an error is a share of what was expected.
  package var hasRelativeError: Bool
  package var trend: Trend
  package var season: Season

  package init(hasRelativeError: Bool, trend: Trend, season: Season) {
    (self.hasRelativeError, self.trend, self.season) = (hasRelativeError, trend, season)
  }

  package var description: String {
    "ETS(\(hasRelativeError ? "M" : "A"),\(trend.rawValue),\(season.rawValue))"
  }

  /// The forms to choose from: factors for positive values only, and none whose variance is
  /// infinite (additive errors beside a season that multiplies).
  static func candidates(isPositive: Bool, hasSeason: Bool) -> [SmoothingForm] {
    var forms: [SmoothingForm] = []
    for isRelative in isPositive ? [false, true] : [false] {
      let seasons: [Season] =
        !hasSeason
        ? [.none] : isRelative ? [.none, .additive, .multiplicative] : [.none, .additive]
      for season in seasons {
        for trend in [Trend.none, .additive, .damped] {
          forms.append(SmoothingForm(hasRelativeError: isRelative, trend: trend, season: season))
        }
      }
    }
    return forms
  }

  /// What the search chooses: α, and β, γ and φ where there is something for them.
  var freeParameters: Int {
    1 + (trend == .none ? 0 : trend == .damped ? 2 : 1) + (season == .none ? 0 : 1)
  }

  /// All that is estimated: free parameters, start values and the variance.
  package func parameterCount(seasonLength m: Int) -> Int {
    freeParameters + 1 + (trend == .none ? 0 : 1) + (season == .none ? 0 : m - 1) + 1
  }

  /// The value expected of `state`, `step` values ahead, with the damping `φ + φ² + … + φ^step`.
  package func expected(_ state: SmoothingState, step: Int = 1, damping: Double) -> Double {
    let line = state.level + damping * state.trend
    switch season {
    case .none: return line
    case .additive: return line + state.season(step)
    case .multiplicative: return line * Self.factor(state.season(step))
    }
  }

  /// A factor within a thousandth to a thousand times the level, as values that turn negative behind the
  /// training part, or a level near 0, would take it anywhere and the level with it.
  static func factor(_ value: Double) -> Double { min(max(value, 1e-3), 1e3) }

  /// Takes one value in; a missing one moves the trend on and nothing else.
  ///
  /// - Returns: What was expected of it.
  @discardableResult
  package func advance(
    _ state: inout SmoothingState, by value: Double, _ parameters: SmoothingParameters
  )
    -> Double
  {
    let line = state.level + parameters.phi * state.trend
    let place = state.place
    let isFactor = season == .multiplicative
    let seasonal =
      season == .none ? 0 : isFactor ? Self.factor(state.season[place]) : state.season[place]
    let expected = isFactor ? line * seasonal : line + seasonal
    var (toLine, toSeason) = (0.0, 0.0)
    if value.isFinite {
      toLine = value - expected
      toSeason = toLine
      if isFactor {
        // A line that has come to nothing, or below it, can say nothing about a factor.
        toLine /= seasonal
        toSeason = line > .leastNormalMagnitude ? toSeason / line : 0
      }
    }
    state.level = line + parameters.alpha * toLine
    state.trend = parameters.phi * state.trend + parameters.beta * toLine
    if season != .none {
      let moved = seasonal + parameters.gamma * toSeason
      state.season[place] = isFactor ? Self.factor(moved) : moved
    }
    state.place = place + 1 == state.season.count ? 0 : place + 1
    return expected
  }
}

/// The smoothing of level, trend and season, and the damping of the trend.
package struct SmoothingParameters: Sendable, Hashable {
  package var alpha: Double
  package var beta = 0.0
  package var gamma = 0.0
  package var phi = 1.0

  package init(alpha: Double, beta: Double = 0, gamma: Double = 0, phi: Double = 1) {
    (self.alpha, self.beta, self.gamma, self.phi) = (alpha, beta, gamma, phi)
  }

  /// Free numbers into the usual region: 0 < β < α < 1, 0 < γ < 1 - α, 0.8 < φ < 0.98.
  init(_ point: [Double], form: SmoothingForm) {
    func unit(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
    var rest = point.dropFirst()
    alpha = unit(point[0])
    if form.trend != .none { beta = alpha * unit(rest.removeFirst()) }
    if form.season != .none { gamma = (1 - alpha) * unit(rest.removeFirst()) }
    if form.trend == .damped { phi = 0.8 + 0.18 * unit(rest.removeFirst()) }
  }
}

/// Where smoothing stands.
package struct SmoothingState: Sendable, Hashable {
  package var level: Double
  package var trend: Double
  /// `[m]`, in turn: the next value belongs to `season[place]`.
  package var season: [Double]
  var place = 0

  package init(level: Double, trend: Double, season: [Double]) {
    (self.level, self.trend, self.season) = (level, trend, season)
  }

  /// The season of the value `step` ahead.
  func season(_ step: Int) -> Double { season[(place + step - 1) % season.count] }
}
