import CApusKernels

/// The weights of a state space whose step sizes, B and C are the same at every token.
public struct InvariantSSMWeights {
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

  var all: [Tensor] {
    [convolution, step, inputOutput, logA, skip] + [convolutionBias].compactMap(\.self)
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
    let records = Tensor.records([self] + weights.all)
    let shape = rows.shape
    let chunks = (shape.time + shape.chunk - 1) / shape.chunk
    let checkpoints =
      records ? Tensor(uninitialized: [shape.batch, chunks, shape.channels, shape.states]) : nil
    let s = rows.convolution(weights)(self)
    let o = rows.scan(s, self, weights, state: nil, checkpoints: checkpoints?.out)
    guard records, let checkpoints else { return o }
    let (saved, savedXZ) = (weights.detached, detached())
    return o.tracked(from: [self] + weights.all) { dout in
      invariantSSMBackward(dout, xz: savedXZ, checkpoints: checkpoints, weights: saved)
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func invariantSSM(weights: InvariantSSMWeights, state: inout SelectiveSSMState) -> Tensor {
    let rows = InvariantRows(self, weights)
    ensure(
      state.hidden.shape == [rows.shape.batch, weights.channels, weights.states],
      "invariantSSM: the state is \(state.hidden.shape), the input \(self.shape)")
    state.window.makeUnique()
    state.hidden.makeUnique()
    let s = rows.convolution(weights)(self, window: state.window.out)
    return rows.scan(s, self, weights, state: state.hidden.out, checkpoints: nil)
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
    ensure(
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

  func convolution(_ weights: InvariantSSMWeights) -> CausalConvolution {
    CausalConvolution(
      weight: weights.convolution, bias: weights.convolutionBias, batch: shape.batch,
      time: shape.time, channels: shape.channels, column: 0, stride: 2 * shape.channels)
  }

  func scan(
    _ s: Tensor, _ xz: Tensor, _ weights: InvariantSSMWeights, state: KernelOutput<Float>?,
    checkpoints: KernelOutput<Float>?
  ) -> Tensor {
    let o = Tensor(uninitialized: s.shape)
    var shape = shape
    withPointers(o.out, state, checkpoints) { o, state, checkpoints in
      withPointers(
        s, steps, weights.logA, inputOutput, weights.skip, xz.input.from(shape.channels)
      ) { s, steps, logA, b, skip, z in
        apus_selective_scan_f32(
          o, state, checkpoints, s, steps, logA, b, b + shape.states, skip, z, &shape)
      }
    }
    return o
  }
}

private func invariantSSMBackward(
  _ dout: Tensor, xz: Tensor, checkpoints: Tensor, weights: InvariantSSMWeights
) -> [Tensor?] {
  let rows = InvariantRows(xz, weights)
  let convolution = rows.convolution(weights)
  let s = convolution(xz)
  var shape = rows.shape
  let (channels, states) = (shape.channels, shape.states)
  let dxz = Tensor(uninitialized: xz.shape)
  let ds = Tensor(uninitialized: s.shape)
  let dsteps = Tensor(uninitialized: rows.steps.shape)
  let dinputOutput = Tensor(uninitialized: rows.inputOutput.shape)
  let dlogA = Tensor(uninitialized: weights.logA.shape)
  let dskip = Tensor(uninitialized: weights.skip.shape)
  withPointers(
    ds.out, dsteps.out, dlogA.out, dinputOutput.out, dskip.out, dxz.out.from(channels)
  ) { ds, dsteps, dlogA, db, dskip, dz in
    withPointers(
      dout, checkpoints, s, rows.steps, weights.logA, rows.inputOutput, weights.skip,
      xz.input.from(channels)
    ) { dout, checkpoints, s, steps, logA, b, skip, z in
      apus_selective_scan_backward_f32(
        ds, dsteps, dlogA, db, db + states, dskip, dz, dout, checkpoints, s, steps, logA, b,
        b + states, skip, z, &shape)
    }
  }
  let (dconvolution, dbias) = convolution.gradients(of: ds, at: xz, to: dxz)
  // What every token shares gets the sum over tokens.
  return [
    dxz, dconvolution, dsteps.columnSum(channels), dinputOutput.columnSum(2 * states), dlogA,
    dskip,
  ] + (dbias.map { [$0] } ?? [])
}
