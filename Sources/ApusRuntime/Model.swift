public import ApusData
public import ApusModels
import ApusTensor
import Foundation

/// A forecaster with the last rows it was fitted to: a trained model, a classical baseline, or the mean of
/// several of them.
///
///     let model = try Model(at: "best")
///     for row in try model.forecast().rows { print(row.date, row.median, try row.interval(0.8)) }
///     var stream = try model.stream()
///     let next = try stream.push(101.5, at: .now)
public struct Model {
  /// What forecasts: an ensemble has several.
  enum Part {
    case trained(Forecaster)
    case baseline(Baseline, ForecastTask, lookback: Int)
  }

  /// The members, the trained ones first; one where it is no ensemble.
  let parts: [Part]
  /// How much each member counts in the mean of their quantiles, from 0 up, 1 all together.
  let weights: [Double]
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

  init(
    _ parts: [Part], weights: [Double] = [1], recipe: FeatureRecipe, target: String,
    history: [TimeSeries], seen: Timestamp? = nil, correction: ConformalCorrection? = nil
  ) {
    // Trained members go first, so that members have the same order wherever they are asked.
    let order = parts.indices.sorted {
      (parts[$0].isTrained ? 0 : 1, $0) < (parts[$1].isTrained ? 0 : 1, $1)
    }
    (self.parts, self.weights) = (order.map { parts[$0] }, order.map { weights[$0] })
    (self.recipe, self.target, self.seen) = (recipe, target, seen)
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
      [.trained(saved.forecaster)], recipe: saved.recipe, target: saved.target, history: history,
      seen: seen, correction: saved.correction)
  }

  /// A baseline, which is fitted to the rows it forecasts from.
  package init(
    _ baseline: Baseline, task: ForecastTask, lookback: Int, recipe: FeatureRecipe,
    target: String, history: [TimeSeries], correction: ConformalCorrection? = nil
  ) {
    self.init(
      [.baseline(baseline, task, lookback: lookback)], recipe: recipe, target: target,
      history: history, correction: correction)
  }

  /// The mean of several models of one question, quantile by quantile.
  ///
  /// - Parameters:
  ///   - members: Models, or ensembles, that read rows alike and forecast the same steps and levels; trained
  ///     ones of one look-back.
  ///   - weights: How much each counts, from 0 up, not all 0; they need not sum to 1. Default: all the same.
  ///   - correction: Of the mean's quantiles; those of members are left out. Default: none.
  /// - Throws: `ConfigError` where the members cannot be one model.
  public init(
    mean members: [Model], weights: [Double]? = nil, correction: ConformalCorrection? = nil
  ) throws {
    let weights = weights ?? members.map { _ in 1 }
    let total = weights.reduce(0, +)
    guard let first = members.first, weights.count == members.count, total > 0, total.isFinite,
      weights.allSatisfy({ $0 >= 0 })
    else {
      throw ConfigError.invalid(
        key: "weights", value: "\(weights)",
        rule: "there must be one from 0 up for each of \(members.count) members")
    }
    let parts = members.flatMap(\.parts)
    if let reason = Self.obstacle(to: parts) ?? Self.difference(members) {
      throw ConfigError.invalid(
        key: "members", value: "\(members.map(\.name))", rule: reason)
    }
    self.init(
      parts,
      weights: zip(members, weights).flatMap { one, weight in
        one.weights.map { $0 * weight / total }
      }, recipe: first.recipe, target: first.target, history: first.history,
      seen: members.compactMap(\.seen).max(), correction: correction)
  }

  /// Why models cannot be members of one; nil where they can.
  private static func difference(_ members: [Model]) -> String? {
    let isAlike = members.dropFirst().allSatisfy { $0.recipe == members[0].recipe }
    return isAlike ? nil : "all of them must read rows alike"
  }

  /// Why parts cannot be members of one model; nil where they can.
  static func obstacle(to parts: [Part]) -> String? {
    guard let first = parts.first else { return "there must be at least one" }
    let contexts = Set(parts.compactMap { $0.forecaster?.config.context })
    if contexts.count > 1 { return "all of them must have one look-back" }
    let isAlike = parts.allSatisfy { $0.horizon == first.horizon && $0.levels == first.levels }
    return isAlike ? nil : "all of them must forecast the same steps and levels"
  }

  /// Loads a saved one.
  ///
  /// - Parameter path: A folder that ``save(to:)``, `apus train` or `apus compare` wrote.
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public init(at path: String) throws { try self.init(try ModelFolder.open(path)) }

  /// Loads what a folder holds.
  ///
  /// - Parameter folder: A trained forecaster, a baseline or an ensemble.
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public init(_ folder: ModelFolder) throws {
    switch folder.contents {
    case .baseline(let baseline): self = try baseline.load()
    case .pretrained(let pretrained):
      throw ModelFolderError.notAsked(path: pretrained.path, family: pretrained.family)
    case .ensemble(let ensemble): self = try ensemble.load()
    default:
      let forecaster = try folder.forecaster()
      self.init(try forecaster.load(), history: forecaster.history, seen: forecaster.seen)
    }
  }

  /// What an ensemble is called.
  package static let ensembleName = "ensemble"

  /// The architecture, the name of the baseline, such as "garch-t", or "ensemble".
  public var name: String { parts.count == 1 ? parts[0].name : Self.ensembleName }

  /// The members of an ensemble by name and weight; of any other model itself.
  public var members: [(name: String, weight: Double)] {
    zip(parts, weights).map { ($0.name, $1) }
  }

  /// The trained members, which stand before the others.
  package var forecasters: [Forecaster] { parts.compactMap(\.forecaster) }

  /// The members that are baselines, not fitted, and what they are asked.
  package var baselines: [(rule: Baseline, task: ForecastTask)] {
    parts.compactMap { part in
      if case .baseline(let rule, let task, _) = part { (rule, task) } else { nil }
    }
  }

  /// What is forecast: forecasts are in its units.
  public var measure: Measure { recipe.measure }

  /// Rows ahead, P.
  public var horizon: Int { parts[0].horizon }

  /// The quantile levels, Q.
  public var levels: [Double] { parts[0].levels }

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
    guard forecasters.isEmpty else {
      return try FutureForecast(self, table: table).selecting(levels)
    }
    let model = Model(
      parts.map { $0.at(levels) }, weights: weights, recipe: recipe, target: target,
      history: history, correction: correction?.at(levels))
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
      guard parts.count == 1 else {
        card.take(MemberCards(self))
        return FolderContents(
          MemberCards.tensors(of: self),
          config: try ModelFolder.encoded([
            "model_type": "apus_ensemble", "architecture": Self.ensembleName,
          ]), card: card)
      }
      switch parts[0] {
      case .trained(let forecaster):
        card.take(forecaster.config)
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

extension Model.Part {
  var forecaster: Forecaster? {
    if case .trained(let forecaster) = self { forecaster } else { nil }
  }

  var isTrained: Bool { forecaster != nil }

  var name: String {
    switch self {
    case .trained(let forecaster): forecaster.config.backbone.architecture.name
    case .baseline(let baseline, _, _): baseline.name
    }
  }

  var horizon: Int {
    switch self {
    case .trained(let forecaster): forecaster.config.horizon
    case .baseline(_, let task, _): task.horizon
    }
  }

  var levels: [Double] {
    switch self {
    case .trained(let forecaster): forecaster.config.levels
    case .baseline(_, let task, _): task.levels
    }
  }

  /// A baseline at other levels; a trained one as it is.
  func at(_ levels: [Double]) -> Model.Part {
    guard case .baseline(let rule, var task, let lookback) = self else { return self }
    task.levels = levels
    return .baseline(rule, task, lookback: lookback)
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

  /// Forecasts after the last row of measured series.
  ///
  /// - Parameters:
  ///   - series: The series.
  ///   - stamps: The P times ahead of each.
  /// - Returns: What became of each.
  /// - Throws: What is wrong with the model or the columns, not with the rows alone.
  func outcomes(_ series: [TimeSeries], at stamps: [[Timestamp]]) throws -> [Outcome] {
    let (recipe, rules) = (recipe, baselines)
    let classical = sideBySide(series.count) { place in
      Result {
        try Self.quantiles(of: rules, after: series[place], at: stamps[place], recipe)
      }
    }
    return try zip(zip(series, stamps), classical).map { one, classical in
      do {
        let trained = try quantiles(after: one.0, at: one.1)
        return Outcome(quantiles: combined(trained + (try classical.get())))
      } catch {
        switch error {
        case let error as ForecastError: return Outcome(failure: error)
        case let error as BaselineError: return Outcome(failure: error)
        default: throw error
        }
      }
    }
  }

  /// Of each trained member, `[P][Q]`.
  private func quantiles(after series: TimeSeries, at stamps: [Timestamp]) throws -> [[[Double]]] {
    guard !forecasters.isEmpty else { return [] }
    let frame = try recipe.frame(series, ahead: try recipe.rowsAhead(of: series, at: stamps))
    let last = frame.count - 1
    guard last >= 0, frame.isScaled[last] else {
      throw ForecastError.noHistory(series: series.id, rows: frame.count)
    }
    return try forecasters.map { forecaster in
      let forecast = SeriesForecast(forecaster, frame: frame, rows: last..<last + 1)
      try forecaster.requireFinite(
        forecast.quantiles[0], for: "the rows after those of series '\(series.id)'")
      return forecast.quantiles[0]
    }
  }

  /// Of each baseline, `[P][Q]`.
  private static func quantiles(
    of baselines: [(rule: Baseline, task: ForecastTask)], after series: TimeSeries,
    at stamps: [Timestamp], _ recipe: FeatureRecipe
  ) throws -> [[[Double]]] {
    let ahead = try recipe.rowsAhead(of: series, at: stamps)
    let rest = recipe.rest(of: series)
    return try baselines.map { rule, task in
      var baseline = rule
      try baseline.fit(rest, task: task)
      let forecast = try baseline.forecasts(rest, origins: [rest.count], task: task)[0]
      return forecast.shifted(by: recipe.shifts(of: series.id, ahead)).quantiles
    }
  }

  /// The forecast that the members' come to: their mean, corrected.
  ///
  /// - Parameter members: Of each member, the trained ones first, `[P][Q]`.
  /// - Returns: `[P][Q]`.
  package func combined(_ members: [[[Double]]]) -> [[Double]] {
    let mean = averageQuantiles(members, weights: weights)
    return correction?.applied(to: mean) ?? mean
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
