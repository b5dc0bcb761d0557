#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#endif

/// Whether the numbers of a series move as prices do, whatever they are called.
///
/// A price is positive and its logarithm close to a random walk: steps are small, spread about like their sum
/// over several rows (Lo and MacKinlay, 1988, *Stock Market Prices Do Not Follow Random Walks*, whose variance
/// ratio is near one for prices), and come back neither with the week nor with the day. Counts, loads,
/// temperatures and spreads fail one of these.
struct PriceBehavior {
  /// What speaks against a price; nil where nothing does.
  let objection: String?
  /// Steps that were looked at.
  let steps: Int

  /// Fewer steps than this show nothing.
  static let fewest = 20

  /// - Parameters:
  ///   - values: The series; NaN where missing.
  ///   - seasons: Rows after which a pattern might come back.
  ///   - mayCount: Whether small whole numbers are taken for counts. Default: yes.
  init(_ values: [Double], seasons: [Int], mayCount: Bool = true) {
    var returns: [Double] = []
    var last: Double?
    var (present, positive, whole) = (0, 0, 0)
    var top = 0.0
    for value in values where !value.isNaN {
      present += 1
      top = max(top, value)
      if value == value.rounded(.towardZero) { whole += 1 }
      guard value > 0 else { continue }
      positive += 1
      if let last { returns.append(log(value / last)) }
      last = value
    }
    steps = returns.count
    guard positive * 100 >= present * 99, positive > 0 else {
      objection = "it is not positive throughout"
      return
    }
    guard steps >= Self.fewest else {
      objection = nil
      return
    }
    objection = Self.objection(
      returns, isCount: mayCount && whole == present && top < 1_000, seasons: seasons)
  }

  private static func objection(_ returns: [Double], isCount: Bool, seasons: [Int]) -> String? {
    if isCount { return "its values are small whole numbers, as counts are" }
    let sizes = OrderStatistics(returns.map(abs))
    let median = sizes[sizes.count / 2]
    if sizes[sizes.count * 9 / 10] == 0 { return "it hardly moves" }
    if median > 0.15 { return "its median step is \(Int((median * 100).rounded())) %" }
    let limit = 8 * max(median, sizes[sizes.count * 3 / 4])
    let clipped = returns.map { min(max($0, -limit), limit) }
    let ratio = varianceRatio(clipped, over: 5)
    let spread = 3 * (4.8 / Double(returns.count)).squareRoot()
    if ratio < 1 - max(0.45, spread) { return "it returns to where it was, as prices do not" }
    if ratio > 1 + max(0.9, spread) { return "its steps go on in one direction, as prices do not" }
    for season in seasons where season > 1 && returns.count >= 4 * season {
      let share = correlation(clipped, lag: season)
      if share > max(0.25, 4 / Double(returns.count).squareRoot()) {
        return "a pattern comes back every \(season) rows"
      }
    }
    return nil
  }

  /// The variance of sums over `count` steps, as a multiple of `count` times that of one step.
  static func varianceRatio(_ steps: [Double], over count: Int) -> Double {
    guard steps.count > count else { return 1 }
    let mean = steps.reduce(0, +) / Double(steps.count)
    let one = steps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(steps.count)
    guard one > 0 else { return 1 }
    var sum = steps[..<count].reduce(0, +)
    var squares = 0.0
    for end in count...steps.count {
      let off = sum - Double(count) * mean
      squares += off * off
      if end < steps.count { sum += steps[end] - steps[end - count] }
    }
    return squares / Double(steps.count - count + 1) / (Double(count) * one)
  }

  /// The autocorrelation at a lag; 0 for a series that does not move.
  static func correlation(_ values: [Double], lag: Int) -> Double {
    guard lag > 0, values.count > lag else { return 0 }
    let mean = values.reduce(0, +) / Double(values.count)
    var (product, square) = (0.0, 0.0)
    for index in values.indices {
      let off = values[index] - mean
      square += off * off
      if index >= lag { product += off * (values[index - lag] - mean) }
    }
    return square > 0 ? product / square : 0
  }
}

extension SeriesTable {
  /// Ten series tell what a table is.
  private static let mostLookedAt = 10
  /// Fewer steps do not tell a series that wanders from one that returns.
  private static let fewestSteps = 200

  /// Whether most series move as prices do, by the rows before their test part, of which there are enough to say.
  package func wandersLikePrices(before split: Split) -> Bool {
    let season = cadence.seasonLength
    let places = stride(
      from: 0, to: series.count, by: max(1, series.count / Self.mostLookedAt))
    let behaviors = places.map { place in
      PriceBehavior(
        Array(series[place].values.prefix(split.rows(.test, series: place).lowerBound)),
        seasons: [season, season * 7, 7, 5])
    }
    let wandering = behaviors.count { $0.objection == nil && $0.steps >= Self.fewestSteps }
    return wandering * 2 > behaviors.count
  }
}
