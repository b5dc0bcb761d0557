public import ApusData
import ApusModels
import ApusRuntime
package import ApusTensor
import Foundation

/// A small model of any architecture, trained on a synthetic task and judged at many lengths.
public struct Probe {
  /// What is done.
  public let options: ProbeOptions
  package let generator: any ProbeGenerator
  package let model: ProbeModel

  /// Makes task and model; weights are fresh until ``run(interruption:progress:)``.
  ///
  /// - Throws: ``ProbeOptionsError``, `ProbeError` and `ConfigError` for what cannot be.
  public init(_ options: ProbeOptions) throws {
    try options.validate()
    self.options = options
    generator = try options.generator()
    model = try ProbeModel(options, generator: generator)
    // Whether there are examples of these lengths shows before hours of training.
    for length in [options.length, options.shortest ?? options.length] + options.lengths {
      _ = try generator.example(0, length: length, key: RandomKey(seed: options.seed))
    }
  }

  /// Trains, and judges at every length.
  ///
  /// - Parameters:
  ///   - interruption: What may end the training early; the model is judged all the same.
  ///   - progress: Called after every step.
  ///   - judged: Called after every length.
  /// - Returns: What was found.
  /// - Throws: ``TrainingError`` and what the task throws.
  public func run(
    interruption: Interruption? = nil, progress: (TrainingProgress) -> Void = { _ in },
    judged: (ProbeScore) -> Void = { _ in }
  ) throws -> ProbeReport {
    let task = ProbeTraining(self)
    let record = try Trainer(trainerOptions).run(
      task, interruption: interruption, progress: progress)
    guard record.stopReason != .diverged else { throw TrainingError.diverged(step: record.steps) }
    let scores = try options.lengths.map { length in
      let score = try score(length: length)
      judged(score)
      return score
    }
    return ProbeReport(
      options: options, parameters: model.parameters.reduce(0) { $0 + $1.value.count },
      training: ProbeReport.Training(record, accuracies: task.found.accuracies), scores: scores)
  }

  /// Judges the model as it is on examples of one length that no training has seen.
  public func score(length: Int) throws -> ProbeScore {
    let clock = SuspendingClock()
    let start = clock.now
    let first = try generator.example(0, length: length, key: key(.test)).tokens.count
    let count = max(1, min(options.examples, options.tokens / first))
    let together = max(1, min(64, 16384 / first))
    var verdict = ProbeVerdict()
    for begin in stride(from: 0, to: count, by: together) {
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

  private var trainerOptions: TrainerOptions {
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
  let found = Found()

  package init(_ probe: Probe) { self.probe = probe }

  package var parameters: [Parameter] { probe.model.parameters }
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
    return (probe.model.loss(examples), examples.reduce(0) { $0 + $1.tokens.count })
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
      let part = begin..<min(begin + 64, options.validationExamples)
      verdict += probe.model.judge(
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
