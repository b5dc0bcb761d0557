import Foundation

/// Exponential smoothing whose form is chosen by AICc: ETS.
///
/// Errors may be additive or relative, a trend absent, additive or damped, a season absent, additive
/// or a factor; forms with factors are tried on positive values only (``SmoothingForm``). Parameters
/// and start values make the likelihood greatest. Start values are those of training, so a series
/// has to start where training started. Missing values move nothing.
///
/// Histories of more than 4000 values (or eight seasons) choose form and parameters on the last of
/// them, and start from the classical decomposition of their first values.
/// Hyndman, Koehler, Snyder and Grose, 2002, *A state space framework for automatic forecasting
/// using exponential smoothing methods*.
package struct ExponentialSmoothing: AnchorRule {
  package var residuals = ResidualQuantiles()
  /// What was chosen, in the unit of the series.
  package private(set) var fit = SmoothingFit(
    form: SmoothingForm(hasRelativeError: false, trend: .none, season: .none),
    parameters: SmoothingParameters(alpha: 0.5),
    start: SmoothingState(level: 0, trend: 0, season: [0]))
  /// Longer histories choose the parameters on this many of their last values.
  private static let mostValues = 4000
  /// Fewer values than this cannot carry a level, a trend and an error.
  private static let fewest = 10

  package init() {}

  package var warmUp: Int { max(2, fit.start.season.count) }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    let m = task.seasonLength
    let present = history.filter(\.isFinite)
    let size = present.reduce(0) { $0 + abs($1) / Double(present.count) }
    let unit = size > 0 ? size : 1
    let values = history.map { $0 / unit }
    // The place in the season has to be kept: whole seasons are left out.
    let excess = max(0, history.count - max(Self.mostValues, 8 * m))
    let recent = Array(values.dropFirst((excess + m - 1) / m * m))
    guard present.count >= Self.fewest,
      let best = SmoothingFit.best(of: recent, seasonLength: m, horizon: task.horizon)
    else { throw RuleError.tooShort(found: present.count, needed: Self.fewest) }
    fit = best
    if excess > 0 {
      let length = best.form.season == .none ? 1 : m
      fit.start = SmoothingState(values, form: best.form, seasonLength: length)
    }
    fit.start.level *= unit
    fit.start.trend *= unit
    if fit.form.season == .additive { fit.start.season = fit.start.season.map { $0 * unit } }
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    var (sum, power) = (0.0, 1.0)
    return Anchors(
      fit: fit, state: fit.start,
      damping: (1...task.horizon).map { _ in
        power *= fit.parameters.phi
        sum += power
        return sum
      }, isVolatility: task.measure == .volatility)
  }

  package struct Anchors: AnchorMemory {
    private let fit: SmoothingFit
    private var state: SmoothingState
    /// `φ + φ² + … + φ^h`, `[P]`.
    private let damping: [Double]
    private let isVolatility: Bool
    private var range = RunningRange()

    fileprivate init(
      fit: SmoothingFit, state: SmoothingState, damping: [Double], isVolatility: Bool
    ) {
      (self.fit, self.state) = (fit, state)
      (self.damping, self.isVolatility) = (damping, isVolatility)
    }

    package mutating func push(_ value: Double) {
      fit.form.advance(&state, by: value, fit.parameters)
      range.push(value)
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      (1...steps).map { step in
        let value = fit.form.expected(state, step: step, damping: damping[step - 1])
        if isVolatility { return Anchor(factor: range.clamp(value)) }
        // Where errors are shares of what was expected, so are the quantiles.
        return fit.form.hasRelativeError && value > 0 ? Anchor(factor: value) : Anchor(value)
      }
    }
  }
}
