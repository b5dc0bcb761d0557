import ApusModels
import ApusTensor
import Foundation

/// What a shared model is worth: tasks learned together, then new ones from few examples, beside models
/// that learn each new task from nothing; and whether anything old has changed.
public struct PathwaysExperiment: Codable, Sendable {
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
  /// Seed of weights and examples.
  public var seed: UInt64 = 0

  /// Creates the default; nothing is done before ``run(progress:)``.
  public init() {}

  /// Runs the experiment.
  ///
  /// - Parameter progress: Called after the joint phase and after every added model, and awaited.
  /// - Returns: The finding.
  /// - Throws: ``TrainingError``, `ConfigError`. ``Interruption`` when the Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> PathwaysFindings {
    try await Interruption.naming("experiment") {
      let start = ContinuousClock.now
      let parts = Double(added.count * sizes.count + 1)
      let base = try await PathwaysTraining(joint, steps: jointSteps, seed: seed).model()
      let losses = Dictionary(
        uniqueKeysWithValues: joint.enumerated().map { index, exercise in
          let task = PathwaysSingleTask(base, task: index, exercise: exercise, examples: 1)
          return (exercise.rawValue, task.loss(of: 512))
        })
      let detail = losses.sorted { $0.key < $1.key }.map { "\($0) \(shortNumber($1))" }
      await progress(
        WorkProgress(
          phase: "joint", share: 1 / parts, detail: detail.joined(separator: ", ")))
      try Task.checkCancellation()
      let before = PathwaysFingerprint(base, exercises: joint)
      var found: [PathwaysFindings.Added] = []
      for exercise in added {
        guard let parent = joint.first(where: { $0.head.isAlike(exercise.head) }) else { continue }
        var one = PathwaysFindings.Added(task: exercise.rawValue, parent: parent.rawValue)
        for size in sizes {
          let point = try await add(exercise, to: base, parent, size, before, &one)
          let done = Double(found.count * sizes.count + one.points.count + 1)
          await progress(
            WorkProgress(
              phase: "\(exercise.rawValue), \(size) examples", share: done / parts,
              detail: "\(shortNumber(point.grown)) grown, "
                + "\(shortNumber(point.scratch)) from scratch"))
        }
        one.sampleEfficiency = Self.efficiency(one.points, untrained: Self.untrained(exercise))
        found.append(one)
      }
      return PathwaysFindings(
        options: self, machine: .current, joint: losses, added: found,
        seconds: (ContinuousClock.now - start).seconds)
    }
  }

  /// Learns a task from so many examples twice: added to the shared model, and from nothing.
  private func add(
    _ exercise: PathwaysExercise, to base: Pathways, _ parent: PathwaysExercise, _ size: Int,
    _ before: PathwaysFingerprint, _ one: inout PathwaysFindings.Added
  ) async throws -> PathwaysFindings.Point {
    let grown = try base.adding(
      exercise.rawValue, head: exercise.head, parent: parent.rawValue, ownExperts: ownExperts,
      key: RandomKey(seed: seed, stream: 5))
    let number = grown.config.tasks.count - 1
    one.beginsAsParent =
      one.beginsAsParent && Self.isSame(base, grown, parent: parent, task: number)
    one.newParameters = grown.parameters(ofTask: number).reduce(0) { $0 + $1.shape.count }
    let scratch = try Pathways(
      PathwaysTraining.config([exercise]), key: RandomKey(seed: seed, stream: 6))
    one.scratchParameters = scratch.parameters.reduce(0) { $0 + $1.shape.count }
    func learned(_ model: Pathways, _ task: Int) async throws -> Double {
      let single = PathwaysSingleTask(model, task: task, exercise: exercise, examples: size)
      try await PathwaysTraining.train(single, steps: steps, peak: 1e-3, seed: seed)
      return single.loss(of: 512)
    }
    let point = PathwaysFindings.Point(
      examples: size, grown: try await learned(grown, number),
      scratch: try await learned(scratch, 0))
    one.points.append(point)
    one.forgotten += PathwaysFingerprint(grown, exercises: joint).changes(since: before)
    return point
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
    guard let model = try? Pathways(PathwaysTraining.config([exercise]), key: RandomKey(seed: 9))
    else { return 0 }
    return PathwaysSingleTask(model, task: 0, exercise: exercise, examples: 1).loss(of: 256)
  }

  /// The ratio of the examples at which both come to nine tenths of the gain that learning from scratch
  /// has with the most, between sizes by the logarithm of the examples.
  static func efficiency(_ points: [PathwaysFindings.Point], untrained: Double) -> Double? {
    guard let last = points.last else { return nil }
    let target = untrained - 0.9 * (untrained - last.scratch)
    func needed(_ loss: (PathwaysFindings.Point) -> Double) -> Double? {
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
}

/// What a ``PathwaysExperiment`` found.
public struct PathwaysFindings: Codable, Sendable {
  /// One number of examples.
  public struct Point: Codable, Sendable {
    /// Examples to learn from.
    public var examples: Int
    /// The loss on others of the grown model, and of one from scratch.
    public var grown: Double
    /// The loss of the model from scratch.
    public var scratch: Double
  }

  /// One added task.
  public struct Added: Codable, Sendable {
    /// The task, and the one that it began as a copy of.
    public var task: String
    /// The task that it grew from.
    public var parent: String
    /// Parameters that it brought, and those of a model from scratch.
    public var newParameters = 0
    /// Parameters of the model from scratch.
    public var scratchParameters = 0
    /// By number of examples.
    public var points: [Point] = []
    /// Examples that a model from scratch needs to come to nine tenths of what it reaches with the most,
    /// over those that the grown one needs; nil where one of them never comes there.
    public var sampleEfficiency: Double?
    /// Weights and outputs of the earlier tasks that changed; empty for no forgetting.
    public var forgotten: [String] = []
    /// Whether the first step computed what the parent computes, to the bit.
    public var beginsAsParent = true
  }

  /// How it was done.
  public var options: PathwaysExperiment
  /// The machine.
  public var machine: MachineDescription
  /// The loss of each joint task on unseen examples.
  public var joint: [String: Double]
  /// The added tasks.
  public var added: [Added]
  /// Seconds of everything.
  public var seconds: Double

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
