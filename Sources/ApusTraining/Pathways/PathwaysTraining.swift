public import ApusModels
import ApusRuntime
public import ApusTensor
import Foundation

/// The joint phase: every step is one batch of each task, whose gradients meet. Texts are as short as
/// one symbol, evenly in the logarithm; they are evaluated at their full lengths.
///
/// The balance of experts is taken over the tokens of all tasks together: balance in each task by itself
/// would forbid them to specialize.
public final class PathwaysJointTask: TrainingTask {
  /// The model that is trained.
  public let model: Pathways
  private let exercises: [PathwaysExercise]
  private let batch: Int
  private let seed: UInt64
  private let information: Float
  /// A running mean of each task's loss, by which losses of different units weigh alike.
  private var scales: [Double]

  /// Creates the task of learning all exercises together.
  ///
  /// - Parameters:
  ///   - model: With one task for each exercise, in order.
  ///   - exercises: What the tasks are.
  ///   - batch: Examples of each task in a step.
  ///   - seed: The seed of the examples.
  ///   - information: γ, how much the choice of experts is to tell of the task: the more, the fewer
  ///     experts do two tasks share; at most 0.01 or so.
  public init(
    _ model: Pathways, exercises: [PathwaysExercise], batch: Int = 16, seed: UInt64 = 0,
    information: Float = 0
  ) {
    (self.model, self.exercises, self.batch, self.seed) = (model, exercises, batch, seed)
    self.information = information
    scales = exercises.map { _ in 0 }
  }

  public var parameters: [Parameter] { model.parameters }
  public var unit: String { "examples" }

  public func loss(step: Int, microStep: Int, key: RandomKey) throws -> (loss: Tensor, units: Int) {
    var total: Tensor?
    var logits = [[Tensor]](repeating: [], count: model.config.blocks)
    for (index, exercise) in exercises.enumerated() {
      let first = (step + microStep) * batch
      let examples = exercise.batch(
        first..<first + batch, key: RandomKey(seed: seed, stream: UInt64(10 + index)),
        shortest: 1)
      let (loss, routes) = model.loss(examples, task: index)
      let value = Double(loss.scalar)
      scales[index] = step == 0 ? value : 0.98 * scales[index] + 0.02 * value
      let weighed = loss * Float(1 / max(scales[index], 1e-3))
      total = total.map { $0 + weighed } ?? weighed
      for (layer, one) in routes.enumerated() { logits[layer].append(one) }
    }
    let balance = Tensor.routerLoss(
      logits.map { Tensor(stacking: $0) }, perToken: model.config.perToken, balance: 0.01, z: 0.001)
    var sum = total.map { $0 + balance } ?? balance
    if information > 0 { sum = sum + Tensor.taskInformationLoss(logits, weight: information) }
    return (sum, batch * exercises.count)
  }

  public func validationLoss() throws -> Double? {
    let losses = exercises.enumerated().map { index, exercise in
      Double(
        model.loss(
          exercise.batch(0..<64, key: RandomKey(seed: seed, stream: UInt64(50 + index))),
          task: index
        ).loss.scalar)
    }
    return losses.reduce(0, +) / Double(max(losses.count, 1))
  }
}

/// Learning one task alone, from so many examples: a new task of a grown model, or a model from scratch.
public struct PathwaysSingleTask: TrainingTask {
  /// The model that is trained.
  public let model: Pathways
  /// Its number.
  public let task: Int
  /// What it is.
  public let exercise: PathwaysExercise
  /// How many different examples there are to learn from.
  public let examples: Int
  /// Examples of a step.
  public var batch = 16
  /// Of the examples.
  public var seed: UInt64 = 0

  /// Creates the task.
  public init(_ model: Pathways, task: Int, exercise: PathwaysExercise, examples: Int) {
    (self.model, self.task, self.exercise, self.examples) = (model, task, exercise, examples)
  }

  public var parameters: [Parameter] { model.parameters.filter(\.isTrainable) }
  public var unit: String { "examples" }

  public func loss(step: Int, microStep: Int, key: RandomKey) throws -> (loss: Tensor, units: Int) {
    let count = min(batch, examples)
    let first = (step + microStep) * count
    let numbers = (first..<first + count).map { Permutation.example($0, of: examples, key: key) }
    let drawn = exercise.batch(numbers, key: RandomKey(seed: seed, stream: 70))
    return (model.loss(drawn, task: task).loss, count)
  }

  public func validationLoss() throws -> Double? { loss(of: 128, stream: 71) }

  /// The mean loss over so many examples that nothing has seen.
  public func loss(of count: Int, stream: UInt64 = 72) -> Double {
    withoutGradient {
      let parts = stride(from: 0, to: count, by: 64).map { first -> Double in
        let numbers = first..<min(first + 64, count)
        let batch = exercise.batch(numbers, key: RandomKey(seed: seed, stream: stream))
        return Double(model.loss(batch, task: task).loss.scalar) * Double(numbers.count)
      }
      return parts.reduce(0, +) / Double(max(count, 1))
    }
  }
}

/// Proof that a model has not changed: the digest of every weight, and outputs of every task on fixed
/// inputs, to the bit.
public struct PathwaysFingerprint: Codable, Sendable, Equatable {
  /// SHA-256 of each weight's bytes, by name.
  public let weights: [String: String]
  /// SHA-256 of each task's outputs, by name.
  public let outputs: [String: String]

  /// Takes the fingerprint.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - exercises: What its tasks are, in order; later tasks may be missing.
  public init(_ model: Pathways, exercises: [PathwaysExercise]) {
    func digest(_ tensor: Tensor) -> String {
      var bytes = Data(capacity: 4 * tensor.count)
      for value in tensor.values {
        let bits = value.bitPattern
        bytes.append(contentsOf: (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) })
      }
      return Digest.sha256(of: bytes)
    }
    weights = Dictionary(
      uniqueKeysWithValues: model.parameters.map { ($0.name, digest($0.value)) })
    outputs = Dictionary(
      uniqueKeysWithValues: exercises.enumerated().map { index, exercise in
        let batch = exercise.batch(0..<64, key: RandomKey(seed: 1, stream: 90))
        let output = withoutGradient { model.output(batch.input, task: index) }
        return (model.config.tasks[index].name, digest(output))
      })
  }

  /// What of an earlier model is no longer as it was; empty when nothing is forgotten.
  public func changes(since earlier: PathwaysFingerprint) -> [String] {
    earlier.weights.filter { weights[$0.key] != $0.value }.map(\.key).sorted()
      + earlier.outputs.filter { outputs[$0.key] != $0.value }.map(\.key).sorted()
  }
}
