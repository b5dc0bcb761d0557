import ApusModels
import Foundation

/// How well scores order what follows, date by date: the rank information coefficient.
///
/// At each date the correlation of the ranks of scores and outcomes over all entities (ties take the
/// mean rank, pairs with a missing value are dropped), then its mean, its mean over its deviation
/// (ICIR) and the t statistic of the mean with Newey and West's variance.
/// Spearman, 1904; Grinold and Kahn, 2000, *Active Portfolio Management*, chapter 6.
public struct RankIC: Sendable, Hashable, Codable {
  /// The coefficient of each date that had at least two different scores and outcomes.
  public let coefficients: [Double]
  /// Their mean.
  public let mean: Double
  /// Their mean over their standard deviation, per date.
  public let ratio: Double
  /// The mean over its standard error.
  public let statistic: Double

  /// Ranks scores against outcomes.
  ///
  /// - Parameters:
  ///   - scores: `[dates][entities]`; NaN where missing.
  ///   - outcomes: What followed, in the same order.
  ///   - horizon: H: outcomes of successive dates overlap over H dates, and H - 1 lags enter the
  ///     variance. Default: 1.
  /// - Throws: ``MetricError`` when sizes differ or fewer than two dates can be ranked.
  public init(scores: [[Double]], outcomes: [[Double]], horizon: Int = 1) throws {
    let title = "RankIC"
    try check(title, outcomes.count, scores.count)
    var found: [Double] = []
    for (first, second) in zip(scores, outcomes) {
      try check(title, second.count, first.count, needed: 0)
      if let coefficient = spearman(first, second) { found.append(coefficient) }
    }
    try check(title, found.count, found.count, needed: 2)
    coefficients = found
    let center = Metrics.mean(found)
    mean = center
    let centered = found.map { $0 - center }
    let count = Double(found.count)
    let deviation = (centered.reduce(0) { $0 + $1 * $1 } / (count - 1)).squareRoot()
    func over(_ spread: Double) -> Double {
      spread > 0 ? center / spread : center == 0 ? 0 : center > 0 ? .infinity : -.infinity
    }
    ratio = over(deviation)
    let lags = min(max(0, horizon - 1), found.count - 1)
    statistic = over((longRunVariance(centered, lags: lags) / count).squareRoot())
  }

  /// The two-sided probability of a mean as far from 0 when scores say nothing.
  public var pValue: Double { min(1, 2 * Normal.cumulative(-abs(statistic))) }
}

/// The correlation of ranks of the pairs without a missing value; nil where one side does not vary.
func spearman(_ first: [Double], _ second: [Double]) -> Double? {
  let pairs = zip(first, second).filter { !$0.0.isNaN && !$0.1.isNaN }
  let (a, b) = (ranks(pairs.map(\.0)), ranks(pairs.map(\.1)))
  let center = 0.5 * Double(pairs.count + 1)
  var (products, left, right) = (0.0, 0.0, 0.0)
  for (x, y) in zip(a, b) {
    products += (x - center) * (y - center)
    left += (x - center) * (x - center)
    right += (y - center) * (y - center)
  }
  return left > 0 && right > 0 ? products / (left * right).squareRoot() : nil
}

/// Ranks from 1, ties sharing the mean of theirs.
private func ranks(_ values: [Double]) -> [Double] {
  let order = values.indices.sorted { values[$0] < values[$1] }
  var ranks = [Double](repeating: 0, count: values.count)
  var start = 0
  while start < order.count {
    var end = start + 1
    while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
    for place in start..<end { ranks[order[place]] = 0.5 * Double(start + end + 1) }
    start = end
  }
  return ranks
}
