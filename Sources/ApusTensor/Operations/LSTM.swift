import CApusKernels

/// The state of a long short-term memory: `[B, 2, H]`, hidden state and cell.
public struct LSTMState: Sendable {
  package var values: TensorValue

  /// The state before the first token.
  public init(batch: Int, features: Int) {
    values = Tensor(zeros: [batch, 2, features]).contents
  }
}

extension LSTMState: TensorState {
  static var parts: [any WritableKeyPath<LSTMState, TensorValue> & Sendable] { [\.values] }
}

extension Tensor {
  /// Long short-term memory over time, from the input's share of the gates.
  ///
  /// Hochreiter and Schmidhuber, 1997, *Long Short-Term Memory*; gates in the order input, forget,
  /// cell, output.
  /// The tensor is `[B, T, 4H]`: `W x + b`.
  /// - Parameter recurrent: `[4H, H]`.
  /// - Returns: The hidden states, `[B, T, H]`.
  public func lstm(recurrent: Tensor) -> Tensor {
    let (batch, time, features) = (shape[0], shape[1], recurrent.shape[1])
    ensure(
      shape[2] == 4 * features && recurrent.shape[0] == 4 * features,
      "lstm: gates \(shape), recurrent \(recurrent.shape)")
    let hidden = Tensor(uninitialized: [batch, time, features])
    let cells = Tensor(uninitialized: [batch, time, features])
    let activated = copied()
    withPointers(hidden.out, cells.out, activated.out, recurrent) {
      apus_lstm_f32($0, $1, $2, nil, $3, batch, time, features)
    }
    guard Tensor.records(self, recurrent) else { return hidden }
    let (savedHidden, savedRecurrent) = (hidden.detached(), recurrent.detached())
    return hidden.tracked(from: [self, recurrent]) { dhidden in
      let dgates = Tensor(uninitialized: activated.shape)
      let drecurrent = Tensor(uninitialized: savedRecurrent.shape)
      withPointers(
        dgates.out, drecurrent.out, dhidden, savedHidden, cells, activated, savedRecurrent
      ) { apus_lstm_backward_f32($0, $1, $2, $3, $4, $5, $6, batch, time, features) }
      return [dgates, drecurrent]
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func lstm(recurrent: Tensor, state: inout LSTMState) -> Tensor {
    let (batch, time, features) = (shape[0], shape[1], recurrent.shape[1])
    ensure(
      state.values.shape == [batch, 2, features],
      "lstm: the state is \(state.values.shape), the gates \(shape)")
    let hidden = Tensor(uninitialized: [batch, time, features])
    let cells = Tensor(uninitialized: [batch, time, features])
    let activated = copied()
    state.values.makeUnique()
    withPointers(hidden.out, cells.out, activated.out, state.values.out, recurrent) {
      apus_lstm_f32($0, $1, $2, $3, $4, batch, time, features)
    }
    return hidden
  }
}
