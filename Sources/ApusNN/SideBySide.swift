public import ApusTensor

/// Several linear maps of one input, each with its own published name, whose results stand side by
/// side in one row.
public struct SideBySide {
  /// One `[outputs, inputs]` for each map.
  public let weights: [Parameter]
  /// One `[outputs]` for each map, or none.
  public let biases: [Parameter]

  /// Creates the layer, taking `<name>.weight` and, where asked, `<name>.bias` from `scope`.
  ///
  /// - Parameters:
  ///   - inputs: Size of the last axis of x.
  ///   - maps: Name and outputs of each map, in the order of the row.
  ///   - bias: Whether there are biases; they start at zero.
  ///   - start: How the weights start; uniform in ±1/√inputs when nil.
  ///   - scope: The source of the weights.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public init(
    _ inputs: Int, _ maps: [(name: String, outputs: Int)], bias: Bool = false,
    start: Initialization? = nil, in scope: Scope
  ) throws {
    let layers = try maps.map { name, outputs in
      try Linear(inputs, outputs, bias: bias, start: start, in: scope[name])
    }
    weights = layers.map(\.weight)
    biases = layers.compactMap(\.bias)
  }
}

extension SideBySide: Layer {
  /// Maps the last axis of `x`, `[..., inputs]`, to the sum of all outputs.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.linear(sideBySide: weights.map(\.value), biases: biases.map(\.value))
  }
}

/// A feed-forward with a gate: `down(silu(gate(x)) · up(x))`.
///
/// Shazeer, 2020, *GLU Variants Improve Transformer*, arXiv:2002.05202. The names are those of the
/// Llama family: `gate_proj`, `up_proj`, `down_proj`.
public struct GatedFeedForward {
  /// Gate, then what it lets through: `[..., 2 · inner]`.
  public let input: SideBySide
  /// Back to the residual stream.
  public let output: Linear

  /// Creates the layer with weights from `scope`.
  ///
  /// - Parameters:
  ///   - width: D, features of x and of the result.
  ///   - inner: Features between the maps.
  ///   - bias: Whether the three maps have biases.
  ///   - start: How the weights start; uniform in ±1/√inputs when nil.
  ///   - scope: The source of the weights.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public init(
    _ width: Int, inner: Int, bias: Bool = false, start: Initialization? = nil, in scope: Scope
  ) throws {
    input = try SideBySide(
      width, [("gate_proj", inner), ("up_proj", inner)], bias: bias, start: start, in: scope)
    output = try Linear(inner, width, bias: bias, start: start, in: scope["down_proj"])
  }
}

extension GatedFeedForward: Layer {
  /// Maps `[..., width]` to `[..., width]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { output(input(x).swiGLU()) }
}
