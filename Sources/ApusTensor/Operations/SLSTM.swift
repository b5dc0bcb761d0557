import CApusKernels

/// The state of an sLSTM between tokens: `[B, 4, D]`, hidden state, cell, normalizer and stabilizer.
public struct SLSTMState: Sendable {
  package var values: TensorValue

  /// The state before the first token.
  public init(batch: Int, features: Int) {
    let nothing = apus_slstm_nothing()
    let row = (0..<4 * features).map { $0 < 3 * features ? 0 : nothing }
    values =
      Tensor((0..<batch).flatMap { _ in row } as [Float], [batch, 4, features]).contents
  }
}

extension SLSTMState: TensorState {
  static var parts: [any WritableKeyPath<SLSTMState, TensorValue> & Sendable] { [\.values] }
}

extension Tensor {
  /// sLSTM over time, from the input's share of the gates.
  ///
  /// Beck et al., 2024, *xLSTM: Extended Long Short-Term Memory*, arXiv:2405.04517, equations 8 to
  /// 17: an exponential input gate, a memory that is a weighted mean, and a recurrence within each
  /// head. A forget gate counts as open from 15 on. In float whatever the precision of products.
  /// The tensor is `[B, T, H · 4 · P]`: for every head, its gates in the order input, forget, cell,
  /// output.
  /// - Parameter recurrent: `[H, P, 4P]`.
  /// - Returns: The hidden states, `[B, T, H · P]`.
  public func slstm(recurrent: Tensor) -> Tensor {
    let kept = SLSTMRun(self, recurrent: recurrent, state: nil)
    guard Tensor.records(self, recurrent) else { return kept.hidden }
    let (hidden, saved) = (kept.hidden.detached(), recurrent.detached())
    return kept.hidden.tracked(from: [self, recurrent]) { dhidden in
      let dgates = Tensor(uninitialized: kept.gates.shape)
      let drecurrent = Tensor(uninitialized: saved.shape)
      var shape = kept.shape
      withPointers(dgates.out, drecurrent.out, dhidden, hidden, kept.cells, kept.norms) {
        dgates, drecurrent, dhidden, hidden, cells, norms in
        withPointers(kept.slopes, kept.gates, saved) {
          apus_slstm_backward_f32(
            dgates, drecurrent, dhidden, hidden, cells, norms, $0, $1, $2, &shape)
        }
      }
      return [dgates, drecurrent]
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func slstm(recurrent: Tensor, state: inout SLSTMState) -> Tensor {
    let features = recurrent.shape[0] * recurrent.shape[1]
    ensure(
      state.values.shape == [shape[0], 4, features],
      "slstm: the state is \(state.values.shape), the gates \(shape)")
    state.values.makeUnique()
    return SLSTMRun(self, recurrent: recurrent, state: state.values).hidden
  }
}

/// A forward pass, with what backward reads of it.
private struct SLSTMRun {
  let hidden: Tensor, cells: Tensor, norms: Tensor, slopes: Tensor, gates: Tensor
  let shape: apus_slstm_shape

  init(_ x: Tensor, recurrent: Tensor, state: TensorValue?) {
    let (batch, time) = (x.shape[0], x.shape[1])
    let (heads, size) = (recurrent.shape[0], recurrent.shape[1])
    ensure(
      recurrent.shape == [heads, size, 4 * size] && x.shape[2] == 4 * heads * size,
      "slstm: gates \(x.shape), recurrent \(recurrent.shape)")
    var shape = apus_slstm_shape(batch: batch, time: time, heads: heads, head_size: size)
    let hidden = Tensor(uninitialized: [batch, time, heads * size])
    (cells, norms) = (Tensor(uninitialized: hidden.shape), Tensor(uninitialized: hidden.shape))
    (slopes, gates) = (Tensor(uninitialized: hidden.shape), x.copied())
    withPointers(hidden.out, cells.out, norms.out, slopes.out, gates.out, state?.out) {
      hidden, cells, norms, slopes, gates, state in
      withPointers(recurrent) {
        apus_slstm_f32(hidden, cells, norms, slopes, gates, state, $0, &shape)
      }
    }
    (self.hidden, self.shape) = (hidden, shape)
  }
}
