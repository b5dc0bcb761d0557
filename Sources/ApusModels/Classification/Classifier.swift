public import ApusNN
public import ApusTensor

/// The input, classes and size of a ``Classifier``.
public struct ClassifierConfig: Codable, Sendable, Hashable {
  /// The elements of a sequence.
  public enum Input: Codable, Sendable, Hashable {
    /// Token ids below a bound.
    case tokens(vocabulary: Int)
    /// Rows of so many numbers.
    case features(count: Int)
  }

  /// The reduction of a sequence to one vector.
  public enum Pooling: String, Codable, Sendable, Hashable, CaseIterable {
    /// The mean over the sequence.
    case mean
    /// The state at its last position.
    case last
  }

  /// The backbone, with its whole configuration; of its vocabulary nothing is used.
  public var backbone: Blueprint
  /// The input.
  public var input: Input
  /// The number of classes, C.
  public var classes: Int
  /// The mean unless said otherwise, as Long Range Arena has it.
  public var pooling = Pooling.mean

  /// Creates a configuration.
  public init(_ backbone: Blueprint, input: Input, classes: Int, pooling: Pooling = .mean) {
    (self.backbone, self.input) = (backbone, input)
    (self.classes, self.pooling) = (classes, pooling)
  }

  private enum CodingKeys: String, CodingKey {
    case backbone, input, classes, pooling, architecture, size, settings
  }

  /// Reads a configuration. What was saved before a backbone's configuration was has its size.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    if let found = try keys.decodeIfPresent(Blueprint.self, forKey: .backbone) {
      backbone = found
    } else {
      backbone = try Architecture.named(try keys.decode(String.self, forKey: .architecture))
        .configured(
          size: try keys.decode(BackboneSize.self, forKey: .size),
          settings: try keys.decode([String: ConfigValue].self, forKey: .settings))
    }
    input = try keys.decode(Input.self, forKey: .input)
    classes = try keys.decode(Int.self, forKey: .classes)
    pooling = try keys.decode(Pooling.self, forKey: .pooling)
  }

  /// Writes every key, of the backbone's configuration too.
  public func encode(to encoder: any Encoder) throws {
    var keys = encoder.container(keyedBy: CodingKeys.self)
    try keys.encode(backbone, forKey: .backbone)
    try keys.encode(input, forKey: .input)
    try keys.encode(classes, forKey: .classes)
    try keys.encode(pooling, forKey: .pooling)
  }
}

extension ClassifierConfig: CheckedConfig {
  /// Throws ``ConfigError`` naming the key, its value and the rule broken.
  public func validate() throws {
    switch input {
    case .tokens(let vocabulary): try requireSizes(("vocabulary", vocabulary, 1_048_576))
    case .features(let count): try requireSizes(("features", count, 65536))
    }
    try requireSizes(("classes", classes, 1_048_576))
    try require(classes > 1, "classes", classes, "it must be at least 2")
  }
}

/// A classifier of whole sequences: an embedding or a projection, a backbone, a pool, and a head.
///
/// Sequences of a batch may end at different times; what follows an end has no influence, as the
/// backbone is causal and the pool stops there.
/// Shapes: B batch, T time, F features, D width, C classes.
public struct Classifier {
  /// The configuration.
  public let config: ClassifierConfig
  /// Every weight, in the order in which they were made.
  public let parameters: [Parameter]
  let input: Input
  let backbone: any Backbone
  let head: Parameter

  enum Input {
    case tokens(Embedding)
    case features(Linear)
  }

  /// Creates the classifier of `config`, with weights from `scope`.
  ///
  /// - Throws: ``ConfigError``, or `CheckpointError` when the checkpoint does not fit.
  public init(_ config: ClassifierConfig, in scope: Scope) throws {
    try config.validate()
    self.config = config
    let width = config.backbone.facts.width
    input =
      switch config.input {
      case .tokens(let vocabulary):
        .tokens(try Embedding(vocabulary, width, in: scope["embedding"]))
      case .features(let count): .features(try Linear(count, width, in: scope["input"]))
      }
    backbone = try config.backbone.makeBackbone(in: scope["backbone"])
    head = try scope["head"].parameter(
      "weight", [config.classes, backbone.outputWidth], .normal(deviation: 0.02))
    parameters = try scope.finish()
  }

  /// A classifier with fresh weights.
  ///
  /// - Throws: ``ConfigError``.
  public init(_ config: ClassifierConfig, key: RandomKey) throws {
    try self.init(config, in: Scope(key: key))
  }

  /// Mean cross-entropy in nats per sequence, with the backbone's auxiliary loss on top.
  ///
  /// - Parameters:
  ///   - sequences: Ids, `[B, T]`, or rows, `[B, T, F]`; anything legal may follow an end.
  ///   - lengths: The end of each sequence, B numbers in `1...T`; nil when all end at T.
  ///   - labels: Classes in `0..<C`, `[B]`; negative ones are left out.
  /// - Returns: A scalar.
  public func loss(_ sequences: Tensor, lengths: [Int]? = nil, labels: Tensor) -> Tensor {
    let output = backbone.output(embedded(sequences))
    return output.added(
      to: pooled(output.hidden, lengths).crossEntropy(head: head.value, targets: labels))
  }

  /// Logits of the classes.
  ///
  /// - Parameters:
  ///   - sequences: Ids, `[B, T]`, or rows, `[B, T, F]`.
  ///   - lengths: The end of each sequence; nil when all end at T.
  /// - Returns: `[B, C]`.
  public func logits(_ sequences: Tensor, lengths: [Int]? = nil) -> Tensor {
    pooled(backbone(embedded(sequences)), lengths).linear(weight: head.value)
  }

  private func embedded(_ sequences: Tensor) -> Tensor {
    switch input {
    case .tokens(let embedding): embedding(sequences)
    case .features(let projection): projection(sequences)
    }
  }

  /// `[B, T, outputWidth]` to `[B, outputWidth]`.
  private func pooled(_ hidden: Tensor, _ lengths: [Int]?) -> Tensor {
    let (batch, time) = (hidden.shape[0], hidden.shape[1])
    let lengths = lengths ?? [Int](repeating: time, count: batch)
    precondition(
      lengths.count == batch && lengths.allSatisfy { (1...time).contains($0) },
      "Classifier: \(batch) sequences of \(time), but lengths \(lengths)")
    switch config.pooling {
    case .mean: return hidden.timeMean(lengths: lengths)
    case .last:
      let rows = lengths.enumerated().map { row, length in Int32(row * time + length - 1) }
      return hidden.gathered(rows: Tensor(rows, [batch]))
    }
  }
}
