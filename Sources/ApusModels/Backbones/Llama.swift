public import ApusNN
import ApusTensor

/// The hyperparameters of ``Llama``, for both published types: `llama`, whose defaults these are,
/// and `mistral`, which attends within a window.
public struct LlamaConfig: ModelConfig {
  public static let modelType = "llama"
  /// `llama` or `mistral`.
  public var modelType = "llama"
  /// Token ids, V.
  public var vocabSize = 32000
  /// Width of the residual stream, D.
  public var hiddenSize = 4096
  /// Width inside the feed-forward; 14336 in `mistral`.
  public var intermediateSize = 11008
  /// Blocks.
  public var numHiddenLayers = 32
  /// Query heads, H.
  public var numAttentionHeads = 32
  /// Key-value heads, which divide the query heads; as many when nil. 8 in `mistral`.
  public var numKeyValueHeads: Int?
  /// Features of a head, K; D / H when nil.
  public var headDim: Int?
  /// The gate's activation; `silu` is the only one.
  public var hiddenAct = "silu"
  /// The tokens that training has seen in a row, 131072 in `mistral`; longer sequences run.
  public var maxPositionEmbeddings = 2048
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// Added to the mean square in normalization.
  public var rmsNormEps: Float = 1e-6
  /// Base of the rotary frequencies where `ropeParameters` name none; 10000 when nil.
  public var ropeTheta: Double?
  /// The scaling of rotary frequencies; none when nil.
  public var ropeParameters: RotaryParameters?
  /// The same, as older files call it.
  public var ropeScaling: RotaryParameters?
  /// The window of attention, the token itself included; unlimited when nil. 4096 in `mistral`, and
  /// never set in `llama`.
  public var slidingWindow: Int?
  /// Whether queries, keys, values and the output projection have biases; never in `mistral`.
  public var attentionBias = false
  /// Whether the feed-forward has biases; never in `mistral`.
  public var mlpBias = false
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = false

  /// All defaults of `llama`.
  public init() {}

  /// All defaults of a `model_type`.
  public static func defaults(for modelType: String) -> LlamaConfig {
    var config = LlamaConfig()
    config.modelType = modelType
    if modelType == "mistral" {
      config.intermediateSize = 14336
      config.numKeyValueHeads = 8
      config.maxPositionEmbeddings = 131072
      config.slidingWindow = 4096
    }
    return config
  }

  public func validate() throws {
    try requireWord("model_type", modelType, ["llama", "mistral"])
    try decoderShape.validate()
    try requireSizes(
      ("max_position_embeddings", maxPositionEmbeddings, SizeLimit.tokens),
      ("sliding_window", slidingWindow, SizeLimit.tokens))
    try requireWord("hidden_act", hiddenAct, ["silu"])
    try requirePositive(("rms_norm_eps", rmsNormEps))
    try requireNotNegative(("initializer_range", initializerRange))
    if modelType == "llama" {
      try require(
        slidingWindow == nil, "sliding_window", slidingWindow ?? 0,
        "the type llama has none; only the type mistral does")
    } else {
      try require(
        !attentionBias, "attention_bias", attentionBias, "the type mistral has no biases")
      try require(!mlpBias, "mlp_bias", mlpBias, "the type mistral has no biases")
    }
    _ = try rotary()
  }

  var decoderShape: DecoderShape {
    DecoderShape(
      vocabSize: vocabSize, hiddenSize: hiddenSize, intermediateSize: intermediateSize,
      numHiddenLayers: numHiddenLayers, numAttentionHeads: numAttentionHeads,
      numKeyValueHeads: numKeyValueHeads, headDim: headDim)
  }

  func rotary() throws -> RotaryPositions {
    try RotaryPositions(
      ropeScaling ?? ropeParameters, theta: ropeTheta ?? 10000, headSize: decoderShape.headSize,
      context: maxPositionEmbeddings)
  }
}

/// The decoder of Llama and Mistral: rotary positions, grouped heads, a gated feed-forward, each
/// part behind a root-mean-square normalization, without biases.
///
/// Touvron et al., 2023, *LLaMA*, arXiv:2302.13971; Jiang et al., 2023, *Mistral 7B*,
/// arXiv:2310.06825. Shapes: B batch, T time, D width, H heads, K head size.
public struct Llama: DecoderBackbone {
  /// The hyperparameters.
  public let config: LlamaConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: LlamaConfig, in scope: Scope) throws {
    self.config = config
    let (width, rotary) = (config.hiddenSize, try config.rotary())
    let start = Initialization.normal(deviation: config.initializerRange)
    func norm(_ scope: Scope) throws -> RMSNorm {
      try RMSNorm(width, epsilon: config.rmsNormEps, in: scope)
    }
    stack = DecoderStack(
      width: width,
      blocks: try (0..<config.numHiddenLayers).map { layer in
        let scope = scope["layers"][layer]
        return .preNorm(
          try norm(scope["input_layernorm"]),
          try Attention(
            width, layout: config.decoderShape.attentionLayout(window: config.slidingWindow),
            rotary: rotary, bias: config.attentionBias, start: start, in: scope["self_attn"]),
          try norm(scope["post_attention_layernorm"]),
          try GatedFeedForward(
            width, inner: config.intermediateSize, bias: config.mlpBias, start: start,
            in: scope["mlp"]))
      }, norm: try norm(scope["norm"]))
  }
}

extension LlamaConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  public var facts: ModelFacts {
    let layer =
      LayerFacts.attention(
        hiddenSize, decoderShape.attentionLayout(window: slidingWindow), bias: attentionBias)
      + .feedForward(hiddenSize, inner: intermediateSize, isGated: true, bias: mlpBias)
      + .vectors(2 * hiddenSize)
    return ModelFacts(
      self, transformersClass: modelType == "llama" ? "LlamaForCausalLM" : "MistralForCausalLM",
      total: numHiddenLayers * layer + .vectors(hiddenSize))
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, backbonePath: "model", embeddingName: "embed_tokens",
      isTied: tieWordEmbeddings, ignoredSuffixes: [".rotary_emb.inv_freq"])
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try Llama(self, in: scope) }
}

extension Architecture {
  /// ``Llama`` in the registry.
  static let llama = Architecture(
    name: "llama", modelTypes: ["llama", "mistral"],
    summary: "Llama and Mistral: rotary positions, grouped heads, gated feed-forward",
    paper: "Touvron et al., 2023, arXiv:2302.13971; Jiang et al., 2023, arXiv:2310.06825",
    isRecurrent: false
  ) { size in
    var config = LlamaConfig.defaults(for: "mistral")
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    (config.numAttentionHeads, config.numKeyValueHeads) = (size.heads, size.groupedHeads)
    (config.headDim, config.intermediateSize) = (size.evenHead, size.gatedInner)
    (config.vocabSize, config.maxPositionEmbeddings) = (size.vocabulary, 2 * size.context)
    (config.slidingWindow, config.tieWordEmbeddings) = (size.context, true)
    return config
  }
}
