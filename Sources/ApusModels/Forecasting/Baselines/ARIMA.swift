import Foundation

/// Seasonal ARIMA whose order is chosen by AICc.
///
/// `(1 - Σ φ B^i)(1 - Σ Φ B^{m j}) (w_t - μ_t) = (1 + Σ θ B^i)(1 + Σ Θ B^{m j}) ε_t` with
/// `w_t = (1 - B)^d (1 - B^m)^D y_t`; see ``ARIMASearch`` for the order and ``ARMAFilter`` for the
/// exact likelihood. A season longer than 24 is no polynomial but a mean that returns: μ_t is the sum
/// of the harmonics of the season that lower BIC, each judged against what an autoregression leaves.
///
/// Long series search through the conditional sum of squares and fit the best two orders exactly;
/// of more than 2000 values (or ten seasons) only the last are read. A missing value is taken as
/// what was expected of it, and moves nothing else.
/// Box and Jenkins, 1970; Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd
/// edition, chapter 9 and section 10.5.
package struct ARIMA: AnchorRule {
  package var residuals = ResidualQuantiles()
  /// What was chosen, in the unit of the series.
  package private(set) var model = ARIMAModel(ARIMAOrder())
  /// μ by place in the season, without the constant; `[m]`, or one 0.
  package private(set) var means = [0.0]
  /// The longest season that is a polynomial.
  private static let longestSeason = 24
  /// Longer histories are read from this many values before their end on.
  private static let mostValues = 2000
  /// Fewer values than this cannot carry an order.
  private static let fewest = 10

  package init() {}

  package var warmUp: Int { model.order.differenced + 2 }

  package mutating func estimate(_ history: [Double], task: ForecastTask) throws {
    let m = task.seasonLength
    let present = history.filter(\.isFinite)
    let deviation = variance(of: present).squareRoot()
    guard present.count >= Self.fewest else {
      throw RuleError.tooShort(found: present.count, needed: Self.fewest)
    }
    let unit = deviation > 0 ? deviation : 1
    let center = present.reduce(0) { $0 + $1 / Double(present.count) }
    let excess = max(0, history.count - max(Self.mostValues, 10 * m))
    let first = (excess + m - 1) / m * m
    var values = history.dropFirst(first).map { ($0 - center) / unit }
    means = [0]
    if m > Self.longestSeason, values.count >= 2 * m {
      let harmonics = SeasonalHarmonics(values, seasonLength: m)
      means = harmonics.means
      values = harmonics.withoutSeason(values)
    }
    model = ARIMASearch.model(of: values, seasonLength: m > Self.longestSeason ? 1 : m)
    // A series without differences had its center taken off.
    model.mean = model.mean * unit + (model.order.differenced == 0 ? center : 0)
    model.variance *= unit * unit
    means = means.map { $0 * unit }
  }

  package func anchors(_ task: ForecastTask) -> Anchors {
    Anchors(model, means: means, isVolatility: task.measure == .volatility)
  }

  package struct Anchors: AnchorMemory {
    private let mean: Double
    private let means: [Double]
    private let differences: [(lag: Int, weight: Double)]
    private let isVolatility: Bool
    private var filter: ARMAFilter
    /// The last values without their season, missing ones filled; in turn, the oldest at `place`.
    private var recent: [Double] = []
    private let needed: Int
    private var place = 0
    private var count = 0
    private var range = RunningRange()

    package init(_ model: ARIMAModel, means: [Double] = [0], isVolatility: Bool = false) {
      (mean, self.means, self.isVolatility) = (model.mean, means, isVolatility)
      differences = model.order.differences
      needed = model.order.differenced
      filter = ARMAFilter(ar: model.ar, ma: model.ma, isExact: true)
    }

    package mutating func push(_ value: Double) {
      range.push(value)
      let own = value - means[count % means.count]
      count += 1
      guard recent.count >= needed else {
        // Differences begin with the first value that is present.
        if let filled = own.isFinite ? own : recent.last { recent.append(filled) }
        return
      }
      let base = past(of: recent, from: place) + mean
      let expected = base + filter.expected
      _ = filter.push(own - base)
      if needed > 0 {
        recent[place] = own.isFinite ? own : expected
        place = (place + 1) % needed
      }
    }

    /// What the differences take off the next value.
    private func past(of recent: [Double], from place: Int) -> Double {
      var sum = 0.0
      for (lag, weight) in differences { sum += weight * recent[(place + needed - lag) % needed] }
      return sum
    }

    package func anchors(_ steps: Int) -> [Anchor] {
      let points = recent.count < needed ? early(steps) : ahead(steps)
      return points.map { isVolatility ? Anchor(factor: range.clamp($0)) : Anchor($0) }
    }

    /// The last value, while there are too few for the differences.
    private func early(_ steps: Int) -> [Double] {
      (0..<steps).map { (recent.last ?? mean) + means[(count + $0) % means.count] }
    }

    private func ahead(_ steps: Int) -> [Double] {
      var (recent, place) = (recent, place)
      let stationary = filter.ahead(steps)
      return (0..<steps).map { step in
        let value = past(of: recent, from: place) + mean + stationary[step]
        if needed > 0 {
          recent[place] = value
          place = (place + 1) % needed
        }
        return value + means[(count + step) % means.count]
      }
    }
  }
}

/// The harmonics of a long season that a series really has.
///
/// A harmonic is kept when it lowers BIC in the series after an autoregression of order up to 4 was
/// taken off, so that a wandering level is not taken for waves.
struct SeasonalHarmonics {
  /// What each place in the season adds, `[m]`.
  let means: [Double]

  init(_ values: [Double], seasonLength m: Int) {
    let whole = values.count / m * m
    let recent = Array(filledForward(values).suffix(whole)).map { $0.isFinite ? $0 : 0 }
    let phase = (values.count - whole) % m
    let white = Self.whitened(recent, seasonLength: m)
    let waves = (0..<m).map { 2 * Double.pi * Double($0) / Double(m) }
    let (sines, cosines) = (waves.map { sin($0) }, waves.map { cos($0) })
    let total = white.reduce(0) { $0 + $1 * $1 }
    var left = total
    var means = [Double](repeating: 0, count: m)
    let penalty = 2 * log(Double(whole))
    for harmonic in 1...(m / 2) {
      func amplitude(_ series: [Double]) -> (a: Double, b: Double) {
        var (a, b, place) = (0.0, 0.0, 0)
        for value in series {
          a += value * cosines[place]
          b += value * sines[place]
          place = (place + harmonic) % m
        }
        let scale = (2 * harmonic == m ? 1 : 2) / Double(series.count)
        return (a * scale, b * scale)
      }
      let (a, b) = amplitude(white)
      let explained = 0.5 * Double(whole) * (a * a + b * b)
      guard left > 1e-12 * total, explained > left * (1 - exp(-penalty / Double(whole))) else {
        continue
      }
      left -= explained
      let own = amplitude(recent)
      for place in 0..<m {
        let turn = place * harmonic % m
        means[(place + phase) % m] += own.a * cosines[turn] + own.b * sines[turn]
      }
    }
    self.means = means
  }

  func withoutSeason(_ values: [Double]) -> [Double] {
    values.enumerated().map { $0.element - means[$0.offset % means.count] }
  }

  /// What an autoregression of order up to 4 leaves of the series without its mean, as long as it.
  ///
  /// The autoregression is that of the differences from the mean of each place in the season: it
  /// must not learn the waves themselves.
  private static func whitened(_ values: [Double], seasonLength m: Int) -> [Double] {
    let mean = values.reduce(0, +) / Double(max(1, values.count))
    let centered = values.map { $0 - mean }
    let order = min(4, values.count / 10)
    guard order > 0 else { return centered }
    var sums = [Double](repeating: 0, count: m)
    for (index, value) in centered.enumerated() { sums[index % m] += value }
    let turns = Double(values.count / m)
    let rest = centered.enumerated().map { $0.element - sums[$0.offset % m] / turns }
    let products = (0...order).map { i in
      (0...i).map { j in (order..<rest.count).reduce(0) { $0 + rest[$1 - i] * rest[$1 - j] } }
    }
    let matrix = (1...order).map { i in (1...i).map { products[i][$0] } }
    let right = (1...order).map { [products[$0][0]] }
    let weights = solveSymmetric(matrix, right, ridge: 1e-9).map { $0[0] }
    return centered.indices.map { index in
      weights.enumerated().reduce(centered[index]) { sum, weight in
        index > weight.offset ? sum - weight.element * centered[index - weight.offset - 1] : sum
      }
    }
  }
}
