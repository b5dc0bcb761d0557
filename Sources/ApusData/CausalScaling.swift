#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#endif

/// The scaling of a ``CausalScaler``.
public enum ScaleKind: String, Codable, Sendable, CaseIterable {
  /// Swings around zero: location 0, scale the root mean square.
  case returns
  /// Nonnegative with bursts, as a variance: location 0, scale the mean.
  case magnitude
  /// Wanders: location the last value, scale the mean absolute step times √(π/2), which for normal steps is
  /// their standard deviation.
  case level
  /// Counts whole things from 0 up: location 0, scale one more than the mean, so that rows of zeros have one
  /// (Salinas et al., 2017, *DeepAR*, arXiv:1704.04110, section 3.3).
  case count

  /// The kind that suits a measure.
  public init(_ measure: Measure) {
    switch measure {
    case .returns: self = .returns
    case .volatility: self = .magnitude
    case .level: self = .level
    }
  }
}

/// The features of one row.
public struct ScaledRow: Sendable, Equatable {
  /// Inputs of a model, `[CausalScaler.featureCount]`, finite and of order one.
  public var features: [Double]
  /// A quantile `q` of a forecast in scaled units is `location + scale · q` in units of the series.
  public var location: Double
  /// See ``location``; always positive and finite.
  public var scale: Double
  /// The scale rests on the series. False until a value other than zero (for a level: a step other than
  /// zero) has been seen; then the scale is a stand-in.
  public var isScaled: Bool
}

/// Normalizes a series row by row from the past alone.
///
/// The state after row `t` depends on rows up to `t` only, so a stream gives the bits of a batch, and nothing
/// that comes later can leak into a row. Scales are exponentially weighted with weights that sum to one from
/// the first row on: `s_t = Σ_i λ^(t-i) x_i / Σ_i λ^(t-i)`, with `x` the square, the magnitude or the step.
///
/// - Multiplying the series by `c > 0` multiplies location and scale by `c` and leaves the features.
/// - A missing value (NaN, infinite, or beyond 1e140) leaves the state as it is and sets the last feature.
/// - A scale never falls below a tenth of the next slower one, nor below a hundredth of that of all rows seen:
///   a series that stood still does not make its next step a thousand deviations.
/// - Where nothing is known of the scale (all zeros so far) it is a thousandth of the level, or 1.
/// - The scale of counts has neither of these bounds, and does not multiply with the series: how large counts are
///   is one more feature.
public struct CausalScaler: Sendable {
  /// The kind of scaling.
  public let kind: ScaleKind
  /// The weights λ, fastest first; the first one gives the scale of forecasts.
  public let decays: [Double]
  /// Values about whose mean the deviation is the scale of forecasts instead; nil for none.
  public let window: Int?
  /// Values seen, missing ones not counted.
  public private(set) var observations = 0
  private var sums: [Double]
  private var weights: [Double]
  private var totalSum = 0.0
  private var mean = 0.0
  private var meanWeight = 0.0
  private var last = 0.0
  /// The last values, as many as the window has, behind others that no longer count.
  private var values: [Double] = []
  /// Where the last values begin among them.
  private var first = 0
  /// One scale per decay, in the row that was described last.
  private var scales: [Double]

  private var recent: ArraySlice<Double> { values[first...] }

  /// A larger value counts as missing.
  public static let largestValue = 1e140

  /// Remember about 16 and 100 rows: RiskMetrics' daily weight (J.P. Morgan, 1996), and a slow one.
  public static let usualDecays = [0.94, 0.99]

  /// Creates a scaler that has seen nothing.
  ///
  /// - Parameters:
  ///   - kind: How to see the series.
  ///   - decays: Weights λ between 0 and 1, fastest (smallest) first, at least one.
  ///   - window: How many values, at least 1, give the scale of forecasts by their deviation; nil for none.
  ///     Forecasts are then in units of what the window shows, as by Kim et al., 2022, *Reversible Instance
  ///     Normalization*.
  /// - Precondition: `decays` is as said.
  public init(
    _ kind: ScaleKind, decays: [Double] = CausalScaler.usualDecays, window: Int? = nil
  ) {
    precondition(
      !decays.isEmpty && decays.allSatisfy { $0 > 0 && $0 < 1 }
        && zip(decays, decays.dropFirst()).allSatisfy { $0 < $1 },
      "CausalScaler: decays rise between 0 and 1")
    self.kind = kind
    self.decays = decays
    self.window = window
    sums = Array(repeating: 0, count: decays.count)
    (weights, scales) = (sums, sums)
  }

  /// What a scaler remembers between rows.
  package struct Memory: Codable, Sendable, Equatable {
    let observations: Int
    let sums: [Double], weights: [Double], recent: [Double]
    let totalSum: Double, mean: Double, meanWeight: Double, last: Double
  }

  /// What is remembered.
  package var memory: Memory {
    Memory(
      observations: observations, sums: sums, weights: weights, recent: Array(recent),
      totalSum: totalSum,
      mean: mean, meanWeight: meanWeight, last: last)
  }

  /// Goes on from what another scaler of the same kind remembered; false, and nothing is changed, where
  /// that cannot be.
  package mutating func resume(_ memory: Memory) -> Bool {
    let numbers =
      memory.sums + memory.weights + memory.recent
      + [memory.totalSum, memory.mean, memory.meanWeight, memory.last]
    guard memory.sums.count == decays.count, memory.weights.count == decays.count,
      memory.recent.count <= window ?? 0, memory.observations >= 0,
      numbers.allSatisfy(\.isFinite), memory.weights.allSatisfy({ $0 >= 0 })
    else { return false }
    (observations, sums, weights) = (memory.observations, memory.sums, memory.weights)
    (values, first) = (memory.recent, 0)
    (totalSum, mean) = (memory.totalSum, memory.mean)
    (meanWeight, last) = (memory.meanWeight, memory.last)
    return true
  }

  /// Number of features of each row.
  public var featureCount: Int {
    2 * decays.count + (window == nil ? 1 : 2) + (kind == .count ? 1 : 0)
  }

  /// Appends the next row and describes it.
  ///
  /// - Parameter value: The value of the row; NaN where it is missing.
  /// - Returns: Features, location and scale as known at the end of the row.
  public mutating func push(_ value: Double) -> ScaledRow {
    var features: [Double] = []
    features.reserveCapacity(featureCount)
    let (location, scale, isScaled) = push(value, into: &features)
    return ScaledRow(features: features, location: location, scale: scale, isScaled: isScaled)
  }

  /// Appends the next row, and its features to an array.
  package mutating func push(
    _ value: Double, into features: inout [Double]
  ) -> (location: Double, scale: Double, isScaled: Bool) {
    let isMissing = !(abs(value) <= Self.largestValue)
    var move = 0.0
    if !isMissing {
      move = kind == .level ? (observations > 0 ? value - last : 0) : value
      update(value, move: move)
    }
    return describe(move: move, isMissing: isMissing, into: &features)
  }

  private mutating func update(_ value: Double, move: Double) {
    let size = kind == .returns ? move * move : abs(move)
    // The first value of a level has no step, and says nothing of the scale.
    if kind != .level || observations > 0 {
      for index in decays.indices {
        sums[index] = decays[index] * sums[index] + (1 - decays[index]) * size
        weights[index] = decays[index] * weights[index] + (1 - decays[index])
      }
      totalSum += size
    }
    let slowest = decays[decays.count - 1]
    mean = slowest * mean + (1 - slowest) * value
    meanWeight = slowest * meanWeight + (1 - slowest)
    last = value
    observations += 1
    guard let window else { return }
    values.append(value)
    guard values.count - first > window else { return }
    first += 1
    // What no longer counts goes now and then, so that a row costs the same in any window.
    if first == window {
      values.removeFirst(first)
      first = 0
    }
  }

  private mutating func describe(
    move: Double, isMissing: Bool, into features: inout [Double]
  ) -> (location: Double, scale: Double, isScaled: Bool) {
    let location = kind == .level ? last : 0
    guard settleScales() else {
      features.append(contentsOf: repeatElement(0, count: featureCount - 1))
      features.append(isMissing ? 1 : 0)
      let standIn = abs(last) * 1e-3
      return (location, standIn > 0 ? standIn : 1, false)
    }
    for scale in scales { features.append(asinh(move / scale)) }
    for index in scales.indices.dropFirst() {
      features.append(log(scales[index - 1] / scales[index]))
    }
    features.append(asinh((last - mean / meanWeight) / scales[scales.count - 1]))
    var scale = scales[0]
    if window != nil {
      // A window that stands still next to its steps is as wide as they are.
      scale = max(deviation, 0.5 * scale)
      features.append(log(scales[0] / scale))
    }
    // A quarter of it, to be of order one.
    if kind == .count { features.append(0.25 * log(scale)) }
    features.append(isMissing ? 1 : 0)
    return (location, scale, true)
  }

  /// The deviation of the window's values about their mean.
  private var deviation: Double {
    let count = Double(max(1, values.count - first))
    // Values end at 1e140 and windows at 2^20 rows, so that no square and no sum is infinite.
    let mean = sum { $0 } / count
    return (sum { ($0 - mean) * ($0 - mean) } / count).squareRoot()
  }

  /// A sum over the window, eight at once: its order, and so its bits, hang on the number of values alone.
  @inline(__always)
  private func sum(_ part: (SIMD8<Double>) -> SIMD8<Double>) -> Double {
    var (sums, place) = (SIMD8<Double>.zero, first)
    while place + 8 <= values.count {
      sums += part(
        SIMD8(
          values[place], values[place + 1], values[place + 2], values[place + 3],
          values[place + 4], values[place + 5], values[place + 6], values[place + 7]))
      place += 8
    }
    var rest = 0.0
    while place < values.count {
      rest += part(SIMD8(repeating: values[place]))[0]
      place += 1
    }
    return sums.sum() + rest
  }

  /// Sets one scale per decay; false when nothing but zeros has been seen.
  private mutating func settleScales() -> Bool {
    let count = kind == .level ? observations - 1 : observations
    if kind == .count {
      guard count > 0 else { return false }
      for index in decays.indices { scales[index] = 1 + sums[index] / weights[index] }
      return true
    }
    guard count > 0, totalSum > 0 else { return false }
    var floor = size(totalSum / Double(count)) * 0.01
    guard floor > 0 else { return false }
    for index in decays.indices.reversed() {
      scales[index] = max(size(sums[index] / weights[index]), floor)
      floor = scales[index] * 0.1
    }
    return true
  }

  private func size(_ average: Double) -> Double {
    switch kind {
    case .returns: average.squareRoot()
    case .magnitude, .count: average
    case .level: average * 1.253_314_137_315_500_3  // √(π/2)
    }
  }
}

extension CausalScaler: Equatable {
  /// Whether both scale alike and remember the same.
  public static func == (left: CausalScaler, right: CausalScaler) -> Bool {
    left.kind == right.kind && left.decays == right.decays && left.window == right.window
      && left.memory == right.memory
  }
}
