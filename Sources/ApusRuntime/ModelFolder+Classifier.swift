public import ApusModels
import ApusNN
import ApusTensor

extension ModelFolder {
  /// Saves a classifier. Each file is replaced whole, `apus.json` last.
  ///
  /// - Throws: ``ModelFolderError`` or what the file system says.
  public static func save(_ classifier: Classifier, to path: String) throws {
    try makeFolder(path)
    try Safetensors.save(named(classifier.parameters), to: path + "/model.safetensors")
    let config = [
      "model_type": "apus_classifier", "architecture": classifier.config.architecture,
    ]
    try write(encoded(config), to: path + "/config.json")
    try write(
      encoded(Card(task: "classify", classifier: classifier.config)), to: path + "/apus.json")
  }

  /// Loads a classifier.
  ///
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public static func classifier(at path: String) throws -> Classifier {
    let card = try card(at: path)
    guard card.task == "classify", let config = card.classifier else {
      throw ModelFolderError.wrongTask(path: path, found: card.task, expected: "classify")
    }
    return try Classifier(config, in: Scope(checkpoint: try Safetensors.load(path)))
  }
}
