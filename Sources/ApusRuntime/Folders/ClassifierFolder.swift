public import ApusModels
import ApusNN
import ApusTensor

/// A classifier on disk; its weights are not loaded yet.
public struct ClassifierFolder: Sendable {
  /// What the model was made for.
  public let config: ClassifierConfig
  let weights: FolderWeights

  init(_ card: FolderCard?, weights: FolderWeights) throws {
    guard let config = card?.classifier else {
      throw ModelFolderError.damaged(
        path: weights.folder + "/" + FolderFiles.card, reason: "it has no classifier")
    }
    (self.config, self.weights) = (config, weights)
  }

  /// Loads the model.
  ///
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public func load() throws -> Classifier {
    try Classifier(config, in: Scope(checkpoint: try weights.load()))
  }
}

extension ModelFolder {
  /// Saves a classifier; its files are replaced together.
  ///
  /// - Throws: `FileError`; what stood there before stands.
  public static func save(_ classifier: Classifier, to path: String) throws {
    var card = FolderCard(.classify)
    card.classifier = classifier.config
    try FolderContents(
      classifier.parameters,
      config: try encoded([
        "model_type": "apus_classifier",
        "architecture": classifier.config.backbone.architecture.name,
      ]), card: card
    ).save(to: path)
  }
}
