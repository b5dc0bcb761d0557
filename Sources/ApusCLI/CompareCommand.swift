import Apus
import ArgumentParser
import Foundation
import Rainbow
import Synchronization
import TextTable

/// `apus compare`: the main job.
struct CompareCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Compares every architecture with honest baselines under one budget.",
    discussion: """
      EXAMPLE: apus compare prices.csv --target close --horizon 5 --budget 20s

      DATA is a CSV of one or many series, or a text file. Without it the S&P 500 sample is used. Writes
      report.html, leaderboard.json and the winner's folder to the output folder. The answer may be that
      no model beats the best baseline; with --gate the exit code is then 2.
      """)

  @Argument(help: "A CSV of series or a text file; the sample when left out.")
  var data: String?
  @OptionGroup var forecast: ForecastOptions
  @Option(parsing: .unconditional, help: "Rows, or tokens, that a model reads.")
  var context: Int?
  @Option(parsing: .unconditional, help: "Training time of each run, such as 20s or 5m.")
  var budget: Duration?
  @Option(parsing: .unconditional, help: "Optimizer steps of each run, instead of a time.")
  var steps: Int?
  @Option(help: "standard, all, or names and config.json files separated by commas.")
  var models = "standard"
  @Option(parsing: .unconditional, help: "How many seeds every model is trained with.")
  var seeds: Int?
  @Option(parsing: .unconditional, help: "The first seed.")
  var seed: UInt64 = 0
  @Option(parsing: .unconditional, help: "Width of the backbones.")
  var width: Int?
  @Option(parsing: .unconditional, help: "Blocks of the backbones; Mamba gets two layers for each.")
  var layers: Int?
  @Option(parsing: .unconditional, help: "Peak of the learning rate.")
  var learningRate: Double?
  @Option(help: "What the data is: series or text; by its name when left out.")
  var kind: DataKind?
  @Option(help: "The folder that report and winner are written to.")
  var output = "apus-compare"
  @Flag(help: "Exit with 2 when no model beats the best baseline.")
  var gate = false
  @Flag(name: .shortAndLong, help: "No progress.")
  var quiet = false
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if models.split(separator: ",").allSatisfy({ $0.trimmed.isEmpty }) {
      throw ValidationError(
        "--models is '\(models)', but it must be standard, all, or names; see apus models.")
    }
    if budget != nil, steps != nil {
      throw ValidationError("Give --budget or --steps, not both.")
    }
    try requireRange([
      ("--context", context, 65536), ("--seeds", seeds, 1000), ("--width", width, 8192),
      ("--layers", layers, 256), ("--steps", steps, Int(Int32.max)),
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
    let path = try data ?? Sample.path()
    let kind = DataKind(kind, path: path)
    let isText = kind == .text
    try forecast.require(kind, path: path)
    var options = ComparisonOptions()
    switch models {
    case "standard": options.models = []
    case "all": options.models = Architecture.all.map(\.name)
    default: options.models = models.split(separator: ",").map { $0.trimmed }
    }
    _ = try options.choices()
    options.budget = steps.map { .steps($0) } ?? .seconds(budget?.seconds ?? (isText ? 60 : 20))
    options.seeds = (0..<UInt64(seeds ?? (isText ? 1 : 3))).map { seed &+ $0 }
    options.context = context ?? (isText ? 256 : 64)
    options.horizon = forecast.horizon ?? options.horizon
    options.patch = forecast.patch ?? options.patch
    options.measure = forecast.measure
    options.covariates = forecast.covariates.map(commaSeparated) ?? []
    (options.width, options.layers, options.learningRate) = (width, layers, learningRate)
    options.command = commandLine
    let folder = try ComparisonFolder(output)
    let printer = Mutex(ComparisonPrinter(isQuiet: quiet))
    defer { printer.withLock { $0.finish() } }
    let show: @Sendable (WorkProgress) -> Void = { progress in
      printer.withLock { $0.show(progress) }
    }
    let record =
      isText
      ? try await compareText(path, options: options, folder: folder, progress: show)
      : try await compareSeries(path, options: options, folder: folder, progress: show)
    printer.withLock { $0.finish() }
    try self.show(record, folder: folder)
  }

  private func compareSeries(
    _ path: String, options: ComparisonOptions, folder: ComparisonFolder,
    progress: @escaping @Sendable (WorkProgress) -> Void
  ) async throws -> ComparisonRecord {
    let table = try SeriesTable(readingCSVAt: path, options: forecast.columns.reading)
    if !quiet { for sentence in table.report.sentences { remark(sentence) } }
    let bytes = FileManager.default.contents(atPath: path) ?? Data()
    let source = DataSource(name: URL(fileURLWithPath: path).lastPathComponent, data: bytes)
    let comparison = try await SeriesComparison(table, source: source, options: options)
      .run(progress: progress)
    let winner = comparison.winner.map {
      ModelFolder.SavedForecaster(
        forecaster: $0.forecaster, recipe: $0.recipe, target: table.targetName)
    }
    try folder.write(comparison.record, winner: winner?.contents)
    return comparison.record
  }

  private func compareText(
    _ path: String, options: ComparisonOptions, folder: ComparisonFolder,
    progress: @escaping @Sendable (WorkProgress) -> Void
  ) async throws -> ComparisonRecord {
    let corpus = try TextCorpus(readingAt: path, unit: .characters)
    let bytes = FileManager.default.contents(atPath: path) ?? Data()
    let source = DataSource(name: URL(fileURLWithPath: path).lastPathComponent, data: bytes)
    let comparison = try await TextComparison(corpus, source: source, options: options)
      .run(progress: progress)
    try folder.write(
      comparison.record,
      winner: comparison.winner.map {
        try ModelFolder.contents($0, tokenizer: corpus.tokenizer)
      })
    return comparison.record
  }

  /// The headline, the table, and where to look; or the leaderboard as JSON.
  private func show(_ record: ComparisonRecord, folder: ComparisonFolder) throws {
    let leaderboard = Leaderboard(record)
    if machine.json {
      print(String(decoding: try leaderboard.json(), as: UTF8.self))
    } else {
      print(record.headline.bold)
      print(record.explanation + "\n")
      LeaderboardPrinter(record).print()
      print("\nReport: \(folder.reportPath)")
      if record.chosen != nil {
        let data = data ?? "Samples/sp500.csv"
        let next = "next: apus forecast --model \(folder.winnerPath) --data \(data)"
        print("Best model: \(folder.winnerPath)\(record.task.kind == .series ? " (\(next))" : "")")
      }
    }
    if gate, record.verdict.recommended == nil { throw ExitCode(2) }
    guard record.chosen != nil else {
      remark("apus: every model failed; the table says why.")
      throw ExitCode.failure
    }
  }

  /// The command as it was typed, ready to paste.
  private var commandLine: String {
    (["apus"] + CommandLine.arguments.dropFirst()).map { word in
      word.contains(where: { " '\"$*\\".contains($0) }) ? "'\(word)'" : word
    }.joined(separator: " ")
  }
}

/// A time span as people type it: `20s`, `5m`, `1h`, or a number of seconds.
struct Duration: ExpressibleByArgument {
  let seconds: Double

  init(seconds: Double) { self.seconds = seconds }

  init?(argument: String) {
    let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600]
    var text = argument
    var unit = 1.0
    if let last = text.last, let factor = units[last] {
      unit = factor
      text.removeLast()
    }
    guard let number = Double(text), number.isFinite else { return nil }
    seconds = number * unit
  }
}

extension Substring {
  /// Without white space at both ends.
  var trimmed: String { trimmingCharacters(in: .whitespaces) }
}
