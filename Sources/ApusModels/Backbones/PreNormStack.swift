import ApusNN
import ApusTensor

/// The keys that Performer, Skyformer and the linear transformer share: those of a pre-norm
/// transformer. What they mix tokens by stands in their own files.
protocol PreNormConfig: BackboneConfig {
  var vocabSize: Int { get set }
  var hiddenSize: Int { get set }
  var numHiddenLayers: Int { get set }
  var numAttentionHeads: Int { get set }
  var intermediateSize: Int? { get }
  var hiddenAct: String { get }
  var layerNormEps: Float { get }
  var maxPositionEmbeddings: Int { get set }
  var positionEmbeddingType: String { get }
  var ropeTheta: Double { get }
  var initializerRange: Float { get }
  var tieWordEmbeddings: Bool { get }
  /// The feature map of queries and keys.
  var featureLayout: FeatureLayout { get }
}

extension PreNormConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  /// A small one.
  init(stack size: BackboneSize) {
    self.init()
    (hiddenSize, numHiddenLayers) = (size.width, size.layers)
    (numAttentionHeads, vocabSize) = (size.heads, size.vocabulary)
    maxPositionEmbeddings = 2 * size.context
  }

  /// K.
  var headSize: Int { hiddenSize / numAttentionHeads }

  /// Checks the shared keys.
  func validateStack() throws {
    let isTable = positionEmbeddingType == "learned"
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("hidden_size", hiddenSize, SizeLimit.width),
      ("num_hidden_layers", numHiddenLayers, SizeLimit.layers),
      ("intermediate_size", intermediateSize, SizeLimit.inner),
      (
        "max_position_embeddings", maxPositionEmbeddings,
        isTable ? SizeLimit.table : SizeLimit.tokens
      ))
    try requireWord(
      "position_embedding_type", positionEmbeddingType,
      ["learned", "sinusoidal", "rotary", "none"])
    try requireHeads(
      "num_attention_heads", numAttentionHeads, of: ("hidden_size", hiddenSize),
      turns: positionEmbeddingType == "rotary")
    try requireWord("hidden_act", hiddenAct, Activation.allCases.map(\.rawValue))
    try requirePositive(("layer_norm_eps", layerNormEps), ("rope_theta", ropeTheta))
    try requireNotNegative(("initializer_range", initializerRange))
  }

  /// The facts of a stack whose layers mix tokens as `mixer` says.
  func stackFacts(_ mixer: LayerFacts) -> ModelFacts {
    let table = positionEmbeddingType == "learned" ? maxPositionEmbeddings : nil
    let inner = intermediateSize ?? 4 * hiddenSize
    let layer =
      mixer + .feedForward(hiddenSize, inner: inner, bias: true) + .vectors(4 * hiddenSize)
    return ModelFacts(
      self, context: table,
      total: numHiddenLayers * layer + .vectors(((table ?? 0) + 2) * hiddenSize))
  }

  /// The parts of a language model around the stack.
  func languageLayout(backbonePath: String) -> LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize,
      context: positionEmbeddingType == "learned" ? maxPositionEmbeddings : nil,
      backbonePath: backbonePath, embeddingName: "embeddings", isTied: tieWordEmbeddings)
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
  ///   - scope: The source of the weights.
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
  ///   - rotary: What turns queries and keys before that.
  ///   - start: How the projection to queries, keys and values starts.
  ///   - mixing: What the matrix between features is as a function of the weights.
  ///   - scope: The source of the weights.
  ///   - weights: Makes what features come from.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  init(
    _ config: some PreNormConfig, rotary: RotaryPositions?, start: Initialization? = nil,
    mixing: ((Tensor) -> Tensor)? = nil, in scope: Scope,
    weights: (FeatureLayout) throws -> Parameter? = { _ in nil }
  ) throws {
    layout = config.featureLayout
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
