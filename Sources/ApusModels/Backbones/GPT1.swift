public import ApusNN
public import ApusTensor

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
  /// A token sees at most this many tokens, itself included; all when nil.
  public var slidingWindow: Int?

  /// All defaults.
  public init() {}

  public func validate() throws {
    try require(vocabSize > 0, "vocab_size", vocabSize, "it must be at least 1")
    try require(
      nPositions > 0 && nPositions <= 1 << 20, "n_positions", nPositions, "it must be in 1...2²⁰")
    try require(nEmbd > 0 && nEmbd <= 65536, "n_embd", nEmbd, "it must be in 1...65536")
    try require(nLayer > 0 && nLayer <= 1024, "n_layer", nLayer, "it must be in 1...1024")
    try require(
      nHead > 0 && nEmbd % nHead == 0, "n_head", nHead, "it must divide n_embd, which is \(nEmbd)")
    try require(nEmbd / nHead <= 256, "n_head", nHead, "a head may have at most 256 features")
    try require(activation != nil, "afn", afn, "it must be gelu, relu, silu or swish")
    try require(
      layerNormEpsilon > 0, "layer_norm_epsilon", layerNormEpsilon, "it must be above 0")
    try require(
      ["learned", "rotary"].contains(positionEmbedding), "position_embedding", positionEmbedding,
      "it must be learned or rotary")
    try require(
      positionEmbedding == "learned" || (nEmbd / nHead) % 2 == 0, "n_head", nHead,
      "rotary positions need an even head size")
    if let slidingWindow {
      try require(slidingWindow > 0, "sliding_window", slidingWindow, "it must be at least 1")
    }
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
public struct GPT1: Backbone {
  /// The hyperparameters.
  public let config: GPT1Config
  let positions: Parameter?
  let rotary: RotaryPositions?
  let blocks: [Block]

  /// Creates the backbone with weights from `scope`.
  public init(_ config: GPT1Config, in scope: Scope) throws {
    self.config = config
    let isLearned = config.positionEmbedding == "learned"
    positions =
      isLearned
      ? try scope["positions_embed"].parameter(
        "weight", [config.nPositions, config.nEmbd], .normal(deviation: config.initializerRange))
      : nil
    rotary =
      isLearned
      ? nil
      : try RotaryPositions(
        nil, theta: 10000, headSize: config.nEmbd / config.nHead, context: config.nPositions)
    blocks = try (0..<config.nLayer).map { try Block(config, in: scope["h"][$0]) }
  }

  public var width: Int { config.nEmbd }

  /// Maps `[B, T, D]` to `[B, T, D]`.
  public func output(_ x: Tensor) -> BackboneOutput {
    let table = rotary?.table(for: 0..<x.shape[1])
    var x = placed(x, from: 0)
    for block in blocks { x = x.modelBlock { block($0, rotary: table) } }
    return BackboneOutput(hidden: x)
  }

  public func initialState(batch: Int) -> BackboneState {
    BackboneState(layers: blocks.map { _ in .attention(AttentionState()) })
  }

  /// Continues sequences by T tokens from `state`.
  public func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor {
    withoutGradient {
      let table = rotary?.table(for: state.position..<state.position + x.shape[1])
      let x = placed(x, from: state.position)
      return state.advance(x, through: blocks) { $0($1, rotary: table, state: &$2) }
    }
  }

  /// `x` with the embeddings of positions `start...` added.
  private func placed(_ x: Tensor, from start: Int) -> Tensor {
    guard let table = positions?.value else { return x }
    let time = x.shape[1]
    precondition(
      start + time <= config.nPositions,
      "GPT1: \(start + time) tokens, but n_positions is \(config.nPositions)")
    let rows = table.reshaped([1, config.nPositions, config.nEmbd])
    return x + rows[times: start..<start + time]
  }
}

extension GPT1 {
  /// `n = norm(x + attention(x))`, then `norm(n + feedForward(n))`.
  struct Block {
    let attention: SelfAttention
    let attentionNorm: LayerNorm
    let feedForward: FeedForward
    let feedForwardNorm: LayerNorm

    init(_ config: GPT1Config, in scope: Scope) throws {
      attention = try SelfAttention(config, in: scope["attn"])
      attentionNorm = try LayerNorm(
        config.nEmbd, epsilon: config.layerNormEpsilon, in: scope["ln_1"])
      feedForward = try FeedForward(config, in: scope["mlp"])
      feedForwardNorm = try LayerNorm(
        config.nEmbd, epsilon: config.layerNormEpsilon, in: scope["ln_2"])
    }

    func callAsFunction(_ x: Tensor, rotary: RotaryTable?) -> Tensor {
      let n = attentionNorm(x + attention(x, rotary: rotary))
      return feedForwardNorm(n + feedForward(n))
    }

    func callAsFunction(_ x: Tensor, rotary: RotaryTable?, state: inout MixerState) -> Tensor {
      let n = attentionNorm(x + attention(x, rotary: rotary, state: &state))
      return feedForwardNorm(n + feedForward(n))
    }
  }

  /// Attention with its projections; queries, keys and values come from one product.
  struct SelfAttention {
    let layout: AttentionLayout
    let input: Linear
    let output: Linear

    init(_ config: GPT1Config, in scope: Scope) throws {
      let width = config.nEmbd
      let start = Initialization.normal(deviation: config.initializerRange)
      layout = AttentionLayout(
        heads: config.nHead, headSize: width / config.nHead, window: config.slidingWindow)
      input = try Linear(
        width, 3 * width, start: start, inputsFirst: true, in: scope["c_attn"])
      output = try Linear(width, width, start: start, inputsFirst: true, in: scope["c_proj"])
    }

    func callAsFunction(_ x: Tensor, rotary: RotaryTable?) -> Tensor {
      output(input(x).attention(layout: layout, rotary: rotary))
    }

    func callAsFunction(_ x: Tensor, rotary: RotaryTable?, state: inout MixerState) -> Tensor {
      output(input(x).attention(layout: layout, rotary: rotary, state: &state))
    }
  }

  /// Two maps with an activation between them.
  struct FeedForward {
    let activation: Activation
    let input: Linear
    let output: Linear

    init(_ config: GPT1Config, in scope: Scope) throws {
      let (width, start) = (config.nEmbd, Initialization.normal(deviation: config.initializerRange))
      activation = config.activation ?? .geluTanh
      input = try Linear(width, 4 * width, start: start, inputsFirst: true, in: scope["c_fc"])
      output = try Linear(4 * width, width, start: start, inputsFirst: true, in: scope["c_proj"])
    }

    func callAsFunction(_ x: Tensor) -> Tensor { output(activation(input(x))) }
  }
}

extension Architecture {
  /// ``GPT1`` in the registry.
  static let gpt1 = Architecture(
    name: "gpt1", summary: "The first GPT: normalization after each branch, none at the end",
    paper: "Radford et al., 2018, Improving Language Understanding by Generative Pre-Training",
    isRecurrent: false, backbonePath: "transformer", config: GPT1Config.self,
    make: { try GPT1($0, in: $1) },
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
        context: config.positionEmbedding == "learned" ? config.nPositions : nil,
        embeddingName: "tokens_embed", isTied: config.tieWordEmbeddings,
        ignoredSuffixes: [".attn.bias", ".attn.masked_bias"])
    })
}
