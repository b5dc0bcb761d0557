import Apus
import ApusEvaluation
import ArgumentParser
import Foundation
import TextTable

/// `apus backtest`: forecasts from rolling origins, and what came.
struct BacktestCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backtest",
    abstract: "Forecasts from rolling origins and scores what came.",
    discussion: """
      EXAMPLE: apus backtest --model apus-compare/winner,naive --data prices.csv --output backtest

      Forecasters are folders of apus train or apus compare, baselines or architectures (see apus models). \
      A baseline or an architecture is fitted to rows before an origin alone, a folder is taken as it is. \
      The last fifth of the rows is forecast, a horizon at a time. With --output it writes predictions.csv \
      (unique_id, ds, cutoff, y, and for each forecaster the columns of apus forecast), metrics.json, \
      the scores per series and over all, and fev.csv, for apus evaluate --fev.
      """)

  /// What a backtest does when nothing is said.
  enum Usual: TrainingDefaults {
    static let (context, longestContext) = ("64 rows, fewer of short series", 65536)
    static let (budget, steps) = ("20s", "none, as the time decides")
    static let (fewestSteps, takesBudgetAndSteps) = (1, false)
    static let (width, layers) = ("64", "2; Mamba gets twice as many")
    static let learningRate = "0.002"
  }

  @Option(
    help: "Forecasters, separated by commas: folders, baselines, architectures, config.json files.")
  var model: String
  @Option(help: "A CSV of one or many series.")
  var data: String
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var rows: RowOptions
  @Option(parsing: .unconditional, help: "Rows ahead. Default: that of the folders, else 5.")
  var horizon: Int?
  @Option(
    help:
      "What is forecast: returns, volatility or level. Default: as in the folders, else inferred.")
  var measure: Measure?
  @Option(
    parsing: .unconditional,
    help: "The share of the rows, at the end, that is forecast, above 0 and below 1.")
  var test = 0.2
  @Option(parsing: .unconditional, help: "Origins at most, the last ones. Default: all of --test.")
  var windows: Int?
  @Option(parsing: .unconditional, help: "Rows between origins. Default: the horizon.")
  var step: Int?
  @Option(
    parsing: .unconditional,
    help: "Origins after each fit. Default: all, after one fit before the first."
  )
  var refit: Int?
  @Option(parsing: .unconditional, help: "Rows just before an origin that are not fitted to.")
  var embargo = 0
  @Option(
    help: "Columns that architectures read beside the target, separated by commas. Default: none.")
  var covariates: String?
  @OptionGroup var ahead: FutureOptions
  @OptionGroup var quantiles: LevelOptions
  @OptionGroup var heads: HeadOptions
  @Option(
    parsing: .unconditional,
    help: "Rows that make one token of an architecture; it divides the context. Default: 1.")
  var patch: Int?
  @Option(
    help: "The folder for predictions.csv, metrics.json and fev.csv. Default: none is written.")
  var output: String?
  @OptionGroup var training: TrainingOptions<Usual>
  @OptionGroup var cells: CellOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    guard !commaSeparated(model).isEmpty else {
      throw ValidationError("--model is '\(model)', but it must name at least one forecaster.")
    }
    try requireRange([
      ("--horizon", horizon, 1...4096), ("--windows", windows, 1...1_000_000),
      ("--step", step, 1...1_000_000), ("--refit", refit, 1...1_000_000),
      ("--embargo", embargo, 0...1_000_000), ("--patch", patch, 1...1024),
    ])
    guard test > 0, test < 1 else {
      throw ValidationError("--test is \(test), but it must be above 0 and below 1.")
    }
  }

  func run() async throws {
    machine.apply()
    let guardsFormulas = try cells.guardsFormulas(inCSV: output != nil)
    let choices = try commaSeparated(model).map { try ForecasterChoice($0) }
    var reading = rows.reading(columns)
    reading.future = ahead.names
    (reading.categories, reading.statics) = (beside, ahead.staticNames)
    let file = try DataFile(data, kind: .series, reading: try choices.completing(reading))
    if !training.quiet { for note in file.notes { Printer.messages.note(note) } }
    if let output { try ModelFolder.prepare(output) }
    let progress = Progress(isQuiet: training.quiet)
    defer { progress.end() }
    let result = try await file.backtest(choices, options: try options()) { progress.show($0) }
    progress.end()
    for note in result.notes { Printer.messages.note(note) }
    if let output {
      try result.write(to: output, dataset: data, guardsFormulas: guardsFormulas)
    }
    guard !machine.json else {
      return try Printer.results.print(try jsonText(BacktestScores(result)))
    }
    try show(result)
  }

  /// The columns that architectures read beside the target.
  private var beside: [String] { (covariates.map(commaSeparated) ?? []) + ahead.staticNames }

  private func options() throws -> BacktestOptions {
    var options = BacktestOptions()
    options.horizon = horizon
    (options.training.measure, options.training.embargo) = (measure, embargo)
    options.training.covariates = beside
    (options.training.future, options.training.holidays) = (ahead.names, try ahead.days())
    options.training.levels = quantiles.list ?? options.training.levels
    options.training.patch = patch ?? options.training.patch
    options.training.head = heads.head ?? options.training.head
    options.training.context = training.context ?? options.training.context
    options.training.budget = training.limit ?? options.training.budget
    (options.training.width, options.training.layers) = (training.width, training.layers)
    options.training.learningRate = training.learningRate
    options.training.seeds = [training.seed ?? 0]
    (options.test, options.windows, options.step) = (test, windows, step)
    options.refitEvery = refit
    return options
  }

  private func show(_ result: BacktestResult) throws {
    let origins = result.origins
    var lines = ["\(origins) origin\(origins == 1 ? "" : "s") of \(result.measure.rawValue)", ""]
    lines.append(scoreTable(result))
    if let output { lines += ["", "Predictions: \(output)/predictions.csv"] }
    try Printer.results.print(lines.joined(separator: "\n"))
  }
}

/// The scores over all series as a table, best first.
func scoreTable(_ result: BacktestResult) -> String {
  let names = result.summaries.first?.metrics.map(\.name) ?? []
  let isScaled = result.summaries.first?.isScaled ?? false
  let table = TextTable<ForecastSummary> { row in
    [
      Column(title: "name", value: row.model),
      Column(
        title: isScaled ? "scaled pinball" : "pinball", value: String(format: "%.6g", row.loss)),
    ]
      + names.map { name in
        let value = row.metrics.first { $0.name == name }?.value
        return Column(
          title: name, value: value.map { String(format: "%.6g", $0) } ?? Figures.missing)
      } + [
        Column(title: "p", value: row.pValue.map(Figures.probability) ?? Figures.missing),
        Column(title: "steps", value: "\(row.count)"),
      ]
  }
  return table.string(for: result.summaries, style: Style.plain) ?? ""
}
