public import ApusNN
import ApusTensor

/// The hyperparameters of ``Transformer``. The defaults are those of GPT-2 (124M), whose published
/// keys these are; the last group goes beyond it. The type `sliding` is our own: rotary positions
/// and a short window in every layer.
public struct TransformerConfig: ModelConfig {
  public static let modelType = "gpt2"
  /// `gpt2` or `sliding`.
  public var modelType = "gpt2"
  /// Token ids, V.
  public var vocabSize = 50257
  /// The most tokens a sequence may have.
  public var nPositions = 1024
  /// Width of the residual stream, D.
  public var nEmbd = 768
  /// Blocks.
  public var nLayer = 12
  /// Query heads, H; divides the width.
  public var nHead = 12
  /// Width inside the feed-forward; 4 · D when nil.
  public var nInner: Int?
  /// `gelu_new`, `gelu`, `relu`, `silu`, or `swiglu` for a gated feed-forward.
  public var activationFunction = "gelu_new"
  /// Added to the variance in normalization.
  public var layerNormEpsilon: Float = 1e-5
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = true
  /// Whether scores are divided by the root of the head's size.
  public var scaleAttnWeights = true
  /// Whether the scores of layer l, from 0, are divided by l + 1 as well.
  public var scaleAttnByInverseLayerIdx = false

  /// Key-value heads; as many as query heads when nil.
  public var nKvHead: Int?
  /// `learned`, `sinusoidal`, `rotary` or `none`.
  public var positionEmbedding = "learned"
  /// Base of the rotary frequencies.
  public var ropeTheta = 10000.0
  /// `layer_norm` or `rms_norm`.
  public var normalization = "layer_norm"
  /// Whether linear maps and LayerNorm have biases.
  public var useBias = true
  /// The window of attention, the token itself included; unlimited when nil. 256 in `sliding`.
  public var slidingWindow: Int?
  /// The window of each layer in turn, from the first and then over again; 0 for a dense one. GPT-3
  /// alternates dense and banded layers but says neither which come first nor how wide the band is:
  /// `[0, 256]`, dense first as in GPT-Neo, is our reading. Nil: all as ``slidingWindow`` says.
  public var attentionWindows: [Int]?

  /// All defaults.
  public init() {}

  /// All defaults of a `model_type`.
  public static func defaults(for modelType: String) -> TransformerConfig {
    var config = TransformerConfig()
    config.modelType = modelType
    if modelType == "sliding" {
      config.slidingWindow = 256
      config.positionEmbedding = "rotary"
    }
    return config
  }

  public func validate() throws {
    try requireWord("model_type", modelType, ["gpt2", "sliding"])
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("n_positions", nPositions, SizeLimit.table), ("n_embd", nEmbd, SizeLimit.width),
      ("n_layer", nLayer, SizeLimit.layers), ("n_inner", nInner, SizeLimit.inner),
      ("sliding_window", slidingWindow, SizeLimit.tokens))
    try requireWord(
      "position_embedding", positionEmbedding, ["learned", "sinusoidal", "rotary", "none"])
    try requireHeads(
      "n_head", nHead, of: ("n_embd", nEmbd), turns: positionEmbedding == "rotary")
    try requireGroups("n_kv_head", nKvHead, of: ("n_head", nHead))
    try requireWord("normalization", normalization, ["layer_norm", "rms_norm"])
    try require(
      activationFunction == "swiglu" || activation != nil, "activation_function",
      activationFunction, "it must be gelu_new, gelu, relu, silu or swiglu")
    try requirePositive(("layer_norm_epsilon", layerNormEpsilon), ("rope_theta", ropeTheta))
    try requireNotNegative(("initializer_range", initializerRange))
    try validateWindows()
  }

  private func validateWindows() throws {
    if let attentionWindows {
      try require(
        slidingWindow == nil, "attention_windows", attentionWindows,
        "sliding_window gives every layer its window already")
      try require(
        (1...SizeLimit.layers).contains(attentionWindows.count)
          && attentionWindows.allSatisfy { (0...SizeLimit.tokens).contains($0) },
        "attention_windows", attentionWindows,
        "it must have at least one window, none below 0")
    }
    if modelType == "sliding" {
      try require(
        slidingWindow != nil, "sliding_window", "missing", "the type sliding is made of windows")
      try require(
        ["rotary", "none"].contains(positionEmbedding), "position_embedding", positionEmbedding,
        "the type sliding goes on forever and learns no positions; it must be rotary or none")
    }
  }

  /// How many tokens a layer's tokens see, themselves included; nil for all.
  func window(inLayer layer: Int) -> Int? {
    guard let attentionWindows else { return slidingWindow }
    let window = attentionWindows[layer % attentionWindows.count]
    return window == 0 ? nil : window
  }

  var activation: Activation? { Activation(rawValue: activationFunction) }
  var isGated: Bool { activationFunction == "swiglu" }
  var innerSize: Int { nInner ?? 4 * nEmbd }

  func attentionLayout(inLayer layer: Int) -> AttentionLayout {
    let size = nEmbd / nHead
    let root = scaleAttnWeights ? Float(size).squareRoot() : 1
    return AttentionLayout(
      heads: nHead, keyValueHeads: nKvHead, headSize: size, window: window(inLayer: layer),
      scale: 1 / (scaleAttnByInverseLayerIdx ? root * Float(layer + 1) : root))
  }
}

/// The pre-norm decoder: attention and feed-forward in turn, each on a normalized residual stream.
///
/// Vaswani et al., 2017, *Attention Is All You Need*, arXiv:1706.03762; the block of Radford et al.,
/// 2019, *Language Models are Unsupervised Multitask Learners* (GPT-2), with its weight names.
/// Shapes: B batch, T time, D width, H heads, K head size.
public struct Transformer: DecoderBackbone {
  /// The hyperparameters.
  public let config: TransformerConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: TransformerConfig, in scope: Scope) throws {
    self.config = config
    let (width, inner, deviation) = (config.nEmbd, config.innerSize, config.initializerRange)
    let start = Initialization.normal(deviation: deviation)
    // Projections into the residual stream start smaller by √(2 · blocks), as GPT-2 has it.
    let residualStart = Initialization.normal(
      deviation: deviation / Float(2 * config.nLayer).squareRoot())
    func linear(
      _ inputs: Int, _ outputs: Int, _ start: Initialization, in scope: Scope
    ) throws -> Linear {
      try Linear(
        inputs, outputs, bias: config.useBias, start: start, inputsFirst: true, in: scope)
    }
    func norm(_ scope: Scope) throws -> any Layer {
      let epsilon = config.layerNormEpsilon
      return config.normalization == "rms_norm"
        ? try RMSNorm(width, epsilon: epsilon, in: scope)
        : try LayerNorm(width, epsilon: epsilon, bias: config.useBias, in: scope)
    }
    let rotary =
      config.positionEmbedding == "rotary"
      ? RotaryPositions(
        context: config.nPositions, headSize: width / config.nHead, theta: config.ropeTheta) : nil
    stack = DecoderStack(
      width: width,
      positions: try AddedPositions(
        config.positionEmbedding, count: config.nPositions, width: width, deviation: deviation,
        in: scope["wpe"]),
      blocks: try (0..<config.nLayer).map { layer in
        let (scope, layout) = (scope["h"][layer], config.attentionLayout(inLayer: layer))
        let (attention, feedForward) = (scope["attn"], scope["mlp"])
        return .preNorm(
          try norm(scope["ln_1"]),
          Attention(
            layout: layout, rotary: rotary,
            input: try linear(width, layout.fusedSize, start, in: attention["c_attn"]),
            output: try linear(width, width, residualStart, in: attention["c_proj"])),
          try norm(scope["ln_2"]),
          PlainFeedForward(
            input: try linear(
              width, (config.isGated ? 2 : 1) * inner, start, in: feedForward["c_fc"]),
            activation: config.activation,
            output: try linear(inner, width, residualStart, in: feedForward["c_proj"])))
      },
      norm: try norm(scope["ln_f"]))
  }
}

extension TransformerConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.nEmbd }
  public static var layersKey: WritableKeyPath<Self, Int> { \.nLayer }

  public var facts: ModelFacts {
    let isNormed = normalization == "layer_norm" && useBias
    let layer =
      LayerFacts.feedForward(nEmbd, inner: innerSize, isGated: isGated, bias: useBias)
      + .vectors((isNormed ? 4 : 2) * nEmbd)
    let table = positionEmbedding == "learned" ? nPositions : nil
    let isPublished =
      modelType == "gpt2" && positionEmbedding == "learned" && normalization == "layer_norm"
      && !isGated && useBias && nKvHead == nil && slidingWindow == nil && attentionWindows == nil
    return ModelFacts(
      self, context: table,
      transformersClass: isPublished ? "GPT2LMHeadModel" : nil,
      total: (0..<nLayer).reduce(nLayer * layer) {
        $0 + .attention(nEmbd, attentionLayout(inLayer: $1), bias: useBias)
      } + .vectors(((table ?? 0) + (isNormed ? 2 : 1)) * nEmbd))
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize,
      context: modelType == "sliding" || positionEmbedding == "none" ? nil : nPositions,
      backbonePath: "transformer", embeddingName: "wte", isTied: tieWordEmbeddings,
      ignoredSuffixes: [".attn.bias", ".attn.masked_bias"])
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone {
    try Transformer(self, in: scope)
  }

  /// A small one that goes on forever: rotary positions, and a window.
  init(_ size: BackboneSize, modelType: String, window: Int) {
    self = .defaults(for: modelType)
    (nEmbd, nLayer, nHead) = (size.width, size.layers, size.heads)
    (nPositions, vocabSize) = (2 * size.context, size.vocabulary)
    (positionEmbedding, slidingWindow) = ("rotary", window)
  }
}

extension Architecture {
  /// ``Transformer`` in the registry.
  static let transformer = Architecture(
    name: "transformer",
    summary: "Pre-norm decoder with exact attention, computed tile by tile",
    paper: "Vaswani et al., 2017, arXiv:1706.03762; Radford et al., 2019", isRecurrent: false
  ) { TransformerConfig($0, modelType: "gpt2", window: $0.context) }
}
