public import ApusTensor

/// What one block of Megalodon remembers between tokens: running statistics, the moving average, and
/// the chunk of keys and values that is being filled. It does not grow with time.
///
/// Ma et al., 2024, *Megalodon*, arXiv:2404.08801.
public struct MegalodonState: Sendable {
  /// Of the timestep normalization.
  public var norm: TimestepNormState
  /// Of the complex moving average.
  public var average: ComplexEMAState
  /// Of the attention inside chunks.
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

  public init(joining states: [MegalodonState]) {
    self.init(
      norm: TimestepNormState(joining: states.map(\.norm)),
      average: ComplexEMAState(joining: states.map(\.average)),
      attention: ChunkedAttentionState(joining: states.map(\.attention)))
  }
}
