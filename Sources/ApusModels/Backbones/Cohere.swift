public import ApusNN
import ApusTensor

/// The hyperparameters of ``Cohere``, for both published types: `cohere`, whose defaults these are,
/// and `cohere2`, in which most layers attend within a window.
public struct CohereConfig: ModelConfig {
  public static let modelType = "cohere"
  /// `cohere` or `cohere2`.
  public var modelType = "cohere"
  /// Token ids, V.
  public var vocabSize = 256_000
  /// Width of the residual stream, D.
  public var hiddenSize = 8192
  /// Width inside the feed-forward.
  public var intermediateSize = 22528
  /// Blocks.
  public var numHiddenLayers = 40
  /// Query heads, H.
  public var numAttentionHeads = 64
  /// Key-value heads, which divide the query heads; as many when nil.
  public var numKeyValueHeads: Int?
  /// Features of a head, K; D / H when nil, as it is in every published `cohere2`.
  public var headDim: Int?
  /// The gate's activation; `silu` is the only one.
  public var hiddenAct = "silu"
  /// The context of training where rotary positions are scaled. No bound: published files say 8192
  /// for models that reach 131072.
  public var maxPositionEmbeddings = 8192
  /// Multiplies the logits.
  public var logitScale: Float = 0.0625
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// Added to the variance in normalization.
  public var layerNormEps: Float = 1e-5
  /// Whether each query and key head is normalized before positions; never in `cohere2`.
  public var useQkNorm = false
  /// Base of the rotary frequencies where `ropeParameters` name none; 500000 when nil, 10000 in
  /// `cohere2`.
  public var ropeTheta: Double?
  /// The scaling of rotary frequencies; none when nil.
  public var ropeParameters: RotaryParameters?
  /// The same, as older files call it.
  public var ropeScaling: RotaryParameters?
  /// Whether queries, keys, values and the output projection have biases.
  public var attentionBias = false
  /// `cohere2`: in layers of type `sliding_attention` a token sees at most this many tokens, itself
  /// included; default: 4096.
  public var slidingWindow: Int?
  /// `cohere2`: `sliding_attention` or `full_attention` for each layer; by `slidingWindowPattern`
  /// when nil.
  public var layerTypes: [String]?
  /// `cohere2`: every so many layers one attends to everything, without positions; default: 4.
  public var slidingWindowPattern: Int?
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = true

  /// All defaults of `cohere`.
  public init() {}

  /// All defaults of a `model_type`.
  public static func defaults(for modelType: String) -> CohereConfig {
    var config = CohereConfig()
    config.modelType = modelType
    if modelType == "cohere2" { config.slidingWindow = 4096 }
    return config
  }

  public func validate() throws {
    try requireWord("model_type", modelType, ["cohere", "cohere2"])
    try decoderShape.validate()
    try requireSizes(
      ("max_position_embeddings", maxPositionEmbeddings, SizeLimit.tokens),
      ("sliding_window_pattern", slidingWindowPattern, SizeLimit.tokens))
    try requireWord("hidden_act", hiddenAct, ["silu"])
    try requirePositive(("layer_norm_eps", layerNormEps))
    try requireNotNegative(("initializer_range", initializerRange))
    try require(
      logitScale != 0 && logitScale.isFinite, "logit_scale", logitScale,
      "it must be finite and not 0")
    try isSecond ? validateSecond() : validateFirst()
    _ = try rotary()
  }

  private func validateFirst() throws {
    for (key, isSet) in [
      ("sliding_window", slidingWindow != nil), ("layer_types", layerTypes != nil),
      ("sliding_window_pattern", slidingWindowPattern != nil),
    ] {
      try require(!isSet, key, "set", "the type cohere has none; only the type cohere2 does")
    }
  }

  private func validateSecond() throws {
    try require(!useQkNorm, "use_qk_norm", useQkNorm, "the type cohere2 has none")
    let kinds = ["sliding_attention", "full_attention"]
    if let layerTypes {
      try require(
        layerTypes.count == numHiddenLayers && layerTypes.allSatisfy(kinds.contains),
        "layer_types", layerTypes,
        "it must be \(kinds.joined(separator: " or ")) for each of \(numHiddenLayers) layers")
    }
    try requireSizes(("sliding_window", slidingWindow, SizeLimit.tokens))
    try require(
      slidingWindow != nil || !(0..<numHiddenLayers).contains(where: slides), "sliding_window",
      "missing", "layers of type sliding_attention need one of at least 1")
  }

  var isSecond: Bool { modelType == "cohere2" }

  /// Whether a layer attends within the window, with positions.
  private func slides(inLayer layer: Int) -> Bool {
    guard isSecond else { return false }
    if let layerTypes { return layerTypes[layer] == "sliding_attention" }
    return (layer + 1) % (slidingWindowPattern ?? 4) != 0
  }

  func window(inLayer layer: Int) -> Int? { slides(inLayer: layer) ? slidingWindow : nil }

  func hasPositions(inLayer layer: Int) -> Bool { !isSecond || slides(inLayer: layer) }

  var decoderShape: DecoderShape {
    DecoderShape(
      vocabSize: vocabSize, hiddenSize: hiddenSize, intermediateSize: intermediateSize,
      numHiddenLayers: numHiddenLayers, numAttentionHeads: numAttentionHeads,
      numKeyValueHeads: numKeyValueHeads, headDim: headDim)
  }

  func rotary() throws -> RotaryPositions {
    try RotaryPositions(
      ropeScaling ?? ropeParameters, theta: ropeTheta ?? (isSecond ? 10_000 : 500_000),
      headSize: decoderShape.headSize, context: maxPositionEmbeddings, isInterleaved: true)
  }
}

/// The decoder of Command R: attention and feed-forward side by side on one normalized stream,
/// neighboring features turned by rotary positions, logits scaled.
///
/// Cohere, 2024, *Command R* and *Command R+* (weights and reference code; no paper); the parallel
/// block is Wang and Komatsuzaki's, 2021, *GPT-J-6B*. Cohere et al., 2025, *Command A*,
/// arXiv:2504.00698, section 2, for the layers of `cohere2`.
/// Shapes: B batch, T time, D width.
public struct Cohere: DecoderBackbone {
  /// The hyperparameters.
  public let config: CohereConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: CohereConfig, in scope: Scope) throws {
    self.config = config
    let (width, rotary) = (config.hiddenSize, try config.rotary())
    let start = Initialization.normal(deviation: config.initializerRange)
    func norm(_ scope: Scope) throws -> LayerNorm {
      try LayerNorm(width, epsilon: config.layerNormEps, bias: false, in: scope)
    }
    stack = DecoderStack(
      width: width,
      blocks: try (0..<config.numHiddenLayers).map { layer in
        let scope = scope["layers"][layer]
        let layout = config.decoderShape.attentionLayout(window: config.window(inLayer: layer))
        return .parallel(
          try norm(scope["input_layernorm"]),
          try Attention(
            width, layout: layout, rotary: config.hasPositions(inLayer: layer) ? rotary : nil,
            bias: config.attentionBias, start: start,
            headNorm: config.useQkNorm ? config.layerNormEps : nil, in: scope["self_attn"]),
          try GatedFeedForward(
            width, inner: config.intermediateSize, start: start, in: scope["mlp"]))
      }, norm: try norm(scope["norm"]))
  }
}

extension CohereConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  public var facts: ModelFacts {
    let (heads, groups) = (numAttentionHeads, numKeyValueHeads ?? numAttentionHeads)
    let norms = hiddenSize + (useQkNorm ? (heads + groups) * decoderShape.headSize : 0)
    let layer =
      LayerFacts.feedForward(hiddenSize, inner: intermediateSize, isGated: true) + .vectors(norms)
    return ModelFacts(
      self, transformersClass: isSecond ? "Cohere2ForCausalLM" : "CohereForCausalLM",
      total: (0..<numHiddenLayers).reduce(numHiddenLayers * layer + .vectors(hiddenSize)) {
        let layout = decoderShape.attentionLayout(window: window(inLayer: $1))
        return $0 + .attention(hiddenSize, layout, bias: attentionBias)
      })
  }

  public var language: LanguageLayout {
    var layout = LanguageLayout(
      vocabulary: vocabSize, backbonePath: "model", embeddingName: "embed_tokens",
      isTied: tieWordEmbeddings, ignoredSuffixes: [".rotary_emb.inv_freq"])
    layout.logitScale = logitScale
    return layout
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try Cohere(self, in: scope) }
}

extension Architecture {
  /// ``Cohere`` in the registry.
  static let cohere = Architecture(
    name: "cohere", modelTypes: ["cohere", "cohere2"],
    summary: "Command R: attention and feed-forward side by side, scaled logits",
    paper: "Cohere, 2024, Command R; Cohere et al., 2025, arXiv:2504.00698", isRecurrent: false
  ) { size in
    // Of the two types the second bounds what is remembered; no layer attends to everything.
    var config = CohereConfig.defaults(for: "cohere2")
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    (config.numAttentionHeads, config.numKeyValueHeads) = (size.heads, size.groupedHeads)
    (config.headDim, config.intermediateSize) = (size.evenHead, size.gatedInner)
    (config.vocabSize, config.maxPositionEmbeddings) = (size.vocabulary, 2 * size.context)
    (config.slidingWindow, config.slidingWindowPattern) = (size.context, size.layers + 1)
    config.logitScale = 1
    return config
  }
}
