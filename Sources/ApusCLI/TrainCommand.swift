import Apus
import ArgumentParser
import Foundation
import Synchronization

/// `apus train`: one model on one file.
struct TrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Trains one forecaster or language model on a file.",
    discussion: """
      EXAMPLE: apus train --model mamba --data prices.csv --horizon 5 --budget 5m --output my-model

      A CSV makes a forecaster of the target's quantiles (5 to 95 %), a text a model of its characters.
      The first 70 % of the rows train and the next 10 % choose the weights; of a text 90 % and the rest.
      The folder gets the model, and checkpoints from which --resume goes on, to the bit where the budget
      is in steps. The first Ctrl-C writes a checkpoint and ends the run.
      """)

  @Option(help: "An architecture (see apus models) or the path of a published config.json.")
  var model: String
  @Option(help: "A CSV of series, or a text file.")
  var data: String
  @Option(help: "The folder for the model and its checkpoints.")
  var output: String
  @Option(
    parsing: .unconditional,
    help: "Training time, such as 90s or 5m; 60s when neither this nor --steps is given.")
  var budget: Duration?
  @Option(
    parsing: .unconditional,
    help: "Optimizer steps, instead of a time; then seed and data decide the result to the bit.")
  var steps: Int?
  @Flag(help: "Go on from the newest checkpoint of the folder; give the same options as before.")
  var resume = false
  @Option(
    parsing: .unconditional,
    help: "Rows, or tokens, that the model reads; 64 rows or 256 tokens when left out.")
  var context: Int?
  @Option(
    parsing: .unconditional,
    help: "Windows of one step; 8 of rows, or about 4096 tokens, when left out.")
  var batch: Int?
  @Option(parsing: .unconditional, help: "Batches to a step, whose gradients are averaged.")
  var accumulate = 1
  @Option(
    parsing: .unconditional,
    help: "Validations without a better one that end the run; none do when left out.")
  var patience: Int?
  @Option(
    parsing: .unconditional,
    help: "Width of the backbone; the config's, else 64 for series and 128 for text.")
  var width: Int?
  @Option(
    parsing: .unconditional,
    help: "Layers; the config's, else 2 for series and 4 for text, and twice that for Mamba.")
  var layers: Int?
  @Option(
    parsing: .unconditional,
    help: "Peak of the learning rate; 0.002 for series and 0.003 for text when left out.")
  var learningRate: Double?
  @Option(parsing: .unconditional, help: "Seed of weights and windows.")
  var seed: UInt64 = 0
  @Option(help: "Precision of matrix products: f32 or bf16.")
  var precision = Precision.float32
  @Flag(help: "Keep only the input of each block: less memory, a third more time.")
  var recompute = false
  @Option(help: "What the data is: series or text; by its name when left out.")
  var kind: DataKind?
  @Flag(name: .shortAndLong, help: "No progress.")
  var quiet = false
  @OptionGroup var forecast: ForecastOptions
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if budget != nil, steps != nil {
      throw ValidationError("Give --budget or --steps, not both.")
    }
    try requireRange([
      ("--steps", steps, Int(Int32.max)), ("--context", context, 65536), ("--batch", batch, 65536),
      ("--accumulate", accumulate, 65536), ("--patience", patience, Int(Int32.max)),
      ("--width", width, 8192), ("--layers", layers, 256),
    ])
    if let budget, budget.seconds <= 0 || budget.seconds > 1e7 {
      throw ValidationError("--budget must be above 0 seconds and at most 115 days.")
    }
    if let learningRate, !(learningRate > 0 && learningRate < 1) {
      throw ValidationError("--learning-rate is \(learningRate), but it must be in 0...1.")
    }
  }

  func run() async throws {
    machine.apply()
    var options = ModelTrainingOptions(try ModelChoice(model))
    options.budget = steps.map { .steps($0) } ?? .seconds(budget?.seconds ?? 60)
    (options.context, options.batch) = (context, batch)
    options.horizon = forecast.horizon ?? options.horizon
    options.patch = forecast.patch ?? options.patch
    (options.microBatches, options.patience) = (accumulate, patience)
    (options.width, options.layers) = (width, layers)
    (options.learningRate, options.seed) = (learningRate, seed)
    (options.precision, options.measure) = (precision, forecast.measure)
    options.recomputesBlocks = recompute
    options.covariates = forecast.covariates.map(commaSeparated) ?? []
    let kind = DataKind(kind, path: data)
    try forecast.require(kind, path: data)
    let printer = Mutex(ProgressPrinter(label: options.model.architecture.name))
    defer { printer.withLock { $0.finish() } }
    let show: @Sendable (TrainingProgress) -> Void = { [quiet] progress in
      if !quiet { printer.withLock { $0.show(progress) } }
    }
    let summary =
      kind == .text
      ? try await trainText(options, progress: show)
      : try await trainSeries(options, progress: show)
    printer.withLock { $0.finish() }
    try emit(machine.json ? try jsonText(summary) : sentence(summary))
  }

  private func trainSeries(
    _ options: ModelTrainingOptions, progress: @escaping @Sendable (TrainingProgress) -> Void
  ) async throws -> TrainingSummary {
    let table = try SeriesTable(readingCSVAt: data, options: forecast.columns.reading)
    if !quiet { for sentence in table.report.sentences { remark(sentence) } }
    return try await ForecastTraining(table, source: source(), options: options)
      .run(output: output, resume: resume, progress: progress)
  }

  private func trainText(
    _ options: ModelTrainingOptions, progress: @escaping @Sendable (TrainingProgress) -> Void
  ) async throws -> TrainingSummary {
    let corpus = try TextCorpus(readingAt: data, unit: .characters)
    return try await LanguageTraining(corpus, source: source(), options: options)
      .run(output: output, resume: resume, progress: progress)
  }

  private func source() -> DataSource {
    DataSource(name: fileName(data), data: FileManager.default.contents(atPath: data) ?? Data())
  }

  private func sentence(_ summary: TrainingSummary) -> String {
    let isText = summary.task == "language"
    let loss = summary.validationLoss.map {
      String(format: "%.6g", $0) + (isText ? " nats per character" : " mean pinball loss")
    }
    let best = summary.record.best.map { ", best at step \($0.step)" } ?? ""
    let next = isText ? "" : " (next: apus forecast --model \(output) --data \(data))"
    return """
      \(summary.model): \(summary.parameters) parameters, \(summary.record.steps) steps in \
      \(String(format: "%.1f", summary.record.seconds)) s, \
      \(Int(summary.record.unitsPerSecond)) \(summary.record.unit)/s
      validation: \(loss ?? "none")\(best)
      model: \(output)\(next)
      """
  }
}
