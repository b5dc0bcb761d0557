public import ApusNN
package import ApusTensor
public import Foundation

/// One entry of the registry: an architecture, how it is configured and made, and how published
/// checkpoints name its parts.
public struct Architecture: Sendable {
  /// The name that commands use, such as `mamba`.
  public let name: String
  /// The `model_type`s of its checkpoints, the first being its own.
  public let modelTypes: [String]
  /// What it is, in a line.
  public let summary: String
  /// Where it comes from.
  public let paper: String
  /// Whether one more token costs the same however many came before.
  public let isRecurrent: Bool
  /// How many of its layers cost about as much as one block of attention and feed-forward.
  public let layersPerBlock: Int

  /// The path of the backbone's weights in a language model's checkpoint.
  package let backbonePath: String
  let configuration: @Sendable (Data?, [String: any Sendable]) throws -> any ModelConfig
  let backbone: @Sendable (any ModelConfig, Scope) throws -> any Backbone
  let sized: @Sendable (BackboneSize) -> [String: any Sendable]
  /// What a language model needs to know of a configuration.
  let language: @Sendable (any ModelConfig) -> LanguageLayout?
  /// Brings the tensors of a published file into the names and shapes that the backbone asks for.
  let adapt: @Sendable ([String: Tensor], any ModelConfig) throws -> [String: Tensor]

  /// Ties a configuration type to its backbone; `make` gets exactly what `configuration` made.
  ///
  /// - Parameters:
  ///   - name: The name that commands use.
  ///   - modelTypes: The `model_type`s that its configuration reads; the configuration's own when nil.
  ///   - summary: What it is, in a line.
  ///   - paper: Where it comes from.
  ///   - isRecurrent: Whether one more token costs the same however many came before.
  ///   - layersPerBlock: How many of its layers cost about as much as one block of attention and
  ///     feed-forward.
  ///   - backbonePath: The path of the backbone's weights in a language model's checkpoint.
  ///   - config: The configuration.
  ///   - make: Makes the backbone.
  ///   - sized: The keys of a configuration of a given size.
  ///   - language: What a language model needs to know.
  ///   - adapt: Renames, joins or splits tensors of published files that lie otherwise.
  init<Config: ModelConfig>(
    name: String, modelTypes: [String]? = nil, summary: String, paper: String, isRecurrent: Bool,
    layersPerBlock: Int = 1, backbonePath: String, config: Config.Type,
    make: @escaping @Sendable (Config, Scope) throws -> any Backbone,
    sized: @escaping @Sendable (BackboneSize) -> [String: any Sendable],
    language: @escaping @Sendable (Config) -> LanguageLayout,
    adapt: @escaping @Sendable ([String: Tensor], Config) throws -> [String: Tensor] = { one, _ in
      one
    }
  ) {
    self.name = name
    self.modelTypes = modelTypes ?? [Config.modelType]
    self.summary = summary
    self.paper = paper
    self.isRecurrent = isRecurrent
    self.layersPerBlock = layersPerBlock
    self.backbonePath = backbonePath
    self.sized = sized
    configuration = { try Config(json: $0, overrides: $1) }
    backbone = { config, scope in
      guard let config = config as? Config else {
        throw ConfigError.unknownModelType(type(of: config).modelType, known: [Config.modelType])
      }
      return try make(config, scope)
    }
    self.language = { config in (config as? Config).map(language) }
    self.adapt = { tensors, config in
      try (config as? Config).map { try adapt(tensors, $0) } ?? tensors
    }
  }

  /// Reads a configuration: defaults, then `json`, then `overrides`.
  ///
  /// - Throws: ``ConfigError``.
  public func makeConfiguration(
    json: Data? = nil, overrides: [String: any Sendable] = [:]
  ) throws -> any ModelConfig {
    try configuration(json, overrides)
  }

  /// A configuration of a given size.
  ///
  /// - Parameters:
  ///   - size: The size.
  ///   - settings: Keys that differ from what the size gives; unknown ones are refused.
  /// - Returns: The configuration, validated.
  /// - Throws: ``ConfigError``.
  public func makeConfiguration(
    size: BackboneSize, settings: [String: ConfigValue] = [:]
  ) throws -> any ModelConfig {
    try configuration(nil, sized(size).merging(settings.mapValues(\.plain)) { $1 })
  }

  /// The tensors of a published language model in the names and shapes that this library uses.
  ///
  /// - Throws: ``CheckpointError`` when a tensor cannot be brought into shape.
  package func adapted(
    _ tensors: [String: Tensor], to config: any ModelConfig
  ) throws -> [String: Tensor] {
    let prefix = backbonePath + "."
    var tensors = tensors
    if !backbonePath.isEmpty, !tensors.keys.contains(where: { $0.hasPrefix(prefix) }) {
      // Some published files leave the first part of the names out.
      tensors = Dictionary(
        tensors.map { ($0.hasPrefix("lm_head.") ? $0 : prefix + $0, $1) },
        uniquingKeysWith: { first, _ in first })
    }
    return try adapt(tensors, config)
  }

  /// What a language model needs to know of a configuration that this architecture made; nil for
  /// another's.
  package func languageLayout(of config: any ModelConfig) -> LanguageLayout? { language(config) }

  /// The backbone of a configuration that this architecture made.
  public func makeBackbone(_ config: any ModelConfig, in scope: Scope) throws -> any Backbone {
    try backbone(config, scope)
  }
}

/// How a language model stands around its backbone.
public struct LanguageLayout: Sendable, Hashable {
  /// V.
  public var vocabulary: Int
  /// The most tokens a sequence may have; nil when there is no bound.
  public var context: Int?
  /// The embedding's name under the backbone's path.
  public var embeddingName: String
  /// Whether the head is the transposed embedding.
  public var isTied: Bool
  /// The head's path where it has weights of its own.
  public var headPath = "lm_head"
  /// The name of the head's bias, where it has one.
  public var headBiasName: String?
  /// Multiplies the embedded tokens.
  public var embeddingScale: Float = 1
  /// Deviation of the embedding's start.
  public var embeddingDeviation: Float = 0.02
  /// Multiplies the logits.
  public var logitScale: Float = 1
  /// Ends of names that published files carry without meaning, such as masks.
  public var ignoredSuffixes: [String] = []
}

/// How large a backbone is to be, in words that every architecture understands.
public struct BackboneSize: Sendable, Hashable, Codable {
  /// D.
  public var width: Int
  /// Layers as this architecture counts them.
  public var layers: Int
  /// The look-back: the most tokens that attention sees.
  public var context: Int
  /// Token ids; of no meaning to a forecaster.
  public var vocabulary: Int

  /// Creates a size.
  public init(width: Int, layers: Int, context: Int, vocabulary: Int = 1) {
    self.width = width
    self.layers = layers
    self.context = context
    self.vocabulary = vocabulary
  }
}

extension Architecture {
  /// Every architecture, in the order of tables.
  public static let all: [Architecture] = [
    .transformer,
    .gpt1,
    .llama,
    .cohere,
    .mixtral,
    .dbrx,
    .mamba,
    .mamba2,
    .jamba,
    .megalodon,
    .reformer,
    .performer,
    .skyformer,
    .linear,
    .sliding,
    .lstm,
  ]

  /// A few of different families, which a comparison tries when nobody names any.
  public static let standard: [Architecture] = [.transformer, .mamba, .lstm]

  /// The architecture of a name or `model_type`.
  ///
  /// - Throws: ``ConfigError/unknownModelType(_:known:)``.
  public static func named(_ name: String) throws -> Architecture {
    guard let found = all.first(where: { $0.name == name || $0.modelTypes.contains(name) }) else {
      throw ConfigError.unknownModelType(name, known: all.map(\.name))
    }
    return found
  }

  /// The architecture and configuration of a `config.json`, by its `model_type`.
  ///
  /// - Throws: ``ConfigError``.
  public static func reading(json: Data) throws -> (Architecture, any ModelConfig) {
    guard let object = try? PublishedJSON.value(json) as? [String: Any] else {
      throw ConfigError.notAnObject(reason: "the text is not a valid JSON object")
    }
    guard let type = object["model_type"] as? String else {
      throw ConfigError.wrongType(key: "model_type", reason: "it is missing or no text")
    }
    let architecture = try named(type)
    return (architecture, try architecture.makeConfiguration(json: json))
  }
}

extension BackboneSize {
  /// Heads of 32 features where the width allows it, of 256 at most.
  var heads: Int {
    for size in [32, 64, 16, 8] where width % size == 0 { return width / size }
    return (1...max(width, 1)).first { width % $0 == 0 && width / $0 <= 256 } ?? 1
  }
}
