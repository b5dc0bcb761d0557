import ApusNN
import ApusTensor

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
  /// Rows, the row itself the last, that every row is shown with, W: the window that a forecast starts
  /// from by a linear map. 0 for none, as forecasters saved before there were windows have it.
  public var window: Int
  /// Numbers that are known of a row before it comes, K: those of each step ahead are read with the forecast
  /// of that step. 0 for none.
  public var known: Int
  /// What is said about each step ahead, and by which loss it is learned.
  public var head: ForecastHead

  /// Creates a configuration.
  public init(
    _ backbone: Blueprint, context: Int, inputs: Int, horizon: Int, levels: [Double],
    patch: Int = 1, window: Int = 0, known: Int = 0, head: ForecastHead = .quantiles
  ) {
    (self.backbone, self.context, self.inputs) = (backbone, context, inputs)
    (self.horizon, self.levels, self.patch) = (horizon, levels, patch)
    (self.window, self.known, self.head) = (window, known, head)
  }

  /// Numbers of one row.
  var rowWidth: Int { inputs + window + horizon * known + (head.isOfCounts ? 1 : 0) }

  /// Whether a linear map of windows starts the forecast.
  var hasMap: Bool { window > 0 && !head.isOfCounts }

  /// The usual window for a look-back: all of it, as far as a linear map gains by more rows.
  public static func usualWindow(context: Int) -> Int { min(context, 256) }

  /// Creates a configuration whose backbone follows from a size, of which the context is in rows.
  ///
  /// - Throws: ``ConfigError``.
  public init(
    _ architecture: Architecture, size: BackboneSize, inputs: Int, horizon: Int, levels: [Double],
    patch: Int = 1, window: Int = 0, known: Int = 0, head: ForecastHead = .quantiles
  ) throws {
    var tokens = size
    tokens.context = max(1, size.context / max(1, patch))
    self.init(
      try architecture.configured(size: tokens), context: size.context, inputs: inputs,
      horizon: horizon, levels: levels, patch: patch, window: window, known: known, head: head)
  }
}

extension ForecasterConfig: Codable {
  private enum CodingKeys: String, CodingKey {
    case backbone, context, inputs, horizon, levels, patch, window, known, head, components
    case architecture, size
  }

  /// Reads a configuration. What was saved before a backbone's configuration was has its size, and
  /// before there were patches no patch, before there were windows no window, before anything could be known
  /// ahead nothing known, and before there were other heads quantiles.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    let inputs = try keys.decode(Int.self, forKey: .inputs)
    let horizon = try keys.decode(Int.self, forKey: .horizon)
    let levels = try keys.decode([Double].self, forKey: .levels)
    let patch = try keys.decodeIfPresent(Int.self, forKey: .patch) ?? 1
    if let backbone = try keys.decodeIfPresent(Blueprint.self, forKey: .backbone) {
      self.init(
        backbone, context: try keys.decode(Int.self, forKey: .context), inputs: inputs,
        horizon: horizon, levels: levels, patch: patch,
        window: try keys.decodeIfPresent(Int.self, forKey: .window) ?? 0,
        known: try keys.decodeIfPresent(Int.self, forKey: .known) ?? 0,
        head: try Self.head(keys))
    } else {
      try self.init(
        .named(try keys.decode(String.self, forKey: .architecture)),
        size: try keys.decode(BackboneSize.self, forKey: .size), inputs: inputs,
        horizon: horizon, levels: levels, patch: patch)
    }
    try validate()
  }

  private static func head(
    _ keys: KeyedDecodingContainer<CodingKeys>
  ) throws -> ForecastHead {
    guard let name = try keys.decodeIfPresent(String.self, forKey: .head) else { return .quantiles }
    guard let head = ForecastHead(named: name) else {
      throw ConfigError.invalid(
        key: "head", value: name, rule: "it must be \(ForecastHead.names.joined(separator: ", "))")
    }
    guard head.components != nil,
      let components = try keys.decodeIfPresent(Int.self, forKey: .components)
    else { return head }
    return .mixture(components: components)
  }

  /// Writes every key, of the backbone's configuration too; no window where there is none.
  public func encode(to encoder: any Encoder) throws {
    var keys = encoder.container(keyedBy: CodingKeys.self)
    try keys.encode(backbone, forKey: .backbone)
    try keys.encode(context, forKey: .context)
    try keys.encode(inputs, forKey: .inputs)
    try keys.encode(horizon, forKey: .horizon)
    try keys.encode(levels, forKey: .levels)
    try keys.encode(patch, forKey: .patch)
    if window > 0 { try keys.encode(window, forKey: .window) }
    if known > 0 { try keys.encode(known, forKey: .known) }
    if head != .quantiles { try keys.encode(head.name, forKey: .head) }
    try keys.encodeIfPresent(head.components, forKey: .components)
  }
}

extension ForecasterConfig: CheckedConfig {
  /// Throws ``ConfigError`` naming the key, its value and the rule broken.
  public func validate() throws {
    try requireSizes(
      ("inputs", inputs, 4096), ("horizon", horizon, 4096), ("context", context, 1_048_576),
      ("patch", patch, 1024))
    try requireLevels(levels)
    try require(
      (0...min(context, 4096)).contains(window), "window", window,
      "it must be in 0...\(min(context, 4096)), as the context is \(context)")
    try require((0...4096).contains(known), "known", known, "it must be in 0...4096")
    try require(
      known * horizon <= 262_144, "known", known,
      "with a horizon of \(horizon) it must be at most \(262_144 / horizon)")
    if let components = head.components {
      try require(
        (1...16).contains(components), "components", components, "it must be in 1...16")
    }
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
