public import ApusTensor

/// When a run ends at the latest. With both limits, the first that is reached counts.
public struct Budget: Codable, Hashable, Sendable {
  /// Wall seconds from the first step on, with validation and checkpoints in them. How many steps fit
  /// depends on the machine, so the result does too.
  public var seconds: Double?
  /// Steps of the optimizer. Alone, it makes the result a function of options and data to the bit.
  public var steps: Int?

  /// Creates a budget.
  public init(seconds: Double? = nil, steps: Int? = nil) {
    self.seconds = seconds
    self.steps = steps
  }

  /// So much time.
  public static func seconds(_ seconds: Double) -> Budget { Budget(seconds: seconds) }

  /// So many steps.
  public static func steps(_ steps: Int) -> Budget { Budget(steps: steps) }
}

/// How often something is done.
public enum Interval: Codable, Hashable, Sendable {
  /// Every so many steps.
  case steps(Int)
  /// Every so many seconds.
  case seconds(Double)
  /// Whenever another such share of the budget is spent.
  case share(Double)
  /// Whenever such a share of the budget is spent at the most, and more often before: each gap is a
  /// quarter of what is spent, from a tenth of the share up to all of it.
  case widening(to: Double)
}

/// Where and how often a run is saved.
public struct CheckpointOptions: Codable, Hashable, Sendable {
  /// A folder of the run's own; made when it is not there.
  public var directory: String
  /// How often, besides at every best validation and at the end; by default every five minutes.
  public var every = Interval.seconds(300)
  /// How many of the last stay, besides the best; by default 2.
  public var keepLast = 2

  /// Creates the default options for a folder.
  public init(directory: String) { self.directory = directory }
}

/// How a run goes.
public struct TrainerOptions: Codable, Hashable, Sendable {
  /// The kind of optimizer.
  public enum OptimizerKind: String, Codable, CaseIterable, Sendable {
    /// AdamW.
    case adamW
    /// Gradient descent with momentum.
    case sgd
  }

  /// When it ends at the latest; by default after a minute.
  public var budget = Budget.seconds(60)
  /// The learning rate; by default up to 0.001 within a twentieth of the budget, then by a cosine
  /// down to 0.0001.
  public var schedule = Schedule()
  /// By default AdamW.
  public var optimizer = OptimizerKind.adamW
  /// AdamW's β₁; by default 0.9.
  public var beta1 = 0.9
  /// AdamW's β₂; by default 0.95, as GPT-3 has it: runs are short.
  public var beta2 = 0.95
  /// AdamW's ε; by default 1e-8.
  public var epsilon = 1e-8
  /// The momentum of `sgd`; by default 0.9.
  public var momentum = 0.9
  /// The decay of matrices; by default 0.1.
  public var weightDecay = 0.1
  /// The largest norm of the gradient; by default 1, nil for no limit.
  public var clip: Double? = 1
  /// Micro-batches to a step, whose gradients are averaged; by default 1.
  public var microBatches = 1
  /// How often to validate; by default at every twentieth of the budget. At the end always. Under a
  /// budget in seconds, less often where it would take more than a fifth of the time.
  public var validateEvery = Interval.share(0.05)
  /// How many validations without a better one end the run; by default none do.
  public var patience: Int?
  /// How many steps in a row with a loss or gradient that is no number end the run; by default 10.
  /// Such steps change nothing.
  public var maximumSkippedSteps = 10
  /// Seed for all randomness. Default: 0.
  public var seed: UInt64 = 0
  /// Of matrix products; by default float.
  public var precision = Precision.float32
  /// Whether blocks of the model keep only their input and compute the rest again in backward: memory
  /// for one more forward pass; by default not.
  public var recomputesBlocks = false

  /// Where and how often the run is saved; by default nowhere: the best weights are kept in memory.
  public var checkpoints: CheckpointOptions?

  /// Creates the default options.
  public init() {}

  /// Creates options with the defaults for all but the budget.
  public init(budget: Budget) { self.budget = budget }

  /// Checks every option.
  ///
  /// - Throws: ``TrainingError/option(name:found:expected:)``.
  public func validate() throws {
    func require(
      _ holds: Bool, _ name: String, _ found: some Any, _ expected: String
    ) throws {
      guard holds else {
        throw TrainingError.option(name: name, found: "\(found)", expected: expected)
      }
    }
    func finite(_ value: Double, _ name: String, atLeast low: Double = 0) throws {
      try require(value.isFinite && value >= low, name, value, "a number of at least \(low)")
    }
    try require(
      budget.seconds != nil || budget.steps != nil, "budget", "nothing", "seconds or steps")
    if let seconds = budget.seconds { try finite(seconds, "budget.seconds") }
    if let steps = budget.steps {
      try require(
        (0...CheckpointStore.mostSteps).contains(steps), "budget.steps", steps, "in 0...2⁴⁰")
    }
    try finite(schedule.peak, "schedule.peak")
    try finite(schedule.floor, "schedule.floor")
    try require(
      schedule.floor <= schedule.peak, "schedule.floor", schedule.floor,
      "at most the peak, \(schedule.peak)")
    switch schedule.warmup {
    case .steps(let steps): try require(steps >= 0, "schedule.warmup", steps, "at least 0 steps")
    case .share(let share):
      try require(share >= 0 && share < 1, "schedule.warmup", share, "a share in 0..<1")
    }
    for (name, value) in [("beta1", beta1), ("beta2", beta2), ("momentum", momentum)] {
      try require(value >= 0 && value < 1, name, value, "a number in 0..<1")
    }
    try require(epsilon > 0 && epsilon.isFinite, "epsilon", epsilon, "a number above 0")
    try finite(weightDecay, "weightDecay")
    if let clip { try require(clip > 0 && clip.isFinite, "clip", clip, "a number above 0") }
    try require((1...1 << 20).contains(microBatches), "microBatches", microBatches, "in 1...2²⁰")
    if let patience { try require(patience >= 1, "patience", patience, "at least 1") }
    try require(
      maximumSkippedSteps >= 1, "maximumSkippedSteps", maximumSkippedSteps, "at least 1")
    try validateEvery.validate("validateEvery")
    if let checkpoints {
      let (name, count) = (checkpoints.directory, checkpoints.keepLast)
      try require(
        !name.isEmpty && !name.utf8.contains(0), "checkpoints.directory", "'\(name)'", "a path")
      try require(count >= 1, "checkpoints.keepLast", count, "at least 1")
      try checkpoints.every.validate("checkpoints.every")
    }
  }

  func makeOptimizer(_ parameters: [Parameter]) -> any Optimizer {
    switch optimizer {
    case .adamW:
      AdamW(
        parameters, betas: (Float(beta1), Float(beta2)), epsilon: Float(epsilon),
        weightDecay: Float(weightDecay))
    case .sgd:
      SGD(parameters, momentum: Float(momentum), weightDecay: Float(weightDecay))
    }
  }
}

extension Interval {
  func validate(_ name: String) throws {
    let holds =
      switch self {
      case .steps(let steps): steps >= 1
      case .seconds(let seconds): seconds >= 0 && seconds.isFinite
      case .share(let share), .widening(let share): share > 0 && share.isFinite
      }
    guard holds else {
      throw TrainingError.option(name: name, found: "\(self)", expected: "an interval above 0")
    }
  }
}
