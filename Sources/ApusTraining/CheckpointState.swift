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

  /// The version of what stands here. In 1 the digest of the configuration knew sizes alone.
  static let formatVersion = 2

  var formatVersion = Self.formatVersion
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

extension CheckpointState {
  /// Throws where a number cannot be that of a run, so that nothing computed from it traps.
  ///
  /// - Parameters:
  ///   - step: The step of the manifest.
  ///   - path: What messages call the file.
  /// - Throws: `JSONFileError` with the key.
  func validate(step: Int, path: String) throws {
    func require(_ holds: Bool, _ key: String, _ value: some Any) throws {
      guard holds else {
        throw JSONFileError.wrongValue(
          path: path, key: key, problem: "\(value) cannot be that of a run of \(step) steps")
      }
    }
    func positive(_ value: Double, _ key: String) throws {
      try require(value >= 0 && value.isFinite, key, value)
    }
    func mark(_ step: Int, _ seconds: Double, _ key: String) throws {
      try require((0...self.step).contains(step), key + ".step", step)
      try positive(seconds, key + ".seconds")
    }
    let record = run.record
    try require(self.step == step, "step", self.step)
    try require(run.step == step, "run.step", run.step)
    for (key, count) in [
      ("skippedInRow", run.skippedInRow), ("validationsSinceBest", run.validationsSinceBest),
      ("record.steps", record.steps), ("record.skippedSteps", record.skippedSteps),
    ] { try require((0...step).contains(count), "run.\(key)", count) }
    for (key, count) in [("units", record.units), ("peakBytes", record.peakBytes)] {
      try require((0...1 << 60).contains(count), "run.record.\(key)", count)
    }
    for (key, value) in [
      ("spentSeconds", run.spentSeconds), ("stepSeconds", run.stepSeconds),
      ("lastValidationSeconds", run.lastValidationSeconds), ("lossWeight", run.lossWeight),
      ("record.seconds", record.seconds), ("record.validationSeconds", record.validationSeconds),
      ("record.unitsPerSecond", record.unitsPerSecond),
    ] { try positive(value, "run.\(key)") }
    try positive(learningRate, "learningRate")
    try require(run.lossSum.isFinite, "run.lossSum", run.lossSum)
    if let last = run.lastValidation {
      try mark(last.step, last.seconds, "run.lastValidation")
      try positive(last.share, "run.lastValidation.share")
    }
    for (index, point) in record.curve.enumerated() {
      let key = "run.record.curve[\(index)]"
      try mark(point.step, point.seconds, key)
      for loss in [point.trainLoss, point.validationLoss] {
        try require(loss?.isFinite ?? true, key, loss ?? 0)
      }
    }
    if let best = record.best {
      try mark(best.step, 0, "run.record.best")
      try require(
        best.validationLoss.isFinite, "run.record.best.validationLoss", best.validationLoss)
    }
  }
}

/// What must be the same when a run is resumed.
struct RunIdentity {
  let configSHA256: String
  let dataSHA256: String

  init(options: TrainerOptions, task: some TrainingTask) throws {
    var essential = options
    essential.checkpoints = nil  // where and how often files are written changes no result
    let trainer = try JSONEncoder.tidy.encode(essential)
    let parameters = task.parameters.map { "\n\($0.name) \($0.shape) \($0.isTrainable)" }.joined()
    configSHA256 = Digest.sha256(
      of: trainer + Data((task.identity.configuration + parameters).utf8))
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
      let json = try JSONValue(try JSONEncoder.tidy.encode(options), name: "options")
      return Dictionary(
        (json.members ?? []).map { member in
          (member.key, member.value.text().filter { !$0.isWhitespace })
        }, uniquingKeysWith: { first, _ in first })
    }
    let (before, now) = (try table(old), try table(new))
    return Set(before.keys).union(now.keys).subtracting(["checkpoints"]).sorted()
      .filter { before[$0] != now[$0] }
      .map { "\($0) was \(before[$0] ?? "not set"), is \(now[$0] ?? "not set")" }
  }
}
