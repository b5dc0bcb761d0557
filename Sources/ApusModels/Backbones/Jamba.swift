public import ApusNN
public import ApusTensor

/// The hyperparameters of ``Jamba``, under their published keys. The defaults are those of the first
/// release; the last group goes beyond it.
public struct JambaConfig: ModelConfig {
  public static let modelType = "jamba"
  /// Token ids, V.
  public var vocabSize = 65536
  /// Width of the residual stream, D.
  public var hiddenSize = 4096
  /// Features inside a feed-forward, dense or expert, F.
  public var intermediateSize = 14336
  /// Layers.
  public var numHiddenLayers = 32
  /// Query heads, H; divides the width.
  public var numAttentionHeads = 32
  /// Key-value heads; divides the query heads.
  public var numKeyValueHeads = 8
  /// `silu`; nothing else is known to work.
  public var hiddenAct = "silu"
  /// Deviation of the weights' start; the state spaces start as Mamba's do.
  public var initializerRange: Float = 0.02
  /// Added to the mean square in every normalization.
  public var rmsNormEps: Float = 1e-6
  /// The most tokens a sequence may have. There are no positions to embed.
  public var maxPositionEmbeddings = 262_144
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = false
  /// Experts of a layer that has any, X; with 1 every feed-forward is dense.
  public var numExperts = 16
  /// Experts of a token, k.
  public var numExpertsPerTok = 2
  /// One layer in this many has experts; the others are dense.
  public var expertLayerPeriod = 2
  /// The layer of each period, from 0.
  public var expertLayerOffset = 1
  /// One layer in this many mixes by attention; the others by a selective state space.
  public var attnLayerPeriod = 8
  /// The layer of each period, from 0.
  public var attnLayerOffset = 4
  /// States of each channel, N.
  public var mambaDState = 16
  /// Taps of the causal convolution, K.
  public var mambaDConv = 4
  /// Inner channels per feature: E = expand · D.
  public var mambaExpand = 2
  /// Rank R of the step sizes: a number, or `"auto"` for ⌈D / 16⌉.
  public var mambaDtRank = TimeStepRank.auto
  /// Whether the convolution has a bias.
  public var mambaConvBias = true
  /// Whether the projections around the state space have biases.
  public var mambaProjBias = false
  /// Whether training adds the loss that keeps routers in balance.
  public var outputRouterLogits = false
  /// The coefficient of the balance.
  public var routerAuxLossCoef: Float = 0.001

  /// The window of attention, the token itself included; unlimited when nil.
  public var slidingWindow: Int?
  /// The coefficient of the squared log-sums of the router's logits; counts where the balance does.
  public var routerZLossCoef: Float = 0
  /// The scope of the balance: `pooled` over layers as the authors' library has it, or `per_layer`.
  public var routerBalance = BalanceForm.pooled

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("hidden_size", hiddenSize, SizeLimit.width),
      ("intermediate_size", intermediateSize, SizeLimit.inner),
      ("max_position_embeddings", maxPositionEmbeddings, SizeLimit.tokens),
      ("sliding_window", slidingWindow, SizeLimit.tokens))
    try requireHeads("num_attention_heads", numAttentionHeads, of: ("hidden_size", hiddenSize))
    try requireGroups(
      "num_key_value_heads", numKeyValueHeads, of: ("num_attention_heads", numAttentionHeads))
    try requirePositive(("rms_norm_eps", rmsNormEps))
    try requireNotNegative(
      ("initializer_range", initializerRange), ("router_aux_loss_coef", routerAuxLossCoef),
      ("router_z_loss_coef", routerZLossCoef))
    try requireExperts(
      numExperts, named: "num_experts", perToken: numExperts == 1 ? 1 : numExpertsPerTok,
      named: "num_experts_per_tok")
    for (period, offset, name) in [
      (expertLayerPeriod, expertLayerOffset, "expert_layer"),
      (attnLayerPeriod, attnLayerOffset, "attn_layer"),
    ] {
      try requireSizes(("\(name)_period", period, SizeLimit.tokens))
      try require(
        (0..<period).contains(offset), "\(name)_offset", offset,
        "it must be at least 0 and below \(name)_period, which is \(period)")
    }
    do {
      try mamba.validate()
    } catch let error as ConfigError {
      throw renamed(error)
    }
  }

  /// Mamba's complaint about a key of its own, under the key that it has here.
  private func renamed(_ error: ConfigError) -> ConfigError {
    guard case .invalid(let key, let value, let rule) = error else { return error }
    let names = [
      "state_size": "mamba_d_state", "conv_kernel": "mamba_d_conv", "expand": "mamba_expand",
      "time_step_rank": "mamba_dt_rank",
    ]
    return .invalid(key: names[key] ?? key, value: value, rule: rule)
  }

  /// Whether layer `layer` mixes by attention.
  func hasAttention(inLayer layer: Int) -> Bool { layer % attnLayerPeriod == attnLayerOffset }

  /// Whether the feed-forward of layer `layer` is routed.
  func hasExperts(inLayer layer: Int) -> Bool {
    numExperts > 1 && layer % expertLayerPeriod == expertLayerOffset
  }

  var attention: AttentionLayout {
    AttentionLayout(
      heads: numAttentionHeads, keyValueHeads: numKeyValueHeads,
      headSize: hiddenSize / numAttentionHeads, window: slidingWindow)
  }

  /// The state spaces, in Mamba's words.
  var mamba: MambaConfig {
    var config = MambaConfig()
    (config.hiddenSize, config.numHiddenLayers) = (hiddenSize, numHiddenLayers)
    (config.stateSize, config.convKernel, config.expand) = (mambaDState, mambaDConv, mambaExpand)
    (config.timeStepRank, config.hiddenAct) = (mambaDtRank, hiddenAct)
    (config.useBias, config.useConvBias) = (mambaProjBias, mambaConvBias)
    return config
  }

  var losses: RouterLossOptions? {
    guard outputRouterLogits else { return nil }
    return RouterLossOptions(
      perToken: numExpertsPerTok, balance: routerAuxLossCoef, z: routerZLossCoef,
      form: routerBalance)
  }
}

/// Jamba: attention and selective state spaces in turn, dense and expert feed-forwards in turn, and no
/// positions of any kind.
///
/// Lieber et al., 2024, *Jamba: A Hybrid Transformer-Mamba Language Model*, arXiv:2403.19887. Shapes:
/// B batch, T time, D width, X experts, k experts of a token, F features inside a feed-forward.
public struct Jamba: DecoderBackbone, RoutingBackbone {
  /// The hyperparameters.
  public let config: JambaConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: JambaConfig, in scope: Scope) throws {
    self.config = config
    let (width, inner) = (config.hiddenSize, config.intermediateSize)
    let start = Initialization.normal(deviation: config.initializerRange)
    func norm(_ scope: Scope) throws -> RMSNorm {
      try RMSNorm(width, epsilon: config.rmsNormEps, in: scope)
    }
    func mixer(_ layer: Int, in scope: Scope) throws -> any SequenceMixer {
      config.hasAttention(inLayer: layer)
        ? try Attention(
          width, layout: config.attention, rotary: nil, start: start, in: scope["self_attn"])
        : try Mamba.Mixer(
          config.mamba, innerNormEpsilon: config.rmsNormEps, in: scope["mamba"])
    }
    func feedForward(_ layer: Int, in scope: Scope) throws -> any FeedForward {
      config.hasExperts(inLayer: layer)
        ? try MixtureOfExperts(
          width: width, hiddenSize: inner, experts: config.numExperts,
          perToken: config.numExpertsPerTok, rule: .jamba,
          names: ExpertNames(
            router: "router", gate: "gate_proj", up: "up_proj", down: "down_proj"),
          start: start, in: scope)
        : try GatedFeedForward(width, inner: inner, start: start, in: scope)
    }
    stack = DecoderStack(
      width: width,
      blocks: try (0..<config.numHiddenLayers).map { layer in
        let scope = scope["layers"][layer]
        return .preNorm(
          try norm(scope["input_layernorm"]), try mixer(layer, in: scope),
          try norm(scope["pre_ff_layernorm"]), try feedForward(layer, in: scope["feed_forward"]))
      }, norm: try norm(scope["final_layernorm"]), routerLoss: config.losses)
  }
}

extension JambaConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  public var facts: ModelFacts {
    let state = mamba.mixerFacts + .vectors(mamba.rank + 2 * mambaDState)
    let attention = LayerFacts.attention(hiddenSize, attention)
    let dense = LayerFacts.feedForward(hiddenSize, inner: intermediateSize, isGated: true)
    let experts = LayerFacts.experts(
      numExperts, perToken: numExpertsPerTok, width: hiddenSize, inner: intermediateSize)
    let total = (0..<numHiddenLayers).reduce(LayerFacts.vectors(hiddenSize)) {
      $0 + (hasAttention(inLayer: $1) ? attention : state)
        + (hasExperts(inLayer: $1) ? experts : dense) + .vectors(2 * hiddenSize)
    }
    return ModelFacts(self, transformersClass: "JambaForCausalLM", total: total)
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, context: maxPositionEmbeddings, backbonePath: "model",
      embeddingName: "embed_tokens", isTied: tieWordEmbeddings)
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try Jamba(self, in: scope) }

  /// The library keeps the experts of a layer in two tensors, and so may newer files.
  public func adapted(_ tensors: [String: Tensor]) throws -> [String: Tensor] {
    try splitExperts(
      tensors, from: "", to: "", experts: numExperts, names: ["gate_proj", "up_proj", "down_proj"])
  }
}

extension Architecture {
  /// ``Jamba`` in the registry.
  static let jamba = Architecture(
    name: "jamba",
    summary: "Hybrid of attention and selective state spaces, with experts in every second layer",
    paper: "Lieber et al., 2024, arXiv:2403.19887", isRecurrent: false
  ) { size in
    var config = JambaConfig()
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    (config.numAttentionHeads, config.numKeyValueHeads) = (size.heads, size.heads)
    (config.vocabSize, config.numExperts) = (size.vocabulary, 8)
    config.intermediateSize = size.expertSize(perToken: 2)
    // One layer of attention in eight, and at least one.
    config.attnLayerPeriod = min(8, size.layers)
    config.attnLayerOffset = config.attnLayerPeriod / 2
    (config.maxPositionEmbeddings, config.slidingWindow) = (2 * size.context, size.context)
    (config.outputRouterLogits, config.routerBalance) = (true, .perLayer)
    (config.routerAuxLossCoef, config.routerZLossCoef) = (0.01, 0.001)
    return config
  }
}
