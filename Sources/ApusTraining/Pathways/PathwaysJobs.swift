public import ApusModels
import ApusRuntime
public import ApusTensor

/// Several tasks learned together by one sparse model.
public struct PathwaysTraining: Sendable {
  private let exercises: [PathwaysExercise]
  private let steps: Int
  private let seed: UInt64
  private let information: Float

  /// Creates the job; nothing is done before ``run(progress:)``.
  ///
  /// - Parameters:
  ///   - exercises: The tasks.
  ///   - steps: Steps, of one batch of each task.
  ///   - seed: Seed of weights and examples. Default: 0.
  ///   - information: How much the choice of experts is to tell of the task. Default: 0.
  public init(
    _ exercises: [PathwaysExercise], steps: Int, seed: UInt64 = 0, information: Float = 0
  ) {
    (self.exercises, self.steps, self.seed) = (exercises, steps, seed)
    self.information = information
  }

  /// Trains.
  ///
  /// - Parameter progress: Called after every step, and awaited.
  /// - Returns: The model.
  /// - Throws: ``TrainingError``, `ConfigError`. ``Interruption`` when the Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (TrainingProgress) async -> Void = { _ in }
  ) async throws -> Pathways {
    try await Interruption.naming("training") { try await model(progress) }
  }

  func model(
    _ progress: @escaping (TrainingProgress) async -> Void = { _ in }
  ) async throws -> Pathways {
    let model = try Pathways(Self.config(exercises), key: RandomKey(seed: seed))
    try await Self.train(
      PathwaysJointTask(model, exercises: exercises, seed: seed, information: information),
      steps: steps, peak: 2e-3, seed: seed, progress: progress)
    return model
  }

  /// A small model of the given tasks.
  public static func config(_ exercises: [PathwaysExercise]) -> PathwaysConfig {
    var config = PathwaysConfig()
    config.tasks = exercises.map { PathwaysTask(name: $0.rawValue, head: $0.head) }
    return config
  }

  /// Trains with the schedule that all phases share.
  static func train(
    _ task: some TrainingTask, steps: Int, peak: Double, seed: UInt64,
    progress: @escaping (TrainingProgress) async -> Void = { _ in }
  ) async throws {
    var options = TrainerOptions(budget: .steps(steps))
    (options.seed, options.schedule.peak, options.schedule.floor) = (seed, peak, peak / 20)
    let record = try await Trainer(options).run(task, progress: progress)
    try Task.checkCancellation()
    guard record.stopReason != .diverged else { throw TrainingError.diverged(step: record.steps) }
  }
}

/// A task added to the Pathways model of a folder, learned from few examples.
public struct PathwaysAddition: Sendable {
  /// What came of it.
  public struct Summary: Encodable, Sendable {
    /// The new task.
    public let task: String
    /// Its loss on 512 examples that nothing has seen.
    public let loss: Double
    /// How many tasks were there before; their weights and outputs keep their bits.
    public let earlierTasks: Int
  }

  private let exercise: PathwaysExercise
  private let parent: PathwaysExercise
  private let folder: String
  private let examples: Int
  private let steps: Int
  private let seed: UInt64

  /// Creates the job; nothing is done before ``run(progress:)``.
  ///
  /// - Parameters:
  ///   - exercise: The new task.
  ///   - folder: The folder of a Pathways model; it gets the new task's file.
  ///   - parent: The task to begin as a copy of.
  ///   - examples: Examples to learn from. Default: 200.
  ///   - steps: Steps of training. Default: 400.
  ///   - seed: Seed of weights and examples. Default: 0.
  public init(
    _ exercise: PathwaysExercise, to folder: String, parent: PathwaysExercise,
    examples: Int = 200, steps: Int = 400, seed: UInt64 = 0
  ) {
    (self.exercise, self.folder, self.parent) = (exercise, folder, parent)
    (self.examples, self.steps, self.seed) = (examples, steps, seed)
  }

  /// Trains, proves that nothing earlier has changed, and saves.
  ///
  /// - Parameter progress: Called after every step, and awaited.
  /// - Returns: What came of it.
  /// - Throws: ``TrainingError``, ``PathwaysError/changed(_:)``, and what is wrong with the folder.
  ///   ``Interruption`` when the Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (TrainingProgress) async -> Void = { _ in }
  ) async throws -> Summary {
    try await Interruption.naming("training") {
      let base = try ModelFolder.open(folder).pathways().load()
      let old = base.config.tasks.compactMap { PathwaysExercise(rawValue: $0.name) }
      let before = PathwaysFingerprint(base, exercises: old)
      let grown = try base.adding(
        exercise.rawValue, head: exercise.head, parent: parent.rawValue, key: RandomKey(seed: seed))
      let single = PathwaysSingleTask(
        grown, task: grown.config.tasks.count - 1, exercise: exercise, examples: examples)
      try await PathwaysTraining.train(
        single, steps: steps, peak: 1e-3, seed: seed, progress: progress)
      let changes = PathwaysFingerprint(grown, exercises: old).changes(since: before)
      guard changes.isEmpty else { throw PathwaysError.changed(changes) }
      try PathwaysFolder.save(grown, to: folder)
      return Summary(
        task: exercise.rawValue, loss: single.loss(of: 512), earlierTasks: old.count)
    }
  }
}

/// Why an added task is not saved.
public enum PathwaysError: Error, Equatable {
  /// Weights or outputs of earlier tasks are not what they were.
  case changed([String])
}

extension PathwaysError: ApusError {
  public var exitStatus: ExitStatus { .failure }

  /// What was found, what was expected.
  public var description: String {
    switch self {
    case .changed(let names):
      """
      \(names.count) weights or outputs of earlier tasks changed, \(names.first ?? "") first, but none \
      may; the task is not saved.
      """
    }
  }
}
