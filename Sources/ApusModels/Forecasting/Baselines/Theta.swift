import Foundation

/// The Theta method: simple exponential smoothing with half the slope of a straight line.
///
/// `ŷ_{t+h} = l_t + b/2 (h - 1 + (1 - (1 - α)^t) / α)`, b being the slope of the least-squares line
/// through training. A season is taken off before by additive classical decomposition and put back
/// after. Assimakopoulos and Nikolopoulos, 2000; in the closed form of Hyndman and Billah, 2003,
/// *Unmasking the Theta method*. Missing values move nothing.
package struct Theta: AnchorRule {
  package var residuals = ResidualQuantiles()
  /// α, chosen by the one-step squared error of training.
  package private(set) var smoothing = 0.5
  /// b.
  package private(set) var slope = 0.0
  /// `[m]`, summing to 0.
  package private(set) var season = [0.0]
  private var firstLevel = 0.0

  package init() {}

  package var warmUp: Int { max(2, season.count) }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    let m = task.seasonLength
    guard history.count >= 2 * m + 8 else {
      throw RuleError.tooShort(found: history.count, needed: 2 * m + 8)
    }
    season = Self.season(of: history, length: m)
    let adjusted = history.enumerated().map { self.adjusted($0.element, at: $0.offset) }
    let rows = adjusted.enumerated().filter { $0.element.isFinite }
      .map { (inputs: [Double($0.offset)], output: $0.element) }
    slope = Regression(rows)?.slopes[0] ?? 0
    firstLevel = adjusted.first(where: \.isFinite) ?? 0
    var best = Double.infinity
    for candidate in stride(from: 0.01, through: 0.99, by: 0.01) {
      let error = squaredError(adjusted, smoothing: candidate)
      if error < best { (best, smoothing) = (error, candidate) }
    }
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(self, isVolatility: task.measure == .volatility)
  }

  package struct Anchors: AnchorMemory {
    private let rule: Theta
    private let isVolatility: Bool
    private var level: Double
    private var count = 0
    private var range = RunningRange()

    fileprivate init(_ rule: Theta, isVolatility: Bool) {
      (self.rule, self.isVolatility) = (rule, isVolatility)
      level = rule.firstLevel
    }

    package mutating func push(_ value: Double) {
      if value.isFinite { level += rule.smoothing * (rule.adjusted(value, at: count) - level) }
      range.push(value)
      count += 1
    }

    package func anchor(_ step: Int) -> Anchor {
      let (slope, smoothing, season) = (rule.slope, rule.smoothing, rule.season)
      let seen = (1 - pow(1 - smoothing, Double(count))) / smoothing
      let line = slope / 2 * (Double(step - 1) + seen)
      let value = level + line + season[(count + step - 1) % season.count]
      guard isVolatility else { return Anchor(location: value, scale: 1, mean: value) }
      let sane = range.clamp(value)
      return Anchor(location: 0, scale: sane, mean: sane)
    }
  }

  /// A value without its season.
  private func adjusted(_ value: Double, at index: Int) -> Double {
    season.count == 1 ? value : value - season[index % season.count]
  }

  private func squaredError(_ adjusted: [Double], smoothing: Double) -> Double {
    var (level, sum, weight) = (firstLevel, 0.0, 1.0)
    for value in adjusted {
      if value.isFinite {
        let error = value - level - slope / 2 * (1 - weight) / smoothing
        sum += error * error
        level += smoothing * (value - level)
      }
      weight *= 1 - smoothing
    }
    return sum
  }

  /// Mean deviations of each place in the season from the centered mean over one season.
  private static func season(of history: [Double], length m: Int) -> [Double] {
    guard m > 1 else { return [0] }
    let sums = RunningSums(history)
    var (totals, counts) = ([Double](repeating: 0, count: m), [Double](repeating: 0, count: m))
    let half = m / 2
    for index in half..<(history.count - half) where history[index].isFinite {
      // An even season has no middle: the mean of two windows, one value apart, has.
      let early = sums.mean((index - half)..<(index - half + m))
      let late = sums.mean((index + half + 1 - m)..<(index + half + 1))
      guard let early, let late else { continue }
      totals[index % m] += history[index] - 0.5 * (early + late)
      counts[index % m] += 1
    }
    let means = zip(totals, counts).map { $1 > 0 ? $0 / $1 : 0 }
    let center = means.reduce(0, +) / Double(m)
    return means.map { $0 - center }
  }
}
