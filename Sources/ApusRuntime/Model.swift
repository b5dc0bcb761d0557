public import ApusData
package import ApusModels
import ApusTensor

/// A forecaster with the last rows it was fitted to: a trained model or a classical baseline alike.
///
///     let model = try Model(at: "best")
///     for row in try model.forecast().rows { print(row.date, row.median, try row.interval(0.8)) }
///     var stream = try model.stream()
///     let next = try stream.push(101.5, at: .now)
public struct Model {
  enum Kind {
    case trained(Forecaster)
    case baseline(Baseline, ForecastTask, lookback: Int)
  }

  let kind: Kind
  /// How rows are read and measured.
  public let recipe: FeatureRecipe
  /// The column it forecasts; empty when there was one only.
  public let target: String
  /// The last rows it was fitted to, at most 65,536 of a series, not measured yet; none where the folder
  /// keeps none.
  public let history: [TimeSeries]

  private static let mostRows = 65_536

  private init(_ kind: Kind, recipe: FeatureRecipe, target: String, history: [TimeSeries]) {
    (self.kind, self.recipe, self.target) = (kind, recipe, target)
    self.history = history.map { $0.slice(max(0, $0.count - Self.mostRows)..<$0.count) }
  }

  /// A trained model.
  ///
  /// - Parameters:
  ///   - saved: The model with its recipe.
  ///   - history: The rows that a forecast or a stream without data goes on from.
  public init(_ saved: ModelFolder.SavedForecaster, history: [TimeSeries]) {
    self.init(
      .trained(saved.forecaster), recipe: saved.recipe, target: saved.target, history: history)
  }

  /// A baseline, which is fitted to the rows it forecasts from.
  package init(
    _ baseline: Baseline, task: ForecastTask, lookback: Int, recipe: FeatureRecipe,
    target: String, history: [TimeSeries]
  ) {
    self.init(
      .baseline(baseline, task, lookback: lookback), recipe: recipe, target: target,
      history: history)
  }

  /// Loads a saved one.
  ///
  /// - Parameter path: A folder that ``save(to:)``, `apus train` or `apus compare` wrote.
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public init(at path: String) throws {
    let folder = try ModelFolder.open(path)
    if case .baseline(let baseline) = folder.contents {
      self = try baseline.load()
    } else {
      let forecaster = try folder.forecaster()
      self.init(try forecaster.load(), history: forecaster.history)
    }
  }

  /// The architecture, or the name of the baseline, such as "garch-t".
  public var name: String {
    switch kind {
    case .trained(let forecaster): forecaster.config.backbone.architecture.name
    case .baseline(let baseline, _, _): baseline.name
    }
  }

  /// What is forecast: forecasts are in its units.
  public var measure: Measure { recipe.measure }

  /// Rows ahead, P.
  public var horizon: Int {
    switch kind {
    case .trained(let forecaster): forecaster.config.horizon
    case .baseline(_, let task, _): task.horizon
    }
  }

  /// The quantile levels, Q.
  public var levels: [Double] {
    switch kind {
    case .trained(let forecaster): forecaster.config.levels
    case .baseline(_, let task, _): task.levels
    }
  }

  // MARK: Forecasting

  /// Forecasts the rows after those it was fitted to.
  ///
  /// - Parameter levels: Quantile levels, ascending: of a trained model some of ``levels``, of a
  ///   baseline any between 0 and 1. Default: ``levels``.
  /// - Returns: The P rows ahead of every series.
  /// - Throws: ``ForecastError``, and what ``forecast(after:levels:)`` throws.
  public func forecast(levels: [Double]? = nil) throws -> FutureForecast {
    guard !history.isEmpty else { throw ForecastError.noSeries(asked: nil, known: []) }
    var table = SeriesTable(history, targetName: target)
    table.cadence = recipe.cadence
    return try forecast(after: table, levels: levels)
  }

  /// Forecasts the rows after the last one of every series of a table. A baseline is fitted to them.
  ///
  /// - Parameters:
  ///   - table: The rows as read, not yet measured.
  ///   - levels: As in ``forecast(levels:)``.
  /// - Returns: The P rows ahead of every series.
  /// - Throws: `MeasureError`, `BaselineError`, ``RecipeError``, ``ForecastError``, ``NotFiniteError``.
  public func forecast(after table: SeriesTable, levels: [Double]? = nil) throws -> FutureForecast {
    guard let levels else { return try FutureForecast(self, table: table) }
    guard case .baseline(let baseline, var task, let lookback) = kind else {
      return try FutureForecast(self, table: table).selecting(levels)
    }
    task.levels = levels
    let model = Model(
      baseline, task: task, lookback: lookback, recipe: recipe, target: target, history: history)
    return try FutureForecast(model, table: table)
  }

  /// Starts a live series after the rows it was fitted to.
  ///
  /// - Parameter id: Which of the series in ``history``. Default: the only one.
  /// - Returns: The series at work, all rows of ``history`` taken in.
  /// - Throws: ``ForecastError/noSeries(asked:known:)``, and what fitting a baseline throws.
  public func stream(of id: String? = nil) throws -> ModelStream {
    let found = history.filter { id == nil || $0.id == id }
    guard found.count == 1, let series = found.first else {
      throw ForecastError.noSeries(asked: id, known: history.map(\.id))
    }
    return try ModelStream(self, after: series)
  }

  // MARK: Saving

  /// Saves it with its ``history``; the files of a folder are replaced together.
  ///
  /// - Parameter path: The folder; made when missing.
  /// - Throws: `FileError`; what stood there before stands.
  public func save(to path: String) throws { try contents.save(to: path) }

  /// The files of its folder.
  package var contents: FolderContents {
    get throws {
      var card = FolderCard(.forecast)
      (card.recipe, card.target) = (recipe, target)
      card.history = history.map { StoredSeries($0) }
      switch kind {
      case .trained(let forecaster):
        card.forecaster = forecaster.config
        return FolderContents(
          forecaster.parameters,
          config: try ModelFolder.encoded([
            "model_type": "apus_forecaster",
            "architecture": forecaster.config.backbone.architecture.name,
          ]), card: card)
      case .baseline(let baseline, let task, let lookback):
        card.baseline = BaselineCard(name: baseline.name, lookback: lookback, task: task)
        return FolderContents(
          [],
          config: try ModelFolder.encoded([
            "model_type": "apus_baseline", "architecture": baseline.name,
          ]), card: card)
      }
    }
  }
}

extension FutureForecast {
  /// Forecasts from the last row of every series; a baseline is fitted to its rows first.
  ///
  /// - Parameters:
  ///   - model: A trained model or a baseline.
  ///   - table: The rows as read, not yet measured.
  /// - Throws: `MeasureError`, `BaselineError`, ``RecipeError``, ``ForecastError``, ``NotFiniteError``.
  public init(_ model: Model, table: SeriesTable) throws {
    let recipe = model.recipe
    let (prototype, task): (Baseline, ForecastTask)
    switch model.kind {
    case .baseline(let baseline, let asked, _): (prototype, task) = (baseline, asked)
    case .trained(let forecaster):
      let saved = ModelFolder.SavedForecaster(
        forecaster: forecaster, recipe: recipe, target: model.target)
      try self.init(saved, table: table)
      return
    }
    let cadence = table.cadence.frequency == .irregular ? recipe.cadence : table.cadence
    let series = try table.measured(as: recipe.measure).series.map { one in
      guard let last = one.timestamps.last else {
        throw ForecastError.noHistory(series: one.id, rows: 0)
      }
      var baseline = prototype
      try baseline.fit(one.values, task: task)
      let quantiles = try baseline.forecast(one.values[...], task: task)
      let ahead = try cadence.stamps(after: last, count: task.horizon)
      return Series(
        uniqueId: one.id, cutoff: cadence.text(last), ds: ahead.map(cadence.text),
        quantiles: recipe.measure.possible(quantiles), stamps: ahead)
    }
    self.init(
      model: prototype.name, measure: recipe.measure, levels: task.levels, series: series)
  }

  /// The same forecast with some of its levels alone.
  func selecting(_ wanted: [Double]) throws -> FutureForecast {
    let places = try wanted.map { level in
      guard let place = levels.firstIndex(where: { abs($0 - level) < 1e-9 }) else {
        throw ForecastError.noLevel(asked: level, known: levels)
      }
      return place
    }
    return FutureForecast(
      model: model, measure: measure, levels: wanted,
      series: series.map { one in
        var one = one
        one.quantiles = one.quantiles.map { row in places.map { row[$0] } }
        return one
      })
  }
}
