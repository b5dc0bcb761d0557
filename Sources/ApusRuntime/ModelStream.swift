public import ApusData
import ApusModels
public import Foundation

/// One step ahead of a forecast.
public struct ForecastRow: Sendable, Hashable {
  /// The name of the series.
  public let series: String
  /// The time of the row; without a clock, the number of the step in seconds since 1970.
  public let date: Date
  /// The quantile levels, Q, ascending.
  public let levels: [Double]
  /// One for each level, in units of the measure.
  public let quantiles: [Double]

  /// The quantile whose level is nearest to one half.
  public var median: Double {
    let nearest = levels.indices.min { abs(levels[$0] - 0.5) < abs(levels[$1] - 0.5) }
    return nearest.map { quantiles[$0] } ?? .nan
  }

  /// The central interval that should hold such a share of outcomes: 0.8 lies between the quantiles 0.1
  /// and 0.9.
  ///
  /// - Throws: ``ForecastError/noLevel(asked:known:)``.
  public func interval(_ share: Double) throws -> ClosedRange<Double> {
    func quantile(_ level: Double) throws -> Double {
      guard let place = levels.firstIndex(where: { abs($0 - level) < 1e-9 }) else {
        throw ForecastError.noLevel(asked: level, known: levels)
      }
      return quantiles[place]
    }
    let (low, high) = (try quantile((1 - share) / 2), try quantile((1 + share) / 2))
    return min(low, high)...max(low, high)
  }
}

/// A ``Model`` at work on a live series: one row in, one forecast out.
public struct ModelStream {
  private var live: LiveBank
  private var known: KnownRows
  private let model: Model
  private let id: String
  private let columns: Int
  /// The time of the last row.
  public private(set) var last: Timestamp

  init(_ model: Model, after series: TimeSeries) throws {
    guard let last = series.timestamps.last else {
      throw ForecastError.noHistory(series: series.id, rows: 0)
    }
    (self.model, self.last, id) = (model, last, series.id)
    columns = series.covariates.count
    known = try KnownRows(model.recipe, series: series, name: series.id)
    live = try LiveBank(model, covariates: series.covariates.map(\.name))
    try live.start([LiveBank.Start(series: series.id, history: series)])
  }

  /// Adds what is known of a row before it comes, beside what the future of ``Model/history`` says.
  ///
  /// - Parameters:
  ///   - values: Numbers by the names of columns that the model knows ahead; others are left.
  ///   - date: The time of the row.
  public mutating func know(_ values: [String: Double], at date: Date) {
    known.know(values, at: Timestamp(date))
  }

  /// Appends a row and forecasts the rows after it.
  ///
  /// - Parameters:
  ///   - value: The target as the series has it, not measured; NaN where missing.
  ///   - covariates: In the order of the covariates of ``Model/history``. Default: all missing.
  ///   - date: The time of the row, after the last one.
  /// - Returns: One row for each step ahead.
  /// - Throws: ``ForecastError/notLater(found:last:)``, ``NotFiniteError``, `BaselineError`,
  ///   `CadenceError`; `KnownFutureError` where a row ahead is not known, and then nothing is appended.
  public mutating func push(
    _ value: Double, covariates: [Double]? = nil, at date: Date
  ) throws -> [ForecastRow] {
    let stamp = Timestamp(date)
    guard stamp > last else { throw ForecastError.notLater(found: stamp, last: last) }
    let ahead = try model.recipe.cadence.stamps(after: stamp, count: model.horizon)
    let rows = try known(at: ahead)
    var beside = covariates ?? []
    beside += [Double](repeating: .nan, count: max(0, columns - beside.count))
    last = stamp
    let row = LiveBank.Row(
      series: 0, value: value, covariates: Array(beside.prefix(columns)), stamp: stamp, ahead: rows)
    let quantiles = try live.push([row]).first?.quantiles
    return zip(ahead, quantiles ?? []).map { stamp, quantiles in
      ForecastRow(series: id, date: stamp.date, levels: model.levels, quantiles: quantiles)
    }
  }
}
