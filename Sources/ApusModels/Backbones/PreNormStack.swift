import ApusNN
import ApusTensor

/// The keys that Performer, Skyformer and the linear transformer share: those of a pre-norm
/// transformer. What they mix tokens by stands in their own files.
protocol PreNormConfig: ModelConfig {
  var vocabSize: Int { get }
  var hiddenSize: Int { get }
  var numHiddenLayers: Int { get }
  var numAttentionHeads: Int { get }
  var intermediateSize: Int? { get }
  var hiddenAct: String { get }
  var layerNormEps: Float { get }
  var maxPositionEmbeddings: Int { get }
  var positionEmbeddingType: String { get }
  var ropeTheta: Double { get }
  var initializerRange: Float { get }
  var tieWordEmbeddings: Bool { get }
}

extension PreNormConfig {
  /// K.
  var headSize: Int { hiddenSize / numAttentionHeads }

  /// Checks the shared keys.
  func validateStack() throws {
    try require(vocabSize > 0, "vocab_size", vocabSize, "it must be at least 1")
    try require(
      hiddenSize > 0 && hiddenSize <= 65536, "hidden_size", hiddenSize, "it must be in 1...65536")
    try require(
      numHiddenLayers > 0 && numHiddenLayers <= 1024, "num_hidden_layers", numHiddenLayers,
      "it must be in 1...1024")
    try require(
      numAttentionHeads > 0 && hiddenSize % numAttentionHeads == 0, "num_attention_heads",
      numAttentionHeads, "it must divide hidden_size, which is \(hiddenSize)")
    try require(
      headSize <= 256, "num_attention_heads", numAttentionHeads,
      "a head may have at most 256 features")
    if let intermediateSize {
      try require(
        intermediateSize > 0 && intermediateSize <= 262144, "intermediate_size", intermediateSize,
        "it must be in 1...262144")
    }
    try require(
      Activation(rawValue: hiddenAct) != nil, "hidden_act", hiddenAct,
      "it must be one of \(Activation.allCases.map(\.rawValue).joined(separator: ", "))")
    try require(layerNormEps > 0, "layer_norm_eps", layerNormEps, "it must be above 0")
    try require(
      maxPositionEmbeddings > 0 && maxPositionEmbeddings <= 1 << 24, "max_position_embeddings",
      maxPositionEmbeddings, "it must be in 1...16777216")
    try require(
      ["learned", "sinusoidal", "rotary", "none"].contains(positionEmbeddingType),
      "position_embedding_type", positionEmbeddingType,
      "it must be learned, sinusoidal, rotary or none")
    try require(
      positionEmbeddingType != "rotary" || headSize % 2 == 0, "num_attention_heads",
      numAttentionHeads, "rotary positions need an even head size")
    try require(
      ropeTheta.isFinite && ropeTheta > 0, "rope_theta", ropeTheta, "it must be above 0")
    try require(
      initializerRange >= 0, "initializer_range", initializerRange, "it must not be negative")
  }

  /// How a language model stands around the stack.
  var languageLayout: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize,
      context: positionEmbeddingType == "learned" ? maxPositionEmbeddings : nil,
      embeddingName: "embeddings", isTied: tieWordEmbeddings)
  }

  /// Projections into the residual stream start smaller by √(2 · blocks), as GPT-2 has it.
  var residualStart: Initialization {
    .normal(deviation: initializerRange / Float(2 * numHiddenLayers).squareRoot())
  }
}

extension DecoderStack {
  /// A pre-norm transformer: mixer and feed-forward in turn, each on a normalized residual stream.
  ///
  /// - Parameters:
  ///   - config: The shared keys.
  ///   - scope: Where the weights come from.
  ///   - mixer: Makes the mixer of a layer from its scope, with what turns queries and keys.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  init(
    _ config: some PreNormConfig, in scope: Scope,
    mixer: (Scope, RotaryPositions?) throws -> any SequenceMixer
  ) throws {
    let (width, inner) = (config.hiddenSize, config.intermediateSize ?? 4 * config.hiddenSize)
    func norm(_ scope: Scope) throws -> LayerNorm {
      try LayerNorm(width, epsilon: config.layerNormEps, in: scope)
    }
    let rotary =
      config.positionEmbeddingType == "rotary"
      ? RotaryPositions(
        context: config.maxPositionEmbeddings, headSize: config.headSize, theta: config.ropeTheta)
      : nil
    self.init(
      width: width,
      positions: try AddedPositions(
        config.positionEmbeddingType, count: config.maxPositionEmbeddings, width: width,
        deviation: config.initializerRange, in: scope["position_embeddings"]),
      blocks: try (0..<config.numHiddenLayers).map { layer in
        let scope = scope["layers"][layer]
        let feedForward = scope["feed_forward"]
        return .preNorm(
          try norm(scope["attention_norm"]), try mixer(scope["attention"], rotary),
          try norm(scope["feed_forward_norm"]),
          PlainFeedForward(
            input: try Linear(
              width, inner, start: .normal(deviation: config.initializerRange),
              in: feedForward["input"]),
            activation: Activation(rawValue: config.hiddenAct),
            output: try Linear(
              inner, width, start: config.residualStart, in: feedForward["output"])))
      },
      norm: try norm(scope["norm"]))
  }
}

extension AddedPositions {
  /// The positions that a configuration names: `learned`, with weights from `scope`, or `sinusoidal`;
  /// with `rotary` and `none` nothing is added.
  init(_ kind: String, count: Int, width: Int, deviation: Float, in scope: Scope) throws {
    switch kind {
    case "learned": self = try .learned(count, width: width, deviation: deviation, in: scope)
    case "sinusoidal": self = .sinusoidal(count, width: width)
    default: self = .none
    }
  }
}

/// Attention whose weights are products of features, between its projections.
struct FeatureAttention: SequenceMixer {
  let layout: FeatureLayout
  let rotary: RotaryPositions?
  let input: Linear
  let output: Linear
  /// The directions or landmarks that features come from; nil where features need none.
  let weights: Parameter?
  /// The matrix between features that follows from the landmarks; nil where there are none.
  let mixing: ((Tensor) -> Tensor)?

  /// Creates the layer with weights from `scope`.
  ///
  /// - Parameters:
  ///   - config: The shared keys.
  ///   - kind: What queries and keys are turned into.
  ///   - features: How many features; those of the head when nil.
  ///   - rotary: What turns queries and keys before that.
  ///   - start: How the projection to queries, keys and values starts.
  ///   - mixing: What the matrix between features is as a function of the weights.
  ///   - scope: Where the weights come from.
  ///   - weights: Makes what features come from.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  init(
    _ config: some PreNormConfig, _ kind: FeatureKind, features: Int? = nil,
    rotary: RotaryPositions?, start: Initialization? = nil, mixing: ((Tensor) -> Tensor)? = nil,
    in scope: Scope, weights: (FeatureLayout) throws -> Parameter? = { _ in nil }
  ) throws {
    layout = FeatureLayout(
      heads: config.numAttentionHeads, headSize: config.headSize, kind: kind, features: features)
    (self.rotary, self.mixing) = (rotary, mixing)
    input = try Linear(
      config.hiddenSize, layout.fusedSize,
      start: start ?? .normal(deviation: config.initializerRange), in: scope["input"])
    output = try Linear(
      config.hiddenSize, config.hiddenSize, start: config.residualStart, in: scope["output"])
    self.weights = try weights(layout)
  }

  /// Queries, keys and values, `[B, T, 3 · D]`.
  private func fused(_ x: Tensor, at places: Places) -> Tensor {
    let rows = input(x)
    guard let rotary else { return rows }
    return rows.rotated(
      heads: 2 * layout.heads, headSize: layout.headSize, by: places.rotation(by: rotary))
  }

  func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
    let weights = weights?.value
    return output(
      fused(x, at: places).featureAttention(
        layout: layout, weights: weights, mixing: weights.flatMap { mixing?($0) }))
  }

  func callAsFunction(
    _ x: Tensor, at places: Places, state: inout FeatureAttentionState
  ) -> Tensor {
    output(state.attend(fused(x, at: places), layout: layout, weights: weights?.value))
  }

  /// The state before the first token. It holds a function of landmarks as they are now: states made
  /// before training goes on are void.
  func initialState(batch: Int) -> FeatureAttentionState {
    FeatureAttentionState(
      batch: batch, layout: layout,
      mixing: withoutGradient { weights.flatMap { mixing?($0.value) } })
  }
}
