public import ApusData
import ApusModels
public import ApusRuntime
import ApusTensor

/// Which forecaster is meant: one of a folder, a baseline, or an architecture that is to be trained.
public enum ForecasterChoice: Sendable {
  /// A trained forecaster, a baseline or an ensemble in a folder.
  case saved(ModelFolder)
  /// A classical baseline, by name.
  case baseline(String)
  /// An architecture, or a configuration of one.
  case model(ModelChoice)

  /// Takes the name of a baseline or an architecture, the path of a `config.json`, of a model's folder, or
  /// of one with a pretrained forecaster. A name that is known goes before a folder that is called so.
  ///
  /// - Throws: `ConfigError` for what is none of them, and what is wrong with a folder or file.
  public init(_ text: String) throws {
    if Baseline.catalogued(text, lookback: 1) != nil {
      self = .baseline(text)
    } else if (try? Architecture.named(text)) == nil, Files.isFolder(text) {
      let folder = try ModelFolder.open(text)
      if case .pretrained = folder.contents {
        self = .baseline(text)
      } else {
        self = .saved(folder)
      }
    } else {
      self = .model(try ModelChoice(text))
    }
  }

  /// Whether a baseline has this name, or a pretrained forecaster is in the folder of this path; what is
  /// wrong with the folder is said when it is used.
  static func isBaseline(_ name: String) -> Bool {
    if Baseline.catalogued(name, lookback: 1) != nil { return true }
    do { return try Baseline.isPretrained(at: name) } catch { return true }
  }

  /// What tables call it.
  public var name: String {
    switch self {
    case .saved(let folder):
      switch folder.contents {
      case .baseline(let baseline): baseline.name
      case .ensemble: Model.ensembleName
      case .forecaster(let forecaster): forecaster.config.backbone.architecture.name
      default: folder.path
      }
    case .baseline(let name): name
    case .model(let choice): choice.name
    }
  }
}

extension [ForecasterChoice] {
  /// Options for a file that these forecast, with what the training of the first saved one found about its
  /// own file where nothing else is said.
  ///
  /// - Parameter options: What is said about the columns and rows.
  /// - Returns: The completed options.
  /// - Throws: What is wrong with the folder.
  public func completing(_ options: SeriesOptions) throws -> SeriesOptions {
    for case .saved(let folder) in self { return options.completed(by: try Model(folder)) }
    return options
  }
}
