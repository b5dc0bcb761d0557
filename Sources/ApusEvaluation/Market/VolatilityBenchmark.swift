public import ApusData
public import ApusTensor
import Foundation

/// How volatility forecasts are judged.
public struct VolatilityOptions: Codable, Sendable, Hashable {
  /// Rows ahead; the mean variance over them is forecast. Default: 1, 5 and 22.
  public var horizons = [1, 5, 22]
  /// Rows that a regression is fitted to; nil for all rows before. Default: all.
  public var fitRows: Int?
  /// The time of the first variance that is judged; nil for the first that can be. Default: nil.
  public var from: Timestamp?
  /// Seed of the bootstrap of the model confidence set. Default: 0.
  public var seed: UInt64 = 0

  /// Creates the default options.
  public init() {}
}

/// How well one model forecasts at one horizon.
public struct VolatilityScore: Codable, Sendable, Hashable {
  /// The model.
  public var model: String
  /// Rows ahead, H.
  public var horizon: Int
  /// Forecasts that were judged, at all rows at which every model has one.
  public var count: Int
  /// The mean of `RV/h - ln(RV/h) - 1`.
  public var qlike: Double
  /// The mean squared error, in squared units of the variance.
  public var mse: Double
  /// The regression of variances on forecasts, with H - 1 lags; nil where it is not defined.
  public var mincerZarnowitz: MincerZarnowitz?
  /// The two-sided Diebold-Mariano p-value on QLIKE against the last variance; nil for that itself.
  public var pValue: Double?
  /// Whether the model belongs to the set that holds the best by QLIKE with a probability of 90 %.
  public var isInBestSet: Bool
}

/// What a volatility benchmark found.
public struct VolatilityReport: Codable, Sendable {
  /// The series.
  public var series: String
  /// The first and the last time of the variances that were judged one row ahead.
  public var first, last: Timestamp?
  /// Horizon by horizon, then best first.
  public var scores: [VolatilityScore] = []
}

extension VolatilityReport {
  /// Judges forecasts of a table of one series.
  ///
  /// - Parameters:
  ///   - table: The variances.
  ///   - price: A column of prices; nil for no leverage.
  ///   - options: Horizons, fit, and what is judged.
  /// - Throws: ``VolatilityError``, `MetricError`.
  public init(_ table: SeriesTable, price: String?, options: VolatilityOptions) throws {
    guard table.series.count == 1, let series = table.series.first else {
      throw VolatilityError.severalSeries(found: table.series.count)
    }
    let prices = try price.map { name in
      guard let values = series.covariate(named: name) else {
        throw VolatilityError.noPrice(asked: name, known: table.covariateNames)
      }
      return values
    }
    self = try VolatilityBenchmark(series, price: prices, options: options).report()
  }
}

/// An error of a volatility benchmark.
public enum VolatilityError: Error, Equatable, Sendable {
  /// Some variances are not positive.
  case notPositive(series: String, found: Int, rows: Int)
  /// The table has not one series.
  case severalSeries(found: Int)
  /// There is no such column of prices.
  case noPrice(asked: String, known: [String])
  /// No row is left to judge.
  case nothingJudged(series: String, rows: Int, horizon: Int)
}

extension VolatilityError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .notPositive(let series, let found, let rows):
      """
      Series '\(series)': found \(found) of \(rows) variances that are not above zero, expected a few at \
      most; name a column of variances with --target.
      """
    case .severalSeries(let found):
      "Found \(found) series, expected one of variances; name its column with --target."
    case .noPrice(let asked, let known):
      "Found no column '\(asked)' of prices, expected one of \(known.joined(separator: ", "))."
    case .nothingJudged(let series, let rows, let horizon):
      """
      Series '\(series)': found \(rows) rows, expected more to judge a forecast of \(horizon) rows; bring \
      more rows, or lower --fit-rows or --from.
      """
    }
  }
}

/// Forecasts of realized variance by its own past, fitted anew at every row.
///
/// The mean variance over the next H rows is forecast by the last variance; by RiskMetrics' weighted mean,
/// λ = 0.94; and by regressions on the last variance and the means of five and 22 (Corsi, 2009): in
/// levels, with the mean of the fitted targets where the forecast leaves their range (Bollerslev, Patton and
/// Quaedvlieg, 2016), and in logarithms as `exp(· + s²/2)`. With returns a further one has the leverage term
/// `min(r, 0)/√RV`: Corsi and Renò, 2012, *Discrete-time volatility forecasting with persistent leverage
/// effect*.
public struct VolatilityBenchmark: Sendable {
  private let series: String
  private let times: [Timestamp]
  private let variances: [Double]
  private let returns: [Double]?
  private let options: VolatilityOptions

  /// Days of a week and of a month.
  private static let (week, month) = (5, 22)
  /// Rows of fit without which a regression forecasts nothing.
  private static let fewest = 50

  /// Creates the benchmark.
  ///
  /// - Parameters:
  ///   - series: Variances; rows that are not positive are left out, one in a hundred at most.
  ///   - price: A covariate of prices, of which returns are made; nil for no leverage. Default: nil.
  ///   - options: Horizons, fit, and what is judged.
  /// - Throws: ``VolatilityError``.
  public init(
    _ series: TimeSeries, price: [Double]? = nil, options: VolatilityOptions = VolatilityOptions()
  ) throws(VolatilityError) {
    let rows = series.values.indices.filter { series.values[$0] > 0 && series.values[$0].isFinite }
    guard (series.count - rows.count) * 100 <= series.count else {
      throw .notPositive(series: series.id, found: series.count - rows.count, rows: series.count)
    }
    (self.series, self.options) = (series.id, options)
    times = rows.map { series.timestamps[$0] }
    variances = rows.map { series.values[$0] }
    returns = price.map { price in
      rows.indices.map { place in
        place == 0 ? 0 : AuditStatistics.logarithm(price[rows[place]] / price[rows[place - 1]])
      }
    }
  }

  /// Forecasts, and judges.
  ///
  /// - Throws: ``VolatilityError/nothingJudged(series:rows:horizon:)``, `MetricError`.
  public func report() throws -> VolatilityReport {
    var report = VolatilityReport(series: series)
    for horizon in options.horizons {
      let targets = targets(horizon)
      let models = forecasts(horizon, targets)
      let from = options.from.map { from in times.firstIndex { $0 >= from } ?? times.count } ?? 1
      // A forecast made at row t is judged by the rows after it.
      let judged = targets.indices.filter { row in
        row + 1 >= from && models.allSatisfy { $0.values[row].isFinite }
      }
      guard judged.count > max(3, horizon) else {
        throw VolatilityError.nothingJudged(
          series: series, rows: variances.count, horizon: horizon)
      }
      if report.first == nil, let first = judged.first, let last = judged.last {
        (report.first, report.last) = (times[first + 1], times[last + 1])
      }
      report.scores += try scores(models, targets, judged, horizon)
    }
    return report
  }

  /// The mean variance of the H rows after each row that has them.
  private func targets(_ horizon: Int) -> [Double] {
    guard variances.count > horizon else { return [] }
    return (0..<variances.count - horizon).map { row in
      AuditStatistics.mean(variances[row + 1...row + horizon])
    }
  }

  private struct Forecasts {
    var name: String
    var values: [Double]
  }

  private func forecasts(_ horizon: Int, _ targets: [Double]) -> [Forecasts] {
    var weighted = variances.first ?? 0
    let smooth = variances.map { value in
      weighted = 0.94 * weighted + 0.06 * value
      return weighted
    }
    let inputs = self.inputs()
    let logs = inputs.map { $0.map { AuditStatistics.logarithm($0) } }
    var models = [
      Forecasts(name: "naive", values: variances), Forecasts(name: "ewma-0.94", values: smooth),
      Forecasts(name: "har", values: levels(inputs, targets, horizon)),
      Forecasts(name: "log-har", values: logarithms(logs, targets, horizon)),
    ]
    if let returns {
      let leveraged = logs.indices.map { row in
        logs[row] + [min(returns[row], 0) / variances[row].squareRoot()]
      }
      models.append(
        Forecasts(name: "log-har-leverage", values: logarithms(leveraged, targets, horizon)))
    }
    return models
  }

  /// Last variance and means of a week and a month, at each row; NaN in the first month.
  private func inputs() -> [[Double]] {
    variances.indices.map { row in
      guard row + 1 >= Self.month else { return [.nan, .nan, .nan] }
      return [
        variances[row], AuditStatistics.mean(variances[row - Self.week + 1...row]),
        AuditStatistics.mean(variances[row - Self.month + 1...row]),
      ]
    }
  }

  /// Forecasts of a regression that is fitted, at each row, to rows whose targets lie behind it.
  private func regressed(
    _ inputs: [[Double]], _ outputs: [Double], _ horizon: Int,
    _ forecast: (_ expected: Double, _ variance: Double, _ fitted: ArraySlice<Double>) -> Double
  ) -> [Double] {
    var regression = MomentRegression(inputs: inputs.first?.count ?? 0)
    let first = inputs.firstIndex { $0.allSatisfy(\.isFinite) } ?? inputs.count
    var (next, oldest) = (first, first)
    let limit = options.fitRows ?? .max
    return outputs.indices.map { row in
      while next + horizon <= row {
        if inputs[next].allSatisfy(\.isFinite) { regression.add(inputs[next], outputs[next]) }
        next += 1
      }
      while next - oldest > limit {
        if inputs[oldest].allSatisfy(\.isFinite) {
          regression.remove(inputs[oldest], outputs[oldest])
        }
        oldest += 1
      }
      let enough = options.fitRows.map { next - oldest >= $0 } ?? (regression.count >= Self.fewest)
      guard enough, inputs[row].allSatisfy(\.isFinite), let found = regression.solved() else {
        return .nan
      }
      let expected = zip(found.weights.dropFirst(), inputs[row]).reduce(found.weights[0]) {
        $0 + $1.0 * $1.1
      }
      return forecast(expected, found.variance, outputs[oldest..<next])
    }
  }

  private func logarithms(
    _ inputs: [[Double]], _ targets: [Double], _ horizon: Int
  ) -> [Double] {
    let outputs = targets.map { AuditStatistics.logarithm($0) }
    return regressed(inputs, outputs, horizon) { expected, variance, _ in
      exp(expected + variance / 2)
    }
  }

  private func levels(_ inputs: [[Double]], _ targets: [Double], _ horizon: Int) -> [Double] {
    regressed(inputs, targets, horizon) { expected, _, fitted in
      guard let low = fitted.min(), let high = fitted.max(), !(low...high).contains(expected) else {
        return expected
      }
      return AuditStatistics.mean(fitted)
    }
  }

  // MARK: Scores

  private func scores(
    _ models: [Forecasts], _ targets: [Double], _ judged: [Int], _ horizon: Int
  ) throws -> [VolatilityScore] {
    let values = judged.map { targets[$0] }
    let losses = try models.map { model in
      try judged.map { try Metrics.qlike(targets[$0], forecast: model.values[$0]) }
    }
    var generator = PhiloxGenerator(RandomKey(seed: options.seed))
    let set = try ModelConfidenceSet(
      losses: losses, overlap: horizon, bootstrap: BlockBootstrap(resamples: 500), using: &generator
    ).members()
    return try models.enumerated().map { index, model in
      let forecasts = judged.map { model.values[$0] }
      return VolatilityScore(
        model: model.name, horizon: horizon, count: judged.count,
        qlike: Metrics.mean(losses[index]), mse: try Metrics.mse(values, forecasts: forecasts),
        mincerZarnowitz: try? MincerZarnowitz(values, forecasts: forecasts, lags: horizon - 1),
        pValue: index == 0
          ? nil
          : try? DieboldMariano(losses[0], losses[index], horizon: horizon).pValue,
        isInBestSet: set.contains(index))
    }.sorted { $0.qlike < $1.qlike }
  }
}
