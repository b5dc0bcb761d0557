public import ApusModels
import ApusTensor
public import Foundation

/// An encoder on disk; its weights are not loaded yet.
public struct EncoderFolder: Sendable {
  let config: JSONValue
  let weights: FolderWeights

  /// Loads the model.
  ///
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public func load() throws -> Bert {
    let tensors = try weights.load { !$0.hasSuffix("embeddings.position_ids") }
    return try Bert(BertConfig(config), checkpoint: tensors)
  }
}

extension ModelFolder {
  /// Saves an encoder, as published folders are laid out; its files are replaced together.
  ///
  /// - Parameters:
  ///   - bert: The encoder.
  ///   - publishedConfig: The `config.json` that it came from, whose other keys are kept.
  ///   - format: Type and files of the weights.
  ///   - path: The folder; made when missing.
  /// - Throws: ``ModelFolderError`` or `FileError`; what stood there before stands.
  public static func save(
    _ bert: Bert, publishedConfig: Data? = nil, format: WeightFormat = WeightFormat(),
    to path: String
  ) throws {
    try contents(bert, publishedConfig: publishedConfig, format: format).save(to: path)
  }

  static func contents(
    _ bert: Bert, publishedConfig: Data?, format: WeightFormat
  ) throws -> FolderContents {
    let name = bert.hasMaskedLanguageHead ? "BertForMaskedLM" : "BertModel"
    return FolderContents(
      bert.parameters, format: format,
      config: try PublishedConfig.merged(
        bert.config, over: publishedConfig, className: name, dtype: format.dtype),
      card: FolderCard(.encode))
  }
}
