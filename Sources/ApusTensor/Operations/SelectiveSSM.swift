import CApusKernels

/// The weights of a selective state space between its two projections.
public struct SelectiveSSMWeights {
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

  var all: [Tensor] {
    [convolution, projection, step, stepBias, logA, skip]
      + [convolutionBias].compactMap(\.self) + (norms?.all ?? [])
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
public struct SelectiveSSMNorms {
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
  package var window: TensorValue
  /// h, `[B, E, N]`.
  package var hidden: TensorValue

  /// The state before the first token.
  public init(batch: Int, channels: Int, states: Int, convolutionWidth: Int) {
    window = Tensor(zeros: [batch, convolutionWidth - 1, channels]).contents
    hidden = Tensor(zeros: [batch, channels, states]).contents
  }
}

extension SelectiveSSMState: TensorState {
  static var parts: [any WritableKeyPath<SelectiveSSMState, TensorValue> & Sendable] {
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
    let records = Tensor.records([self] + weights.all)
    let bf16 = Arithmetic.current.products == .bfloat16
    let s = sizes.convolution(weights)(self)
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
    scan(
      o, state: nil, checkpoints: checkpoints, s, delta, projected, weights, self, &shape)
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
    ensure(
      state.hidden.shape == [sizes.batch, sizes.channels, sizes.states],
      "selectiveSSM: the state is \(state.hidden.shape), the input \(self.shape)")
    state.window.makeUnique()
    state.hidden.makeUnique()
    let s = sizes.convolution(weights)(self, window: state.window.out)
    let p = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.projected])
    product(
      p, s, weights.projection, rows: sizes.rows, columns: sizes.projected, inner: sizes.channels,
      transposeB: true, bf16: false)
    let projected = Projected(p, weights, sizes)
    let delta = steps(projected, weights, sizes, bf16: false)
    let o = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.channels])
    var shape = projected.scanShape(sizes)
    scan(
      o, state: state.hidden.out, checkpoints: nil, s, delta, projected, weights, self, &shape)
    return o
  }
}

/// The sizes that the kernels ask for.
private struct Sizes {
  let batch: Int, time: Int, channels: Int, states: Int, rank: Int

  init(_ xz: Tensor, _ weights: SelectiveSSMWeights) {
    (batch, time) = (xz.shape[0], xz.shape[1])
    (channels, states, rank) = (weights.channels, weights.states, weights.rank)
    ensure(
      xz.shape[2] == 2 * channels && weights.projection.shape == [rank + 2 * states, channels],
      "selectiveSSM: rows of \(xz.shape), projection \(weights.projection.shape), A \(weights.logA.shape)"
    )
  }

  var rows: Int { batch * time }
  var projected: Int { rank + 2 * states }

  func convolution(_ weights: SelectiveSSMWeights) -> CausalConvolution {
    CausalConvolution(
      weight: weights.convolution, bias: weights.convolutionBias, batch: batch, time: time,
      channels: channels, column: 0, stride: 2 * channels)
  }
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
      ensure(weight.count == width, "selectiveSSM: a norm of \(weight.shape) for \(width)")
      withPointers(tensors[index].out, statistics[index].out, parts[index], weight) {
        apus_rms_norm_f32($0, $1, $2, $3, rows, width, norms.epsilon)
      }
    }
  }

  var isNormalized: Bool { tensors.count == 3 }
  /// The step sizes begin every row of this.
  var step: KernelInput<Float> { tensors[0].input }
  var stepStride: Int { tensors[0].shape.last }
  var b: KernelInput<Float> { isNormalized ? tensors[1].input : step.from(rank) }
  var c: KernelInput<Float> { isNormalized ? tensors[2].input : b.from(states) }

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
      withPointers(part.out, p) {
        apus_copy_rows_f32($0, $1 + offset, sizes.rows, width, width, sizes.projected, 0)
      }
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
      withPointers(gradient.out, dweight.out, part, weight, statistics[index]) {
        apus_rms_norm_backward_f32($0, $1, $0, $2, $3, $4, rows, width)
      }
      withPointers(dp.out, gradient) {
        apus_copy_rows_f32($0 + offset, $1, rows, width, sizes.projected, width, 0)
      }
      offset += width
      return dweight
    }
    return (dp, dnorms)
  }
}

/// The scan, gated by the second half of xz, to `o`.
private func scan(
  _ o: Tensor, state: KernelOutput<Float>?, checkpoints: Tensor?, _ s: Tensor, _ delta: Tensor,
  _ projected: Projected, _ weights: SelectiveSSMWeights, _ xz: Tensor,
  _ shape: inout apus_scan_shape
) {
  withPointers(o.out, state, checkpoints?.out) { o, state, checkpoints in
    withPointers(
      s, delta, weights.logA, projected.b, projected.c, weights.skip, xz.input.from(shape.channels)
    ) { apus_selective_scan_f32(o, state, checkpoints, $0, $1, $2, $3, $4, $5, $6, &shape) }
  }
}

/// The step sizes before softplus, from the low-rank ones.
private func steps(
  _ projected: Projected, _ weights: SelectiveSSMWeights, _ sizes: Sizes, bf16: Bool
) -> Tensor {
  let delta = Tensor(uninitialized: [sizes.batch, sizes.time, sizes.channels])
  product(
    delta.out, projected.step, weights.step.input, bias: weights.stepBias, rows: sizes.rows,
    columns: sizes.channels, inner: sizes.rank, aStride: projected.stepStride,
    bStride: sizes.rank, cStride: sizes.channels, transposeB: true, bf16: bf16)
  return delta
}

private func selectiveSSMBackward(
  _ dout: Tensor, xz: Tensor, p: Tensor, checkpoints: Tensor, weights: SelectiveSSMWeights,
  sizes: Sizes, bf16: Bool
) -> [Tensor?] {
  let (rows, channels, rank) = (sizes.rows, sizes.channels, sizes.rank)
  let convolution = sizes.convolution(weights)
  let s = convolution(xz)
  let projected = Projected(p, weights, sizes)
  let delta = steps(projected, weights, sizes, bf16: bf16)
  let dxz = Tensor(uninitialized: xz.shape)
  let ds = Tensor(uninitialized: s.shape)
  let ddelta = Tensor(uninitialized: delta.shape)
  let dprojected = projected.gradients()
  let dlogA = Tensor(uninitialized: weights.logA.shape)
  let dskip = Tensor(uninitialized: weights.skip.shape)
  var shape = projected.scanShape(sizes)
  withPointers(
    ds.out, ddelta.out, dlogA.out, dprojected.b.out, dprojected.c.out, dskip.out,
    dxz.out.from(channels)
  ) { ds, ddelta, dlogA, db, dc, dskip, dz in
    withPointers(dout, checkpoints) { dout, checkpoints in
      withPointers(
        s, delta, weights.logA, projected.b, projected.c, weights.skip, xz.input.from(channels)
      ) {
        apus_selective_scan_backward_f32(
          ds, ddelta, dlogA, db, dc, dskip, dz, dout, checkpoints, $0, $1, $2, $3, $4, $5, $6,
          &shape)
      }
    }
  }
  // Through the step's projection: its weight, its bias, and the low-rank step sizes.
  let dstep = Tensor(uninitialized: weights.step.shape)
  product(
    dstep.out, ddelta.input, projected.step, rows: channels, columns: rank, inner: rows,
    aStride: channels, bStride: projected.stepStride, cStride: rank, transposeA: true, bf16: bf16)
  let dstepBias = ddelta.columnSum(channels)
  product(
    dprojected.step.out, ddelta.input, weights.step.input, rows: rows, columns: rank,
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
  let (dconvolution, dbias) = convolution.gradients(of: ds, at: xz, to: dxz)
  return [dxz, dconvolution, dprojection, dstep, dstepBias, dlogA, dskip]
    + (dbias.map { [$0] } ?? []) + dnorms
}
