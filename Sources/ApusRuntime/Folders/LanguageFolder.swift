public import ApusData
public import ApusModels
package import ApusTensor
public import Foundation

/// A language model on disk, ours or a published one; its weights are not loaded yet.
public struct LanguageFolder: Sendable {
  /// The folder.
  public var path: String { weights.folder }
  /// What its `model_type` says.
  public let architecture: Architecture
  /// The `config.json` as it was found, with the keys that only other programs read.
  package let config: JSONValue
  /// The tokenizer of a text that Apus was trained on; nil for published folders, which bring their
  /// own files.
  public let tokenizer: TextTokenizer?
  let weights: FolderWeights

  /// Loads the model with its surroundings.
  ///
  /// Weights in float32 stay in the file, mapped read-only; others are converted to it.
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public func load() throws -> SavedLanguageModel {
    let blueprint = try architecture.configured(config)
    // Masks and the like may be of types that nothing else needs.
    let ignored = blueprint.language.ignoredSuffixes
    let tensors = try weights.load { name in !ignored.contains { name.hasSuffix($0) } }
    return SavedLanguageModel(
      model: try LanguageModel(blueprint, checkpoint: tensors),
      tokenizer: tokenizer, publishedConfig: Data(config.text().utf8))
  }
}

/// A language model with what its folder says beside the weights.
public struct SavedLanguageModel {
  /// The model.
  public let model: LanguageModel
  /// The tokenizer of a text that Apus was trained on; nil for published folders, which bring their
  /// own files.
  public let tokenizer: TextTokenizer?
  /// The `config.json` as it was found, with the keys that only other programs read.
  public let publishedConfig: Data

  /// Puts the parts together.
  public init(model: LanguageModel, tokenizer: TextTokenizer?, publishedConfig: Data) {
    self.model = model
    self.tokenizer = tokenizer
    self.publishedConfig = publishedConfig
  }
}

extension ModelFolder {
  /// Saves a language model and, when given, its tokenizer, as published folders are laid out.
  ///
  /// Files are replaced together, and what is mapped from old ones stays intact; so a model may be saved
  /// to where it was loaded from.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - tokenizer: Goes into `apus.json`.
  ///   - publishedConfig: The `config.json` that the model came from, whose other keys are kept, so
  ///     that other programs read the folder the same way.
  ///   - format: Type and files of the weights.
  ///   - path: The folder; made when missing.
  /// - Throws: ``ModelFolderError`` or `FileError`; what stood there before stands.
  public static func save(
    _ model: LanguageModel, tokenizer: TextTokenizer?, publishedConfig: Data? = nil,
    format: WeightFormat = WeightFormat(), to path: String
  ) throws {
    try contents(model, tokenizer: tokenizer, publishedConfig: publishedConfig, format: format)
      .save(to: path)
  }

  /// The files of a language model's folder.
  package static func contents(
    _ model: LanguageModel, tokenizer: TextTokenizer?, publishedConfig: Data? = nil,
    format: WeightFormat = WeightFormat()
  ) throws -> FolderContents {
    var card = FolderCard(.language)
    card.tokenizer = tokenizer
    return FolderContents(
      model.parameters, format: format,
      config: try PublishedConfig.merged(model, over: publishedConfig, dtype: format.dtype),
      card: card)
  }
}
