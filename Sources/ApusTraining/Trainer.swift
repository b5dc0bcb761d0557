package import ApusTensor

/// Trains a model on a task until the budget is spent, validation stops to improve, or the Swift task
/// is cancelled; the model ends with the weights that validated best.
///
///     let record = try await Trainer(TrainerOptions(budget: .seconds(20))).run(task)
public struct Trainer {
  /// How runs go.
  public let options: TrainerOptions
  /// Seconds from some fixed moment on. For tests that need a clock of their own.
  package var seconds: () -> Double = steadySeconds
  /// For tests of full disks and sudden ends.
  package var files = Files()
  /// The same: bytes free on the disk of a path.
  package var freeBytes: (String) -> Int? = Files.freeBytes

  /// Creates a trainer.
  ///
  /// - Throws: ``TrainingError/option(name:found:expected:)``.
  public init(_ options: TrainerOptions) throws {
    try options.validate()
    self.options = options
  }

  /// Trains the parameters of `task`, on the actor of the caller, which gets a turn after every step.
  ///
  /// - Parameters:
  ///   - task: Model and data.
  ///   - resume: Whether to go on from the newest checkpoint in the folder of the options, if there
  ///     is one; by default a folder with checkpoints is rejected.
  ///   - progress: Called after every step and every validation, and awaited.
  /// - Returns: The record of the run. The parameters hold the weights of the best validation, or
  ///   the last ones where there was none. A cancelled run ends within a step, writes its
  ///   checkpoint, and says so in ``TrainingRecord/stopReason``.
  /// - Throws: ``TrainingError``, `FileError`, and what the task throws. When the last checkpoint
  ///   cannot be written, the parameters hold the best weights all the same.
  public func run(
    _ task: some TrainingTask, resume: Bool = false,
    progress: @escaping (TrainingProgress) async -> Void = { _ in }
  ) async throws -> TrainingRecord {
    if resume, options.checkpoints == nil {
      throw TrainingError.option(
        name: "checkpoints", found: "nothing", expected: "the folder to resume from")
    }
    return try await prepared(task, resume: resume, progress: progress).complete()
  }

  /// A run in its folder, where asked from the newest checkpoint there.
  func prepared<Work: TrainingTask>(
    _ task: Work, resume: Bool, progress: @escaping (TrainingProgress) async -> Void
  ) async throws -> TrainingRun<Work> {
    let run = try TrainingRun(task, options: options, seconds: seconds, progress: progress)
    if let checkpoints = options.checkpoints {
      let store = try CheckpointStore(
        checkpoints.directory, keepLast: checkpoints.keepLast, files: files,
        freeBytes: freeBytes)
      try await run.open(store, resume: resume)
    }
    return run
  }
}

/// When this process first asked for the time, on the clock that stands still while the machine
/// sleeps: a closed lid spends no budget.
private let origin = SuspendingClock.now

private func steadySeconds() -> Double { origin.duration(to: .now) / .seconds(1) }
