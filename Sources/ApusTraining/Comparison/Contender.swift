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
  /// How its learning rate and size were found; nil where they were not searched for.
  private(set) var search: TuningRecord?

  struct Run {
    let seed: UInt64
    let model: Model
    let parameters: Int
    let record: TrainingRecord
    /// The peak it was trained with.
    let learningRate: Double
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
  /// Where settings are searched for, the first seed finds them within its budget, and the others train with them
  /// for as long as the winner did.
  ///
  /// - Parameters:
  ///   - job: How runs go.
  ///   - progress: Called after every step with what is done, and with how many seeds are, in parts.
  /// - Throws: `CancellationError`; ``TrainingError`` and `FileError` for the folder of checkpoints.
  fileprivate mutating func train(
    _ job: ContenderJob<Model>,
    progress: @escaping (_ phase: String, _ seeds: Double, TrainingProgress) async -> Void
  ) async throws {
    var job = job
    let (name, seeds) = (name, job.options.seeds)
    for (number, seed) in seeds.enumerated() {
      do {
        if number == 0, job.options.candidates > 1 {
          let found = try await job.searched(choice, seed: seed) { rung, state in
            await progress("\(name), settings, round \(rung + 1)", state.share, state)
          }
          (search, job) = (found.search, found.job)
          runs.append(found.run)
        } else {
          let run = try await job.run(choice, seed: seed) { state in
            await progress(
              "\(name), seed \(number + 1) of \(seeds.count)", Double(number) + state.share, state)
          }
          guard run.record.stopReason != .diverged else {
            failure = (.diverged, "Training with seed \(seed) gave no finite loss any more.")
            return
          }
          runs.append(run)
        }
      } catch  where endsAllRuns(error) {
        throw error
      } catch {
        failure = (error is TuningError ? .diverged : .failed, "\(error)")
        return
      }
    }
  }

  /// The row with all that training tells: its failure, or what it cost.
  func row() -> ComparisonRow {
    var row = ComparisonRow(name: name, kind: .model)
    if let failure { (row.status, row.message) = (failure.status, failure.message) }
    let records = runs.map(\.record)
    guard failure == nil, let first = records.first else { return row }
    let givenUp = search?.givenUp ?? (seconds: 0, steps: 0)
    row.seconds = Metrics.mean(records.map(\.seconds)) + givenUp.seconds / Double(records.count)
    row.steps = (records.map(\.steps).reduce(0, +) + givenUp.steps) / records.count
    row.tokensPerSecond = Metrics.mean(records.map(\.unitsPerSecond))
    row.peakBytes = records.map(\.peakBytes).max()
    row.parameters = runs.first?.parameters
    row.artifactBytes = row.parameters.map { $0 * 4 }
    row.curve = first.points
    row.tuning = search
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

extension Contender {
  /// Trains every model that the options name, one after the other.
  ///
  /// - Parameters:
  ///   - job: How runs go.
  ///   - progress: Called after every step.
  /// - Returns: One contender per model, trained or failed.
  /// - Throws: `ConfigError` for an unknown name, ``TuningError/nothingToSearch``, `CancellationError`;
  ///   ``TrainingError`` and `FileError` for the folder of checkpoints.
  static func trained(
    _ job: ContenderJob<Model>, progress: @escaping (WorkProgress) async -> Void
  ) async throws -> [Contender] {
    var contenders = try job.options.choices().map { Contender($0) }
    if job.options.candidates > 1 {
      for contender in contenders { _ = try job.space(of: contender.choice) }
    }
    let seeds = job.options.seeds.count
    let count = Double(contenders.count * seeds)
    let start = ContinuousClock.now
    for index in contenders.indices {
      try await contenders[index].train(job) { phase, done, state in
        let done = Double(index * seeds) + done
        let elapsed = (ContinuousClock.now - start).seconds
        await progress(
          WorkProgress(
            phase: phase, share: done / count,
            secondsLeft: done > 0.05 ? elapsed / done * (count - done) : nil,
            detail: state.losses))
      }
    }
    return contenders
  }
}
