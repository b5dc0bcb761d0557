import CApusKernels

/// A tensor that training changes. A class, because tied weights, gradients and optimizer state all
/// refer to the same one; not `Sendable`, because its owner is the model it belongs to.
public final class Parameter {
  /// The name under which checkpoints know it, such as `backbone.layers.0.mixer.D`.
  public let name: String
  /// Whether the optimizer may decay it: matrices yes; norms, biases and the like no.
  public let isDecayed: Bool
  /// Whether it is part of the model but never learned, such as directions drawn once.
  public let isFixed: Bool
  /// The present value. Gradients flow to it while ``isTrainable``. Who keeps it keeps these numbers:
  /// a step of the optimizer writes them in place only where nobody else holds them.
  public private(set) var value: Tensor

  /// Creates a parameter that takes the memory of `value` as its own.
  public init(_ name: String, _ value: Tensor, isDecayed: Bool? = nil, isFixed: Bool = false) {
    self.name = name
    self.isFixed = isFixed
    self.isDecayed = !isFixed && (isDecayed ?? (value.shape.rank >= 2))
    var value = value.detached()
    if !value.contents.storage.isMapped, !isFixed { value.history = .leaf() }
    self.value = value
  }

  /// The shape of the value.
  public var shape: Shape { value.shape }

  /// Whether gradients flow here.
  public var isTrainable: Bool { value.isTracked }

  /// Stops or lets gradients flow. A mapped weight is copied into memory before it can be trained.
  /// Nothing makes a fixed one trainable.
  public func setTrainable(_ trainable: Bool) {
    guard trainable != isTrainable, !(trainable && isFixed) else { return }
    if trainable {
      if value.contents.storage.isMapped { value = value.copied() }
      value.history = .leaf()
    } else {
      value = value.detached()
    }
  }

  /// The sum of the gradients of ``Tensor/backward()`` since ``clearGradient()``, in the value's
  /// shape.
  public var gradient: Tensor? { value.gradient }

  /// Forgets the gradient.
  public func clearGradient() { value.history?.gradient = nil }

  /// Replaces the value by one of the same shape.
  public func set(_ newValue: Tensor) {
    ensure(newValue.shape == shape, "parameter '\(name)' is \(shape), not \(newValue.shape)")
    let history = value.history
    var fresh = newValue.detached().copied()
    fresh.history = history
    value = fresh
  }
}

// MARK: Optimizer steps, in place

extension Parameter {
  /// One AdamW update. `moments` are this parameter's two running averages, changed in place.
  package func applyAdamW(
    firstMoment: inout Tensor, secondMoment: inout Tensor, learningRate: Float, beta1: Float,
    beta2: Float, epsilon: Float, weightDecay: Float, gradientScale: Float, step: Int
  ) {
    guard let gradient else { return }
    var options = apus_adamw_options(
      learning_rate: learningRate, beta1: beta1, beta2: beta2, epsilon: epsilon,
      weight_decay: weightDecay, gradient_scale: gradientScale, step: Int64(step))
    value.contents.makeUnique()
    firstMoment.contents.makeUnique()
    secondMoment.contents.makeUnique()
    withPointers(value.out, firstMoment.out, secondMoment.out, gradient) {
      apus_adamw_f32($0, $1, $2, $3, value.count, &options)
    }
  }

  /// One step of gradient descent with momentum. `velocity` is changed in place.
  package func applySGD(
    velocity: inout Tensor, learningRate: Float, momentum: Float, weightDecay: Float,
    gradientScale: Float
  ) {
    guard let gradient else { return }
    value.contents.makeUnique()
    velocity.contents.makeUnique()
    withPointers(value.out, velocity.out, gradient) {
      apus_sgd_f32(
        $0, $1, $2, value.count, learningRate, momentum, weightDecay, gradientScale)
    }
  }

  /// The sum of squares of the gradient, in double; 0 without one.
  package var gradientSumOfSquares: Double {
    guard let gradient else { return 0 }
    return withPointers(gradient) { apus_sum_of_squares_f32($0, gradient.count) }
  }
}
