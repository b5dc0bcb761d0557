import ApusModels
import ApusTensor
import Foundation

extension ModelFolder {
  /// Loads the model of a folder and saves it to another, with what lies beside the weights: the
  /// tokenizer, the settings of generation, the files of sentence-transformers.
  ///
  /// - Parameters:
  ///   - source: A folder of a language model or an encoder.
  ///   - target: The folder to make.
  ///   - format: Type and files of the weights.
  /// - Throws: ``ModelFolderError``, or what is wrong with the model's configuration or weights.
  public static func convert(
    _ source: String, to target: String, format: WeightFormat = WeightFormat()
  ) throws {
    let json = try read(source + "/config.json", purpose: "the model's configuration")
    if PublishedConfig.modelType(json) == BertConfig.modelType {
      try save(bert(at: source), publishedConfig: json, format: format, to: target)
    } else {
      let saved = try languageModel(at: source)
      try save(
        saved.model, tokenizer: saved.tokenizer, publishedConfig: json, format: format, to: target)
    }
    for name in companions {
      let (from, to) = ("\(source)/\(name)", "\(target)/\(name)")
      guard Files.isFile(from), Files.resolved(from) != Files.resolved(to) else { continue }
      try makeFolder(Files.folder(of: to))
      try write(read(from, purpose: "a part of the model"), to: to)
    }
  }

  private static let companions = [
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt",
    "chat_template.jinja", "modules.json", "sentence_bert_config.json",
    "config_sentence_transformers.json", "1_Pooling/config.json",
  ]
}
