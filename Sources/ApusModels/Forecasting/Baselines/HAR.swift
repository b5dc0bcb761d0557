import Foundation

/// The heterogeneous autoregression of volatility on its last day, week and month.
///
/// `y_{t+h} = b0 + b_d y_t + b_w mean₅ y + b_m mean₂₂ y`, one regression for each step h; in
/// logarithms every y is replaced by its logarithm, the means being taken before, and the point
/// forecast is `exp(· + s²/2)` with the residual variance s². Without logarithms a forecast outside
/// the range of training gives way to the mean of training (the insanity filter).
/// Corsi, 2009, *A Simple Approximate Long-Memory Model of Realized Volatility*; the filter is of
/// Bollerslev, Patton and Quaedvlieg, 2016.
///
/// Values that are not positive count as missing.
package struct HAR: AnchorRule {
  let isLogarithmic: Bool
  package var residuals = ResidualQuantiles()
  private var regressions: [Regression] = []
  private var mean = 0.0
  /// Fewer days than this cannot carry the month and four parameters.
  private static let fewestRows = 30

  package init(isLogarithmic: Bool) { self.isLogarithmic = isLogarithmic }

  package var warmUp: Int { 22 }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    guard task.measure == .volatility else { throw RuleError.notApplicable(task.measure) }
    let values = history.map { $0 > 0 && $0.isFinite ? $0 : .nan }
    let present = values.filter(\.isFinite)
    mean = present.reduce(0) { $0 + $1 / Double(present.count) }
    var memory = anchors(task)
    let inputs = values.map { value in
      defer { memory.push(value) }
      return memory.inputs
    }
    regressions = []
    for step in 1...task.horizon {
      var rows: [(inputs: [Double], output: Double)] = []
      for origin in stride(from: warmUp, through: values.count - step, by: 1) {
        let value = values[origin + step - 1]
        guard value.isFinite, let inputs = inputs[origin] else { continue }
        rows.append((inputs, isLogarithmic ? log(value) : value))
      }
      guard rows.count >= Self.fewestRows, let regression = Regression(rows) else {
        throw RuleError.tooShort(
          found: rows.count + warmUp, needed: warmUp + step - 1 + Self.fewestRows)
      }
      regressions.append(regression)
    }
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(isLogarithmic: isLogarithmic, regressions: regressions, mean: mean)
  }

  package struct Anchors: AnchorMemory {
    let isLogarithmic: Bool
    fileprivate let regressions: [Regression]
    let mean: Double
    private var last = Double.nan
    private var sums = TrailingSums(last: 22)
    private var range = RunningRange()

    fileprivate init(isLogarithmic: Bool, regressions: [Regression], mean: Double) {
      (self.isLogarithmic, self.regressions, self.mean) = (isLogarithmic, regressions, mean)
    }

    package mutating func push(_ value: Double) {
      let value = value > 0 ? value : .nan
      if value.isFinite { last = value }
      sums.push(value)
      range.push(value)
    }

    /// Last value, mean of five and mean of 22; nil while nothing positive was there.
    fileprivate var inputs: [Double]? {
      guard last.isFinite else { return nil }
      // Where a whole week or month is missing the last value stands for it.
      let inputs = [last, sums.mean(last: 5) ?? last, sums.mean(last: 22) ?? last]
      return isLogarithmic ? inputs.map { log(max($0, .leastNormalMagnitude)) } : inputs
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      guard let inputs else { return [Anchor](repeating: Anchor(factor: mean), count: steps) }
      return regressions.prefix(steps).map { regression in
        let expected = regression(inputs)
        guard isLogarithmic else { return Anchor(factor: range.clamp(expected)) }
        return Anchor(
          location: 0, scale: exp(expected), mean: exp(expected + regression.residualVariance / 2))
      }
    }
  }
}
