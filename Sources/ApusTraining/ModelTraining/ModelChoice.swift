import ApusData
public import ApusModels
import ApusRuntime
import ApusTensor
import Foundation

/// Which architecture is trained, and how it is configured.
public enum ModelChoice: Sendable {
  /// An architecture of the registry, in the size of the options.
  case architecture(Architecture)
  /// One with its whole configuration, and what comparisons call it.
  case config(Blueprint, name: String)

  /// Takes the name of an architecture or the path of a `config.json`.
  ///
  /// Of a published file, which names its `architectures` or the version of transformers, keys that
  /// Apus does not know pass; in any other every key counts, and an unknown one is rejected.
  /// - Throws: `ConfigError` for an unknown name or a configuration that does not hold,
  ///   `FileError` for a file that cannot be read.
  public init(_ text: String) throws {
    guard text.hasSuffix(".json") || Files.isFile(text) else {
      self = .architecture(try Architecture.named(text))
      return
    }
    let keys = try JSONValue(config: Data(Files.contents(of: text, limit: 16 << 20)))
    let isPublished = keys["architectures"] != nil || keys["transformers_version"] != nil
    let blueprint =
      isPublished ? try Blueprint(keys) : try Blueprint(keys, overrides: keys.withoutDTypes)
    let file = String(text.split(separator: "/").last?.prefix { $0 != "." } ?? "")
    let name = ["", "config"].contains(file) ? blueprint.architecture.name : file
    self = .config(blueprint, name: name)
  }

  /// The architecture.
  public var architecture: Architecture {
    switch self {
    case .architecture(let architecture): architecture
    case .config(let blueprint, _): blueprint.architecture
    }
  }

  /// What comparisons call it: the architecture, or the file unless that is a `config.json`.
  public var name: String {
    switch self {
    case .architecture(let architecture): architecture.name
    case .config(_, let name): name
    }
  }

  /// The backbone that is trained.
  ///
  /// - Parameters:
  ///   - usual: The size of an architecture without a configuration, blocks counted as layers; its
  ///     context and vocabulary are those of the task.
  ///   - width: D, where a person says it.
  ///   - layers: Layers, where a person says them.
  /// - Returns: The architecture with its configuration.
  /// - Throws: `ConfigError`.
  package func blueprint(
    _ usual: BackboneSize, width: Int? = nil, layers: Int? = nil
  ) throws -> Blueprint {
    switch self {
    case .architecture(let architecture):
      var size = usual
      size.width = width ?? usual.width
      size.layers = layers ?? architecture.layersPerBlock * usual.layers
      return try architecture.configured(size: size)
    case .config(let blueprint, _):
      return try blueprint.resized(width: width, layers: layers, vocabulary: usual.vocabulary)
    }
  }
}

extension JSONValue {
  /// A configuration without what only says how its weights were stored.
  fileprivate var withoutDTypes: JSONValue {
    .object((members ?? []).filter { !["dtype", "torch_dtype"].contains($0.key) })
  }
}
