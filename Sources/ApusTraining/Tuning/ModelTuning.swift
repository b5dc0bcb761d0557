import ApusEvaluation
import ApusTensor

extension ModelTrainingOptions {
  /// A search for the settings of a model, and what follows from it.
  struct Settled<Work> {
    /// The options with what was found, and with the winner's share of the budget.
    let options: ModelTrainingOptions
    /// The winner, with the weights that validated best.
    let task: Work
    let record: TrainingRecord
    let search: TuningRecord
  }

  /// Searches for learning rate and size within the budget.
  ///
  /// - Parameters:
  ///   - size: Width and layers where none are given, as their options count them.
  ///   - training: How a run with a learning rate goes, but for what these options say.
  ///   - output: The model's folder.
  ///   - resume: Whether to go on from the candidates' checkpoints.
  ///   - progress: Called after every step with the share of the whole search.
  ///   - make: Makes the model with some options.
  /// - Returns: What was found.
  /// - Throws: ``TuningError``, and what training throws.
  func settled<Work: TrainingTask>(
    size: (width: Int, layers: Int), training: @escaping (Double?) -> TrainerOptions,
    output: String,
    resume: Bool, progress: @escaping (TrainingProgress) async -> Void,
    make: @escaping (ModelTrainingOptions) throws -> Work
  ) async throws -> Settled<Work> {
    let space = try TuningSpace(
      model, rate: training(nil).schedule.peak, size: size,
      given: (learningRate, width, layers))
    let drawn = space.candidates(candidates, seed: seed)
    let plan = SuccessiveHalving(candidates: drawn.count)
    let all = drawn.map { candidate in
      var own = self
      own.learningRate = candidate.learningRate
      (own.width, own.layers) = (candidate.width, candidate.layers)
      own.budget = plan.budget(within: budget)
      return own
    }
    let tuning = Tuning<Work>(plan, drawn) { number in
      let own = all[number]
      let trainer = try own.prepared(
        training(own.learningRate), output: output, part: "settings-\(number)")
      let task = try make(own)
      return Tuning.Made(model: task, task: task, trainer: trainer.options)
    }
    do {
      let found = try await tuning.run(resume: resume) { rung, state in
        await progress(state)
      }
      return Settled(
        options: all[found.number], task: found.made.model, record: found.record,
        search: found.search)
    } catch is CancellationError {
      throw Interruption(work: "training", isKept: true)
    }
  }
}
