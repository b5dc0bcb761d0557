/// Forecasts of one or several forecasters from the same origins, with what came: what a backtest makes.
public struct ForecastTable: Sendable, Equatable {
  /// A forecaster, as the columns of the table are called.
  public struct Model: Sendable, Equatable {
    /// Its name.
    public var name: String
    /// The levels of its quantiles, Q, ascending.
    public var levels: [Double]

    /// Creates a forecaster.
    public init(name: String, levels: [Double]) { (self.name, self.levels) = (name, levels) }
  }

  /// One step ahead of one origin.
  public struct Row: Sendable, Equatable {
    /// The name of the series.
    public var series: String
    /// The time of the last row that the forecasts have read.
    public var cutoff: String
    /// The time of the step.
    public var ds: String
    /// Which step ahead it is, from 1.
    public var step: Int
    /// The place of the origin among all origins in time.
    public var date: Int
    /// What came; NaN where it is missing.
    public var actual: Double
    /// Of each model its quantiles `[Q]`; empty where it gives none.
    public var quantiles: [[Double]]

    /// Creates a row.
    public init(
      series: String, cutoff: String, ds: String, step: Int, date: Int, actual: Double,
      quantiles: [[Double]]
    ) {
      (self.series, self.cutoff, self.ds, self.step) = (series, cutoff, ds, step)
      (self.date, self.actual, self.quantiles) = (date, actual, quantiles)
    }
  }

  /// The forecasters.
  public var models: [Model]
  /// Rows, series by series, then by origin and step.
  public var rows: [Row]

  /// Creates a table.
  public init(models: [Model], rows: [Row] = []) { (self.models, self.rows) = (models, rows) }

  /// The rows that count: what came is known, and every model has a forecast.
  var scored: [Row] {
    rows.filter { row in row.actual.isFinite && row.quantiles.allSatisfy { !$0.isEmpty } }
  }
}

/// The scores of one forecaster, over one series or over all.
public struct ForecastSummary: Sendable, Equatable, Encodable {
  /// The forecaster.
  public var model: String
  /// The name of the series; nil for all of them together.
  public var series: String?
  /// How many steps of all origins were scored.
  public var count: Int
  /// The mean pinball loss over the model's levels, in units of the measure, or of each series'
  /// seasonal step where ``isScaled``.
  public var loss: Double
  /// Whether errors are in units of each series' seasonal step in training.
  public var isScaled: Bool
  /// Further measures.
  public var metrics: [NamedMetric]
  /// The two-sided Diebold-Mariano p-value that the model with the smallest loss is no better; nil for
  /// that model, for single series, and where there are too few origins.
  public var pValue: Double?
}

extension ForecastTable {
  /// The scores of every model over all series, best first.
  ///
  /// Models are scored at the same rows: those of which each has a forecast.
  ///
  /// - Parameters:
  ///   - units: The unit of each series' errors, by name; nil for that of the measure.
  ///   - overlap: How many successive origins share some target.
  /// - Returns: A summary for each model; none where nothing can be scored.
  /// - Throws: ``MetricError`` for quantiles that do not ascend.
  public func summaries(units: [String: Double]?, overlap: Int = 1) throws -> [ForecastSummary] {
    let rows = scored
    guard !rows.isEmpty else { return [] }
    var found = try models.indices.map { try summary($0, rows, units: units, series: nil) }
    let losses = try models.indices.map { try lossesByDate($0, rows, units: units) }
    let best = found.indices.min { found[$0].loss < found[$1].loss } ?? 0
    for index in found.indices where index != best {
      let test = try? DieboldMariano(losses[index], losses[best], horizon: overlap)
      found[index].pValue = test?.pValue
    }
    return found.sorted { $0.loss < $1.loss }
  }

  /// The scores of every model on every series, series in their order.
  ///
  /// - Parameter units: As in ``summaries(units:overlap:)``.
  /// - Returns: A summary for each series and model.
  /// - Throws: ``MetricError`` for quantiles that do not ascend.
  public func summariesBySeries(units: [String: Double]?) throws -> [ForecastSummary] {
    var order: [String] = []
    var groups: [String: [Row]] = [:]
    for row in scored {
      if groups[row.series] == nil { order.append(row.series) }
      groups[row.series, default: []].append(row)
    }
    return try order.flatMap { name in
      try models.indices.map {
        try summary($0, groups[name] ?? [], units: units, series: name)
      }
    }
  }

  private func summary(
    _ model: Int, _ rows: [Row], units: [String: Double]?, series: String?
  ) throws -> ForecastSummary {
    let levels = models[model].levels
    func scaled(_ value: Double, _ row: Row) -> Double { value / (units?[row.series] ?? 1) }
    let values = rows.map { scaled($0.actual, $0) }
    let quantiles = rows.map { row in row.quantiles[model].map { scaled($0, row) } }
    let middle = levels.indices.min { abs(levels[$0] - 0.5) < abs(levels[$1] - 0.5) } ?? 0
    let medians = quantiles.map { $0[middle] }
    let isScaled = units != nil
    var metrics: [NamedMetric] = []
    func add(_ name: String, _ value: () throws -> Double) {
      if let value = try? value(), value.isFinite {
        metrics.append(NamedMetric(name: name, value: value))
      }
    }
    // A mean absolute error in units of the seasonal step of training is the MASE.
    add(isScaled ? "MASE" : "MAE") { try Metrics.mae(values, forecasts: medians) }
    add(isScaled ? "scaled RMSE" : "RMSE") { try Metrics.rmse(values, forecasts: medians) }
    add("sMAPE") {
      try Metrics.smape(
        rows.map(\.actual), forecasts: rows.map { $0.quantiles[model][middle] })
    }
    add("wQL") {
      try Metrics.weightedQuantileLoss(
        rows.map(\.actual), quantiles: rows.map { $0.quantiles[model] }, levels: levels)
    }
    if let low = levels.first, let high = levels.last, low < high {
      add("coverage of the middle \(percent(high - low))") {
        try Metrics.coverage(
          values, lower: quantiles.map { $0[0] }, upper: quantiles.map { $0[levels.count - 1] }
        ).value
      }
    }
    return ForecastSummary(
      model: models[model].name, series: series, count: rows.count,
      loss: try Metrics.pinball(values, quantiles: quantiles, levels: levels), isScaled: isScaled,
      metrics: metrics)
  }

  private func lossesByDate(
    _ model: Int, _ rows: [Row], units: [String: Double]?
  ) throws -> [Double] {
    var sums: [Int: (sum: Double, count: Int)] = [:]
    for row in rows {
      let loss = try Metrics.pinball(
        row.actual, quantiles: row.quantiles[model], levels: models[model].levels)
      let (sum, count) = sums[row.date] ?? (0, 0)
      sums[row.date] = (sum + loss / (units?[row.series] ?? 1), count + 1)
    }
    return sums.sorted { $0.key < $1.key }.map { $0.value.sum / Double($0.value.count) }
  }
}
