import ApusModels
import ApusTensor
import Foundation

extension ModelFolder {
  /// Loads the model of a folder and saves it to another, with the files beside the weights: the
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
    let folder = try open(source)
    var contents: FolderContents
    if case .encoder(let encoder) = folder.contents {
      contents = try self.contents(
        encoder.load(), publishedConfig: Data(encoder.config.text().utf8), format: format)
    } else {
      let saved = try folder.language().load()
      contents = try self.contents(
        saved.model, tokenizer: saved.tokenizer, publishedConfig: saved.publishedConfig,
        format: format)
    }
    for name in companions {
      let place = FolderFiles(source).place(name)
      guard Files.isFile(place) else { continue }
      guard Files.isPart(place, of: source) else {
        throw ModelFolderError.leavesFolder(path: place)
      }
      contents.companions.append((name, place))
    }
    try prepare(target)
    try contents.save(to: target)
  }

  private static let companions = [
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "vocab.txt",
    "chat_template.jinja", "modules.json", "sentence_bert_config.json",
    "config_sentence_transformers.json", "1_Pooling/config.json",
  ]
}
