import ApusData
import ApusModels
import ApusTensor

/// A model on disk: what it is, from its descriptions alone. Weights are read when ``Contents`` are
/// asked to load.
///
/// A folder has a `config.json`, files of weights, and `apus.json` for what only Apus knows; a
/// composition has `coe.json`, a Pathways model `pathways.json`. Folders of language models and encoders
/// are laid out as published ones are, so that other programs read them.
public struct ModelFolder: Sendable {
  /// The layout that is written, unless something in it asks for a newer one.
  static let format = 2
  /// The newest layout that is read: 3 has corrections of quantiles, and ensembles.
  static let newestFormat = 3

  /// The folder.
  public let path: String
  /// What it holds.
  public let contents: Contents

  /// What a folder can hold.
  public enum Contents: Sendable {
    /// A language model, ours or a published one.
    case language(LanguageFolder)
    /// An encoder such as BERT.
    case encoder(EncoderFolder)
    /// A forecaster with its recipe.
    case forecaster(ForecasterFolder)
    /// A classical baseline with the rows it is fitted to.
    case baseline(BaselineFolder)
    /// A pretrained forecaster as it was published, without a question.
    case pretrained(PretrainedFolder)
    /// Forecasters whose mean is taken.
    case ensemble(EnsembleFolder)
    /// A classifier of sequences.
    case classifier(ClassifierFolder)
    /// Models behind a router.
    case composition(Composition)
    /// One model of many tasks.
    case pathways(PathwaysFolder)
    /// Weights that Apus has no architecture for, or no configuration of.
    case unknown(UnknownFolder)
  }

  /// Finds out what a folder holds.
  ///
  /// - Parameter path: The folder.
  /// - Returns: The folder with its description; weights are not read.
  /// - Throws: ``ModelFolderError``, `JSONFileError`, `RouterError` or `FileError` for what is missing,
  ///   damaged, or written by a newer Apus.
  public static func open(_ path: String) throws -> ModelFolder {
    ModelFolder(path: path, contents: try Contents(FolderFiles(path)))
  }

  /// The forecaster that the folder holds.
  ///
  /// - Throws: ``ModelFolderError/wrongTask(path:found:expected:)``, as the other ways to ask for one kind.
  public func forecaster() throws -> ForecasterFolder {
    guard case .forecaster(let found) = contents else { throw wrongTask("forecast") }
    return found
  }

  /// The language model that the folder holds.
  public func language() throws -> LanguageFolder {
    guard case .language(let found) = contents else { throw wrongTask("language") }
    return found
  }

  /// The encoder that the folder holds.
  public func encoder() throws -> EncoderFolder {
    guard case .encoder(let found) = contents else { throw wrongTask("encode") }
    return found
  }

  /// The classifier that the folder holds.
  public func classifier() throws -> ClassifierFolder {
    guard case .classifier(let found) = contents else { throw wrongTask("classify") }
    return found
  }

  /// The composition that the folder holds.
  public func composition() throws -> Composition {
    guard case .composition(let found) = contents else { throw wrongTask("composition") }
    return found
  }

  /// The Pathways model that the folder holds.
  public func pathways() throws -> PathwaysFolder {
    guard case .pathways(let found) = contents else { throw wrongTask("pathways") }
    return found
  }

  /// What the folder's model was made for, in a word.
  var task: String {
    switch contents {
    case .language: "language"
    case .encoder: "encode"
    case .forecaster: "forecast"
    case .baseline: "forecast, by a baseline"
    case .pretrained: "forecast, once it is asked"
    case .ensemble: "forecast, by an ensemble"
    case .classifier: "classify"
    case .composition: "composition"
    case .pathways: "pathways"
    case .unknown(let folder): folder.modelType ?? ""
    }
  }

  private func wrongTask(_ expected: String) -> any Error {
    guard case .unknown(let folder) = contents else {
      return ModelFolderError.wrongTask(path: path, found: task, expected: expected)
    }
    guard let type = folder.modelType else {
      return ModelFolderError.missingFile(
        path: path + "/config.json", purpose: "the model's configuration")
    }
    return ConfigError.unknownModelType(
      type, known: Architecture.all.map(\.name) + [BertConfig.modelType])
  }
}

extension ModelFolder.Contents {
  init(_ files: FolderFiles) throws {
    if let json = try files.json(Composition.file) {
      self = .composition(try Composition(json, in: files))
    } else if let json = try files.json(PathwaysFolder.file) {
      self = .pathways(try PathwaysFolder(json, in: files))
    } else {
      try self.init(
        config: try files.json(FolderFiles.config), card: try files.card(), files: files)
    }
  }

  /// What a folder with a configuration, or with a card of ours, holds.
  private init(config: JSONValue?, card: FolderCard?, files: FolderFiles) throws {
    if let card { try card.check(config, in: files.path) }
    let weights = FolderWeights(folder: files.path, fingerprints: card?.weights)
    switch card?.task {
    case .forecast where card?.baseline != nil:
      self = .baseline(try BaselineFolder(card, config: config, weights: weights))
    case .forecast:
      if let card, let members = card.ensemble {
        self = .ensemble(try EnsembleFolder(card, members: members, weights: weights))
        return
      }
      self = .forecaster(try ForecasterFolder(card, weights: weights))
    case .classify: self = .classifier(try ClassifierFolder(card, weights: weights))
    case .language, .encode, nil:
      guard let config, config.members != nil else {
        if config != nil {
          throw ConfigError.notAnObject(reason: "the outermost value is something else")
        }
        guard try !weights.files().isEmpty else {
          throw ModelFolderError.missingFile(
            path: files.path + "/" + FolderFiles.config, purpose: "the model's configuration")
        }
        self = .unknown(UnknownFolder(path: files.path, config: nil))
        return
      }
      self.init(config: config, tokenizer: card?.tokenizer, weights: weights)
    }
  }

  /// What a configuration describes; nothing of it is checked yet but its `model_type`.
  init(config: JSONValue, tokenizer: TextTokenizer? = nil, weights: FolderWeights) {
    let type = config["model_type"]?.string
    if let pretrained = PretrainedFolder(config: config, weights: weights) {
      self = .pretrained(pretrained)
    } else if type == BertConfig.modelType {
      self = .encoder(EncoderFolder(config: config, weights: weights))
    } else if let architecture = type.flatMap({ try? Architecture.named($0) }) {
      self = .language(
        LanguageFolder(
          architecture: architecture, config: config, tokenizer: tokenizer, weights: weights))
    } else {
      self = .unknown(UnknownFolder(path: weights.folder, config: config))
    }
  }
}

/// Weights that Apus cannot run.
public struct UnknownFolder: Sendable {
  /// The folder.
  public let path: String
  let config: JSONValue?

  /// The `model_type` of its configuration; nil without a configuration, empty where it has none.
  public var modelType: String? { config.map { $0["model_type"]?.string ?? "" } }
}
