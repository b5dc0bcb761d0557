public import ApusData
import ApusModels

/// The forecast after the last row of every series of a table.
///
/// Quantiles are in units of the measure that the model was trained on: logarithmic returns of single steps
/// for returns, variances of single steps for volatility, values for the level.
public struct FutureForecast: Encodable, Sendable {
  /// One series.
  public struct Series: Encodable, Sendable {
    /// Its name.
    public var uniqueId: String
    /// The last row that the forecast has read.
    public var cutoff: String
    /// The times of the P steps ahead. Holidays are not known and not skipped.
    public var ds: [String]
    /// `[P][Q]`.
    public var quantiles: [[Double]]
    /// Which expert of a composition made it; nil where there is one model.
    public var expert: String?
    /// The P times ahead as moments.
    var stamps: [Timestamp] = []

    private enum CodingKeys: String, CodingKey { case uniqueId, cutoff, ds, quantiles, expert }
  }

  /// The architecture.
  public let model: String
  /// The quantity that is forecast of the series.
  public let measure: Measure
  /// The quantile levels, Q.
  public let levels: [Double]
  /// The series, in the order of the table.
  public let series: [Series]

  init(model: String, measure: Measure, levels: [Double], series: [Series]) {
    (self.model, self.measure, self.levels, self.series) = (model, measure, levels, series)
  }

  /// Forecasts from the last row of every series.
  ///
  /// - Parameters:
  ///   - saved: The model with its recipe.
  ///   - table: The rows as read, not yet measured.
  /// - Throws: `MeasureError`, ``RecipeError``, ``ForecastError``, ``NotFiniteError``, `CadenceError`.
  public init(_ saved: ModelFolder.SavedForecaster, table: SeriesTable) throws {
    let (recipe, config) = (saved.recipe, saved.forecaster.config)
    let longest = table.series.max { $0.count < $1.count }?.timestamps ?? []
    guard recipe.cadence.admits(table.cadence, stamps: longest) else {
      throw ForecastError.otherFrequency(
        found: table.cadence.frequency.name, expected: recipe.cadence.frequency.name)
    }
    // A few rows do not tell how they follow each other; the training rows did.
    let cadence = table.cadence.frequency == .irregular ? recipe.cadence : table.cadence
    model = config.backbone.architecture.name
    measure = recipe.measure
    levels = config.levels
    series = try table.measured(as: recipe.measure).series.map { one in
      let frame = try recipe.frame(one)
      let last = frame.count - 1
      guard last >= 0, frame.isScaled[last] else {
        throw ForecastError.noHistory(series: one.id, rows: frame.count)
      }
      let forecast = SeriesForecast(saved.forecaster, frame: frame, rows: last..<last + 1)
      try saved.forecaster.requireFinite(
        forecast.quantiles[0], for: "the rows after those of series '\(one.id)'")
      let ahead = try cadence.stamps(after: one.timestamps[last], count: config.horizon)
      return Series(
        uniqueId: one.id, cutoff: cadence.text(one.timestamps[last]), ds: ahead.map(cadence.text),
        quantiles: recipe.measure.possible(forecast.quantiles[0]), stamps: ahead)
    }
  }

  /// One row for each series and step ahead, series by series.
  public var rows: [ForecastRow] {
    series.flatMap { one in
      zip(one.stamps, one.quantiles).map { stamp, quantiles in
        ForecastRow(series: one.uniqueId, date: stamp.date, levels: levels, quantiles: quantiles)
      }
    }
  }

  /// Forecasts from the last row of every series of a file, read as the model's training read its own.
  ///
  /// - Parameters:
  ///   - folder: A forecaster, or a composition of them.
  ///   - path: A CSV with the columns that the model was trained on.
  ///   - options: What is known about the columns; the target is the model's where none is named.
  /// - Throws: ``ModelFolderError``, `SeriesError`, `MeasureError`, ``RecipeError``, ``ForecastError``.
  public init(
    _ folder: ModelFolder, readingCSVAt path: String, options: SeriesOptions = SeriesOptions()
  ) throws {
    func table(_ model: ForecasterFolder) throws -> SeriesTable {
      try SeriesTable(readingCSVAt: path, options: options.completed(by: model))
    }
    if case .composition(let composition) = folder.contents {
      try composition.require(.forecast)
      let base = try composition.expert(composition.router.base).forecaster()
      try self.init(composition, table: try table(base))
    } else if case .baseline(let baseline) = folder.contents {
      let options = options.completed(by: baseline.recipe, target: baseline.target)
      try self.init(
        try baseline.load(), table: try SeriesTable(readingCSVAt: path, options: options))
    } else {
      let model = try folder.forecaster()
      try self.init(try model.load(), table: try table(model))
    }
  }

  /// A table with a header: `unique_id`, `ds`, then a column called like the model with the median and
  /// `-lo-90` and `-hi-90` columns for the central intervals that the levels give, widest first.
  ///
  /// - Parameter guardsFormulas: Whether a name by which a spreadsheet would begin a formula gets an
  ///   apostrophe before it. Default: true, as people open CSV in spreadsheets.
  /// - Returns: The lines of the table.
  public func csv(guardsFormulas: Bool = true) -> String {
    let columns = ForecastColumns(model: model, levels: levels)
    var lines = [(["unique_id", "ds"] + columns.all.map(\.name)).joined(separator: ",")]
    for one in series {
      for (stamp, quantiles) in zip(one.ds, one.quantiles) {
        lines.append(
          ([csvField(one.uniqueId, guardsFormulas: guardsFormulas), stamp]
            + columns.cells(quantiles)).joined(separator: ","))
      }
    }
    return lines.joined(separator: "\n")
  }
}
