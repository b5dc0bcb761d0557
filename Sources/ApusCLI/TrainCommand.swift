import Apus
import ArgumentParser
import Foundation

/// `apus train`: one model on one file.
struct TrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Trains one forecaster or language model on a file.",
    discussion: """
      EXAMPLE: apus train --model mamba --data prices.csv --horizon 5 --budget 5m --output my-model

      A CSV makes a forecaster of the target's quantiles (5 to 95 %), a text a model of its characters. \
      The first 70 % of the rows train and the next 10 % choose the weights; of a text 90 % and the rest. \
      The folder gets the model, and checkpoints from which --resume goes on, to the bit where the budget \
      is in steps: then seed and data decide the result. The first Ctrl-C writes a checkpoint and ends \
      the run.
      """)

  /// What training does when nothing is said.
  enum Usual: TrainingDefaults {
    static let (context, longestContext) = (
      "64 rows, fewer of short series, or 256 tokens of a text", 65536
    )
    static let (budget, steps) = ("60s", "none, as the time decides")
    static let (fewestSteps, takesBudgetAndSteps) = (1, false)
    static let width = "the config's, else 64, or 128 for a text"
    static let layers = "the config's, else 2, or 4 for a text; twice as many for Mamba"
    static let learningRate = "0.002, or 0.003 for a text"
  }

  @Option(
    help: """
      An architecture or a baseline (see apus models), or the path of a config.json or of the folder \
      of a pretrained forecaster.
      """)
  var model: String
  @Option(help: "A CSV of series, or a text file.")
  var data: String
  @Option(help: "The folder for the model and its checkpoints.")
  var output: String
  @Flag(help: "Go on from the newest checkpoint of the folder; give the same options as before.")
  var resume = false
  @OptionGroup var training: TrainingOptions<Usual>
  @Option(
    parsing: .unconditional,
    help: """
      Forecasters to train, with as many seeds, within the budget; the mean of their quantiles is saved. \
      Default: 1.
      """)
  var seeds: Int?
  @Option(
    parsing: .unconditional,
    help: """
      Learning rates and sizes to try within the budget: the better half goes on, again and again. \
      Default: 1, the usual ones.
      """)
  var tune: Int?
  @Option(
    parsing: .unconditional,
    help: "Windows of one step. Default: 8 of rows, or about 4096 tokens of a text.")
  var batch: Int?
  @Option(parsing: .unconditional, help: "Batches to a step, whose gradients are averaged.")
  var accumulate = 1
  @Option(
    parsing: .unconditional,
    help: "Validations without a better one that end the run. Default: none do.")
  var patience: Int?
  @Option(help: "Precision of matrix products: f32 or bf16.")
  var precision = Precision.float32
  @Flag(help: "Keep only the input of each block: less memory, a third more time.")
  var recompute = false
  @OptionGroup var forecast: ForecastOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    try requireRange([
      ("--batch", batch, 1...65536), ("--accumulate", accumulate, 1...65536),
      ("--patience", patience, 1...Int(Int32.max)), ("--seeds", seeds, 1...64),
      ("--tune", tune, 1...256),
    ])
  }

  func run() async throws {
    machine.apply()
    if case .baseline(let name) = try ForecasterChoice(model) { return try fit(name) }
    let options = try options()
    let name = options.model.architecture.name
    let kind = try forecast.kind(of: data)
    try refuse(
      [("--seeds", seeds != nil)], unless: kind == .series,
      because: "is for series, but '\(data)' is read as a text. Leave it out.")
    let file = try DataFile(data, kind: kind, reading: forecast.reading)
    if !training.quiet { for note in file.notes { Printer.messages.note(note) } }
    let progress = Progress(name, isQuiet: training.quiet)
    defer { progress.end() }
    let summary = try await file.train(options, output: output, resume: resume) {
      progress.show($0)
    }
    progress.end()
    try Printer.results.print(machine.json ? try jsonText(summary) : sentence(summary))
  }

  /// Fits a baseline, which has no steps, no weights and no seed.
  private func fit(_ name: String) throws {
    try refuse(
      training.given + [
        ("--resume", resume), ("--batch", batch != nil), ("--accumulate", accumulate != 1),
        ("--patience", patience != nil), ("--seeds", seeds != nil),
        ("--tune", tune != nil), ("--precision", precision != .float32),
        ("--recompute", recompute), ("--patch", forecast.patch != nil),
        ("--head", forecast.heads.head != nil),
        ("--covariates", forecast.covariates != nil),
        ("--static", forecast.ahead.statics != nil),
      ], unless: false, because: "is for models, and \(name) is a baseline. Leave it out.")
    var options = ComparisonOptions()
    options.levels = ModelTrainingOptions.usualLevels
    options.horizon = forecast.horizon ?? options.horizon
    options.context = training.context ?? options.context
    (options.measure, options.future) = (forecast.measure, forecast.ahead.names)
    options.holidays = try forecast.ahead.days()
    options.isConformal = forecast.isConformal
    let kind = try forecast.kind(of: data)
    let file = try DataFile(data, kind: kind, reading: forecast.reading)
    if !training.quiet { for note in file.notes { Printer.messages.note(note) } }
    let fitted = try file.fit(baseline: name, options: options, output: output)
    let loss = fitted.validationLoss
    guard !machine.json else {
      let summary = BaselineSummary(
        task: "forecast", model: name, validationLoss: loss, coverage: fitted.coverage,
        output: output)
      return try Printer.results.print(try jsonText(summary))
    }
    try Printer.results.print(
      """
      \(fitted.model.name), fitted to all rows
      validation: \(loss.map { String(format: "%.6g", $0) + " mean pinball loss" } ?? "none")
      \(coverageLine(fitted.coverage))\
      model: \(output) (next: \(forecastCommand))
      """)
  }

  private struct BaselineSummary: Encodable {
    let task, model: String
    let validationLoss: Double?
    let coverage: [IntervalCoverage]?
    let output: String
  }

  private var forecastCommand: String {
    "apus forecast --model \(shellWord(output)) --data \(shellWord(data))"
  }

  private func options() throws -> ModelTrainingOptions {
    var options = ModelTrainingOptions(try ModelChoice(model))
    options.budget = training.limit ?? options.budget
    (options.context, options.batch) = (training.context, batch)
    options.horizon = forecast.horizon ?? options.horizon
    options.patch = forecast.patch ?? options.patch
    (options.microBatches, options.patience) = (accumulate, patience)
    (options.width, options.layers) = (training.width, training.layers)
    (options.learningRate, options.seed) = (training.learningRate, training.seed ?? 0)
    options.seeds = seeds ?? options.seeds
    options.candidates = tune ?? options.candidates
    (options.precision, options.recomputesBlocks) = (precision, recompute)
    (options.measure, options.covariates) = (forecast.measure, forecast.covariateNames)
    (options.future, options.holidays) = (forecast.ahead.names, try forecast.ahead.days())
    options.levels = forecast.quantiles.list ?? options.levels
    options.head = forecast.heads.head ?? options.head
    options.isConformal = forecast.isConformal
    return options
  }

  /// A line of what central intervals hold on the validation part, with its end; empty where that is not
  /// known.
  private func coverageLine(_ coverage: [IntervalCoverage]?) -> String {
    guard let sentence = coverage?.sentence else { return "" }
    let how = forecast.isConformal ? ", each half corrected by the other" : ""
    return "intervals on validation\(how): \(sentence)\n"
  }

  private func sentence(_ summary: TrainingSummary) -> String {
    let isText = summary.task == "language"
    let loss = summary.validationLoss.map {
      String(format: "%.6g", $0) + (isText ? " nats per character" : " mean pinball loss")
    }
    let best = summary.record.best.map { ", best at step \($0.step)" } ?? ""
    let next = isText ? "" : " (next: \(forecastCommand))"
    return """
      \(summary.model): \(summary.parameters) parameters, \(summary.record.steps) steps in \
      \(String(format: "%.1f", summary.record.seconds)) s, \
      \(Int(summary.record.unitsPerSecond)) \(summary.record.unit)/s
      validation: \(loss ?? "none")\(best)
      \(summary.tuning?.sentence(summary.model).map { $0 + "\n" } ?? "")\
      \(coverageLine(summary.coverage))\
      model: \(output)\(next)
      """
  }
}
