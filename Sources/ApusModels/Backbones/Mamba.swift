import Foundation
public import ApusNN
import ApusTensor

/// The hyperparameters of ``Mamba``, under their published keys. The defaults are those of the 130M
/// release; weights start as the authors start them, whatever later libraries do.
public struct MambaConfig: ModelConfig {
  public static let modelType = "mamba"
  /// Token ids, V.
  public var vocabSize = 50280
  /// Width of the residual stream, D.
  public var hiddenSize = 768
  /// States of each channel, N.
  public var stateSize = 16
  /// Layers.
  public var numHiddenLayers = 24
  /// Added to the mean square in normalization.
  public var layerNormEpsilon: Float = 1e-5
  /// Inner channels per feature: E = expand · D.
  public var expand = 2
  /// Taps of the causal convolution, K.
  public var convKernel = 4
  /// Whether the two projections have biases.
  public var useBias = false
  /// Whether the convolution has a bias.
  public var useConvBias = true
  /// Rank R of the step sizes: a number, or `"auto"` for ⌈D / 16⌉.
  public var timeStepRank = TimeStepRank.auto
  /// Bounds and floor of the step sizes at the start.
  public var timeStepMin = 0.001
  /// The greatest step size at the start.
  public var timeStepMax = 0.1
  /// The floor of the step sizes at the start.
  public var timeStepFloor = 1e-4
  /// Scales the start of the step's projection.
  public var timeStepScale = 1.0
  /// `silu`; nothing else is known to work.
  public var hiddenAct = "silu"
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = true
  /// Whether step sizes, B and C depend on the token. This key is our own: without selection all of them
  /// are learned constants and everything else is equal, which makes Mamba's time-invariant twin.
  public var selective = true

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("hidden_size", hiddenSize, SizeLimit.width), ("state_size", stateSize, 1024),
      ("num_hidden_layers", numHiddenLayers, SizeLimit.layers), ("expand", expand, 64),
      ("conv_kernel", convKernel, 64))
    try requireSizes(("time_step_rank", rank, SizeLimit.width))
    try require(convKernel > 1, "conv_kernel", convKernel, "it must be in 2...64")
    try requireWord("hidden_act", hiddenAct, ["silu"])
    try requirePositive(
      ("layer_norm_epsilon", layerNormEpsilon), ("time_step_max", timeStepMax),
      ("time_step_floor", timeStepFloor))
    try requireNotNegative(("time_step_scale", timeStepScale))
    try require(
      timeStepMin > 0 && timeStepMin <= timeStepMax, "time_step_min", timeStepMin,
      "it must be above 0 and at most time_step_max, which is \(timeStepMax)")
  }

  /// E.
  var innerSize: Int { expand * hiddenSize }
  /// R.
  var rank: Int {
    switch timeStepRank {
    case .auto: (hiddenSize + 15) / 16
    case .rank(let rank): rank
    }
  }
}

/// `"auto"` or a number.
public enum TimeStepRank: Sendable, Hashable {
  /// An automatic rank, D / 16 rounded up, or a given one.
  case auto
  /// A given rank.
  case rank(Int)
}

extension TimeStepRank: Codable {
  /// Reads `"auto"` or a number.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let rank = try? container.decode(Int.self) {
      self = .rank(rank)
    } else if try container.decode(String.self) == "auto" {
      self = .auto
    } else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "expected \"auto\" or a number")
    }
  }

  /// Writes `"auto"` or the number.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .auto: try container.encode("auto")
    case .rank(let rank): try container.encode(rank)
    }
  }
}

/// Mamba: layers of selective state spaces, whose decay and input gate depend on the token.
///
/// Gu and Dao, 2023, *Mamba: Linear-Time Sequence Modeling with Selective State Spaces*,
/// arXiv:2312.00752. Shapes: B batch, T time, D width, E inner channels, N states, R rank, K taps.
public struct Mamba: DecoderBackbone {
  /// The hyperparameters.
  public let config: MambaConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: MambaConfig, in scope: Scope) throws {
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

extension Mamba {
  /// The selective state space between its two projections.
  struct Mixer: SequenceMixer {
    let input: Linear
    let output: Linear
    let convolution: Parameter
    let convolutionBias: Parameter?
    let selection: Selection
    let stepBias: Parameter
    let logA: Parameter
    let skip: Parameter
    /// Gains between the projection and what follows, where a hybrid has them.
    let norms: InnerNorms?

    /// What step sizes, B and C come from.
    enum Selection {
      /// The token: a projection to a rank, B and C, and another to all channels.
      case token(projection: Parameter, step: Parameter)
      /// Nothing: B and C, `[2, N]`, are constants, and so are the step sizes.
      case none(inputOutput: Parameter)
    }

    init(_ config: MambaConfig, innerNormEpsilon: Float? = nil, in scope: Scope) throws {
      let (width, channels, states) = (config.hiddenSize, config.innerSize, config.stateSize)
      let taps = config.convKernel
      input = try Linear(width, 2 * channels, bias: config.useBias, in: scope["in_proj"])
      // One residual branch per layer: its output starts smaller by √layers.
      output = try Linear(
        channels, width, bias: config.useBias,
        start: .uniform(bound: 1 / Float(channels * config.numHiddenLayers).squareRoot()),
        in: scope["out_proj"])
      let tapBound = Initialization.uniform(bound: 1 / Float(taps).squareRoot())
      convolution = try scope["conv1d"].parameter("weight", [channels, 1, taps], tapBound)
      convolutionBias =
        config.useConvBias ? try scope["conv1d"].parameter("bias", [channels], tapBound) : nil
      selection = try Selection(config, in: scope)
      stepBias = try scope["dt_proj"].parameter(
        "bias", [channels],
        stepBiasStart(
          from: config.timeStepMin, to: config.timeStepMax, floor: config.timeStepFloor))
      // S4D-real: A = −(1, 2, …, N) on every channel.
      let logs = (1...states).map { log(Float($0)) }
      logA = try scope.parameter(
        "A_log", [channels, states], .values((0..<channels).flatMap { _ in logs }),
        isDecayed: false)
      skip = try scope.parameter("D", [channels], .ones)
      norms = try innerNormEpsilon.map { try InnerNorms(config, epsilon: $0, in: scope) }
    }

    func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
      switch selection {
      case .token(let projection, let step):
        output(input(x).selectiveSSM(weights: weights(projection, step)))
      case .none(let inputOutput):
        output(input(x).invariantSSM(weights: weights(inputOutput)))
      }
    }

    func callAsFunction(
      _ x: Tensor, at places: Places, state: inout SelectiveSSMState
    ) -> Tensor {
      switch selection {
      case .token(let projection, let step):
        output(input(x).selectiveSSM(weights: weights(projection, step), state: &state))
      case .none(let inputOutput):
        output(input(x).invariantSSM(weights: weights(inputOutput), state: &state))
      }
    }

    func initialState(batch: Int) -> SelectiveSSMState {
      SelectiveSSMState(
        batch: batch, channels: logA.shape[0], states: logA.shape[1],
        convolutionWidth: convolution.shape[2])
    }

    private func weights(_ projection: Parameter, _ step: Parameter) -> SelectiveSSMWeights {
      SelectiveSSMWeights(
        convolution: convolution.value, convolutionBias: convolutionBias?.value,
        projection: projection.value, step: step.value, stepBias: stepBias.value,
        logA: logA.value, skip: skip.value, norms: norms?.weights)
    }

    private func weights(_ inputOutput: Parameter) -> InvariantSSMWeights {
      InvariantSSMWeights(
        convolution: convolution.value, convolutionBias: convolutionBias?.value,
        step: stepBias.value, inputOutput: inputOutput.value, logA: logA.value, skip: skip.value)
    }
  }
}

extension Mamba {
  /// Normalizations of the low-rank step sizes, of B and of C, under the names that Jamba gives them.
  struct InnerNorms {
    let step: RMSNorm
    let input: RMSNorm
    let output: RMSNorm

    init(_ config: MambaConfig, epsilon: Float, in scope: Scope) throws {
      step = try RMSNorm(config.rank, epsilon: epsilon, in: scope["dt_layernorm"])
      input = try RMSNorm(config.stateSize, epsilon: epsilon, in: scope["b_layernorm"])
      output = try RMSNorm(config.stateSize, epsilon: epsilon, in: scope["c_layernorm"])
    }

    var weights: SelectiveSSMNorms {
      SelectiveSSMNorms(
        step: step.weight.value, input: input.weight.value, output: output.weight.value,
        epsilon: step.epsilon)
    }
  }
}

extension Mamba.Mixer.Selection {
  init(_ config: MambaConfig, in scope: Scope) throws {
    let (channels, states, rank) = (config.innerSize, config.stateSize, config.rank)
    guard config.selective else {
      // B starts at one, as S4D has it, C at random.
      self = .none(
        inputOutput: try scope.parameter(
          "BC", [2, states],
          .custom { shape, key in
            let c = Tensor(normal: [shape[1]], key: key).values
            return Tensor([Float](repeating: 1, count: shape[1]) + c, shape)
          }, isDecayed: false))
      return
    }
    self = .token(
      projection: try scope["x_proj"].parameter(
        "weight", [rank + 2 * states, channels],
        .uniform(bound: 1 / Float(channels).squareRoot())),
      step: try scope["dt_proj"].parameter(
        "weight", [channels, rank],
        .uniform(bound: Float(config.timeStepScale) / Float(rank).squareRoot())))
  }
}

/// Biases whose softplus is spread evenly, in the logarithm, between two step sizes.
func stepBiasStart(from least: Double, to most: Double, floor: Double) -> Initialization {
  let (low, high) = (log(least), log(most))
  return .custom { shape, key in
    Tensor(
      Tensor(uniform: shape, key: key).values.map { u in
        let step = max(exp(low + Double(u) * (high - low)), floor)
        return Float(step + log(-expm1(-step)))  // the inverse of softplus
      }, shape)
  }
}

extension MambaConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  /// One layer without its normalization.
  var mixerFacts: LayerFacts {
    let (channels, states) = (innerSize, stateSize)
    let selection =
      selective
      ? .linear(channels, rank + 2 * states) + .linear(rank, channels) : .vectors(2 * states)
    return .linear(hiddenSize, 2 * channels, bias: useBias)
      + .convolution(channels, taps: convKernel, bias: useConvBias) + selection
      // h ← exp(Δ·A)·h + Δ·B·x and y = C·h, eight operations a state; step biases, A and D.
      + .scan(operations: channels * (8 * states + 2), floats: channels * states)
      + .vectors(channels * (states + 2)) + .linear(channels, hiddenSize, bias: useBias)
  }

  public var facts: ModelFacts {
    ModelFacts(
      self, transformersClass: selective ? "MambaForCausalLM" : nil,
      total: numHiddenLayers * (mixerFacts + .vectors(hiddenSize)) + .vectors(hiddenSize))
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, backbonePath: "backbone", embeddingName: "embeddings",
      isTied: tieWordEmbeddings)
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try Mamba(self, in: scope) }
}

extension Architecture {
  /// ``Mamba`` in the registry.
  static let mamba = Architecture(
    name: "mamba",
    summary: "Selective state spaces: constant cost and state per token",
    paper: "Gu and Dao, 2023, arXiv:2312.00752", isRecurrent: true, layersPerBlock: 2
  ) { size in
    var config = MambaConfig()
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    config.vocabSize = size.vocabulary
    return config
  }
}
