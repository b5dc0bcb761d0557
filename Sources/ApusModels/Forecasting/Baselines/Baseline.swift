/// A classical forecaster: the bar that every architecture has to clear.
///
/// Pick one by name, `Baseline.garch()`, or all that suit a task, ``standard(for:lookback:)``.
/// Every baseline scales with its series (a series in cents gets forecasts in cents), never
/// crosses its quantiles, and either forecasts finite numbers or throws ``BaselineError``.
public struct Baseline: SeriesForecaster {
  public let name: String
  /// The mathematics behind the name.
  package var rule: any BaselineRule
  private var isFitted = false

  package init(_ name: String, _ rule: any BaselineRule) {
    self.name = name
    self.rule = rule
  }

  public mutating func fit(_ history: [Double], task: ForecastTask) throws {
    try task.validate()
    try naming { try rule.learn(history, task: task) }
    isFitted = true
  }

  public func forecast(_ history: ArraySlice<Double>, task: ForecastTask) throws -> [[Double]] {
    try single(history, task: task).quantiles
  }

  public func mean(_ history: ArraySlice<Double>, task: ForecastTask) throws -> [Double] {
    try single(history, task: task).mean
  }

  public func forecasts(_ series: [Double], origins: [Int], task: ForecastTask) throws
    -> [BaselineForecast]
  {
    try task.validate()
    guard isFitted else { throw BaselineError.notFitted(model: name) }
    let firstValue = series.firstIndex(where: \.isFinite) ?? series.count
    for origin in origins {
      guard origin > 0, origin <= series.count else {
        throw BaselineError.originOutside(origin: origin, count: series.count)
      }
      guard origin > firstValue else {
        throw BaselineError.nothingBeforeOrigin(model: name, origin: origin)
      }
    }
    var result = try naming { try rule.predict(series, origins: origins, task: task) }
    for index in result.indices {
      for step in result[index].quantiles.indices {
        result[index].quantiles[step].sort()  // rounding may cross equal quantiles
      }
      let isFinite =
        result[index].mean.allSatisfy(\.isFinite)
        && result[index].quantiles.allSatisfy { $0.allSatisfy(\.isFinite) }
      guard isFinite else { throw BaselineError.notFinite(model: name, origin: origins[index]) }
    }
    return result
  }

  private func single(_ history: ArraySlice<Double>, task: ForecastTask) throws
    -> BaselineForecast
  {
    guard let forecast = try forecasts(Array(history), origins: [history.count], task: task).first
    else { throw BaselineError.originOutside(origin: 0, count: 0) }
    return forecast
  }

  /// Puts the name into the errors of the rule, which does not know it.
  private func naming<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch RuleError.tooShort(let found, let needed) {
      throw BaselineError.historyTooShort(model: name, found: found, needed: needed)
    } catch RuleError.notApplicable(let measure) {
      throw BaselineError.notApplicable(model: name, measure: measure)
    } catch RuleError.horizonTooLong(let asked, let fitted) {
      throw BaselineError.horizonTooLong(model: name, asked: asked, fitted: fitted)
    }
  }
}

/// The mathematics of a ``Baseline``. Tasks and origins are checked before it is asked.
package protocol BaselineRule: Sendable {
  /// Learns from the training history.
  mutating func learn(_ history: [Double], task: ForecastTask) throws
  /// Forecasts from each origin, from the values before it alone.
  func predict(_ series: [Double], origins: [Int], task: ForecastTask) throws
    -> [BaselineForecast]
}

/// What a rule reports; ``Baseline`` adds its name.
package enum RuleError: Error {
  case tooShort(found: Int, needed: Int)
  case notApplicable(ForecastTask.Kind)
  case horizonTooLong(asked: Int, fitted: Int)
}
