import Apus
import ApusEvaluation
import ArgumentParser

/// `apus check`: what was understood of a table, before anyone trains.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Says what is understood of a table of series.",
    discussion: """
      EXAMPLE: apus check sales.csv --output check.html

      Prints how the table was read and why: the columns of the time, of the names of series, of the \
      target and beside it; frequency and seasons, by their autocorrelation; gaps, outliers, stretches \
      that stand still, repeated rows, the known future; and what would be forecast. With --output the \
      same is drawn as a page.
      """)

  @Argument(help: "A table of series: CSV, .tsf, or JSON Lines.")
  var data: String
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var rows: RowOptions
  @Option(help: "What is forecast: returns, volatility or level. Default: inferred.")
  var measure: Measure?
  @Option(help: "The page to write, such as check.html. Default: none.")
  var output: String?
  @OptionGroup var machine: MachineOptions

  func run() throws {
    machine.apply()
    let table = try SeriesTable(
      readingCSVAt: data, options: rows.reading(columns, measure: measure))
    let check = DataCheck(table, measure: measure)
    if let output { try write(renderCheck(check, of: table), to: output) }
    guard !machine.json else { return try Printer.results.print(try jsonText(check)) }
    var lines = check.sentences
    if let output { lines.append("Page: \(output)") }
    try Printer.results.print(lines.joined(separator: "\n"))
  }
}
