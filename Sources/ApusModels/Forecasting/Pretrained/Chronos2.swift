import ApusNN
public import ApusTensor
import Foundation

/// The hyperparameters of ``Chronos2``, under their published keys: those of T5, and its own.
public struct Chronos2Config: ModelConfig {
  public static let modelType = "t5"
  /// D.
  public var dModel = 512
  /// Features of a head, K.
  public var dKv = 64
  /// Inside a feed-forward, and inside the maps to and from patches.
  public var dFf = 2048
  /// Layers.
  public var numLayers = 6
  /// H.
  public var numHeads = 8
  /// Added to the mean square in normalization.
  public var layerNormEpsilon: Float = 1e-6
  /// `relu`; nothing else is published.
  public var feedForwardProj = "relu"
  /// Base of the rotary frequencies.
  public var ropeTheta = 10000.0
  /// What is asked of T5.
  public var chronosConfig = Patching()

  /// What stands under `chronos_config`.
  public struct Patching: Codable, Sendable, Hashable {
    /// The most values that are read, L.
    public var contextLength = 8192
    /// Values of a patch that is read, S; patches do not overlap.
    public var inputPatchSize = 16
    /// Values from one patch to the next.
    public var inputPatchStride = 16
    /// Steps of a patch that is forecast; as many as are read.
    public var outputPatchSize = 16
    /// The most patches that are forecast at once.
    public var maxOutputPatches = 1
    /// Quantile levels, ascending.
    public var quantiles = [
      0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8,
      0.85, 0.9, 0.95, 0.99,
    ]
    /// Whether one more token stands between context and future.
    public var useRegToken = false
    /// Whether normalized values pass the inverse hyperbolic sine.
    public var useArcsinh = false
    /// Steps of time that are read as one; the context's length when nil.
    public var timeEncodingScale: Int?

    /// All defaults.
    public init() {}
  }

  /// All defaults.
  public init() {}

  public func validate() throws {
    let patching = chronosConfig
    try requireSizes(
      ("d_model", dModel, SizeLimit.width), ("d_kv", dKv, SizeLimit.head),
      ("d_ff", dFf, SizeLimit.inner), ("num_layers", numLayers, SizeLimit.layers),
      ("num_heads", numHeads, SizeLimit.width),
      ("chronos_config.context_length", patching.contextLength, 1 << 20),
      ("chronos_config.input_patch_size", patching.inputPatchSize, 1 << 16),
      ("chronos_config.max_output_patches", patching.maxOutputPatches, 1 << 16),
      ("chronos_config.time_encoding_scale", patching.timeEncodingScale, SizeLimit.tokens))
    for (key, value) in [
      ("chronos_config.input_patch_stride", patching.inputPatchStride),
      ("chronos_config.output_patch_size", patching.outputPatchSize),
    ] {
      try require(
        value == patching.inputPatchSize, key, value,
        "it must be input_patch_size, which is \(patching.inputPatchSize)")
    }
    try require(dKv % 2 == 0, "d_kv", dKv, "rotary positions need an even head size")
    try requirePositive(("layer_norm_epsilon", layerNormEpsilon), ("rope_theta", ropeTheta))
    try requireWord("feed_forward_proj", feedForwardProj, ["relu"])
    try requireLevels(patching.quantiles)
  }
}

/// Chronos-2: a pretrained encoder whose layers attend along time and across the series of a group, so that
/// a forecast sees the other series of its question, and covariates of the past and of the future.
///
/// Ansari et al., 2025, *Chronos-2: From Univariate to Universal Forecasting*, arXiv:2510.15821, in the form
/// of the package chronos-forecasting. Nothing is learned from a series but its mean and deviation.
/// Shapes: N tokens of all series, D width, S values of a patch, P steps, Q levels.
public struct Chronos2 {
  /// One series of a question.
  public struct Variate: Sendable, Hashable {
    /// Its past, the last values counting; NaN where one is missing.
    public var values: [Float]
    /// What is known of its future, from the first step on; NaN or nothing where it is not.
    public var future: [Float]

    /// Creates a series whose future is not known unless it is given.
    public init(_ values: [Float], future: [Float] = []) {
      (self.values, self.future) = (values, future)
    }
  }

  /// The hyperparameters.
  public let config: Chronos2Config
  private let shared: Embedding
  private let input: ResidualMap
  private let encoder: Chronos2Encoder
  private let output: ResidualMap

  /// Makes the model of a published checkpoint.
  ///
  /// - Parameters:
  ///   - config: The hyperparameters.
  ///   - checkpoint: Tensors as published files name them.
  /// - Throws: `CheckpointError` when the checkpoint does not fit.
  public init(_ config: Chronos2Config, checkpoint: [String: Tensor]) throws {
    self.config = config
    let (scope, patching) = (Scope(checkpoint: checkpoint), config.chronosConfig)
    shared = try Embedding(patching.useRegToken ? 2 : 1, config.dModel, in: scope["shared"])
    input = try ResidualMap(
      3 * patching.inputPatchSize, inner: config.dFf, outputs: config.dModel,
      in: scope["input_patch_embedding"])
    encoder = try Chronos2Encoder(config, in: scope["encoder"])
    output = try ResidualMap(
      config.dModel, inner: config.dFf,
      outputs: patching.quantiles.count * patching.outputPatchSize,
      in: scope["output_patch_embedding"])
    try scope.finish()
  }

  /// Quantiles of any number of steps of all series of a group, which are forecast together.
  ///
  /// Beyond the patches that are forecast at once, the deciles so far continue every series, each on a path
  /// of its own, and the quantiles of what the model makes of all paths go on, as the published pipeline
  /// has it.
  /// - Parameters:
  ///   - group: The series: what is asked, and covariates beside it.
  ///   - steps: P.
  /// - Returns: `[series][P][Q]` at the model's own levels; they may cross.
  public func quantiles(of group: [Variate], steps: Int) -> [[[Float]]] {
    let (patching, most) = (config.chronosConfig, config.chronosConfig.maxOutputPatches)
    func patches(_ left: Int) -> Int {
      min((left + patching.outputPatchSize - 1) / patching.outputPatchSize, most)
    }
    var block = block(of: group, patches: patches(steps))
    var rows = block
    let levels = unrolled
    var paths = levels.map { _ in group }
    let weights = levels.map { mass(of: $0, among: levels) }.flatMap { outer in
      patching.quantiles.map { outer * mass(of: $0, among: patching.quantiles) }
    }
    while let done = rows.first?.count, done < steps {
      for (path, level) in levels.enumerated() {
        let place = patching.quantiles.firstIndex(of: level) ?? 0
        for series in group.indices {
          paths[path][series].go(on: block[series].map { $0[place] }, most: patching.contextLength)
        }
      }
      let futures = paths.map { self.block(of: $0, patches: patches(steps - done)) }
      block = group.indices.map { series in
        futures[0][series].indices.map { step in
          let samples = futures.flatMap { $0[series][step] }
          return weightedQuantiles(samples, weights: weights, at: patching.quantiles)
        }
      }
      for series in group.indices { rows[series] += block[series] }
    }
    return rows.map { Array($0.prefix(steps)) }
  }

  /// The levels whose paths go on beyond what is forecast at once: the deciles, where the model has them.
  private var unrolled: [Double] {
    let own = config.chronosConfig.quantiles
    let deciles = own.filter { level in
      (1...9).contains { abs(Double($0) / 10 - level) < 1e-9 }
    }
    return deciles.isEmpty ? own : deciles
  }

  /// One pass: quantiles of so many patches, `[series][patches · S][Q]`.
  private func block(of group: [Variate], patches: Int) -> [[[Float]]] {
    let (patching, size) = (config.chronosConfig, config.chronosConfig.inputPatchSize)
    var (tokens, scales) = (Chronos2Tokens(series: group.count), [ContextScale]())
    for (series, variate) in group.enumerated() {
      let recent = Array(variate.values.suffix(patching.contextLength))
      let scale = ContextScale(recent) { _ in 1e-5 }
      func seen(_ value: Float) -> Float {
        let normal = scale.normal(value)
        return patching.useArcsinh ? asinh(normal) : normal
      }
      let front = [Float](repeating: .nan, count: (size - recent.count % size) % size)
      let context = front + recent.map(seen)
      let ahead = (0..<patches * size).map { step in
        step < variate.future.count ? seen(variate.future[step]) : .nan
      }
      tokens.add(
        context, ahead, size: size, series: series, hasRegister: patching.useRegToken,
        period: patching.timeEncodingScale ?? patching.contextLength)
      scales.append(scale)
    }
    let values = withoutGradient { () -> [Float] in
      var x = input(Tensor(tokens.rows, [tokens.count, 3 * size]))
      if patching.useRegToken { x = tokens.placing(shared(Tensor([1] as [Int32], [1])), in: x) }
      let found = encoder(x, tokens)
      return output(found.gathered(rows: tokens.lastRows(patches))).values
    }
    let levels = patching.quantiles.count
    return scales.enumerated().map { series, scale in
      (0..<patches * size).map { step in
        let token = series * patches + step / size
        return (0..<levels).map { level in
          let value = values[(token * levels + level) * size + step % size]
          return scale.own(patching.useArcsinh ? sinh(value) : value)
        }
      }
    }
  }
}

extension Chronos2.Variate {
  /// Takes what was forecast for what came, but where that is known.
  fileprivate mutating func go(on forecast: [Float], most: Int) {
    let came = forecast.enumerated().map { step, value in
      step < future.count && future[step].isFinite ? future[step] : value
    }
    values = (values + came).suffix(most)
    future = Array(future.dropFirst(forecast.count))
  }
}

/// Half of the distance between the neighbors of a level, as a share of all of these.
private func mass(of level: Double, among levels: [Double]) -> Double {
  let bounds = [0] + levels + [1]
  let masses = levels.indices.map { (bounds[$0 + 2] - bounds[$0]) / 2 }
  guard let place = levels.firstIndex(of: level) else { return 0 }
  return masses[place] / masses.reduce(0, +)
}

/// Quantiles of samples that count differently, on the lines between the steps of their distribution.
private func weightedQuantiles(
  _ samples: [Float], weights: [Double], at levels: [Double]
) -> [Float] {
  let order = samples.indices.sorted { samples[$0] < samples[$1] }
  let whole = weights.reduce(0, +)
  var (sums, values) = ([0.0], [samples[order[0]]])
  for index in order {
    sums.append(min(sums[sums.count - 1] + weights[index] / whole, 1))
    values.append(samples[index])
  }
  return levels.map { level in
    let above = min(sums.firstIndex { $0 > level } ?? sums.count - 1, sums.count - 1)
    let (low, high) = (sums[above - 1], sums[above])
    let share = high > low ? min((level - low) / (high - low), 1) : 0
    return values[above - 1] + Float(share) * (values[above] - values[above - 1])
  }
}

extension Chronos2: PretrainedModel {
  package func quantiles(after contexts: [[Float]], steps: Int) -> [[[Float]]] {
    contexts.map { quantiles(of: [Variate($0)], steps: steps)[0] }
  }
}

extension Chronos2Config: PretrainedConfig {
  package static let family = "Chronos-2"
  package static let summary = "An encoder that attends along time and across the series of a group"
  package static let paper = "Ansari et al., 2025, arXiv:2510.15821"
  package var contextLength: Int { chronosConfig.contextLength }
  package var levels: [Double] { chronosConfig.quantiles }

  package static func describes(_ config: JSONValue) -> Bool {
    config["chronos_config"]?["output_patch_size"] != nil
  }

  package func makeModel(checkpoint: [String: Tensor]) throws -> any PretrainedModel {
    try Chronos2(self, checkpoint: checkpoint)
  }
}
