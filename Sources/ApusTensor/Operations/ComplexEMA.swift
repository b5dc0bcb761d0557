import CApusKernels

/// The parameters of a complex exponential moving average of D channels with N modes each, as they
/// are learned.
public struct ComplexEMAWeights {
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

  /// Calls a kernel with the parameters as it asks for them.
  func withPointers<Result>(_ kernel: (inout apus_complex_ema_parameters) -> Result) -> Result {
    ApusTensor.withPointers(alpha, delta, theta, gamma, omega, in: "complexEMA") {
      var pointers = apus_complex_ema_parameters(
        alpha: $0, delta: $1, theta: $2, gamma: $3, omega: $4)
      return kernel(&pointers)
    }
  }

  func shape(_ x: Tensor) -> apus_complex_ema_shape {
    let (channels, modes) = (channels, modes)
    ensure(
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
  package var hidden: TensorValue

  /// The state before the first token.
  public init(batch: Int, channels: Int, modes: Int) {
    hidden = Tensor(zeros: [batch, 2, modes, channels]).contents
  }
}

extension ComplexEMAState: TensorState {
  static var parts: [any WritableKeyPath<ComplexEMAState, TensorValue> & Sendable] { [\.hidden] }
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
    let records = Tensor.records([self] + weights.all)
    let chunks = (shape.time + shape.chunk - 1) / shape.chunk
    let checkpoints =
      records
      ? Tensor(uninitialized: [shape.batch, chunks, 2, shape.modes, shape.channels]) : nil
    let y = Tensor(uninitialized: self.shape)
    weights.withPointers { weights in
      withPointers(y.out, checkpoints?.out, self) {
        apus_complex_ema_f32($0, nil, $1, $2, &weights, &shape)
      }
    }
    guard records, let checkpoints else { return y }
    let (saved, savedX) = (weights.detached, detached())
    return y.tracked(from: [self] + weights.all) { dy in
      let dx = Tensor(uninitialized: savedX.shape)
      let gradients = saved.all.map { Tensor(uninitialized: $0.shape) }
      let g = gradients.map(\.out)
      var shape = shape
      withPointers(g[0], g[1], g[2], g[3], g[4]) {
        var targets = apus_complex_ema_gradients(
          alpha: $0, delta: $1, theta: $2, gamma: $3, omega: $4)
        saved.withPointers { weights in
          withPointers(dx.out, dy, checkpoints, savedX) {
            apus_complex_ema_backward_f32($0, &targets, nil, $1, $2, $3, &weights, &shape)
          }
        }
      }
      return [dx] + gradients
    }
  }

  /// The same from a given state, which is advanced by T tokens. Records nothing.
  public func complexEMA(weights: ComplexEMAWeights, state: inout ComplexEMAState) -> Tensor {
    var shape = weights.shape(self)
    ensure(
      state.hidden.shape == [shape.batch, 2, shape.modes, shape.channels],
      "complexEMA: the state is \(state.hidden.shape), the input \(self.shape)")
    let y = Tensor(uninitialized: self.shape)
    state.hidden.makeUnique()
    weights.withPointers { weights in
      withPointers(y.out, state.hidden.out, self) {
        apus_complex_ema_f32($0, $1, nil, $2, &weights, &shape)
      }
    }
    return y
  }
}
