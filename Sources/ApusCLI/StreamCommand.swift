import Apus
import ArgumentParser

/// `apus stream`: rows in, forecasts out.
struct StreamCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stream",
    abstract: "Reads rows on standard input and prints a forecast after each.",
    discussion: """
      EXAMPLE: tail -n +1 -f prices.csv | apus stream --model my-model

      Takes CSV with a header and the columns of the training data, or just times and values. Each row
      gives one line at once: JSON with cutoff, ds, levels and quantiles [steps ahead][levels], or CSV.
      Units are those of apus forecast. After the first price of a returns model quantiles are null, as
      it makes no return. Rows that cannot be read are named on standard error and passed over.
      """)

  @Option(help: "A forecaster's folder, from apus train or apus compare.")
  var model: String
  @Flag(help: "CSV lines instead of JSON: the columns of apus forecast for each step ahead.")
  var csv = false
  @Option(
    help: """
      A CSV with times and the columns that the model knows ahead. Default: what the model keeps of its \
      training file.
      """)
  var futureData: String?
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var cells: CellOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if csv, machine.json { throw ValidationError("Give --csv or --json, not both.") }
  }

  func run() throws {
    machine.apply()
    let guardsFormulas = try cells.guardsFormulas(inCSV: csv)
    var forecasts = try LineForecasts(
      ModelFolder.open(model), futureAt: futureData, options: columns.reading)
    if csv { try Printer.results.print(data: forecasts.csvHeader) }
    var lines = LineReader()
    while !Printer.results.isClosed, let line = try lines.next() {
      do {
        guard let forecast = try forecasts.push(line) else { continue }
        if let reason = forecast.reason { Printer.messages.note(reason) }
        if csv {
          try Printer.results.print(
            data: forecasts.csv(forecast, guardsFormulas: guardsFormulas))
        } else {
          try Printer.results.print(try jsonText(forecast, inOneLine: true))
        }
      } catch let error as RowError {
        Printer.messages.note(error)
      }
    }
  }
}
