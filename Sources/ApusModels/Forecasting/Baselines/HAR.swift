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
    let features = Features(values, isLogarithmic: isLogarithmic)
    regressions = []
    for step in 1...task.horizon {
      var rows: [(inputs: [Double], output: Double)] = []
      for origin in stride(from: warmUp, through: values.count - step, by: 1) {
        let value = values[origin + step - 1]
        guard value.isFinite, let inputs = features(origin) else { continue }
        rows.append((inputs, isLogarithmic ? log(value) : value))
      }
      guard rows.count >= Self.fewestRows, let regression = Regression(rows) else {
        throw RuleError.tooShort(
          found: rows.count + warmUp, needed: warmUp + step - 1 + Self.fewestRows)
      }
      regressions.append(regression)
    }
  }

  package func anchors(of series: [Double], task: ForecastTask) -> (Int, Int) -> Anchor {
    let values = series.map { $0 > 0 && $0.isFinite ? $0 : .nan }
    let features = Features(values, isLogarithmic: isLogarithmic)
    let range = RunningRange(values)
    return { origin, step in
      let regression = regressions[step - 1]
      guard let inputs = features(origin) else {
        return Anchor(location: 0, scale: mean, mean: mean)  // nothing positive so far
      }
      let expected = regression(inputs)
      if isLogarithmic {
        return Anchor(
          location: 0, scale: exp(expected), mean: exp(expected + regression.residualVariance / 2))
      }
      let sane = range.clamp(expected, before: origin)
      return Anchor(location: 0, scale: sane, mean: sane)
    }
  }

  /// Last value, mean of five and mean of 22 before an origin.
  private struct Features {
    let filled: [Double]
    let sums: RunningSums
    let isLogarithmic: Bool

    init(_ values: [Double], isLogarithmic: Bool) {
      filled = filledForward(values)
      sums = RunningSums(values)
      self.isLogarithmic = isLogarithmic
    }

    func callAsFunction(_ origin: Int) -> [Double]? {
      let last = filled[origin - 1]
      guard last.isFinite else { return nil }
      // Where a whole week or month is missing the last value stands for it.
      let week = sums.mean(max(0, origin - 5)..<origin) ?? last
      let month = sums.mean(max(0, origin - 22)..<origin) ?? last
      let inputs = [last, week, month]
      return isLogarithmic ? inputs.map { log(max($0, .leastNormalMagnitude)) } : inputs
    }
  }
}
