public import ApusTensor
import Foundation

extension Baseline {
  /// A pretrained forecaster in a folder of published weights: it forecasts what it never saw, so that a
  /// comparison shows whether training pays.
  ///
  /// Known are folders of Chronos-Bolt, Chronos-2, TiRex and FlowState (`config.json` and safetensors).
  /// Nothing of the series is learned; a volatility is forecast by its logarithm, so that no forecast is
  /// negative. The point forecast is the median. The baseline's name is the path.
  /// - Parameter path: The folder.
  /// - Returns: The baseline, which names its path.
  /// - Throws: `ConfigError`, `CheckpointError` or `FileError` for what is wrong with the folder, or
  ///   ``PretrainedError`` where it holds something else.
  public static func pretrained(at path: String) throws -> Baseline {
    guard let config = try publishedConfig(at: path) else {
      throw PretrainedError.notPretrained(path: path)
    }
    return Baseline(
      path, try PretrainedWeights(config, checkpoint: Safetensors.load(path), at: path))
  }

  /// A kind of pretrained forecasters whose folders are read.
  public struct PretrainedEntry: Sendable {
    /// What people call it, such as "TiRex".
    public let name: String
    /// The `model_type` of its configuration.
    public let modelType: String
    /// What it is, a phrase without a period.
    public let summary: String
    /// Authors, year and arXiv number.
    public let paper: String
    /// Whether a row of a stream costs no new look at a context.
    public let isRecurrent: Bool
  }

  /// All kinds of pretrained forecasters whose folders are read.
  public static var pretrainedFamilies: [PretrainedEntry] {
    PretrainedFamily.all.map {
      PretrainedEntry(
        name: $0.family, modelType: $0.modelType, summary: $0.summary, paper: $0.paper,
        isRecurrent: $0.isRecurrent)
    }
  }

  /// A pretrained forecaster of weights that are read already.
  package init(_ name: String, _ weights: PretrainedWeights) {
    self.init(name, PretrainedRule(weights: weights))
  }

  /// What a pretrained one was read from; nil of the others.
  package var pretrained: PretrainedWeights? { (rule as? PretrainedRule)?.weights }

  /// Whether the folder of a path has the configuration of a pretrained forecaster.
  ///
  /// - Throws: `JSONFileError` or `FileError` for a file that cannot be read.
  package static func isPretrained(at path: String) throws -> Bool {
    try publishedConfig(at: path) != nil
  }

  /// The configuration of a pretrained forecaster in a folder; nil where there is none.
  private static func publishedConfig(at path: String) throws -> JSONValue? {
    let file = path + "/config.json"
    guard Files.isFile(file) else { return nil }
    let config = try JSONValue(path: file, limit: 1 << 24)
    return PretrainedFamily.of(config) == nil ? nil : config
  }
}

/// An error of a folder that is to hold a pretrained forecaster.
public enum PretrainedError: ApusError, Hashable {
  /// There is none of a known kind.
  case notPretrained(path: String)

  public var exitStatus: ExitStatus { .configuration }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .notPretrained(let path):
      "'\(path)' holds no pretrained forecaster. Give a folder with the config.json and the "
        + "safetensors of \(PretrainedFamily.all.map { $0.family }.joined(separator: ", "))."
    }
  }
}

/// A model that comes trained: what it keeps of a series is for its reader to say.
package struct PretrainedRule: BaselineRule {
  let weights: PretrainedWeights

  package mutating func learn(_ history: [Double], task: ForecastTask) throws {}

  package func memory(_ task: ForecastTask) throws -> Memory {
    Memory(
      config: weights.config, reader: try weights.config.makeReader(weights, task: task), task: task
    )
  }

  package struct Memory: BaselineMemory {
    let config: any PretrainedConfig
    var reader: any PretrainedReader
    let task: ForecastTask

    private var isLogarithmic: Bool { task.measure == .volatility }

    package mutating func push(_ value: Double) {
      let isPresent = value.isFinite && (!isLogarithmic || value > 0)
      reader.push(isPresent ? Float(isLogarithmic ? log(value) : value) : .nan)
    }

    package func forecast() throws -> BaselineForecast {
      let rows = try reader.quantiles(steps: task.horizon)
      func own(_ value: Double) -> Double { isLogarithmic ? exp(value) : value }
      return BaselineForecast(
        quantiles: rows.map { config.quantiles(at: task.levels, of: $0).map(own) },
        mean: rows.map { own(config.quantiles(at: [0.5], of: $0)[0]) })
    }
  }
}
