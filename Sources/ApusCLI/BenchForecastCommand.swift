import Apus
import ArgumentParser
import Foundation
import TextTable

/// `apus bench forecast`: the protocol of published tables of long-horizon forecasts.
struct BenchForecastCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forecast",
    abstract: "Errors of forecasts by the protocol of the published tables.",
    discussion: """
      EXAMPLE: apus bench forecast ETTh1.csv --split ett-hourly --models baselines,mamba --steps 2000

      Every column is a channel, standardized by its training rows; every window of test is forecast, of \
      stride 1 and none left out; the mean squared and absolute errors are in those standard units. A model \
      reads the rows of its window alone, one model forecasts all channels, and validation chooses its \
      weights. naive is also known as repeat, nlinear is the least-squares map relative to the last value.
      """)

  /// What the protocol does when nothing is said.
  enum Usual: TrainingDefaults {
    static let (context, longestContext) = ("96", 65536)
    static let (budget, steps) = ("none", "1000")
    static let (fewestSteps, takesBudgetAndSteps) = (1, false)
    static let (width, layers) = ("64", "2; Mamba gets twice as many")
    static let learningRate = "0.002"
  }

  @Argument(help: "A CSV with a column of times and a column for each channel.")
  var data: String
  @Option(
    help: """
      Where training, validation and test lie: ett-hourly, ett-minutely (12, 4 and 4 months of 30 days) \
      or fractions (0.7, 0.1 and 0.2).
      """)
  var split = LongHorizonSplit.fractions
  @Option(parsing: .unconditional, help: "Rows ahead.")
  var horizon = 96
  @Option(
    parsing: .unconditional,
    help: "Rows of a season, for seasonal-naive. Default: what the times say.")
  var season: Int?
  @Option(
    help: """
      baselines (naive, seasonal-naive, window-mean, ols, nlinear) or some of them, models and \
      config.json files, separated by commas.
      """)
  var models = "baselines"
  @Option(parsing: .unconditional, help: "How many seeds every model is trained with.")
  var seeds = 3
  @Option(
    parsing: .unconditional,
    help: """
      Rows that each row is shown with, and that a model's forecast starts from by a linear map; 0 for \
      none. Default: the context, 256 at most.
      """)
  var window: Int?
  @Option(parsing: .unconditional, help: "Windows of one step.")
  var batch = 8
  @OptionGroup var training: TrainingOptions<Usual>
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    guard !commaSeparated(models).isEmpty else {
      throw ValidationError("--models is '\(models)', but it must be baselines or names.")
    }
    try requireRange([
      ("--horizon", horizon, 1...4096), ("--seeds", seeds, 1...1000),
      ("--season", season, 1...1_000_000), ("--batch", batch, 1...65536),
      ("--window", window, 0...4096),
    ])
  }

  func run() async throws {
    machine.apply()
    var reading = SeriesOptions()
    reading.targets = ["*"]
    let file = try DataFile(data, kind: .series, reading: reading)
    let progress = Progress(isQuiet: training.quiet)
    defer { progress.end() }
    let report = try await file.longHorizonErrors(options) { progress.show($0) }
    progress.end()
    try Printer.results.print(machine.json ? try jsonText(report) : text(report))
  }

  private var options: LongHorizonOptions {
    var options = LongHorizonOptions()
    options.models = commaSeparated(models).flatMap { name in
      name == "baselines" ? LongHorizonBaseline.allCases.map(\.rawValue) : [name]
    }
    (options.split, options.horizon, options.season) = (split, horizon, season)
    options.context = training.context ?? options.context
    options.budget = training.limit ?? options.budget
    let first = training.seed ?? 0
    options.seeds = (0..<UInt64(seeds)).map { first &+ $0 }
    options.width = training.width ?? options.width
    options.layers = training.layers ?? options.layers
    options.window = window
    (options.batch, options.learningRate) = (batch, training.learningRate)
    return options
  }

  /// What was forecast, and the table.
  private func text(_ report: LongHorizonReport) -> String {
    let windows = report.windows.map(String.init)
    let table = TextTable<LongHorizonRow> { row in
      let steps = row.runs.isEmpty ? "" : "\(row.runs.map(\.steps).reduce(0, +) / row.runs.count)"
      let seconds = row.runs.isEmpty ? nil : Metrics.mean(row.runs.map(\.seconds))
      return [
        Column(title: "name", value: row.name),
        Column(title: "MSE", value: String(format: "%.4f", row.score.mse), align: .right),
        Column(title: "MAE", value: String(format: "%.4f", row.score.mae), align: .right),
        Column(
          title: "deviation", value: row.deviation.map { String(format: "%.4f", $0) } ?? "",
          align: .right),
        Column(title: "seeds", value: row.runs.isEmpty ? "" : "\(row.runs.count)", align: .right),
        Column(title: "steps", value: steps, align: .right),
        Column(
          title: "train s", value: seconds.map { String(format: "%.0f", $0) } ?? "", align: .right),
        Column(title: "parameters", value: row.parameters.map { "\($0)" } ?? "", align: .right),
      ]
    }
    return """
      \(report.source.name), \(report.options.horizon) rows ahead of \(report.options.context): \
      \(report.channels) channels, windows of each in training, validation and test: \
      \(windows.joined(separator: ", "))
      \(table.string(for: report.rows, style: Style.plain) ?? "")
      """
  }
}
