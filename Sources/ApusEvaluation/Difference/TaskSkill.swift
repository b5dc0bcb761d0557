import ApusModels
import Foundation

/// Skill and win rate of several models over several tasks.
///
/// The skill is 1 minus the geometric mean of the errors over those of the baseline, each ratio clipped
/// to 0.01...100; the win rate is the share of tasks and other models in which a model errs less, a tie
/// counting a half. A task in which a model failed has the error of the baseline, and is counted.
/// Intervals come from resampling whole tasks. The conventions of fev-bench: Shchur et al., 2025,
/// *fev-bench: A Realistic Benchmark for Time Series Forecasting*, arXiv:2509.26468.
public struct TaskSkill: Sendable, Hashable, Codable {
  /// One model over all tasks.
  public struct Row: Sendable, Hashable, Codable {
    /// The model.
    public let name: String
    /// 1 minus the geometric mean of the clipped ratios; 0 for the baseline.
    public let skill: Double
    /// The bootstrap interval of the skill.
    public let skillInterval: ClosedRange<Double>
    /// The win rate against all other models, 0...1; 1/2 when it is alone.
    public let winRate: Double
    /// The bootstrap interval of the win rate.
    public let winInterval: ClosedRange<Double>
    /// In how many tasks it failed.
    public let failures: Int
  }

  /// One row for each model, in the order given.
  public let rows: [Row]

  /// Judges errors.
  ///
  /// - Parameters:
  ///   - errors: By name of the model, one error for each task in the same order; nil, or a number that
  ///     is not finite, where it failed. Not negative.
  ///   - baseline: The name of the model to which ratios are taken; it must not fail.
  ///   - resamples: How many resamples of tasks. Default: 1000.
  ///   - confidence: The probability that intervals should have. Default: 0.95.
  ///   - generator: The source of randomness.
  /// - Throws: ``MetricError`` when numbers of tasks differ, there is none, the baseline is not among the
  ///   models or failed, or an error is negative.
  public init(
    errors: [(name: String, errors: [Double?])], baseline: String, resamples: Int = 1000,
    confidence: Double = 0.95, using generator: inout some RandomNumberGenerator
  ) throws {
    let title = "The skill"
    guard let bar = errors.first(where: { $0.name == baseline })?.errors else {
      throw MetricError.tooFew(metric: "\(title) over '\(baseline)'", found: 0, needed: 1)
    }
    try check(title, bar.count, bar.count, needed: 1)
    let base = try bar.map { error in
      guard let error, error.isFinite, error >= 0 else {
        throw MetricError.undefined(
          metric: title, what: "a baseline error of", found: error ?? .nan)
      }
      return error
    }
    var filled: [[Double]] = []
    var failures: [Int] = []
    for model in errors {
      try check("\(title) of \(model.name)", model.errors.count, base.count)
      failures.append(model.errors.count { !($0?.isFinite ?? false) })
      filled.append(
        try zip(model.errors, base).map { error, base in
          guard let error, error.isFinite else { return base }
          guard error >= 0 else {
            throw MetricError.undefined(metric: title, what: "an error of", found: error)
          }
          return error
        })
    }
    let logs = filled.map { zip($0, base).map(Self.logRatio) }
    let wins = filled.indices.map { model in
      base.indices.map { Self.wins(of: model, in: filled, task: $0) }
    }
    let draws = (0..<max(1, resamples)).map { _ in
      base.indices.map { _ in generator.index(below: base.count) }
    }
    func interval(_ values: [Double], _ map: (Double) -> Double) -> ClosedRange<Double> {
      let sorted = draws.map { draw in
        map(draw.reduce(0) { $0 + values[$1] } / Double(draw.count))
      }.sorted()
      let tail = 0.5 * (1 - min(max(confidence, 0), 1))
      return quantile(ofSorted: sorted, at: tail)...quantile(ofSorted: sorted, at: 1 - tail)
    }
    rows = errors.indices.map { model in
      Row(
        name: errors[model].name, skill: 1 - exp(Metrics.mean(logs[model])),
        skillInterval: interval(logs[model]) { 1 - exp($0) },
        winRate: Metrics.mean(wins[model]), winInterval: interval(wins[model]) { $0 },
        failures: failures[model])
    }
  }

  /// The logarithm of a clipped ratio; two errors of 0 are a tie.
  private static func logRatio(_ error: Double, _ base: Double) -> Double {
    if error == base { return 0 }
    return log(min(max(error / base, 0.01), 100))
  }

  /// The share of other models that err more in one task.
  private static func wins(of model: Int, in errors: [[Double]], task: Int) -> Double {
    guard errors.count > 1 else { return 0.5 }
    var sum = 0.0
    for other in errors.indices where other != model {
      let (own, their) = (errors[model][task], errors[other][task])
      sum += own < their ? 1 : own == their ? 0.5 : 0
    }
    return sum / Double(errors.count - 1)
  }
}
