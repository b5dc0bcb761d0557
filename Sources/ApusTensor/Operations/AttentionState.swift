import CApusKernels

/// The keys and values that later tokens still see: the state of causal attention.
///
/// Rows are `[2 · H_kv · K]`, keys already turned by their position. With a window the oldest rows
/// are forgotten, so memory and time per token stay bounded. Each sequence has a length of its own.
public struct AttentionState: Sendable {
  /// What is kept of each sequence, and how many tokens of it are gone.
  private var sequences: [(rows: GrowingRows, forgotten: Int)]

  /// Creates the state before the first token of `batch` sequences.
  public init(batch: Int) {
    sequences = [(GrowingRows, Int)](repeating: (GrowingRows(), 0), count: batch)
  }

  /// Bytes of the buffers that hold keys and values: they grow by doubling, so up to twice as much.
  public var allocatedByteCount: Int { sequences.reduce(0) { $0 + $1.rows.allocatedByteCount } }

  /// How many tokens of each sequence are visible.
  public var visible: [Int] { sequences.map(\.rows.count) }

  /// Attends from new tokens to those kept and to each other, then keeps the new ones.
  ///
  /// - Parameters:
  ///   - fused: `[B, T, (H + 2 · H_kv) · K]` as for ``Tensor/attention(layout:rotary:)``.
  ///   - layout: Heads, window, scale.
  ///   - rotary: Positions turned into queries and keys.
  /// - Returns: `[B, T, H · K]`. Nothing is recorded for gradients.
  public mutating func attend(
    _ fused: Tensor, layout: AttentionLayout, rotary: Rotation? = nil
  ) -> Tensor {
    let (time, width) = (fused.shape[1], fused.shape[2])
    ensure(width == layout.fusedSize && layout.isCausal, "attend: rows of \(fused.shape)")
    ensure(
      fused.shape[0] == batch, "attend: \(fused.shape[0]) sequences, but the state has \(batch)")
    let (queries, keys) = (
      layout.heads * layout.headSize, layout.keyValueHeads * layout.headSize
    )
    let turned =
      rotary?.turned(
        fused, heads: layout.heads + layout.keyValueHeads, headSize: layout.headSize) ?? fused
    let o = Tensor(uninitialized: [batch, time, queries])
    for row in sequences.indices {
      // Rows that no new token can see are forgotten before room is made.
      if let window = layout.window, sequences[row].rows.count > window - 1 {
        let gone = sequences[row].rows.count - (window - 1)
        sequences[row].rows.forget(gone)
        sequences[row].forgotten += gone
      }
      sequences[row].rows.add(time, rowSize: 2 * keys) { all, new in
        var shape = layout.shape(
          batch: 1, queries: time, keys: new + time, qStride: width, kStride: 2 * keys, qBatch: 0,
          kBatch: 0)
        let source = turned.input.from(row * time * width)
        withPointers(o.out.from(row * time * queries), all, source) { o, all, source in
          apus_copy_rows_f32(
            all + new * 2 * keys, source + queries, time, 2 * keys, 2 * keys, width, 0)
          apus_attention_f32(o, nil, source, all, all + keys, &shape)
        }
      }
    }
    return o
  }
}

extension AttentionState: LayerState {
  public var batch: Int { sequences.count }

  /// Bytes of the keys and values kept.
  public var byteCount: Int { sequences.reduce(0) { $0 + $1.rows.byteCount } }

  public func rows(_ rows: [Int]) -> AttentionState {
    var taken = self
    taken.sequences = rows.map { sequences[$0] }
    return taken
  }

  public mutating func put(_ other: AttentionState, at rows: [Int]) {
    for (sequence, row) in zip(other.sequences, rows) { sequences[row] = sequence }
  }

  public init(joining states: [AttentionState]) { sequences = states.flatMap(\.sequences) }

  /// The state after fewer tokens; nil where a window has forgotten what those saw.
  public func prefix(_ tokens: [Int]) -> AttentionState? {
    guard sequences.allSatisfy({ $0.forgotten == 0 }) else { return nil }
    var shorter = self
    shorter.sequences = zip(sequences, tokens).map { ($0.rows.prefix($1), 0) }
    return shorter
  }
}
