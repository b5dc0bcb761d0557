public import ApusData
import ApusModels

/// Everything that is read off the forecasts of one contender on one part.
public struct ForecastScore: Sendable {
  /// The mean pinball loss of each date, in order of time.
  public let losses: [Double]
  /// The mean pinball loss of each series; NaN where none of its origins was scored.
  public let lossBySeries: [Double]
  /// The mean pinball loss by steps ahead.
  public let lossBySteps: [StepLoss]
  /// Nominal against observed coverage.
  public let calibration: [CalibrationPoint]
  /// Shares of the probability integral transform in ten bins.
  public let pit: [Double]
  /// Nominal against observed coverage of the central intervals, widest first.
  public let intervals: [IntervalCoverage]
  /// Further measures by name; see `names`.
  public let metrics: [NamedMetric]

  /// The mean over dates.
  public var loss: Double { Metrics.mean(losses) }

  /// Mean distance between nominal and observed coverage.
  public var coverageError: Double {
    Metrics.mean(calibration.map { abs($0.nominal - $0.empirical) })
  }

  /// Scores forecasts.
  ///
  /// - Parameters:
  ///   - quantiles: The forecasts of each origin, `[P][Q]`.
  ///   - means: The point forecasts of each origin, `[P]`; when nil, the means of the quantiles.
  ///   - origins: The origins of the forecasts.
  ///   - table: The measured series.
  ///   - split: Says which rows are training, for MASE.
  ///   - levels: The Q levels.
  ///   - measure: What the series were measured as.
  ///   - scales: The unit that errors of each series are given in. Default: that of the measure.
  /// - Throws: ``MetricError`` when a forecast has the wrong size.
  public init(
    quantiles: [[[Double]]], means: [[Double]]? = nil, origins: ForecastOrigins,
    table: SeriesTable, split: Split, levels: [Double], measure: Measure, scales: [Double]? = nil
  ) throws {
    let horizon = split.horizon
    var seriesSums = Array(repeating: (sum: 0.0, count: 0), count: table.series.count)
    var dateSums = Array(repeating: (sum: 0.0, count: 0), count: origins.dates)
    var stepSums = Array(repeating: (sum: 0.0, count: 0), count: horizon)
    var (values, rows, points) = ([Double](), [[Double]](), [Double]())
    for (index, origin) in origins.all.enumerated() {
      let targets = table.series[origin.series].values
      let unit = scales?[origin.series] ?? 1
      for step in 0..<horizon {
        let target = targets[origin.row + 1 + step]
        guard target.isFinite else { continue }
        let row = quantiles[index][step]
        let loss = try Metrics.pinball(target, quantiles: row, levels: levels) / unit
        seriesSums[origin.series].sum += loss
        seriesSums[origin.series].count += 1
        dateSums[origin.date].sum += loss
        dateSums[origin.date].count += 1
        stepSums[step].sum += loss
        stepSums[step].count += 1
        values.append(target / unit)
        rows.append(scales == nil ? row : row.map { $0 / unit })
        points.append((means?[index][step] ?? Metrics.mean(row)) / unit)
      }
    }
    losses = dateSums.map { $0.count > 0 ? $0.sum / Double($0.count) : .nan }
    lossBySeries = seriesSums.map { $0.count > 0 ? $0.sum / Double($0.count) : .nan }
    lossBySteps = stepSums.enumerated().map {
      StepLoss(step: $0 + 1, loss: $1.count > 0 ? $1.sum / Double($1.count) : .nan)
    }
    calibration = zip(
      levels, try Metrics.coverage(values, quantiles: rows, levels: levels)
    ).map { CalibrationPoint(nominal: $0, empirical: $1.value) }
    intervals = try IntervalCoverage.all(values, quantiles: rows, levels: levels)
    let counts = try Metrics.pitHistogram(values, quantiles: rows, levels: levels)
    pit = counts.map { Double($0) / Double(max(values.count, 1)) }
    metrics = Self.metrics(
      values, rows: rows, points: points, levels: levels, measure: measure,
      isScaled: scales != nil,
      training: table.series.indices.flatMap {
        table.series.count == 1
          ? Array(table.series[$0].values[split.fittingRows(series: $0)]) : []
      }, season: table.cadence.seasonLength)
  }

  private static func metrics(
    _ values: [Double], rows: [[Double]], points: [Double], levels: [Double], measure: Measure,
    isScaled: Bool, training: [Double], season: Int
  ) -> [NamedMetric] {
    var metrics: [NamedMetric] = []
    func add(_ name: String, _ detail: String? = nil, _ value: () throws -> Double) {
      if let value = try? value(), value.isFinite {
        metrics.append(NamedMetric(name: name, value: value, detail: detail))
      }
    }
    let middle = levels.enumerated().min { abs($0.element - 0.5) < abs($1.element - 0.5) }?.offset
    let medians = rows.map { $0[middle ?? 0] }
    // A mean absolute error in units of the seasonal step of training is the MASE.
    add(isScaled ? "MASE" : "MAE") { try Metrics.mae(values, forecasts: medians) }
    add(isScaled ? "scaled RMSE" : "RMSE") { try Metrics.rmse(values, forecasts: points) }
    add(isScaled ? "scaled CRPS" : "CRPS") {
      Metrics.mean(
        try zip(values, rows).map { try Metrics.crps($0, quantiles: $1, levels: levels) })
    }
    if measure == .level, !isScaled, !training.isEmpty {
      add("MASE") {
        try Metrics.mase(values, forecasts: medians, training: training, seasonLength: season)
      }
    }
    if measure == .volatility {
      add("QLIKE") {
        let pairs = zip(values, points).filter { $0.0 > 0 && $0.1 > 0 }
        return try Metrics.qlike(pairs.map(\.0), forecasts: pairs.map(\.1))
      }
    }
    if measure == .returns, let share = try? Metrics.direction(values, forecasts: points),
      let rising = try? Metrics.direction(values, forecasts: values.map { _ in 1 })
    {
      let band = share.band(around: 0.5)
      let (low, high) = (percent(band.lowerBound), percent(band.upperBound))
      let up = percent(rising.value)
      let always =
        rising.value >= share.value
        ? "always guessing up scores as well, \(up)" : "always guessing up scores \(up)"
      add("direction", "chance alone gives \(low) to \(high), and \(always)") { share.value }
    }
    if let low = levels.first, let high = levels.last, low < high {
      add("coverage of the middle \(percent(high - low))") {
        try Metrics.coverage(
          values, lower: rows.map { $0[0] }, upper: rows.map { $0[levels.count - 1] }
        ).value
      }
    }
    return metrics
  }
}

/// A share in percent, with a decimal where there is one.
func percent(_ share: Double) -> String {
  let tenths = Int((share * 1000).rounded())
  return tenths % 10 == 0 ? "\(tenths / 10) %" : "\(tenths / 10).\(tenths % 10) %"
}
