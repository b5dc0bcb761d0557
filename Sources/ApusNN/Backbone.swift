public import ApusTensor

/// A sequence architecture: a causal map from `[B, T, D]` to `[B, T, D]`, with a state that tokens
/// advance. Language models, forecasters and classifiers are written once around it.
public protocol Backbone {
  /// D, the width of the residual stream.
  var width: Int { get }

  /// Maps whole sequences from their start, differentiably.
  ///
  /// - Parameter x: `[B, T, D]`.
  /// - Returns: `[B, T, D]`, of which row t depends on rows up to t only.
  func callAsFunction(_ x: Tensor) -> Tensor

  /// The state before the first token of `batch` sequences.
  func initialState(batch: Int) -> BackboneState

  /// Continues sequences by T tokens, without recording for gradients.
  ///
  /// One token at a time, any split, or all at once give the same numbers up to rounding.
  /// - Parameters:
  ///   - x: `[B, T, D]`.
  ///   - state: What earlier tokens left; advanced by T.
  /// - Returns: `[B, T, D]`.
  func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor
}

/// What a backbone remembers between tokens: one entry for each layer that remembers.
public struct BackboneState: Sendable {
  /// One entry per layer.
  public var layers: [MixerState]
  /// How many tokens have passed.
  public var position: Int

  /// Creates a state.
  public init(layers: [MixerState], position: Int = 0) {
    self.layers = layers
    self.position = position
  }

  /// Bytes of everything remembered.
  public var byteCount: Int { layers.reduce(0) { $0 + $1.byteCount } }
}

/// The state of one layer.
public enum MixerState: Sendable {
  case attention(AttentionState)
  case selectiveSSM(SelectiveSSMState)
  case lstm(LSTMState)

  /// Bytes of the state.
  public var byteCount: Int {
    switch self {
    case .attention(let state): state.byteCount
    case .selectiveSSM(let state): state.byteCount
    case .lstm(let state): state.byteCount
    }
  }
}
