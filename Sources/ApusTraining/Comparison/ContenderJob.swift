import ApusEvaluation
import ApusModels
import ApusTensor

/// How the models of a comparison are trained: what is the same for all of them.
struct ContenderJob<Model> {
  /// Seeds, budget and the like.
  var options: ComparisonOptions
  /// Width and layers where nothing is said.
  let usual: (width: Int, layers: Int)
  /// How runs with such options go, but for seed and budget.
  let training: (ComparisonOptions) -> TrainerOptions
  /// The folder of the runs' checkpoints, from which they go on; none are kept when nil.
  let runs: String?
  /// Takes in every run.
  let log: TrialLog
  /// Makes the model of a choice and a seed, and its task.
  let make: (ModelChoice, ComparisonOptions, UInt64) throws -> (Model, any TrainingTask)

  /// Trains with a seed.
  ///
  /// - Parameters:
  ///   - choice: The model.
  ///   - seed: Of weights and windows.
  ///   - progress: Called after every step.
  /// - Returns: The run, which may have diverged.
  /// - Throws: What is wrong with the model or the folder, `CancellationError`.
  func run(
    _ choice: ModelChoice, seed: UInt64, progress: @escaping (TrainingProgress) async -> Void
  ) async throws -> Contender<Model>.Run {
    let trainer = trainer(choice, seed: seed)
    do {
      let (model, task) = try make(choice, options, seed)
      let record = try await Trainer(trainer).run(task, resume: runs != nil, progress: progress)
      try Task.checkCancellation()
      try note(choice, task.identity, trainer, record)
      return Self.run(seed, model, task, trainer, record)
    } catch {
      if !endsAllRuns(error) { try note(choice, .none, trainer, nil) }
      throw error
    }
  }

  private static func run(
    _ seed: UInt64, _ model: Model, _ task: any TrainingTask, _ trainer: TrainerOptions,
    _ record: TrainingRecord
  ) -> Contender<Model>.Run {
    Contender<Model>.Run(
      seed: seed, model: model, parameters: task.parameters.reduce(0) { $0 + $1.value.count },
      record: record, learningRate: trainer.schedule.peak)
  }

  private func trainer(
    _ choice: ModelChoice, seed: UInt64, under part: String = ""
  ) -> TrainerOptions {
    var trainer = training(options)
    (trainer.seed, trainer.budget) = (seed, options.budget)
    trainer.checkpoints = runs.map {
      CheckpointOptions(directory: "\($0)/\(choice.name)-\(seed)\(part)")
    }
    return trainer
  }

  /// Logs a run.
  private func note(
    _ choice: ModelChoice, _ identity: TaskIdentity, _ trainer: TrainerOptions,
    _ record: TrainingRecord?, rungs: [Double?]? = nil
  ) throws {
    let status: ComparisonRow.Status =
      switch record?.stopReason {
      case nil: .failed
      case .diverged: .diverged
      default: .ok
      }
    var trial = Trial(
      choice.name, identity: identity, trainer: trainer, settings: options.settings,
      status: status, record: record)
    trial.rungs = rungs
    try log.record(trial)
  }

  // MARK: Settings

  /// What is searched for of a model.
  ///
  /// - Throws: ``TuningError/nothingToSearch``.
  func space(of choice: ModelChoice) throws -> TuningSpace {
    try TuningSpace(
      choice, rate: training(options).schedule.peak, size: usual,
      given: (options.learningRate, options.width, options.layers))
  }

  /// The same job with the settings of a candidate, and the budget of each candidate of a search.
  private func settled(on candidate: TuningCandidate, budget: Budget) -> ContenderJob {
    var job = self
    job.options.learningRate = candidate.learningRate
    (job.options.width, job.options.layers) = (candidate.width, candidate.layers)
    job.options.budget = budget
    return job
  }

  /// Searches for learning rate and size of a model within the budget of one run.
  ///
  /// - Parameters:
  ///   - choice: The model.
  ///   - seed: Of the candidates, and of weights and windows of all of them.
  ///   - progress: Called after every step with the share of the whole search.
  /// - Returns: The winner's run, the job of further seeds, and what was tried.
  /// - Throws: ``TuningError``, and as ``run(_:seed:progress:)``.
  func searched(
    _ choice: ModelChoice, seed: UInt64,
    progress: @escaping (_ rung: Int, TrainingProgress) async -> Void
  ) async throws -> (run: Contender<Model>.Run, job: ContenderJob, search: TuningRecord) {
    let candidates = try space(of: choice).candidates(options.candidates, seed: seed)
    let plan = SuccessiveHalving(candidates: candidates.count)
    let budget = plan.budget(within: options.budget)
    let jobs = candidates.map { settled(on: $0, budget: budget) }
    func trainer(_ number: Int) -> TrainerOptions {
      jobs[number].trainer(choice, seed: seed, under: "/settings-\(number)")
    }
    func note(
      _ number: Int, _ made: Tuning<Model>.Made?, _ record: TrainingRecord?, _ search: TuningRecord
    ) throws {
      try jobs[number].note(
        choice, made?.task.identity ?? .none, trainer(number), record,
        rungs: search.candidates[number].losses)
    }
    let tuning = Tuning<Model>(plan, candidates, note: note) { number in
      let (model, task) = try make(choice, jobs[number].options, seed)
      return Tuning.Made(model: model, task: task, trainer: trainer(number))
    }
    let found = try await tuning.run(resume: runs != nil, progress: progress)
    let (winner, made) = (found.number, found.made)
    let run = Self.run(seed, made.model, made.task, made.trainer, found.record)
    return (run, jobs[winner], found.search)
  }
}

/// Whether an error is of more than one run: somebody asked to end, or the folder of runs is wrong.
func endsAllRuns(_ error: any Error) -> Bool {
  error is CancellationError || error is FileError
    || (error as? TrainingError)?.concernsFolder == true
}

extension ComparisonOptions {
  /// What all runs share, as the log of trials has it.
  fileprivate var settings: [String: String] {
    var settings = ["context": "\(lookBack)", "horizon": "\(horizon)", "patch": "\(patch)"]
    settings["width"] = width.map { "\($0)" }
    settings["layers"] = layers.map { "\($0)" }
    return settings
  }
}
