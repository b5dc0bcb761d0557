public import ApusTensor

/// What lets tokens see earlier ones: attention, a state space, a recurrence.
public protocol SequenceMixer {
  /// What it remembers between tokens.
  associatedtype State: LayerState

  /// Mixes whole sequences, differentiably.
  ///
  /// - Parameters:
  ///   - x: `[B, T, D]`.
  ///   - places: Where the tokens stand.
  /// - Returns: `[B, T, D]`.
  func callAsFunction(_ x: Tensor, at places: Places) -> Tensor

  /// Continues sequences by T tokens. Records nothing.
  ///
  /// - Parameters:
  ///   - x: `[B, T, D]`.
  ///   - places: Where the tokens stand.
  ///   - state: What earlier tokens left; advanced by T.
  /// - Returns: `[B, T, D]`.
  func callAsFunction(_ x: Tensor, at places: Places, state: inout State) -> Tensor

  /// The state before the first token of `batch` sequences.
  func initialState(batch: Int) -> State
}

extension SequenceMixer {
  /// Continues sequences, with the entry `index` of a backbone's state.
  func callAsFunction(
    _ x: Tensor, at places: Places, layer index: Int, of state: inout BackboneState
  ) -> Tensor {
    state.withLayer(index) { self(x, at: places, state: &$0) }
  }
}

/// What works on each token by itself, and may route it to experts.
public protocol FeedForward {
  /// Maps `[..., D]` to `[..., D]`.
  func routed(_ x: Tensor) -> RoutedOutput
}

/// A layer that routes nothing.
extension FeedForward where Self: Layer {
  public func routed(_ x: Tensor) -> RoutedOutput { RoutedOutput(hidden: self(x)) }
}

extension MixtureOfExperts: FeedForward {
  public func routed(_ x: Tensor) -> RoutedOutput { self(x) }
}

extension GatedFeedForward: FeedForward {}

/// Two linear maps with an activation, or a gate, between them.
public struct PlainFeedForward: Layer, FeedForward {
  /// To the inner width, twice as wide for a gate.
  public let input: Linear
  /// Back to the residual stream.
  public let output: Linear
  /// What stands between them; nil for `silu(a) · b` of the two halves.
  public let activation: Activation?

  /// Puts the parts together.
  public init(input: Linear, activation: Activation?, output: Linear) {
    (self.input, self.activation, self.output) = (input, activation, output)
  }

  /// Maps `[..., D]` to `[..., D]`.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    let inner = input(x)
    return output(activation?(inner) ?? inner.swiGLU())
  }
}
