import Apus
import ApusEvaluation
import ArgumentParser
import Foundation
import TextTable

/// `apus bench volatility`: forecasts of realized variance by the protocol of its literature.
struct BenchVolatilityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "volatility",
    abstract: "Errors of volatility forecasts: QLIKE, Mincer-Zarnowitz, tests.",
    discussion: """
      EXAMPLE: apus bench volatility realized.csv --target rv5 --price close_price --from 2004-01-01

      The target is a column of variances. The mean variance of the next rows is forecast, at every row anew, \
      by the last variance (naive), by RiskMetrics' weights (ewma-0.94), by regressions on the last \
      variance and the means of five and 22 in levels (har) and logarithms (log-har), and with --price by \
      the latter with the fall of the price (log-har-leverage). b is the slope of variances on forecasts, p \
      that of Diebold and Mariano against naive, and the best set holds the smallest QLIKE with 90 %.
      """)

  @Argument(help: "A CSV with a column of times and one of variances.")
  var data: String
  @Option(help: "The column of variances. Default: inferred.")
  var target: String?
  @Option(help: "A column of prices, for log-har-leverage. Default: none.")
  var price: String?
  @Option(help: "Rows ahead, separated by commas.")
  var horizons = "1,5,22"
  @Option(
    parsing: .unconditional, help: "Rows that regressions are fitted to. Default: all before.")
  var fitRows: Int?
  @Option(
    help: "The first time that is judged, such as 2004-01-01. Default: as soon as all forecast.")
  var from: String?
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    try requireRange([("--fit-rows", fitRows, 50...1_000_000)])
    guard !steps.isEmpty, steps.count == commaSeparated(horizons).count,
      steps.allSatisfy({ (1...1000).contains($0) })
    else {
      throw ValidationError(
        "--horizons is '\(horizons)', but it must be numbers in 1...1000, such as 1,5,22.")
    }
    if let from, DateStyle.yearMonthDay.parse(from) == nil {
      throw ValidationError("--from is '\(from)', but it must be a date such as 2004-01-01.")
    }
  }

  private var steps: [Int] { commaSeparated(horizons).compactMap { Int($0) } }

  func run() throws {
    machine.apply()
    var reading = SeriesOptions()
    reading.targets = target.map { [$0] } ?? []
    let table = try SeriesTable(readingCSVAt: data, options: reading)
    var options = VolatilityOptions()
    (options.horizons, options.fitRows) = (steps, fitRows)
    options.from = from.flatMap { DateStyle.yearMonthDay.parse($0) }
    let report = try VolatilityReport(table, price: price, options: options)
    guard !machine.json else { return try Printer.results.print(try jsonText(report)) }
    try Printer.results.print(text(report))
  }

  private func text(_ report: VolatilityReport) -> String {
    let table = TextTable<VolatilityScore> { score in
      let fit = score.mincerZarnowitz
      return [
        Column(title: "ahead", value: "\(score.horizon)", align: .right),
        Column(title: "name", value: score.model),
        Column(title: "QLIKE", value: String(format: "%.4f", score.qlike), align: .right),
        Column(title: "MSE", value: String(format: "%.4g", score.mse), align: .right),
        Column(title: "b", value: fit.map { Figures.fixed($0.slope, 3) } ?? "", align: .right),
        Column(title: "R²", value: fit.map { Figures.fixed($0.rSquared, 3) } ?? "", align: .right),
        Column(
          title: "p", value: score.pValue.map(Figures.probability) ?? Figures.missing, align: .right
        ),
        Column(title: "best set", value: score.isInBestSet ? "yes" : "no"),
        Column(title: "rows", value: "\(score.count)", align: .right),
      ]
    }
    let span = [report.first, report.last].compactMap { $0.map { "\($0)" } }
      .joined(separator: " to ")
    return
      "\(report.series), \(span)\n\(table.string(for: report.scores, style: Style.plain) ?? "")"
  }
}
