public import ApusTensor

/// Turns gradients into changes of parameters.
public protocol Optimizer {
  /// The parameters that it updates.
  var parameters: [Parameter] { get }

  /// Makes one step from the gradients gathered in the parameters.
  ///
  /// - Parameters:
  ///   - learningRate: The learning rate.
  ///   - gradientScale: Multiplies every gradient first: clipping, and the mean over micro-batches.
  mutating func update(learningRate: Float, gradientScale: Float)

  /// The state between steps, for checkpoints. The tensors are views of its memory: write
  /// them before the next update.
  var state: [String: Tensor] { get }

  /// Continues from what ``state`` gave.
  ///
  /// - Throws: ``TrainingError/wrongTensor(tensor:problem:)``.
  mutating func restore(_ state: [String: Tensor]) throws
}

/// Adam with decoupled weight decay. Loshchilov and Hutter, 2017, *Decoupled Weight Decay
/// Regularization*, arXiv:1711.05101, algorithm 2. Only matrices decay.
public struct AdamW: Optimizer {
  /// The trainable ones among those it was given, each once.
  public let parameters: [Parameter]
  /// β₁ and β₂, the shares that the running averages keep at every step.
  public let betas: (first: Float, second: Float)
  /// Added to the root of the second moment.
  public let epsilon: Float
  /// λ, times the learning rate.
  public let weightDecay: Float
  /// How many updates were made.
  public private(set) var updates = 0
  private var firstMoments: [Tensor]
  private var secondMoments: [Tensor]

  /// Creates the optimizer.
  public init(
    _ parameters: [Parameter], betas: (first: Float, second: Float) = (0.9, 0.999),
    epsilon: Float = 1e-8, weightDecay: Float = 0.01
  ) {
    self.parameters = trainable(parameters)
    self.betas = betas
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    firstMoments = self.parameters.map { Tensor(zeros: $0.shape) }
    secondMoments = self.parameters.map { Tensor(zeros: $0.shape) }
  }

  public mutating func update(learningRate: Float, gradientScale: Float) {
    updates += 1
    for (index, parameter) in parameters.enumerated() {
      parameter.applyAdamW(
        firstMoment: &firstMoments[index], secondMoment: &secondMoments[index],
        learningRate: learningRate, beta1: betas.first, beta2: betas.second, epsilon: epsilon,
        weightDecay: parameter.isDecayed ? weightDecay : 0, gradientScale: gradientScale,
        step: updates)
    }
  }

  public var state: [String: Tensor] {
    var state = ["updates": counter(updates)]
    for (index, parameter) in parameters.enumerated() {
      state[parameter.name + ".first_moment"] = firstMoments[index]
      state[parameter.name + ".second_moment"] = secondMoments[index]
    }
    return state
  }

  public mutating func restore(_ state: [String: Tensor]) throws {
    updates = try readCounter("updates", of: state)
    for (index, parameter) in parameters.enumerated() {
      let name = parameter.name
      firstMoments[index] = try read(name + ".first_moment", parameter.shape, of: state)
      secondMoments[index] = try read(name + ".second_moment", parameter.shape, of: state)
    }
  }
}

/// Gradient descent with momentum: `v = momentum · v + g + decay · p; p −= rate · v`. Only matrices
/// decay.
public struct SGD: Optimizer {
  /// The trainable ones among those it was given, each once.
  public let parameters: [Parameter]
  /// The share of the velocity that every step keeps.
  public let momentum: Float
  /// Added to the gradient, times the parameter.
  public let weightDecay: Float
  private var velocities: [Tensor]

  /// Creates the optimizer.
  public init(_ parameters: [Parameter], momentum: Float = 0, weightDecay: Float = 0) {
    self.parameters = trainable(parameters)
    self.momentum = momentum
    self.weightDecay = weightDecay
    velocities = self.parameters.map { Tensor(zeros: $0.shape) }
  }

  public mutating func update(learningRate: Float, gradientScale: Float) {
    for (index, parameter) in parameters.enumerated() {
      parameter.applySGD(
        velocity: &velocities[index], learningRate: learningRate, momentum: momentum,
        weightDecay: parameter.isDecayed ? weightDecay : 0, gradientScale: gradientScale)
    }
  }

  public var state: [String: Tensor] {
    let pairs = zip(parameters, velocities).map { ($0.name + ".velocity", $1) }
    return Dictionary(pairs) { first, _ in first }
  }

  public mutating func restore(_ state: [String: Tensor]) throws {
    for (index, parameter) in parameters.enumerated() {
      velocities[index] = try read(parameter.name + ".velocity", parameter.shape, of: state)
    }
  }
}

// MARK: Parts

/// Each trainable parameter once: tied weights come several times.
private func trainable(_ parameters: [Parameter]) -> [Parameter] {
  var seen: Set<ObjectIdentifier> = []
  return parameters.filter { $0.isTrainable && seen.insert(ObjectIdentifier($0)).inserted }
}

private func counter(_ value: Int) -> Tensor {
  // Two halves, since a step may one day pass 2³¹.
  Tensor([Int32(truncatingIfNeeded: value >> 31), Int32(value & 0x7FFF_FFFF)], [2])
}

private func readCounter(_ name: String, of state: [String: Tensor]) throws -> Int {
  guard let tensor = state[name], tensor.dtype == .int32, tensor.shape == [2] else {
    throw TrainingError.wrongTensor(tensor: name, problem: "is missing or of another kind")
  }
  let halves = tensor.integers
  guard halves[0] >= 0, halves[1] >= 0 else {
    throw TrainingError.wrongTensor(tensor: name, problem: "is negative")
  }
  return Int(halves[0]) << 31 | Int(halves[1])
}

private func read(
  _ name: String, _ shape: Shape, of state: [String: Tensor]
) throws -> Tensor {
  guard let tensor = state[name], tensor.dtype == .float32 else {
    throw TrainingError.wrongTensor(tensor: name, problem: "is missing or not F32")
  }
  guard tensor.shape == shape else {
    throw TrainingError.wrongTensor(
      tensor: name, problem: "is \(tensor.shape), but the parameter is \(shape)")
  }
  return tensor.copied()
}
