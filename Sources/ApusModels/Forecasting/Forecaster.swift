import Foundation
public import ApusNN
public import ApusTensor

/// What a ``Forecaster`` is asked for, and what its backbone is.
public struct ForecasterConfig: Sendable, Hashable {
  /// The backbone, with its whole configuration; of its vocabulary nothing is used.
  public var backbone: Blueprint
  /// Rows that a forecast rests on at least, L; it reads fewer than 2 L.
  public var context: Int
  /// Features of one row, F: normalized values, covariates, calendar.
  public var inputs: Int
  /// Rows ahead, P.
  public var horizon: Int
  /// Quantile levels in (0, 1), ascending, Q of them.
  public var levels: [Double]
  /// Rows that make one token of the backbone, p; the look-back is a multiple of it.
  public var patch: Int

  /// Creates a configuration.
  public init(
    _ backbone: Blueprint, context: Int, inputs: Int, horizon: Int, levels: [Double],
    patch: Int = 1
  ) {
    (self.backbone, self.context, self.inputs) = (backbone, context, inputs)
    (self.horizon, self.levels, self.patch) = (horizon, levels, patch)
  }

  /// Creates a configuration whose backbone follows from a size, of which the context is in rows.
  ///
  /// - Throws: ``ConfigError``.
  public init(
    _ architecture: Architecture, size: BackboneSize, inputs: Int, horizon: Int, levels: [Double],
    patch: Int = 1
  ) throws {
    var tokens = size
    tokens.context = max(1, size.context / max(1, patch))
    self.init(
      try architecture.configured(size: tokens), context: size.context, inputs: inputs,
      horizon: horizon, levels: levels, patch: patch)
  }
}

extension ForecasterConfig: Codable {
  private enum CodingKeys: String, CodingKey {
    case backbone, context, inputs, horizon, levels, patch, architecture, size
  }

  /// Reads a configuration. What was saved before a backbone's configuration was has its size, and
  /// before there were patches no patch.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    let inputs = try keys.decode(Int.self, forKey: .inputs)
    let horizon = try keys.decode(Int.self, forKey: .horizon)
    let levels = try keys.decode([Double].self, forKey: .levels)
    let patch = try keys.decodeIfPresent(Int.self, forKey: .patch) ?? 1
    if let backbone = try keys.decodeIfPresent(Blueprint.self, forKey: .backbone) {
      self.init(
        backbone, context: try keys.decode(Int.self, forKey: .context), inputs: inputs,
        horizon: horizon, levels: levels, patch: patch)
    } else {
      try self.init(
        .named(try keys.decode(String.self, forKey: .architecture)),
        size: try keys.decode(BackboneSize.self, forKey: .size), inputs: inputs,
        horizon: horizon, levels: levels, patch: patch)
    }
    try validate()
  }

  /// Writes every key, of the backbone's configuration too.
  public func encode(to encoder: any Encoder) throws {
    var keys = encoder.container(keyedBy: CodingKeys.self)
    try keys.encode(backbone, forKey: .backbone)
    try keys.encode(context, forKey: .context)
    try keys.encode(inputs, forKey: .inputs)
    try keys.encode(horizon, forKey: .horizon)
    try keys.encode(levels, forKey: .levels)
    try keys.encode(patch, forKey: .patch)
  }
}

extension ForecasterConfig: CheckedConfig {
  /// Throws ``ConfigError`` naming the key, its value and the rule broken.
  public func validate() throws {
    try requireSizes(
      ("inputs", inputs, 4096), ("horizon", horizon, 4096), ("context", context, 1_048_576),
      ("patch", patch, 1024))
    try requireLevels(levels)
    try require(context % patch == 0, "patch", patch, "it must divide the context, \(context)")
    try require(
      inputs * patch <= 65536, "patch", patch,
      "with \(inputs) inputs it must be at most \(65536 / inputs)")
    let most = backbone.facts.context ?? .max
    try require(
      2 * (context / patch) <= most, "context", context,
      "the model has \(most) positions, which must hold two contexts")
  }
}

/// A forecaster: a projection of normalized rows or patches of them, a backbone, and a head of monotone
/// quantiles.
///
/// Every row t of a window forecasts the P rows after it, so that one window of T rows teaches T
/// forecasts. Rows arrive normalized by statistics of the past alone, and quantiles are in the same
/// units: `location + scale · q` is the forecast.
/// Shapes: B batch, T time, F features, D width, P horizon, Q levels.
public struct Forecaster {
  /// The configuration.
  public let config: ForecasterConfig
  /// Every weight, in the order in which they were made.
  public let parameters: [Parameter]
  let input: Linear
  let backbone: any Backbone
  let head: Linear
  private let patches: Patches

  /// Creates the forecaster of `config`, with weights from `scope`.
  ///
  /// - Throws: ``ConfigError``, or `CheckpointError` when the checkpoint does not fit.
  public init(_ config: ForecasterConfig, in scope: Scope) throws {
    try config.validate()
    self.config = config
    patches = Patches(length: config.patch)
    input = try Linear(
      config.patch * config.inputs, config.backbone.facts.width, in: scope["input"])
    backbone = try config.backbone.makeBackbone(in: scope["backbone"])
    // The forecast starts as the normal distribution of the past scale, whatever the input.
    head = try Linear(
      backbone.outputWidth, config.horizon * config.levels.count, start: .normal(deviation: 0.002),
      biasStart: .values(Self.normalStart(config)), in: scope["head"])
    parameters = try scope.finish()
  }

  /// A forecaster with fresh weights.
  ///
  /// - Throws: ``ConfigError``.
  public init(_ config: ForecasterConfig, key: RandomKey) throws {
    try self.init(config, in: Scope(key: key))
  }

  /// Mean pinball loss over rows, horizon and levels, in normalized units.
  ///
  /// - Parameters:
  ///   - rows: `[B, T, F]`.
  ///   - targets: `[B, T, P]`, normalized like the rows.
  ///   - weights: `[B, T, P]`; 0 leaves a target out.
  /// - Returns: A scalar.
  public func loss(_ rows: Tensor, targets: Tensor, weights: Tensor) -> Tensor {
    let output = backbone.output(input(patches.tokens(rows)))
    return output.added(
      to: head(output.hidden).pinballLoss(
        targets: patches.byPhase(targets), levels: config.levels.map(Float.init),
        weights: patches.byPhase(weights)))
  }

  /// Quantiles in normalized units, ascending.
  ///
  /// - Parameter rows: `[B, T, F]`.
  /// - Returns: `[B, T, P · Q]`: for each row and step ahead the Q quantiles.
  public func quantiles(_ rows: Tensor) -> Tensor {
    withoutGradient {
      let outputs = head(backbone(input(patches.tokens(rows))))
      return patches.byRow(
        outputs.monotoneQuantiles(count: config.levels.count), time: rows.shape[1])
    }
  }

  /// The state before the first row of `batch` series.
  public func initialState(batch: Int = 1) -> ForecasterState {
    ForecasterState(
      phases: (0..<config.patch).map { _ in backbone.initialState(batch: batch) },
      recent: [Float](repeating: 0, count: batch * (config.patch - 1) * config.inputs))
  }

  /// Quantiles after each of T further rows. Where the backbone is recurrent, one row costs the same
  /// however many came before.
  ///
  /// - Parameters:
  ///   - rows: `[B, T, F]`.
  ///   - state: What earlier rows left; advanced by T.
  /// - Returns: `[B, T, P · Q]`.
  public func quantiles(_ rows: Tensor, state: inout ForecasterState) -> Tensor {
    withoutGradient {
      head(hidden(rows, state: &state)).monotoneQuantiles(count: config.levels.count)
    }
  }

  /// Takes in rows without asking for a forecast.
  public func advance(_ rows: Tensor, state: inout ForecasterState) {
    withoutGradient { _ = hidden(rows, state: &state) }
  }

  /// What the backbone makes of each of T further rows: `[B, T, D]`.
  private func hidden(_ rows: Tensor, state: inout ForecasterState) -> Tensor {
    guard config.patch > 1 else { return backbone(input(rows), state: &state.phases[0]) }
    let time = rows.shape[1]
    let tokens = patches.tokens(rows, after: &state.recent)
    let parts = tokens.enumerated().map { phase, tokens in
      backbone(input(tokens), state: &state.phases[(state.count + phase) % config.patch])
    }
    state.count += time
    return patches.woven(parts, time: time)
  }

  /// Biases that make every forecast the standard normal's quantiles.
  private static func normalStart(_ config: ForecasterConfig) -> [Float] {
    let quantiles = config.levels.map(normalQuantile)
    let median = quantiles.count / 2
    let free = quantiles.indices.map { index -> Float in
      if index == median { return Float(quantiles[index]) }
      let step =
        index > median
        ? quantiles[index] - quantiles[index - 1] : quantiles[index + 1] - quantiles[index]
      return Float(log(expm1(max(step, 1e-4))))  // the inverse of softplus
    }
    return (0..<config.horizon).flatMap { _ in free }
  }
}

/// The standard normal's quantile, by bisection on the error function: used at the start only.
private func normalQuantile(_ level: Double) -> Double {
  var (low, high) = (-40.0, 40.0)
  for _ in 0..<100 {
    let middle = (low + high) / 2
    if erfc(-middle / 2.0.squareRoot()) / 2 < level { low = middle } else { high = middle }
  }
  return (low + high) / 2
}
