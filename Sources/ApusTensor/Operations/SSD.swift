import CApusKernels

/// The sizes and constants of a mixer by state space duality.
public struct SSDLayout: Sendable, Hashable {
  /// Heads, H: each with its own decay and step size.
  public var heads: Int
  /// Channels of a head, P; E = H · P.
  public var headSize: Int
  /// Groups of heads, G, that share B and C. G divides H.
  public var groups: Int
  /// States of each channel, N.
  public var states: Int
  /// The bounds of the step size.
  public var stepLimits: ClosedRange<Float>
  /// Added to the mean square in the norm behind the gate.
  public var epsilon: Float
  /// Tokens of a chunk, Q: changes rounding and speed, nothing else.
  public var chunk: Int

  /// Puts the parts together; `chunk` is at most what the kernels are tuned for.
  public init(
    heads: Int, headSize: Int, groups: Int, states: Int,
    stepLimits: ClosedRange<Float> = 0...Float.infinity, epsilon: Float = 1e-5, chunk: Int = .max
  ) {
    self.heads = heads
    self.headSize = headSize
    self.groups = groups
    self.states = states
    self.stepLimits = stepLimits
    self.epsilon = epsilon
    self.chunk = max(1, min(chunk, apus_ssd_chunk()))
  }

  /// E, the channels of all heads.
  public var channels: Int { heads * headSize }
  /// E + 2GN, what the convolution sees: x, B and C.
  public var convolved: Int { channels + 2 * groups * states }
  /// 2E + 2GN + H, a row of the input projection: z, x, B, C and the step sizes.
  public var projected: Int { channels + convolved + heads }
}

/// The weights of a mixer by state space duality, between its two projections.
public struct SSDWeights: Sendable {
  /// Convolution, `[E + 2GN, 1, K]`.
  public var convolution: Tensor
  /// `[E + 2GN]`, or nil.
  public var convolutionBias: Tensor?
  /// Added to the step size before softplus, `[H]`.
  public var stepBias: Tensor
  /// `ln(−A)`, `[H]`.
  public var logA: Tensor
  /// The skip of each head, `[H]`.
  public var skip: Tensor
  /// The gain of the norm behind the gate, `[E]`.
  public var gain: Tensor

  /// Names each weight.
  public init(
    convolution: Tensor, convolutionBias: Tensor?, stepBias: Tensor, logA: Tensor, skip: Tensor,
    gain: Tensor
  ) {
    self.convolution = convolution
    self.convolutionBias = convolutionBias
    self.stepBias = stepBias
    self.logA = logA
    self.skip = skip
    self.gain = gain
  }

  var all: [Tensor] {
    [convolution, stepBias, logA, skip, gain] + (convolutionBias.map { [$0] } ?? [])
  }

  var detached: SSDWeights {
    SSDWeights(
      convolution: convolution.detached(), convolutionBias: convolutionBias?.detached(),
      stepBias: stepBias.detached(), logA: logA.detached(), skip: skip.detached(),
      gain: gain.detached())
  }
}

/// The state of a mixer by state space duality between tokens: constant in time.
public struct SSDState: Sendable {
  /// The last K − 1 inputs of the convolution, `[B, K − 1, E + 2GN]`.
  package var window: Tensor
  /// h, `[B, H, N, P]`.
  package var hidden: Tensor

  /// The state before the first token.
  public init(batch: Int, layout: SSDLayout, convolutionWidth: Int) {
    window = Tensor(zeros: [batch, convolutionWidth - 1, layout.convolved])
    hidden = Tensor(zeros: [batch, layout.heads, layout.states, layout.headSize])
  }
}

extension SSDState: TensorState {
  static var parts: [any WritableKeyPath<SSDState, Tensor> & Sendable] { [\.window, \.hidden] }
}

extension Tensor {
  /// Mamba-2's mixer between its projections: convolution, SiLU, state space, gate, norm, as one node.
  ///
  /// Dao and Gu, 2024, *Transformers are SSMs*, arXiv:2405.21060, section 6, in float whatever the
  /// precision of products. Backward rebuilds the convolution and the decays; it keeps the input, the
  /// output of the state space and one state per chunk.
  /// The tensor is `[B, T, 2E + 2GN + H]`: gate, x, B, C, step sizes.
  /// - Parameters:
  ///   - weights: The mixer's weights.
  ///   - layout: Its sizes.
  /// - Returns: `[B, T, E]`.
  public func ssd(weights: SSDWeights, layout: SSDLayout) -> Tensor {
    let call = Call(self, weights, layout)
    let records =
      (isTracked || weights.all.contains(where: \.isTracked))
      && Arithmetic.current.recordsGradients
    let xbc = call.convolve(self, weights, window: nil)
    let y = Tensor(uninitialized: [call.batch, call.time, layout.channels])
    var shape = call.shape
    let chunks = (call.time + layout.chunk - 1) / layout.chunk
    let checkpoints =
      records
      ? Tensor(
        uninitialized: [call.batch, chunks, layout.heads, layout.states * layout.headSize]) : nil
    let parts = call.parts(xbc.floats)
    apus_ssd_f32(
      y.floats, nil, checkpoints?.floats, parts.x, parts.b, parts.c, floats + call.stepColumn,
      weights.stepBias.floats, weights.logA.floats, weights.skip.floats, &shape)
    let o = call.normalize(y, self, weights)
    withExtendedLifetime((self, xbc, weights.all)) {}
    guard records, let checkpoints else { return o }
    let (saved, savedInput) = (weights.detached, detached())
    return o.tracked(from: [self] + weights.all) { dout in
      ssdBackward(
        dout, zxbcdt: savedInput, y: y, checkpoints: checkpoints, weights: saved, call: call)
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func ssd(weights: SSDWeights, layout: SSDLayout, state: inout SSDState) -> Tensor {
    let call = Call(self, weights, layout)
    precondition(
      state.hidden.shape == [call.batch, layout.heads, layout.states, layout.headSize],
      "ssd: the state is \(state.hidden.shape), the input \(self.shape)")
    let xbc = state.window.withMutableFloats {
      call.convolve(self, weights, window: $0.baseAddress)
    }
    let y = Tensor(uninitialized: [call.batch, call.time, layout.channels])
    var shape = call.shape
    let parts = call.parts(xbc.floats)
    let dt = floats + call.stepColumn
    state.hidden.withMutableFloats { hidden in
      guard let h = hidden.baseAddress else { return }
      if call.time <= fewTokens {
        apus_ssd_step_f32(
          y.floats, h, parts.x, parts.b, parts.c, dt, weights.stepBias.floats, weights.logA.floats,
          weights.skip.floats, &shape)
      } else {
        apus_ssd_f32(
          y.floats, h, nil, parts.x, parts.b, parts.c, dt, weights.stepBias.floats,
          weights.logA.floats, weights.skip.floats, &shape)
      }
    }
    withExtendedLifetime((self, xbc, weights.all)) {}
    return call.normalize(y, self, weights)
  }
}

/// Up to here the recurrence beats the chunked form, whose tiles would be mostly empty.
private let fewTokens = 16

/// Where the parts of a row of x, B and C start.
private struct Parts<Pointer> {
  let x: Pointer, b: Pointer, c: Pointer
}

/// One call's sizes, and the steps that forward and backward share.
private struct Call {
  let layout: SSDLayout
  let batch: Int, time: Int, taps: Int

  init(_ zxbcdt: Tensor, _ weights: SSDWeights, _ layout: SSDLayout) {
    self.layout = layout
    (batch, time) = (zxbcdt.shape[0], zxbcdt.shape[1])
    taps = weights.convolution.count / max(layout.convolved, 1)
    precondition(
      zxbcdt.shape[2] == layout.projected && weights.convolution.shape[0] == layout.convolved
        && weights.logA.count == layout.heads && weights.gain.count == layout.channels
        && layout.heads % layout.groups == 0,
      "ssd: rows of \(zxbcdt.shape), convolution \(weights.convolution.shape), \(layout)")
  }

  var rows: Int { batch * time }
  /// The column where the step sizes start.
  var stepColumn: Int { layout.channels + layout.convolved }
  var shape: apus_ssd_shape {
    apus_ssd_shape(
      batch: batch, time: time, heads: layout.heads, head_size: layout.headSize,
      groups: layout.groups, states: layout.states, x_stride: layout.convolved,
      dt_stride: layout.projected, chunk: layout.chunk, step_low: layout.stepLimits.lowerBound,
      step_high: layout.stepLimits.upperBound)
  }

  func parts(_ row: UnsafeMutablePointer<Float>) -> Parts<UnsafeMutablePointer<Float>> {
    let b = row + layout.channels
    return Parts(x: row, b: b, c: b + layout.groups * layout.states)
  }

  /// silu of the causal convolution of the columns x, B and C.
  func convolve(
    _ zxbcdt: Tensor, _ weights: SSDWeights, window: UnsafeMutablePointer<Float>?
  ) -> Tensor {
    let xbc = Tensor(uninitialized: [batch, time, layout.convolved])
    apus_causal_conv_silu_f32(
      xbc.floats, window, zxbcdt.floats + layout.channels, weights.convolution.floats,
      weights.convolutionBias?.floats, batch, time, layout.convolved, taps, layout.projected)
    withExtendedLifetime((zxbcdt, weights.all)) {}
    return xbc
  }

  /// The gate, then the norm by groups.
  func normalize(_ y: Tensor, _ zxbcdt: Tensor, _ weights: SSDWeights) -> Tensor {
    let o = Tensor(uninitialized: y.shape)
    apus_gated_rms_norm_f32(
      o.floats, y.floats, zxbcdt.floats, weights.gain.floats, rows, layout.channels, layout.groups,
      layout.projected, layout.epsilon)
    withExtendedLifetime((y, zxbcdt, weights.all)) {}
    return o
  }
}

private func ssdBackward(
  _ dout: Tensor, zxbcdt: Tensor, y: Tensor, checkpoints: Tensor, weights: SSDWeights, call: Call
) -> [Tensor?] {
  let layout = call.layout
  let xbc = call.convolve(zxbcdt, weights, window: nil)
  let dinput = Tensor(uninitialized: zxbcdt.shape)
  let dy = Tensor(uninitialized: y.shape)
  let dgain = Tensor(uninitialized: weights.gain.shape)
  apus_gated_rms_norm_backward_f32(
    dy.floats, dinput.floats, dgain.floats, dout.floats, y.floats, zxbcdt.floats,
    weights.gain.floats, call.rows, layout.channels, layout.groups, layout.projected,
    layout.epsilon)
  let dxbc = Tensor(uninitialized: xbc.shape)
  let dstepBias = Tensor(uninitialized: weights.stepBias.shape)
  let dlogA = Tensor(uninitialized: weights.logA.shape)
  let dskip = Tensor(uninitialized: weights.skip.shape)
  var shape = call.shape
  let (parts, dparts) = (call.parts(xbc.floats), call.parts(dxbc.floats))
  apus_ssd_backward_f32(
    dparts.x, dparts.b, dparts.c, dinput.floats + call.stepColumn, dstepBias.floats, dlogA.floats,
    dskip.floats, dy.floats, checkpoints.floats, parts.x, parts.b, parts.c,
    zxbcdt.floats + call.stepColumn, weights.stepBias.floats, weights.logA.floats,
    weights.skip.floats, &shape)
  let dconvolution = Tensor(uninitialized: weights.convolution.shape)
  let dbias = weights.convolutionBias.map { Tensor(uninitialized: $0.shape) }
  apus_causal_conv_silu_backward_f32(
    dinput.floats + layout.channels, dconvolution.floats, dbias?.floats, dxbc.floats,
    zxbcdt.floats + layout.channels, weights.convolution.floats, weights.convolutionBias?.floats,
    call.batch, call.time, layout.convolved, call.taps, layout.projected, layout.projected)
  withExtendedLifetime((dout, zxbcdt, y, checkpoints, weights.all, xbc, dy, dxbc)) {}
  return [dinput, dconvolution, dstepBias, dlogA, dskip, dgain] + (dbias.map { [$0] } ?? [])
}
