package import ApusTensor

/// The configuration of a forecaster that comes trained, as its published folder has it.
package protocol PretrainedConfig: ModelConfig {
  /// What people call the model, such as "Chronos-Bolt".
  static var family: String { get }
  /// What it is, a phrase without a period.
  static var summary: String { get }
  /// Where it was published: authors, year, arXiv number.
  static var paper: String { get }
  /// Whether a state goes on from value to value, so that a row of a stream costs no new look at a context.
  static var isRecurrent: Bool { get }
  /// Whether a `config.json` is of such a model; nothing of it is checked yet.
  static func describes(_ config: JSONValue) -> Bool
  /// The most values that a forecast rests on, L.
  var contextLength: Int { get }
  /// The model's own quantile levels, ascending, Q of them.
  var levels: [Double] { get }
  /// Makes the model of a published checkpoint.
  ///
  /// - Throws: `CheckpointError` when the checkpoint does not fit.
  func makeModel(checkpoint: [String: Tensor]) throws -> any PretrainedModel
  /// What the model keeps of a series, before its first value.
  ///
  /// - Throws: `CheckpointError` when the weights do not fit.
  func makeReader(_ weights: PretrainedWeights, task: ForecastTask) throws -> any PretrainedReader
}

extension PretrainedConfig {
  package static var isRecurrent: Bool { false }

  package func makeReader(_ weights: PretrainedWeights, task: ForecastTask) throws
    -> any PretrainedReader
  { ContextReader(weights: weights) }
}

/// A forecaster that comes trained.
package protocol PretrainedModel {
  /// Quantiles of any number of steps after each of some contexts, as the published package makes them of
  /// a batch.
  ///
  /// - Parameters:
  ///   - contexts: Values of B series, oldest first, the last ones counting; NaN where one is missing.
  ///     Each has at least one that is not.
  ///   - steps: P.
  /// - Returns: `[B][P][Q]` at the model's own levels; they may cross.
  func quantiles(after contexts: [[Float]], steps: Int) -> [[[Float]]]
}

/// What a model keeps of a series while values come.
package protocol PretrainedReader: Sendable {
  /// Takes in the next value; NaN where it is missing.
  mutating func push(_ value: Float)
  /// Quantiles of the values that follow, `[P][Q]` at the model's own levels; asked for only after a value
  /// was present.
  func quantiles(steps: Int) throws -> [[Float]]
}

/// The reader of models that see a whole context anew for every forecast: it keeps the last values.
package struct ContextReader: PretrainedReader {
  private let weights: PretrainedWeights
  /// The last values, oldest first; as many again before the front is cut off.
  private var values: [Float] = []

  package init(weights: PretrainedWeights) { self.weights = weights }

  package mutating func push(_ value: Float) {
    values.append(value)
    let most = weights.config.contextLength
    if values.count >= 2 * most { values.removeFirst(values.count - most) }
  }

  package func quantiles(steps: Int) throws -> [[Float]] {
    try weights.model().quantiles(after: [values], steps: steps)[0]
  }
}

/// The kinds of folders that are read.
package enum PretrainedFamily {
  /// All of them, by their configurations.
  package static let all: [any PretrainedConfig.Type] = [
    ChronosBoltConfig.self, Chronos2Config.self, TiRexConfig.self, FlowStateConfig.self,
  ]

  /// The kind that a `config.json` describes; nil where it is none of them.
  package static func of(_ config: JSONValue) -> (any PretrainedConfig.Type)? {
    all.first { $0.describes(config) }
  }
}

/// The configuration and the weights of a pretrained forecaster, as values.
package struct PretrainedWeights: Sendable {
  /// The `config.json` as it was found.
  package let document: JSONValue
  /// What it says.
  package let config: any PretrainedConfig
  /// The weights by their published names, in float32.
  package let tensors: [String: TensorValue]

  /// Puts the parts together, and makes the model once to see that they fit.
  ///
  /// - Throws: ``ConfigError``, `CheckpointError`, or ``PretrainedError`` for a configuration of another
  ///   kind.
  package init(_ document: JSONValue, checkpoint: [String: Tensor], at path: String) throws {
    guard let kind = PretrainedFamily.of(document) else {
      throw PretrainedError.notPretrained(path: path)
    }
    self.document = document
    config = try kind.init(document)
    tensors = checkpoint.mapValues { tensor in
      [.float32, .int32].contains(tensor.dtype)
        ? tensor.contents : tensor.converted(to: .float32).contents
    }
    _ = try model()
  }

  /// The model over these weights, which are not copied.
  package func model() throws -> any PretrainedModel {
    try config.makeModel(checkpoint: tensors.mapValues { Tensor($0) })
  }
}

extension PretrainedConfig {
  /// Quantiles of one step at other levels: between two of the model's own on the line between them,
  /// outside of these the outermost one.
  package func quantiles(at wanted: [Double], of row: [Float]) -> [Double] {
    let places = wanted.compactMap { level in levels.firstIndex { abs($0 - level) < 1e-9 } }
    if places.count == wanted.count { return places.map { Double(row[$0]) } }
    let values = row.sorted().map(Double.init)
    return wanted.map { level in
      guard let above = levels.firstIndex(where: { $0 >= level }) else {
        return values.last ?? .nan
      }
      guard above > 0 else { return values[0] }
      let share = (level - levels[above - 1]) / (levels[above] - levels[above - 1])
      return values[above - 1] + share * (values[above] - values[above - 1])
    }
  }
}
