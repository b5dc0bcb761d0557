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
  /// One token at a time, any split, or all at once give the same numbers up to rounding, and so do
  /// sequences alone or together, at equal positions or not.
  /// - Parameters:
  ///   - x: `[B, T, D]`.
  ///   - state: What earlier tokens left; advanced by T.
  /// - Returns: `[B, T, outputWidth]`.
  func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor
}

extension Backbone {
  public var outputWidth: Int { width }

  /// Maps whole sequences from their start: what is hidden in ``output(_:)``.
  public func callAsFunction(_ x: Tensor) -> Tensor { output(x).hidden }
}

/// The outputs of a backbone for whole sequences.
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

/// A backbone with experts, which can tell what its routers did.
public protocol RoutingBackbone: Backbone {
  /// The routes of each layer that has experts, in order, of whole sequences. Records nothing.
  ///
  /// - Parameter x: `[B, T, D]`.
  /// - Returns: One entry for each layer with experts; its tokens are the B · T rows of x.
  func routes(_ x: Tensor) -> [ExpertRoutes]
}
