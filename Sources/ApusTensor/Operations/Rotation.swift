import CApusKernels
import Foundation

/// Cosines and sines of rotary positions, and which features they turn.
///
/// Su et al., 2021, *RoFormer*, arXiv:2104.09864.
public struct RotaryTable: Sendable {
  /// `[positions, pairs]`.
  let cosine: TensorValue
  let sine: TensorValue
  let frequencies: [Double]
  let scale: Double
  let isInterleaved: Bool
  /// The position of the first row, where rows are those of positions in order.
  let start: Int
  var pairs: Int { frequencies.count }

  /// Creates the table for positions `0..<positions`.
  ///
  /// - Parameters:
  ///   - positions: How many positions the table covers; others are computed when they are asked for.
  ///   - frequencies: Angle per position of each pair of features, in double precision.
  ///   - isInterleaved: Pairs (2m, 2m+1) instead of (m, m + pairs).
  ///   - scale: Multiplies cosine and sine.
  public init(
    positions: Int, frequencies: [Double], isInterleaved: Bool = false, scale: Double = 1
  ) {
    self.init(
      places: 0..<positions, start: 0, frequencies: frequencies, isInterleaved: isInterleaved,
      scale: scale)
  }

  private init(
    places: some Collection<Int>, start: Int, frequencies: [Double], isInterleaved: Bool,
    scale: Double
  ) {
    self.frequencies = frequencies
    self.isInterleaved = isInterleaved
    self.scale = scale
    self.start = start
    let pairs = frequencies.count
    var (cosines, sines) = ([Float](), [Float]())
    cosines.reserveCapacity(places.count * pairs)
    sines.reserveCapacity(places.count * pairs)
    for position in places {
      for frequency in frequencies {
        // Angles in double: in float, far positions would collapse.
        let angle = Double(position) * frequency
        cosines.append(Float(cos(angle) * scale))
        sines.append(Float(sin(angle) * scale))
      }
    }
    cosine = Tensor(cosines, [places.count, pairs]).contents
    sine = Tensor(sines, [places.count, pairs]).contents
  }

  /// The turns of T tokens of each of several sequences, from the positions `starts` on. Streams are
  /// unlimited: what lies past the table is computed.
  public func rotation(from starts: [Int], time: Int) -> Rotation {
    rotation(of: starts.flatMap { $0..<$0 + time })
  }

  /// The turns of tokens at `places`.
  package func rotation(of places: [Int]) -> Rotation {
    let (low, high) = (places.min() ?? 0, (places.max() ?? -1) + 1)
    let isHere = low >= start && high <= start + cosine.shape[0]
    func other(_ places: some Collection<Int>, start: Int) -> RotaryTable {
      RotaryTable(
        places: places, start: start, frequencies: frequencies, isInterleaved: isInterleaved,
        scale: scale)
    }
    if !isHere, high - low > places.count {
      // Sequences far apart: a row for each token.
      return Rotation(
        table: other(places, start: 0),
        rows: places.indices.map { Int32($0) })
    }
    let table = isHere ? self : other(low..<high, start: low)
    return Rotation(table: table, rows: places.map { Int32($0 - table.start) })
  }
}

/// The turns of the tokens of one batch: made once, for all layers that work on the same tokens.
public struct Rotation: Sendable {
  private let table: RotaryTable
  /// The row of the table for each token, `[B · T]`.
  private let rows: [Int32]

  fileprivate init(table: RotaryTable, rows: [Int32]) { (self.table, self.rows) = (table, rows) }

  /// The turns of several batches, one behind the other. At least one; heads turn by as many pairs in all.
  public init(joining parts: [Rotation]) {
    ensure(
      parts.allSatisfy { $0.table.pairs == parts[0].table.pairs }, "Rotation: pairs differ")
    table = RotaryTable(stacking: parts.map(\.table))
    var first: Int32 = 0
    rows = parts.flatMap { part in
      defer { first += Int32(part.table.cosine.shape[0]) }
      return part.rows.map { [first] in first + $0 }
    }
  }

  /// Turns the first heads of every row of `x`, `[B, T, features]`, in place, or back.
  func turn(_ x: Tensor, heads: Int, headSize: Int, back: Bool = false) {
    let width = x.shape.last
    ensure(
      x.shape.rows == rows.count && heads * headSize <= width && 2 * table.pairs <= headSize,
      "turn: \(heads) heads of \(headSize) in \(x.shape), places of \(rows.count) tokens")
    withPointers(x.out, table.cosine, table.sine) {
      apus_rope_f32(
        $0, $1, $2, rows, rows.count, heads, headSize, table.pairs, width,
        table.isInterleaved ? 1 : 0, back ? 1 : 0)
    }
  }

  /// A turned copy of `x`.
  func turned(_ x: Tensor, heads: Int, headSize: Int, back: Bool = false) -> Tensor {
    let y = x.copied()
    turn(y, heads: heads, headSize: headSize, back: back)
    return y
  }
}

extension RotaryTable {
  fileprivate init(stacking tables: [RotaryTable]) {
    let first = tables[0]
    cosine = TensorValue(joining: tables.map(\.cosine))
    sine = TensorValue(joining: tables.map(\.sine))
    (frequencies, scale) = (first.frequencies, first.scale)
    (isInterleaved, start) = (first.isInterleaved, 0)
  }
}

extension Tensor {
  /// Turns the first heads of every row by their token's position, and leaves the rest as it is.
  ///
  /// For mixers that need turned queries and keys before anything else happens to them.
  /// The tensor is `[B, T, features]`, of which the first `heads · headSize` are heads.
  /// - Parameters:
  ///   - heads: How many heads turn.
  ///   - headSize: Features of a head.
  ///   - rotation: The turns of the tokens.
  /// - Returns: `[B, T, features]`.
  public func rotated(heads: Int, headSize: Int, by rotation: Rotation) -> Tensor {
    let y = rotation.turned(self, heads: heads, headSize: headSize)
    guard Tensor.records(self) else { return y }
    return y.tracked(from: [self]) {
      [rotation.turned($0.reshaped(y.shape), heads: heads, headSize: headSize, back: true)]
    }
  }
}
