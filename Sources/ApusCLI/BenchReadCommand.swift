import Apus
import ArgumentParser
import Foundation

/// `apus bench read`: the time from a table to the windows of training.
struct BenchReadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "read",
    abstract: "The time from a table to windows that a model can learn from.",
    discussion: """
      EXAMPLE: apus bench read million.csv --target y --id unique_id --time ds

      Three times, each the best of several runs: from the file to a checked table; from there to rows as a \
      model sees them, scaled by their past; and a copy of all windows, as one pass of training makes it.
      """)

  @Argument(help: "A table of series: CSV, .tsf, or JSON Lines.")
  var data: String
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var rows: RowOptions
  @Option(help: "What is forecast: returns, volatility or level. Default: inferred.")
  var measure: Measure?
  @Option(
    parsing: .unconditional,
    help: "Rows that a model reads at once. Default: what training would take.")
  var context: Int?
  @Option(parsing: .unconditional, help: "Rows ahead.")
  var horizon = 1
  @Option(parsing: .unconditional, help: "Runs to take the best of.")
  var runs = 5
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    try requireRange([
      ("--context", context, 2...65536), ("--horizon", horizon, 1...4096),
      ("--runs", runs, 1...1000),
    ])
    guard data != "-" else {
      throw ValidationError("data is '-', but a file is read several times; write it to one.")
    }
  }

  func run() throws {
    machine.apply()
    var benchmark = ReadBenchmark()
    benchmark.reading = rows.reading(columns, measure: measure)
    (benchmark.measure, benchmark.context) = (measure, context)
    (benchmark.horizon, benchmark.runs) = (horizon, runs)
    let result = try benchmark.measured(fileAt: data)
    try Printer.results.print(machine.json ? try jsonText(result) : text(result))
  }

  private func text(_ result: ReadResult) -> String {
    func seconds(_ value: Double) -> String { String(format: "%.3f s", value) }
    return """
      \(result.rows) rows of \(result.series) series, \(result.bytes / 1_000_000) MB
      file to table    \(seconds(result.tableSeconds))
      table to rows    \(seconds(result.frameSeconds))
      file to rows     \(seconds(result.seconds))
      \(result.windows) windows of 2 x \(result.context) rows copied in \(seconds(result.windowSeconds))
      """
  }
}
