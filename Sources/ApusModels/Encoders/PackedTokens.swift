public import ApusTensor

/// Sequences of token ids one after the other, without padding.
public struct PackedTokens: Sendable, Hashable {
  /// The ids of all sequences, N in all.
  public let ids: [Int32]
  /// The segment of each token: 0, or 1 in the second of two sentences.
  public let segments: [Int32]
  /// Tokens of each sequence, at least one each.
  public let lengths: [Int]

  /// Packs sequences, none of them empty, all in segment 0.
  public init(_ sequences: [[Int32]]) {
    self.init(
      ids: sequences.flatMap(\.self), segments: sequences.flatMap { $0.map { _ in 0 } },
      lengths: sequences.map(\.count))
  }

  /// Packs ids that lie packed already.
  public init(ids: [Int32], segments: [Int32], lengths: [Int]) {
    precondition(
      ids.count == segments.count && lengths.allSatisfy { $0 > 0 }
        && lengths.reduce(0, +) == ids.count,
      "PackedTokens: \(ids.count) ids, \(segments.count) segments, lengths \(lengths)")
    self.ids = ids
    self.segments = segments
    self.lengths = lengths
  }

  /// Takes the tokens of a padded batch where `mask` is not 0.
  ///
  /// - Parameters:
  ///   - padded: Ids, `[B, T]`.
  ///   - mask: 1 for a token and 0 for padding, `[B, T]`; each row has at least one token.
  ///   - segments: The segment of each token, `[B, T]`; all 0 when nil.
  public init(padded: Tensor, mask: Tensor, segments: Tensor? = nil) {
    let (ids, keep) = (padded.integers, mask.integers)
    let types = segments?.integers ?? Array(repeating: 0, count: ids.count)
    let (batch, time) = (padded.shape[0], padded.shape[1])
    let kept = ids.indices.filter { keep[$0] != 0 }
    self.init(
      ids: kept.map { ids[$0] }, segments: kept.map { types[$0] },
      lengths: (0..<batch).map { row in (0..<time).count { keep[row * time + $0] != 0 } })
  }

  /// The place of each token in its sequence, from 0.
  var positions: [Int32] { lengths.flatMap { length in (0..<length).map { Int32($0) } } }

  /// Where each sequence starts.
  var starts: [Int32] {
    var start = 0
    return lengths.map { length in
      defer { start += length }
      return Int32(start)
    }
  }
}
