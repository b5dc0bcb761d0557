public import ApusModels
import ApusTensor
import Foundation

/// What a shared model is worth: tasks learned together, then new ones from few examples, beside models
/// that learn each new task from nothing; and whether anything old has changed.
public struct PathwaysExperiment: Codable, Sendable {
  /// How it is done.
  public struct Options: Codable, Sendable {
    /// Learned together.
    public var joint: [PathwaysExercise] = [.copy, .season, .shapes]
    /// Added, each to the task of its kind.
    public var added: [PathwaysExercise] = [.reverse, .growth, .waves]
    /// Steps of the joint phase.
    public var jointSteps = 1500
    /// Steps of each later training.
    public var steps = 400
    /// Examples to learn a new task from.
    public var sizes = [25, 50, 100, 200, 500, 1000]
    /// Experts of its own that a new task gets in each block of the upper half.
    public var ownExperts = 1
    /// Of weights and examples.
    public var seed: UInt64 = 0

    /// Creates the default.
    public init() {}
  }

  /// One number of examples.
  public struct Point: Codable, Sendable {
    /// Examples to learn from.
    public var examples: Int
    /// The loss on others of the grown model, and of one from scratch.
    public var grown: Double
    public var scratch: Double
  }

  /// One added task.
  public struct Added: Codable, Sendable {
    /// The task, and the one that it began as a copy of.
    public var task: String
    public var parent: String
    /// Parameters that it brought, and those of a model from scratch.
    public var newParameters: Int
    public var scratchParameters: Int
    /// By number of examples.
    public var points: [Point]
    /// Examples that a model from scratch needs to come to nine tenths of what it reaches with the most,
    /// over those that the grown one needs; nil where one of them never comes there.
    public var sampleEfficiency: Double?
    /// Weights and outputs of the earlier tasks that changed; empty for no forgetting.
    public var forgotten: [String]
    /// Whether the first step computed what the parent computes, to the bit.
    public var beginsAsParent: Bool
  }

  /// How it was done.
  public var options: Options
  /// The machine.
  public var machine: MachineDescription
  /// The loss of each joint task on unseen examples.
  public var joint: [String: Double]
  /// The added tasks.
  public var added: [Added]
  /// Of everything.
  public var seconds: Double

  /// Runs the experiment.
  ///
  /// - Parameters:
  ///   - options: How it is done.
  ///   - interruption: What may end it early.
  ///   - progress: Called with a few words now and then.
  /// - Throws: ``TrainingError``, ``ComparisonError/interrupted``, `ConfigError`.
  public init(
    _ options: Options, interruption: Interruption? = nil, progress: (String) -> Void = { _ in }
  ) throws {
    let start = ContinuousClock.now
    self.options = options
    machine = .current
    let base = try Self.jointModel(
      options.joint, steps: options.jointSteps, seed: options.seed, interruption: interruption)
    joint = Dictionary(
      uniqueKeysWithValues: options.joint.enumerated().map { index, exercise in
        let task = PathwaysSingleTask(base, task: index, exercise: exercise, examples: 1)
        return (exercise.rawValue, task.loss(of: 512))
      })
    progress("joint: \(joint.sorted { $0.key < $1.key }.map { "\($0) \(shortNumber($1))" })")
    let before = PathwaysFingerprint(base, exercises: options.joint)
    added = []
    for exercise in options.added {
      let kind = exercise.head
      guard let parent = options.joint.first(where: { $0.head.isAlike(kind) }) else { continue }
      var one = Added(
        task: exercise.rawValue, parent: parent.rawValue, newParameters: 0, scratchParameters: 0,
        points: [], sampleEfficiency: nil, forgotten: [], beginsAsParent: true)
      for size in options.sizes {
        let grown = try base.adding(
          exercise.rawValue, head: kind, parent: parent.rawValue, ownExperts: options.ownExperts,
          key: RandomKey(seed: options.seed, stream: 5))
        let number = grown.config.tasks.count - 1
        one.beginsAsParent =
          one.beginsAsParent && Self.isSame(base, grown, parent: parent, task: number)
        one.newParameters = grown.parameters(ofTask: number).reduce(0) { $0 + $1.shape.count }
        let scratch = try Pathways(
          Self.config([exercise]), key: RandomKey(seed: options.seed, stream: 6))
        one.scratchParameters = scratch.parameters.reduce(0) { $0 + $1.shape.count }
        func learned(_ model: Pathways, _ task: Int) throws -> Double {
          let single = PathwaysSingleTask(
            model, task: task, exercise: exercise, examples: size)
          try Self.train(
            single, steps: options.steps, peak: 1e-3, seed: options.seed,
            interruption: interruption)
          return single.loss(of: 512)
        }
        let point = Point(
          examples: size, grown: try learned(grown, number), scratch: try learned(scratch, 0))
        one.points.append(point)
        one.forgotten += PathwaysFingerprint(grown, exercises: options.joint).changes(since: before)
        progress(
          "\(exercise.rawValue), \(size) examples: \(shortNumber(point.grown)) grown, "
            + "\(shortNumber(point.scratch)) from scratch")
      }
      one.sampleEfficiency = Self.efficiency(one.points, untrained: Self.untrained(exercise))
      added.append(one)
    }
    seconds = (ContinuousClock.now - start).seconds
  }

  /// A small model of the given tasks.
  public static func config(_ exercises: [PathwaysExercise]) -> PathwaysConfig {
    var config = PathwaysConfig()
    config.tasks = exercises.map { PathwaysTask(name: $0.rawValue, head: $0.head) }
    return config
  }

  /// A model that has learned tasks together.
  ///
  /// - Parameters:
  ///   - exercises: The tasks.
  ///   - steps: Of one batch of each.
  ///   - seed: Of weights and examples.
  ///   - information: How much the choice of experts is to tell of the task.
  ///   - interruption: What may end the training early.
  ///   - progress: Called after every step.
  /// - Returns: The model.
  /// - Throws: ``TrainingError``, ``ComparisonError/interrupted``, `ConfigError`.
  public static func jointModel(
    _ exercises: [PathwaysExercise], steps: Int, seed: UInt64, information: Float = 0,
    interruption: Interruption? = nil,
    progress: (TrainingProgress) -> Void = { _ in }
  ) throws -> Pathways {
    let model = try Pathways(config(exercises), key: RandomKey(seed: seed))
    try train(
      PathwaysJointTask(model, exercises: exercises, seed: seed, information: information),
      steps: steps, peak: 2e-3, seed: seed, interruption: interruption, progress: progress)
    return model
  }

  /// Trains with the schedule that all phases share.
  public static func train(
    _ task: some TrainingTask, steps: Int, peak: Double, seed: UInt64,
    interruption: Interruption?, progress: (TrainingProgress) -> Void = { _ in }
  ) throws {
    var options = TrainerOptions(budget: .steps(steps))
    (options.seed, options.schedule.peak, options.schedule.floor) = (seed, peak, peak / 20)
    let record = try Trainer(options).run(task, interruption: interruption, progress: progress)
    if record.stopReason == .interrupted { throw ComparisonError.interrupted }
    guard record.stopReason != .diverged else { throw TrainingError.diverged(step: record.steps) }
  }

  /// Whether a fresh task's trunk gives the parent's bits.
  private static func isSame(
    _ base: Pathways, _ grown: Pathways, parent: PathwaysExercise, task: Int
  ) -> Bool {
    guard let source = try? base.task(named: parent.rawValue) else { return false }
    let input = parent.batch(0..<8, key: RandomKey(seed: 3)).input
    return withoutGradient {
      zip(
        base.trunk(input, task: source).hidden.values, grown.trunk(input, task: task).hidden.values
      ).allSatisfy { $0.bitPattern == $1.bitPattern }
    }
  }

  /// The loss of a model that has learned nothing.
  private static func untrained(_ exercise: PathwaysExercise) -> Double {
    guard let model = try? Pathways(config([exercise]), key: RandomKey(seed: 9)) else { return 0 }
    return PathwaysSingleTask(model, task: 0, exercise: exercise, examples: 1).loss(of: 256)
  }

  /// The ratio of the examples at which both come to nine tenths of the gain that learning from scratch
  /// has with the most, between sizes by the logarithm of the examples.
  static func efficiency(_ points: [Point], untrained: Double) -> Double? {
    guard let last = points.last else { return nil }
    let target = untrained - 0.9 * (untrained - last.scratch)
    func needed(_ loss: (Point) -> Double) -> Double? {
      guard let index = points.firstIndex(where: { loss($0) <= target }) else { return nil }
      let high = points[index]
      guard index > 0 else { return Double(high.examples) }
      let low = points[index - 1]
      let share = (loss(low) - target) / (loss(low) - loss(high))
      let (from, to) = (log(Double(low.examples)), log(Double(high.examples)))
      return exp(from + share * (to - from))
    }
    guard let grown = needed(\.grown), let scratch = needed(\.scratch) else { return nil }
    return scratch / grown
  }

  /// The result as JSON.
  public func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}

extension PathwaysTask.Head {
  /// Whether two heads ask for the same kind of thing.
  func isAlike(_ other: PathwaysTask.Head) -> Bool {
    switch (self, other) {
    case (.language, .language), (.forecast, .forecast), (.classes, .classes): true
    default: false
    }
  }
}
