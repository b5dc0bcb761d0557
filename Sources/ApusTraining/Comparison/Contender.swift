import ApusEvaluation
import ApusModels
import ApusTensor

/// One model in a comparison: trained once per seed under the common budget, its failures kept
/// as what its row will say.
struct Contender<Model> {
  let choice: ModelChoice
  /// What the row is called.
  var name: String { choice.name }
  /// One per seed that trained well.
  private(set) var runs: [Run] = []
  /// Why it failed, when it did.
  private(set) var failure: (status: ComparisonRow.Status, message: String)?

  struct Run {
    let seed: UInt64
    let model: Model
    let parameters: Int
    let record: TrainingRecord
  }

  init(_ choice: ModelChoice) { self.choice = choice }

  /// The run whose weights validated best.
  var bestRun: Run? {
    runs.min {
      ($0.record.best?.validationLoss ?? .infinity) < ($1.record.best?.validationLoss ?? .infinity)
    }
  }

  /// Trains with every seed. What goes wrong is kept as a failure, and cancellation alone is thrown.
  ///
  /// - Parameters:
  ///   - options: Seeds, budget and the like.
  ///   - training: How runs go, but for seed and budget.
  ///   - runs: The folder of the runs' checkpoints, from which they go on; none are kept when nil.
  ///   - log: Takes in every run.
  ///   - make: Makes the model of a seed and its task.
  ///   - progress: Called after every step with the number of the seed.
  /// - Throws: `CancellationError`; ``TrainingError`` and `FileError` for the folder of checkpoints.
  fileprivate mutating func train(
    _ options: ComparisonOptions, training: TrainerOptions, runs: String?, log: TrialLog,
    make: (ModelChoice, UInt64) throws -> (Model, any TrainingTask),
    progress: @escaping (_ seed: Int, TrainingProgress) async -> Void
  ) async throws {
    for (number, seed) in options.seeds.enumerated() {
      var own = training
      (own.seed, own.budget) = (seed, options.budget)
      var identity = TaskIdentity.none
      func note(_ status: ComparisonRow.Status, _ record: TrainingRecord? = nil) throws {
        try log.record(
          Trial(
            name, identity: identity, trainer: own, settings: options.settings, status: status,
            record: record))
      }
      do {
        let (model, task) = try make(choice, seed)
        identity = task.identity
        own.checkpoints = runs.map { CheckpointOptions(directory: "\($0)/\(name)-\(seed)") }
        let record = try await Trainer(own).run(task, resume: runs != nil) {
          await progress(number, $0)
        }
        try Task.checkCancellation()
        try note(record.stopReason == .diverged ? .diverged : .ok, record)
        guard record.stopReason != .diverged else {
          failure = (.diverged, "Training with seed \(seed) gave no finite loss any more.")
          return
        }
        let parameters = task.parameters.reduce(0) { $0 + $1.value.count }
        self.runs.append(Run(seed: seed, model: model, parameters: parameters, record: record))
      } catch let error as CancellationError {
        throw error
      } catch let error as FileError {
        throw error
      } catch let error as TrainingError where error.concernsFolder {
        throw error
      } catch {
        failure = (.failed, "\(error)")
        return try note(.failed)
      }
    }
  }

  /// The row with all that training tells: its failure, or what it cost.
  func row() -> ComparisonRow {
    var row = ComparisonRow(name: name, kind: .model)
    if let failure { (row.status, row.message) = (failure.status, failure.message) }
    let records = runs.map(\.record)
    guard failure == nil, let first = records.first else { return row }
    row.seconds = Metrics.mean(records.map(\.seconds))
    row.steps = records.map(\.steps).reduce(0, +) / records.count
    row.tokensPerSecond = Metrics.mean(records.map(\.unitsPerSecond))
    row.peakBytes = records.map(\.peakBytes).max()
    row.parameters = runs.first?.parameters
    row.artifactBytes = row.parameters.map { $0 * 4 }
    row.curve = first.points
    // A run that ended early had nothing left to learn.
    if records.allSatisfy({ $0.stopReason == .budget }) {
      row.unfinished = UnfinishedTraining(ofRuns: records.map(\.points))
    }
    return row
  }
}

extension TrainingRecord {
  /// The learning curve, as reports have it.
  fileprivate var points: [LearningPoint] {
    curve.map {
      LearningPoint(
        seconds: $0.seconds, step: $0.step, trainLoss: $0.trainLoss,
        validationLoss: $0.validationLoss)
    }
  }
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

extension Contender {
  /// Trains every model that the options name, one after the other.
  ///
  /// - Parameters:
  ///   - options: Models, seeds, budget and the like.
  ///   - training: How runs go, but for seed and budget.
  ///   - runs: The folder of the runs' checkpoints, from which they go on; none are kept when nil.
  ///   - log: Takes in every run.
  ///   - make: Makes the model of a choice and a seed, and its task.
  ///   - progress: Called after every step.
  /// - Returns: One contender per model, trained or failed.
  /// - Throws: `ConfigError` for an unknown name, `CancellationError`; ``TrainingError`` and `FileError`
  ///   for the folder of checkpoints.
  static func trained(
    _ options: ComparisonOptions, training: TrainerOptions, runs: String?, log: TrialLog,
    make: (ModelChoice, UInt64) throws -> (Model, any TrainingTask),
    progress: @escaping (WorkProgress) async -> Void
  ) async throws -> [Contender] {
    var contenders = try options.choices().map { Contender($0) }
    let count = Double(contenders.count * options.seeds.count)
    let start = ContinuousClock.now
    for index in contenders.indices {
      let name = contenders[index].name
      try await contenders[index].train(
        options, training: training, runs: runs, log: log, make: make
      ) { seed, state in
        let done = Double(index * options.seeds.count + seed) + state.share
        let elapsed = (ContinuousClock.now - start).seconds
        await progress(
          WorkProgress(
            phase: "\(name), seed \(seed + 1) of \(options.seeds.count)", share: done / count,
            secondsLeft: done > 0.05 ? elapsed / done * (count - done) : nil,
            detail: state.losses))
      }
    }
    return contenders
  }
}
