public import ApusNN
package import ApusTensor
public import Foundation

/// An architecture with a configuration of it: all that decides what a backbone computes but for its
/// weights. Encoded, it is the object of a `config.json`, every key of it.
public struct Blueprint: Sendable {
  /// The architecture.
  public let architecture: Architecture
  /// The hyperparameters, as `config.json` has them.
  public let config: any BackboneConfig
  /// What is true of every backbone of this configuration.
  public let facts: ModelFacts
  /// How a language model stands around the backbone.
  public var language: LanguageLayout { config.language }

  init(_ architecture: Architecture, _ config: any BackboneConfig) throws {
    (self.architecture, self.config, facts) = (architecture, config, config.facts)
    try requireRoom(SizeLimit.parameters)
  }

  /// A configuration made in code, with its registered architecture.
  ///
  /// - Throws: ``ConfigError``.
  public init(_ config: some BackboneConfig) throws {
    try config.validate()
    let type = try config.document()["model_type"]?.string ?? ""
    try self.init(.named(type), config)
  }

  /// The architecture and configuration of a `config.json`, by its `model_type`.
  ///
  /// - Parameters:
  ///   - json: The file's content, whose unknown keys pass.
  ///   - overrides: Keys from a person; unknown ones are rejected.
  /// - Throws: ``ConfigError``.
  public init(json: Data, overrides: [String: ConfigValue] = [:]) throws {
    try self.init(JSONValue(config: json), overrides: .object(overrides))
  }

  /// The same of a document that is read already.
  package init(_ file: JSONValue, overrides: JSONValue = .object([])) throws {
    guard let type = file["model_type"]?.string else {
      throw ConfigError.wrongType(key: "model_type", reason: "it is missing or no text")
    }
    self = try Architecture.named(type).configured(file, overrides: overrides)
  }

  /// This configuration with some keys set otherwise.
  ///
  /// - Throws: ``ConfigError``, also for an unknown key.
  public func setting(_ overrides: [String: ConfigValue]) throws -> Blueprint {
    try architecture.configured(config.document(), overrides: .object(overrides))
  }

  /// This configuration in another size; what is nil stays.
  ///
  /// - Throws: ``ConfigError`` naming the key that does not go with the new size.
  public func resized(
    width: Int? = nil, layers: Int? = nil, vocabulary: Int? = nil
  ) throws -> Blueprint {
    var config = config
    config.vocabSize = vocabulary ?? config.vocabSize
    config.width = width ?? config.width
    config.layers = layers ?? config.layers
    try config.validate()
    return try Blueprint(architecture, config)
  }

  /// The configuration as `config.json`.
  public func json() throws -> Data { try config.json() }

  /// The facts of a language model: the embedding, which is looked up, the backbone and the head.
  public var languageTotal: LayerFacts {
    var head = LayerFacts.linear(
      facts.outputWidth, language.vocabulary, bias: language.headBiasName != nil)
    if language.isTied { head.parameters = 0 }
    return facts.total + .vectors(language.vocabulary.times(facts.width)) + head
  }

  /// The backbone, with weights from `scope`.
  ///
  /// - Throws: ``ConfigError/tooLarge(parameters:most:)`` before anything is allocated, or
  ///   `CheckpointError` when a checkpoint does not fit.
  public func makeBackbone(in scope: Scope) throws -> any Backbone {
    if !scope.isLoading, !scope.isDescribing {
      try requireRoom(Int(clamping: ProcessInfo.processInfo.physicalMemory) / DType.float32.size)
    }
    return try config.makeBackbone(in: scope)
  }

  private func requireRoom(_ most: Int) throws {
    let parameters = languageTotal.parameters
    guard parameters <= most else {
      throw ConfigError.tooLarge(parameters: parameters, most: most)
    }
  }

  /// The tensors of a published language model in the names and shapes that this library uses.
  ///
  /// - Throws: ``CheckpointError`` when a tensor cannot be brought into shape.
  package func adapted(_ tensors: [String: Tensor]) throws -> [String: Tensor] {
    let (path, prefix) = (language.backbonePath, language.backbonePath + ".")
    var tensors = tensors
    if !path.isEmpty, !tensors.keys.contains(where: { $0.hasPrefix(prefix) }) {
      // Some published files leave the first part of the names out.
      tensors = Dictionary(
        tensors.map { ($0.hasPrefix("lm_head.") ? $0 : prefix + $0, $1) },
        uniquingKeysWith: { first, _ in first })
    }
    return try config.adapted(tensors)
  }
}

extension Blueprint: Hashable {
  public static func == (one: Blueprint, other: Blueprint) -> Bool {
    one.architecture.name == other.architecture.name
      && (try? one.json()) == (try? other.json())
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(architecture.name)
    hasher.combine(try? json())
  }
}

extension Blueprint: Codable {
  /// Reads the object of a `config.json`.
  public init(from decoder: any Decoder) throws {
    try self.init(ConfigValue(from: decoder).json)
  }

  /// Writes every key, null ones too.
  public func encode(to encoder: any Encoder) throws {
    try ConfigValue(config.document()).encode(to: encoder)
  }
}
