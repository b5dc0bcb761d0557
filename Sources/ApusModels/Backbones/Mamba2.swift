import Foundation
public import ApusNN
public import ApusTensor

/// The hyperparameters of ``Mamba2``, under their published keys and with their published defaults;
/// weights start as the authors start them, whatever later libraries do.
public struct Mamba2Config: ModelConfig {
  public static let modelType = "mamba2"
  /// Token ids, V.
  public var vocabSize = 32768
  /// Width of the residual stream, D.
  public var hiddenSize = 4096
  /// Heads, H, each with its own decay and step size.
  public var numHeads = 128
  /// Channels of a head, P.
  public var headDim = 64
  /// Groups of heads, G, that share B and C and are normalized together.
  public var nGroups = 8
  /// States of each channel, N.
  public var stateSize = 128
  /// Layers.
  public var numHiddenLayers = 64
  /// Added to the mean square in normalization.
  public var layerNormEpsilon: Float = 1e-5
  /// Inner channels per feature: E = expand · D = H · P.
  public var expand = 2
  /// Taps of the causal convolution, K.
  public var convKernel = 4
  /// Whether the two projections have biases.
  public var useBias = false
  /// Whether the convolution has a bias.
  public var useConvBias = true
  /// Bounds and floor of the step sizes at the start.
  public var timeStepMin = 0.001
  /// The greatest step size at the start.
  public var timeStepMax = 0.1
  /// The floor of the step sizes at the start.
  public var timeStepFloor = 1e-4
  /// Bounds of the step sizes at all times.
  public var timeStepLimit = TimeStepLimit()
  /// The most tokens of a chunk; results differ by rounding only, and kernels may take fewer.
  public var chunkSize = 256
  /// `silu`; nothing else is known to work.
  public var hiddenAct = "silu"
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = false

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("hidden_size", hiddenSize, SizeLimit.width), ("num_heads", numHeads, SizeLimit.width),
      ("head_dim", headDim, 4096), ("n_groups", nGroups, SizeLimit.width),
      ("state_size", stateSize, 4096), ("num_hidden_layers", numHiddenLayers, SizeLimit.layers),
      ("expand", expand, 64), ("chunk_size", chunkSize, SizeLimit.tokens),
      ("conv_kernel", convKernel, 64))
    try require(convKernel > 1, "conv_kernel", convKernel, "it must be in 2...64")
    try require(
      numHeads * headDim == innerSize, "num_heads", numHeads,
      "num_heads times head_dim, \(headDim), must be expand times hidden_size, \(innerSize)")
    try requireGroups("n_groups", nGroups, of: ("num_heads", numHeads))
    try requirePositive(
      ("layer_norm_epsilon", layerNormEpsilon), ("time_step_max", timeStepMax),
      ("time_step_floor", timeStepFloor))
    try requireWord("hidden_act", hiddenAct, ["silu", "swish"])
    try require(
      timeStepMin > 0 && timeStepMin <= timeStepMax, "time_step_min", timeStepMin,
      "it must be above 0 and at most time_step_max, which is \(timeStepMax)")
    let limit = timeStepLimit
    try require(
      limit.lower >= 0 && limit.lower <= 1e6 && limit.lower <= limit.upper, "time_step_limit",
      "[\(limit.lower), \(limit.upper)]",
      "the first bound must be in 0...1e6, the second at least as large")
  }

  /// E.
  var innerSize: Int { expand * hiddenSize }
  /// What the mixer's operation asks for.
  var layout: SSDLayout {
    SSDLayout(
      heads: numHeads, headSize: headDim, groups: nGroups, states: stateSize,
      stepLimits: Float(timeStepLimit.lower)...Float(timeStepLimit.upper),
      epsilon: layerNormEpsilon, chunk: chunkSize)
  }
}

/// Two bounds, of which the upper may be infinite: `[0.0, {"__float__": "Infinity"}]`, as
/// transformers writes it.
public struct TimeStepLimit: Sendable, Hashable {
  /// The least step.
  public var lower = 0.0
  /// The largest step.
  public var upper = Double.infinity

  /// No bounds but 0.
  public init() {}
}

extension TimeStepLimit: Codable {
  /// A number that JSON has no word for.
  private struct Unbounded: Encodable {
    let name: String
    enum CodingKeys: String, CodingKey { case name = "__float__" }
  }

  /// Reads two numbers, of which the second may be infinite.
  public init(from decoder: any Decoder) throws {
    var container = try decoder.unkeyedContainer()
    (lower, upper) = (try container.decode(Double.self), try container.decode(Double.self))
    guard container.isAtEnd else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "expected two numbers")
    }
  }

  /// Writes two numbers.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.unkeyedContainer()
    try container.encode(lower)
    if upper.isFinite {
      try container.encode(upper)
    } else {
      try container.encode(Unbounded(name: "Infinity"))
    }
  }
}

/// Mamba-2: layers of state spaces with one decay a head, which chunks of tokens pass as products of
/// matrices.
///
/// Dao and Gu, 2024, *Transformers are SSMs: Generalized Models and Efficient Algorithms Through
/// Structured State Space Duality*, arXiv:2405.21060. Shapes: B batch, T time, D width, E inner
/// channels, H heads, P channels of a head, G groups, N states, K taps.
public struct Mamba2: DecoderBackbone {
  /// The hyperparameters.
  public let config: Mamba2Config
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: Mamba2Config, in scope: Scope) throws {
    self.config = config
    func norm(_ scope: Scope) throws -> RMSNorm {
      try RMSNorm(config.hiddenSize, epsilon: config.layerNormEpsilon, in: scope)
    }
    stack = DecoderStack(
      width: config.hiddenSize,
      blocks: try (0..<config.numHiddenLayers).map { layer in
        let scope = scope["layers"][layer]
        return .mixerOnly(try norm(scope["norm"]), try Mixer(config, in: scope["mixer"]))
      }, norm: try norm(scope["norm_f"]))
  }
}

extension Mamba2 {
  /// The state space between its two projections.
  struct Mixer: SequenceMixer {
    let layout: SSDLayout
    let input: Linear
    let output: Linear
    let convolution: Parameter
    let convolutionBias: Parameter?
    let stepBias: Parameter
    let logA: Parameter
    let skip: Parameter
    let gain: Parameter

    init(_ config: Mamba2Config, in scope: Scope) throws {
      layout = config.layout
      let (heads, convolved, taps) = (layout.heads, layout.convolved, config.convKernel)
      input = try Linear(
        config.hiddenSize, layout.projected, bias: config.useBias, in: scope["in_proj"])
      // One residual branch per layer: its output starts smaller by √layers.
      let spread = Float(layout.channels * config.numHiddenLayers).squareRoot()
      output = try Linear(
        layout.channels, config.hiddenSize, bias: config.useBias,
        start: .uniform(bound: 1 / spread), in: scope["out_proj"])
      let tapBound = Initialization.uniform(bound: 1 / Float(taps).squareRoot())
      convolution = try scope["conv1d"].parameter("weight", [convolved, 1, taps], tapBound)
      convolutionBias =
        config.useConvBias ? try scope["conv1d"].parameter("bias", [convolved], tapBound) : nil
      stepBias = try scope.parameter(
        "dt_bias", [heads],
        stepBiasStart(
          from: config.timeStepMin, to: config.timeStepMax, floor: config.timeStepFloor))
      // −A is spread evenly over 1 … 16.
      logA = try scope.parameter(
        "A_log", [heads],
        .custom { shape, key in
          Tensor(Tensor(uniform: shape, from: 1, to: 16, key: key).values.map { log($0) }, shape)
        })
      skip = try scope.parameter("D", [heads], .ones)
      gain = try scope["norm"].parameter("weight", [layout.channels], .ones)
    }

    func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
      output(input(x).ssd(weights: weights, layout: layout))
    }

    func callAsFunction(_ x: Tensor, at places: Places, state: inout SSDState) -> Tensor {
      output(input(x).ssd(weights: weights, layout: layout, state: &state))
    }

    func initialState(batch: Int) -> SSDState {
      SSDState(batch: batch, layout: layout, convolutionWidth: convolution.shape[2])
    }

    private var weights: SSDWeights {
      SSDWeights(
        convolution: convolution.value, convolutionBias: convolutionBias?.value,
        stepBias: stepBias.value, logA: logA.value, skip: skip.value, gain: gain.value)
    }
  }
}

extension Mamba2Config: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  public var facts: ModelFacts {
    let (layout, channels) = (layout, innerSize)
    let layer =
      LayerFacts.linear(hiddenSize, layout.projected, bias: useBias)
      + .convolution(layout.convolved, taps: convKernel, bias: useConvBias)
      // h ← a·h + Δ·B·x and y = C·h, six operations a state; step biases, A and D; the gated norm.
      + .scan(operations: channels * (6 * stateSize + 2), floats: channels * stateSize)
      + .vectors(3 * numHeads + channels) + .linear(channels, hiddenSize, bias: useBias)
      + .vectors(hiddenSize)
    return ModelFacts(
      self, transformersClass: "Mamba2ForCausalLM",
      total: numHiddenLayers * layer + .vectors(hiddenSize))
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, backbonePath: "backbone", embeddingName: "embeddings",
      isTied: tieWordEmbeddings)
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try Mamba2(self, in: scope) }

  /// Names of the authors' files, and of files that wrap the whole model once more.
  public func adapted(_ tensors: [String: Tensor]) throws -> [String: Tensor] {
    let names = [
      ("backbone.embedding.", "backbone.embeddings."), ("backbone.model.backbone.", "backbone."),
      ("backbone.model.lm_head.", "lm_head."),
    ]
    return Dictionary(
      tensors.map { name, tensor in
        for (old, new) in names where name.hasPrefix(old) {
          return (new + name.dropFirst(old.count), tensor)
        }
        return (name, tensor)
      }, uniquingKeysWith: { first, _ in first })
  }
}

extension Architecture {
  /// ``Mamba2`` in the registry.
  static let mamba2 = Architecture(
    name: "mamba2",
    summary: "State space duality: larger states than Mamba's, passed as products",
    paper: "Dao and Gu, 2024, arXiv:2405.21060", isRecurrent: true, layersPerBlock: 2
  ) { size in
    let inner = 2 * size.width
    var config = Mamba2Config()
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    config.headDim = [64, 32, 16, 8, 4].first { inner % $0 == 0 } ?? 2
    (config.numHeads, config.nGroups, config.stateSize) = (inner / config.headDim, 1, 64)
    (config.vocabSize, config.tieWordEmbeddings) = (size.vocabulary, true)
    return config
  }
}
