import CApusKernels

/// The layout of attention inside chunks: queries and keys of one size, values of another.
public struct ChunkedAttentionLayout: Sendable {
  /// H.
  public var heads: Int
  /// Features of a head's queries and keys, K, at most 256.
  public var keySize: Int
  /// Features of a head's values.
  public var valueSize: Int
  /// A token sees the tokens before it back to the start of its chunk of this many, and itself.
  public var chunk: Int
  /// Multiplies the scores.
  public var scale: Float
  /// Positions turned into queries and keys; they start from 0 in every chunk.
  public var rotary: RotaryTable?

  /// Creates a layout.
  public init(
    heads: Int, keySize: Int, valueSize: Int, chunk: Int, scale: Float = 1,
    rotary: RotaryTable? = nil
  ) {
    (self.heads, self.keySize, self.valueSize) = (heads, keySize, valueSize)
    (self.chunk, self.scale, self.rotary) = (chunk, scale, rotary)
  }

  /// H · K.
  var keyWidth: Int { heads * keySize }
  /// Features of all values.
  var valueWidth: Int { heads * valueSize }

  /// Turns all queries and keys of `qk`, `[B, T, 2 · H · K]`, in place, or back.
  ///
  /// - Parameters:
  ///   - qk: Queries, then keys.
  ///   - places: Of each token within its chunk.
  ///   - back: Whether they turn back.
  func turn(_ qk: Tensor, places: [Int], back: Bool = false) {
    rotary?.rotation(of: places).turn(qk, heads: 2 * heads, headSize: keySize, back: back)
  }
}

/// Sequences of equal length in an array of tokens: number i has tokens `first + i · stride ...`.
private struct Sequences {
  let first: Int, count: Int, length: Int, stride: Int

  /// The chunks of `batch` sequences of `time` tokens; the last chunk of each may be shorter.
  static func chunks(batch: Int, time: Int, chunk: Int) -> [Sequences] {
    if batch == 0 || time == 0 { return [] }
    let (whole, rest) = (time / chunk, time % chunk)
    if whole == 0 { return [Sequences(first: 0, count: batch, length: time, stride: time)] }
    if rest == 0 {
      return [Sequences(first: 0, count: batch * whole, length: chunk, stride: chunk)]
    }
    return (0..<batch).map {
      Sequences(first: $0 * time, count: whole, length: chunk, stride: chunk)
    } + [Sequences(first: time - rest, count: batch, length: rest, stride: time)]
  }
}

/// The attention kernel knows values as wide as keys. Wider ones go through it in pieces of K
/// features, which share their weights, and a narrower last piece with zeros behind it.
struct ValuePieces {
  let layout: ChunkedAttentionLayout
  let rows: Int

  var perHead: Int { (layout.valueSize + layout.keySize - 1) / layout.keySize }
  var count: Int { layout.heads * perHead }

  /// Where piece `index` stands: its head, its first feature in a row of values, its width.
  func place(_ index: Int) -> (head: Int, feature: Int, width: Int) {
    let (head, start) = (index / perHead, index % perHead * layout.keySize)
    return (head, head * layout.valueSize + start, min(layout.keySize, layout.valueSize - start))
  }

  /// A piece of `x`, `[rows, valueWidth]`, for the kernel to read: where it stands, or a copy.
  func piece(_ index: Int, of x: Tensor) -> (place: KernelInput<Float>, stride: Int) {
    let (_, feature, width) = place(index)
    let start = x.input.from(feature)
    if width == layout.keySize { return (start, layout.valueWidth) }
    let copy = Tensor(zeros: [rows, layout.keySize])
    withPointers(copy.out, start) {
      apus_copy_rows_f32($0, $1, rows, width, layout.keySize, layout.valueWidth, 0)
    }
    return (copy.input, layout.keySize)
  }

  /// Memory for the kernel to write a piece of `x` to; `store` brings it there.
  func target(_ index: Int, of x: Tensor) -> (place: KernelOutput<Float>, stride: Int) {
    let (_, feature, width) = place(index)
    if width == layout.keySize { return (x.out.from(feature), layout.valueWidth) }
    return (Tensor(uninitialized: [rows, layout.keySize]).out, layout.keySize)
  }

  func store(_ index: Int, from room: KernelOutput<Float>, to x: Tensor) {
    let (_, feature, width) = place(index)
    if width == layout.keySize { return }
    withPointers(x.out.from(feature), room) {
      apus_copy_rows_f32($0, $1, rows, width, layout.valueWidth, layout.keySize, 0)
    }
  }
}

extension Tensor {
  /// Exact causal attention inside chunks of the sequence; nothing crosses their borders.
  ///
  /// Ma et al., 2024, *Megalodon*, arXiv:2404.08801, section 3.4. A last chunk that T leaves short is
  /// computed as it is, without padding.
  /// - Parameters:
  ///   - qk: Queries, then keys of each token, `[B, T, 2 · H · K]`, not yet turned.
  ///   - v: Values, `[B, T, H · valueSize]`.
  ///   - layout: Heads, sizes, chunk.
  /// - Returns: `[B, T, H · valueSize]`.
  public static func chunkedAttention(
    queriesAndKeys qk: Tensor, values v: Tensor, layout: ChunkedAttentionLayout
  ) -> Tensor {
    let (batch, time) = (qk.shape[0], qk.shape[1])
    ensure(
      qk.shape[2] == 2 * layout.keyWidth && v.shape == [batch, time, layout.valueWidth],
      "chunkedAttention: queries and keys \(qk.shape), values \(v.shape)")
    let sequences = Sequences.chunks(batch: batch, time: time, chunk: layout.chunk)
    let places = (0..<batch).flatMap { _ in (0..<time).map { $0 % layout.chunk } }
    let turned = qk.copied()
    layout.turn(turned, places: places)
    let pieces = ValuePieces(layout: layout, rows: batch * time)
    let o = Tensor(uninitialized: v.shape)
    let lse = Tensor(uninitialized: [pieces.count, batch * time])
    for index in 0..<pieces.count {
      let (value, output) = (pieces.piece(index, of: v), pieces.target(index, of: o))
      let head = turned.input.from(pieces.place(index).head * layout.keySize)
      withPointers(output.place, lse.out.from(index * batch * time), head, value.place) {
        o, lse, q, v in
        var statistic = lse
        for part in sequences {
          var shape = layout.shape(part, valueStride: value.stride, outputStride: output.stride)
          let at = part.first * 2 * layout.keyWidth
          apus_attention_f32(
            o + part.first * output.stride, statistic, q + at, q + layout.keyWidth + at,
            v + part.first * value.stride, &shape)
          statistic += part.count * part.length
        }
      }
      pieces.store(index, from: output.place, to: o)
    }
    guard Tensor.records(qk, v) else { return o }
    let (savedV, savedO) = (v.detached(), o.detached())
    return o.tracked(from: [qk, v]) { dout in
      let backward = ChunkedBackward(
        layout: layout, sequences: sequences, turned: turned, v: savedV, o: savedO, lse: lse)
      let (dqk, dv) = backward.gradients(dout.reshaped(savedO.shape))
      layout.turn(dqk, places: places, back: true)
      return [dqk, dv]
    }
  }
}

extension ChunkedAttentionLayout {
  fileprivate func shape(
    _ part: Sequences, valueStride: Int, outputStride: Int
  ) -> apus_attention_shape {
    let stride = 2 * keyWidth
    return apus_attention_shape(
      batch: part.count, queries: part.length, keys: part.length, heads: 1, kv_heads: 1,
      head_size: keySize, q_stride: stride, k_stride: stride, v_stride: valueStride,
      o_stride: outputStride, q_batch: part.stride * stride, k_batch: part.stride * stride,
      v_batch: part.stride * valueStride, o_batch: part.stride * outputStride, window: 0,
      causal: 1, scale: scale)
  }
}

/// What backward needs of the forward pass.
private struct ChunkedBackward {
  let layout: ChunkedAttentionLayout
  let sequences: [Sequences]
  let turned: Tensor, v: Tensor, o: Tensor, lse: Tensor

  /// The gradients of turned queries and keys, and of values. The weights of a head are those of
  /// all its pieces, so the pieces' gradients of queries and keys add up.
  func gradients(_ dout: Tensor) -> (dqk: Tensor, dv: Tensor) {
    let rows = v.shape[0] * v.shape[1]
    let pieces = ValuePieces(layout: layout, rows: rows)
    let (dqk, dv) = (Tensor(uninitialized: turned.shape), Tensor(uninitialized: v.shape))
    let more = pieces.perHead > 1 ? Tensor(uninitialized: turned.shape) : nil
    for index in 0..<pieces.count {
      let head = pieces.place(index).head * layout.keySize
      let isFirst = index % pieces.perHead == 0
      let room = isFirst ? dqk : more ?? dqk
      backward(pieces, index, dout: dout, dq: room.out.from(head), dv: dv)
      guard !isFirst else { continue }
      for start in [head, layout.keyWidth + head] {
        withPointers(dqk.out.from(start), room.input.from(start)) {
          apus_copy_rows_f32(
            $0, $1, rows, layout.keySize, 2 * layout.keyWidth, 2 * layout.keyWidth, 1)
        }
      }
    }
    return (dqk, dv)
  }

  private func backward(
    _ pieces: ValuePieces, _ index: Int, dout: Tensor, dq: KernelOutput<Float>, dv: Tensor
  ) {
    let head = turned.input.from(pieces.place(index).head * layout.keySize)
    let (value, output) = (pieces.piece(index, of: v), pieces.piece(index, of: o))
    let (gradient, target) = (pieces.piece(index, of: dout), pieces.target(index, of: dv))
    withPointers(
      dq, target.place, gradient.place, head, value.place, output.place,
      lse.input.from(index * pieces.rows)
    ) { dq, dv, dout, q, v, o, lse in
      var statistic = lse
      for part in sequences {
        var shape = layout.shape(part, valueStride: value.stride, outputStride: output.stride)
        let (at, k) = (part.first * 2 * layout.keyWidth, layout.keyWidth)
        apus_attention_backward_f32(
          dq + at, dq + k + at, dv + part.first * target.stride,
          dout + part.first * gradient.stride, q + at, q + k + at, v + part.first * value.stride,
          o + part.first * output.stride, statistic, &shape)
        statistic += part.count * part.length
      }
    }
    pieces.store(index, from: target.place, to: dv)
  }
}
