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

  var losses: RouterLossOptions {
    guard outputRouterLogits else { return RouterLossOptions(balance: 0) }
    return RouterLossOptions(balance: routerAuxLossCoef, z: routerZLossCoef, form: routerBalance)
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

/// Rotary positions that pair feature i of a head with feature i + K/2, K being the head's size.
///
/// - Parameters:
///   - context: The most tokens; sequences past what the table covers get one of their own.
///   - headSize: K.
///   - theta: Base of the frequencies.
/// - Returns: The table of the first positions.
func halfSplitRotary(context: Int, headSize: Int, theta: Double) -> RotaryTable {
  let frequencies = (0..<headSize / 2).map { pow(theta, -2 * Double($0) / Double(headSize)) }
  return RotaryTable(positions: min(context, 2048), frequencies: frequencies)
}

/// Mixtral: a decoder with grouped attention whose feed-forwards are experts, two of eight for each
/// token.
///
/// Jiang et al., 2024, *Mixtral of Experts*, arXiv:2401.04088. Shapes: B batch, T time, D width,
/// X experts, k experts of a token, F features inside an expert.
public struct Mixtral: RoutingBackbone {
  /// The hyperparameters.
  public let config: MixtralConfig
  let rotary: RotaryTable
  let layers: [Block]
  let norm: RMSNorm

  /// Creates the backbone with weights from `scope`.
  public init(_ config: MixtralConfig, in scope: Scope) throws {
    self.config = config
    rotary = halfSplitRotary(
      context: config.maxPositionEmbeddings, headSize: config.headSize, theta: config.theta)
    layers = try (0..<config.numHiddenLayers).map { try Block(config, in: scope["layers"][$0]) }
    norm = try RMSNorm(config.hiddenSize, epsilon: config.rmsNormEps, in: scope["norm"])
  }

  public var width: Int { config.hiddenSize }

  /// Maps `[B, T, D]` to `[B, T, D]`.
  public func output(_ x: Tensor) -> BackboneOutput {
    let rotary = rotary.covering(0..<x.shape[1])
    let (hidden, logits) = routedBlocks(x, layers) { layer, x in layer(x, rotary: rotary) }
    return BackboneOutput(
      hidden: norm(hidden),
      auxiliaryLoss: config.losses(logits, perToken: config.numExpertsPerTok))
  }

  public func routes(_ x: Tensor) -> [ExpertRoutes] {
    let rotary = rotary.covering(0..<x.shape[1])
    return collectedRoutes(x, layers) { layer, x in layer(x, rotary: rotary) }
  }

  public func initialState(batch: Int) -> BackboneState {
    BackboneState(layers: layers.map { _ in .attention(AttentionState()) })
  }

  /// Continues sequences by T tokens from `state`.
  public func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor {
    withoutGradient {
      let rotary = rotary.covering(state.position..<state.position + x.shape[1])
      return norm(state.advance(x, through: layers) { $0($1, rotary: rotary, state: &$2) })
    }
  }
}

extension Mixtral {
  /// `x + attention(norm(x))`, then `x + experts(norm(x))`.
  struct Block {
    let attentionNorm: RMSNorm
    let attention: GroupedAttention
    let expertNorm: RMSNorm
    let experts: MixtureOfExperts

    init(_ config: MixtralConfig, in scope: Scope) throws {
      let (width, epsilon) = (config.hiddenSize, config.rmsNormEps)
      let start = Initialization.normal(deviation: config.initializerRange)
      attentionNorm = try RMSNorm(width, epsilon: epsilon, in: scope["input_layernorm"])
      attention = try GroupedAttention(
        width, layout: config.attention, start: start, in: scope["self_attn"])
      expertNorm = try RMSNorm(width, epsilon: epsilon, in: scope["post_attention_layernorm"])
      experts = try MixtureOfExperts(
        width: width, hiddenSize: config.intermediateSize, experts: config.numLocalExperts,
        perToken: config.numExpertsPerTok, rule: .mixtral,
        names: ExpertNames(router: "gate", gate: "w1", up: "w3", down: "w2"), start: start,
        in: scope["block_sparse_moe"])
    }

    func callAsFunction(_ x: Tensor, rotary: RotaryTable) -> RoutedOutput {
      routed(x + attention(attentionNorm(x), rotary: rotary))
    }

    func callAsFunction(_ x: Tensor, rotary: RotaryTable, state: inout MixerState) -> Tensor {
      routed(x + attention(attentionNorm(x), rotary: rotary, state: &state)).hidden
    }

    private func routed(_ x: Tensor) -> RoutedOutput {
      var output = experts(expertNorm(x))
      output.hidden = x + output.hidden
      return output
    }
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
