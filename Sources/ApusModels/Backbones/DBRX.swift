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
  /// False; the head has weights of its own.
  public var tieWordEmbeddings = false
  /// Attention.
  public var attnConfig = Attention()
  /// Experts.
  public var ffnConfig = Experts()
  /// Rotary settings as newer files have them; ``Attention/ropeTheta`` goes first.
  public var ropeParameters: RotarySettings?
  /// Whether training adds the loss that keeps routers in balance.
  public var outputRouterLogits = false

  /// A token sees at most this many tokens, itself included; all when nil.
  public var slidingWindow: Int?
  /// The coefficient of the squared log-sums of the router's logits; counts where the balance does.
  public var routerZLossCoef: Float = 0
  /// How the balance is measured: `pooled` over layers as the authors' library has it, or `per_layer`.
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
    public var moeNormalizeExpertWeights = GateNorm.order(1)
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
    try require(vocabSize > 0, "vocab_size", vocabSize, "it must be at least 1")
    try require(dModel > 0 && dModel <= 65536, "d_model", dModel, "it must be in 1...65536")
    try require(nLayers > 0 && nLayers <= 1024, "n_layers", nLayers, "it must be in 1...1024")
    try require(maxSeqLen > 0, "max_seq_len", maxSeqLen, "it must be at least 1")
    try require(
      nHeads > 0 && dModel % nHeads == 0, "n_heads", nHeads,
      "it must divide d_model, which is \(dModel)")
    try require(
      headSize <= 256 && headSize % 2 == 0, "n_heads", nHeads,
      "a head must have an even number of features, up to 256")
    try require(
      attention.kvNHeads > 0 && nHeads % attention.kvNHeads == 0, "attn_config.kv_n_heads",
      attention.kvNHeads, "it must divide n_heads, which is \(nHeads)")
    if let clip = attention.clipQkv {
      try require(clip > 0, "attn_config.clip_qkv", clip, "it must be above 0")
    }
    try ropeParameters?.validate()
    try require(theta > 0, "attn_config.rope_theta", theta, "it must be above 0")
    try require(
      experts.ffnHiddenSize > 0 && experts.ffnHiddenSize <= 1_048_576,
      "ffn_config.ffn_hidden_size", experts.ffnHiddenSize, "it must be in 1...1048576")
    try requireExperts(
      experts.moeNumExperts, named: "ffn_config.moe_num_experts", perToken: experts.moeTopK,
      named: "ffn_config.moe_top_k")
    try require(
      experts.ffnActFn.name == "silu", "ffn_config.ffn_act_fn", experts.ffnActFn.name,
      "experts know silu only")
    try require(
      (experts.moeJitterEps ?? 0) == 0, "ffn_config.moe_jitter_eps", experts.moeJitterEps ?? 0,
      "noise on the router's input is not supported, so it must be 0")
    if case .order(let order) = experts.moeNormalizeExpertWeights {
      try require(
        order > 0 && order.isFinite, "ffn_config.moe_normalize_expert_weights", order,
        "it must be above 0 and finite, or null")
    }
    try require(
      !tieWordEmbeddings, "tie_word_embeddings", tieWordEmbeddings, "DBRX's head is not tied")
    if let slidingWindow {
      try require(slidingWindow > 0, "sliding_window", slidingWindow, "it must be at least 1")
    }
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

/// The order of a norm, or none.
public enum GateNorm: Sendable, Hashable {
  case none
  case order(Float)

  var value: Float? {
    switch self {
    case .none: nil
    case .order(let order): order
    }
  }
}

extension GateNorm: Codable {
  /// Reads a number or null.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    self = container.decodeNil() ? .none : .order(try container.decode(Float.self))
  }

  /// Writes the number or null.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .none: try container.encodeNil()
    case .order(let order): try container.encode(order)
    }
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
            perToken: experts.moeTopK, rule: .dbrx(norm: experts.moeNormalizeExpertWeights.value),
            names: ExpertNames(
              router: "router.layer", experts: "experts.mlp", gate: "w1", up: "v1", down: "w2",
              isFused: true),
            start: start, in: scope["ffn"]))
      }, norm: try LayerNorm(width, bias: false, in: scope["norm_f"]), routerLoss: config.losses)
  }
}

extension Architecture {
  /// ``DBRX`` in the registry.
  static let dbrx = Architecture(
    name: "dbrx",
    summary: "Decoder with fine-grained experts: sixteen small ones, four for each token",
    paper: "Databricks, 2024",
    isRecurrent: false, backbonePath: "transformer", config: DBRXConfig.self,
    make: { try DBRX($0, in: $1) },
    sized: { size in
      let attention: [String: any Sendable] = ["kv_n_heads": size.heads, "rope_theta": 10000.0]
      let experts: [String: any Sendable] = [
        "ffn_hidden_size": size.expertSize(perToken: 4), "moe_num_experts": 16, "moe_top_k": 4,
        "moe_loss_weight": 0.01,
      ]
      return [
        "d_model": size.width, "n_layers": size.layers, "n_heads": size.heads,
        "max_seq_len": 2 * size.context, "sliding_window": size.context,
        "vocab_size": size.vocabulary, "attn_config": attention, "ffn_config": experts,
        "output_router_logits": true, "router_z_loss_coef": 0.001, "router_balance": "per_layer",
      ]
    },
    language: { config in
      LanguageLayout(
        vocabulary: config.vocabSize, context: config.maxSeqLen, embeddingName: "wte",
        isTied: false, ignoredSuffixes: [".rotary_emb.inv_freq"])
    })
}
