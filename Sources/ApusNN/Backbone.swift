public import ApusTensor

/// A sequence architecture: a causal map from `[B, T, D]` to `[B, T, D]`, with a state that tokens
/// advance. Language models, forecasters and classifiers are written once around it.
public protocol Backbone {
  /// D, the width of the residual stream.
  var width: Int { get }

  /// The width of what comes out; D unless the architecture says otherwise.
  var outputWidth: Int { get }

  /// Maps whole sequences from their start, differentiably.
  ///
  /// - Parameter x: `[B, T, D]`.
  /// - Returns: `[B, T, outputWidth]`, of which row t depends on rows up to t only.
  func output(_ x: Tensor) -> BackboneOutput

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

extension Backbone {
  public var outputWidth: Int { width }

  /// Maps whole sequences from their start: what is hidden in ``output(_:)``.
  public func callAsFunction(_ x: Tensor) -> Tensor { output(x).hidden }
}

/// What a backbone makes of whole sequences.
public struct BackboneOutput {
  /// `[B, T, outputWidth]`.
  public var hidden: Tensor
  /// A scalar that training adds to the loss of the task, such as the balance of experts, with its
  /// coefficient; nil when there is none.
  public var auxiliaryLoss: Tensor?

  /// Puts the parts together.
  public init(hidden: Tensor, auxiliaryLoss: Tensor? = nil) {
    self.hidden = hidden
    self.auxiliaryLoss = auxiliaryLoss
  }

  /// `loss` with the auxiliary loss on top.
  public func added(to loss: Tensor) -> Tensor {
    auxiliaryLoss.map { loss + $0 } ?? loss
  }
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

  /// Sends T tokens through layers, each with its own entry of the state, which then stands T tokens
  /// further on.
  ///
  /// - Parameters:
  ///   - x: `[B, T, D]`.
  ///   - stack: The layers, in the order of their entries; further entries are left alone.
  ///   - step: What a layer makes of its input, changing its entry.
  /// - Returns: What the last layer gives.
  public mutating func advance<Layer>(
    _ x: Tensor, through stack: [Layer],
    by step: (_ layer: Layer, _ x: Tensor, _ entry: inout MixerState) -> Tensor
  ) -> Tensor {
    var x = x
    for (index, layer) in stack.enumerated() { x = step(layer, x, &layers[index]) }
    position += x.shape[1]
    return x
  }
}

/// The state of one layer.
public enum MixerState: Sendable {
  /// Nothing: of a layer without memory, or while a layer works on the state it took out.
  case none
  case attention(AttentionState)
  case selectiveSSM(SelectiveSSMState)
  case ssd(SSDState)
  case megalodon(MegalodonState)
  case timestepNorm(TimestepNormState)
  case lstm(LSTMState)
  case lsh(LSHState)
  case history(HistoryState)
  case features(FeatureAttentionState)

  /// Bytes of the state.
  public var byteCount: Int {
    switch self {
    case .none: 0
    case .attention(let state): state.byteCount
    case .selectiveSSM(let state): state.byteCount
    case .ssd(let state): state.byteCount
    case .megalodon(let state): state.byteCount
    case .timestepNorm(let state): state.byteCount
    case .lstm(let state): state.byteCount
    case .lsh(let state): state.byteCount
    case .history(let state): state.byteCount
    case .features(let state): state.byteCount
    }
  }
}
