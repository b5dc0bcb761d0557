import Foundation
public import ApusNN
public import ApusTensor

/// The hyperparameters of ``Mixtral``, under their published keys. The defaults are those of
/// Mixtral-8x7B; the last group goes beyond it.
public struct MixtralConfig: ModelConfig {
  public static let modelType = "mixtral"
  /// Token ids, V.
  public var vocabSize = 32000
  /// Width of the residual stream, D.
  public var hiddenSize = 4096
  /// Features inside an expert, F.
  public var intermediateSize = 14336
  /// Layers.
  public var numHiddenLayers = 32
  /// Query heads, H.
  public var numAttentionHeads = 32
  /// Key-value heads; divides the query heads.
  public var numKeyValueHeads = 8
  /// Features of a head; D / H when nil.
  public var headDim: Int?
  /// `silu`; nothing else is known to work.
  public var hiddenAct = "silu"
  /// The most tokens a sequence may have.
  public var maxPositionEmbeddings = 131072
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// Added to the mean square in normalization.
  public var rmsNormEps: Float = 1e-5
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = false
  /// Base of the rotary frequencies, where ``ropeParameters`` does not say it.
  public var ropeTheta = 1_000_000.0
  /// Rotary settings as newer files have them.
  public var ropeParameters: RotarySettings?
  /// The window of attention, the token itself included; unlimited when nil.
  public var slidingWindow: Int?
  /// Experts of a layer, X.
  public var numLocalExperts = 8
  /// Experts of a token, k.
  public var numExpertsPerTok = 2
  /// Whether training adds the loss that keeps routers in balance.
  public var outputRouterLogits = false
  /// The coefficient of the balance.
  public var routerAuxLossCoef: Float = 0.001
  /// Noise on the router's input; 0, nothing else is known to work.
  public var routerJitterNoise: Float = 0

  /// The coefficient of the squared log-sums of the router's logits; counts where the balance does.
  public var routerZLossCoef: Float = 0
  /// The scope of the balance: `pooled` over layers as the authors' library has it, or `per_layer`.
  public var routerBalance = BalanceForm.pooled

  /// All defaults.
  public init() {}

  public func validate() throws {
    try decoderShape.validate()
    try requireSizes(
      ("max_position_embeddings", maxPositionEmbeddings, SizeLimit.tokens),
      ("sliding_window", slidingWindow, SizeLimit.tokens))
    try requireWord("hidden_act", hiddenAct, ["silu"])
    try requirePositive(("rms_norm_eps", rmsNormEps), ("rope_theta", ropeTheta))
    try requireNotNegative(
      ("initializer_range", initializerRange), ("router_aux_loss_coef", routerAuxLossCoef),
      ("router_z_loss_coef", routerZLossCoef))
    try ropeParameters?.validate()
    try requireExperts(
      numLocalExperts, named: "num_local_experts", perToken: numExpertsPerTok,
      named: "num_experts_per_tok")
    try require(
      routerJitterNoise == 0, "router_jitter_noise", routerJitterNoise,
      "noise on the router's input is not supported, so it must be 0")
  }

  var headSize: Int { decoderShape.headSize }
  var theta: Double { ropeParameters?.ropeTheta ?? ropeTheta }

  var decoderShape: DecoderShape {
    DecoderShape(
      vocabSize: vocabSize, hiddenSize: hiddenSize, intermediateSize: intermediateSize,
      numHiddenLayers: numHiddenLayers, numAttentionHeads: numAttentionHeads,
      numKeyValueHeads: numKeyValueHeads, headDim: headDim)
  }

  var attention: AttentionLayout { decoderShape.attentionLayout(window: slidingWindow) }

  var losses: RouterLossOptions? {
    guard outputRouterLogits else { return nil }
    return RouterLossOptions(
      perToken: numExpertsPerTok, balance: routerAuxLossCoef, z: routerZLossCoef,
      form: routerBalance)
  }
}

/// Rotary settings of a published file: the base, and a kind of scaling, of which only `default`
/// (none) is known to work.
public struct RotarySettings: Sendable, Hashable, Codable {
  /// Base of the frequencies.
  public var ropeTheta: Double?
  /// `default`.
  public var ropeType: String?

}

extension RotarySettings: CheckedConfig {
  public func validate() throws {
    try requireWord("rope_parameters.rope_type", ropeType ?? "default", ["default"])
    try requirePositive(("rope_parameters.rope_theta", ropeTheta))
  }
}

/// Mixtral: a decoder with grouped attention whose feed-forwards are experts, two of eight for each
/// token.
///
/// Jiang et al., 2024, *Mixtral of Experts*, arXiv:2401.04088. Shapes: B batch, T time, D width,
/// X experts, k experts of a token, F features inside an expert.
public struct Mixtral: DecoderBackbone, RoutingBackbone {
  /// The hyperparameters.
  public let config: MixtralConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: MixtralConfig, in scope: Scope) throws {
    self.config = config
    let width = config.hiddenSize
    let start = Initialization.normal(deviation: config.initializerRange)
    let rotary = RotaryPositions(
      context: config.maxPositionEmbeddings, headSize: config.headSize, theta: config.theta)
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
            width, layout: config.attention, rotary: rotary, start: start, in: scope["self_attn"]),
          try norm(scope["post_attention_layernorm"]),
          try MixtureOfExperts(
            width: width, hiddenSize: config.intermediateSize, experts: config.numLocalExperts,
            perToken: config.numExpertsPerTok, rule: .mixtral,
            names: ExpertNames(router: "gate", gate: "w1", up: "w3", down: "w2"), start: start,
            in: scope["block_sparse_moe"]))
      }, norm: try norm(scope["norm"]), routerLoss: config.losses)
  }
}

extension MixtralConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  public var facts: ModelFacts {
    let layer =
      LayerFacts.attention(hiddenSize, attention)
      + .experts(
        numLocalExperts, perToken: numExpertsPerTok, width: hiddenSize, inner: intermediateSize)
      + .vectors(2 * hiddenSize)
    return ModelFacts(
      self, transformersClass: "MixtralForCausalLM",
      total: numHiddenLayers * layer + .vectors(hiddenSize))
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, context: maxPositionEmbeddings, backbonePath: "model",
      embeddingName: "embed_tokens", isTied: tieWordEmbeddings,
      ignoredSuffixes: [".rotary_emb.inv_freq"])
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try Mixtral(self, in: scope) }

  /// Newer libraries keep the experts of a layer in two tensors, and call the part `mlp`.
  public func adapted(_ tensors: [String: Tensor]) throws -> [String: Tensor] {
    try splitExperts(
      tensors, from: ".mlp.", to: ".block_sparse_moe.", experts: numLocalExperts,
      names: ["w1", "w3", "w2"])
  }
}

extension Architecture {
  /// ``Mixtral`` in the registry.
  static let mixtral = Architecture(
    name: "mixtral",
    summary: "Decoder with experts: eight feed-forwards, two for each token",
    paper: "Jiang et al., 2024, arXiv:2401.04088", isRecurrent: false
  ) { size in
    var config = MixtralConfig()
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    (config.numAttentionHeads, config.numKeyValueHeads) = (size.heads, size.heads)
    (config.maxPositionEmbeddings, config.slidingWindow) = (2 * size.context, size.context)
    (config.vocabSize, config.ropeTheta) = (size.vocabulary, 10000)
    config.intermediateSize = size.expertSize(perToken: 2)
    (config.outputRouterLogits, config.routerBalance) = (true, .perLayer)
    (config.routerAuxLossCoef, config.routerZLossCoef) = (0.01, 0.001)
    return config
  }
}

extension BackboneSize {
  /// F of experts of which k together do the arithmetic of a feed-forward of four times the width.
  func expertSize(perToken: Int) -> Int {
    max(8, (8 * width / (3 * perToken) + 7) / 8 * 8)
  }
}
