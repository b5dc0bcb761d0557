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
public struct SSDWeights {
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
    [convolution, stepBias, logA, skip, gain] + [convolutionBias].compactMap(\.self)
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
  package var window: TensorValue
  /// h, `[B, H, N, P]`.
  package var hidden: TensorValue

  /// The state before the first token.
  public init(batch: Int, layout: SSDLayout, convolutionWidth: Int) {
    window = Tensor(zeros: [batch, convolutionWidth - 1, layout.convolved]).contents
    hidden = Tensor(zeros: [batch, layout.heads, layout.states, layout.headSize]).contents
  }
}

extension SSDState: TensorState {
  static var parts: [any WritableKeyPath<SSDState, TensorValue> & Sendable] {
    [\.window, \.hidden]
  }
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
    let records = Tensor.records([self] + weights.all)
    let xbc = call.convolution(weights)(self)
    let y = Tensor(uninitialized: [call.batch, call.time, layout.channels])
    var shape = call.shape
    let chunks = (call.time + layout.chunk - 1) / layout.chunk
    let checkpoints =
      records
      ? Tensor(
        uninitialized: [call.batch, chunks, layout.heads, layout.states * layout.headSize]) : nil
    withPointers(y.out, checkpoints?.out) { y, checkpoints in
      call.read(xbc, self, weights) {
        apus_ssd_f32(y, nil, checkpoints, $0.x, $0.b, $0.c, $1, $2, $3, $4, &shape)
      }
    }
    let o = call.normalize(y, self, weights)
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
    ensure(
      state.hidden.shape == [call.batch, layout.heads, layout.states, layout.headSize],
      "ssd: the state is \(state.hidden.shape), the input \(self.shape)")
    state.window.makeUnique()
    state.hidden.makeUnique()
    let xbc = call.convolution(weights)(self, window: state.window.out)
    let y = Tensor(uninitialized: [call.batch, call.time, layout.channels])
    var shape = call.shape
    withPointers(y.out, state.hidden.out) { y, hidden in
      call.read(xbc, self, weights) {
        if call.time <= fewTokens {
          apus_ssd_step_f32(y, hidden, $0.x, $0.b, $0.c, $1, $2, $3, $4, &shape)
        } else {
          apus_ssd_f32(y, hidden, nil, $0.x, $0.b, $0.c, $1, $2, $3, $4, &shape)
        }
      }
    }
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
  let batch: Int, time: Int

  init(_ zxbcdt: Tensor, _ weights: SSDWeights, _ layout: SSDLayout) {
    self.layout = layout
    (batch, time) = (zxbcdt.shape[0], zxbcdt.shape[1])
    ensure(
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

  func parts<Pointer: Strideable>(_ row: Pointer) -> Parts<Pointer>
  where Pointer.Stride == Int {
    let b = row.advanced(by: layout.channels)
    return Parts(x: row, b: b, c: b.advanced(by: layout.groups * layout.states))
  }

  /// The causal convolution of the columns x, B and C.
  func convolution(_ weights: SSDWeights) -> CausalConvolution {
    CausalConvolution(
      weight: weights.convolution, bias: weights.convolutionBias, batch: batch, time: time,
      channels: layout.convolved, column: layout.channels, stride: layout.projected)
  }

  /// Calls a kernel with x, B and C, the step sizes, and the weights that it reads: those of the
  /// step, of A, of the skip.
  func read(
    _ xbc: Tensor, _ zxbcdt: Tensor, _ weights: SSDWeights,
    _ kernel: (
      Parts<UnsafePointer<Float>>, UnsafePointer<Float>, UnsafePointer<Float>,
      UnsafePointer<Float>, UnsafePointer<Float>
    ) -> Void
  ) {
    withPointers(
      xbc, zxbcdt.input.from(stepColumn), weights.stepBias, weights.logA, weights.skip, in: "ssd"
    ) { kernel(parts($0), $1, $2, $3, $4) }
  }

  /// The gate, then the norm by groups.
  func normalize(_ y: Tensor, _ zxbcdt: Tensor, _ weights: SSDWeights) -> Tensor {
    let o = Tensor(uninitialized: y.shape)
    withPointers(o.out, y, zxbcdt, weights.gain) {
      apus_gated_rms_norm_f32(
        $0, $1, $2, $3, rows, layout.channels, layout.groups, layout.projected, layout.epsilon)
    }
    return o
  }
}

private func ssdBackward(
  _ dout: Tensor, zxbcdt: Tensor, y: Tensor, checkpoints: Tensor, weights: SSDWeights, call: Call
) -> [Tensor?] {
  let layout = call.layout
  let convolution = call.convolution(weights)
  let xbc = convolution(zxbcdt)
  let dinput = Tensor(uninitialized: zxbcdt.shape)
  let dy = Tensor(uninitialized: y.shape)
  let dgain = Tensor(uninitialized: weights.gain.shape)
  withPointers(dy.out, dinput.out, dgain.out, dout, y, zxbcdt, weights.gain) {
    apus_gated_rms_norm_backward_f32(
      $0, $1, $2, $3, $4, $5, $6, call.rows, layout.channels, layout.groups, layout.projected,
      layout.epsilon)
  }
  let dxbc = Tensor(uninitialized: xbc.shape)
  let dstepBias = Tensor(uninitialized: weights.stepBias.shape)
  let dlogA = Tensor(uninitialized: weights.logA.shape)
  let dskip = Tensor(uninitialized: weights.skip.shape)
  var shape = call.shape
  withPointers(
    dxbc.out, dinput.out.from(call.stepColumn), dstepBias.out, dlogA.out, dskip.out, dy,
    checkpoints
  ) { dxbc, dstep, dstepBias, dlogA, dskip, dy, checkpoints in
    let d = call.parts(dxbc)
    call.read(xbc, zxbcdt, weights) {
      apus_ssd_backward_f32(
        d.x, d.b, d.c, dstep, dstepBias, dlogA, dskip, dy, checkpoints, $0.x, $0.b, $0.c, $1, $2,
        $3, $4, &shape)
    }
  }
  let (dconvolution, dbias) = convolution.gradients(of: dxbc, at: zxbcdt, to: dinput)
  return [dinput, dconvolution, dstepBias, dlogA, dskip, dgain] + (dbias.map { [$0] } ?? [])
}
