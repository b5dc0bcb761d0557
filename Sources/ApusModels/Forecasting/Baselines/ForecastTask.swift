/// The task of a forecaster of one series: horizon, quantile levels, kind of values.
public struct ForecastTask: Sendable, Codable, Hashable {
  /// The kind of values of the series, which decides how uncertainty grows with the horizon.
  public enum Kind: String, Sendable, Codable, Hashable, CaseIterable {
    /// Changes around a stable mean, such as daily log returns.
    case returns
    /// Non-negative magnitudes, such as realized variances: errors act as factors.
    case volatility
    /// A path that wanders, such as a price or a temperature: errors add up.
    case level
  }

  /// The number of values ahead, P.
  public var horizon: Int
  /// Quantile levels strictly inside 0...1, ascending.
  public var levels: [Double]
  /// Values in one season, m; 1 means that there is none.
  public var seasonLength: Int
  /// The kind of values of the series.
  public var measure: Kind

  /// Creates a task; nine deciles, no season and returns unless said otherwise.
  public init(
    horizon: Int, levels: [Double] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    seasonLength: Int = 1, measure: Kind = .returns
  ) {
    self.horizon = horizon
    self.levels = levels
    self.seasonLength = seasonLength
    self.measure = measure
  }

  /// Throws ``BaselineError/invalidTask(field:found:expected:)`` when a number makes no sense.
  public func validate() throws {
    guard (1...1_000_000).contains(horizon) else {
      throw BaselineError.invalidTask(
        field: "horizon", found: "\(horizon)", expected: "1 to 1000000")
    }
    guard (1...1_000_000).contains(seasonLength) else {
      throw BaselineError.invalidTask(
        field: "seasonLength", found: "\(seasonLength)", expected: "1 to 1000000")
    }
    let ascending = zip(levels, levels.dropFirst()).allSatisfy { $0 < $1 }
    guard !levels.isEmpty, ascending, levels.allSatisfy({ $0 > 0 && $0 < 1 }) else {
      throw BaselineError.invalidTask(
        field: "levels", found: "\(levels)",
        expected: "ascending numbers strictly between 0 and 1")
    }
  }
}

/// The forecast of one series at one origin.
public struct BaselineForecast: Sendable, Codable, Hashable {
  /// Quantiles, `[horizon][levels]`, ascending in each row.
  public var quantiles: [[Double]]
  /// The point forecast for squared error and QLIKE, `[horizon]`.
  public var mean: [Double]

  /// Creates a forecast of quantiles `[P][Q]` and means `[P]`.
  public init(quantiles: [[Double]], mean: [Double]) {
    self.quantiles = quantiles
    self.mean = mean
  }
}

extension BaselineForecast {
  /// The same with what known inputs do to each step, as far as that is known.
  package func shifted(by shifts: some Collection<Shift>) -> BaselineForecast {
    var result = self
    for (step, shift) in zip(quantiles.indices, shifts) {
      result.quantiles[step] = quantiles[step].map { shift.applied(to: $0) }
      if step < mean.count { result.mean[step] = shift.applied(to: mean[step]) }
    }
    return result
  }
}

/// A forecaster of one series: learns on a training history, then forecasts from any origin.
///
/// Missing values are NaN. What is forecast at an origin depends only on the values before it and
/// on the training history.
public protocol SeriesForecaster: Sendable {
  /// The name in tables, such as "garch-t".
  var name: String { get }

  /// Learns from the values up to the end of training.
  mutating func fit(_ history: [Double], task: ForecastTask) throws

  /// Quantiles `[horizon][levels]` of the values that follow `history`.
  func forecast(_ history: ArraySlice<Double>, task: ForecastTask) throws -> [[Double]]

  /// The point forecast `[horizon]` of the values that follow `history`.
  func mean(_ history: ArraySlice<Double>, task: ForecastTask) throws -> [Double]

  /// One forecast for each origin, made from `series[0..<origin]`.
  ///
  /// The default asks origin by origin; recursive models override it to run once over the series.
  func forecasts(_ series: [Double], origins: [Int], task: ForecastTask) throws
    -> [BaselineForecast]
}

extension SeriesForecaster {
  public func forecasts(_ series: [Double], origins: [Int], task: ForecastTask) throws
    -> [BaselineForecast]
  {
    try origins.map { origin in
      guard origin > 0, origin <= series.count else {
        throw BaselineError.originOutside(origin: origin, count: series.count)
      }
      let history = series[0..<origin]
      return BaselineForecast(
        quantiles: try forecast(history, task: task), mean: try mean(history, task: task))
    }
  }
}
