import Foundation

/// What inputs that are known ahead do to a series, fitted in closed form.
///
/// A value is `rest + x · w`, or `rest · exp(x · w)`; forecasters learn the rest, and a forecast of a step
/// gets the effect of the inputs of that very step. The effect is fitted to what differs from level and
/// season: from values, or their logarithms, and inputs alike the centered mean over a season and then the
/// mean of each place in it are taken off, and least squares does the rest (Frisch and Waugh, 1933, *Partial
/// Time Regressions as Compared with Individual Trends*; Robinson, 1988, *Root-N-Consistent Semiparametric
/// Regression*). One effect for all series, which differ by a ridge toward it; every weight is shrunk by the
/// share that chance explains. The last fifth of each series chooses the form and the ridge, or no effect.
///
/// Shapes: T rows, K inputs.
package struct CovariateEffect: Codable, Sendable, Equatable {
  /// How an effect changes a value.
  package enum Form: String, Codable, Sendable { case added, multiplied }

  /// The weights of one series.
  package struct Series: Codable, Sendable, Equatable {
    package var id: String
    /// `[K]`, in units of the values where effects are added.
    package var weights: [Double]
  }

  /// A series to learn from.
  package struct History {
    package var id: String
    /// `[T]`, up to the end of training; NaN where missing.
    package var values: [Double]
    /// `[T][K]`, in standard units.
    package var inputs: [[Double]]
    /// Where in its season each row lies, `[T]`; empty without a season.
    package var places: [Int]

    package init(id: String, values: [Double], inputs: [[Double]], places: [Int]) {
      (self.id, self.values, self.inputs, self.places) = (id, values, inputs, places)
    }
  }

  /// How it changes a value.
  package let form: Form
  /// The weights over all series; in units of the deviation of a series where effects are added.
  package let common: [Double]
  /// Weights by series.
  package let series: [Series]

  /// Fits the effect; nil where none is better than that of any form.
  ///
  /// - Parameters:
  ///   - histories: The series.
  ///   - season: Places of a season; 1 without one.
  ///   - longest: Rows of the longest season, which the level is the mean over. Default: those of the season.
  package init?(fitting histories: [History], season: Int, longest: Int? = nil) {
    let inputs = histories.lazy.compactMap { $0.inputs.first?.count }.first ?? 0
    guard inputs > 0 else { return nil }
    let samples = histories.compactMap {
      Sample($0, season: season, longest: longest ?? season)
    }
    let isPositive = samples.allSatisfy { $0.history.values.allSatisfy { !($0 <= 0) } }
    var best = (
      loss: samples.reduce(0) { $0 + $1.loss(nil) }, form: Form.added, ridge: Double?.none
    )
    var isFound = false
    for form in isPositive ? [Form.added, .multiplied] : [.added] {
      let early = samples.map { $0.moments(form, isEarly: true) }
      guard let fit = Fit(early, inputs: inputs) else { continue }
      for ridge in samples.count > 1 ? Self.ridges : [nil] {
        let loss = zip(samples, early).reduce(0) { sum, pair in
          sum + pair.0.loss((form, fit.weights(pair.1, ridge: ridge)))
        }
        if loss < best.loss { (best, isFound) = ((loss, form, ridge), true) }
      }
    }
    let all = samples.map { $0.moments(best.form, isEarly: false) }
    guard isFound, let fit = Fit(all, inputs: inputs) else { return nil }
    form = best.form
    common = fit.common
    series = zip(samples, all).map { sample, moments in
      let unit = best.form == .added ? sample.unit : 1
      return Series(
        id: sample.history.id,
        weights: fit.weights(moments, ridge: best.ridge).map { $0 * unit })
    }
    guard common.contains(where: { $0 != 0 }) else { return nil }
  }

  /// Whether it has so many finite weights of every series.
  package func isFinite(inputs: Int) -> Bool {
    ([common] + series.map(\.weights)).allSatisfy {
      $0.count == inputs && $0.allSatisfy(\.isFinite)
    }
  }

  /// Rows by which the common effect weighs on a series; nil where all have the same.
  private static let ridges: [Double?] = [nil, 32, 4]

  /// The effect on one series: of a name that was not fitted the common one where effects multiply, and none
  /// where they are added in units that are not known; of the only series that was fitted whatever the name.
  package func of(_ id: String?) -> SeriesEffect {
    let own = series.first { $0.id == id } ?? (series.count == 1 ? series.first : nil)
    if let own { return SeriesEffect(form: form, weights: own.weights) }
    return form == .multiplied ? SeriesEffect(form: form, weights: common) : .none
  }
}

/// The effect of inputs on one series.
package struct SeriesEffect: Sendable, Equatable {
  let form: CovariateEffect.Form
  let weights: [Double]

  /// No effect at all.
  package static let none = SeriesEffect(form: .added, weights: [])
  /// The most that an effect multiplies or divides by is e to the power of this.
  private static let most = 5.0

  /// What the inputs of a row, `[K]`, do to its value.
  package func callAsFunction(_ inputs: [Double]) -> Shift {
    guard !weights.isEmpty else { return .none }
    let sum = zip(weights, inputs).reduce(0) { $0 + $1.0 * $1.1 }
    switch form {
    case .added: return Shift(offset: sum)
    case .multiplied: return Shift(factor: exp(min(max(sum, -Self.most), Self.most)))
    }
  }
}

/// What is done to the rest of a value: `factor · rest + offset`.
package struct Shift: Sendable, Equatable {
  /// Above 0.
  package var factor = 1.0
  package var offset = 0.0

  package init(factor: Double = 1, offset: Double = 0) {
    (self.factor, self.offset) = (factor, offset)
  }

  /// Nothing is done.
  package static let none = Shift()

  /// The value of a rest.
  package func applied(to rest: Double) -> Double { rest * factor + offset }

  /// The rest of a value.
  package func removed(from value: Double) -> Double { (value - offset) / factor }
}

/// The common weights of several series.
private struct Fit {
  let common: [Double]
  private let squares: [Double]

  /// Nil where there are too few rows.
  init?(_ all: [Moments], inputs: Int) {
    var sum = Moments(inputs: inputs)
    for one in all { sum.add(one) }
    guard sum.freedom >= Double(inputs) + 6 else { return nil }
    let found = solveSymmetric(sum.products, sum.both.map { [$0] }, ridge: 1e-9).map { $0[0] }
    let unit = (0..<inputs).map { row in (0..<inputs).map { row == $0 ? 1.0 : 0 } }
    let inverse = solveSymmetric(sum.products, unit, ridge: 1e-9)
    let left = max(0, sum.square - zip(found, sum.both).reduce(0) { $0 + $1.0 * $1.1 })
    let variance = left / max(1, sum.freedom - Double(inputs))
    common = found.indices.map { input in
      let weight = found[input]
      // Twice the variance of the estimate: what chance alone gives in two tries of three goes.
      let chance = 2 * variance * inverse[input][input]
      return weight == 0 ? 0 : weight * max(0, 1 - chance / (weight * weight))
    }
    squares = (0..<inputs).map { sum.products[$0][$0] / max(1, sum.rows) }
  }

  /// The weights of one series: the common ones, and what its own rows say beyond `ridge` rows of them.
  func weights(_ own: Moments, ridge: Double?) -> [Double] {
    guard let ridge else { return common }
    var products = own.products
    for input in products.indices { products[input][input] += ridge * squares[input] }
    let left = own.both.indices.map { input in
      [own.both[input] - zip(own.products[input], common).reduce(0) { $0 + $1.0 * $1.1 }]
    }
    let more = solveSymmetric(products, left, ridge: 1e-9)
    // An input without an effect over all series has none on one of them.
    return zip(common, more).map { $0 == 0 ? 0 : $0 + $1[0] }
  }
}

/// Sums of products of inputs and values without level and season.
private struct Moments {
  /// `[K][K]`.
  var products: [[Double]]
  /// `[K]`.
  var both: [Double]
  var square = 0.0
  var (rows, freedom) = (0.0, 0.0)

  init(inputs: Int) {
    products = Array(repeating: Array(repeating: 0, count: inputs), count: inputs)
    both = Array(repeating: 0, count: inputs)
  }

  mutating func add(_ other: Moments) {
    for i in both.indices {
      both[i] += other.both[i]
      for j in both.indices { products[i][j] += other.products[i][j] }
    }
    square += other.square
    rows += other.rows
    freedom += other.freedom
  }
}

/// A series without level and season, in a unit of its own.
private struct Sample {
  let history: CovariateEffect.History
  let filter: LevelFilter
  /// The deviation of the values from level and season.
  let unit: Double
  /// The first row of the last fifth.
  let split: Int
  /// `[K][T]`.
  private let inputs: [[Double]]

  /// Nil where rows are too few, or nothing moves.
  init?(_ history: CovariateEffect.History, season: Int, longest: Int) {
    let present = history.values.count(where: \.isFinite)
    guard present >= 10, let width = history.inputs.first?.count else { return nil }
    self.history = history
    filter = LevelFilter(
      history.values.count, places: history.places, season: season, longest: longest)
    let rest = filter(history.values)
    let mean = rest.reduce(0) { $1.isFinite ? $0 + $1 * $1 / Double(present) : $0 }
    guard mean > 0, mean.isFinite else { return nil }
    unit = mean.squareRoot()
    split = history.values.count - history.values.count / 5
    inputs = (0..<width).map { input in
      history.inputs.indices.map {
        history.values[$0].isFinite ? history.inputs[$0][input] : .nan
      }
    }
  }

  /// Of the rows before the last fifth, or of all.
  func moments(_ form: CovariateEffect.Form, isEarly: Bool) -> Moments {
    let count = isEarly ? split : history.values.count
    let filter = filter.prefix(count)
    let values = history.values.prefix(count)
    let y = filter(form == .added ? values.map { $0 / unit } : values.map { log($0) })
    let x = inputs.map { filter(Array($0.prefix(count))) }
    var moments = Moments(inputs: x.count)
    for row in 0..<count where y[row].isFinite {
      moments.rows += 1
      moments.square += y[row] * y[row]
      for i in x.indices {
        moments.both[i] += x[i][row] * y[row]
        for j in 0...i { moments.products[i][j] += x[i][row] * x[j][row] }
      }
    }
    for i in x.indices { for j in 0..<i { moments.products[j][i] = moments.products[i][j] } }
    moments.freedom = max(0, moments.rows - filter.freedom)
    return moments
  }

  /// How far the values of the last fifth are from level and season, with the effect of such weights taken
  /// off; in units of the series.
  func loss(_ effect: (form: CovariateEffect.Form, weights: [Double])?) -> Double {
    var shifts = [Shift](repeating: .none, count: history.values.count)
    if let effect {
      let own = SeriesEffect(
        form: effect.form,
        weights: effect.form == .added ? effect.weights.map { $0 * unit } : effect.weights)
      shifts = history.inputs.map { own($0) }
    }
    let rest = filter(zip(history.values, shifts).map { $1.removed(from: $0) })
    var sum = 0.0
    for row in split..<rest.count where rest[row].isFinite {
      sum += abs(rest[row] * shifts[row].factor) / unit
    }
    return sum
  }
}

/// Takes off level and season, in the same way from whatever is given.
private struct LevelFilter {
  private let places: [Int]
  private let season: Int
  private let rows, longest: Int
  /// Rows that a level is the mean of.
  private let window: Int

  init(_ rows: Int, places: [Int], season: Int, longest: Int) {
    let isSeasonal = season > 1 && places.count == rows && rows >= 2 * season
    (self.places, self.season) = (isSeasonal ? places : [], isSeasonal ? season : 1)
    (self.rows, self.longest) = (rows, longest)
    let window = isSeasonal ? season : min(7, max(3, rows / 4))
    self.window = rows >= 2 * longest ? max(window, longest) : window
  }

  /// The filter of so many first rows.
  func prefix(_ rows: Int) -> LevelFilter {
    LevelFilter(rows, places: Array(places.prefix(rows)), season: season, longest: longest)
  }

  /// About how many rows level and season use up.
  var freedom: Double { Double(season > 1 ? season : 0) + Double(rows) / Double(window) }

  /// What is left of `values`; NaN where they are.
  func callAsFunction(_ values: [Double]) -> [Double] {
    let offset = values.first(where: \.isFinite) ?? 0
    var (sums, counts) = ([0.0], [0.0])
    for value in values {
      sums.append(sums[sums.count - 1] + (value.isFinite ? value - offset : 0))
      counts.append(counts[counts.count - 1] + (value.isFinite ? 1 : 0))
    }
    let half = window / 2
    var rest = values
    for row in values.indices where values[row].isFinite {
      let (first, end) = (max(0, row - half), min(values.count, row + half + 1))
      var (sum, count) = (sums[end] - sums[first], counts[end] - counts[first])
      if window % 2 == 0 {
        // Half of each end, so that every place of the season weighs the same.
        for edge in [row - half, row + half] where values.indices.contains(edge) {
          guard values[edge].isFinite, edge != row else { continue }
          sum -= (values[edge] - offset) / 2
          count -= 0.5
        }
      }
      rest[row] = values[row] - offset - sum / max(count, 1e-9)
    }
    return withoutPlaces(rest)
  }

  private func withoutPlaces(_ values: [Double]) -> [Double] {
    guard !places.isEmpty else { return values }
    var (sums, counts) = (
      [Double](repeating: 0, count: season), [Double](repeating: 0, count: season)
    )
    for (value, place) in zip(values, places) where value.isFinite {
      sums[place] += value
      counts[place] += 1
    }
    return zip(values, places).map { value, place in
      counts[place] > 1 ? value - sums[place] / counts[place] : value
    }
  }
}
