public import ApusData
public import ApusEvaluation
import ApusModels
import ApusRuntime
public import ApusTensor
import Foundation

/// How a backtest is to be made.
public struct BacktestOptions: Sendable {
  /// How models are trained, and what all are asked for: levels, measure, context, budget, the
  /// first of the seeds, covariates, size, learning rate, and the rows of the embargo: rows just before
  /// an origin that are not fitted to. Its models are not looked at.
  public var training = ComparisonOptions()
  /// Rows ahead, P. Default: those of the folders, else those of ``training``; a folder that forecasts
  /// another number is an error.
  public var horizon: Int?
  /// The share of the rows, at the end, that is forecast. Default: the last fifth.
  public var test = 0.2
  /// How many origins at most, the last ones. Default: all of the test rows.
  public var windows: Int?
  /// Rows between origins. Default: the horizon, so that no row is forecast twice.
  public var step: Int?
  /// How many origins are forecast after one fit. Default: all; each is fitted once, before the first.
  /// A model from a folder is never trained again.
  public var refitEvery: Int?

  /// Creates the default.
  public init() {}
}

/// Forecasts from rolling origins: each forecaster is fitted to rows before an origin alone, and what it
/// says is compared with what came. No target that was fitted to lies after its origin (the purge).
///
/// Tashman, 2000, *Out-of-sample tests of forecasting accuracy*.
public struct Backtest: Sendable {
  private let table: SeriesTable
  private let choices: [ForecasterChoice]
  private let options: BacktestOptions

  /// Creates the job; nothing is done before ``run(progress:)``.
  ///
  /// - Parameters:
  ///   - table: The series as read.
  ///   - choices: The forecasters.
  ///   - options: Origins, refits, and how models are trained.
  public init(_ table: SeriesTable, choices: [ForecasterChoice], options: BacktestOptions) {
    (self.table, self.choices) = (table, choices)
    var options = options
    options.training = options.training.fitting(table)
    self.options = options
  }

  /// Runs the backtest.
  ///
  /// - Parameter progress: Called after every step of training and every fit, and awaited.
  /// - Returns: All forecasts with what came, and the scores.
  /// - Throws: ``BacktestError``, and what is wrong with data, options or a folder. ``Interruption`` when
  ///   the Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> BacktestResult {
    try await Interruption.naming("backtest") { try await tested(progress) }
  }

  private func tested(
    _ progress: @escaping (WorkProgress) async -> Void
  ) async throws -> BacktestResult {
    let saved = try choices.map { choice -> Model? in
      if case .saved(let folder) = choice { try Model(folder) } else { nil }
    }
    let question = try question(saved.compactMap(\.self))
    let measured = try table.measured(as: question.measure)
    let plan = try BacktestPlan(measured, horizon: question.horizon, options: options)
    var result = BacktestResult(
      table: ForecastTable(models: []), origins: plan.origins.count, measure: question.measure)
    result.table.rows = plan.rows(models: choices.count)
    var places: [Place: Int] = [:]
    for (index, row) in result.table.rows.enumerated() where row.step == 1 {
      places[Place(series: row.series, date: row.date)] = index
    }
    for (number, choice) in choices.enumerated() {
      let name = Self.distinct(choice.name, among: result.table.models.map(\.name))
      let entrant = Entrant(
        choice: choice, saved: saved[number], name: name, options: options.training,
        question: question)
      result.table.models.append(ForecastTable.Model(name: name, levels: entrant.levels))
      let folds = plan.folds(
        refitEvery: saved[number]?.baselines.isEmpty == true ? nil : options.refitEvery)
      for (index, fold) in folds.enumerated() {
        let done = Double(number) + Double(index) / Double(folds.count)
        let share = 1 / Double(folds.count)
        let forecasts = try await entrant.forecasts(plan, fold) { state in
          await progress(
            WorkProgress(
              phase: "\(name), fit \(index + 1) of \(folds.count)",
              share: (done + share * (state?.share ?? 1)) / Double(choices.count),
              detail: state?.losses ?? ""))
        }
        for (window, quantiles) in zip(plan.origins[fold].joined(), forecasts) {
          let place = Place(series: measured.series[window.series].id, date: window.date)
          guard let quantiles, let first = places[place] else { continue }
          for (step, row) in quantiles.enumerated()
          where first + step < result.table.rows.count
            && result.table.rows[first + step].step == step + 1
          {
            result.table.rows[first + step].quantiles[number] = row
          }
        }
      }
      result.notes += entrant.notes(plan)
    }
    let season = measured.cadence.seasonLength
    let units = plan.units(season: season, measure: question.measure)
    let overlap = (question.horizon + plan.step - 1) / plan.step
    result.summaries = try result.table.summaries(units: units, overlap: overlap)
    result.bySeries = try result.table.summariesBySeries(units: units)
    guard !result.summaries.isEmpty else { throw BacktestError.nothingScored }
    return result
  }

  private struct Place: Hashable {
    let series: String
    let date: Int
  }

  /// What all forecasters are asked: as the saved ones were, and else as the options say.
  private func question(_ saved: [Model]) throws -> Entrant.Question {
    var (measure, horizon) = (options.training.measure, options.horizon)
    for model in saved {
      if let measure, measure != model.measure {
        throw BacktestError.otherQuestion(
          model: model.name, key: "measure", found: model.measure.rawValue,
          expected: measure.rawValue)
      }
      if let horizon, horizon != model.horizon {
        throw BacktestError.otherQuestion(
          model: model.name, key: "horizon", found: "\(model.horizon)", expected: "\(horizon)")
      }
      (measure, horizon) = (model.measure, model.horizon)
    }
    let found = measure ?? Measure.inferred(for: table).measure
    return Entrant.Question(
      measure: found, horizon: horizon ?? options.training.horizon,
      season: found == .level ? table.cadence.seasonLength : 1)
  }

  /// A name that no other forecaster has.
  private static func distinct(_ name: String, among names: [String]) -> String {
    guard names.contains(name) else { return name }
    let number = (2...).first { !names.contains("\(name)-\($0)") } ?? names.count + 1
    return "\(name)-\(number)"
  }
}

/// What a backtest found.
public struct BacktestResult: Sendable {
  /// All forecasts with what came.
  public var table: ForecastTable
  /// How many origins there were.
  public var origins: Int
  /// What was forecast of the series.
  public var measure: Measure
  /// The scores over all series, best first.
  public var summaries: [ForecastSummary] = []
  /// The scores on every series.
  public var bySeries: [ForecastSummary] = []
  /// What has to be known about single forecasters, a sentence each.
  public var notes: [String] = []
}

/// An error of a backtest.
public enum BacktestError: Error, Equatable {
  /// A saved model answers another question than was asked, or than another one does.
  case otherQuestion(model: String, key: String, found: String, expected: String)
  /// There is no origin of which every forecaster has a forecast and something came.
  case nothingScored
}

extension BacktestError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .otherQuestion(let model, let key, let found, let expected):
      """
      The \(key) of '\(model)' is \(found), but \(expected) was asked for. Leave the option out, or test \
      it alone.
      """
    case .nothingScored:
      """
      No origin has a forecast of every forecaster and a value that came; give more rows, fewer \
      forecasters or a shorter horizon.
      """
    }
  }
}

/// The scores of a backtest, as JSON has them.
public struct BacktestScores: Encodable, Sendable {
  let origins: Int
  let measure: Measure
  let models: [ForecastSummary]
  let series: [ForecastSummary]
  let notes: [String]

  /// Takes the scores of a result.
  public init(_ result: BacktestResult) {
    (origins, measure, notes) = (result.origins, result.measure, result.notes)
    (models, series) = (result.summaries, result.bySeries)
  }
}

extension BacktestResult {
  /// Writes `predictions.csv`, `metrics.json` and `fev.csv`, replaced together.
  ///
  /// - Parameters:
  ///   - path: The folder; made when missing.
  ///   - dataset: What `fev.csv` calls the data. Default: memory.
  ///   - guardsFormulas: Whether names that a spreadsheet takes for formulas get an apostrophe.
  /// - Throws: `FileError`; what stood there before stands.
  public func write(
    to path: String, dataset: String = "memory", guardsFormulas: Bool = true
  ) throws {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let metrics = try encoder.encode(BacktestScores(self))
    try Files().commit(to: path) { draft in
      try draft.write("predictions.csv", table.csv(guardsFormulas: guardsFormulas).utf8)
      try draft.write("metrics.json", metrics)
      try draft.write("fev.csv", summaries(of: dataset, guardsFormulas: guardsFormulas).utf8)
    }
  }

  /// The scores as evaluation summaries of fev: for each forecaster its weighted quantile loss over all
  /// series, in one task. `FevSummaries` reads such files.
  ///
  /// - Parameters:
  ///   - dataset: What the data is called.
  ///   - guardsFormulas: As in ``write(to:dataset:guardsFormulas:)``. Default: true.
  /// - Returns: The lines of the table.
  public func summaries(of dataset: String, guardsFormulas: Bool = true) -> String {
    let horizon = table.rows.map(\.step).max() ?? 0
    var lines = [
      "dataset_path,dataset_config,horizon,eval_metric,quantile_levels,model_name,test_error"
    ]
    for model in table.models {
      let found = summaries.first { $0.model == model.name }
      let loss = found?.metrics.first { $0.name == "wQL" }?.value
      let cells = [
        dataset, measure.rawValue, "\(horizon)", "WQL", "\(model.levels)", model.name,
        loss.map { "\($0)" } ?? "",
      ]
      lines.append(
        cells.map { csvField($0, guardsFormulas: guardsFormulas) }.joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension ForecastTable {
  /// The forecasts as CSV: `unique_id`, `ds`, `cutoff`, `y`, and for each model the columns of
  /// ``FutureForecast/csv(guardsFormulas:)``. Cells are empty where nothing is known.
  ///
  /// - Parameter guardsFormulas: As there. Default: true.
  /// - Returns: The lines of the table.
  public func csv(guardsFormulas: Bool = true) -> String {
    let columns = models.map { ForecastColumns(model: $0.name, levels: $0.levels) }
    var lines = [
      (["unique_id", "ds", "cutoff", "y"] + columns.flatMap { $0.all.map(\.name) })
        .joined(separator: ",")
    ]
    for row in rows {
      let cells = zip(columns, row.quantiles).flatMap { columns, quantiles in
        quantiles.isEmpty ? columns.all.map { _ in "" } : columns.cells(quantiles)
      }
      let actual = row.actual.isFinite ? "\(row.actual)" : ""
      lines.append(
        ([csvField(row.series, guardsFormulas: guardsFormulas), row.ds, row.cutoff, actual]
          + cells).joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
