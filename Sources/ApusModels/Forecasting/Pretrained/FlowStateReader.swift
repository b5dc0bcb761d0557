package import ApusTensor

extension FlowState: PretrainedModel {
  package func quantiles(after contexts: [[Float]], steps: Int) -> [[[Float]]] {
    contexts.map { quantiles(after: $0, steps: steps, season: 1) }
  }

  /// Quantiles after one context, as the published package makes them.
  ///
  /// - Parameters:
  ///   - context: Values, the last ones counting; NaN where one is missing.
  ///   - steps: P.
  ///   - season: Rows in a season, which says how long a step is; 1 for what the configuration says.
  /// - Returns: `[P][Q]`.
  package func quantiles(after context: [Float], steps: Int, season: Int) -> [[Float]] {
    let scale = config.scale(season: season)
    var state = initialState()
    let most = config.longestContext(scale: scale, steps: steps)
    advance(Array(context.suffix(most)), scale: scale, state: &state)
    return quantiles(steps: steps, scale: scale, state: state)
  }
}

extension FlowStateConfig {
  /// The values that a forecast reads, those that it reads as missing among them.
  func longestContext(scale: Double, steps: Int) -> Int {
    let ahead = max(0, steps - max(1, Int(Double(decoderPatchLen) / scale + 1e-6)))
    return max(1, min(16 * 1024, Int(Double(contextLength) / scale)) - ahead)
  }
}

extension FlowStateConfig: PretrainedConfig {
  package static let family = "FlowState"
  package static let summary = "State spaces, and a forecast that is a function of continuous time"
  package static let paper = "Graf et al., 2025, arXiv:2508.05287"
  package static let isRecurrent = true
  package var levels: [Double] { quantiles }

  package static func describes(_ config: JSONValue) -> Bool {
    config["model_type"]?.string == modelType
  }

  package func makeModel(checkpoint: [String: Tensor]) throws -> any PretrainedModel {
    try FlowState(self, checkpoint: checkpoint)
  }

  package func makeReader(_ weights: PretrainedWeights, task: ForecastTask) throws
    -> any PretrainedReader
  {
    try FlowStateReader(self, weights, task: task)
  }
}

/// A series at work: states go on from value to value, so that a row costs the same however many came.
///
/// The published package reads the last L values anew for every forecast. Up to L values this one gives the
/// same; beyond, a state that has read L/2 values takes the place of one that has read L, so that a forecast
/// rests on the last L/2 to L.
struct FlowStateReader: PretrainedReader {
  private let config: FlowStateConfig
  private let weights: PretrainedWeights
  private let scale: Double
  /// L.
  private let longest: Int
  /// The state that forecasts, and the one that will.
  private var states: [FlowState.State]
  /// Values that each has taken in.
  private var counts: [Int]
  /// Values that are not taken in yet: fewer than a chunk.
  private var waiting: [Float] = []
  /// Values pass the encoder so many at a time.
  private static let chunk = 16

  init(_ config: FlowStateConfig, _ weights: PretrainedWeights, task: ForecastTask) throws {
    (self.config, self.weights) = (config, weights)
    scale = config.scale(season: task.seasonLength)
    longest = config.longestContext(scale: scale, steps: task.horizon)
    states = [try FlowState(config, weights: weights).initialState()]
    counts = [0]
  }

  mutating func push(_ value: Float) {
    if counts[0] >= longest, states.count > 1 {
      states.removeFirst()
      counts.removeFirst()
    }
    waiting.append(value)
    guard waiting.count >= Self.chunk || counts[0] + waiting.count >= longest,
      // The weights fitted before; did they not, the next forecast would say so.
      let model = try? FlowState(config, weights: weights)
    else { return }
    for index in states.indices {
      model.advance(waiting, scale: scale, state: &states[index])
      counts[index] += waiting.count
    }
    waiting = []
    if counts[0] >= longest / 2, states.count == 1 {
      states.append(model.initialState())
      counts.append(0)
    }
  }

  func quantiles(steps: Int) throws -> [[Float]] {
    let model = try FlowState(config, weights: weights)
    var state = states[0]
    model.advance(waiting, scale: scale, state: &state)
    return model.quantiles(steps: steps, scale: scale, state: state)
  }
}

extension FlowState {
  /// The model over weights, which are not copied.
  fileprivate init(_ config: FlowStateConfig, weights: PretrainedWeights) throws {
    try self.init(config, checkpoint: weights.tensors.mapValues { Tensor($0) })
  }
}
