import CApusKernels

/// The state of a long short-term memory: `[B, 2, H]`, hidden state and cell.
public struct LSTMState: Sendable {
  package var values: Tensor

  /// The state before the first token.
  public init(batch: Int, features: Int) { values = Tensor(zeros: [batch, 2, features]) }
}

extension LSTMState: TensorState {
  static var parts: [any WritableKeyPath<LSTMState, Tensor> & Sendable] { [\.values] }
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
    precondition(
      shape[2] == 4 * features && recurrent.shape[0] == 4 * features,
      "lstm: gates \(shape), recurrent \(recurrent.shape)")
    let hidden = Tensor(uninitialized: [batch, time, features])
    let cells = Tensor(uninitialized: [batch, time, features])
    let activated = copied()
    apus_lstm_f32(
      hidden.floats, cells.floats, activated.floats, nil, recurrent.floats, batch, time, features)
    guard Tensor.records(self, recurrent) else { return hidden }
    let (savedHidden, savedRecurrent) = (hidden.detached(), recurrent.detached())
    return hidden.tracked(from: [self, recurrent]) { dhidden in
      let dgates = Tensor(uninitialized: activated.shape)
      let drecurrent = Tensor(uninitialized: savedRecurrent.shape)
      apus_lstm_backward_f32(
        dgates.floats, drecurrent.floats, dhidden.floats, savedHidden.floats, cells.floats,
        activated.floats, savedRecurrent.floats, batch, time, features)
      withExtendedLifetime((dhidden, savedHidden, cells, activated, savedRecurrent)) {}
      return [dgates, drecurrent]
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func lstm(recurrent: Tensor, state: inout LSTMState) -> Tensor {
    let (batch, time, features) = (shape[0], shape[1], recurrent.shape[1])
    precondition(
      state.values.shape == [batch, 2, features],
      "lstm: the state is \(state.values.shape), the gates \(shape)")
    let hidden = Tensor(uninitialized: [batch, time, features])
    let cells = Tensor(uninitialized: [batch, time, features])
    let activated = copied()
    state.values.withMutableFloats { values in
      apus_lstm_f32(
        hidden.floats, cells.floats, activated.floats, values.baseAddress, recurrent.floats, batch,
        time, features)
    }
    withExtendedLifetime(recurrent) {}
    return hidden
  }
}
