public import ApusNN
public import ApusTensor

/// The hyperparameters of ``DBRX``, under their published keys. The defaults are those of the
/// released model; the last group goes beyond it.
public struct DBRXConfig: ModelConfig {
  public static let modelType = "dbrx"
  /// Width of the residual stream, D.
  public var dModel = 6144
  /// Query heads, H; divides the width.
  public var nHeads = 48
  /// Layers.
  public var nLayers = 40
  /// The most tokens a sequence may have.
  public var maxSeqLen = 32768
  /// Token ids, V.
  public var vocabSize = 100_352
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// False; the output head has its own weights.
  public var tieWordEmbeddings = false
  /// Attention.
  public var attnConfig = Attention()
  /// Experts.
  public var ffnConfig = Experts()
  /// Rotary settings as newer files have them; ``Attention/ropeTheta`` goes first.
  public var ropeParameters: RotarySettings?
  /// Whether training adds the loss that keeps routers in balance.
  public var outputRouterLogits = false

  /// The window of attention, the token itself included; unlimited when nil.
  public var slidingWindow: Int?
  /// The coefficient of the squared log-sums of the router's logits; counts where the balance does.
  public var routerZLossCoef: Float = 0
  /// The scope of the balance: `pooled` over layers as the authors' library has it, or `per_layer`.
  public var routerBalance = BalanceForm.pooled

  /// The keys of `attn_config`.
  public struct Attention: Sendable, Codable {
    /// Queries, keys and values are held within ± this; nil: they are not.
    public var clipQkv: Float? = 8
    /// Key-value heads; divides the query heads.
    public var kvNHeads = 8
    /// Base of the rotary frequencies; `rope_parameters.rope_theta`, else 500000, when nil.
    public var ropeTheta: Double?
  }

  /// The keys of `ffn_config`.
  public struct Experts: Sendable, Codable {
    /// The gate of an expert; `silu`, nothing else is known to work.
    public var ffnActFn = Gate()
    /// Features inside an expert, F.
    public var ffnHiddenSize = 10752
    /// Experts of a layer, X.
    public var moeNumExperts = 16
    /// Experts of a token, k.
    public var moeTopK = 4
    /// Noise on the router's input; nil or 0, nothing else is known to work.
    public var moeJitterEps: Float?
    /// The coefficient of the balance.
    public var moeLossWeight: Float = 0.05
    /// The order of the norm by which gates are divided; null: they are not.
    public var moeNormalizeExpertWeights: Float? = 1
  }

  /// The key of `ffn_act_fn`.
  public struct Gate: Sendable, Codable {
    /// `silu`.
    public var name = "silu"
  }

  /// All defaults.
  public init() {}

  public func validate() throws {
    let (attention, experts) = (attnConfig, ffnConfig)
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary), ("d_model", dModel, SizeLimit.width),
      ("n_layers", nLayers, SizeLimit.layers), ("max_seq_len", maxSeqLen, SizeLimit.tokens),
      ("ffn_config.ffn_hidden_size", experts.ffnHiddenSize, SizeLimit.inner),
      ("sliding_window", slidingWindow, SizeLimit.tokens))
    try requireHeads("n_heads", nHeads, of: ("d_model", dModel), turns: true)
    try requireGroups(
      "attn_config.kv_n_heads", attention.kvNHeads, of: ("n_heads", nHeads))
    try requirePositive(
      ("attn_config.clip_qkv", attention.clipQkv), ("attn_config.rope_theta", theta),
      ("ffn_config.moe_normalize_expert_weights", experts.moeNormalizeExpertWeights))
    try requireNotNegative(
      ("initializer_range", initializerRange), ("router_z_loss_coef", routerZLossCoef),
      ("ffn_config.moe_loss_weight", experts.moeLossWeight))
    try ropeParameters?.validate()
    try requireExperts(
      experts.moeNumExperts, named: "ffn_config.moe_num_experts", perToken: experts.moeTopK,
      named: "ffn_config.moe_top_k")
    try requireWord("ffn_config.ffn_act_fn", experts.ffnActFn.name, ["silu"])
    try require(
      (experts.moeJitterEps ?? 0) == 0, "ffn_config.moe_jitter_eps", experts.moeJitterEps ?? 0,
      "noise on the router's input is not supported, so it must be 0")
    try require(
      !tieWordEmbeddings, "tie_word_embeddings", tieWordEmbeddings, "DBRX's head is not tied")
  }

  var headSize: Int { dModel / max(nHeads, 1) }
  var theta: Double { attnConfig.ropeTheta ?? ropeParameters?.ropeTheta ?? 500_000 }

  var attention: AttentionLayout {
    AttentionLayout(
      heads: nHeads, keyValueHeads: attnConfig.kvNHeads, headSize: headSize, window: slidingWindow)
  }

  var losses: RouterLossOptions? {
    guard outputRouterLogits else { return nil }
    return RouterLossOptions(
      perToken: ffnConfig.moeTopK, balance: ffnConfig.moeLossWeight, z: routerZLossCoef,
      form: routerBalance)
  }
}

/// DBRX: a decoder with grouped attention on clipped queries, keys and values, and sixteen experts of
/// which each token takes four.
///
/// Databricks, 2024, *Introducing DBRX*, and the released code. Shapes: B batch, T time, D width,
/// X experts, k experts of a token, F features inside an expert.
public struct DBRX: DecoderBackbone, RoutingBackbone {
  /// The hyperparameters.
  public let config: DBRXConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: DBRXConfig, in scope: Scope) throws {
    self.config = config
    let (width, layout, experts) = (config.dModel, config.attention, config.ffnConfig)
    let start = Initialization.normal(deviation: config.initializerRange)
    let rotary = RotaryPositions(
      context: config.maxSeqLen, headSize: config.headSize, theta: config.theta)
    func linear(_ outputs: Int, in scope: Scope) throws -> Linear {
      try Linear(width, outputs, bias: false, start: start, in: scope)
    }
    stack = DecoderStack(
      width: width,
      blocks: try (0..<config.nLayers).map { layer in
        let scope = scope["blocks"][layer]
        let part = scope["norm_attn_norm"]
        return .preNorm(
          try LayerNorm(width, bias: false, in: part["norm_1"]),
          Attention(
            layout: layout, rotary: rotary,
            input: try linear(layout.fusedSize, in: part["attn"]["Wqkv"]),
            adjustment: config.attnConfig.clipQkv.map(Clip.init),
            output: try linear(width, in: part["attn"]["out_proj"])),
          try LayerNorm(width, bias: false, in: part["norm_2"]),
          try MixtureOfExperts(
            width: width, hiddenSize: experts.ffnHiddenSize, experts: experts.moeNumExperts,
            perToken: experts.moeTopK, rule: .dbrx(norm: experts.moeNormalizeExpertWeights),
            names: ExpertNames(
              router: "router.layer", experts: "experts.mlp", gate: "w1", up: "v1", down: "w2",
              isFused: true),
            start: start, in: scope["ffn"]))
      }, norm: try LayerNorm(width, bias: false, in: scope["norm_f"]), routerLoss: config.losses)
  }
}

extension DBRXConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.dModel }
  public static var layersKey: WritableKeyPath<Self, Int> { \.nLayers }

  public var facts: ModelFacts {
    let experts = ffnConfig
    let layer =
      LayerFacts.attention(dModel, attention)
      + .experts(
        experts.moeNumExperts, perToken: experts.moeTopK, width: dModel,
        inner: experts.ffnHiddenSize) + .vectors(2 * dModel)
    return ModelFacts(
      self, transformersClass: "DbrxForCausalLM", total: nLayers * layer + .vectors(dModel))
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, context: maxSeqLen, backbonePath: "transformer",
      embeddingName: "wte", isTied: false, ignoredSuffixes: [".rotary_emb.inv_freq"])
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try DBRX(self, in: scope) }
}

extension Architecture {
  /// ``DBRX`` in the registry.
  static let dbrx = Architecture(
    name: "dbrx",
    summary: "Decoder with fine-grained experts: sixteen small ones, four for each token",
    paper: "Databricks, 2024", isRecurrent: false
  ) { size in
    var config = DBRXConfig()
    (config.dModel, config.nLayers, config.nHeads) = (size.width, size.layers, size.heads)
    (config.maxSeqLen, config.slidingWindow) = (2 * size.context, size.context)
    config.vocabSize = size.vocabulary
    (config.attnConfig.kvNHeads, config.attnConfig.ropeTheta) = (size.heads, 10000)
    config.ffnConfig.ffnHiddenSize = size.expertSize(perToken: 4)
    (config.outputRouterLogits, config.routerBalance) = (true, .perLayer)
    (config.ffnConfig.moeLossWeight, config.routerZLossCoef) = (0.01, 0.001)
    return config
  }
}
