import CApusKernels

/// The sizes and constants of an mLSTM.
public struct MLSTMLayout: Sendable, Hashable {
  /// Heads, H, each with its own gates and memory.
  public var heads: Int
  /// Features of a head's queries and keys, K.
  public var keySize: Int
  /// Features of a head's values, V.
  public var valueSize: Int
  /// Added to the denominator.
  public var epsilon: Float
  /// Tokens that are passed as products of matrices: changes rounding and speed, nothing else.
  public var chunk: Int

  /// Puts the parts together; `chunk` is at most what the kernels are tuned for.
  public init(
    heads: Int, keySize: Int, valueSize: Int, epsilon: Float = 1e-6, chunk: Int = .max
  ) {
    (self.heads, self.keySize, self.valueSize) = (heads, keySize, valueSize)
    self.epsilon = epsilon
    self.chunk = max(1, min(chunk, apus_mlstm_chunk()))
  }

  /// H (2K + V): a row of queries, keys and values.
  public var projected: Int { heads * (2 * keySize + valueSize) }
  /// H V: a row of results.
  public var features: Int { heads * valueSize }
  /// Numbers that a head remembers: the matrix, the normalizer and the stabilizer.
  public var memory: Int { keySize * valueSize + keySize + 1 }
}

/// The state of an mLSTM between tokens: `[B, H, K · V + K + 1]`, constant in time.
public struct MLSTMState: Sendable {
  package var values: TensorValue

  /// The state before the first token.
  public init(batch: Int, layout: MLSTMLayout) {
    values = Tensor(zeros: [batch, layout.heads, layout.memory]).contents
  }
}

extension MLSTMState: TensorState {
  static var parts: [any WritableKeyPath<MLSTMState, TensorValue> & Sendable] { [\.values] }
}

extension Tensor {
  /// mLSTM over time: a memory of outer products that exponential gates write and fade.
  ///
  /// Beck et al., 2024, *xLSTM: Extended Long Short-Term Memory*, arXiv:2405.04517, equations 19 to
  /// 27, in float whatever the precision of products. Chunks of tokens pass as products of matrices;
  /// backward keeps one state per chunk and rebuilds the rest.
  /// The tensor is `[B, T, H (2K + V)]`: queries, keys, values.
  /// - Parameters:
  ///   - gates: Before any exponential, `[B, T, 2H]`: the input gates of all heads, the forget gates.
  ///   - layout: Sizes.
  /// - Returns: `[B, T, H · V]`.
  public func mlstm(gates: Tensor, layout: MLSTMLayout) -> Tensor {
    let call = Call(self, gates, layout)
    let h = Tensor(uninitialized: [call.batch, call.time, layout.features])
    let records = Tensor.records(self, gates)
    let chunks = (call.time + layout.chunk - 1) / layout.chunk
    let norms = records ? Tensor(uninitialized: [call.batch, call.time, layout.heads, 2]) : nil
    let checkpoints =
      records ? Tensor(uninitialized: [call.batch, chunks, layout.heads, layout.memory]) : nil
    var shape = call.shape
    withPointers(h.out, norms?.out, checkpoints?.out, self, gates) { h, norms, points, x, gates in
      let parts = call.parts(x)
      apus_mlstm_f32(h, norms, nil, points, parts.q, parts.k, parts.v, gates, &shape)
    }
    guard records, let norms, let checkpoints else { return h }
    let (x, savedGates, savedH) = (detached(), gates.detached(), h.detached())
    return h.tracked(from: [self, gates]) { dh in
      let (dx, dgates) = (
        Tensor(uninitialized: x.shape), Tensor(uninitialized: savedGates.shape)
      )
      var shape = call.shape
      withPointers(dx.out, dgates.out, dh, savedH, norms, checkpoints) {
        dx, dgates, dh, h, norms, checkpoints in
        withPointers(x, savedGates) { x, gates in
          let (parts, d) = (call.parts(x), call.parts(dx))
          apus_mlstm_backward_f32(
            d.q, d.k, d.v, dgates, dh, h, norms, checkpoints, parts.q, parts.k, parts.v, gates,
            &shape)
        }
      }
      return [dx, dgates]
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func mlstm(gates: Tensor, layout: MLSTMLayout, state: inout MLSTMState) -> Tensor {
    let call = Call(self, gates, layout)
    ensure(
      state.values.shape == [call.batch, layout.heads, layout.memory],
      "mlstm: the state is \(state.values.shape), the input \(self.shape)")
    state.values.makeUnique()
    let h = Tensor(uninitialized: [call.batch, call.time, layout.features])
    var shape = call.shape
    withPointers(h.out, state.values.out, self, gates) { h, state, x, gates in
      let parts = call.parts(x)
      if call.time <= fewTokens {
        apus_mlstm_step_f32(h, state, parts.q, parts.k, parts.v, gates, &shape)
      } else {
        apus_mlstm_f32(h, nil, state, nil, parts.q, parts.k, parts.v, gates, &shape)
      }
    }
    return h
  }
}

/// Up to here the recurrence beats the chunked form, whose tiles would be mostly empty.
private let fewTokens = 16

/// One call's sizes.
private struct Call {
  let layout: MLSTMLayout
  let batch: Int, time: Int

  init(_ x: Tensor, _ gates: Tensor, _ layout: MLSTMLayout) {
    self.layout = layout
    (batch, time) = (x.shape[0], x.shape[1])
    ensure(
      x.shape[2] == layout.projected && gates.shape == [batch, time, 2 * layout.heads],
      "mlstm: rows of \(x.shape), gates \(gates.shape), \(layout)")
  }

  var shape: apus_mlstm_shape {
    apus_mlstm_shape(
      batch: batch, time: time, heads: layout.heads, key_size: layout.keySize,
      value_size: layout.valueSize, x_stride: layout.projected, chunk: layout.chunk,
      epsilon: layout.epsilon)
  }

  /// Where queries, keys and values start in a row.
  func parts<Pointer: Strideable>(_ row: Pointer) -> (q: Pointer, k: Pointer, v: Pointer)
  where Pointer.Stride == Int {
    let keys = layout.heads * layout.keySize
    return (row, row.advanced(by: keys), row.advanced(by: 2 * keys))
  }
}
