import Apus
import ApusEvaluation
import ArgumentParser
import Foundation
import TextTable

/// `apus evaluate`: the scores of somebody else's forecasts.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Scores a file of forecasts.",
    discussion: """
      EXAMPLE: apus evaluate predictions.csv --data prices.csv

      The file has unique_id, ds, and where it has them cutoff and y, what came; every other column is a \
      forecast: name, name-lo-80, name-hi-80, as apus backtest writes them and other programs too. All \
      forecasters are scored at the rows of which each has a number. With --data errors are in units of \
      each series' seasonal step before the forecasts, where units differ.

      With --market the file holds forecasts of returns of many series: rank correlations (RankIC, ICIR, t), \
      the portfolio that buys the highest of --groups groups at each date and sells the lowest, after \
      --cost basis points a trade, its turnover, drawdown and Sharpe ratio, deflated by the number of \
      forecasters in the file; beside them all series in equal weights. --output draws equity curves and \
      years.

      With --fev the file holds evaluation summaries of fev, as apus backtest writes them too (model_name, \
      test_error, dataset_path and the like): skill, 1 less the geometric mean of errors over those of \
      --baseline, each clipped to 0.01 to 100, and win rate, with intervals from resampled tasks; where a \
      model failed it has the error of the baseline, and failures are counted.
      """)

  @Argument(help: "A CSV of forecasts.")
  var file: String
  @Option(help: "A CSV of the series that was forecast. Default: none, the file has a column y.")
  var data: String?
  @OptionGroup var columns: ColumnOptions
  @Flag(help: "Forecasts are of returns, and portfolios are made of them.")
  var market = false
  @Option(parsing: .unconditional, help: "Groups of series at each date. Default: 10.")
  var groups: Int?
  @Option(parsing: .unconditional, help: "Cost of a trade in basis points. Default: 5.")
  var cost: Double?
  @Option(parsing: .unconditional, help: "Dates of a year. Default: 252.")
  var periods: Double?
  @Flag(help: "What came are simple returns, and not logarithmic ones.")
  var simple = false
  @Option(help: "The page to write with --market, such as market.html. Default: none.")
  var output: String?
  @Flag(help: "The file holds evaluation summaries of fev.")
  var fev = false
  @Option(help: "The model that --fev compares with. Default: seasonal_naive.")
  var baseline: String?
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if fev, market { throw ValidationError("Give --market or --fev, not both.") }
    try requireRange([("--groups", groups, 2...1000)])
    if let cost, !(cost >= 0 && cost <= 10_000) {
      throw ValidationError("--cost is \(cost), but it must be in 0...10000 basis points.")
    }
    if let periods, !(periods > 0 && periods <= 1e6) {
      throw ValidationError("--periods is \(periods), but it must be above 0 and at most 1000000.")
    }
  }

  func run() throws {
    machine.apply()
    try refuse(
      [
        ("--groups", groups != nil), ("--cost", cost != nil), ("--periods", periods != nil),
        ("--simple", simple), ("--output", output != nil),
      ], unless: market, because: "is about portfolios. Add --market.")
    try refuse(
      [("--baseline", baseline != nil)], unless: fev, because: "is about tasks of fev. Add --fev.")
    try refuse(
      [("--data", data != nil)], unless: !fev,
      because: "is not for --fev, which has errors already.")
    try refuse(
      columns.given, unless: data != nil, because: "is about the columns of --data. Give that too.")
    if fev { return try show(FevSummaries(readingCSVAt: file)) }
    let series = try data.map { path -> SeriesTable in
      try SeriesTable(readingCSVAt: path, options: columns.reading)
    }
    let forecasts = try ForecastFile(readingCSVAt: file, data: series)
    if market { return try show(MarketReport(forecasts.table, options: marketOptions)) }
    let result = try forecasts.scores()
    for note in result.notes { Printer.messages.note(note) }
    guard !machine.json else {
      return try Printer.results.print(try jsonText(BacktestScores(result)))
    }
    try Printer.results.print(scoreTable(result))
  }

  private var marketOptions: MarketOptions {
    var options = MarketOptions()
    options.groups = groups ?? options.groups
    options.cost = cost.map { $0 / 10_000 } ?? options.cost
    options.periodsPerYear = periods ?? options.periodsPerYear
    options.isLogarithmic = !simple
    return options
  }

  private func show(_ report: MarketReport) throws {
    if let output { try write(renderMarket(report), to: output) }
    guard !machine.json else { return try Printer.results.print(try jsonText(report)) }
    let table = TextTable<[String]> { row in
      zip(MarketReport.heads, row).map { head, cell in
        Column(title: head, value: cell, align: head == "name" ? .left : .right)
      }
    }
    var lines = [
      "\(report.dates) dates, \(report.entities) series", "",
      table.string(for: report.rows, style: Style.plain) ?? "",
    ]
    if let output { lines.append("Page: \(output)") }
    try Printer.results.print(lines.joined(separator: "\n"))
  }

  private func show(_ summaries: FevSummaries) throws {
    let skill = try summaries.skill(over: baseline)
    guard !machine.json else { return try Printer.results.print(try jsonText(skill)) }
    func share(_ value: Double) -> String { "\(Figures.fixed(100 * value, 1)) %" }
    func shares(_ range: ClosedRange<Double>) -> String {
      "\(share(range.lowerBound)) to \(share(range.upperBound))"
    }
    let rows = skill.rows.sorted { ($1.skill, $0.name) < ($0.skill, $1.name) }
    let table = TextTable<TaskSkill.Row> { row in
      [
        Column(title: "name", value: row.name),
        Column(title: "skill", value: share(row.skill), align: .right),
        Column(title: "95 % interval", value: shares(row.skillInterval), align: .right),
        Column(title: "win rate", value: share(row.winRate), align: .right),
        Column(title: "95 % interval", value: shares(row.winInterval), align: .right),
        Column(title: "failures", value: "\(row.failures)", align: .right),
      ]
    }
    let tasks = "\(summaries.tasks) task\(summaries.tasks == 1 ? "" : "s")"
    try Printer.results.print(
      "\(tasks)\n\n\(table.string(for: rows, style: Style.plain) ?? "")")
  }
}
