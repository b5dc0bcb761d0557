public import ApusData
public import ApusModels
import ApusRuntime
import ApusTensor
import Foundation

/// Training one language model: from a text to a model folder.
public struct LanguageTraining {
  /// Its weights are fresh until ``run(output:resume:interruption:progress:)``.
  public let model: LanguageModel
  private let tokenizer: TextTokenizer
  private let task: LanguageTask
  private let options: ModelTrainingOptions

  /// Sets everything up: the configuration, with the text's vocabulary, and the model.
  ///
  /// - Parameters:
  ///   - corpus: The text as tokens.
  ///   - source: The fingerprint of the file, by which a resumed run knows it.
  ///   - options: Model, budget, context and the like; what concerns series has no meaning.
  /// - Throws: What is wrong with the data or the options.
  public init(_ corpus: TextCorpus, source: DataSource, options: ModelTrainingOptions) throws {
    let context = options.context ?? 256
    let batch = options.batch ?? max(1, 4096 / context)
    let config = try Self.configuration(options, context: context, corpus: corpus)
    model = try LanguageModel(
      try options.model.architecture(), config: config, key: RandomKey(seed: options.seed))
    var task = try LanguageTask(
      model, training: corpus.train, validation: corpus.validation, batch: batch, context: context)
    struct Identity: Encodable {
      let tokenizer: TextTokenizer
      let batch: Int
      let context: Int
    }
    let identity = Identity(tokenizer: corpus.tokenizer, batch: batch, context: context)
    let text = try config.json() + JSONEncoder.tidy.encode(identity)
    task.identity = TaskIdentity(
      configuration: String(decoding: text, as: UTF8.self), dataSHA256: source.sha256)
    self.task = task
    self.options = options
    tokenizer = corpus.tokenizer
  }

  /// A published config keeps all it says but the vocabulary and what the options name.
  private static func configuration(
    _ options: ModelTrainingOptions, context: Int, corpus: TextCorpus
  ) throws -> any ModelConfig {
    let architecture = try options.model.architecture()
    let vocabulary = corpus.tokenizer.vocabularySize
    guard case .config(let data) = options.model, options.width == nil, options.layers == nil
    else {
      return try architecture.makeConfiguration(
        size: options.size(width: 128, layers: 4, context: context, vocabulary: vocabulary))
    }
    return try architecture.makeConfiguration(json: data, overrides: ["vocab_size": vocabulary])
  }

  /// Trains, saves the weights that validated best, and reads the whole validation part with them.
  ///
  /// - Parameters:
  ///   - output: The model's folder; the run's checkpoints lie in `checkpoints` under it.
  ///   - resume: Whether to go on from the newest checkpoint there.
  ///   - interruption: What may end the run early; then its checkpoint stands and no model is written.
  ///   - progress: Called after every step.
  /// - Returns: What was done.
  /// - Throws: ``TrainingError``, `ModelFolderError` and `FileError`; a folder that cannot be written is
  ///   found before training.
  public func run(
    output: String, resume: Bool = false, interruption: Interruption? = nil,
    progress: (TrainingProgress) -> Void = { _ in }
  ) throws -> TrainingSummary {
    try options.train(
      task, as: ("language", model.architecture.name),
      with: .languageModel(learningRate: options.learningRate), output: output,
      resume: resume, interruption: interruption, progress: progress
    ) { summary in
      try ModelFolder.save(model, tokenizer: tokenizer, to: output)
      let losses = try task.losses()
      if !losses.isEmpty { summary.validationLoss = losses.reduce(0, +) / Double(losses.count) }
    }
  }
}
