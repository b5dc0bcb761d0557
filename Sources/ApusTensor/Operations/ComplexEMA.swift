import CApusKernels

/// The parameters of a complex exponential moving average of D channels with N modes each, as they
/// are learned.
public struct ComplexEMAWeights: Sendable {
  /// Input share before the sigmoid, `[D, N]` or `[D, N, 1]`.
  public var alpha: Tensor
  /// Damping before the sigmoid, as ``alpha``.
  public var delta: Tensor
  /// Base angle before the sigmoid, D elements.
  public var theta: Tensor
  /// Output coefficients, real and imaginary part, `[D, N, 2]`.
  public var gamma: Tensor
  /// The skip of each channel, D elements.
  public var omega: Tensor

  /// Names each parameter.
  public init(alpha: Tensor, delta: Tensor, theta: Tensor, gamma: Tensor, omega: Tensor) {
    (self.alpha, self.delta, self.theta) = (alpha, delta, theta)
    (self.gamma, self.omega) = (gamma, omega)
  }

  /// D.
  var channels: Int { theta.count }
  /// N.
  var modes: Int { alpha.count / max(theta.count, 1) }
  var all: [Tensor] { [alpha, delta, theta, gamma, omega] }

  var detached: ComplexEMAWeights {
    ComplexEMAWeights(
      alpha: alpha.detached(), delta: delta.detached(), theta: theta.detached(),
      gamma: gamma.detached(), omega: omega.detached())
  }

  /// The pointers that the kernels ask for; `self` must outlive them.
  var pointers: apus_complex_ema_parameters {
    apus_complex_ema_parameters(
      alpha: alpha.floats, delta: delta.floats, theta: theta.floats, gamma: gamma.floats,
      omega: omega.floats)
  }

  func shape(_ x: Tensor) -> apus_complex_ema_shape {
    let (channels, modes) = (channels, modes)
    precondition(
      x.shape[2] == channels && alpha.count == channels * modes && delta.count == alpha.count
        && gamma.count == 2 * alpha.count && omega.count == channels,
      "complexEMA: x is \(x.shape), alpha \(alpha.shape), gamma \(gamma.shape)")
    return apus_complex_ema_shape(
      batch: x.shape[0], time: x.shape[1], channels: channels, modes: modes,
      chunk: apus_complex_ema_chunk())
  }
}

/// The state of a complex moving average: constant in time.
public struct ComplexEMAState: Sendable {
  /// `[B, 2, N, D]`: real parts, then imaginary parts.
  package var hidden: Tensor

  /// The state before the first token.
  public init(batch: Int, channels: Int, modes: Int) {
    hidden = Tensor(zeros: [batch, 2, modes, channels])
  }
}

extension ComplexEMAState: TensorState {
  static var parts: [any WritableKeyPath<ComplexEMAState, Tensor> & Sendable] { [\.hidden] }
}

extension Tensor {
  /// The complex exponential moving average of every channel over time, with its skip, as one node.
  ///
  /// Ma et al., 2024, *Megalodon*, arXiv:2404.08801, section 3.1, with the input coefficient of the
  /// authors' program, which is real. Backward rebuilds the states chunk by chunk, so that only the
  /// input and one state per chunk are kept.
  /// The tensor is `[B, T, D]`.
  /// - Parameter weights: The parameters.
  /// - Returns: `[B, T, D]`.
  public func complexEMA(weights: ComplexEMAWeights) -> Tensor {
    var shape = weights.shape(self)
    let records =
      (isTracked || weights.all.contains(where: \.isTracked)) && Arithmetic.current.recordsGradients
    let chunks = (shape.time + shape.chunk - 1) / shape.chunk
    let checkpoints =
      records
      ? Tensor(uninitialized: [shape.batch, chunks, 2, shape.modes, shape.channels]) : nil
    let y = Tensor(uninitialized: self.shape)
    var pointers = weights.pointers
    apus_complex_ema_f32(y.floats, nil, checkpoints?.floats, floats, &pointers, &shape)
    withExtendedLifetime((self, weights)) {}
    guard records, let checkpoints else { return y }
    let (saved, savedX) = (weights.detached, detached())
    return y.tracked(from: [self] + weights.all) { dy in
      let dx = Tensor(uninitialized: savedX.shape)
      let gradients = saved.all.map { Tensor(uninitialized: $0.shape) }
      var targets = apus_complex_ema_gradients(
        alpha: gradients[0].floats, delta: gradients[1].floats, theta: gradients[2].floats,
        gamma: gradients[3].floats, omega: gradients[4].floats)
      var (pointers, shape) = (saved.pointers, shape)
      apus_complex_ema_backward_f32(
        dx.floats, &targets, nil, dy.floats, checkpoints.floats, savedX.floats, &pointers, &shape)
      withExtendedLifetime((dy, checkpoints, savedX, saved)) {}
      return [dx] + gradients
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func complexEMA(weights: ComplexEMAWeights, state: inout ComplexEMAState) -> Tensor {
    var shape = weights.shape(self)
    precondition(
      state.hidden.shape == [shape.batch, 2, shape.modes, shape.channels],
      "complexEMA: the state is \(state.hidden.shape), the input \(self.shape)")
    let y = Tensor(uninitialized: self.shape)
    var pointers = weights.pointers
    state.hidden.withMutableFloats {
      apus_complex_ema_f32(y.floats, $0.baseAddress, nil, floats, &pointers, &shape)
    }
    withExtendedLifetime((self, weights)) {}
    return y
  }
}
