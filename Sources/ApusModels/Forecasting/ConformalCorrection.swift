import ApusTensor

/// How far the quantiles of a forecaster have to be stretched, so that its intervals hold the share of
/// outcomes that they claim: learned from forecasts of rows that it was not fitted to.
///
/// Split-conformal prediction: Romano, Patterson and Candès, 2019, *Conformalized Quantile Regression*,
/// arXiv:1905.03222, for each step ahead and each level. Scores are distances from the median in units of
/// the forecast's own, as in Kivaranovic, Johnson and Leeb, 2020, *Adaptive, Distribution-Free Prediction
/// Intervals for Deep Networks*, arXiv:1905.10634: one correction then serves series of any size and times
/// of any risk. With the median c, the score of an outcome y for the levels τ < ½ and 1 − τ is
/// `max((c − y) / (c − q(τ)), (y − c) / (q(1 − τ) − c))`, and of n scores the ⌈(n + 1)(1 − 2 τ)⌉-th smallest
/// is the factor by which both quantiles move away from the median, or towards it. Where outcomes are
/// exchangeable, the corrected interval holds at least a share of 1 − 2 τ of them. A level without its
/// mirror image is corrected on its own side; the median stays.
///
/// Errors of a time series are not exchangeable: they come in calm and wild stretches, and a factor that
/// one stretch teaches is wrong in the next. A correction that is shrunk counts only as far as the
/// stretches agree. With the factor f of all scores and its standard error s by the jackknife that leaves out
/// one of ``stretches`` consecutive parts (Künsch, 1989), it is `1 + max(0, 1 − s² / (f − 1)²) (f − 1)`, the
/// positive part of James and Stein's rule (1961): a forecaster that is right is left alone.
/// Shapes: P horizon, Q levels.
public struct ConformalCorrection: Codable, Sendable, Hashable {
  /// The quantile levels, Q, ascending.
  public let levels: [Double]
  /// What the distance of a quantile from the median is multiplied by, `[P][Q]`; 1 leaves it.
  public private(set) var factors: [[Double]]
  /// How many scores each step rests on, P of them.
  public private(set) var scores: [Int]
  /// Whether no outcome can be negative: then no quantile becomes so that was not.
  public let isNonNegative: Bool

  /// Learns from forecasts and what came.
  ///
  /// Scores of a step are those of all forecasts that have an outcome, and whose quantile is not the median
  /// itself. Where they are too few for a level, fewer than (1 − α)/α for an interval of 1 − α, no share can
  /// be promised: then the factor is the largest score, and at least 1. Without any score it is 1. No factor
  /// is above ``mostStretched``.
  ///
  /// - Parameters:
  ///   - levels: The Q levels, ascending.
  ///   - forecasts: Quantiles of each origin, `[P][Q]`, all of one P.
  ///   - outcomes: What came after each origin, `[P]`; NaN where it is missing.
  ///   - isNonNegative: Whether no outcome can be negative. Default: some can.
  ///   - isShrunk: Whether a factor counts only as far as consecutive stretches of the scores agree, which
  ///     forecasts in the order of their origins need. Default: it counts whole.
  public init(
    levels: [Double], forecasts: [[[Double]]], outcomes: [[Double]], isNonNegative: Bool = false,
    isShrunk: Bool = false
  ) {
    (self.levels, self.isNonNegative) = (levels, isNonNegative)
    (factors, scores) = ([], [])
    let this = self
    // Steps have nothing to do with each other.
    let steps = sideBySide(forecasts.first?.count ?? 0) { step in
      let known = zip(forecasts, outcomes).compactMap { forecast, outcome in
        outcome[step].isFinite ? (quantiles: forecast[step], outcome: outcome[step]) : nil
      }
      return (factors: this.factors(known, isShrunk: isShrunk), count: known.count)
    }
    (factors, scores) = (steps.map(\.factors), steps.map(\.count))
  }

  /// The largest factor: quantiles that are narrower still are no distribution that could be stretched, as
  /// those of a series that stood still.
  public static let mostStretched = 16.0

  private static let sameLevel = 1e-9

  /// In how many consecutive parts the scores of a step are looked at for their agreement.
  public static let stretches = 5

  /// The factors of all levels at one step; a level and its mirror image share one.
  private func factors(
    _ known: [(quantiles: [Double], outcome: Double)], isShrunk: Bool
  ) -> [Double] {
    let centers = known.map { center($0.quantiles) }
    var factors = [Double](repeating: 1, count: levels.count)
    for place in levels.indices where abs(levels[place] - 0.5) > Self.sameLevel {
      let mirror = levels.firstIndex { abs($0 - (1 - levels[place])) < Self.sameLevel }
      if let mirror, mirror < place {
        factors[place] = factors[mirror]
        continue
      }
      var scores: [Double] = []
      scores.reserveCapacity(known.count)
      for (one, center) in zip(known, centers) {
        var score = Self.score(one.quantiles[place], one.outcome, center)
        if let mirror {
          let other = Self.score(one.quantiles[mirror], one.outcome, center)
          score = score.isFinite && other.isFinite ? max(score, other) : .nan
        }
        if score.isFinite { scores.append(score) }
      }
      let share = mirror == nil ? max(levels[place], 1 - levels[place]) : abs(1 - 2 * levels[place])
      factors[place] = Self.factor(of: scores, share: share, isShrunk: isShrunk)
    }
    return factors
  }

  /// How many times as far from the center as a quantile an outcome is, on the side of the quantile.
  private static func score(_ quantile: Double, _ outcome: Double, _ center: Double) -> Double {
    let width = quantile - center
    return width == 0 ? .nan : (outcome - center) / width
  }

  /// The score by which a share of them is held, as far as stretches of them agree.
  private static func factor(of scores: [Double], share: Double, isShrunk: Bool) -> Double {
    let count = scores.count
    // Sorted once, with the stretch that each comes from: what is left of them without one is sorted too.
    var sorted: [(score: Double, stretch: Int)] = []
    sorted.reserveCapacity(count)
    for stretch in 0..<stretches {
      for place in stretch * count / stretches..<(stretch + 1) * count / stretches {
        sorted.append((scores[place], stretch))
      }
    }
    sorted.sort { $0.score < $1.score }
    let factor = factor(of: sorted, without: nil, share: share)
    guard isShrunk, factor != 1, count >= stretches else { return factor }
    let others = (0..<stretches).map { Self.factor(of: sorted, without: $0, share: share) }
    let (parts, excess) = (Double(others.count), factor - 1)
    let mean = others.reduce(0, +) / parts
    let error = others.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } * (parts - 1) / parts
    return 1 + max(0, 1 - error / (excess * excess)) * excess
  }

  /// The score by which a share of sorted ones is held, without those of one stretch.
  private static func factor(
    of sorted: [(score: Double, stretch: Int)], without left: Int?, share: Double
  ) -> Double {
    let count = sorted.count { $0.stretch != left }
    guard count > 0 else { return 1 }
    let rank = ((Double(count) + 1) * share - sameLevel).rounded(.up)
    let isEnough = rank <= Double(count)
    var behind = isEnough ? max(0, Int(rank) - 1) : count - 1
    var score = 0.0
    for one in sorted where one.stretch != left {
      score = one.score
      if behind == 0 { break }
      behind -= 1
    }
    return min(max(isEnough ? score : max(1, score), 0), mostStretched)
  }

  /// The median, between levels where none is ½; the quantile next to it where all are on one side.
  private func center(_ quantiles: [Double]) -> Double {
    guard let above = levels.firstIndex(where: { $0 > 0.5 - Self.sameLevel }) else {
      return quantiles.last ?? 0
    }
    guard above > 0, levels[above] > 0.5 + Self.sameLevel else { return quantiles[above] }
    let share = (0.5 - levels[above - 1]) / (levels[above] - levels[above - 1])
    return quantiles[above - 1] + share * (quantiles[above] - quantiles[above - 1])
  }

  /// Corrects a forecast. Quantiles never cross: one that would pass its neighbor nearer to the median stops
  /// there.
  ///
  /// - Parameter quantiles: `[P][Q]`, ascending in each row.
  /// - Returns: The corrected ones, ascending.
  public func applied(to quantiles: [[Double]]) -> [[Double]] {
    zip(quantiles, factors).map { stretched($0, by: $1) } + quantiles.dropFirst(factors.count)
  }

  private func stretched(_ quantiles: [Double], by factors: [Double]) -> [Double] {
    let center = center(quantiles)
    var result = zip(quantiles, factors).map { quantile, factor in
      factor == 1 ? quantile : center + factor * (quantile - center)
    }
    let middle = levels.firstIndex { $0 > 0.5 - Self.sameLevel } ?? levels.count
    for place in result.indices.dropFirst(middle + 1) {
      result[place] = max(result[place], result[place - 1])
    }
    for place in result.indices.prefix(middle).reversed() where place + 1 < result.count {
      result[place] = min(result[place], result[place + 1])
    }
    guard isNonNegative else { return result }
    return zip(result, quantiles).map { max($0, min(0, $1)) }
  }

  /// The correction for other levels: factors between those that are known, and the outermost beyond them.
  ///
  /// - Parameter wanted: Levels inside 0...1, ascending.
  /// - Returns: The correction of such quantiles.
  public func at(_ wanted: [Double]) -> ConformalCorrection {
    guard wanted != levels else { return self }
    var result = ConformalCorrection(
      levels: wanted, forecasts: [], outcomes: [], isNonNegative: isNonNegative)
    result.scores = scores
    result.factors = factors.map { row in
      wanted.map { level in
        guard let above = levels.firstIndex(where: { $0 >= level - Self.sameLevel }) else {
          return row.last ?? 1
        }
        guard above > 0, levels[above] > level + Self.sameLevel else { return row[above] }
        let share = (level - levels[above - 1]) / (levels[above] - levels[above - 1])
        return row[above - 1] + share * (row[above] - row[above - 1])
      }
    }
    return result
  }

  /// Whether it leaves every forecast as it is.
  public var isIdentity: Bool { factors.allSatisfy { $0.allSatisfy { $0 == 1 } } }

  /// Whether it can be one of forecasts of such a size: a file may hold anything.
  package func fits(horizon: Int, levels: [Double]) -> Bool {
    self.levels == levels && factors.count == horizon && scores.count == horizon
      && factors.allSatisfy { row in
        row.count == levels.count && row.allSatisfy { $0.isFinite && $0 >= 0 }
      }
  }
}
