import Foundation

/// The Theta method and its kin: exponential smoothing that shares a straight line.
///
/// What is expected of the value t is `l + ω ((1 - α)^(t-1) A + (1 - (1 - α)^t) B / α)`, and the
/// level follows it, `l ← l + α (y - l)`; A and B are the line, `ω = 1 - 1/θ` its share. The standard
/// method has θ = 2; the optimized one chooses θ ≥ 1. The line is that through training, or, in the
/// dynamic forms, that through all values so far. Given α, the start level and ω have a closed form;
/// α is searched between 0.01 and 0.99 for the least one-step squared error.
///
/// A season that the autocorrelation at its lag confirms (at 90 %) is taken off before and put back
/// after: as factors where all values are positive, else by addition. Missing values move nothing.
/// Assimakopoulos and Nikolopoulos, 2000; Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler,
/// 2016, *Models for optimising the theta method and their relationship to state space models*.
package struct Theta: AnchorRule {
  /// A member of the family.
  package struct Form: Sendable, Hashable {
    /// Whether θ is chosen; otherwise it is 2.
    package var isOptimized: Bool
    /// Whether the line follows the values.
    package var isDynamic: Bool

    package init(isOptimized: Bool, isDynamic: Bool) {
      (self.isOptimized, self.isDynamic) = (isOptimized, isDynamic)
    }
  }

  package var residuals = ResidualQuantiles()
  /// The forms to choose from by the one-step squared error of training.
  let forms: [Form]
  /// What was chosen.
  package private(set) var model = Model()
  /// `[m]`: what is taken off or divided by at each place.
  package private(set) var season = [0.0]
  /// Whether ``season`` are factors.
  package private(set) var isRatio = false
  /// Fewer values than this cannot carry a level, a line and an error.
  private static let fewest = 10

  /// - Parameter forms: One form, or several to choose from; at least one.
  package init(_ forms: [Form] = [Form(isOptimized: false, isDynamic: false)]) {
    self.forms = forms
  }

  package var warmUp: Int { max(2, season.count) }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    let present = history.count(where: \.isFinite)
    guard present >= Self.fewest else {
      throw RuleError.tooShort(found: present, needed: Self.fewest)
    }
    setSeason(history, length: task.seasonLength)
    let adjusted = history.enumerated().map { self.adjusted($0.element, at: $0.offset) }
    let models = forms.map { Model(fitting: $0, to: adjusted) }
    model = models.min { $0.squaredError < $1.squaredError } ?? model
  }

  private mutating func setSeason(_ history: [Double], length m: Int) {
    (season, isRatio) = ([0], false)
    guard m > 1, history.count > 2 * m, isSeasonal(history, length: m) else { return }
    if history.allSatisfy({ !$0.isFinite || $0 > 0 }) {
      let ratios = seasonalFigure(of: history, length: m, isRatio: true)
      // Dividing by next to nothing would make one place louder than all others.
      if ratios.allSatisfy({ $0 >= 0.01 }) { (season, isRatio) = (ratios, true) }
    }
    if !isRatio { season = seasonalFigure(of: history, length: m) }
  }

  /// A value without its season.
  private func adjusted(_ value: Double, at index: Int) -> Double {
    let part = season[index % season.count]
    return isRatio ? value / part : value - part
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(self, isVolatility: task.measure == .volatility)
  }

  package struct Anchors: AnchorMemory {
    private let rule: Theta
    private let isVolatility: Bool
    private var state: State
    private var count = 0
    private var range = RunningRange()

    fileprivate init(_ rule: Theta, isVolatility: Bool) {
      (self.rule, self.isVolatility) = (rule, isVolatility)
      state = State(rule.model)
    }

    package mutating func push(_ value: Double) {
      _ = state.advance(by: rule.adjusted(value, at: count), rule.model)
      range.push(value)
      count += 1
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      var state = state
      return (0..<steps).map { step in
        // Beyond the values the expected ones stand for them.
        let expected = state.advance(by: nil, rule.model)
        let part = rule.season[(count + step) % rule.season.count]
        let value = rule.isRatio ? expected * part : expected + part
        if isVolatility { return Anchor(factor: range.clamp(value)) }
        return Anchor(location: value, scale: rule.isRatio ? part : 1, mean: value)
      }
    }
  }
}

extension Theta {
  /// What is estimated for a form.
  package struct Model: Sendable {
    package var form = Form(isOptimized: false, isDynamic: false)
    /// α.
    package var smoothing = 0.5
    /// ω = 1 - 1/θ.
    package var share = 0.5
    /// The level before the first value.
    package var level = 0.0
    /// The line through training, at t = 0 and by step.
    package var line = (intercept: 0.0, slope: 0.0)
    /// The sum of the squared one-step errors of training.
    package var squaredError = Double.infinity

    package init() {}

    /// Estimates a form; at least two of the values have to be present.
    fileprivate init(fitting form: Form, to values: [Double]) {
      self.form = form
      let rows = values.enumerated().filter { $0.element.isFinite }
        .map { (inputs: [Double($0.offset + 1)], output: $0.element) }
      if let fit = Regression(rows) { line = (fit.intercept, fit.slopes[0]) }
      let grid = (0...14).map { with(smoothing: 0.01 + 0.07 * Double($0), values) }
      let best = grid.indices.min { grid[$0].squaredError < grid[$1].squaredError } ?? 0
      let golden = (5.0.squareRoot() - 1) / 2
      var (low, high) = (
        grid[max(0, best - 1)].smoothing, grid[min(grid.count - 1, best + 1)].smoothing
      )
      var inner = with(smoothing: high - golden * (high - low), values)
      var outer = with(smoothing: low + golden * (high - low), values)
      while high - low > 1e-5 {
        if inner.squaredError < outer.squaredError {
          (high, outer) = (outer.smoothing, inner)
          inner = with(smoothing: high - golden * (high - low), values)
        } else {
          (low, inner) = (inner.smoothing, outer)
          outer = with(smoothing: low + golden * (high - low), values)
        }
      }
      let ends = [grid[best], with(smoothing: 0.5 * (low + high), values)]
      self = ends.min { $0.squaredError < $1.squaredError } ?? self
    }

    /// The best start level and share of the line for one α.
    private func with(smoothing alpha: Double, _ values: [Double]) -> Model {
      var model = self
      (model.smoothing, model.share, model.level) = (alpha, 0, 0)
      // What is expected is linear in both: the errors of neither, and what each of them changes.
      var state = State(model)
      var weight = 1.0
      var (aa, ab, bb, ya, yb) = (0.0, 0.0, 0.0, 0.0, 0.0)
      for value in values {
        let (line, counts) = (state.line(model), state.hasLine(model))
        let expected = state.advance(by: value, model)
        guard value.isFinite else { continue }
        guard counts else {
          weight *= 1 - alpha
          continue
        }
        let error = value - expected
        aa += weight * weight
        ab += weight * line
        bb += line * line
        ya += error * weight
        yb += error * line
        weight *= 1 - alpha
      }
      let determinant = aa * bb - ab * ab
      model.share = 0.5
      if form.isOptimized {
        model.share =
          determinant > 1e-10 * aa * bb ? min(max((aa * yb - ab * ya) / determinant, 0), 1) : 0
      }
      model.level = (ya - model.share * ab) / aa
      state = State(model)
      model.squaredError = values.reduce(0) { sum, value in
        let counts = state.hasLine(model)
        let error = value - state.advance(by: value, model)
        return error.isFinite && counts ? sum + error * error : sum
      }
      return model
    }
  }

  /// Where smoothing stands.
  fileprivate struct State: Sendable {
    private var level: Double
    /// Values taken in, missing ones too.
    private var count = 0.0
    /// (1 - α)^count.
    private var memory = 1.0
    /// Of the values present: number, means of time and value, and their centered products.
    private var (present, time, mean, times, products) = (0.0, 0.0, 0.0, 0.0, 0.0)

    init(_ model: Model) { level = model.level }

    /// Whether there is a line to expect a value by: that through the values so far begins with one.
    func hasLine(_ model: Model) -> Bool { !model.form.isDynamic || present > 0 }

    /// What the line adds to the level for the next value, but for its share.
    func line(_ model: Model) -> Double {
      var (intercept, slope) = model.line
      if model.form.isDynamic {
        slope = times > 0 ? products / times : 0
        intercept = mean - slope * time
      }
      return memory * intercept + (1 - memory * (1 - model.smoothing)) / model.smoothing * slope
    }

    /// Takes one value in; nil for what is expected of it.
    ///
    /// - Returns: What was expected.
    mutating func advance(by value: Double?, _ model: Model) -> Double {
      let expected = level + (model.share == 0 ? 0 : model.share * line(model))
      let value = value ?? expected
      count += 1
      memory *= 1 - model.smoothing
      guard value.isFinite else { return expected }
      level += model.smoothing * (value - level)
      if model.form.isDynamic {
        present += 1
        let (fromTime, fromMean) = (count - time, value - mean)
        time += fromTime / present
        mean += fromMean / present
        times += fromTime * (count - time)
        products += fromTime * (value - mean)
      }
      return expected
    }
  }
}

/// Whether the autocorrelation at the lag of a season differs from 0 at 90 %, given those before it.
///
/// Missing values are filled with the last one. Fiorucci et al., 2016, section 4.1.
func isSeasonal(_ series: [Double], length m: Int) -> Bool {
  let filled = filledForward(series).filter(\.isFinite)
  guard m > 1, filled.count > m + 1 else { return false }
  let mean = filled.reduce(0, +) / Double(filled.count)
  let centered = filled.map { $0 - mean }
  let variance = centered.reduce(0) { $0 + $1 * $1 }
  guard variance > 0 else { return false }
  var (squares, last) = (0.0, 0.0)
  for lag in 1...m {
    if lag > 1 { squares += last * last }
    last = zip(centered, centered.dropFirst(lag)).reduce(0) { $0 + $1.0 * $1.1 } / variance
  }
  return abs(last) > 1.6449 * ((1 + 2 * squares) / Double(filled.count)).squareRoot()
}
