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
    /// Why the model could not make it and the naive forecast stands there; nil where the model did.
    public var fallback: String?
    /// The P times ahead as moments.
    var stamps: [Timestamp] = []

    private enum CodingKeys: String, CodingKey {
      case uniqueId, cutoff, ds, quantiles, expert, fallback
    }
  }

  /// The architecture.
  public let model: String
  /// The quantity that is forecast of the series.
  public let measure: Measure
  /// The quantile levels, Q.
  public let levels: [Double]
  /// The series, in the order of the table, but those of ``skipped``.
  public let series: [Series]
  /// Series that nothing could be forecast of, and why.
  public let skipped: [Skipped]

  /// A series without a forecast.
  public struct Skipped: Encodable, Sendable, Hashable {
    /// Its name.
    public var uniqueId: String
    /// The reason, a sentence.
    public var reason: String
  }

  init(
    model: String, measure: Measure, levels: [Double], series: [Series], skipped: [Skipped] = []
  ) {
    (self.model, self.measure, self.levels) = (model, measure, levels)
    (self.series, self.skipped) = (series, skipped)
  }

  /// Forecasts from the last row of every series; a baseline is fitted to its rows first.
  ///
  /// A series that the model cannot forecast, as it is too short or never moved, gets the naive forecast
  /// and says why; one without any value is skipped. Where the model can forecast none, that is an error.
  ///
  /// - Parameters:
  ///   - model: A trained model or a baseline.
  ///   - table: The rows as read, not yet measured.
  /// - Throws: `MeasureError`, `BaselineError`, ``RecipeError``, ``ForecastError``, ``NotFiniteError``,
  ///   `CadenceError`.
  public init(_ model: Model, table: SeriesTable) throws {
    let recipe = model.recipe
    let longest = table.series.max { $0.count < $1.count }?.timestamps ?? []
    guard recipe.cadence.admits(table.cadence, stamps: longest) else {
      throw ForecastError.otherFrequency(
        found: table.cadence.frequency.name, expected: recipe.cadence.frequency.name)
    }
    // A few rows do not tell how they follow each other; the training rows did.
    let cadence = table.cadence.frequency == .irregular ? recipe.cadence : table.cadence
    let measured = try table.measured(as: recipe.measure).series
    let ahead = try measured.map { one in
      try one.timestamps.last.map { try cadence.stamps(after: $0, count: model.horizon) } ?? []
    }
    let outcomes = try model.outcomes(measured, at: ahead)
    if let first = outcomes.first?.failure, outcomes.allSatisfy({ $0.failure != nil }) {
      throw first
    }
    let naive = model.naive
    var (series, skipped) = ([Series](), [Skipped]())
    for ((one, ahead), outcome) in zip(zip(measured, ahead), outcomes) {
      let reason = outcome.failure.map { "\($0)" }
      let fallback = reason == nil ? nil : try? naive.outcomes([one], at: [ahead]).first
      guard let quantiles = outcome.quantiles ?? fallback?.quantiles, let last = one.timestamps.last
      else {
        skipped.append(Skipped(uniqueId: one.id, reason: reason ?? ""))
        continue
      }
      series.append(
        Series(
          uniqueId: one.id, cutoff: cadence.text(last), ds: ahead.map(cadence.text),
          quantiles: recipe.measure.possible(quantiles), fallback: reason, stamps: ahead))
    }
    self.init(
      model: model.name, measure: recipe.measure, levels: model.levels, series: series,
      skipped: skipped)
  }

  /// One row for each series and step ahead, series by series.
  public var rows: [ForecastRow] { series.flatMap(rows(of:)) }

  /// One row for each step ahead of a series.
  public func rows(of series: Series) -> [ForecastRow] {
    zip(series.stamps, series.quantiles).map { stamp, quantiles in
      ForecastRow(series: series.uniqueId, date: stamp.date, levels: levels, quantiles: quantiles)
    }
  }

  /// Forecasts from the last row of every series of a file, read as the model's training read its own.
  ///
  /// - Parameters:
  ///   - folder: A forecaster, or a composition of them.
  ///   - path: A CSV with the columns that the model was trained on. What is known ahead stands in rows
  ///     behind the last value.
  ///   - future: A CSV with times and columns that are known ahead. Default: those of `path` are all.
  ///   - options: What is known about the columns; the target is the model's where none is named.
  ///   - question: What a pretrained forecaster as published is asked; other folders know. Default: the next
  ///     five rows.
  /// - Throws: ``ModelFolderError``, `SeriesError`, `MeasureError`, ``RecipeError``, ``ForecastError``,
  ///   `KnownFutureError`.
  public init(
    _ folder: ModelFolder, readingCSVAt path: String, futureAt future: String? = nil,
    options: SeriesOptions = SeriesOptions(), question: PretrainedQuestion = PretrainedQuestion()
  ) throws {
    if case .composition(let composition) = folder.contents {
      try composition.require(.forecast)
      let base = try composition.expert(composition.router.base).forecaster()
      try self.init(
        composition,
        table: try SeriesTable(readingCSVAt: path, options: options.completed(by: base)))
    } else {
      let (model, table) = try Self.asked(
        folder, readingCSVAt: path, futureAt: future, options: options, question: question)
      try self.init(model, table: table)
    }
  }

  /// The model of a folder, and the table of a file read as its training read its own.
  static func asked(
    _ folder: ModelFolder, readingCSVAt path: String, futureAt future: String?,
    options: SeriesOptions, question: PretrainedQuestion
  ) throws -> (model: Model, table: SeriesTable) {
    if case .pretrained(let pretrained) = folder.contents, future == nil {
      let table = try SeriesTable(readingCSVAt: path, options: options)
      return (try pretrained.model(asked: question, of: table), table)
    }
    let model = try Model(folder)
    var table = try SeriesTable(readingCSVAt: path, options: options.completed(by: model))
    if let future {
      table = table.withFuture(try model.knownTable(readingCSVAt: future, options: options))
    }
    return (model, table)
  }

  /// What is worth saying about single series, a sentence each.
  public var notes: [String] {
    series.compactMap { one in
      one.fallback.map { "Series '\(one.uniqueId)' has the naive forecast: \($0)" }
    } + skipped.map { "Series '\($0.uniqueId)' has no forecast: \($0.reason)" }
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
