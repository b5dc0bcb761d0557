import ApusModels
import Foundation

/// Resamples of time-ordered observations that keep neighbors together.
///
/// Losses at neighboring origins depend on each other, so single origins must not be drawn; blocks
/// may. Blocks wrap around the end of the series.
public struct BlockBootstrap: Sendable, Hashable, Codable {
  /// The treatment of the ends of blocks.
  public enum Form: String, Sendable, Hashable, Codable {
    /// Every block is as long. Künsch, 1989; wrapped: Politis and Romano, 1992.
    case moving
    /// Lengths are geometric, which makes the resample stationary. Politis and Romano, 1994.
    case stationary
  }

  /// The treatment of the ends of blocks.
  public var form: Form
  /// The length of a block, or its mean; nil is `max(2 (overlap - 1), ⌈T^(1/3)⌉)`.
  public var blockLength: Int?
  /// The number of resamples.
  public var resamples: Int
  /// The probability that the interval should have.
  public var confidence: Double

  /// Creates a bootstrap: stationary, automatic length, 2000 resamples, 95 percent.
  public init(
    form: Form = .stationary, blockLength: Int? = nil, resamples: Int = 2000,
    confidence: Double = 0.95
  ) {
    self.form = form
    self.blockLength = blockLength
    self.resamples = resamples
    self.confidence = confidence
  }

  /// The percentile interval of the mean of `values`, for example of loss differences.
  ///
  /// - Parameters:
  ///   - values: The values in time order, at least 2.
  ///   - overlap: How many successive values share some target.
  ///   - generator: The source of randomness.
  /// - Returns: Both ends of the interval.
  /// - Throws: ``MetricError`` when there are fewer than 2 values or one is not finite.
  public func meanInterval(
    of values: [Double], overlap: Int = 1, using generator: inout some RandomNumberGenerator
  ) throws -> ClosedRange<Double> {
    try interval(of: [values], overlap: overlap, using: &generator) { $0[0] }
  }

  /// The percentile interval of the skill `1 - Σ losses / Σ benchmark`.
  ///
  /// Both series are resampled together, so that hard days stay hard for both. A resample in which
  /// only the benchmark is without loss has a skill of -∞.
  public func skillInterval(
    losses: [Double], benchmark: [Double], overlap: Int = 1,
    using generator: inout some RandomNumberGenerator
  ) throws -> ClosedRange<Double> {
    try check("The block bootstrap", losses.count, benchmark.count, needed: 2)
    return try interval(of: [losses, benchmark], overlap: overlap, using: &generator) {
      $0[0] == $0[1] ? 0 : 1 - $0[0] / $0[1]
    }
  }

  /// The percentile interval of a function of the means of several paired series.
  private func interval(
    of series: [[Double]], overlap: Int, using generator: inout some RandomNumberGenerator,
    _ statistic: ([Double]) -> Double
  ) throws -> ClosedRange<Double> {
    var draws = try meanDraws(of: series, overlap: overlap, using: &generator).map(statistic)
    draws.sort()
    let tail = 0.5 * (1 - min(max(confidence, 0), 1))
    func end(_ level: Double) -> Double {
      let end = quantile(ofSorted: draws, at: level)
      // Between infinite draws there is nothing to interpolate.
      return end.isNaN ? draws[Int(level * Double(draws.count - 1))] : end
    }
    return end(tail)...end(1 - tail)
  }

  /// The means of several paired series in each resample, `[resamples][series]`.
  func meanDraws(
    of series: [[Double]], overlap: Int, using generator: inout some RandomNumberGenerator
  ) throws -> [[Double]] {
    let count = series.first?.count ?? 0
    try check("The block bootstrap", count, count, needed: 2)
    if let bad = series.joined().first(where: { !$0.isFinite }) {
      throw MetricError.undefined(metric: "The block bootstrap", what: "a loss of", found: bad)
    }
    let automatic = max(2 * (overlap - 1), Int(pow(Double(count), 1.0 / 3).rounded(.up)))
    let length = min(count, max(1, blockLength ?? automatic))
    return (0..<max(1, resamples)).map { _ in
      var sums = [Double](repeating: 0, count: series.count)
      var taken = 0
      while taken < count {
        let start = generator.index(below: count)
        let block = min(count - taken, drawLength(length, using: &generator))
        for row in series.indices {
          for offset in 0..<block {
            let index = start + offset
            sums[row] += series[row][index < count ? index : index - count]
          }
        }
        taken += block
      }
      return sums.map { $0 / Double(count) }
    }
  }

  private func drawLength(_ length: Int, using generator: inout some RandomNumberGenerator) -> Int {
    guard form == .stationary, length > 1 else { return length }
    let uniform = (Double(generator.next() >> 11) + 0.5) * 0x1p-53
    return 1 + Int(log(uniform) / log(1 - 1 / Double(length)))
  }
}

extension RandomNumberGenerator {
  /// An index in `0..<count`, by one fixed rule, so that a seed means the same everywhere.
  ///
  /// The bias of the multiplication is below `count / 2⁶⁴`.
  mutating func index(below count: Int) -> Int {
    Int(next().multipliedFullWidth(by: UInt64(count)).high)
  }
}
