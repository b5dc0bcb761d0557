import CApusKernels

/// The weights of a selective state space between its two projections.
public struct SelectiveSSMWeights: Sendable {
  /// Convolution, `[E, 1, K]` or `[E, K]`.
  public var convolution: Tensor
  /// `[E]`, or nil.
  public var convolutionBias: Tensor?
  /// To step size, B and C, in this order: `[R + 2N, E]`.
  public var projection: Tensor
  /// From rank R to every channel: `[E, R]`.
  public var step: Tensor
  /// `[E]`.
  public var stepBias: Tensor
  /// `ln(−A)`, `[E, N]`.
  public var logA: Tensor
  /// The skip of each channel, `[E]`.
  public var skip: Tensor

  /// Names each weight.
  public init(
    convolution: Tensor, convolutionBias: Tensor?, projection: Tensor, step: Tensor,
    stepBias: Tensor, logA: Tensor, skip: Tensor
  ) {
    self.convolution = convolution
    self.convolutionBias = convolutionBias
    self.projection = projection
    self.step = step
    self.stepBias = stepBias
    self.logA = logA
    self.skip = skip
  }

  /// E.
  var channels: Int { logA.shape[0] }
  /// N.
  var states: Int { logA.shape[1] }
  /// R.
  var rank: Int { step.shape[1] }
  /// K.
  var width: Int { convolution.count / max(channels, 1) }

  var all: [Tensor] {
    [convolution, projection, step, stepBias, logA, skip] + (convolutionBias.map { [$0] } ?? [])
  }

  var detached: SelectiveSSMWeights {
    SelectiveSSMWeights(
      convolution: convolution.detached(), convolutionBias: convolutionBias?.detached(),
      projection: projection.detached(), step: step.detached(), stepBias: stepBias.detached(),
      logA: logA.detached(), skip: skip.detached())
  }
}

/// What a selective state space remembers between tokens: constant in time.
public struct SelectiveSSMState: Sendable {
  /// The last K − 1 inputs of the convolution, `[B, K − 1, E]`.
  package var window: Tensor
  /// h, `[B, E, N]`.
  package var hidden: Tensor

  /// The state before the first token.
  public init(batch: Int, channels: Int, states: Int, convolutionWidth: Int) {
    window = Tensor(zeros: [batch, convolutionWidth - 1, channels])
    hidden = Tensor(zeros: [batch, channels, states])
  }

  /// Bytes of the state.
  public var byteCount: Int { (window.count + hidden.count) * 4 }
}

/// Mamba's mixer between its projections: convolution, SiLU, selective scan, gate, as one node.
///
/// Gu and Dao, 2023, *Mamba*, arXiv:2312.00752, algorithm 2 with the Euler step for B that all
/// released weights assume. Backward rebuilds the convolution, the step sizes and, chunk by chunk, the
/// states, so that only the inputs, the small projection and one state per chunk are kept.
/// - Parameters:
///   - xz: `[B, T, 2E]`: input, then gate.
///   - weights: The mixer's weights.
/// - Returns: `[B, T, E]`.
public func selectiveSSM(_ xz: Tensor, weights: SelectiveSSMWeights) -> Tensor {
  let sizes = Sizes(xz, weights)
  let records =
    (xz.isTracked || weights.all.contains(where: \.isTracked))
    && Arithmetic.current.recordsGradients
  let bf16 = Arithmetic.current.products == .bfloat16
  let s = convolved(xz, weights, sizes, window: nil)
  let p = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.projected])
  product(
    p, s, weights.projection, rows: sizes.rows, columns: sizes.projected, inner: sizes.channels,
    transposeB: true, bf16: bf16)
  let delta = steps(p, weights, sizes, bf16: bf16)
  let o = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.channels])
  var shape = sizes.scanShape
  let chunks = (sizes.time + shape.chunk - 1) / shape.chunk
  let checkpoints =
    records
    ? Tensor(uninitialized: [sizes.batch, chunks, sizes.channels, sizes.states]) : nil
  let b = p.floats + sizes.rank
  apus_selective_scan_f32(
    o.floats, nil, checkpoints?.floats, s.floats, delta.floats, weights.logA.floats, b,
    b + sizes.states, weights.skip.floats, xz.floats + sizes.channels, &shape)
  withExtendedLifetime((xz, s, delta, p)) {}
  guard records, let checkpoints else { return o }
  let (saved, savedXZ) = (weights.detached, xz.detached())
  return o.tracked(from: [xz] + weights.all) { dout in
    selectiveSSMBackward(
      dout, xz: savedXZ, p: p, checkpoints: checkpoints, weights: saved, sizes: sizes, bf16: bf16)
  }
}

/// The same from a given state, which is advanced by T tokens. Records nothing.
public func selectiveSSM(
  _ xz: Tensor, weights: SelectiveSSMWeights, state: inout SelectiveSSMState
) -> Tensor {
  let sizes = Sizes(xz, weights)
  precondition(
    state.hidden.shape == [sizes.batch, sizes.channels, sizes.states],
    "selectiveSSM: the state is \(state.hidden.shape), the input \(xz.shape)")
  let s = state.window.withMutableFloats {
    convolved(xz, weights, sizes, window: $0.baseAddress)
  }
  let p = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.projected])
  product(
    p, s, weights.projection, rows: sizes.rows, columns: sizes.projected, inner: sizes.channels,
    transposeB: true, bf16: false)
  let delta = steps(p, weights, sizes, bf16: false)
  let o = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.channels])
  var shape = sizes.scanShape
  state.hidden.withMutableFloats { hidden in
    let b = p.floats + sizes.rank
    apus_selective_scan_f32(
      o.floats, hidden.baseAddress, nil, s.floats, delta.floats, weights.logA.floats, b,
      b + sizes.states, weights.skip.floats, xz.floats + sizes.channels, &shape)
  }
  withExtendedLifetime((xz, s, delta, p, weights.all)) {}
  return o
}

/// The sizes that the kernels ask for.
private struct Sizes {
  let batch: Int, time: Int, channels: Int, states: Int, rank: Int, width: Int

  init(_ xz: Tensor, _ weights: SelectiveSSMWeights) {
    (batch, time) = (xz.shape[0], xz.shape[1])
    (channels, states, rank) = (weights.channels, weights.states, weights.rank)
    width = weights.width
    precondition(
      xz.shape[2] == 2 * channels && weights.projection.shape == [rank + 2 * states, channels],
      "selectiveSSM: rows of \(xz.shape), projection \(weights.projection.shape), A \(weights.logA.shape)"
    )
  }

  var rows: Int { batch * time }
  var projected: Int { rank + 2 * states }
  var scanShape: apus_scan_shape {
    apus_scan_shape(
      batch: batch, time: time, channels: channels, states: states, z_stride: 2 * channels,
      bc_stride: projected, chunk: apus_selective_scan_chunk())
  }
}

/// silu of the causal convolution of the first half of xz.
private func convolved(
  _ xz: Tensor, _ weights: SelectiveSSMWeights, _ sizes: Sizes,
  window: UnsafeMutablePointer<Float>?
) -> Tensor {
  let s = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.channels])
  apus_causal_conv_silu_f32(
    s.floats, window, xz.floats, weights.convolution.floats, weights.convolutionBias?.floats,
    sizes.batch, sizes.time, sizes.channels, sizes.width, 2 * sizes.channels)
  withExtendedLifetime((xz, weights.all)) {}
  return s
}

/// The step sizes before softplus, from the first R columns of p.
private func steps(
  _ p: Tensor, _ weights: SelectiveSSMWeights, _ sizes: Sizes, bf16: Bool
) -> Tensor {
  let delta = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.channels])
  product(
    delta.floats, p.floats, weights.step.floats, bias: weights.stepBias.floats, rows: sizes.rows,
    columns: sizes.channels, inner: sizes.rank, aStride: sizes.projected, bStride: sizes.rank,
    cStride: sizes.channels, transposeB: true, bf16: bf16)
  withExtendedLifetime((p, weights.all)) {}
  return delta
}

private func selectiveSSMBackward(
  _ dout: Tensor, xz: Tensor, p: Tensor, checkpoints: Tensor, weights: SelectiveSSMWeights,
  sizes: Sizes, bf16: Bool
) -> [Tensor?] {
  let (rows, channels, states, rank) = (sizes.rows, sizes.channels, sizes.states, sizes.rank)
  let s = convolved(xz, weights, sizes, window: nil)
  let delta = steps(p, weights, sizes, bf16: bf16)
  let dxz = Tensor(uninitialized: xz.shape)
  let ds = Tensor(uninitialized: s.shape)
  let ddelta = Tensor(uninitialized: delta.shape)
  let dp = Tensor(uninitialized: p.shape)
  let dlogA = Tensor(uninitialized: weights.logA.shape)
  let dskip = Tensor(uninitialized: weights.skip.shape)
  var shape = sizes.scanShape
  let (b, db) = (p.floats + rank, dp.floats + rank)
  apus_selective_scan_backward_f32(
    ds.floats, ddelta.floats, dlogA.floats, db, db + states, dskip.floats, dxz.floats + channels,
    dout.floats, checkpoints.floats, s.floats, delta.floats, weights.logA.floats, b, b + states,
    weights.skip.floats, xz.floats + channels, &shape)
  // Through the step's projection: its weight, its bias, and the first R columns of dp.
  let dstep = Tensor(uninitialized: weights.step.shape)
  product(
    dstep.floats, ddelta.floats, p.floats, rows: channels, columns: rank, inner: rows,
    aStride: channels, bStride: sizes.projected, cStride: rank, transposeA: true, bf16: bf16)
  let dstepBias = Tensor(uninitialized: [channels])
  apus_column_sum_f32(dstepBias.floats, ddelta.floats, rows, channels, channels, 0)
  product(
    dp.floats, ddelta.floats, weights.step.floats, rows: rows, columns: rank, inner: channels,
    aStride: channels, bStride: rank, cStride: sizes.projected, bf16: bf16)
  // Through the projection: its weight, and a second share of ds.
  let dprojection = Tensor(uninitialized: weights.projection.shape)
  product(
    dprojection, dp, s, rows: sizes.projected, columns: channels, inner: rows, transposeA: true,
    bf16: bf16)
  product(
    ds, dp, weights.projection, rows: rows, columns: channels, inner: sizes.projected,
    accumulate: true, bf16: bf16)
  let dconvolution = Tensor(uninitialized: weights.convolution.shape)
  let dbias = weights.convolutionBias.map { Tensor(uninitialized: $0.shape) }
  apus_causal_conv_silu_backward_f32(
    dxz.floats, dconvolution.floats, dbias?.floats, ds.floats, xz.floats,
    weights.convolution.floats, weights.convolutionBias?.floats, sizes.batch, sizes.time, channels,
    sizes.width, 2 * channels, 2 * channels)
  withExtendedLifetime((dout, xz, p, checkpoints, weights.all)) {}
  return [dxz, dconvolution, dprojection, dstep, dstepBias, dlogA, dskip]
    + (dbias.map { [$0] } ?? [])
}
