public import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import Foundation

/// Training one language model: from a text to a model folder.
public struct LanguageTraining: Sendable {
  private let corpus: TextCorpus
  private let source: DataSource
  private let options: ModelTrainingOptions

  /// Creates the job; nothing is done before ``run(output:resume:progress:)``.
  ///
  /// - Parameters:
  ///   - corpus: The text as tokens.
  ///   - source: The fingerprint of the file, by which a resumed run knows it.
  ///   - options: Model, budget, context and the like; what concerns series has no meaning.
  public init(_ corpus: TextCorpus, source: DataSource, options: ModelTrainingOptions) {
    (self.corpus, self.source, self.options) = (corpus, source, options)
  }

  /// Sets everything up: the configuration, with the text's vocabulary, and the model.
  private func task(_ options: ModelTrainingOptions) throws -> LanguageTask {
    let context = options.context ?? 256
    let batch = options.batch ?? max(1, 4096 / context)
    let usual = BackboneSize(
      width: Self.usual.width, layers: Self.usual.layers, context: context,
      vocabulary: corpus.tokenizer.vocabularySize)
    let blueprint = try options.model.blueprint(
      usual, width: options.width, layers: options.layers)
    let model = try LanguageModel(blueprint, key: RandomKey(seed: options.seed))
    var task = try LanguageTask(
      model, training: corpus.train, validation: corpus.validation, batch: batch, context: context)
    struct Identity: Encodable {
      let tokenizer: TextTokenizer
      let batch: Int
      let context: Int
    }
    let identity = Identity(tokenizer: corpus.tokenizer, batch: batch, context: context)
    let text = try blueprint.json() + JSONEncoder.tidy.encode(identity)
    task.identity = TaskIdentity(
      configuration: String(decoding: text, as: UTF8.self), dataSHA256: source.sha256)
    return task
  }

  /// Trains, saves the weights that validated best, and reads the whole validation part with them.
  ///
  /// - Parameters:
  ///   - output: The model's folder; the run's checkpoints lie in `checkpoints` under it.
  ///   - resume: Whether to go on from the newest checkpoint there.
  ///   - progress: Called after every step.
  /// - Returns: The record of the run.
  /// - Throws: What is wrong with the data or the options, ``TrainingError``, `ModelFolderError` and
  ///   `FileError`; a folder that cannot be written is found before training. ``Interruption`` when the
  ///   Swift task is cancelled: then a checkpoint stands, and no model is written.
  @concurrent
  public func run(
    output: String, resume: Bool = false,
    progress: @escaping @Sendable (TrainingProgress) async -> Void = { _ in }
  ) async throws -> TrainingSummary {
    let (task, record, search) = try await trained(output, resume, progress)
    var summary = TrainingSummary(
      task: "language", model: task.model.architecture.name,
      parameters: task.parameters.reduce(0) { $0 + $1.value.count },
      validationLoss: record.best?.validationLoss, output: output, record: record)
    summary.tuning = search
    try ModelFolder.save(task.model, tokenizer: corpus.tokenizer, to: output)
    let losses = try task.losses()
    if !losses.isEmpty { summary.validationLoss = losses.reduce(0, +) / Double(losses.count) }
    return summary
  }

  private func trained(
    _ output: String, _ resume: Bool, _ progress: @escaping (TrainingProgress) async -> Void
  ) async throws -> (task: LanguageTask, record: TrainingRecord, search: TuningRecord?) {
    guard options.candidates > 1 else {
      let task = try task(options)
      let trainer = try options.prepared(
        .languageModel(learningRate: options.learningRate), output: output)
      let record = try await trainer.run(task, resume: resume, progress: progress)
      return (task, try options.record(of: record), nil)
    }
    let perBlock = options.model.architecture.layersPerBlock
    let settled = try await options.settled(
      size: (Self.usual.width, Self.usual.layers * perBlock),
      training: TrainerOptions.languageModel, output: output, resume: resume, progress: progress,
      make: task)
    return (settled.task, try options.record(of: settled.record), settled.search)
  }

  /// Width and layers where nothing is said, blocks counted as layers.
  static let usual = (width: 128, layers: 4)
}
