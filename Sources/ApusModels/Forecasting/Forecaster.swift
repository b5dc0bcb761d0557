import Foundation
public import ApusNN
public import ApusTensor

/// A forecaster: a projection of normalized rows or patches of them, a backbone, and a head of quantiles
/// that cannot cross, or of a distribution that has quantiles (``ForecastHead``).
///
/// Every row t of a window forecasts the P rows after it, so that one window of T rows teaches T
/// forecasts. Rows arrive normalized by statistics of the past alone, and quantiles are in the same
/// units: `location + scale · q` is the forecast.
///
/// Beside its F features a row may hold the W rows that end with it, less its location and over its
/// scale, so that every row sees its own past whatever the level. A linear map of them, fitted by least
/// squares and not trained, is where a forecast starts: the backbone learns what it leaves. The
/// normalization is that of the last value, as in NLinear (Zeng et al., 2023, arXiv:2205.13504), the sum
/// of a linear and a deep part that of Kim et al., 2022, *Reversible Instance Normalization*, with Li et
/// al., 2023, *Revisiting Long-term Time Series Forecasting*, arXiv:2305.10721.
///
/// Behind them stands what is known of each of the P rows ahead, K numbers a row; those of a step are read
/// with the forecast of that step (`KnownHead`). Where values are counts, their scale ends a row (S = 1, else
/// 0), and no linear map starts the forecast: the window is seen alone.
/// Shapes: B batch, T time, F features, W window, D width, P horizon, Q levels, K known numbers, A outputs of a
/// step.
public struct Forecaster {
  /// The configuration.
  public let config: ForecasterConfig
  /// Every weight, in the order in which they were made.
  public let parameters: [Parameter]
  let input: Linear
  let backbone: any Backbone
  let head: Linear
  private let patches: Patches
  /// What a row sees of its window: `[D, W]`.
  private let view: Linear?
  /// The linear map from a row's window to the rows ahead: `[P, W]`.
  private let direct: Parameter?
  private let knownHead: KnownHead?
  private let rule: HeadRule

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
    rule = HeadRule(config.head, levels: config.levels)
    // The forecast starts as the normal distribution of the past scale, whatever the input.
    let start = rule.start(normalQuantile)
    head = try Linear(
      backbone.outputWidth, config.horizon * rule.outputs, start: .normal(deviation: 0.002),
      biasStart: .values((0..<config.horizon).flatMap { _ in start }), in: scope["head"])
    view =
      config.window > 0
      ? try Linear(config.window, config.backbone.facts.width, bias: false, in: scope["window"])
      : nil
    direct =
      config.hasMap
      ? try scope["direct"].parameter(
        "weight", [config.horizon, config.window], .zeros, isTrainable: false) : nil
    knownHead =
      config.known > 0
      ? try KnownHead(
        config.known, state: backbone.outputWidth, horizon: config.horizon,
        outputs: rule.outputs, in: scope["known"]) : nil
    parameters = try scope.finish()
  }

  /// A forecaster with fresh weights.
  ///
  /// - Throws: ``ConfigError``.
  public init(_ config: ForecasterConfig, key: RandomKey) throws {
    try self.init(config, in: Scope(key: key))
  }

  /// Numbers of one row: its features, then its window, then what is known of the rows ahead, then the
  /// scale of counts.
  public var rowWidth: Int { config.rowWidth }

  /// Mean loss over rows and horizon: pinball in normalized units and over levels, or the negative log
  /// likelihood in nats.
  ///
  /// - Parameters:
  ///   - rows: `[B, T, F + W + P · K + S]`.
  ///   - targets: Of the last N rows, N ≤ T: `[B, N, P]`, normalized like the rows.
  ///   - weights: `[B, N, P]`; 0 leaves a target out.
  /// - Returns: A scalar.
  public func loss(_ rows: Tensor, targets: Tensor, weights: Tensor) -> Tensor {
    let row = Row(rows, config)
    let output = backbone.output(tokens(row))
    let (time, last) = (rows.shape[1], targets.shape[1])
    guard config.patch == 1 else {
      let (targets, weights) = (
        targets.after(zeros: time - last), weights.after(zeros: time - last)
      )
      return output.added(
        to: rule.loss(
          outputs(output.hidden, known: row.known.map(patches.byPhase)),
          targets: patches.byPhase(left(targets, by: row.window)),
          weights: patches.byPhase(weights), units: row.scale.map(patches.byPhase).map(byStep)))
    }
    func end(_ tensor: Tensor) -> Tensor {
      last < time ? tensor[times: time - last..<time] : tensor
    }
    let (hidden, window) = (end(output.hidden), row.window.map(end))
    return output.added(
      to: rule.loss(
        outputs(hidden, known: row.known.map(end)), targets: left(targets, by: window),
        weights: weights, units: row.scale.map(end).map(byStep)))
  }

  /// Quantiles in normalized units, ascending.
  ///
  /// - Parameters:
  ///   - rows: `[B, T, F + W + P · K + S]`.
  ///   - last: N, for how many rows at the end there are to be quantiles; nil for all.
  /// - Returns: `[B, N, P · Q]`: for each row and step ahead the Q quantiles.
  public func quantiles(_ rows: Tensor, last: Int? = nil) -> Tensor {
    withoutGradient {
      let (row, time) = (Row(rows, config), rows.shape[1])
      let asked = time - min(last ?? time, time)..<time
      let hidden = patches.byRow(backbone(tokens(row)), time: time)
      return quantiles(
        of: hidden[times: asked], window: row.window?[times: asked],
        known: row.known?[times: asked], scale: row.scale?[times: asked])
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
  ///   - rows: `[B, T, F + W + P · K + S]`.
  ///   - state: What earlier rows left; advanced by T.
  /// - Returns: `[B, T, P · Q]`.
  public func quantiles(_ rows: Tensor, state: inout ForecasterState) -> Tensor {
    withoutGradient {
      let row = Row(rows, config)
      return quantiles(
        of: hidden(row, state: &state), window: row.window, known: row.known, scale: row.scale)
    }
  }

  /// Quantiles of some of the series of a batch after one further row of each, to the bits of a batch of
  /// one.
  ///
  /// - Parameters:
  ///   - rows: `[B, 1, F + W + P · K + S]`.
  ///   - asked: The numbers of N series.
  ///   - state: What earlier rows left; advanced by one.
  /// - Returns: `[N, 1, P · Q]`.
  package func quantiles(
    _ rows: Tensor, of asked: [Int], state: inout ForecasterState
  ) -> Tensor {
    withSequencesAlone {
      let row = Row(rows, config)
      let hidden = hidden(row, state: &state)
      return quantiles(
        of: hidden.sequences(asked), window: row.window?.sequences(asked),
        known: row.known?.sequences(asked), scale: row.scale?.sequences(asked))
    }
  }

  /// Quantiles after some rows of several series.
  ///
  /// - Parameters:
  ///   - rows: `[B, T, F + W + P · K + S]`.
  ///   - asked: The numbers of N rows among all B · T.
  /// - Returns: `[N, 1, P · Q]`.
  package func quantiles(_ rows: Tensor, after asked: [Int]) -> Tensor {
    withoutGradient {
      let (row, time) = (Row(rows, config), rows.shape[1])
      func chosen(_ tensor: Tensor) -> Tensor {
        tensor.reshaped([rows.shape[0] * time, 1, tensor.shape[2]]).sequences(asked)
      }
      let hidden = chosen(patches.byRow(backbone(tokens(row)), time: time))
      return quantiles(
        of: hidden, window: row.window.map(chosen), known: row.known.map(chosen),
        scale: row.scale.map(chosen))
    }
  }

  /// Takes in rows without asking for a forecast.
  public func advance(_ rows: Tensor, state: inout ForecasterState) {
    withoutGradient { _ = hidden(Row(rows, config), state: &state) }
  }

  /// The tokens of all rows.
  private func tokens(_ row: Row) -> Tensor {
    let own = input(patches.tokens(row.features))
    guard let view, let window = row.window else { return own }
    return own + view(patches.byPhase(window))
  }

  /// What the backbone makes of each of T further rows: `[B, T, D]`.
  private func hidden(_ row: Row, state: inout ForecasterState) -> Tensor {
    let time = row.features.shape[1]
    guard config.patch > 1 else { return backbone(tokens(row), state: &state.phases[0]) }
    let tokens = patches.tokens(row.features, after: &state.recent)
    let parts = tokens.enumerated().map { phase, tokens in
      var token = input(tokens)
      if let view, let window = row.window {
        token = token + view(window.every(config.patch, from: phase))
      }
      return backbone(token, state: &state.phases[(state.count + phase) % config.patch])
    }
    state.count += time
    return patches.woven(parts, time: time)
  }

  /// What a forecast is made of, `[B, N, P · A]`: the head of the state, and what known inputs add.
  private func outputs(_ hidden: Tensor, known: Tensor?) -> Tensor {
    guard let knownHead, let known else { return head(hidden) }
    return head(hidden) + knownHead(hidden, known: known)
  }

  /// Quantiles from what the backbone made of N rows: those of the heads around the linear map.
  private func quantiles(
    of hidden: Tensor, window: Tensor?, known: Tensor?, scale: Tensor?
  ) -> Tensor {
    let levels = config.levels.count
    var values = rule.quantiles(outputs(hidden, known: known), units: scale.map(byStep))
    for (step, start) in (window.flatMap(start)?.values ?? []).enumerated() {
      for index in step * levels..<(step + 1) * levels { values[index] += start }
    }
    return Tensor(values, [hidden.shape[0], hidden.shape[1], config.horizon * levels])
  }

  /// The scale of every row, `[B, N, 1]`, once for each of its steps: `[B · N · P]`.
  private func byStep(_ scale: Tensor) -> Tensor {
    let all = scale.values.flatMap { Array(repeating: $0, count: config.horizon) }
    return Tensor(all, [all.count])
  }

  /// Targets less where their forecasts start: `[B, N, P]`.
  private func left(_ targets: Tensor, by window: Tensor?) -> Tensor {
    guard let start = window.flatMap(start) else { return targets }
    return withoutGradient { targets + start * -1 }
  }

  /// Where forecasts start: `[B, N, P]` of windows `[B, N, W]`.
  private func start(_ window: Tensor) -> Tensor? {
    guard let direct else { return nil }
    return withoutGradient { window.linear(weight: direct.value) }
  }
}

extension Forecaster {
  /// Begins with a linear map of windows and with the errors that it makes.
  ///
  /// - Parameters:
  ///   - map: The map; one of other sizes is left.
  ///   - errors: For each of the P steps errors of the map in normalized units, in any order; where
  ///     there are too few of a step, its quantiles stay those of the normal distribution.
  package func begin(with map: DirectMap, errors: [[Double]]) {
    let numbers = map.weights.joined().map { Float($0) }
    guard let direct, let bias = head.bias, numbers.count == direct.value.count,
      errors.count == config.horizon
    else { return }
    direct.set(Tensor(numbers, direct.shape))
    let starts = errors.map { sample -> [Float] in
      let sorted = sample.sorted()
      guard sorted.count >= Self.fewestErrors else { return rule.start(normalQuantile) }
      return rule.start { quantile(ofSorted: sorted, at: $0) }
    }
    bias.set(Tensor(starts.flatMap(\.self), bias.shape))
  }

  /// Fewer errors than this say nothing about their distribution.
  private static var fewestErrors: Int { 16 }
}

/// The parts of rows: `[B, T, F]`, `[B, T, W]`, `[B, T, P · K]` and `[B, T, 1]`.
private struct Row {
  let features: Tensor
  let window: Tensor?
  let known: Tensor?
  let scale: Tensor?

  init(_ rows: Tensor, _ config: ForecasterConfig) {
    let (inputs, windowed) = (config.inputs, config.inputs + config.window)
    let (aware, width) = (windowed + config.horizon * config.known, config.rowWidth)
    precondition(rows.shape.last == width, "Forecaster: rows \(rows.shape), expected \(width)")
    features = inputs < width ? rows[features: 0..<inputs] : rows
    window = config.window > 0 ? rows[features: inputs..<windowed] : nil
    known = config.known > 0 ? rows[features: windowed..<aware] : nil
    scale = aware < width ? rows[features: aware..<width] : nil
  }
}

/// The standard normal's quantile, by bisection on the error function: for a few levels once.
package func normalQuantile(_ level: Double) -> Double {
  var (low, high) = (-40.0, 40.0)
  for _ in 0..<100 {
    let middle = (low + high) / 2
    if erfc(-middle / 2.0.squareRoot()) / 2 < level { low = middle } else { high = middle }
  }
  return (low + high) / 2
}
