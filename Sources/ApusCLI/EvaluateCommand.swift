import Apus
import ArgumentParser
import Foundation

/// `apus evaluate`: the scores of somebody else's forecasts.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Scores a file of forecasts.",
    discussion: """
      EXAMPLE: apus evaluate predictions.csv --data prices.csv

      The file has unique_id, ds, and where it has them cutoff and y, what came; every other column is a
      forecast: name, name-lo-80, name-hi-80, as apus backtest writes them and other programs too. All
      forecasters are scored at the rows of which each has a number. With --data errors are in units of
      each series' seasonal step before the forecasts, where units differ.
      """)

  @Argument(help: "A CSV of forecasts.")
  var file: String
  @Option(help: "A CSV of the series that was forecast. Default: none, the file has a column y.")
  var data: String?
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var machine: MachineOptions

  func run() throws {
    machine.apply()
    try refuse(
      columns.given, unless: data != nil, because: "is about the columns of --data. Give that too.")
    let series = try data.map { path -> SeriesTable in
      try SeriesTable(readingCSVAt: path, options: columns.reading)
    }
    let result = try ForecastFile(readingCSVAt: file, data: series).scores()
    for note in result.notes { Printer.messages.note(note) }
    guard !machine.json else {
      return try Printer.results.print(try jsonText(BacktestScores(result)))
    }
    try Printer.results.print(scoreTable(result))
  }
}
