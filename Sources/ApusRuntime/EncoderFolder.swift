public import ApusModels
import ApusTensor
public import Foundation

extension ModelFolder {
  /// Loads an encoder: a folder whose `model_type` is bert.
  ///
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public static func bert(at path: String) throws -> Bert {
    let json = try read(path + "/config.json", purpose: "the model's configuration")
    let type = PublishedConfig.modelType(json)
    guard type == BertConfig.modelType else {
      throw ConfigError.unknownModelType(type ?? "", known: [BertConfig.modelType])
    }
    let weights = try Safetensors.load(path) { !$0.hasSuffix("embeddings.position_ids") }
    return try Bert(BertConfig(json: json), checkpoint: weights)
  }

  /// Saves an encoder, as published folders are laid out.
  ///
  /// - Parameters:
  ///   - bert: The encoder.
  ///   - publishedConfig: The `config.json` that it came from, whose other keys are kept.
  ///   - format: Type and files of the weights.
  ///   - path: The folder; made when missing.
  /// - Throws: ``ModelFolderError`` or what the file system says.
  public static func save(
    _ bert: Bert, publishedConfig: Data? = nil, format: WeightFormat = WeightFormat(),
    to path: String
  ) throws {
    let name = bert.hasMaskedLanguageHead ? "BertForMaskedLM" : "BertModel"
    let config = try PublishedConfig.merged(
      bert.config, over: publishedConfig, className: name, dtype: format.dtype)
    try makeFolder(path)
    try saveWeights(named(bert.parameters), format: format, to: path)
    try write(config, to: path + "/config.json")
  }
}
