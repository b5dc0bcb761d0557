public import ApusData
public import ApusModels
import ApusTensor
import Foundation

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
  /// The time of the last row that a trained model's weights were fitted to or chosen by; nil of a
  /// baseline, and where the folder does not say.
  public let seen: Timestamp?
  /// What validation taught about its quantiles, which all forecasts have in them; nil where they are as
  /// they come.
  public let correction: ConformalCorrection?

  /// The most rows of a series that are kept.
  static let mostRows = 65_536

  private init(
    _ kind: Kind, recipe: FeatureRecipe, target: String, history: [TimeSeries],
    seen: Timestamp? = nil, correction: ConformalCorrection? = nil
  ) {
    (self.kind, self.recipe, self.target, self.seen) = (kind, recipe, target, seen)
    self.correction = correction
    self.history = history.map { $0.slice(max(0, $0.count - Self.mostRows)..<$0.count) }
  }

  /// A trained model.
  ///
  /// - Parameters:
  ///   - saved: The model with its recipe.
  ///   - history: The rows that a forecast or a stream without data goes on from.
  ///   - seen: The time of the last row that its weights were fitted to or chosen by. Default: not known.
  public init(
    _ saved: ModelFolder.SavedForecaster, history: [TimeSeries], seen: Timestamp? = nil
  ) {
    self.init(
      .trained(saved.forecaster), recipe: saved.recipe, target: saved.target, history: history,
      seen: seen, correction: saved.correction)
  }

  /// A baseline, which is fitted to the rows it forecasts from.
  package init(
    _ baseline: Baseline, task: ForecastTask, lookback: Int, recipe: FeatureRecipe,
    target: String, history: [TimeSeries], correction: ConformalCorrection? = nil
  ) {
    self.init(
      .baseline(baseline, task, lookback: lookback), recipe: recipe, target: target,
      history: history, correction: correction)
  }

  /// Loads a saved one.
  ///
  /// - Parameter path: A folder that ``save(to:)``, `apus train` or `apus compare` wrote.
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public init(at path: String) throws { try self.init(try ModelFolder.open(path)) }

  /// Loads what a folder holds.
  ///
  /// - Parameter folder: A trained forecaster or a baseline.
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public init(_ folder: ModelFolder) throws {
    switch folder.contents {
    case .baseline(let baseline): self = try baseline.load()
    case .pretrained(let pretrained):
      throw ModelFolderError.notAsked(path: pretrained.path, family: pretrained.family)
    default:
      let forecaster = try folder.forecaster()
      self.init(try forecaster.load(), history: forecaster.history, seen: forecaster.seen)
    }
  }

  /// The architecture, or the name of the baseline, such as "garch-t".
  public var name: String {
    switch kind {
    case .trained(let forecaster): forecaster.config.backbone.architecture.name
    case .baseline(let baseline, _, _): baseline.name
    }
  }

  /// The trained model; nil of a baseline.
  package var forecaster: Forecaster? {
    if case .trained(let forecaster) = kind { forecaster } else { nil }
  }

  /// The baseline, not fitted, and what it is asked; nil of a trained model.
  package var baseline: (rule: Baseline, task: ForecastTask)? {
    if case .baseline(let rule, let task, _) = kind { (rule, task) } else { nil }
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
      baseline, task: task, lookback: lookback, recipe: recipe, target: target, history: history,
      correction: correction?.at(levels))
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
      card.seen = seen?.secondsSinceEpoch
      card.take(correction)
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
        if let pretrained = baseline.pretrained {
          return FolderContents(
            pretrained.tensors.mapValues { Tensor($0) },
            config: Data(pretrained.document.text().utf8), card: card)
        }
        return FolderContents(
          [],
          config: try ModelFolder.encoded([
            "model_type": "apus_baseline", "architecture": baseline.name,
          ]), card: card)
      }
    }
  }
}

extension Model {
  /// What became of one series.
  struct Outcome {
    /// `[P][Q]` in units of the measure.
    var quantiles: [[Double]]?
    /// Why there are none, where it is for lack of rows.
    var failure: (any ApusError)?
  }

  /// Forecasts after the last row of a measured series.
  ///
  /// - Parameters:
  ///   - series: The series.
  ///   - stamps: The P times ahead.
  /// - Returns: What became of it.
  /// - Throws: What is wrong with the model or the columns, not with the rows alone.
  func outcome(_ series: TimeSeries, at stamps: [Timestamp]) throws -> Outcome {
    do { return Outcome(quantiles: try quantiles(after: series, at: stamps)) } catch {
      switch error {
      case let error as ForecastError: return Outcome(failure: error)
      case let error as BaselineError: return Outcome(failure: error)
      default: throw error
      }
    }
  }

  private func quantiles(after series: TimeSeries, at stamps: [Timestamp]) throws -> [[Double]] {
    let quantiles = try uncorrected(after: series, at: stamps)
    return correction?.applied(to: quantiles) ?? quantiles
  }

  private func uncorrected(after series: TimeSeries, at stamps: [Timestamp]) throws -> [[Double]] {
    let ahead = try recipe.rowsAhead(of: series, at: stamps)
    switch kind {
    case .baseline(var baseline, let task, _):
      let rest = recipe.rest(of: series)
      try baseline.fit(rest, task: task)
      let forecast = try baseline.forecasts(rest, origins: [rest.count], task: task)[0]
      return forecast.shifted(by: recipe.shifts(of: series.id, ahead)).quantiles
    case .trained(let forecaster):
      let frame = try recipe.frame(series, ahead: ahead)
      let last = frame.count - 1
      guard last >= 0, frame.isScaled[last] else {
        throw ForecastError.noHistory(series: series.id, rows: frame.count)
      }
      let forecast = SeriesForecast(forecaster, frame: frame, rows: last..<last + 1)
      try forecaster.requireFinite(
        forecast.quantiles[0], for: "the rows after those of series '\(series.id)'")
      return forecast.quantiles[0]
    }
  }

  /// The naive forecast for the same question.
  var naive: Model {
    let task = ForecastTask(
      horizon: horizon, levels: levels, measure: ForecastTask.Kind(measure))
    return Model(
      .naive, task: task, lookback: 1, recipe: recipe, target: target, history: [])
  }
}

extension ForecastTask.Kind {
  /// The kind of values that a measure has.
  package init(_ measure: Measure) {
    switch measure {
    case .returns: self = .returns
    case .volatility: self = .volatility
    case .level: self = .level
    }
  }
}

extension FutureForecast {
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
