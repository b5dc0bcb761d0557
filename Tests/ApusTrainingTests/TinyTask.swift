import ApusNN
import ApusTensor
import ApusTraining

/// Two layers that learn which of three classes a point of five features belongs to. Small enough
/// for thousands of steps a second, large enough that every part of a run matters.
struct TinyTask: TrainingTask {
  let parameters: [Parameter]
  let unit = "examples"
  var identity = TaskIdentity(configuration: "tiny", dataSHA256: "0123")
  /// Called before every loss; what it gives multiplies the loss.
  var disturbance: (_ step: Int) throws -> Float = { _ in 1 }
  /// Replaces the validation loss.
  var validation: (() -> Double?)?
  /// Whether a validation looks for cancellation when it ends.
  var isCancellable = false
  private let hidden: Linear
  private let head: Parameter
  private let points: [[Float]]
  private let batch = 7

  init(seed: UInt64 = 1) throws {
    let scope = Scope(key: RandomKey(seed: seed))
    hidden = try Linear(5, 17, in: scope["hidden"])
    head = try scope["head"].parameter("weight", [3, 17], .uniform(bound: 0.2))
    parameters = try scope.finish()
    let values = Tensor(normal: [90, 5], key: RandomKey(seed: 99)).values
    points = (0..<90).map { Array(values[$0 * 5..<$0 * 5 + 5]) }
  }

  private func label(_ point: [Float]) -> Int32 {
    let score = point[0] + 0.5 * point[1] - 0.2 * point[2]
    return score < -0.5 ? 0 : score < 0.5 ? 1 : 2
  }

  private func loss(of indices: [Int]) -> Tensor {
    let chosen = indices.map { points[$0] }
    let x = Tensor(chosen.flatMap { $0 }, [chosen.count, 5])
    let targets = Tensor(chosen.map(label), [chosen.count])
    return Activation.gelu(hidden(x)).crossEntropy(head: head.value, targets: targets)
  }

  func loss(step: Int, microStep: Int, key: RandomKey) throws -> (loss: Tensor, units: Int) {
    let factor = try disturbance(step)
    let first = (step * 2 + microStep) * batch
    let indices = (first..<first + batch).map { Permutation.example($0, of: 60, key: key) }
    let loss = loss(of: indices)
    return (factor == 1 ? loss : loss * factor, batch)
  }

  func validationLoss() throws -> Double? {
    if let validation {
      let loss = validation()
      if isCancellable { try Task.checkCancellation() }
      return loss
    }
    return Double(loss(of: Array(60..<90)).scalar)
  }

  /// Whether every weight is a number.
  var isFinite: Bool {
    parameters.allSatisfy { parameter in parameter.value.values.allSatisfy { $0.isFinite } }
  }

  /// All weights, bit by bit.
  var bits: [UInt32] { parameters.flatMap { $0.value.values.map(\.bitPattern) } }
}

extension Trainer {
  /// Runs in a Swift task of its own, which is cancelled from within when `isDue` says so.
  func runCancelled(
    _ task: TinyTask, when isDue: @escaping (TrainingProgress) -> Bool
  ) async throws -> TrainingRecord {
    nonisolated(unsafe) let (trainer, task, isDue) = (self, task, isDue)
    return try await Task {
      try await trainer.run(task) { progress in
        if isDue(progress) { withUnsafeCurrentTask { $0?.cancel() } }
      }
    }.value
  }
}
