import CApusKernels

/// The weights of a state space whose step sizes, B and C are the same at every token.
public struct InvariantSSMWeights: Sendable {
  /// Convolution, `[E, 1, K]` or `[E, K]`.
  public var convolution: Tensor
  /// `[E]`, or nil.
  public var convolutionBias: Tensor?
  /// Step sizes before softplus, `[E]`.
  public var step: Tensor
  /// B, then C: `[2N]`.
  public var inputOutput: Tensor
  /// `ln(−A)`, `[E, N]`.
  public var logA: Tensor
  /// The skip of each channel, `[E]`.
  public var skip: Tensor

  /// Names each weight.
  public init(
    convolution: Tensor, convolutionBias: Tensor?, step: Tensor, inputOutput: Tensor, logA: Tensor,
    skip: Tensor
  ) {
    self.convolution = convolution
    self.convolutionBias = convolutionBias
    self.step = step
    self.inputOutput = inputOutput
    self.logA = logA
    self.skip = skip
  }

  /// E.
  var channels: Int { logA.shape[0] }
  /// N.
  var states: Int { logA.shape[1] }
  /// K.
  var width: Int { convolution.count / max(channels, 1) }

  var all: [Tensor] {
    [convolution, step, inputOutput, logA, skip] + (convolutionBias.map { [$0] } ?? [])
  }

  var detached: InvariantSSMWeights {
    InvariantSSMWeights(
      convolution: convolution.detached(), convolutionBias: convolutionBias?.detached(),
      step: step.detached(), inputOutput: inputOutput.detached(), logA: logA.detached(),
      skip: skip.detached())
  }
}

extension Tensor {
  /// ``selectiveSSM(weights:)`` without selection: a linear time-invariant state space between the same
  /// convolution and gate, through the same kernels.
  ///
  /// With `a = exp(softplus(step) A)`: h_t = a h_{t−1} + softplus(step) B s_t, y_t = C h_t + skip s_t, and the
  /// result is y ⊙ silu(gate). Gu et al., 2022, *S4D*, arXiv:2206.11893, with a real A.
  /// The tensor is `[B, T, 2E]`: input, then gate.
  /// - Parameter weights: The mixer's weights.
  /// - Returns: `[B, T, E]`.
  public func invariantSSM(weights: InvariantSSMWeights) -> Tensor {
    let rows = InvariantRows(self, weights)
    let records =
      (isTracked || weights.all.contains(where: \.isTracked))
      && Arithmetic.current.recordsGradients
    let s = rows.convolved(self, weights, window: nil)
    var shape = rows.shape
    let chunks = (shape.time + shape.chunk - 1) / shape.chunk
    let checkpoints =
      records ? Tensor(uninitialized: [shape.batch, chunks, shape.channels, shape.states]) : nil
    let o = rows.scan(s, self, weights, &shape, state: nil, checkpoints: checkpoints?.floats)
    guard records, let checkpoints else { return o }
    let (saved, savedXZ) = (weights.detached, detached())
    return o.tracked(from: [self] + weights.all) { dout in
      invariantSSMBackward(dout, xz: savedXZ, checkpoints: checkpoints, weights: saved)
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func invariantSSM(weights: InvariantSSMWeights, state: inout SelectiveSSMState) -> Tensor {
    let rows = InvariantRows(self, weights)
    precondition(
      state.hidden.shape == [rows.shape.batch, weights.channels, weights.states],
      "invariantSSM: the state is \(state.hidden.shape), the input \(self.shape)")
    let s = state.window.withMutableFloats {
      rows.convolved(self, weights, window: $0.baseAddress)
    }
    var shape = rows.shape
    return state.hidden.withMutableFloats {
      rows.scan(s, self, weights, &shape, state: $0.baseAddress, checkpoints: nil)
    }
  }
}

/// Step sizes, B and C repeated for every token, as the kernels ask for them.
private struct InvariantRows {
  let shape: apus_scan_shape
  /// `[B, T, E]`.
  let steps: Tensor
  /// `[B, T, 2N]`.
  let inputOutput: Tensor

  init(_ xz: Tensor, _ weights: InvariantSSMWeights) {
    let (channels, states) = (weights.channels, weights.states)
    precondition(
      xz.shape[2] == 2 * channels && weights.inputOutput.count == 2 * states
        && weights.step.count == channels,
      "invariantSSM: rows of \(xz.shape), B and C \(weights.inputOutput.shape), A \(weights.logA.shape)"
    )
    shape = apus_scan_shape(
      batch: xz.shape[0], time: xz.shape[1], channels: channels, states: states,
      z_stride: 2 * channels, bc_stride: 2 * states, chunk: apus_selective_scan_chunk())
    let count = xz.shape[0] * xz.shape[1]
    let zeros = Tensor([Int32](repeating: 0, count: count), [xz.shape[0], xz.shape[1]])
    func repeated(_ row: Tensor) -> Tensor {
      zeros.embedded(in: row.detached().reshaped([1, row.count]))
    }
    steps = repeated(weights.step)
    inputOutput = repeated(weights.inputOutput)
  }

  /// silu of the causal convolution of the first half of xz.
  func convolved(
    _ xz: Tensor, _ weights: InvariantSSMWeights, window: UnsafeMutablePointer<Float>?
  ) -> Tensor {
    let s = Tensor(uninitialized: [shape.batch, shape.time, shape.channels])
    apus_causal_conv_silu_f32(
      s.floats, window, xz.floats, weights.convolution.floats, weights.convolutionBias?.floats,
      shape.batch, shape.time, shape.channels, weights.width, 2 * shape.channels)
    withExtendedLifetime((xz, weights.all)) {}
    return s
  }

  func scan(
    _ s: Tensor, _ xz: Tensor, _ weights: InvariantSSMWeights, _ shape: inout apus_scan_shape,
    state: UnsafeMutablePointer<Float>?, checkpoints: UnsafeMutablePointer<Float>?
  ) -> Tensor {
    let o = Tensor(uninitialized: s.shape)
    let b = inputOutput.floats
    apus_selective_scan_f32(
      o.floats, state, checkpoints, s.floats, steps.floats, weights.logA.floats, b,
      b + shape.states, weights.skip.floats, xz.floats + shape.channels, &shape)
    withExtendedLifetime((xz, s, self, weights.all)) {}
    return o
  }
}

private func invariantSSMBackward(
  _ dout: Tensor, xz: Tensor, checkpoints: Tensor, weights: InvariantSSMWeights
) -> [Tensor?] {
  let rows = InvariantRows(xz, weights)
  let s = rows.convolved(xz, weights, window: nil)
  var shape = rows.shape
  let (count, channels, states) = (shape.batch * shape.time, shape.channels, shape.states)
  let dxz = Tensor(uninitialized: xz.shape)
  let ds = Tensor(uninitialized: s.shape)
  let dsteps = Tensor(uninitialized: rows.steps.shape)
  let dinputOutput = Tensor(uninitialized: rows.inputOutput.shape)
  let dlogA = Tensor(uninitialized: weights.logA.shape)
  let dskip = Tensor(uninitialized: weights.skip.shape)
  let (b, db) = (rows.inputOutput.floats, dinputOutput.floats)
  apus_selective_scan_backward_f32(
    ds.floats, dsteps.floats, dlogA.floats, db, db + states, dskip.floats, dxz.floats + channels,
    dout.floats, checkpoints.floats, s.floats, rows.steps.floats, weights.logA.floats, b,
    b + states, weights.skip.floats, xz.floats + channels, &shape)
  // What every token shares gets the sum over tokens.
  func summed(_ x: Tensor, _ columns: Int) -> Tensor {
    let sum = Tensor(uninitialized: [columns])
    apus_column_sum_f32(sum.floats, x.floats, count, columns, columns, 0)
    withExtendedLifetime(x) {}
    return sum
  }
  let dconvolution = Tensor(uninitialized: weights.convolution.shape)
  let dbias = weights.convolutionBias.map { Tensor(uninitialized: $0.shape) }
  apus_causal_conv_silu_backward_f32(
    dxz.floats, dconvolution.floats, dbias?.floats, ds.floats, xz.floats,
    weights.convolution.floats, weights.convolutionBias?.floats, shape.batch, shape.time, channels,
    weights.width, 2 * channels, 2 * channels)
  withExtendedLifetime((dout, xz, rows, checkpoints, weights.all)) {}
  return [
    dxz, dconvolution, summed(dsteps, channels), summed(dinputOutput, 2 * states), dlogA, dskip,
  ]
    + (dbias.map { [$0] } ?? [])
}
