public import ApusData
import ApusModels
import ApusRuntime
package import ApusTensor
import Foundation

/// A small model of any architecture, trained on a synthetic task and evaluated at many lengths.
public struct Probe: Sendable {
  /// What happens on the way.
  public enum Event: Sendable {
    /// A step or a validation of training.
    case training(TrainingProgress)
    /// The trained model was judged at one length.
    case judged(ProbeScore)
  }

  /// The options.
  public let options: ProbeOptions
  package let generator: any ProbeGenerator

  /// Creates the job; nothing is trained before ``run(progress:)``.
  ///
  /// - Throws: ``ProbeOptionsError``, `ProbeError` and `ConfigError` for what cannot be.
  public init(_ options: ProbeOptions) throws {
    try options.validate()
    self.options = options
    generator = try options.generator()
    // Whether there are examples of these lengths, and a model, shows before hours of training.
    for length in [options.length, options.shortest ?? options.length] + options.lengths {
      _ = try generator.example(0, length: length, key: RandomKey(seed: options.seed))
    }
    _ = try ProbeModel(options, generator: generator)
  }

  /// Trains, and evaluates at every length.
  ///
  /// - Parameter progress: Called after every step and every length, and awaited.
  /// - Returns: The finding.
  /// - Throws: ``TrainingError`` and what the task throws. ``Interruption`` when the Swift task is
  ///   cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (Event) async -> Void = { _ in }
  ) async throws -> ProbeReport {
    try await Interruption.naming("probe") {
      let task = try ProbeTraining(self)
      let record = try await Trainer(trainerOptions).run(task) { await progress(.training($0)) }
      try Task.checkCancellation()
      guard record.stopReason != .diverged else {
        throw TrainingError.diverged(step: record.steps)
      }
      var scores: [ProbeScore] = []
      for length in options.lengths {
        let score = try score(task.model, length: length)
        scores.append(score)
        await progress(.judged(score))
      }
      return ProbeReport(
        options: options, parameters: task.parameters.reduce(0) { $0 + $1.value.count },
        training: ProbeReport.Training(record, accuracies: task.found.accuracies), scores: scores)
    }
  }

  /// Judges a model on examples of one length that no training has seen.
  private func score(_ model: ProbeModel, length: Int) throws -> ProbeScore {
    let clock = SuspendingClock()
    let start = clock.now
    let first = try generator.example(0, length: length, key: key(.test)).tokens.count
    let count = max(1, min(options.examples, options.tokens / first))
    let together = max(1, min(64, 16384 / first))
    var verdict = ProbeVerdict()
    for begin in stride(from: 0, to: count, by: together) {
      try Task.checkCancellation()
      let examples = try (begin..<min(begin + together, count)).map {
        try generator.example($0, length: length, key: key(.test))
      }
      verdict += model.judge(examples)
    }
    return ProbeScore(
      length: length, examples: count, answers: verdict.answers, correct: verdict.correct,
      accuracy: Double(verdict.correct) / Double(max(verdict.answers, 1)),
      seconds: start.duration(to: clock.now) / .seconds(1))
  }

  /// Sets of examples that share none.
  package enum Part: UInt64 { case training = 11, validation, test, length }

  package func key(_ part: Part) -> RandomKey {
    RandomKey(seed: options.seed, stream: part.rawValue)
  }

  /// How the model is trained.
  package var trainerOptions: TrainerOptions {
    var trainer = TrainerOptions(budget: Budget(seconds: options.seconds, steps: options.steps))
    trainer.schedule = Schedule(
      decay: options.decay, peak: options.learningRate, floor: options.learningRate / 20,
      warmup: .steps(options.warmup))
    (trainer.beta2, trainer.weightDecay) = (options.beta2, options.weightDecay)
    trainer.epsilon = options.epsilon
    (trainer.clip, trainer.seed) = (options.clip, options.seed)
    trainer.validateEvery = .steps(options.validateEvery)
    return trainer
  }
}

extension ProbeOptions {
  /// The task.
  ///
  /// - Throws: `ProbeError` when the numbers make none.
  public func generator() throws -> any ProbeGenerator {
    switch task {
    case .induction: try InductionHeads(vocabulary: vocabulary)
    case .selectiveCopy: try SelectiveCopying(vocabulary: vocabulary, items: items)
    case .recall:
      try AssociativeRecall(vocabulary: vocabulary, pairs: items, fillsAtRandom: randomFill)
    case .listOps: try ListOps(depth: depth, minimumShare: minimumShare)
    }
  }
}

/// The training of a probe.
package struct ProbeTraining: TrainingTask {
  /// What validations found.
  final class Found {
    var accuracies: [Double] = []
  }

  let probe: Probe
  package let model: ProbeModel
  let found = Found()

  /// Makes the model, with fresh weights.
  package init(_ probe: Probe) throws {
    self.probe = probe
    model = try ProbeModel(probe.options, generator: probe.generator)
  }

  package var parameters: [Parameter] { model.parameters }
  package var unit: String { "tokens" }

  package func loss(
    step: Int, microStep: Int, key: RandomKey
  ) throws -> (loss: Tensor, units: Int) {
    let options = probe.options
    let length = length(step: step)
    let examples = try (0..<options.batch).map {
      try probe.generator.example(
        step * options.batch + $0, length: length, key: probe.key(.training))
    }
    return (model.loss(examples), examples.reduce(0) { $0 + $1.tokens.count })
  }

  /// The length of a step's examples.
  package func length(step: Int) -> Int {
    guard let shortest = probe.options.shortest, step < probe.options.shortSteps ?? .max else {
      return probe.options.length
    }
    var generator = PhiloxGenerator(probe.key(.length).derived(UInt64(step)))
    let (low, high) = (log(Double(shortest)), log(Double(probe.options.length)))
    return Int(exp(Double.random(in: low...high, using: &generator)).rounded())
  }

  package func validationLoss() throws -> Double? {
    let options = probe.options
    var verdict = ProbeVerdict()
    for begin in stride(from: 0, to: options.validationExamples, by: 64) {
      try Task.checkCancellation()
      let part = begin..<min(begin + 64, options.validationExamples)
      verdict += model.judge(
        try part.map {
          try probe.generator.example($0, length: options.length, key: probe.key(.validation))
        })
    }
    found.accuracies.append(Double(verdict.correct) / Double(max(verdict.answers, 1)))
    return verdict.loss / Double(max(verdict.answers, 1))
  }

  package var isSolved: Bool {
    let last = found.accuracies.suffix(probe.options.patience)
    return !last.isEmpty && last.count == probe.options.patience && last.allSatisfy { $0 == 1 }
  }
}
