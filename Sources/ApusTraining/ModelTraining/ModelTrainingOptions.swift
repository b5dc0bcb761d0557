public import ApusData
public import ApusEvaluation
public import ApusModels
import ApusRuntime
public import ApusTensor
import Foundation

/// How a model is trained from a file. The defaults suit one daily series, or a text, and a laptop.
public struct ModelTrainingOptions: Sendable {
  /// The model to train.
  public var model: ModelChoice
  /// When training ends.
  public var budget = Budget.seconds(60)
  /// Rows or tokens that the model reads, L; where nil, 64 rows, fewer of short series, or 256 tokens.
  public var context: Int?
  /// Width of the backbone; the config's, else 64 for series and 128 for text.
  public var width: Int?
  /// Layers of the backbone; the config's, else 2 for series and 4 for text, twice as many for Mamba,
  /// whose layers have no feed-forward.
  public var layers: Int?
  /// Windows of one step; 8 of rows, or about 4,096 tokens, when nil.
  public var batch: Int?
  /// Batches to a step, whose gradients are averaged.
  public var microBatches = 1
  /// How many validations without a better one end the run; none do when nil.
  public var patience: Int?
  /// The peak of the learning rate; 0.002 for series, 0.003 for text when nil.
  public var learningRate: Double?
  /// Of weights and windows.
  public var seed: UInt64 = 0
  /// How many forecasters are trained, with this seed and those after it; they share the budget, and the mean of
  /// their quantiles is what is saved. 1 for text.
  public var seeds = 1
  /// How many learning rates and sizes are tried within the budget; see ``SuccessiveHalving``. Those that are
  /// given are not searched for. Default: 1, the usual ones.
  public var candidates = 1
  /// Of matrix products.
  public var precision = Precision.float32
  /// Whether blocks keep only their input and compute the rest again: less memory, a third more time.
  public var recomputesBlocks = false
  /// Rows that make one token of a forecaster.
  public var patch = 1
  /// Rows ahead, P; ignored for text.
  public var horizon = 5
  /// What a forecaster says of each step ahead, and by which loss it learns. Default: quantiles.
  public var head = ForecastHead.quantiles
  /// Quantile levels; the outermost make the central interval of 90 %.
  public var levels = Self.usualLevels
  /// The quantity to forecast; inferred from the data when nil.
  public var measure: Measure?
  /// Columns to read beside the target.
  public var covariates: [String] = []
  /// Columns that are known ahead, such as a promotion: those of the rows that are forecast are read.
  public var future: [String] = []
  /// Holidays, known ahead of every row. Default: none.
  public var holidays: Holidays?
  /// Whether quantiles of a forecaster are corrected by what validation says about them.
  public var isConformal = true

  /// The deciles, and the ends of the central interval of 90 %.
  public static let usualLevels = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]

  /// Creates the default for a model.
  public init(_ model: ModelChoice) { self.model = model }

  /// The trainer of these options, whose folder can be written.
  ///
  /// - Parameters:
  ///   - defaults: How a run of the task goes, but for what these options say.
  ///   - output: The model's folder.
  ///   - part: The folder of the run among the checkpoints, where there are several. Default: none.
  /// - Returns: The trainer, which keeps its checkpoints under the folder.
  /// - Throws: `ConfigError`, `ModelFolderError`.
  func prepared(
    _ defaults: TrainerOptions, output: String, part: String? = nil
  ) throws -> Trainer {
    var trainer = defaults
    (trainer.budget, trainer.seed, trainer.precision) = (budget, seed, precision)
    (trainer.microBatches, trainer.patience) = (microBatches, patience)
    trainer.recomputesBlocks = recomputesBlocks
    let directory = output + "/checkpoints" + (part.map { "/" + $0 } ?? "")
    trainer.checkpoints = CheckpointOptions(directory: directory)
    let prepared = try Trainer(trainer)
    try ModelFolder.prepare(output)
    return prepared
  }

  /// A record of a run that came to its end.
  ///
  /// - Throws: ``Interruption``, ``TrainingError``.
  func record(of record: TrainingRecord) throws -> TrainingRecord {
    guard record.stopReason != .interrupted else {
      throw Interruption(work: "training", step: record.steps)
    }
    guard record.stopReason != .diverged else { throw TrainingError.diverged(step: record.steps) }
    return record
  }
}

extension Budget {
  /// What each of some runs has of it: at least a step.
  func shared(by runs: Int) -> Budget {
    if let seconds { return .seconds(seconds / Double(runs)) }
    return .steps(max(1, (steps ?? 0) / runs))
  }
}

extension TrainingRecord {
  /// What several runs took together; the curve is that of the first.
  init(together records: [TrainingRecord]) {
    self = records.first ?? TrainingRecord()
    guard records.count > 1 else { return }
    best = nil
    for record in records.dropFirst() {
      steps += record.steps
      skippedSteps += record.skippedSteps
      units += record.units
      seconds += record.seconds
      validationSeconds += record.validationSeconds
      peakBytes = max(peakBytes, record.peakBytes)
    }
    trainLoss = nil
    let speeds = records.map(\.unitsPerSecond)
    unitsPerSecond = speeds.reduce(0, +) / Double(max(speeds.count, 1))
  }
}

/// The result of a training run.
public struct TrainingSummary: Sendable {
  /// `forecast` or `language`.
  public var task: String
  /// The architecture.
  public var model: String
  /// The numbers that training chose.
  public var parameters: Int
  /// Over the whole validation part: mean pinball loss in units of the measure, or nats per token.
  public var validationLoss: Double?
  /// The learning rates and sizes that were tried; nil where none were.
  public var tuning: TuningRecord?
  /// Of a forecaster, the central intervals on the validation part, widest first.
  public var coverage: [IntervalCoverage]?
  /// Where the model is.
  public var output: String
  /// The record of the run.
  public var record: TrainingRecord
}

extension TrainingSummary: Encodable {
  private enum CodingKeys: String, CodingKey {
    case task, model, parameters, validationLoss, tuning, coverage, output
  }

  /// Encodes the record's keys and the summary's in one object.
  public func encode(to encoder: any Encoder) throws {
    try record.encode(to: encoder)
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(task, forKey: .task)
    try container.encode(model, forKey: .model)
    try container.encode(parameters, forKey: .parameters)
    try container.encodeIfPresent(validationLoss, forKey: .validationLoss)
    try container.encodeIfPresent(tuning, forKey: .tuning)
    try container.encodeIfPresent(coverage, forKey: .coverage)
    try container.encode(output, forKey: .output)
  }
}
