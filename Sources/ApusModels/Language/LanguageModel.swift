public import ApusNN
public import ApusTensor

/// A language model: an embedding, a backbone, and a head over the vocabulary.
///
/// Shapes: B batch, T time, D width, V vocabulary.
public struct LanguageModel {
  /// Which architecture the backbone is.
  public let architecture: Architecture
  /// The hyperparameters, as `config.json` has them.
  public let config: any ModelConfig
  /// Every weight, in the order in which they were made.
  public let parameters: [Parameter]
  /// How it stands around its backbone.
  public let layout: LanguageLayout
  /// V.
  public var vocabulary: Int { layout.vocabulary }
  /// The most tokens a sequence may have; nil when there is no bound.
  public var context: Int? { layout.context }
  let embedding: Embedding
  let backbone: any Backbone
  let head: Parameter
  let headBias: Parameter?

  /// Makes the model that `config` describes, with weights from `scope`.
  ///
  /// - Throws: ``ConfigError``, or ``CheckpointError`` when the checkpoint does not fit.
  public init(_ architecture: Architecture, config: any ModelConfig, in scope: Scope) throws {
    guard let layout = architecture.language(config) else {
      throw ConfigError.unknownModelType(
        type(of: config).modelType, known: architecture.modelTypes)
    }
    self.architecture = architecture
    self.config = config
    self.layout = layout
    let inner = architecture.backbonePath.isEmpty ? scope : scope[architecture.backbonePath]
    backbone = try architecture.makeBackbone(config, in: inner)
    embedding = try Embedding(
      layout.vocabulary, backbone.width, start: .normal(deviation: layout.embeddingDeviation),
      in: inner[layout.embeddingName])
    head =
      layout.isTied
      ? embedding.weight
      : try scope[layout.headPath].parameter(
        "weight", [layout.vocabulary, backbone.outputWidth], .normal(deviation: 0.02))
    headBias = try layout.headBiasName.map {
      try scope.parameter($0, [layout.vocabulary], .zeros)
    }
    parameters = try scope.finish(ignoring: { name in
      // Masks that old files carry, and a head that is the embedding anyway.
      layout.ignoredSuffixes.contains { name.hasSuffix($0) }
        || (layout.isTied && name == layout.headPath + ".weight")
    })
  }

  /// Makes the model of a published checkpoint.
  ///
  /// - Parameters:
  ///   - architecture: The architecture.
  ///   - config: Its hyperparameters.
  ///   - checkpoint: Tensors as published files name and lay them.
  /// - Throws: ``ConfigError``, or ``CheckpointError`` when the checkpoint does not fit.
  public init(
    _ architecture: Architecture, config: any ModelConfig, checkpoint: [String: Tensor]
  ) throws {
    try self.init(
      architecture, config: config,
      in: Scope(checkpoint: try architecture.adapted(checkpoint, to: config)))
  }

  /// A model with fresh weights.
  ///
  /// - Throws: ``ConfigError``.
  public init(
    _ architecture: Architecture, config: any ModelConfig, key: RandomKey
  ) throws {
    try self.init(architecture, config: config, in: Scope(key: key))
  }

  /// Mean cross-entropy, in nats per token, with the backbone's auxiliary loss on top.
  ///
  /// - Parameters:
  ///   - tokens: Ids, `[B, T]`, in `0..<V`.
  ///   - targets: The ids that follow, `[B, T]`; negative ones are left out.
  /// - Returns: A scalar.
  public func loss(_ tokens: Tensor, targets: Tensor) -> Tensor {
    let output = backbone.output(embedded(tokens))
    return output.added(
      to: output.hidden.crossEntropy(
        head: head.value, bias: headBias?.value, targets: targets, logitScale: layout.logitScale))
  }

  /// The cross-entropy of each target, in nats, row by row. Records nothing.
  public func losses(_ tokens: Tensor, targets: Tensor) -> [Float] {
    withoutGradient {
      backbone(embedded(tokens)).crossEntropies(
        head: head.value, bias: headBias?.value, targets: targets, logitScale: layout.logitScale)
    }
  }

  /// - Parameter tokens: Ids, `[B, T]`.
  /// - Returns: Logits, `[B, T, V]`.
  public func logits(_ tokens: Tensor) -> Tensor { logits(ofHidden: backbone(embedded(tokens))) }

  /// The state before the first token of `batch` sequences.
  public func initialState(batch: Int) -> BackboneState { backbone.initialState(batch: batch) }

  /// Logits of T further tokens. Records nothing.
  ///
  /// - Parameters:
  ///   - tokens: Ids, `[B, T]`.
  ///   - state: What earlier tokens left; advanced by T.
  /// - Returns: Logits, `[B, T, V]`.
  public func logits(_ tokens: Tensor, state: inout BackboneState) -> Tensor {
    withoutGradient { logits(ofHidden: backbone(embedded(tokens), state: &state)) }
  }

  func embedded(_ tokens: Tensor) -> Tensor {
    let x = embedding(tokens)
    return layout.embeddingScale == 1 ? x : x * layout.embeddingScale
  }

  func logits(ofHidden hidden: Tensor) -> Tensor {
    let y = hidden.linear(weight: head.value, bias: headBias?.value)
    return layout.logitScale == 1 ? y : y * layout.logitScale
  }
}
