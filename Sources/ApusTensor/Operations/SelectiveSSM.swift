import CApusKernels

/// The weights of a selective state space between its two projections.
public struct SelectiveSSMWeights: Sendable {
  /// Convolution, `[E, 1, K]` or `[E, K]`.
  public var convolution: Tensor
  /// `[E]`, or nil.
  public var convolutionBias: Tensor?
  /// To step size, B and C, in this order: `[R + 2N, E]`.
  public var projection: Tensor
  /// The map from rank R to every channel: `[E, R]`.
  public var step: Tensor
  /// `[E]`.
  public var stepBias: Tensor
  /// `ln(−A)`, `[E, N]`.
  public var logA: Tensor
  /// The skip of each channel, `[E]`.
  public var skip: Tensor
  /// Gains of normalizations between ``projection`` and what follows, as Jamba has them; or nil.
  public var norms: SelectiveSSMNorms?

  /// Names each weight.
  public init(
    convolution: Tensor, convolutionBias: Tensor?, projection: Tensor, step: Tensor,
    stepBias: Tensor, logA: Tensor, skip: Tensor, norms: SelectiveSSMNorms? = nil
  ) {
    self.convolution = convolution
    self.convolutionBias = convolutionBias
    self.projection = projection
    self.step = step
    self.stepBias = stepBias
    self.logA = logA
    self.skip = skip
    self.norms = norms
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
      + (norms?.all ?? [])
  }

  var detached: SelectiveSSMWeights {
    SelectiveSSMWeights(
      convolution: convolution.detached(), convolutionBias: convolutionBias?.detached(),
      projection: projection.detached(), step: step.detached(), stepBias: stepBias.detached(),
      logA: logA.detached(), skip: skip.detached(), norms: norms?.detached)
  }
}

/// Root-mean-square normalizations of the low-rank step sizes (before they are mapped to channels), of
/// B and of C. Without them large models diverge. Lieber et al., 2024, arXiv:2403.19887.
public struct SelectiveSSMNorms: Sendable {
  /// The gain of the step sizes, `[R]`.
  public var step: Tensor
  /// The gain of B, `[N]`.
  public var input: Tensor
  /// The gain of C, `[N]`.
  public var output: Tensor
  /// Added to the mean square.
  public var epsilon: Float

  /// Names each part.
  public init(step: Tensor, input: Tensor, output: Tensor, epsilon: Float) {
    self.step = step
    self.input = input
    self.output = output
    self.epsilon = epsilon
  }

  var all: [Tensor] { [step, input, output] }

  var detached: SelectiveSSMNorms {
    SelectiveSSMNorms(
      step: step.detached(), input: input.detached(), output: output.detached(), epsilon: epsilon)
  }
}

/// The state of a selective state space between tokens: constant in time.
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
}

extension SelectiveSSMState: TensorState {
  static var parts: [any WritableKeyPath<SelectiveSSMState, Tensor> & Sendable] {
    [\.window, \.hidden]
  }
}

extension Tensor {
  /// Mamba's mixer between its projections: convolution, SiLU, selective scan, gate, as one node.
  ///
  /// Gu and Dao, 2023, *Mamba*, arXiv:2312.00752, algorithm 2 with the Euler step for B that all
  /// released weights assume. Backward rebuilds the convolution, the step sizes and, chunk by chunk, the
  /// states, so that only the inputs, the small projection and one state per chunk are kept.
  /// The tensor is `[B, T, 2E]`: input, then gate.
  /// - Parameter weights: The mixer's weights.
  /// - Returns: `[B, T, E]`.
  public func selectiveSSM(weights: SelectiveSSMWeights) -> Tensor {
    let sizes = Sizes(self, weights)
    let records =
      (isTracked || weights.all.contains(where: \.isTracked))
      && Arithmetic.current.recordsGradients
    let bf16 = Arithmetic.current.products == .bfloat16
    let s = convolved(self, weights, sizes, window: nil)
    let p = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.projected])
    product(
      p, s, weights.projection, rows: sizes.rows, columns: sizes.projected, inner: sizes.channels,
      transposeB: true, bf16: bf16)
    let projected = Projected(p, weights, sizes)
    let delta = steps(projected, weights, sizes, bf16: bf16)
    let o = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.channels])
    var shape = projected.scanShape(sizes)
    let chunks = (sizes.time + shape.chunk - 1) / shape.chunk
    let checkpoints =
      records
      ? Tensor(uninitialized: [sizes.batch, chunks, sizes.channels, sizes.states]) : nil
    apus_selective_scan_f32(
      o.floats, nil, checkpoints?.floats, s.floats, delta.floats, weights.logA.floats, projected.b,
      projected.c, weights.skip.floats, floats + sizes.channels, &shape)
    withExtendedLifetime((self, s, delta, projected)) {}
    guard records, let checkpoints else { return o }
    let (saved, savedXZ) = (weights.detached, detached())
    return o.tracked(from: [self] + weights.all) { dout in
      selectiveSSMBackward(
        dout, xz: savedXZ, p: p, checkpoints: checkpoints, weights: saved, sizes: sizes, bf16: bf16)
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func selectiveSSM(weights: SelectiveSSMWeights, state: inout SelectiveSSMState) -> Tensor {
    let sizes = Sizes(self, weights)
    precondition(
      state.hidden.shape == [sizes.batch, sizes.channels, sizes.states],
      "selectiveSSM: the state is \(state.hidden.shape), the input \(self.shape)")
    let s = state.window.withMutableFloats {
      convolved(self, weights, sizes, window: $0.baseAddress)
    }
    let p = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.projected])
    product(
      p, s, weights.projection, rows: sizes.rows, columns: sizes.projected, inner: sizes.channels,
      transposeB: true, bf16: false)
    let projected = Projected(p, weights, sizes)
    let delta = steps(projected, weights, sizes, bf16: false)
    let o = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.channels])
    var shape = projected.scanShape(sizes)
    state.hidden.withMutableFloats { hidden in
      apus_selective_scan_f32(
        o.floats, hidden.baseAddress, nil, s.floats, delta.floats, weights.logA.floats, projected.b,
        projected.c, weights.skip.floats, floats + sizes.channels, &shape)
    }
    withExtendedLifetime((self, s, delta, projected, weights.all)) {}
    return o
  }
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
}

/// The low-rank step sizes, B and C of every token: parts of the projection's rows, or tensors of
/// their own once normalized.
private struct Projected {
  /// One tensor of all three, or three.
  let tensors: [Tensor]
  /// 1/root-mean-square of each row of each tensor, when normalized.
  let statistics: [Tensor]
  let rank: Int, states: Int

  init(_ p: Tensor, _ weights: SelectiveSSMWeights, _ sizes: Sizes) {
    (rank, states) = (sizes.rank, sizes.states)
    guard let norms = weights.norms else {
      (tensors, statistics) = ([p], [])
      return
    }
    let parts = Projected.split(p, sizes)
    statistics = parts.map { Tensor(uninitialized: [$0.shape[0]]) }
    tensors = parts.map { Tensor(uninitialized: $0.shape) }
    for (index, weight) in norms.all.enumerated() {
      let (rows, width) = (parts[index].shape[0], parts[index].shape[1])
      precondition(weight.count == width, "selectiveSSM: a norm of \(weight.shape) for \(width)")
      apus_rms_norm_f32(
        tensors[index].floats, statistics[index].floats, parts[index].floats, weight.floats, rows,
        width, norms.epsilon)
    }
    withExtendedLifetime((parts, norms)) {}
  }

  var isNormalized: Bool { tensors.count == 3 }
  /// The step sizes begin every row of this.
  var step: UnsafeMutablePointer<Float> { tensors[0].floats }
  var stepStride: Int { tensors[0].shape.last }
  var b: UnsafeMutablePointer<Float> { isNormalized ? tensors[1].floats : step + rank }
  var c: UnsafeMutablePointer<Float> { isNormalized ? tensors[2].floats : b + states }

  func scanShape(_ sizes: Sizes) -> apus_scan_shape {
    apus_scan_shape(
      batch: sizes.batch, time: sizes.time, channels: sizes.channels, states: states,
      z_stride: 2 * sizes.channels, bc_stride: isNormalized ? states : stepStride,
      chunk: apus_selective_scan_chunk())
  }

  /// Memory for the gradients of the three, laid out alike.
  func gradients() -> Projected {
    Projected(
      tensors: tensors.map { Tensor(uninitialized: $0.shape) }, statistics: statistics, rank: rank,
      states: states)
  }

  private init(tensors: [Tensor], statistics: [Tensor], rank: Int, states: Int) {
    self.tensors = tensors
    self.statistics = statistics
    self.rank = rank
    self.states = states
  }

  /// The three parts of every row, copied.
  private static func split(_ p: Tensor, _ sizes: Sizes) -> [Tensor] {
    var offset = 0
    return [sizes.rank, sizes.states, sizes.states].map { width in
      let part = Tensor(uninitialized: [sizes.rows, width])
      apus_copy_rows_f32(
        part.floats, p.floats + offset, sizes.rows, width, width, sizes.projected, 0)
      offset += width
      return part
    }
  }

  /// From the gradients of the three, `self`, to that of the projection's rows and of the gains.
  func back(
    to p: Tensor, _ weights: SelectiveSSMWeights, _ sizes: Sizes
  ) -> (dp: Tensor, dnorms: [Tensor]) {
    guard let norms = weights.norms else { return (tensors[0], []) }
    let dp = Tensor(uninitialized: p.shape)
    var offset = 0
    let parts = Projected.split(p, sizes)
    let dnorms = norms.all.enumerated().map { index, weight in
      let (part, gradient) = (parts[index], tensors[index])
      let (rows, width) = (part.shape[0], part.shape[1])
      let dweight = Tensor(uninitialized: weight.shape)
      apus_rms_norm_backward_f32(
        gradient.floats, dweight.floats, gradient.floats, part.floats, weight.floats,
        statistics[index].floats, rows, width)
      apus_copy_rows_f32(
        dp.floats + offset, gradient.floats, rows, width, sizes.projected, width, 0)
      offset += width
      return dweight
    }
    withExtendedLifetime((parts, self)) {}
    return (dp, dnorms)
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

/// The step sizes before softplus, from the low-rank ones.
private func steps(
  _ projected: Projected, _ weights: SelectiveSSMWeights, _ sizes: Sizes, bf16: Bool
) -> Tensor {
  let delta = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.channels])
  product(
    delta.floats, projected.step, weights.step.floats, bias: weights.stepBias.floats,
    rows: sizes.rows, columns: sizes.channels, inner: sizes.rank, aStride: projected.stepStride,
    bStride: sizes.rank, cStride: sizes.channels, transposeB: true, bf16: bf16)
  withExtendedLifetime((projected, weights.all)) {}
  return delta
}

private func selectiveSSMBackward(
  _ dout: Tensor, xz: Tensor, p: Tensor, checkpoints: Tensor, weights: SelectiveSSMWeights,
  sizes: Sizes, bf16: Bool
) -> [Tensor?] {
  let (rows, channels, rank) = (sizes.rows, sizes.channels, sizes.rank)
  let s = convolved(xz, weights, sizes, window: nil)
  let projected = Projected(p, weights, sizes)
  let delta = steps(projected, weights, sizes, bf16: bf16)
  let dxz = Tensor(uninitialized: xz.shape)
  let ds = Tensor(uninitialized: s.shape)
  let ddelta = Tensor(uninitialized: delta.shape)
  let dprojected = projected.gradients()
  let dlogA = Tensor(uninitialized: weights.logA.shape)
  let dskip = Tensor(uninitialized: weights.skip.shape)
  var shape = projected.scanShape(sizes)
  apus_selective_scan_backward_f32(
    ds.floats, ddelta.floats, dlogA.floats, dprojected.b, dprojected.c, dskip.floats,
    dxz.floats + channels, dout.floats, checkpoints.floats, s.floats, delta.floats,
    weights.logA.floats, projected.b, projected.c, weights.skip.floats, xz.floats + channels, &shape
  )
  // Through the step's projection: its weight, its bias, and the low-rank step sizes.
  let dstep = Tensor(uninitialized: weights.step.shape)
  product(
    dstep.floats, ddelta.floats, projected.step, rows: channels, columns: rank, inner: rows,
    aStride: channels, bStride: projected.stepStride, cStride: rank, transposeA: true, bf16: bf16)
  let dstepBias = Tensor(uninitialized: [channels])
  apus_column_sum_f32(dstepBias.floats, ddelta.floats, rows, channels, channels, 0)
  product(
    dprojected.step, ddelta.floats, weights.step.floats, rows: rows, columns: rank,
    inner: channels, aStride: channels, bStride: rank, cStride: projected.stepStride, bf16: bf16)
  let (dp, dnorms) = dprojected.back(to: p, weights, sizes)
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
  withExtendedLifetime((dout, xz, p, projected, checkpoints, weights.all)) {}
  return [dxz, dconvolution, dprojection, dstep, dstepBias, dlogA, dskip]
    + (dbias.map { [$0] } ?? []) + dnorms
}
