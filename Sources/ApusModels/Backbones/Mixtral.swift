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
  /// A token sees at most this many tokens, itself included; all when nil.
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
  /// How the balance is measured: `pooled` over layers as the authors' library has it, or `per_layer`.
  public var routerBalance = BalanceForm.pooled

  /// All defaults.
  public init() {}

  public func validate() throws {
    try require(vocabSize > 0, "vocab_size", vocabSize, "it must be at least 1")
    try require(
      hiddenSize > 0 && hiddenSize <= 65536, "hidden_size", hiddenSize, "it must be in 1...65536")
    try require(
      intermediateSize > 0 && intermediateSize <= 1_048_576, "intermediate_size", intermediateSize,
      "it must be in 1...1048576")
    try require(
      numHiddenLayers > 0 && numHiddenLayers <= 1024, "num_hidden_layers", numHiddenLayers,
      "it must be in 1...1024")
    try require(
      numAttentionHeads > 0 && (headDim != nil || hiddenSize % numAttentionHeads == 0),
      "num_attention_heads", numAttentionHeads,
      "it must divide hidden_size, which is \(hiddenSize), unless head_dim says a head's size")
    try require(
      numKeyValueHeads > 0 && numAttentionHeads % numKeyValueHeads == 0, "num_key_value_heads",
      numKeyValueHeads, "it must divide num_attention_heads, which is \(numAttentionHeads)")
    try require(
      headSize > 0 && headSize <= 256 && headSize % 2 == 0, "head_dim", headSize,
      "a head must have an even number of features, up to 256")
    try require(
      maxPositionEmbeddings > 0, "max_position_embeddings", maxPositionEmbeddings,
      "it must be at least 1")
    try require(hiddenAct == "silu", "hidden_act", hiddenAct, "experts know silu only")
    try require(rmsNormEps > 0, "rms_norm_eps", rmsNormEps, "it must be above 0")
    if let slidingWindow {
      try require(slidingWindow > 0, "sliding_window", slidingWindow, "it must be at least 1")
    }
    try ropeParameters?.validate()
    try require(theta > 0, "rope_theta", theta, "it must be above 0")
    try requireExperts(
      numLocalExperts, named: "num_local_experts", perToken: numExpertsPerTok,
      named: "num_experts_per_tok")
    try require(
      routerJitterNoise == 0, "router_jitter_noise", routerJitterNoise,
      "noise on the router's input is not supported, so it must be 0")
  }

  var headSize: Int { headDim ?? hiddenSize / max(numAttentionHeads, 1) }
  var theta: Double { ropeParameters?.ropeTheta ?? ropeTheta }

  var attention: AttentionLayout {
    AttentionLayout(
      heads: numAttentionHeads, keyValueHeads: numKeyValueHeads, headSize: headSize,
      window: slidingWindow)
  }

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

  func validate() throws {
    guard let ropeType, ropeType != "default" else { return }
    throw ConfigError.invalid(
      key: "rope_parameters.rope_type", value: ropeType, rule: "it must be default")
  }
}

extension ModelConfig {
  /// Throws unless there are experts, few enough, and a token takes no more than there are.
  func requireExperts(
    _ count: Int, named key: String, perToken: Int, named perTokenKey: String
  ) throws {
    try require(count > 0 && count <= 4096, key, count, "it must be in 1...4096")
    try require(
      perToken > 0 && perToken <= count, perTokenKey, perToken,
      "it must be in 1...\(count), which is \(key)")
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

extension Architecture {
  /// ``Mixtral`` in the registry.
  static let mixtral = Architecture(
    name: "mixtral",
    summary: "Decoder with experts: eight feed-forwards, two for each token",
    paper: "Jiang et al., 2024, arXiv:2401.04088",
    isRecurrent: false, backbonePath: "model", config: MixtralConfig.self,
    make: { try Mixtral($0, in: $1) },
    sized: { size in
      [
        "hidden_size": size.width, "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads, "num_key_value_heads": size.heads,
        "max_position_embeddings": 2 * size.context, "sliding_window": size.context,
        "vocab_size": size.vocabulary, "rope_theta": 10000.0,
        "intermediate_size": size.expertSize(perToken: 2), "num_local_experts": 8,
        "num_experts_per_tok": 2, "output_router_logits": true, "router_aux_loss_coef": 0.01,
        "router_z_loss_coef": 0.001, "router_balance": "per_layer",
      ]
    },
    language: { config in
      LanguageLayout(
        vocabulary: config.vocabSize, context: config.maxPositionEmbeddings,
        embeddingName: "embed_tokens", isTied: config.tieWordEmbeddings,
        ignoredSuffixes: [".rotary_emb.inv_freq"])
    },
    adapt: { tensors, config in
      // Newer libraries keep the experts of a layer in two tensors, and call the part `mlp`.
      try splitExperts(
        tensors, from: ".mlp.", to: ".block_sparse_moe.", experts: config.numLocalExperts,
        names: ["w1", "w3", "w2"])
    })
}

extension BackboneSize {
  /// F of experts of which k together do the arithmetic of a feed-forward of four times the width.
  func expertSize(perToken: Int) -> Int {
    max(8, (8 * width / (3 * perToken) + 7) / 8 * 8)
  }
}
