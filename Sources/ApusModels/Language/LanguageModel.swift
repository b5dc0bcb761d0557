public import ApusNN
public import ApusTensor

/// A language model: an embedding, a backbone, and a head over the vocabulary.
///
/// Shapes: B batch, T time, D width, V vocabulary.
public struct LanguageModel {
  /// The architecture and its configuration.
  public let blueprint: Blueprint
  /// Every weight, in the order in which they were made.
  public let parameters: [Parameter]
  /// The parts around its backbone.
  public let layout: LanguageLayout
  /// The architecture of the backbone.
  public var architecture: Architecture { blueprint.architecture }
  /// V.
  public var vocabulary: Int { layout.vocabulary }
  /// The most tokens a sequence may have; nil when there is no bound.
  public var context: Int? { layout.context }
  let embedding: Embedding
  let backbone: any Backbone
  let head: Parameter
  let headBias: Parameter?

  /// Makes the model that `blueprint` describes, with weights from `scope`.
  ///
  /// - Throws: ``ConfigError``, or `CheckpointError` when the checkpoint does not fit.
  public init(_ blueprint: Blueprint, in scope: Scope) throws {
    let layout = blueprint.language
    (self.blueprint, self.layout) = (blueprint, layout)
    let inner = layout.backbonePath.isEmpty ? scope : scope[layout.backbonePath]
    backbone = try blueprint.makeBackbone(in: inner)
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

  /// Creates the model of a published checkpoint.
  ///
  /// - Parameters:
  ///   - blueprint: The architecture and its configuration.
  ///   - checkpoint: Tensors as published files name and lay them.
  /// - Throws: ``ConfigError``, or `CheckpointError` when the checkpoint does not fit.
  public init(_ blueprint: Blueprint, checkpoint: [String: Tensor]) throws {
    try self.init(blueprint, in: Scope(checkpoint: try blueprint.adapted(checkpoint)))
  }

  /// A model with fresh weights.
  ///
  /// - Throws: ``ConfigError``.
  public init(_ blueprint: Blueprint, key: RandomKey) throws {
    try self.init(blueprint, in: Scope(key: key))
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
        head: head.value, bias: headBias?.value, targets: targets, logitScale: layout.logitScale,
        logitCap: layout.logitCap))
  }

  /// The cross-entropy of each target, in nats, row by row. Records nothing.
  public func losses(_ tokens: Tensor, targets: Tensor) -> [Float] {
    withoutGradient {
      backbone(embedded(tokens)).crossEntropies(
        head: head.value, bias: headBias?.value, targets: targets, logitScale: layout.logitScale,
        logitCap: layout.logitCap)
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
    let scaled = layout.logitScale == 1 ? y : y * layout.logitScale
    return layout.logitCap.map { scaled.bent(into: $0) } ?? scaled
  }
}
