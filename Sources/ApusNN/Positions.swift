import Foundation
public import ApusTensor

/// Where the tokens of one pass stand in their sequences, and what rotary positions make of it.
///
/// One value serves all layers of a pass, so that the turns of one kind of rotary positions are
/// computed once.
public final class Places {
  /// The position of the first token of each sequence.
  public let starts: [Int]
  /// T, tokens of each sequence.
  public let time: Int
  private var rotations: [ObjectIdentifier: Rotation] = [:]

  /// The places of `time` tokens of sequences that stand at `starts`.
  public init(starts: [Int], time: Int) { (self.starts, self.time) = (starts, time) }

  /// The places of whole sequences, `[B, T, ...]`.
  public convenience init(wholeOf x: Tensor) {
    self.init(starts: [Int](repeating: 0, count: x.shape[0]), time: x.shape[1])
  }

  /// The place behind the last token of the longest sequence.
  public var end: Int { (starts.max() ?? 0) + time }

  /// The place of each token that differs: T where all sequences stand at one place, else B · T.
  var distinct: [Int] {
    let isCommon = starts.allSatisfy { $0 == starts[0] }
    return (isCommon ? Array(starts.prefix(1)) : starts).flatMap { $0..<$0 + time }
  }

  /// The turns of the tokens.
  public func rotation(by rotary: RotaryPositions) -> Rotation {
    if let known = rotations[ObjectIdentifier(rotary)] { return known }
    let rotation = rotary.rotation(from: starts, time: time)
    rotations[ObjectIdentifier(rotary)] = rotation
    return rotation
  }
}

/// Rotary positions: at which angle each pair of features of a head turns from one token to the next.
///
/// Su et al., 2021, *RoFormer*, arXiv:2104.09864.
public final class RotaryPositions: Sendable {
  /// Tables are made in advance up to this many positions; others when asked for.
  private static let longestTable = 4096

  private let usual: RotaryTable
  private let longer: @Sendable (_ length: Int) -> RotaryTable?

  /// Angles that are the same at every length, of all features of a head.
  ///
  /// - Parameters:
  ///   - context: How many positions are likely; those beyond are computed when they come.
  ///   - headSize: K, features of a head.
  ///   - theta: The base: pair m turns by theta^(−2m/K) a token.
  ///   - isInterleaved: Pairs (2m, 2m + 1) instead of (m, m + K/2).
  public convenience init(
    context: Int, headSize: Int, theta: Double, isInterleaved: Bool = false
  ) {
    self.init(
      context: context,
      frequencies: (0..<headSize / 2).map { pow(theta, -2 * Double($0) / Double(headSize)) },
      isInterleaved: isInterleaved)
  }

  /// Any angles.
  ///
  /// - Parameters:
  ///   - context: How many positions are likely.
  ///   - frequencies: The angle per token of each pair.
  ///   - isInterleaved: Pairs (2m, 2m + 1) instead of (m, m + pairs).
  ///   - scale: Multiplies cosines and sines.
  ///   - longer: The angles in sequences of a length, where they are others; else nil.
  public init(
    context: Int, frequencies: [Double], isInterleaved: Bool = false, scale: Double = 1,
    longer: @escaping @Sendable (_ length: Int) -> [Double]? = { _ in nil }
  ) {
    usual = RotaryTable(
      positions: max(0, min(context, Self.longestTable)), frequencies: frequencies,
      isInterleaved: isInterleaved, scale: scale)
    self.longer = { length in
      longer(length).map {
        RotaryTable(positions: 0, frequencies: $0, isInterleaved: isInterleaved, scale: scale)
      }
    }
  }

  /// The turns of `time` tokens of sequences that stand at `starts`.
  public func rotation(from starts: [Int], time: Int) -> Rotation {
    let lengths = Set(starts.map { $0 + time })
    // Each length may have angles of its own.
    let tables = Dictionary(uniqueKeysWithValues: lengths.map { ($0, longer($0)) })
    guard lengths.count > 1, tables.contains(where: { $0.value != nil }) else {
      return (tables.first?.value ?? usual).rotation(from: starts, time: time)
    }
    return Rotation(
      joining: starts.map { start in
        (tables[start + time].flatMap(\.self) ?? usual).rotation(from: [start], time: time)
      })
  }
}

/// What is added to the tokens for their positions. Rotary positions belong to the mixers and add
/// nothing.
public enum AddedPositions {
  /// No positions.
  case none
  /// One vector for each position, `[positions, D]`; sequences end there.
  case learned(Parameter)
  /// Row p / n of the first next to row p % n of the second, `[m, 1, D₁]` and `[1, n, D₂]` with
  /// D₁ + D₂ = D; sequences end at m · n. Kitaev et al., 2020, *Reformer*, arXiv:2001.04451.
  case axial(Parameter, Parameter)
  /// `sin(p / 10000^(2i/D))` in even features, the cosine in odd ones: a table of the first positions,
  /// `[positions, D]`. Those past it are computed.
  case sinusoidal(Tensor)

  /// Learned positions with weights from `scope`.
  ///
  /// - Parameters:
  ///   - count: How many positions there are.
  ///   - width: D.
  ///   - deviation: Of their start.
  ///   - scope: Where the weight comes from.
  /// - Returns: The positions.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public static func learned(
    _ count: Int, width: Int, deviation: Float, in scope: Scope
  ) throws -> AddedPositions {
    .learned(try scope.parameter("weight", [count, width], .normal(deviation: deviation)))
  }

  /// Sine and cosine, of which `count` positions are likely.
  public static func sinusoidal(_ count: Int, width: Int) -> AddedPositions {
    .sinusoidal(sinusoids(0..<min(count, 4096), width: width))
  }

  /// `x`, `[B, T, D]`, with the vectors of its places added.
  public func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
    func rows(_ table: Tensor, _ row: (Int) -> Int = { $0 }) -> Tensor {
      let ids = places.distinct.map { Int32(row($0)) }
      return Tensor(ids, [ids.count])
        .embedded(in: table.reshaped([table.shape.rows, table.shape.last]))
    }
    func check(_ count: Int) {
      precondition(places.end <= count, "\(places.end) tokens, but there are \(count) positions")
    }
    switch self {
    case .none: return x
    case .learned(let table):
      check(table.shape[0])
      return x + rows(table.value)
    case .axial(let first, let second):
      let columns = second.shape[1]
      check(first.shape[0] * columns)
      return x
        + Tensor(concatenating: [
          rows(first.value) { $0 / columns }, rows(second.value) { $0 % columns },
        ])
    case .sinusoidal(let table):
      return x
        + (places.end <= table.shape[0]
          ? rows(table) : Self.sinusoids(places.distinct, width: table.shape[1]))
    }
  }

  private static func sinusoids(_ places: some Collection<Int>, width: Int) -> Tensor {
    let frequencies = (0..<width).map { pow(10000, -Double($0 / 2 * 2) / Double(width)) }
    let values = places.flatMap { place in
      frequencies.enumerated().map { feature, frequency in
        let angle = Double(place) * frequency
        return Float(feature % 2 == 0 ? sin(angle) : cos(angle))
      }
    }
    return Tensor(values, [places.count, width])
  }
}
