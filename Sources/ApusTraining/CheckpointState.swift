import ApusTensor
import Foundation

/// `state.json`: everything beside tensors that a run needs to go on to the bit, and what it was
/// made with. Always written between two steps, so no gradient is under way.
struct CheckpointState: Codable {
  /// Where in the data the run stands: with ``Permutation``, position `p` of a seed is an example.
  struct DataCursor: Codable {
    var seed: UInt64
    /// Micro-batches drawn.
    var position: Int
  }

  /// The counter-based generator: its key; nothing is used up, so the counter is the step.
  struct RandomState: Codable {
    var generator = "philox4x32-10"
    var seed: UInt64
    var stream: UInt64
    var counter: Int
  }

  var formatVersion = CheckpointStore.formatVersion
  var run: RunState
  var step: Int
  var microStep = 0
  var gradients = "at boundary"
  var unitsSeen: Int
  var unit: String
  var dataCursor: DataCursor
  var random: RandomState
  var learningRate: Double
  var lossAverage: Double?
  var best: TrainingRecord.Best?
  var validationsSinceBest: Int
  var budgetSpentSeconds: Double
  var options: TrainerOptions
  var configSHA256: String
  var dataSHA256: String
  var codeVersion: String
  var instructionSet: String
  var productInstructionSet: String
  var threads: Int
  /// Sums run in a fixed order, whatever the number of threads.
  var arithmetic = "deterministic"

  init(run: RunState, options: TrainerOptions, learningRate: Double, identity: RunIdentity) {
    let key = RandomKey(seed: options.seed)
    self.run = run
    step = run.step
    unitsSeen = run.record.units
    unit = run.record.unit
    dataCursor = DataCursor(seed: key.seed, position: run.step * options.microBatches)
    random = RandomState(seed: key.seed, stream: key.stream, counter: run.step)
    self.learningRate = learningRate
    lossAverage = run.loss
    best = run.record.best
    validationsSinceBest = run.validationsSinceBest
    budgetSpentSeconds = run.spentSeconds
    self.options = options
    configSHA256 = identity.configSHA256
    dataSHA256 = identity.dataSHA256
    codeVersion = ApusVersion.current
    instructionSet = Machine.instructionSet
    productInstructionSet = Machine.productInstructionSet
    threads = Machine.threads
  }
}

/// What must be the same when a run is resumed.
struct RunIdentity {
  let configSHA256: String
  let dataSHA256: String

  init(options: TrainerOptions, task: some TrainingTask) throws {
    var essential = options
    essential.checkpoints = nil  // where and how often files are written changes no result
    var text = try JSONEncoder.tidy.encode(essential)
    text += Data(task.identity.configuration.utf8)
    for parameter in task.parameters {
      text += Data("\n\(parameter.name) \(parameter.shape) \(parameter.isTrainable)".utf8)
    }
    configSHA256 = Digest.sha256(of: text)
    dataSHA256 = task.identity.dataSHA256
  }

  /// Refuses to go on with what `state` was not made with.
  func check(_ state: CheckpointState, options: TrainerOptions, path: String) throws {
    guard state.configSHA256 == configSHA256 else {
      throw TrainingError.otherConfiguration(
        path: path, differences: try differences(state.options, options))
    }
    guard state.dataSHA256 == dataSHA256 else {
      throw TrainingError.otherData(path: path, found: dataSHA256, expected: state.dataSHA256)
    }
  }

  /// The names of the options that differ, with both values.
  private func differences(_ old: TrainerOptions, _ new: TrainerOptions) throws -> [String] {
    func table(_ options: TrainerOptions) throws -> [String: String] {
      let data = try JSONEncoder().encode(options)
      let object = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
      return try object.mapValues {
        let text = try JSONSerialization.data(
          withJSONObject: $0, options: [.sortedKeys, .fragmentsAllowed])
        return String(decoding: text, as: UTF8.self)
      }
    }
    let (before, now) = (try table(old), try table(new))
    return Set(before.keys).union(now.keys).subtracting(["checkpoints"]).sorted()
      .filter { before[$0] != now[$0] }
      .map { "\($0) was \(before[$0] ?? "not set"), is \(now[$0] ?? "not set")" }
  }
}
