public import ApusNN
public import ApusTensor
import Synchronization

/// The hyperparameters of a backbone, which know what follows from them: the weights, the facts, and how
/// published checkpoints name the parts. All that is special about an architecture stands behind this.
public protocol BackboneConfig: ModelConfig {
  /// Token ids, V.
  var vocabSize: Int { get set }
  /// Where the width of the residual stream stands, D.
  static var widthKey: WritableKeyPath<Self, Int> { get }
  /// Where the number of layers stands, as the architecture counts them.
  static var layersKey: WritableKeyPath<Self, Int> { get }
  /// What a token costs and leaves behind.
  var facts: ModelFacts { get }
  /// How a language model stands around the backbone.
  var language: LanguageLayout { get }
  /// Makes the backbone, with weights from `scope`.
  ///
  /// - Throws: `CheckpointError` when a checkpoint does not fit.
  func makeBackbone(in scope: Scope) throws -> any Backbone
  /// Renames, joins or splits tensors of published files that are stored differently; by default
  /// none does.
  ///
  /// - Throws: `CheckpointError` when a tensor cannot be brought into shape.
  func adapted(_ tensors: [String: Tensor]) throws -> [String: Tensor]
}

extension BackboneConfig {
  /// Width of the residual stream, D.
  public var width: Int {
    get { self[keyPath: Self.widthKey] }
    set { self[keyPath: Self.widthKey] = newValue }
  }

  /// Layers, as the architecture counts them.
  public var layers: Int {
    get { self[keyPath: Self.layersKey] }
    set { self[keyPath: Self.layersKey] = newValue }
  }

  public func adapted(_ tensors: [String: Tensor]) throws -> [String: Tensor] { tensors }
}

/// One entry of the registry: an architecture and how it is configured.
public struct Architecture: Sendable {
  /// The name that commands use, such as `mamba`.
  public let name: String
  /// The `model_type`s of its checkpoints, the first being its own.
  public let modelTypes: [String]
  /// A summary in one line.
  public let summary: String
  /// The publication.
  public let paper: String
  /// Whether one more token costs the same however many came before.
  public let isRecurrent: Bool
  /// The number of its layers that cost about as much as one block of attention and feed-forward.
  public let layersPerBlock: Int
  private let configuration: any BackboneConfig.Type
  private let sized: @Sendable (BackboneSize) -> any BackboneConfig

  /// Names an architecture.
  ///
  /// - Parameters:
  ///   - name: The name that commands use.
  ///   - modelTypes: The `model_type`s that its configuration reads; the configuration's own when nil.
  ///   - summary: What it is, in a line.
  ///   - paper: The publication.
  ///   - isRecurrent: Whether one more token costs the same however many came before.
  ///   - layersPerBlock: How many of its layers cost about as much as one block of attention and
  ///     feed-forward.
  ///   - sized: The configuration of a given size.
  public init<Config: BackboneConfig>(
    name: String, modelTypes: [String]? = nil, summary: String, paper: String, isRecurrent: Bool,
    layersPerBlock: Int = 1, sized: @escaping @Sendable (BackboneSize) -> Config
  ) {
    self.name = name
    self.modelTypes = modelTypes ?? [Config.modelType]
    self.summary = summary
    self.paper = paper
    self.isRecurrent = isRecurrent
    self.layersPerBlock = layersPerBlock
    self.sized = sized
    configuration = Config.self
  }

  /// A configuration of a given size.
  ///
  /// - Parameters:
  ///   - size: The size.
  ///   - settings: Keys that differ from what the size gives; unknown ones are rejected.
  /// - Returns: The architecture with its configuration.
  /// - Throws: ``ConfigError``.
  public func configured(
    size: BackboneSize, settings: [String: ConfigValue] = [:]
  ) throws -> Blueprint {
    try size.validate()
    return try configured(sized(size).document(), overrides: .object(settings))
  }

  /// A configuration of a document over the defaults, and of `overrides` over both.
  ///
  /// - Throws: ``ConfigError``.
  package func configured(
    _ file: JSONValue = .object([]), overrides: JSONValue = .object([])
  ) throws -> Blueprint {
    try Blueprint(self, configuration.init(file, overrides: overrides))
  }

  /// A configuration of some keys over the defaults.
  ///
  /// - Parameter overrides: Keys from a person; unknown ones are rejected.
  /// - Returns: The architecture with its configuration.
  /// - Throws: ``ConfigError``.
  public func configured(overrides: [String: ConfigValue]) throws -> Blueprint {
    try configured(overrides: .object(overrides))
  }
}

/// The parts of a language model around its backbone.
public struct LanguageLayout: Sendable, Hashable {
  /// V.
  public var vocabulary: Int
  /// The most tokens a sequence may have; nil when there is no bound.
  public var context: Int?
  /// The path of the backbone's weights in a language model's checkpoint; empty for the root.
  public var backbonePath: String
  /// The embedding's name under the backbone's path.
  public var embeddingName: String
  /// Whether the head is the transposed embedding.
  public var isTied: Bool
  /// The path of the output head where it has its own weights.
  public var headPath = "lm_head"
  /// The name of the head's bias, where it has one.
  public var headBiasName: String?
  /// Multiplies the embedded tokens.
  public var embeddingScale: Float = 1
  /// Deviation of the embedding's start.
  public var embeddingDeviation: Float = 0.02
  /// Multiplies the logits.
  public var logitScale: Float = 1
  /// Logits are bent into ±this, by `cap · tanh(logit / cap)`; nil leaves them.
  public var logitCap: Float?
  /// Ends of names that published files carry without meaning, such as masks.
  public var ignoredSuffixes: [String] = []

  /// Creates the layout of a head at `lm_head` without bias or scales.
  ///
  /// - Parameters:
  ///   - vocabulary: V.
  ///   - context: The most tokens a sequence may have; nil when there is no bound.
  ///   - backbonePath: The path of the backbone's weights; empty for the root.
  ///   - embeddingName: The embedding's name under that path.
  ///   - isTied: Whether the head is the transposed embedding.
  ///   - ignoredSuffixes: Ends of names that published files carry without meaning.
  public init(
    vocabulary: Int, context: Int? = nil, backbonePath: String, embeddingName: String,
    isTied: Bool, ignoredSuffixes: [String] = []
  ) {
    (self.vocabulary, self.context) = (vocabulary, context)
    (self.backbonePath, self.embeddingName) = (backbonePath, embeddingName)
    (self.isTied, self.ignoredSuffixes) = (isTied, ignoredSuffixes)
  }
}

/// The size of a backbone, in terms that every architecture understands.
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

extension BackboneSize: CheckedConfig {
  /// Throws ``ConfigError`` naming the size that is out of bounds.
  public func validate() throws {
    try requireSizes(
      ("width", width, SizeLimit.width), ("layers", layers, SizeLimit.layers),
      ("context", context, 1 << 22), ("vocabulary", vocabulary, SizeLimit.vocabulary))
  }

  /// Heads of 32 features where the width allows it, of 256 at most.
  public var heads: Int {
    for size in [32, 64, 16, 8] where width % size == 0 { return width / size }
    return (1...max(width, 1)).first { width % $0 == 0 && width / $0 <= 256 } ?? 1
  }
}

extension Architecture {
  /// Those that come with Apus, in the order of tables.
  public static let builtIn: [Architecture] = [
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
    .xlstm,
    .s5,
  ]

  /// A few of different families, which a comparison tries when none is named.
  public static let standard: [Architecture] = [.transformer, .mamba, .lstm]

  private static let registered = Mutex<[Architecture]>([])

  /// Every architecture: those that come with Apus, then those that were registered.
  public static var all: [Architecture] { builtIn + registered.withLock(\.self) }

  /// Makes an architecture known by its name and `model_type`s, in this process: from then on it is
  /// trained, saved, loaded, inspected and compared like one that comes with Apus.
  ///
  /// - Throws: ``RegistryError`` when another has one of its names.
  public static func register(_ architecture: Architecture) throws {
    try registered.withLock { added in
      for name in [architecture.name] + architecture.modelTypes
      where (builtIn + added).contains(where: { $0.answers(to: name) }) {
        throw RegistryError.taken(name: name)
      }
      added.append(architecture)
    }
  }

  /// The architecture of a name or `model_type`.
  ///
  /// - Throws: ``ConfigError/unknownModelType(_:known:)``.
  public static func named(_ name: String) throws -> Architecture {
    guard let found = all.first(where: { $0.answers(to: name) }) else {
      throw ConfigError.unknownModelType(name, known: all.map(\.name))
    }
    return found
  }

  private func answers(to name: String) -> Bool { self.name == name || modelTypes.contains(name) }
}

/// An error of an architecture that is to be registered.
public enum RegistryError: Error, Equatable {
  /// Another one has this name or `model_type`.
  case taken(name: String)
}

extension RegistryError: ApusError {
  public var exitStatus: ExitStatus { .configuration }

  /// A sentence: what was found, what to do.
  public var description: String {
    switch self {
    case .taken(let name):
      "An architecture is called '\(name)' already. Choose another name and model_type."
    }
  }
}
