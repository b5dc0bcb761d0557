import CApusKernels

/// The keys and values of the chunk that is being filled: the state of chunked attention, bounded by
/// one chunk. The chunks of different sequences may end at different tokens.
public struct ChunkedAttentionState: Sendable {
  /// The rows `[H · (K + valueSize)]` of each sequence's chunk; none right after a chunk is full.
  private var sequences: [GrowingRows]

  /// Creates the state before the first token of `batch` sequences.
  public init(batch: Int) { sequences = [GrowingRows](repeating: GrowingRows(), count: batch) }

  /// Tokens of each sequence's present chunk so far.
  public var counts: [Int] { sequences.map(\.count) }

  /// Attends from new tokens to those of their chunk, and keeps what the chunk's rest will need.
  ///
  /// - Parameters:
  ///   - qk: Queries, then keys, `[B, T, 2 · H · K]`, not yet turned.
  ///   - v: Values, `[B, T, H · valueSize]`.
  ///   - layout: Heads, sizes, chunk.
  /// - Returns: `[B, T, H · valueSize]`. Nothing is recorded for gradients.
  public mutating func attend(
    _ qk: Tensor, _ v: Tensor, layout: ChunkedAttentionLayout
  ) -> Tensor {
    let (batch, time) = (qk.shape[0], qk.shape[1])
    ensure(
      batch == sequences.count, "attend: \(batch) sequences, but the state has \(sequences.count)")
    guard Set(counts).count <= 1 else { return attendEach(qk, v, layout: layout) }
    let o = Tensor(uninitialized: v.shape)
    var start = 0
    while start < time {
      let count = sequences[0].count
      // Whole chunks leave nothing behind.
      let whole = count == 0 ? (time - start) / layout.chunk * layout.chunk : 0
      let length = whole > 0 ? whole : min(time - start, layout.chunk - count)
      let range = start..<start + length
      let part = withoutGradient {
        let (qk, v) = (qk[times: range], v[times: range])
        return whole > 0
          ? Tensor.chunkedAttention(queriesAndKeys: qk, values: v, layout: layout)
          : continued(qk, v, layout)
      }
      let width = layout.valueWidth
      withPointers(o.out.from(start * width), part) {
        apus_copy_rows_f32($0, $1, batch, length * width, time * width, length * width, 0)
      }
      start += length
    }
    return o
  }

  /// The same where chunks end at different tokens: one sequence at a time.
  private mutating func attendEach(
    _ qk: Tensor, _ v: Tensor, layout: ChunkedAttentionLayout
  ) -> Tensor {
    Tensor(
      joining: sequences.indices.map { row in
        var one = ChunkedAttentionState(batch: 1)
        swap(&one.sequences[0], &sequences[row])
        defer { swap(&one.sequences[0], &sequences[row]) }
        return one.attend(qk.sequences([row]), v.sequences([row]), layout: layout)
      })
  }

  /// Tokens that stay inside the present chunk. The inputs are the caller's own.
  private mutating func continued(
    _ qk: Tensor, _ v: Tensor, _ layout: ChunkedAttentionLayout
  ) -> Tensor {
    let (batch, time) = (qk.shape[0], qk.shape[1])
    let (keys, values) = (layout.keyWidth, layout.valueWidth)
    let (count, rowSize) = (sequences[0].count, keys + values)
    layout.turn(qk, places: (0..<batch).flatMap { _ in count..<count + time })
    let pieces = ValuePieces(layout: layout, rows: count + time)
    let o = Tensor(uninitialized: v.shape)
    for row in 0..<batch {
      let (source, value) = (row * time * 2 * keys, row * time * values)
      sequences[row].add(time, rowSize: rowSize, limit: layout.chunk) { kept, new in
        withPointers(o.out.from(value), kept, qk.input.from(source), v.input.from(value)) {
          o, kept, qk, v in
          let fresh = kept + new * rowSize
          apus_copy_rows_f32(fresh, qk + keys, time, keys, rowSize, 2 * keys, 0)
          apus_copy_rows_f32(fresh + keys, v, time, values, rowSize, values, 0)
          for index in 0..<pieces.count {
            Self.attend(pieces, index, to: o, from: qk, kept: kept, time: time)
          }
        }
      }
      if count + time == layout.chunk { sequences[row].forget(layout.chunk) }
    }
    return o
  }

  /// One piece of one sequence: `time` queries over all keys of the chunk.
  private static func attend(
    _ pieces: ValuePieces, _ index: Int, to o: UnsafeMutablePointer<Float>,
    from q: UnsafePointer<Float>, kept: UnsafePointer<Float>, time: Int
  ) {
    let (layout, keys) = (pieces.layout, pieces.rows)
    let (head, feature, width) = pieces.place(index)
    let rowSize = layout.keyWidth + layout.valueWidth
    let value = kept + layout.keyWidth + feature
    func attend(
      _ target: UnsafeMutablePointer<Float>, _ targetStride: Int, _ v: UnsafePointer<Float>,
      _ stride: Int
    ) {
      var shape = apus_attention_shape(
        batch: 1, queries: time, keys: keys, heads: 1, kv_heads: 1, head_size: layout.keySize,
        q_stride: 2 * layout.keyWidth, k_stride: rowSize, v_stride: stride, o_stride: targetStride,
        q_batch: 0, k_batch: 0, v_batch: 0, o_batch: 0, window: 0, causal: 1, scale: layout.scale)
      let at = head * layout.keySize
      apus_attention_f32(target, nil, q + at, kept + at, v, &shape)
    }
    guard width < layout.keySize else {
      return attend(o + feature, layout.valueWidth, value, rowSize)
    }
    let padded = Tensor(zeros: [keys, layout.keySize])
    let room = Tensor(uninitialized: [time, layout.keySize])
    withPointers(padded.out, room.out) { padded, room in
      apus_copy_rows_f32(padded, value, keys, width, layout.keySize, rowSize, 0)
      attend(room, layout.keySize, padded, layout.keySize)
      apus_copy_rows_f32(
        o + feature, room, time, width, layout.valueWidth, layout.keySize, 0)
    }
  }
}

extension ChunkedAttentionState: LayerState {
  public var batch: Int { sequences.count }

  /// Bytes of the keys and values kept. The memory behind them has room for a chunk at most.
  public var byteCount: Int { sequences.reduce(0) { $0 + $1.byteCount } }

  public func rows(_ rows: [Int]) -> ChunkedAttentionState {
    var taken = self
    taken.sequences = rows.map { sequences[$0] }
    return taken
  }

  public mutating func put(_ other: ChunkedAttentionState, at rows: [Int]) {
    for (sequence, row) in zip(other.sequences, rows) { sequences[row] = sequence }
  }

  public init(joining states: [ChunkedAttentionState]) {
    sequences = states.flatMap(\.sequences)
  }
}
