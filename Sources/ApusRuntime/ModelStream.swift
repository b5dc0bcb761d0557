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
  private enum Kind {
    case trained(ForecastStream)
    case baseline(BaselineStream)
  }

  private var kind: Kind
  private var measure: MeasureStream
  private let model: Model
  private let id: String
  /// Where the covariates of a trained model stand among the measured ones.
  private let places: [Int]
  /// The time of the last row.
  public private(set) var last: Timestamp

  init(_ model: Model, after series: TimeSeries) throws {
    guard let last = series.timestamps.last else {
      throw ForecastError.noHistory(series: series.id, rows: 0)
    }
    (self.model, self.last, id) = (model, last, series.id)
    let recipe = model.recipe
    var measure = MeasureStream(recipe.measure, covariates: series.covariates.map(\.name))
    let names = measure.covariateNames
    places = try recipe.covariates.map { name in
      guard let place = names.firstIndex(where: { $0.lowercased() == name.lowercased() }) else {
        throw RecipeError.missingCovariate(name, known: names)
      }
      return place
    }
    for row in 0..<series.count {
      _ = measure.push(series.values[row], covariates: series.covariates.map { $0.values[row] })
    }
    self.measure = measure
    let measured = try recipe.measure.apply(to: series)
    switch model.kind {
    case .trained(let forecaster):
      kind = .trained(try ForecastStream(forecaster, recipe: recipe, after: measured))
    case .baseline(var baseline, let task, _):
      try baseline.fit(measured.values, task: task)
      var stream = try baseline.stream(task)
      for value in measured.values { stream.push(value) }
      kind = .baseline(stream)
    }
  }

  /// Appends a row and forecasts the rows after it.
  ///
  /// - Parameters:
  ///   - value: The target as the series has it, not measured; NaN where missing.
  ///   - covariates: In the order of the covariates of ``Model/history``. Default: all missing.
  ///   - date: The time of the row, after the last one.
  /// - Returns: One row for each step ahead.
  /// - Throws: ``ForecastError/notLater(found:last:)``, ``NotFiniteError``, `BaselineError`,
  ///   `CadenceError`.
  public mutating func push(
    _ value: Double, covariates: [Double]? = nil, at date: Date
  ) throws -> [ForecastRow] {
    let stamp = Timestamp(date)
    guard stamp > last else { throw ForecastError.notLater(found: stamp, last: last) }
    let recipe = model.recipe
    let ahead = try recipe.cadence.stamps(after: stamp, count: model.horizon)
    let columns = model.history.first { $0.id == id }?.covariates.count ?? 0
    var beside = covariates ?? []
    beside += [Double](repeating: .nan, count: max(0, columns - beside.count))
    last = stamp
    guard let row = measure.push(value, covariates: Array(beside.prefix(columns))) else {
      return []
    }
    let quantiles: [[Double]]
    switch kind {
    case .trained(var stream):
      quantiles = try stream.push(
        row.value, covariates: places.map { row.covariates[$0] }, at: stamp)
      kind = .trained(stream)
    case .baseline(var stream):
      stream.push(row.value)
      quantiles = try stream.forecast().quantiles
      kind = .baseline(stream)
    }
    return zip(ahead, recipe.measure.possible(quantiles)).map { stamp, quantiles in
      ForecastRow(series: id, date: stamp.date, levels: model.levels, quantiles: quantiles)
    }
  }
}
