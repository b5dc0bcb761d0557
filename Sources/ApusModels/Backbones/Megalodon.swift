import Foundation
public import ApusNN
public import ApusTensor

/// The hyperparameters of ``Megalodon``, under the keys of the authors' program and with its
/// defaults, except for the vocabulary, which is that of the paper's models.
public struct MegalodonConfig: ModelConfig {
  public static let modelType = "megalodon"
  /// Token ids, V.
  public var vocabSize = 32000
  /// Blocks, L.
  public var numLayers = 8
  /// Width of the residual stream, D.
  public var modelDim = 1024
  /// Features of all queries, and of all keys, S.
  public var zDim = 256
  /// Features of all values, E.
  public var valueDim = 2048
  /// Heads, H; divides S and E.
  public var numHeads = 1
  /// Width inside the feed-forward, F.
  public var ffnHiddenDim = 2048
  /// Modes of the moving average per channel, N.
  public var cemaNdim = 16
  /// Attention sees back to the start of a chunk of this many tokens, c.
  public var chunkSize = 2048
  /// Groups of the timestep normalization, G; divides D.
  public var normNumGroups = 32
  /// Whether the other normalizations have a gain, and LayerNorm an offset.
  public var normAffine = true
  /// Added to variances and mean squares.
  public var normEps: Float = 1e-5
  /// Base of the rotary frequencies; 10,000 when nil. The paper's 7B model has 100,000.
  public var ropeBase: Double?
  /// Whether the feed-forward is gated.
  public var swiglu = false
  /// Whether a learned factor per feature, which starts at 0.1 · 0.5^layer, scales the feed-forward.
  public var rescaleNffn = false
  /// Whether embedded tokens are multiplied by √D.
  public var scaleEmb = false
  /// Whether the head is the transposed embedding.
  public var shareEmb = false
  /// Start of the linear maps: `he`, `bert` or `xavier`.
  public var initMode = "he"
  /// Whether weight decay applies to every parameter, as the authors have it; the gains are stored
  /// less one, so they decay towards one. When false, it applies to linear maps alone.
  public var decayAll = true

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary), ("num_layers", numLayers, SizeLimit.layers),
      ("model_dim", modelDim, SizeLimit.width), ("z_dim", zDim, SizeLimit.width),
      ("value_dim", valueDim, 262_144), ("ffn_hidden_dim", ffnHiddenDim, SizeLimit.inner),
      ("cema_ndim", cemaNdim, 1024), ("chunk_size", chunkSize, SizeLimit.tokens))
    try require(
      numHeads > 0 && zDim % numHeads == 0 && valueDim % numHeads == 0, "num_heads", numHeads,
      "it must divide z_dim, which is \(zDim), and value_dim, which is \(valueDim)")
    try require(
      keySize % 2 == 0 && keySize <= SizeLimit.head, "z_dim", zDim,
      "a head must have an even number of features, at most 256, and has \(keySize)")
    try requireGroups("norm_num_groups", normNumGroups, of: ("model_dim", modelDim))
    try require(
      normNumGroups < modelDim, "norm_num_groups", normNumGroups,
      "a group must have two features or more: the variance of one is zero")
    try requirePositive(("norm_eps", normEps))
    if let ropeBase {
      try require(
        ropeBase > 1 && ropeBase.isFinite, "rope_base", ropeBase, "it must be above 1")
    }
    try requireWord("init_mode", initMode, ["he", "bert", "xavier"])
  }

  /// Features of a head's queries.
  var keySize: Int { zDim / numHeads }

  /// How a linear map from `inputs` to `outputs` starts.
  func start(_ inputs: Int, _ outputs: Int) -> Initialization {
    switch initMode {
    case "bert": .normal(deviation: 0.02)
    case "xavier": .uniform(bound: (6 / Float(inputs + outputs)).squareRoot())
    default: .normal(deviation: 1 / (3 * Float(inputs)).squareRoot())
    }
  }
}

/// Megalodon: a complex moving average carries the past, and gated attention looks at the present
/// chunk, so that time is linear and the state constant.
///
/// Ma et al., 2024, *Megalodon: Efficient LLM Pretraining and Inference with Unlimited Context
/// Length*, arXiv:2404.08801, with the names of the authors' program. Shapes: B batch, T time,
/// D width, N modes, G groups, H heads, S features of all queries, E of all values, F feed-forward.
public struct Megalodon: Backbone {
  /// The hyperparameters.
  public let config: MegalodonConfig
  let blocks: [Block]
  let norm: TimestepNorm

  /// Creates the backbone with weights from `scope`.
  public init(_ config: MegalodonConfig, in scope: Scope) throws {
    self.config = config
    let rotary = Self.rotary(config)
    blocks = try (0..<config.numLayers).map {
      try Block(config, layer: $0, rotary: rotary, in: scope["layers"][$0])
    }
    norm = try TimestepNorm(config, in: scope["output"]["final_norm"])
  }

  public var width: Int { config.modelDim }

  /// Maps `[B, T, D]` to `[B, T, D]`.
  public func output(_ x: Tensor) -> BackboneOutput {
    BackboneOutput(hidden: norm(blocks.reduce(x) { x, block in x.modelBlock { block($0) } }))
  }

  public func initialState(batch: Int) -> BackboneState {
    BackboneState(
      of: Self.self, batch: batch,
      layers: blocks.map { $0.mega.initialState(batch: batch) }
        + [norm.initialState(batch: batch)])
  }

  /// Continues sequences by T tokens from `state`, which does not grow.
  public func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor {
    state.advance(x, through: Self.self) { state in
      var x = x
      for (index, block) in blocks.enumerated() {
        x = state.withLayer(index) { block(x, state: &$0) }
      }
      return state.withLayer(blocks.count) { norm(x, state: &$0) }
    }
  }

  /// Angles of the pairs (2j, 2j + 1); tables for longer chunks are made when they are needed.
  private static func rotary(_ config: MegalodonConfig) -> RotaryTable {
    let (size, base) = (config.keySize, config.ropeBase ?? 10000)
    return RotaryTable(
      positions: min(config.chunkSize, 4096),
      frequencies: (0..<size / 2).map { pow(base, -2 * Double($0) / Double(size)) },
      isInterleaved: true)
  }
}

extension Megalodon {
  /// `feedForward(mega(x)) + x`: the second residual hops over both halves.
  struct Block {
    let mega: GatedAttention
    let feedForward: FeedForward

    init(_ config: MegalodonConfig, layer: Int, rotary: RotaryTable, in scope: Scope) throws {
      mega = try GatedAttention(config, rotary: rotary, in: scope["mega"])
      feedForward = try FeedForward(config, layer: layer, in: scope["nffn"])
    }

    func callAsFunction(_ x: Tensor) -> Tensor { feedForward(mega(x)) + x }

    func callAsFunction(_ x: Tensor, state: inout MegalodonState) -> Tensor {
      feedForward(mega(x, state: &state)) + x
    }
  }

  /// Attention inside chunks on the moving average, with a gate, and a path around it.
  struct GatedAttention {
    let config: MegalodonConfig
    let layout: ChunkedAttentionLayout
    let norm: TimestepNorm
    let average: MovingAverage
    let averageNorm: Norm
    let shared: Linear
    let value: Linear
    let gate: Linear
    let around: Linear
    let output: Linear
    let gain: Parameter
    let bias: Parameter

    init(_ config: MegalodonConfig, rotary: RotaryTable, in scope: Scope) throws {
      self.config = config
      layout = ChunkedAttentionLayout(
        heads: config.numHeads, keySize: config.keySize,
        valueSize: config.valueDim / config.numHeads, chunk: config.chunkSize, rotary: rotary)
      norm = try TimestepNorm(config, in: scope["timenorm"])
      average = try MovingAverage(config, in: scope["cema"])
      averageNorm = try Norm(config, centered: false, in: scope["rmsnorm"])
      let (width, keys, values) = (config.modelDim, config.zDim, config.valueDim)
      shared = try linear(config, width, keys, in: scope["wz"])
      value = try linear(config, width, values, in: scope["wv"])
      gate = try linear(config, width, values, in: scope["wr"])
      around = try linear(config, width, width, in: scope["wh1"])
      output = try linear(config, values, width, bias: false, in: scope["wh2"])
      gain = try scope.parameter("gamma", [2, keys], .zeros, isDecayed: config.decayAll)
      bias = try scope.parameter("beta", [2, keys], .zeros, isDecayed: config.decayAll)
    }

    func initialState(batch: Int) -> MegalodonState {
      MegalodonState(
        norm: norm.initialState(batch: batch),
        average: ComplexEMAState(
          batch: batch, channels: config.modelDim, modes: config.cemaNdim),
        attention: ChunkedAttentionState(batch: batch))
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
      let normal = norm(x)  // [B, T, D]
      let mean = averageNorm(normal.complexEMA(weights: average.weights))
      let attended = Tensor.chunkedAttention(
        queriesAndKeys: queriesAndKeys(mean), values: values(normal), layout: layout)
      return joined(attended, mean, x)
    }

    func callAsFunction(_ x: Tensor, state: inout MegalodonState) -> Tensor {
      let normal = norm(x, state: &state.norm)
      let mean = averageNorm(normal.complexEMA(weights: average.weights, state: &state.average))
      let attended = state.attention.attend(queriesAndKeys(mean), values(normal), layout: layout)
      return joined(attended, mean, x)
    }

    /// `[B, T, 2S]`.
    private func queriesAndKeys(_ mean: Tensor) -> Tensor {
      shared(mean).sharedQueryKey(
        gain: gain.value, bias: bias.value, heads: config.numHeads, epsilon: config.normEps)
    }

    /// `[B, T, E]`, of what the moving average has not touched.
    private func values(_ normal: Tensor) -> Tensor { Activation.silu(value(normal)) }

    private func joined(_ attended: Tensor, _ mean: Tensor, _ x: Tensor) -> Tensor {
      around(mean) + output(attended.siluGated(by: gate(mean))) + x
    }
  }

  /// Two maps with SiLU, or three with a gate, on a normalized input. The caller adds the residual.
  struct FeedForward {
    let norm: Norm
    let input: Linear
    let output: Linear
    let up: Linear?
    let scale: Parameter?

    init(_ config: MegalodonConfig, layer: Int, in scope: Scope) throws {
      let (width, inner) = (config.modelDim, config.ffnHiddenDim)
      norm = try Norm(config, centered: true, in: scope["norm"])
      input = try linear(config, width, inner, bias: false, in: scope["fc1"])
      output = try linear(config, inner, width, bias: false, in: scope["fc2"])
      up = config.swiglu ? try linear(config, width, inner, bias: false, in: scope["fc3"]) : nil
      scale =
        config.rescaleNffn
        ? try scope.parameter(
          "alpha", [width], .constant(0.1 * pow(0.5, Float(layer))), isDecayed: config.decayAll)
        : nil
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
      let x = norm(x)
      let inner = input(x)
      let y = output(up.map { $0(x).siluGated(by: inner) } ?? Activation.silu(inner))
      return scale.map { y.scaled(features: $0.value) } ?? y
    }
  }

  /// The parameters of the complex moving average.
  struct MovingAverage {
    let alpha: Parameter, delta: Parameter, theta: Parameter, gamma: Parameter, omega: Parameter

    init(_ config: MegalodonConfig, in scope: Scope) throws {
      let (width, modes, decayed) = (config.modelDim, config.cemaNdim, config.decayAll)
      alpha = try scope.parameter(
        "alpha", [width, modes, 1], .normal(deviation: 0.2), isDecayed: decayed)
      delta = try scope.parameter(
        "delta", [width, modes, 1], .normal(deviation: 0.2), isDecayed: decayed)
      theta = try scope.parameter("theta", [width, 1, 1], .angles, isDecayed: decayed)
      gamma = try scope.parameter("gamma", [width, modes, 2], .realNormal, isDecayed: decayed)
      omega = try scope.parameter(
        "omega", [width, 1], .truncatedNormal(deviation: 0.25, bound: 1), isDecayed: decayed)
    }

    var weights: ComplexEMAWeights {
      ComplexEMAWeights(
        alpha: alpha.value, delta: delta.value, theta: theta.value, gamma: gamma.value,
        omega: omega.value)
    }
  }

  /// Timestep normalization with its weights.
  struct TimestepNorm {
    let weight: Parameter
    let bias: Parameter
    let groups: Int
    let epsilon: Float

    init(_ config: MegalodonConfig, in scope: Scope) throws {
      weight = try scope.parameter(
        "weight", [config.modelDim], .zeros, isDecayed: config.decayAll)
      bias = try scope.parameter("bias", [config.modelDim], .zeros, isDecayed: config.decayAll)
      (groups, epsilon) = (config.normNumGroups, config.normEps)
    }

    func initialState(batch: Int) -> TimestepNormState {
      TimestepNormState(batch: batch, groups: groups)
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
      x.timestepNorm(weight: weight.value, bias: bias.value, groups: groups, epsilon: epsilon)
    }

    func callAsFunction(_ x: Tensor, state: inout TimestepNormState) -> Tensor {
      x.timestepNorm(
        weight: weight.value, bias: bias.value, groups: groups, epsilon: epsilon, state: &state)
    }
  }

  /// LayerNorm, or RMSNorm where not centered, with a gain that is stored less one.
  struct Norm {
    let weight: Parameter?
    let bias: Parameter?
    let ones: Tensor
    let isCentered: Bool
    let epsilon: Float

    init(_ config: MegalodonConfig, centered: Bool, in scope: Scope) throws {
      let shape: Shape = [config.modelDim]
      let hasGain = config.normAffine
      weight =
        hasGain ? try scope.parameter("weight", shape, .zeros, isDecayed: config.decayAll) : nil
      bias =
        hasGain && centered
        ? try scope.parameter("bias", shape, .zeros, isDecayed: config.decayAll) : nil
      (isCentered, epsilon) = (centered, config.normEps)
      ones = Tensor(repeating: 1, shape)
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
      let gain = weight.map { $0.value + ones } ?? ones
      return isCentered
        ? x.layerNorm(weight: gain, bias: bias?.value, epsilon: epsilon)
        : x.rmsNorm(weight: gain, epsilon: epsilon)
    }
  }
}

/// A linear map that starts as the configuration says; its bias starts at zero.
private func linear(
  _ config: MegalodonConfig, _ inputs: Int, _ outputs: Int, bias: Bool = true, in scope: Scope
) throws -> Linear {
  if bias { _ = try scope.parameter("bias", [outputs], .zeros, isDecayed: config.decayAll) }
  return try Linear(
    inputs, outputs, bias: bias, start: config.start(inputs, outputs), biasStart: .zeros, in: scope)
}

extension Initialization {
  /// Normal, cut off at ±bound.
  fileprivate static func truncatedNormal(deviation: Float, bound: Float) -> Initialization {
    .custom { shape, key in
      // Two draws: at four deviations both fall outside once in 10⁸ elements.
      let first = Tensor(normal: shape, deviation: deviation, key: key.derived(0)).values
      let second = Tensor(normal: shape, deviation: deviation, key: key.derived(1)).values
      return Tensor(
        zip(first, second).map { abs($0) <= bound ? $0 : min(max($1, -bound), bound) }, shape)
    }
  }

  /// Real parts normal, imaginary parts zero: `[D, N, 2]`.
  fileprivate static var realNormal: Initialization {
    .custom { shape, key in
      let values = Tensor(normal: shape, key: key).values
      return Tensor(values.enumerated().map { $0 % 2 == 0 ? $1 : 0 }, shape)
    }
  }

  /// The logits of exp(−j ln(D)/D), j = 1 … D, spread at random over the D channels.
  fileprivate static var angles: Initialization {
    .custom { shape, key in
      let count = shape.count
      let draws = Tensor(uniform: [count], key: key).values
      let order = (0..<count).sorted { (draws[$0], $0) < (draws[$1], $1) }
      var values = [Float](repeating: 0, count: count)
      for (rank, channel) in order.enumerated() {
        let share = exp(-Double(rank + 1) * log(Double(count)) / Double(count))
        values[channel] = Float(log(share / max(1 - share, 1e-6)))
      }
      return Tensor(values, shape)
    }
  }
}

extension MegalodonConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.modelDim }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numLayers }

  public var facts: ModelFacts {
    let (width, keys, values) = (modelDim, zDim, valueDim)
    // Of a group the mean and the variance in double, and how many tokens there were.
    let norm = LayerFacts.vectors(2 * width) + .scan(operations: 0, floats: 2 + 4 * normNumGroups)
    var attention =
      LayerFacts.linear(width, keys, bias: true) + 2 * .linear(width, values, bias: true)
      + .linear(width, width, bias: true) + .linear(values, width) + .vectors(4 * keys)
    attention.attention[.chunk(chunkSize)] = 2 * (keys + values)
    attention.bytesPerToken[.chunk(chunkSize)] = 4 * (keys + values)
    // h ← φ·h + p·x and y = Re(η·h), complex: twelve operations a mode; ω·x.
    let average =
      LayerFacts.vectors(width * (4 * cemaNdim + 2))
      + .scan(operations: width * (12 * cemaNdim + 2), floats: 2 * cemaNdim * width)
    let feedForward =
      LayerFacts.feedForward(width, inner: ffnHiddenDim, isGated: swiglu)
      + .vectors((normAffine ? 3 * width : 0) + (rescaleNffn ? width : 0))
    return ModelFacts(
      self, total: numLayers * (norm + average + attention + feedForward) + norm)
  }

  public var language: LanguageLayout {
    var layout = LanguageLayout(
      vocabulary: vocabSize, backbonePath: "", embeddingName: "embed", isTied: shareEmb,
      // Counters and start values that the authors' program keeps as buffers.
      ignoredSuffixes: [".prior_count", ".prior_mean", ".prior_logv"])
    let root = Float(modelDim).squareRoot()
    layout.headPath = "output.output"
    layout.embeddingScale = scaleEmb ? root : 1
    // As a head of its own it starts smaller, so that the first logits stay near zero.
    layout.embeddingDeviation = shareEmb ? 0.02 : 1 / root
    return layout
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone {
    try Megalodon(self, in: scope)
  }
}

extension Architecture {
  /// ``Megalodon`` in the registry.
  static let megalodon = Architecture(
    name: "megalodon",
    summary: "Complex moving average and gated attention inside chunks: constant state",
    paper: "Ma et al., 2024, arXiv:2404.08801", isRecurrent: true
  ) { size in
    let heads = (size.width + 255) / 256
    let keys = heads * min(64, max(2, size.width / heads / 4 * 2))
    var config = MegalodonConfig()
    (config.modelDim, config.numLayers) = (size.width, size.layers)
    (config.vocabSize, config.numHeads, config.zDim) = (size.vocabulary, heads, keys)
    config.valueDim = keys * max(1, (2 * size.width + keys / 2) / keys)
    config.ffnHiddenDim = max(1, 5 * size.width / 2)
    config.cemaNdim = size.width < 256 ? 8 : 16
    config.chunkSize = min(size.context, 256)
    config.normNumGroups = size.width / size.groupSize
    return config
  }
}

extension BackboneSize {
  /// Features of a normalization group: the smallest divisor of the width from 16 on, or from a
  /// quarter of the width on where that is less, but not one.
  fileprivate var groupSize: Int {
    let least = min(16, max(2, width / 4))
    return (least...max(least, width)).first { width % $0 == 0 } ?? width
  }
}
