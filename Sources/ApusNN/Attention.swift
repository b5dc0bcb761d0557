public import ApusTensor

/// Causal self-attention between its projections. Several query heads may share the keys and values of
/// one head (Ainslie et al., 2023, *GQA*, arXiv:2305.13245), and queries and keys may be turned by
/// their positions.
///
/// Shapes: B batch, T time, D width, H query heads, H_kv key-value heads, K head size.
public struct Attention {
  /// Heads, window, scale.
  public let layout: AttentionLayout
  /// What turns queries and keys; nil where positions do not.
  public let rotary: RotaryPositions?
  /// To queries, keys and values side by side: `[..., (H + 2 · H_kv) · K]`.
  public let input: any Layer
  /// What happens to those before positions: a bound, a normalization of the heads; nil for nothing.
  public let adjustment: (any Layer)?
  /// From the heads, `[..., H · K]`, back to the residual stream.
  public let output: any Layer

  /// Puts the parts together.
  public init(
    layout: AttentionLayout, rotary: RotaryPositions?, input: any Layer,
    adjustment: (any Layer)? = nil, output: any Layer
  ) {
    (self.layout, self.rotary, self.input) = (layout, rotary, input)
    (self.adjustment, self.output) = (adjustment, output)
  }

  /// Creates the layer under the names of the Llama family: `q_proj`, `k_proj`, `v_proj`, `o_proj`.
  ///
  /// - Parameters:
  ///   - width: D; heads · head size may be another number.
  ///   - layout: Heads, window, scale.
  ///   - rotary: What turns queries and keys; nil for nothing.
  ///   - bias: Whether the four maps have biases.
  ///   - start: How the weights start; uniform in ±1/√inputs when nil.
  ///   - headNorm: The epsilon of a normalization of each query and key head before positions
  ///     (``HeadNorm``); nil for none.
  ///   - scope: The source of the weights.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public init(
    _ width: Int, layout: AttentionLayout, rotary: RotaryPositions?, bias: Bool = false,
    start: Initialization? = nil, headNorm: Float? = nil, in scope: Scope
  ) throws {
    let (queries, keys) = (
      layout.heads * layout.headSize, layout.keyValueHeads * layout.headSize
    )
    let input = try SideBySide(
      width, [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)], bias: bias, start: start,
      in: scope)
    let output = try Linear(queries, width, bias: bias, start: start, in: scope["o_proj"])
    self.init(
      layout: layout, rotary: rotary, input: input,
      adjustment: try headNorm.map { try HeadNorm(layout, epsilon: $0, in: scope) },
      output: output)
  }

  /// Queries, keys and values of each token.
  private func fused(_ x: Tensor) -> Tensor {
    let row = input(x)
    return adjustment?(row) ?? row
  }
}

extension Attention: SequenceMixer {
  public func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
    output(fused(x).attention(layout: layout, rotary: rotary.map(places.rotation)))
  }

  public func callAsFunction(
    _ x: Tensor, at places: Places, state: inout AttentionState
  ) -> Tensor {
    output(state.attend(fused(x), layout: layout, rotary: rotary.map(places.rotation)))
  }

  public func initialState(batch: Int) -> AttentionState { AttentionState(batch: batch) }
}

/// Layer normalization of each query and key head in a row of queries, keys and values, with gains of
/// its own (`q_norm`, `k_norm`).
public struct HeadNorm: Layer {
  /// `[H, K]` and `[H_kv, K]`.
  public let gains: [Parameter]
  /// Added to the variance.
  public let epsilon: Float

  /// Creates the layer with gains from `scope`.
  ///
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public init(_ layout: AttentionLayout, epsilon: Float, in scope: Scope) throws {
    self.epsilon = epsilon
    gains = try [("q_norm", layout.heads), ("k_norm", layout.keyValueHeads)].map { name, heads in
      try scope[name].parameter("weight", [heads, layout.headSize], .ones, isDecayed: false)
    }
  }

  /// Normalizes the heads of `[..., (H + 2 · H_kv) · K]`; values stay.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    x.headNorm(weight: Tensor(stacking: gains.map(\.value)), epsilon: epsilon)
  }
}

/// Holds every number within ± a bound.
public struct Clip: Layer {
  /// The bound.
  public let bound: Float

  /// Creates the layer.
  public init(_ bound: Float) { self.bound = bound }

  /// Clips `x`.
  public func callAsFunction(_ x: Tensor) -> Tensor { x.clamped(to: bound) }
}
