public import ApusNN
public import Foundation

/// One entry of the registry: an architecture, how it is configured and made, and how published
/// checkpoints name its parts.
public struct Architecture: Sendable {
  /// The name that commands use, such as `mamba`.
  public let name: String
  /// The `model_type` of its checkpoints.
  public let modelType: String
  /// What it is, in a line.
  public let summary: String
  /// Where it comes from.
  public let paper: String
  /// Whether one more token costs the same however many came before.
  public let isRecurrent: Bool

  /// The path of the backbone's weights in a language model's checkpoint.
  package let backbonePath: String
  /// The embedding's name under that path.
  let embeddingName: String
  let configuration: @Sendable (Data?, [String: any Sendable]) throws -> any ModelConfig
  let backbone: @Sendable (any ModelConfig, Scope) throws -> any Backbone
  let sized: @Sendable (BackboneSize) -> [String: any Sendable]
  /// What a language model needs to know of a configuration.
  let language: @Sendable (any ModelConfig) -> (vocabulary: Int, isTied: Bool, context: Int?)

  /// Ties a configuration type to its backbone; `make` gets exactly what `configuration` made.
  init<Config: ModelConfig>(
    name: String, summary: String, paper: String, isRecurrent: Bool, backbonePath: String,
    embeddingName: String, config: Config.Type,
    make: @escaping @Sendable (Config, Scope) throws -> any Backbone,
    sized: @escaping @Sendable (BackboneSize) -> [String: any Sendable],
    language: @escaping @Sendable (Config) -> (vocabulary: Int, isTied: Bool, context: Int?)
  ) {
    self.name = name
    modelType = Config.modelType
    self.summary = summary
    self.paper = paper
    self.isRecurrent = isRecurrent
    self.backbonePath = backbonePath
    self.embeddingName = embeddingName
    self.sized = sized
    configuration = { try Config(json: $0, overrides: $1) }
    backbone = { config, scope in
      guard let config = config as? Config else {
        throw ConfigError.unknownModelType(type(of: config).modelType, known: [Config.modelType])
      }
      return try make(config, scope)
    }
    self.language = { config in
      (config as? Config).map(language) ?? (vocabulary: 0, isTied: true, context: nil)
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
  public func makeConfiguration(size: BackboneSize) throws -> any ModelConfig {
    try configuration(nil, sized(size))
  }

  /// The backbone of a configuration that this architecture made.
  public func makeBackbone(_ config: any ModelConfig, in scope: Scope) throws -> any Backbone {
    try backbone(config, scope)
  }
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
    Architecture(
      name: "transformer",
      summary: "Pre-norm decoder with exact attention, computed tile by tile",
      paper: "Vaswani et al., 2017, arXiv:1706.03762; Radford et al., 2019",
      isRecurrent: false, backbonePath: "transformer", embeddingName: "wte",
      config: TransformerConfig.self, make: { try Transformer($0, in: $1) },
      sized: { size in
        [
          "n_embd": size.width, "n_layer": size.layers, "n_positions": 2 * size.context,
          "n_head": headCount(width: size.width), "vocab_size": size.vocabulary,
          "position_embedding": "rotary", "sliding_window": size.context,
        ]
      },
      language: {
        ($0.vocabSize, $0.tieWordEmbeddings, $0.positionEmbedding == "none" ? nil : $0.nPositions)
      }),
    Architecture(
      name: "mamba",
      summary: "Selective state spaces: constant cost and state per token",
      paper: "Gu and Dao, 2023, arXiv:2312.00752",
      isRecurrent: true, backbonePath: "backbone", embeddingName: "embeddings",
      config: MambaConfig.self, make: { try Mamba($0, in: $1) },
      sized: { size in
        [
          "hidden_size": size.width, "num_hidden_layers": size.layers,
          "vocab_size": size.vocabulary,
        ]
      },
      language: { ($0.vocabSize, $0.tieWordEmbeddings, nil) }),
    Architecture(
      name: "lstm",
      summary: "Stacked long short-term memory, the old bar",
      paper: "Hochreiter and Schmidhuber, 1997",
      isRecurrent: true, backbonePath: "", embeddingName: "embedding",
      config: LSTMConfig.self, make: { try LSTM($0, in: $1) },
      sized: { size in
        [
          "hidden_size": size.width, "num_hidden_layers": size.layers,
          "vocab_size": size.vocabulary,
        ]
      },
      language: { ($0.vocabSize, $0.tieWordEmbeddings, nil) }),
  ]

  /// The architecture of a name or `model_type`.
  ///
  /// - Throws: ``ConfigError/unknownModelType(_:known:)``.
  public static func named(_ name: String) throws -> Architecture {
    guard let found = all.first(where: { $0.name == name || $0.modelType == name }) else {
      throw ConfigError.unknownModelType(name, known: all.map(\.name))
    }
    return found
  }

  /// The architecture and configuration of a `config.json`, by its `model_type`.
  ///
  /// - Throws: ``ConfigError``.
  public static func reading(json: Data) throws -> (Architecture, any ModelConfig) {
    guard let object = try? JSONSerialization.jsonObject(with: json) as? [String: Any] else {
      throw ConfigError.notAnObject(reason: "the text is not a valid JSON object")
    }
    guard let type = object["model_type"] as? String else {
      throw ConfigError.wrongType(key: "model_type", reason: "it is missing or no text")
    }
    let architecture = try named(type)
    return (architecture, try architecture.makeConfiguration(json: json))
  }
}

/// Heads of 32 features where the width allows it.
private func headCount(width: Int) -> Int {
  for size in [32, 64, 16, 8] where width % size == 0 { return width / size }
  return 1
}
