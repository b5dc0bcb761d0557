import ApusNN
public import ApusTensor
import Foundation

/// The hyperparameters of ``FlowState``, under their published keys.
public struct FlowStateConfig: ModelConfig {
  public static let modelType = "flowstate"
  /// The values that are read, L, at a scale of 1.
  public var contextLength = 2048
  /// What steps are longer by than those that the model learned, where the season says nothing.
  public var scaleFactor = 1.0
  /// Whether inputs say beside a value if it is missing; nothing but true is published.
  public var withMissing = true
  /// D.
  public var embeddingFeatureDim = 512
  /// Layers of the encoder.
  public var encoderNumLayers = 6
  /// States of a layer, N.
  public var encoderStateDim = 512
  /// The feed-forward behind a state space: `gated`, or `transformer`.
  public var mlpType = "gated"
  /// Whether what a state space gives is gated by itself.
  public var outGating = false
  /// Steps of one forecast at a scale of 1.
  public var decoderPatchLen = 24
  /// Functions of the basis, K.
  public var decoderDim = 256
  /// The basis: `legs` for Legendre's polynomials, `hlegs` for half of their range, `four` for Fourier's.
  public var decoderType = "legs"
  /// Quantile levels, ascending.
  public var quantiles = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("context_length", contextLength, 1 << 20),
      ("embedding_feature_dim", embeddingFeatureDim, SizeLimit.width),
      ("encoder_num_layers", encoderNumLayers, SizeLimit.layers),
      ("encoder_state_dim", encoderStateDim, SizeLimit.width),
      ("decoder_patch_len", decoderPatchLen, 1 << 16), ("decoder_dim", decoderDim, SizeLimit.width))
    try require(
      scaleFactor >= 1e-3 && scaleFactor <= Double(decoderPatchLen), "scale_factor", scaleFactor,
      "it must be from 0.001 to decoder_patch_len, which is \(decoderPatchLen)")
    try require(withMissing, "with_missing", withMissing, "models without are not known to exist")
    try requireWord("mlp_type", mlpType, ["gated", "transformer"])
    try requireWord("decoder_type", decoderType, ["legs", "hlegs", "four"])
    try require(
      decoderType != "four" || decoderDim % 2 == 1, "decoder_dim", decoderDim,
      "it must be odd for the decoder_type four")
    try requireLevels(quantiles)
  }

  /// What steps are longer by than those of the season that the model learned: 24 of them.
  ///
  /// - Parameter season: Rows in a season; 1 for none.
  /// - Returns: The scale, above 0.
  func scale(season: Int) -> Double {
    guard season > 1 else { return scaleFactor }
    return min(max(24 / Double(season), 1e-3), Double(decoderPatchLen))
  }
}

/// FlowState: a pretrained encoder of state spaces, and a decoder whose forecast is a function of continuous
/// time, so that one model serves series of any rate.
///
/// Graf et al., 2025, *FlowState: Sampling Rate Invariant Time Series Forecasting*, arXiv:2508.05287, in the
/// form of the package granite-tsfm; state spaces of Smith et al., 2022, arXiv:2208.04933. A value is
/// normalized by the mean and deviation of those up to it, so the encoder is recurrent and a stream costs the
/// same at every row. Shapes: T time, D width, N states, K functions of the basis, Q levels.
public struct FlowState {
  /// The hyperparameters.
  public let config: FlowStateConfig
  private let embedding: Linear
  private let layers: [Layer]
  private let output: Linear

  /// Makes the model of a published checkpoint.
  ///
  /// - Parameters:
  ///   - config: The hyperparameters.
  ///   - checkpoint: Tensors as published files name them.
  /// - Throws: `CheckpointError` when the checkpoint does not fit.
  public init(_ config: FlowStateConfig, checkpoint: [String: Tensor]) throws {
    self.config = config
    let (root, width) = (Scope(checkpoint: checkpoint), config.embeddingFeatureDim)
    let scope = root["model"]
    embedding = try Linear(2, width, in: scope["embed"]["embed"])
    layers = try (0..<config.encoderNumLayers).map { layer in
      try Layer(config, in: scope["encoder"]["layers"][layer])
    }
    output = try Linear(
      width, config.decoderDim * config.quantiles.count, in: scope["decoder"]["lin"])
    try root.finish()
  }

  /// What the encoder remembers of a series.
  struct State: Sendable {
    var normalizer = RunningNormalizer()
    fileprivate var layers: [DiagonalSSMState]
    /// What the last value became, `[D]`; empty before the first.
    fileprivate var last: [Float] = []
  }

  /// The state before the first value.
  func initialState() -> State {
    State(layers: layers.map { $0.initialState() })
  }

  /// Takes in values.
  ///
  /// - Parameters:
  ///   - values: T of them, oldest first; NaN where one is missing.
  ///   - scale: What steps are longer by than the model's own.
  ///   - state: What earlier values left; advanced.
  /// - Returns: What the encoder made of them, `[T · D]`.
  @discardableResult
  func advance(_ values: [Float], scale: Double, state: inout State) -> [Float] {
    guard !values.isEmpty else { return [] }
    let rows = values.flatMap { state.normalizer.push($0) }
    let found = withoutGradient {
      var x = embedding(Tensor(rows, [1, values.count, 2]))
      for (index, layer) in layers.enumerated() {
        x = layer(x, scale: scale, state: &state.layers[index])
      }
      return x.values
    }
    state.last = Array(found.suffix(config.embeddingFeatureDim))
    return found
  }

  /// Forecasts from a state, which has taken in a value.
  ///
  /// One look of the decoder reaches as far as a patch; beyond, the encoder reads on as if values were
  /// missing, and the decoder looks again after every patch and at the end.
  /// - Returns: `[P][Q]`.
  func quantiles(steps: Int, scale: Double, state: State) -> [[Float]] {
    let size = max(1, Int(Double(config.decoderPatchLen) / scale + 1e-6))
    let (ahead, width) = (max(0, steps - size), config.embeddingFeatureDim)
    var (later, tokens) = (state, state.last)
    tokens += advance([Float](repeating: .nan, count: ahead), scale: scale, state: &later)
    // Looks after so many missing values; the last look gives what the others leave.
    var looks = Array(stride(from: 0, through: ahead, by: size))
    if (looks.last ?? 0) + size < steps { looks.append(ahead) }
    let rows = looks.flatMap { tokens[$0 * width..<($0 + 1) * width] }
    let curves = curves(of: Tensor(rows, [looks.count, width]), steps: size, scale: scale)
    return (0..<steps).map { step in
      let look = min(step / size, looks.count - 1)
      let values = curves[look].map { $0[step - looks[look]] }
      let sorted = values.map { state.normalizer.own($0) }.sorted()
      return config.quantiles.map { interpolated(sorted, at: $0) }
    }
  }

  /// Each level's curve at the steps of a patch: `[looks][Q][steps]`.
  private func curves(of tokens: Tensor, steps: Int, scale: Double) -> [[[Float]]] {
    let (looks, levels) = (tokens.shape[0], config.quantiles.count)
    let basis = basis(steps: steps, scale: scale)
    return withoutGradient {
      let weights = output(tokens).reshaped([looks * levels, config.decoderDim])
      let values = weights.linear(weight: basis).values
      return (0..<looks).map { look in
        (0..<levels).map { level in
          let start = (look * levels + level) * steps
          return Array(values[start..<start + steps])
        }
      }
    }
  }

  /// The functions of the basis at each step, `[steps, K]`.
  private func basis(steps: Int, scale: Double) -> Tensor {
    let (start, end): (Float, Float) =
      switch config.decoderType {
      case "hlegs": (0, 0.95)
      case "four": (0, 1)
      default: (-1, 0.95)
      }
    let step = Float(scale * Double(end - start) / Double(config.decoderPatchLen))
    let rows = (1...steps).flatMap { number -> [Float] in
      let time = max(start + Float(number) * step, start)
      return config.decoderType == "four" ? fourier(time) : legendre(time)
    }
    return Tensor(rows.map { $0 / 4 }, [steps, config.decoderDim])
  }

  /// Legendre's polynomials by Bonnet's recursion.
  private func legendre(_ x: Float) -> [Float] {
    var values: [Float] = [1, x]
    for degree in 1..<max(2, config.decoderDim) {
      let (n, last) = (Float(degree), values.count - 1)
      values.append(((2 * n + 1) * x * values[last] - n * values[last - 1]) / (n + 1))
    }
    return Array(values.prefix(config.decoderDim))
  }

  private func fourier(_ time: Float) -> [Float] {
    [1]
      + (0..<config.decoderDim / 2).flatMap { place -> [Float] in
        let angle = 2 * Float.pi * Float(place + 1) * time
        return [sin(angle), cos(angle)]
      }
  }
}

extension FlowState {
  /// One layer: `x + norm(feedForward(ssm x))`.
  struct Layer {
    private let decay: Parameter, frequency: Parameter, logStep: Parameter
    private let inputs: [Parameter], outputs: [Parameter]
    private let skip: Parameter
    private let gate: Linear?
    private let feedForward: FeedForward
    private let norm: LayerNorm

    /// What stands behind the state space.
    private enum FeedForward {
      /// `y · sigmoid(out y)` of `y = selu(x)`.
      case gated(Linear)
      /// `x + w3(silu(w1 n) · w2 n)` of a normalized x.
      case transformer(gain: Parameter, gate: Linear, up: Linear, down: Linear)
    }

    init(_ config: FlowStateConfig, in scope: Scope) throws {
      let (width, states) = (config.embeddingFeatureDim, config.encoderStateDim)
      let own = scope["ssm"]
      decay = try own.parameter("log_Lambda_real", [states], .zeros)
      frequency = try own.parameter("Lambda_imag", [states], .zeros)
      logStep = try own.parameter("log_Delta", [states], .zeros)
      inputs = try ["B_tilde_r", "B_tilde_i"].map { name in
        try own.parameter(name, [states, width], .zeros)
      }
      outputs = try ["C_tilde_r", "C_tilde_i"].map { name in
        try own.parameter(name, [width, states], .zeros)
      }
      skip = try own.parameter("D", [width], .zeros)
      gate = config.outGating ? try Linear(width, width, in: own["output_gate"]) : nil
      if config.mlpType == "transformer" {
        let mlp = scope["mlp"]
        feedForward = .transformer(
          gain: try mlp.parameter("rms_weight", [width], .ones),
          gate: try Linear(width, 2 * width, in: mlp["w1"]),
          up: try Linear(width, 2 * width, in: mlp["w2"]),
          down: try Linear(2 * width, width, in: mlp["w3"]))
      } else {
        feedForward = .gated(try Linear(width, width, in: scope["out"]))
      }
      norm = try LayerNorm(width, in: scope["norm"])
    }

    func initialState() -> DiagonalSSMState {
      DiagonalSSMState(batch: 1, states: decay.shape[0])
    }

    func callAsFunction(_ x: Tensor, scale: Double, state: inout DiagonalSSMState) -> Tensor {
      let longer = Float(log(scale))
      let weights = DiagonalSSMWeights(
        decay: Tensor(decay.value.values.map { exp($0) }, decay.shape),
        frequency: frequency.value,
        logStep: Tensor(logStep.value.values.map { $0 + longer }, logStep.shape))
      let h = x.linear(sideBySide: inputs.map(\.value)).diagonalSSM(weights: weights, state: &state)
      // The operation gives twice the conjugate, of a pair; here every state stands for itself.
      let maps = outputs.map { $0.value * 0.5 }
      let states = decay.shape[0]
      var y =
        h[features: 0..<states].linear(weight: maps[0])
        + h[features: states..<2 * states].linear(weight: maps[1])
      if let gate { y = y * Activation.sigmoid(gate(y)) }
      return x + norm(feedForward(y + x.scaled(features: skip.value)))
    }

    private func feedForward(_ y: Tensor) -> Tensor {
      switch feedForward {
      case .gated(let map):
        let bent = y.selu()
        return bent * Activation.sigmoid(map(bent))
      case .transformer(let gain, let gate, let up, let down):
        let n = y.rmsNorm(weight: gain.value, epsilon: 1e-6)
        return y + down(up(n).siluGated(by: gate(n)))
      }
    }
  }
}

extension Tensor {
  /// Klambauer et al., 2017, *Self-Normalizing Neural Networks*, arXiv:1706.02515, equation 2.
  fileprivate func selu() -> Tensor {
    let (alpha, scale): (Float, Float) = (1.673_263_2, 1.050_701)
    return Tensor(values.map { scale * ($0 > 0 ? $0 : alpha * expm1($0)) }, shape)
  }
}

/// The mean and the deviation of the values so far, each value less the mean that stood when it came.
struct RunningNormalizer: Sendable {
  private var count = 0.0
  private var sum = 0.0
  private var squares = 0.0

  private var mean: Double { sum / max(count, 1) }
  private var deviation: Double { max(squares / max(count, 1), 1e-5).squareRoot() }

  /// Takes in a value; NaN where it is missing.
  ///
  /// - Returns: What the model reads: the value in the units of now, 0 where missing, and whether it is.
  mutating func push(_ value: Float) -> [Float] {
    guard value.isFinite else { return [0, 1] }
    count += 1
    sum += Double(value)
    let less = Double(value) - mean
    squares += less * less
    return [Float(less / deviation), 0]
  }

  /// A number in the units of now as one of the series.
  func own(_ value: Float) -> Float { Float(Double(value) * deviation + mean) }
}
