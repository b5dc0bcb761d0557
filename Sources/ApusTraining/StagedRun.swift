/// A training that is held at shares of its budget and goes on from there, or is given up.
protocol StagedRun: AnyObject {
  /// Goes on.
  ///
  /// - Parameter goal: The share of the budget at which it validates and halts; infinite for its end.
  /// - Returns: Why it ended; nil where it halted, now or before it was resumed, and can go on.
  /// - Throws: As ``Trainer/run(_:resume:progress:)``.
  func advance(to goal: Double) async throws -> TrainingRecord.StopReason?

  /// Stops the clock: others train meanwhile.
  func hold()

  /// What it found at a halt; nil where it has not been there.
  func halt(at goal: Double) -> RunState.Halt?

  /// What has been done so far.
  func record(_ reason: TrainingRecord.StopReason) -> TrainingRecord

  /// Gives the parameters the weights that validated best.
  func finish(_ reason: TrainingRecord.StopReason) -> TrainingRecord
}

extension TrainingRun: StagedRun {
  func halt(at goal: Double) -> RunState.Halt? { state.halts?.first { $0.share == goal } }

  func noteHalt(at goal: Double) {
    let halt = RunState.Halt(
      share: goal, step: state.step, seconds: spent, loss: state.record.best?.validationLoss)
    state.halts = (state.halts ?? []) + [halt]
  }

  /// Whether a share of the budget is spent, but for the validation that follows.
  func hasReached(_ goal: Double) -> Bool {
    guard goal.isFinite, state.step > 0 else { return false }
    if share >= goal { return true }
    guard let seconds = options.budget.seconds else { return false }
    let next = state.stepSeconds / Double(state.step)
    return spent + state.lastValidationSeconds + next / 2 >= goal * seconds
  }
}

extension Trainer {
  /// Prepares a run, which makes no step yet.
  ///
  /// - Parameters:
  ///   - task: Model and data.
  ///   - resume: As in ``run(_:resume:progress:)``; without a folder of checkpoints there is nothing to go on
  ///     from.
  ///   - progress: Called after every step and every validation, and awaited.
  /// - Returns: The run, held.
  /// - Throws: As ``run(_:resume:progress:)``.
  func begin(
    _ task: some TrainingTask, resume: Bool,
    progress: @escaping (TrainingProgress) async -> Void
  ) async throws -> any StagedRun {
    let run = try await prepared(task, resume: resume, progress: progress)
    run.hold()
    return run
  }
}
