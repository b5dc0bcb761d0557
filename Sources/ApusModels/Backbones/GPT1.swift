public import ApusNN
import ApusTensor

/// The hyperparameters of ``GPT1``. The defaults are those of the published model.
public struct GPT1Config: ModelConfig {
  public static let modelType = "openai-gpt"
  /// Token ids, V.
  public var vocabSize = 40478
  /// The most tokens a sequence may have: positions are learned.
  public var nPositions = 512
  /// Width of the residual stream, D.
  public var nEmbd = 768
  /// Blocks.
  public var nLayer = 12
  /// Heads, H; divides the width.
  public var nHead = 12
  /// The feed-forward's activation: `gelu`, which here means the tanh form, `relu`, or `silu`,
  /// which is also called `swish`.
  public var afn = "gelu"
  /// Added to the variance in normalization.
  public var layerNormEpsilon: Float = 1e-5
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = true

  /// `learned`, or `rotary`, which has no bound. Ours, as the next: published files have neither.
  public var positionEmbedding = "learned"
  /// The window of attention, the token itself included; unlimited when nil.
  public var slidingWindow: Int?

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("n_positions", nPositions, SizeLimit.table), ("n_embd", nEmbd, SizeLimit.width),
      ("n_layer", nLayer, SizeLimit.layers), ("sliding_window", slidingWindow, SizeLimit.tokens))
    try requireWord("position_embedding", positionEmbedding, ["learned", "rotary"])
    try requireHeads(
      "n_head", nHead, of: ("n_embd", nEmbd), turns: positionEmbedding == "rotary")
    try require(activation != nil, "afn", afn, "it must be gelu, relu, silu or swish")
    try requirePositive(("layer_norm_epsilon", layerNormEpsilon))
    try requireNotNegative(("initializer_range", initializerRange))
  }

  var activation: Activation? {
    switch afn {
    case "gelu": .geluTanh
    case "relu": .relu
    case "silu", "swish": .silu
    default: nil
    }
  }
}

/// The first GPT: a decoder that normalizes after each branch and ends without a normalization.
///
/// Radford et al., 2018, *Improving Language Understanding by Generative Pre-Training*. Shapes: B
/// batch, T time, D width, H heads.
public struct GPT1: DecoderBackbone {
  /// The hyperparameters.
  public let config: GPT1Config
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: GPT1Config, in scope: Scope) throws {
    self.config = config
    let width = config.nEmbd
    let layout = AttentionLayout(
      heads: config.nHead, headSize: width / config.nHead, window: config.slidingWindow)
    let rotary =
      config.positionEmbedding == "rotary"
      ? RotaryPositions(context: config.nPositions, headSize: layout.headSize, theta: 10000) : nil
    func linear(_ inputs: Int, _ outputs: Int, in scope: Scope) throws -> Linear {
      try Linear(
        inputs, outputs, start: .normal(deviation: config.initializerRange), inputsFirst: true,
        in: scope)
    }
    func norm(_ scope: Scope) throws -> LayerNorm {
      try LayerNorm(width, epsilon: config.layerNormEpsilon, in: scope)
    }
    stack = DecoderStack(
      width: width,
      positions: try AddedPositions(
        config.positionEmbedding, count: config.nPositions, width: width,
        deviation: config.initializerRange, in: scope["positions_embed"]),
      blocks: try (0..<config.nLayer).map { layer in
        let scope = scope["h"][layer]
        let (attention, feedForward) = (scope["attn"], scope["mlp"])
        return .postNorm(
          Attention(
            layout: layout, rotary: rotary,
            input: try linear(width, 3 * width, in: attention["c_attn"]),
            output: try linear(width, width, in: attention["c_proj"])),
          try norm(scope["ln_1"]),
          PlainFeedForward(
            input: try linear(width, 4 * width, in: feedForward["c_fc"]),
            activation: config.activation,
            output: try linear(4 * width, width, in: feedForward["c_proj"])),
          try norm(scope["ln_2"]))
      }, norm: nil)
  }
}

extension GPT1Config: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.nEmbd }
  public static var layersKey: WritableKeyPath<Self, Int> { \.nLayer }

  public var facts: ModelFacts {
    let isLearned = positionEmbedding == "learned"
    let layout = AttentionLayout(heads: nHead, headSize: nEmbd / nHead, window: slidingWindow)
    let layer =
      LayerFacts.attention(nEmbd, layout, bias: true)
      + .feedForward(nEmbd, inner: 4 * nEmbd, bias: true) + .vectors(4 * nEmbd)
    return ModelFacts(
      self, context: isLearned ? nPositions : nil,
      transformersClass: isLearned && slidingWindow == nil ? "OpenAIGPTLMHeadModel" : nil,
      total: nLayer * layer + .vectors(isLearned ? nPositions * nEmbd : 0))
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, context: positionEmbedding == "learned" ? nPositions : nil,
      backbonePath: "transformer", embeddingName: "tokens_embed", isTied: tieWordEmbeddings,
      ignoredSuffixes: [".attn.bias", ".attn.masked_bias"])
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try GPT1(self, in: scope) }
}

extension Architecture {
  /// ``GPT1`` in the registry.
  static let gpt1 = Architecture(
    name: "gpt1", summary: "The first GPT: normalization after each branch, none at the end",
    paper: "Radford et al., 2018, Improving Language Understanding by Generative Pre-Training",
    isRecurrent: false
  ) { size in
    var config = GPT1Config()
    (config.nEmbd, config.nLayer, config.nHead) = (size.width, size.layers, size.heads)
    (config.nPositions, config.vocabSize) = (2 * size.context, size.vocabulary)
    (config.positionEmbedding, config.slidingWindow) = ("rotary", size.context)
    return config
  }
}
