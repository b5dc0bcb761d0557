import CApusKernels

/// The layout of attention in one fused row of queries, keys and values.
public struct AttentionLayout: Sendable, Hashable {
  /// Query heads, H.
  public var heads: Int
  /// Key-value heads; divides ``heads``. Head h reads key-value head h / (heads / keyValueHeads).
  public var keyValueHeads: Int
  /// Features of a head, K.
  public var headSize: Int
  /// The window of attention, the token itself included; unlimited when nil.
  public var window: Int?
  /// Multiplies the scores; usually 1/√K.
  public var scale: Float
  /// Whether a token sees only itself and those before it.
  public var isCausal: Bool

  /// Creates a layout; `scale` defaults to 1/√headSize.
  public init(
    heads: Int, keyValueHeads: Int? = nil, headSize: Int, window: Int? = nil, scale: Float? = nil,
    isCausal: Bool = true
  ) {
    self.heads = heads
    self.keyValueHeads = keyValueHeads ?? heads
    self.headSize = headSize
    self.window = window
    self.scale = scale ?? 1 / Float(headSize).squareRoot()
    self.isCausal = isCausal
  }

  /// Features of the fused row: queries, then keys, then values.
  public var fusedSize: Int { (heads + 2 * keyValueHeads) * headSize }

  func shape(
    batch: Int, queries: Int, keys: Int, qStride: Int, kStride: Int, qBatch: Int, kBatch: Int
  ) -> apus_attention_shape {
    apus_attention_shape(
      batch: batch, queries: queries, keys: keys, heads: heads, kv_heads: keyValueHeads,
      head_size: headSize, q_stride: qStride, k_stride: kStride, v_stride: kStride,
      o_stride: heads * headSize, q_batch: qBatch, k_batch: kBatch, v_batch: kBatch,
      o_batch: queries * heads * headSize, window: window ?? 0, causal: isCausal ? 1 : 0,
      scale: scale)
  }
}

extension Tensor {
  /// Exact attention on fused rows, computed tile by tile: the T × T scores are never stored.
  ///
  /// Dao, 2023, *FlashAttention-2*, arXiv:2307.08691.
  /// The tensor is `[B, T, (H + 2 · H_kv) · K]`: queries, keys, values of each token.
  /// - Parameters:
  ///   - layout: Heads, window, scale.
  ///   - rotary: Positions turned into queries and keys; nil for none.
  /// - Returns: `[B, T, H · K]`.
  public func attention(layout: AttentionLayout, rotary: Rotation? = nil) -> Tensor {
    let (batch, time, width) = (self.shape[0], self.shape[1], self.shape[2])
    ensure(
      width == layout.fusedSize, "attention: a row of \(self.shape) should have \(layout.fusedSize)"
    )
    let size = layout.headSize
    let (queries, keys) = (layout.heads * size, layout.keyValueHeads * size)
    let turnedHeads = layout.heads + layout.keyValueHeads
    let turned =
      rotary?.turned(self, heads: turnedHeads, headSize: size) ?? detached()
    var shape = layout.shape(
      batch: batch, queries: time, keys: time, qStride: width, kStride: width, qBatch: time * width,
      kBatch: time * width)
    let o = Tensor(uninitialized: [batch, time, queries])
    let records = Tensor.records(self)
    let lse = records ? Tensor(uninitialized: [batch, layout.heads, time]) : nil
    withPointers(o.out, lse?.out, turned) {
      apus_attention_f32($0, $1, $2, $2 + queries, $2 + queries + keys, &shape)
    }
    guard records, let lse else { return o }
    let savedO = o.detached()
    return o.tracked(from: [self]) { dout in
      let d = Tensor(uninitialized: turned.shape)
      var shape = shape
      withPointers(d.out, dout, turned, savedO, lse) { dq, dout, q, o, lse in
        let (dk, k) = (dq + queries, q + queries)
        apus_attention_backward_f32(dq, dk, dk + keys, dout, q, k, k + keys, o, lse, &shape)
      }
      rotary?.turn(d, heads: turnedHeads, headSize: size, back: true)
      return [d]
    }
  }
}
