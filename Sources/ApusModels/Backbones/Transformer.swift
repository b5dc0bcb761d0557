public import ApusNN
import ApusTensor

/// The hyperparameters of ``Transformer``. The defaults are those of GPT-2 (124M), whose published
/// keys these are; the last group goes beyond it. The type `sliding` is ours: rotary positions and
/// a short window in every layer.
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
  /// A token sees at most this many tokens, itself included; all when nil. 256 in `sliding`.
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
    try require(
      ["gpt2", "sliding"].contains(modelType), "model_type", modelType,
      "it must be gpt2 or sliding")
    try require(vocabSize > 0, "vocab_size", vocabSize, "it must be at least 1")
    try require(nPositions > 0, "n_positions", nPositions, "it must be at least 1")
    try require(nEmbd > 0 && nEmbd <= 65536, "n_embd", nEmbd, "it must be in 1...65536")
    try require(nLayer > 0 && nLayer <= 1024, "n_layer", nLayer, "it must be in 1...1024")
    try require(
      nHead > 0 && nEmbd % nHead == 0, "n_head", nHead, "it must divide n_embd, which is \(nEmbd)")
    try require(nEmbd / nHead <= 256, "n_head", nHead, "a head may have at most 256 features")
    let groups = nKvHead ?? nHead
    try require(
      groups > 0 && nHead % groups == 0, "n_kv_head", groups,
      "it must divide n_head, which is \(nHead)")
    if let nInner { try require(nInner > 0, "n_inner", nInner, "it must be at least 1") }
    try require(
      ["learned", "sinusoidal", "rotary", "none"].contains(positionEmbedding),
      "position_embedding", positionEmbedding, "it must be learned, sinusoidal, rotary or none")
    try require(
      positionEmbedding != "rotary" || (nEmbd / nHead) % 2 == 0, "n_head", nHead,
      "rotary positions need an even head size")
    try require(
      ["layer_norm", "rms_norm"].contains(normalization), "normalization", normalization,
      "it must be layer_norm or rms_norm")
    try require(
      activationFunction == "swiglu" || activation != nil, "activation_function",
      activationFunction, "it must be gelu_new, gelu, relu, silu or swiglu")
    try require(
      layerNormEpsilon > 0, "layer_norm_epsilon", layerNormEpsilon, "it must be above 0")
    try validateWindows()
  }

  private func validateWindows() throws {
    if let slidingWindow {
      try require(slidingWindow > 0, "sliding_window", slidingWindow, "it must be at least 1")
    }
    if let attentionWindows {
      try require(
        slidingWindow == nil, "attention_windows", attentionWindows,
        "sliding_window gives every layer its window already")
      try require(
        !attentionWindows.isEmpty && attentionWindows.allSatisfy { $0 >= 0 }, "attention_windows",
        attentionWindows, "it must have at least one window, none below 0")
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

extension Architecture {
  /// ``Transformer`` in the registry.
  static let transformer = Architecture(
    name: "transformer",
    summary: "Pre-norm decoder with exact attention, computed tile by tile",
    paper: "Vaswani et al., 2017, arXiv:1706.03762; Radford et al., 2019",
    isRecurrent: false, backbonePath: "transformer", config: TransformerConfig.self,
    make: { try Transformer($0, in: $1) },
    sized: { size in
      [
        "n_embd": size.width, "n_layer": size.layers, "n_positions": 2 * size.context,
        "n_head": size.heads, "vocab_size": size.vocabulary, "position_embedding": "rotary",
        "sliding_window": size.context,
      ]
    },
    language: { config in
      LanguageLayout(
        vocabulary: config.vocabSize,
        context: config.positionEmbedding == "none" ? nil : config.nPositions,
        embeddingName: "wte", isTied: config.tieWordEmbeddings,
        ignoredSuffixes: [".attn.bias", ".attn.masked_bias"])
    })
}
