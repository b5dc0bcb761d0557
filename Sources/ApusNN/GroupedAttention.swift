public import ApusTensor

/// Causal self-attention in which several query heads share the keys and values of one head, with a
/// separate published matrix for queries, keys, values and the way out.
///
/// Ainslie et al., 2023, *GQA*, arXiv:2305.13245. The names are those of the Llama family:
/// `q_proj`, `k_proj`, `v_proj`, `o_proj`.
public struct GroupedAttention {
  /// Heads, window, scale.
  public let layout: AttentionLayout
  /// Queries, keys, values side by side.
  public let input: SideBySide
  /// From the heads back to the residual stream.
  public let output: Linear
  /// Gains of the normalization of each query and key head, `[H, K]` and `[H_kv, K]`; none without.
  public let headGains: [Parameter]
  private let headEpsilon: Float

  /// Creates the layer with weights from `scope`.
  ///
  /// - Parameters:
  ///   - width: D, features of x and of the result; heads · head size may be another number.
  ///   - layout: Heads, window, scale.
  ///   - bias: Whether queries, keys and values have biases.
  ///   - outputBias: Whether the way out has one; as `bias` says when nil.
  ///   - headNorm: The epsilon of a layer normalization of each query and key head before
  ///     positions, with gains of its own (`q_norm`, `k_norm`); nil for none.
  ///   - start: How the weights start; uniform in ±1/√inputs when nil.
  ///   - scope: Where the weights come from.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public init(
    _ width: Int, layout: AttentionLayout, bias: Bool = false, outputBias: Bool? = nil,
    headNorm: Float? = nil, start: Initialization? = nil, in scope: Scope
  ) throws {
    self.layout = layout
    headEpsilon = headNorm ?? 0
    let (queries, keys) = (
      layout.heads * layout.headSize, layout.keyValueHeads * layout.headSize
    )
    input = try SideBySide(
      width, [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)], bias: bias, start: start,
      in: scope)
    output = try Linear(
      queries, width, bias: outputBias ?? bias, start: start, in: scope["o_proj"])
    let gains = [("q_norm", layout.heads), ("k_norm", layout.keyValueHeads)]
    headGains = try (headNorm == nil ? [] : gains).map { name, heads in
      try scope[name].parameter("weight", [heads, layout.headSize], .ones, isDecayed: false)
    }
  }

  /// Attends within whole sequences.
  ///
  /// - Parameters:
  ///   - x: `[B, T, width]`.
  ///   - rotary: Positions turned into queries and keys; nil for none.
  /// - Returns: `[B, T, width]`.
  public func callAsFunction(_ x: Tensor, rotary: RotaryTable?) -> Tensor {
    output(fused(x).attention(layout: layout, rotary: rotary))
  }

  /// Attends from T further tokens to those kept in `state` and to each other. Records nothing.
  ///
  /// - Parameters:
  ///   - x: `[B, T, width]`.
  ///   - rotary: Positions turned into queries and keys; nil for none.
  ///   - state: An ``MixerState/attention(_:)``; advanced by T.
  /// - Returns: `[B, T, width]`.
  public func callAsFunction(_ x: Tensor, rotary: RotaryTable?, state: inout MixerState) -> Tensor {
    output(fused(x).attention(layout: layout, rotary: rotary, state: &state))
  }

  /// Queries, keys and values of each token, normalized where the layer does so.
  private func fused(_ x: Tensor) -> Tensor {
    let row = input(x)
    guard !headGains.isEmpty else { return row }
    let gains = Tensor(concatenating: headGains.map { $0.value.reshaped([1, $0.value.count]) })
    let heads = layout.heads + layout.keyValueHeads
    return row.headNorm(weight: gains.reshaped([heads, layout.headSize]), epsilon: headEpsilon)
  }
}

extension Tensor {
  /// Attends from the tokens of a fused row to those kept in `state` and to each other.
  ///
  /// The tensor is `[B, T, (H + 2 · H_kv) · K]`.
  /// - Parameters:
  ///   - layout: Heads, window, scale.
  ///   - rotary: Positions turned into queries and keys; nil for none.
  ///   - state: An ``MixerState/attention(_:)``; advanced by T.
  /// - Returns: `[B, T, H · K]`.
  public func attention(layout: AttentionLayout, rotary: RotaryTable?, state: inout MixerState)
    -> Tensor
  {
    guard case .attention(var cache) = state else {
      preconditionFailure("attend: the state is not one of attention")
    }
    state = .none  // leaves the cache uniquely owned, to grow in place
    defer { state = .attention(cache) }
    return cache.attend(self, layout: layout, rotary: rotary)
  }
}
