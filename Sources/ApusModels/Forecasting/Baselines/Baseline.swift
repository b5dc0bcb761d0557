/// A classical forecaster: the bar that every architecture has to clear.
///
/// Pick one by name, `Baseline.garch`, all that suit a task, ``standard(for:lookback:isIntermittent:)``, or
/// the mean of some, ``combination(_:)``.
/// Every baseline scales with its series (a series in cents gets forecasts in cents), never
/// crosses its quantiles, and either forecasts finite numbers or throws ``BaselineError``.
public struct Baseline: SeriesForecaster {
  public let name: String
  /// The mathematics behind the name.
  package var rule: any BaselineRule
  private(set) var isFitted: Bool

  package init(_ name: String, _ rule: any BaselineRule) {
    self.init(name, rule, isFitted: false)
  }

  init(_ name: String, _ rule: any BaselineRule, isFitted: Bool) {
    (self.name, self.rule, self.isFitted) = (name, rule, isFitted)
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
    var stream = try stream(task)
    var places: [Int: [Int]] = [:]
    for (place, origin) in origins.enumerated() {
      guard origin > 0, origin <= series.count else {
        throw BaselineError.originOutside(origin: origin, count: series.count)
      }
      places[origin, default: []].append(place)
    }
    var result = [BaselineForecast](
      repeating: BaselineForecast(quantiles: [], mean: []), count: origins.count)
    for value in series.prefix(origins.max() ?? 0) {
      stream.push(value)
      guard let asked = places[stream.count] else { continue }
      let forecast = try stream.forecast()
      for place in asked { result[place] = forecast }
    }
    return result
  }

  /// Forecasts of a live series, from before its first value on: what it was fitted to is not in it.
  ///
  /// - Throws: ``BaselineError`` when it is not fitted, or not for such a task.
  public func stream(_ task: ForecastTask) throws -> BaselineStream {
    try task.validate()
    guard isFitted else { throw BaselineError.notFitted(model: name) }
    return BaselineStream(self, try naming { try rule.memory(task) })
  }

  private func single(_ history: ArraySlice<Double>, task: ForecastTask) throws
    -> BaselineForecast
  {
    guard let forecast = try forecasts(Array(history), origins: [history.count], task: task).first
    else { throw BaselineError.originOutside(origin: 0, count: 0) }
    return forecast
  }

  /// Puts the name into the errors of the rule, which does not know it.
  fileprivate func naming<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch RuleError.tooShort(let found, let needed) {
      throw BaselineError.historyTooShort(model: name, found: found, needed: needed)
    } catch RuleError.notApplicable(let measure) {
      throw BaselineError.notApplicable(model: name, measure: measure)
    } catch RuleError.horizonTooLong(let asked, let fitted) {
      throw BaselineError.horizonTooLong(model: name, asked: asked, fitted: fitted)
    }
  }
}

/// A fitted ``Baseline`` at work on a live series: one value in, one forecast out, at the same cost
/// however many came before, but for the quantiles of all history.
public struct BaselineStream: Sendable {
  private let baseline: Baseline
  private var memory: any BaselineMemory
  private var hasValue = false
  /// Values pushed so far, missing ones among them.
  public private(set) var count = 0

  fileprivate init(_ baseline: Baseline, _ memory: any BaselineMemory) {
    (self.baseline, self.memory) = (baseline, memory)
  }

  /// Takes in the next value; NaN where it is missing.
  public mutating func push(_ value: Double) {
    memory.push(value)
    count += 1
    if value.isFinite { hasValue = true }
  }

  /// The forecast of the values that follow.
  ///
  /// - Throws: ``BaselineError`` when no value is there yet, too few are, or numbers leave their range.
  public func forecast() throws -> BaselineForecast {
    guard hasValue else {
      throw BaselineError.nothingBeforeOrigin(model: baseline.name, origin: count)
    }
    var result = try baseline.naming { try memory.forecast() }
    for step in result.quantiles.indices {
      result.quantiles[step].sort()  // rounding may cross equal quantiles
    }
    let isFinite =
      result.mean.allSatisfy(\.isFinite)
      && result.quantiles.allSatisfy { $0.allSatisfy(\.isFinite) }
    guard isFinite else { throw BaselineError.notFinite(model: baseline.name, origin: count) }
    return result
  }
}

/// The mathematics of a ``Baseline``. Tasks are checked before it is asked.
package protocol BaselineRule: Sendable {
  /// Learns from the training history.
  mutating func learn(_ history: [Double], task: ForecastTask) throws
  /// What the fitted rule keeps of a series; as it is before the first value.
  associatedtype Memory: BaselineMemory
  func memory(_ task: ForecastTask) throws -> Memory
}

/// What a rule keeps of a series while values come: the only way there is, so that a stream and a batch
/// agree to the bit.
package protocol BaselineMemory: Sendable {
  /// Takes in the next value; NaN where it is missing.
  mutating func push(_ value: Double)
  /// Forecasts from the values so far; asked for only after one was present.
  func forecast() throws -> BaselineForecast
}

/// What a rule reports; ``Baseline`` adds its name.
package enum RuleError: Error {
  case tooShort(found: Int, needed: Int)
  case notApplicable(ForecastTask.Kind)
  case horizonTooLong(asked: Int, fitted: Int)
}
