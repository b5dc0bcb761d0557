import Apus
import ArgumentParser

/// `apus forecast`: what follows the last row of every series of a file.
struct ForecastCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forecast",
    abstract: "Forecasts the rows after the last one of every series of a CSV.",
    discussion: """
      EXAMPLE: apus forecast --model my-model --data prices.csv > forecast.csv

      Prints unique_id, ds, the median under the model's name, and the central intervals that its \
      quantiles give, widest first: mamba-lo-90 and mamba-hi-90 hold nine outcomes in ten. Values are in \
      units of what the model forecasts: logarithmic returns of single rows for returns, their variances \
      for volatility, values of the target for level. With --json all quantiles. A series that is too \
      short for the model gets the naive forecast, which is said.

      The folder of a pretrained forecaster as it was published (see apus models) is asked without any \
      training: --horizon and --measure are for such folders alone.

      With --paths the steps ahead are drawn together instead, as sums over them and levels of returns need
      it: unique_id, path, ds, a draw under the model's name, and of returns the level that the path leads to.
      """)

  @Option(
    help: """
      A forecaster's folder, from apus train or apus compare: a model or a baseline; or that of a \
      pretrained forecaster.
      """)
  var model: String
  @Option(help: "A CSV with the columns that the model was trained on.")
  var data: String
  @Option(
    help: """
      A CSV with times and the columns that the model knows ahead. Default: they stand in --data, in rows \
      behind the last value.
      """)
  var futureData: String?
  @Option(
    parsing: .unconditional, help: "Rows ahead, of a pretrained folder. Default: 5.")
  var horizon: Int?
  @Option(
    help: """
      What a pretrained folder forecasts: returns, volatility or level. Default: inferred.
      """)
  var measure: Measure?
  @Option(
    parsing: .unconditional,
    help: "Paths to draw of each series. Default: none, quantiles are printed.")
  var paths: Int?
  @Option(parsing: .unconditional, help: "Seed of the paths. Default: 0.")
  var seed: UInt64?
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var rows: TableOptions
  @OptionGroup var cells: CellOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    try requireRange([("--horizon", horizon, 1...4096), ("--paths", paths, 1...100_000)])
  }

  func run() throws {
    machine.apply()
    let guardsFormulas = try cells.guardsFormulas(inCSV: !machine.json)
    let folder = try ModelFolder.open(model)
    var isPretrained = false
    if case .pretrained = folder.contents { isPretrained = true }
    try refuse(
      [("--horizon", horizon != nil), ("--measure", measure != nil)], unless: isPretrained,
      because: "is for pretrained folders; '\(model)' knows what it forecasts. Leave it out.")
    var question = PretrainedQuestion()
    question.horizon = horizon ?? question.horizon
    question.measure = measure
    try refuse(
      [("--seed", seed != nil)], unless: paths != nil,
      because: "is that of --paths. Leave it out, or say how many paths to draw.")
    if let paths {
      let drawn = try SamplePaths(
        folder, count: paths, seed: seed ?? 0, readingCSVAt: data, futureAt: futureData,
        options: rows.reading(columns), question: question)
      for note in drawn.notes { Printer.messages.note(note) }
      guard !machine.json else { return try Printer.results.print(try jsonText(drawn)) }
      return try Printer.results.print(data: drawn.csv(guardsFormulas: guardsFormulas))
    }
    let forecast = try FutureForecast(
      folder, readingCSVAt: data, futureAt: futureData, options: rows.reading(columns),
      question: question)
    for note in forecast.notes { Printer.messages.note(note) }
    guard !machine.json else { return try Printer.results.print(try jsonText(forecast)) }
    try Printer.results.print(data: forecast.csv(guardsFormulas: guardsFormulas))
  }
}
