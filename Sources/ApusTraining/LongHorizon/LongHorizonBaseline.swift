import ApusData
import ApusModels

/// The forecasts that anybody can compute again, by which a table of the protocol is checked.
public enum LongHorizonBaseline: String, Codable, Sendable, CaseIterable {
  /// The last value of the window.
  case naive
  /// The value one season earlier; left out where the season is longer than the window, or 1.
  case seasonalNaive = "seasonal-naive"
  /// The mean of the window.
  case windowMean = "window-mean"
  /// One linear map of the window for all channels, by least squares with an intercept.
  case ols
  /// The same relative to the last value of the window: the closed form of NLinear. Zeng et al., 2023,
  /// *Are Transformers Effective for Time Series Forecasting?*, arXiv:2205.13504.
  case nlinear

  /// The ridges that validation chooses from, in units of the mean variance of the inputs.
  static let ridges = [0, 1e-4, 1e-2]

  /// Fits on training, chooses on validation, and forecasts every window of test.
  ///
  /// - Parameters:
  ///   - data: The channels.
  ///   - season: Rows of a season; 1 where there is none.
  /// - Returns: The errors and the ridge that was chosen; nil where the baseline does not apply.
  /// - Throws: `RuleError` where nothing can be fitted, `CancellationError`.
  func score(
    _ data: LongHorizonData, season: Int
  ) throws -> (score: LongHorizonScore, ridge: Double?)? {
    let task = ForecastTask(
      horizon: data.horizon, levels: [0.5], seasonLength: season, measure: .level)
    func simple(_ form: Naive.Form) throws -> (LongHorizonScore, Double?) {
      var rule = Naive(form)
      rule.estimate([], task: task)
      return (try data.score(.test, rule, task: task), nil)
    }
    switch self {
    case .naive: return try simple(.last)
    case .seasonalNaive:
      return (2...max(2, data.context)).contains(season) ? try simple(.season) : nil
    case .windowMean: return try simple(.mean(count: data.context))
    case .ols, .nlinear:
      let training = data.table.series.map { Array($0.values[data.parts[0]]) }
      let maps = try Self.ridges.map { ridge in
        var map = LinearMap(
          lookback: data.context, isRelative: self == .nlinear, ridges: [ridge])
        try map.estimate(training, task: task)
        return (map: map, loss: try data.score(.validation, map, task: task).mse)
      }
      guard let best = maps.min(by: { $0.loss < $1.loss }) else { return nil }
      return (try data.score(.test, best.map, task: task), best.map.ridge)
    }
  }
}

extension LongHorizonData {
  /// The errors of a rule, which is shown the L rows before the first window and then row by row.
  fileprivate func score(
    _ part: Split.Part, _ rule: some AnchorRule, task: ForecastTask
  ) throws -> LongHorizonScore {
    try score(part) { channel, targets, body in
      try Task.checkCancellation()
      let values = table.series[channel].values
      var anchors = rule.anchors(task)
      for row in targets.lowerBound - context..<targets.upperBound {
        if targets.contains(row) {
          body(row, anchors.anchors(horizon).map(\.mean))
        }
        anchors.push(values[row])
      }
    }
  }
}
