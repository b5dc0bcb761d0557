import ApusNN
import ApusTensor
import Foundation

/// The keys that Performer, Skyformer and the linear transformer share: those of a pre-norm
/// transformer. What they mix tokens by stands in their own files.
protocol PreNormConfig: ModelConfig {
  var vocabSize: Int { get }
  var hiddenSize: Int { get }
  var numHiddenLayers: Int { get }
  var numAttentionHeads: Int { get }
  var intermediateSize: Int? { get }
  var hiddenAct: String { get }
  var layerNormEps: Float { get }
  var maxPositionEmbeddings: Int { get }
  var positionEmbeddingType: String { get }
  var ropeTheta: Double { get }
  var initializerRange: Float { get }
  var tieWordEmbeddings: Bool { get }
}

extension PreNormConfig {
  /// K.
  var headSize: Int { hiddenSize / numAttentionHeads }

  /// Checks the shared keys.
  func validateStack() throws {
    try require(vocabSize > 0, "vocab_size", vocabSize, "it must be at least 1")
    try require(
      hiddenSize > 0 && hiddenSize <= 65536, "hidden_size", hiddenSize, "it must be in 1...65536")
    try require(
      numHiddenLayers > 0 && numHiddenLayers <= 1024, "num_hidden_layers", numHiddenLayers,
      "it must be in 1...1024")
    try require(
      numAttentionHeads > 0 && hiddenSize % numAttentionHeads == 0, "num_attention_heads",
      numAttentionHeads, "it must divide hidden_size, which is \(hiddenSize)")
    try require(
      headSize <= 256, "num_attention_heads", numAttentionHeads,
      "a head may have at most 256 features")
    if let intermediateSize {
      try require(
        intermediateSize > 0 && intermediateSize <= 262144, "intermediate_size", intermediateSize,
        "it must be in 1...262144")
    }
    try require(
      Activation(rawValue: hiddenAct) != nil, "hidden_act", hiddenAct,
      "it must be one of \(Activation.allCases.map(\.rawValue).joined(separator: ", "))")
    try require(layerNormEps > 0, "layer_norm_eps", layerNormEps, "it must be above 0")
    try require(
      maxPositionEmbeddings > 0 && maxPositionEmbeddings <= 1 << 24, "max_position_embeddings",
      maxPositionEmbeddings, "it must be in 1...16777216")
    try require(
      ["learned", "sinusoidal", "rotary", "none"].contains(positionEmbeddingType),
      "position_embedding_type", positionEmbeddingType,
      "it must be learned, sinusoidal, rotary or none")
    try require(
      positionEmbeddingType != "rotary" || headSize % 2 == 0, "num_attention_heads",
      numAttentionHeads, "rotary positions need an even head size")
    try require(
      ropeTheta.isFinite && ropeTheta > 0, "rope_theta", ropeTheta, "it must be above 0")
    try require(
      initializerRange >= 0, "initializer_range", initializerRange, "it must not be negative")
  }

  /// How a language model stands around the stack.
  var languageLayout: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize,
      context: positionEmbeddingType == "learned" ? maxPositionEmbeddings : nil,
      embeddingName: "embeddings", isTied: tieWordEmbeddings)
  }

  /// Projections into the residual stream start smaller by √(2 · blocks), as GPT-2 has it.
  var residualStart: Initialization {
    .normal(deviation: initializerRange / Float(2 * numHiddenLayers).squareRoot())
  }
}

/// What a ``PreNormStack`` mixes tokens by.
protocol SequenceMixer {
  /// Maps whole sequences, `[B, T, D]`, differentiably.
  func callAsFunction(_ x: Tensor) -> Tensor
  /// Continues sequences by T tokens.
  func callAsFunction(_ x: Tensor, state: inout MixerState) -> Tensor
  /// The state before the first token.
  func initialState(batch: Int) -> MixerState
}

/// A pre-norm transformer: mixer and feed-forward in turn, each on a normalized residual stream.
struct PreNormStack<Mixer: SequenceMixer> {
  let positions: Positions
  let blocks: [Block]
  let norm: LayerNorm

  /// Creates the stack; `mixer` makes the mixer of a layer from its scope.
  init(
    _ config: some PreNormConfig, in scope: Scope, mixer: (Scope) throws -> Mixer
  ) throws {
    positions = try Positions(config, in: scope)
    blocks = try (0..<config.numHiddenLayers).map { layer in
      try Block(config, in: scope["layers"][layer], mixer: mixer)
    }
    norm = try LayerNorm(config.hiddenSize, epsilon: config.layerNormEps, in: scope["norm"])
  }

  func output(_ x: Tensor) -> BackboneOutput {
    var x = positions(x, from: 0)
    for block in blocks { x = x.modelBlock { block($0) } }
    return BackboneOutput(hidden: norm(x))
  }

  func initialState(batch: Int) -> BackboneState {
    BackboneState(layers: blocks.map { $0.mixer.initialState(batch: batch) })
  }

  func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor {
    withoutGradient {
      let x = positions(x, from: state.position)
      return norm(state.advance(x, through: blocks) { $0($1, state: &$2) })
    }
  }

  /// `x + mixer(norm(x))`, then `x + feedForward(norm(x))`.
  struct Block {
    let mixerNorm: LayerNorm
    let mixer: Mixer
    let feedForwardNorm: LayerNorm
    let input: Linear
    let output: Linear
    let activation: Activation

    init(
      _ config: some PreNormConfig, in scope: Scope, mixer: (Scope) throws -> Mixer
    ) throws {
      let (width, inner) = (config.hiddenSize, config.intermediateSize ?? 4 * config.hiddenSize)
      mixerNorm = try LayerNorm(width, epsilon: config.layerNormEps, in: scope["attention_norm"])
      self.mixer = try mixer(scope["attention"])
      feedForwardNorm = try LayerNorm(
        width, epsilon: config.layerNormEps, in: scope["feed_forward_norm"])
      let feedForward = scope["feed_forward"]
      input = try Linear(
        width, inner, start: .normal(deviation: config.initializerRange), in: feedForward["input"])
      output = try Linear(inner, width, start: config.residualStart, in: feedForward["output"])
      activation = Activation(rawValue: config.hiddenAct) ?? .geluTanh
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
      let x = x + mixer(mixerNorm(x))
      return x + output(activation(input(feedForwardNorm(x))))
    }

    func callAsFunction(_ x: Tensor, state: inout MixerState) -> Tensor {
      let x = x + mixer(mixerNorm(x), state: &state)
      return x + output(activation(input(feedForwardNorm(x))))
    }
  }
}

/// Positions that are added to the tokens. Rotary ones belong to the mixers and add nothing here.
enum Positions {
  case none
  /// `[positions, D]`.
  case learned(Parameter)
  /// `sin(t / 10000^(2i/D))` in even features, the cosine in odd ones; the first rows are kept.
  case sinusoidal(Tensor)

  init(_ config: some PreNormConfig, in scope: Scope) throws {
    let (count, width) = (config.maxPositionEmbeddings, config.hiddenSize)
    switch config.positionEmbeddingType {
    case "learned":
      self = .learned(
        try scope["position_embeddings"].parameter(
          "weight", [count, width], .normal(deviation: config.initializerRange)))
    case "sinusoidal":
      self = .sinusoidal(Self.sinusoids(0..<min(count, 4096), width: width))
    default: self = .none
    }
  }

  /// `x`, `[B, T, D]`, with the vectors of positions `start...` added.
  func callAsFunction(_ x: Tensor, from start: Int) -> Tensor {
    let (time, width) = (x.shape[1], x.shape[2])
    func rows(_ table: Tensor) -> Tensor {
      table.reshaped([1, table.shape[0], width])[times: start..<start + time]
    }
    switch self {
    case .none: return x
    case .learned(let table):
      precondition(
        start + time <= table.shape[0],
        "\(start + time) tokens, but max_position_embeddings is \(table.shape[0])")
      return x + rows(table.value)
    case .sinusoidal(let table):
      // A stream is unlimited: what lies past the table is computed.
      return x
        + (start + time <= table.shape[0]
          ? rows(table) : Self.sinusoids(start..<start + time, width: width))
    }
  }

  private static func sinusoids(_ places: Range<Int>, width: Int) -> Tensor {
    let frequencies = (0..<width).map { pow(10000, -Double($0 / 2 * 2) / Double(width)) }
    let values = places.flatMap { place in
      frequencies.enumerated().map { feature, frequency in
        let angle = Double(place) * frequency
        return Float(feature % 2 == 0 ? sin(angle) : cos(angle))
      }
    }
    return Tensor(values, [places.count, width])
  }
}

/// Projections around feature attention, and positions turned into queries and keys.
struct FeatureProjections {
  let layout: FeatureLayout
  let rotary: RotaryTable?
  let input: Linear
  let output: Linear

  init(
    _ config: some PreNormConfig, layout: FeatureLayout, start: Initialization? = nil,
    in scope: Scope
  ) throws {
    self.layout = layout
    let size = config.headSize
    rotary =
      config.positionEmbeddingType == "rotary"
      ? RotaryTable(
        positions: min(config.maxPositionEmbeddings, 4096),
        frequencies: (0..<size / 2).map {
          pow(config.ropeTheta, -2 * Double($0) / Double(size))
        }) : nil
    input = try Linear(
      config.hiddenSize, layout.fusedSize,
      start: start ?? .normal(deviation: config.initializerRange), in: scope["input"])
    output = try Linear(
      config.hiddenSize, config.hiddenSize, start: config.residualStart, in: scope["output"])
  }

  /// Queries, keys and values, `[B, T, 3 · D]`, of tokens from position `start` on.
  func fused(_ x: Tensor, from start: Int = 0) -> Tensor {
    let rows = input(x)
    guard let rotary else { return rows }
    return rows.rotated(heads: 2 * layout.heads, headSize: layout.headSize, by: rotary, from: start)
  }

  /// Mixes whole sequences.
  func callAsFunction(_ x: Tensor, weights: Tensor? = nil, mixing: Tensor? = nil) -> Tensor {
    output(fused(x).featureAttention(layout: layout, weights: weights, mixing: mixing))
  }

  /// Continues sequences from `state`.
  func callAsFunction(_ x: Tensor, state: inout MixerState, weights: Tensor? = nil) -> Tensor {
    guard case .features(var own) = state else {
      preconditionFailure("Feature attention: the state belongs to another architecture")
    }
    state = .none  // leaves the sums uniquely owned, to change in place
    let mixed = own.attend(fused(x, from: own.position), layout: layout, weights: weights)
    state = .features(own)
    return output(mixed)
  }
}
