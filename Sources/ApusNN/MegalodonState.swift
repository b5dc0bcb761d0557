public import ApusTensor

/// The state of one block of Megalodon: running statistics, the moving average, and
/// the chunk of keys and values that is being filled. It does not grow with time.
///
/// Ma et al., 2024, *Megalodon*, arXiv:2404.08801.
public struct MegalodonState: Sendable {
  /// The state of the timestep normalization.
  public var norm: TimestepNormState
  /// The state of the complex moving average.
  public var average: ComplexEMAState
  /// The keys and values of the current chunk.
  public var attention: ChunkedAttentionState

  /// Puts the parts together.
  public init(
    norm: TimestepNormState, average: ComplexEMAState, attention: ChunkedAttentionState
  ) {
    self.norm = norm
    self.average = average
    self.attention = attention
  }
}

extension MegalodonState: LayerState {
  public var batch: Int { norm.batch }

  /// Bytes of the state.
  public var byteCount: Int { norm.byteCount + average.byteCount + attention.byteCount }

  public func rows(_ rows: [Int]) -> MegalodonState {
    MegalodonState(
      norm: norm.rows(rows), average: average.rows(rows), attention: attention.rows(rows))
  }

  public mutating func put(_ other: MegalodonState, at rows: [Int]) {
    norm.put(other.norm, at: rows)
    average.put(other.average, at: rows)
    attention.put(other.attention, at: rows)
  }

  public init(joining states: [MegalodonState]) {
    self.init(
      norm: TimestepNormState(joining: states.map(\.norm)),
      average: ComplexEMAState(joining: states.map(\.average)),
      attention: ChunkedAttentionState(joining: states.map(\.attention)))
  }
}
