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
  ///   - bias: Whether there are biases.
  ///   - start: How the weights start; uniform in ±1/√inputs when nil.
  ///   - biasStarts: How the biases start, one for each map; as those of ``Linear`` when empty.
  ///   - scope: The source of the weights.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public init(
    _ inputs: Int, _ maps: [(name: String, outputs: Int)], bias: Bool = false,
    start: Initialization? = nil, biasStarts: [Initialization] = [], in scope: Scope
  ) throws {
    let layers = try maps.enumerated().map { index, map in
      try Linear(
        inputs, map.outputs, bias: bias, start: start,
        biasStart: biasStarts.isEmpty ? nil : biasStarts[index], in: scope[map.name])
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
/// Shazeer, 2020, *GLU Variants Improve Transformer*, arXiv:2002.05202.
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
  ///   - outputStart: How the weights of the last map start; as `start` says when nil.
  ///   - names: What the gate, the map that it lets through and the last one are called; by default as
  ///     in the Llama family.
  ///   - scope: The source of the weights.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public init(
    _ width: Int, inner: Int, bias: Bool = false, start: Initialization? = nil,
    outputStart: Initialization? = nil,
    names: (gate: String, up: String, down: String) = ("gate_proj", "up_proj", "down_proj"),
    in scope: Scope
  ) throws {
    input = try SideBySide(
      width, [(names.gate, inner), (names.up, inner)], bias: bias, start: start, in: scope)
    output = try Linear(
      inner, width, bias: bias, start: outputStart ?? start, in: scope[names.down])
  }
}

extension GatedFeedForward: Layer {
  /// Maps `[..., width]` to `[..., width]`.
  public func callAsFunction(_ x: Tensor) -> Tensor { output(input(x).swiGLU()) }
}
