import Foundation
public import ApusNN
public import ApusTensor

/// What a ``Forecaster`` is asked for, and how large it is.
public struct ForecasterConfig: Codable, Sendable, Hashable {
  /// The registered name of its backbone.
  public var architecture: String
  /// Width, layers and look-back of the backbone.
  public var size: BackboneSize
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
    architecture: String, size: BackboneSize, inputs: Int, horizon: Int, levels: [Double],
    patch: Int = 1
  ) {
    self.architecture = architecture
    self.size = size
    self.inputs = inputs
    self.horizon = horizon
    self.levels = levels
    self.patch = patch
  }

  /// Reads a configuration; what was saved before there were patches has none.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    architecture = try keys.decode(String.self, forKey: .architecture)
    size = try keys.decode(BackboneSize.self, forKey: .size)
    inputs = try keys.decode(Int.self, forKey: .inputs)
    horizon = try keys.decode(Int.self, forKey: .horizon)
    levels = try keys.decode([Double].self, forKey: .levels)
    patch = try keys.decodeIfPresent(Int.self, forKey: .patch) ?? 1
  }

  /// Throws ``ConfigError`` naming the key, its value and the rule broken.
  public func validate() throws {
    func check(_ good: Bool, _ key: String, _ value: some Any, _ rule: String) throws {
      guard good else { throw ConfigError.invalid(key: key, value: "\(value)", rule: rule) }
    }
    try check((1...4096).contains(inputs), "inputs", inputs, "it must be in 1...4096")
    try check((1...4096).contains(horizon), "horizon", horizon, "it must be in 1...4096")
    try check((1...512).contains(levels.count), "levels", levels, "there must be 1 to 512")
    try check(
      levels.allSatisfy { $0 > 0 && $0 < 1 } && zip(levels, levels.dropFirst()).allSatisfy(<),
      "levels", levels, "they must ascend inside (0, 1)")
    try check((1...65536).contains(size.width), "width", size.width, "it must be in 1...65536")
    try check((1...1024).contains(size.layers), "layers", size.layers, "it must be in 1...1024")
    try check(
      (1...1_048_576).contains(size.context), "context", size.context, "it must be in 1...1048576")
    try check((1...1024).contains(patch), "patch", patch, "it must be in 1...1024")
    try check(
      size.context % patch == 0, "patch", patch, "it must divide the context, \(size.context)")
    try check(
      inputs * patch <= 65536, "patch", patch,
      "with \(inputs) inputs it must be at most \(65536 / inputs)"
    )
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
  /// What it was made for.
  public let config: ForecasterConfig
  /// Every weight, in the order in which they were made.
  public let parameters: [Parameter]
  let input: Linear
  let backbone: any Backbone
  let head: Linear
  private let patches: Patches

  /// Makes the forecaster that `config` describes, with weights from `scope`.
  ///
  /// - Throws: ``ConfigError``, or ``CheckpointError`` when the checkpoint does not fit.
  public init(_ config: ForecasterConfig, in scope: Scope) throws {
    try config.validate()
    self.config = config
    let architecture = try Architecture.named(config.architecture)
    let width = config.size.width
    patches = Patches(length: config.patch)
    input = try Linear(config.patch * config.inputs, width, in: scope["input"])
    var size = config.size
    size.context /= config.patch
    backbone = try architecture.makeBackbone(
      try architecture.makeConfiguration(size: size), in: scope["backbone"])
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
