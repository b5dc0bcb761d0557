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
  /// V.
  public let vocabulary: Int
  /// The most tokens a sequence may have; nil when there is no bound.
  public let context: Int?
  let embedding: Embedding
  let backbone: any Backbone
  let head: Parameter

  /// Makes the model that `config` describes, with weights from `scope`.
  ///
  /// - Throws: ``ConfigError``, or ``CheckpointError`` when the checkpoint does not fit.
  public init(_ architecture: Architecture, config: any ModelConfig, in scope: Scope) throws {
    self.architecture = architecture
    self.config = config
    let facts = architecture.language(config)
    (vocabulary, context) = (facts.vocabulary, facts.context)
    let inner =
      architecture.backbonePath.isEmpty ? scope : scope[architecture.backbonePath]
    backbone = try architecture.makeBackbone(config, in: inner)
    embedding = try Embedding(
      facts.vocabulary, backbone.width, in: inner[architecture.embeddingName])
    head =
      facts.isTied
      ? embedding.weight
      : try scope["lm_head"].parameter(
        "weight", [facts.vocabulary, backbone.width], .normal(deviation: 0.02))
    parameters = try scope.finish(ignoring: { name in
      // Masks that old files carry, and a head that is the embedding anyway.
      name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias")
        || (facts.isTied && name == "lm_head.weight")
    })
  }

  /// A model with fresh weights.
  ///
  /// - Throws: ``ConfigError``.
  public init(
    _ architecture: Architecture, config: any ModelConfig, key: RandomKey
  ) throws {
    try self.init(architecture, config: config, in: Scope(key: key))
  }

  /// Mean cross-entropy, in nats per token.
  ///
  /// - Parameters:
  ///   - tokens: Ids, `[B, T]`, in `0..<V`.
  ///   - targets: The ids that follow, `[B, T]`; negative ones are left out.
  /// - Returns: A scalar.
  public func loss(_ tokens: Tensor, targets: Tensor) -> Tensor {
    crossEntropy(backbone(embedding(tokens)), head: head.value, targets: targets)
  }

  /// The cross-entropy of each target, in nats, row by row. Records nothing.
  public func losses(_ tokens: Tensor, targets: Tensor) -> [Float] {
    withoutGradient {
      crossEntropies(backbone(embedding(tokens)), head: head.value, targets: targets)
    }
  }

  /// - Parameter tokens: Ids, `[B, T]`.
  /// - Returns: Logits, `[B, T, V]`.
  public func logits(_ tokens: Tensor) -> Tensor {
    linear(backbone(embedding(tokens)), weight: head.value)
  }

  /// The state before the first token of `batch` sequences.
  public func initialState(batch: Int) -> BackboneState { backbone.initialState(batch: batch) }

  /// Logits of T further tokens. Records nothing.
  ///
  /// - Parameters:
  ///   - tokens: Ids, `[B, T]`.
  ///   - state: What earlier tokens left; advanced by T.
  /// - Returns: Logits, `[B, T, V]`.
  public func logits(_ tokens: Tensor, state: inout BackboneState) -> Tensor {
    withoutGradient {
      linear(backbone(embedding(tokens), state: &state), weight: head.value)
    }
  }
}
