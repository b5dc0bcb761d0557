public import ApusTensor
import Foundation

extension Baseline {
  /// A pretrained forecaster in a folder of published weights: it forecasts what it never saw, so that a
  /// comparison shows whether training pays.
  ///
  /// Known are folders of Chronos-Bolt (`config.json` and safetensors). Nothing of the series is learned;
  /// a volatility is forecast by its logarithm, so that no forecast is negative. The point forecast is the
  /// median. The baseline's name is the path.
  /// - Parameter path: The folder.
  /// - Returns: The baseline, which names its path.
  /// - Throws: `ConfigError`, `CheckpointError` or `FileError` for what is wrong with the folder, or
  ///   ``PretrainedError`` where it holds something else.
  public static func pretrained(at path: String) throws -> Baseline {
    guard let config = try publishedConfig(at: path), config["chronos_config"] != nil else {
      throw PretrainedError.notPretrained(path: path)
    }
    return Baseline(path, PretrainedRule(weights: try PretrainedWeights(config, at: path)))
  }

  /// The same where the path is that of such a folder; nil elsewhere.
  static func pretrained(ifAt path: String) throws -> Baseline? {
    guard try publishedConfig(at: path)?["chronos_config"] != nil else { return nil }
    return try pretrained(at: path)
  }

  private static func publishedConfig(at path: String) throws -> JSONValue? {
    let file = path + "/config.json"
    return Files.isFile(file) ? try JSONValue(path: file, limit: 1 << 24) : nil
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
        + "safetensors of Chronos-Bolt."
    }
  }
}

/// The configuration and the weights of a pretrained forecaster, as values.
package struct PretrainedWeights: Sendable {
  let config: ChronosBoltConfig
  private let tensors: [String: TensorValue]

  init(_ config: JSONValue, at path: String) throws {
    self.config = try ChronosBoltConfig(config)
    tensors = try Safetensors.load(path).mapValues { tensor in
      tensor.dtype == .float32 ? tensor.contents : tensor.converted(to: .float32).contents
    }
    _ = try model()
  }

  /// The model over these weights, which are not copied.
  package func model() throws -> ChronosBolt {
    try ChronosBolt(config, checkpoint: tensors.mapValues { Tensor($0) })
  }
}

/// A model that comes trained: what it keeps of a series are the last values.
package struct PretrainedRule: BaselineRule {
  let weights: PretrainedWeights

  package mutating func learn(_ history: [Double], task: ForecastTask) throws {}

  package func memory(_ task: ForecastTask) throws -> Memory {
    Memory(weights: weights, task: task)
  }

  package struct Memory: BaselineMemory {
    let weights: PretrainedWeights
    let task: ForecastTask
    /// The last values, oldest first; as many again before the front is cut off.
    private var values: [Float] = []

    fileprivate init(weights: PretrainedWeights, task: ForecastTask) {
      (self.weights, self.task) = (weights, task)
    }

    private var isLogarithmic: Bool { task.measure == .volatility }

    package mutating func push(_ value: Double) {
      let isPresent = value.isFinite && (!isLogarithmic || value > 0)
      values.append(isPresent ? Float(isLogarithmic ? log(value) : value) : .nan)
      let most = weights.config.chronosConfig.contextLength
      if values.count >= 2 * most { values.removeFirst(values.count - most) }
    }

    package func forecast() throws -> BaselineForecast {
      let model = try weights.model()
      let rows = model.quantiles(after: values, steps: task.horizon)
      func own(_ value: Double) -> Double { isLogarithmic ? exp(value) : value }
      return BaselineForecast(
        quantiles: rows.map { model.levels(task.levels, of: $0).map(own) },
        mean: rows.map { own(model.levels([0.5], of: $0)[0]) })
    }
  }
}
