import Apus
import ApusEvaluation
import ApusTensor
import ArgumentParser
import Foundation
import TextTable

/// `apus compare`: the main job.
struct CompareCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Compares models with honest baselines under one budget.",
    discussion: """
      EXAMPLE: apus compare prices.csv --target close --horizon 5 --budget 20s

      DATA is a CSV of one or many series, or a text file. Without it the S&P 500 sample is used. Writes \
      report.html, leaderboard.json, forecast.csv and the folder of what is recommended, fitted to all \
      rows, to the output folder. The answer may be that no model beats the best baseline; then that \
      baseline is recommended and saved, and with --gate the exit code is 2.
      """)

  /// What a comparison does when nothing is said.
  enum Usual: TrainingDefaults {
    static let (context, longestContext) = (
      "64 rows, fewer of short series, or 256 tokens of a text", 65536
    )
    static let (budget, steps) = ("20s, or 60s for a text", "none, as the time decides")
    static let (fewestSteps, takesBudgetAndSteps) = (1, false)
    static let width = "64, or 128 for a text"
    static let layers = "2, or 4 for a text; Mamba gets twice as many"
    static let learningRate = "0.002, or 0.003 for a text"
  }

  @Argument(help: "A CSV of series or a text file. Default: the sample.")
  var data: String?
  @OptionGroup var forecast: ForecastOptions
  @Option(
    help: """
      A CSV with times and the columns of --future, of the rows that forecast.csv is about. Default: they \
      stand in DATA, in rows behind the last value.
      """)
  var futureData: String?
  @OptionGroup var training: TrainingOptions<Usual>
  @Option(
    help: """
      standard, all, or names of models and baselines, config.json files and folders of pretrained \
      forecasters, by commas.
      """)
  var models = "standard"
  @Option(
    parsing: .unconditional,
    help: "How many seeds every model is trained with. Default: 3, or 1 for a text.")
  var seeds: Int?
  @Flag(
    inversion: .prefixedNo,
    help: "Judge the mean of the two or three best runs as a model of its own, for series.")
  var ensemble = false
  @Option(
    parsing: .unconditional,
    help: """
      Learning rates and sizes to try of every model, within its budget: the better half goes on, again and \
      again. Default: 1, the usual ones.
      """)
  var tune: Int?
  @Option(help: "The folder that report and winner are written to.")
  var output = "apus-compare"
  @Flag(help: "Go on with a comparison of the same data and options that was interrupted.")
  var resume = false
  @Flag(help: "Exit with 2 when no model beats the best baseline.")
  var gate = false
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    guard !commaSeparated(models).isEmpty else {
      throw ValidationError(
        "--models is '\(models)', but it must be standard, all, or names; see apus models.")
    }
    try requireRange([("--seeds", seeds, 1...1000), ("--tune", tune, 1...256)])
  }

  func run() async throws {
    machine.apply()
    let path = try data ?? Sample.path()
    let kind = try forecast.kind(of: path)
    try refuse(
      [("--future-data", futureData != nil)],
      unless: kind == .series && forecast.ahead.future != nil,
      because: "holds columns that are known ahead. Name them with --future.")
    var options = try options(for: kind)
    options.next = nextSteps(for: path)
    let file = try DataFile(path, kind: kind, reading: forecast.reading, futureAt: futureData)
    if !training.quiet { for note in file.notes { Printer.messages.note(note) } }
    let progress = Progress(isQuiet: training.quiet)
    defer { progress.end() }
    let record = try await file.compare(options, output: output, resume: resume) {
      progress.show($0)
    }
    progress.end()
    try show(record)
    if gate, record.verdict.recommended == nil { throw ExitCode(ExitStatus.gateNotMet.rawValue) }
    guard record.verdict.model != nil || record.verdict.models == 0 else {
      throw CommandFailure("every model failed; the table says why.")
    }
  }

  private func options(for kind: DataFile.Kind) throws -> ComparisonOptions {
    var options = ComparisonOptions(for: kind)
    options.models = ComparisonOptions.models(named: models)
    _ = try options.choices()
    options.budget = training.limit ?? options.budget
    let first = training.seed ?? 0
    options.seeds = (0..<UInt64(seeds ?? options.seeds.count)).map { first &+ $0 }
    options.context = training.context ?? options.context
    options.horizon = forecast.horizon ?? options.horizon
    options.patch = forecast.patch ?? options.patch
    (options.measure, options.covariates) = (forecast.measure, forecast.covariateNames)
    (options.future, options.holidays) = (forecast.ahead.names, try forecast.ahead.days())
    options.levels = forecast.quantiles.list ?? options.levels
    options.head = forecast.heads.head ?? options.head
    (options.isConformal, options.hasEnsemble) = (forecast.isConformal, ensemble)
    try refuse(
      [("--ensemble", ensemble)], unless: kind == .series,
      because: "is for series, and a text is compared. Leave it out.")
    (options.width, options.layers) = (training.width, training.layers)
    options.learningRate = training.learningRate
    options.candidates = tune ?? options.candidates
    options.command = commandLine
    return options
  }

  /// The headline, the table, and where to look; or the leaderboard as JSON.
  private func show(_ record: ComparisonRecord) throws {
    guard !machine.json else {
      return try Printer.results.print(String(decoding: Leaderboard(record).json(), as: UTF8.self))
    }
    try Printer.results.print(record.headline, isBold: true)
    var lines = [record.explanation, "", table(of: record)]
    lines += record.rows.compactMap { row in row.message.map { "\(row.name): \($0)" } }
    lines += [""] + coverage(of: record) + record.protocolSentences + record.advice
    lines += ["", "Report: \(output)/report.html"]
    if let recommended = record.recommendation {
      lines += [
        "Recommended: \(recommended.name), in \(output)/winner. \(recommended.fit)",
        "Its forecast: \(output)/forecast.csv", "", "What to do next:",
      ]
      for step in recommended.next ?? [] {
        lines.append("\(step.title): \(step.note ?? "")")
        if let command = step.command { lines.append("  \(command)") }
      }
    } else if record.verdict.model != nil {
      lines.append("Best model: \(output)/winner")
    }
    try Printer.results.print(lines.joined(separator: "\n"))
  }

  /// What the intervals of the model and the baseline held on test that validation chose.
  private func coverage(of record: ComparisonRecord) -> [String] {
    [record.verdict.model, record.verdict.baseline].compactMap { name in
      let row = record.rows.first { $0.name == name }
      return row?.intervals?.sentence.map { "Intervals of \(row?.name ?? "") on test: \($0)" }
    }
  }

  private func table(of record: ComparisonRecord) -> String {
    func number(_ value: Double?, _ format: String) -> String {
      value.map { String(format: format, $0) } ?? Figures.missing
    }
    let confidence = Figures.percent(record.verdict.confidence, decimals: 0)
    let best = record.bestSet?.names ?? []
    let table = TextTable<ComparisonRow> { row -> [Column] in
      let deviation = row.lossDeviation.map { number($0, " ± %.2g") } ?? ""
      let inSet = row.setPValue == nil ? Figures.missing : best.contains(row.name) ? "yes" : "no"
      let interval = row.interval.map(Figures.skills) ?? Figures.missing
      var columns = [
        Column(title: "name", value: row.name),
        Column(title: "kind", value: row.kind.rawValue),
        Column(title: record.task.lossName, value: number(row.loss, "%.6g") + deviation),
        Column(title: "skill", value: row.skill.map(Figures.skill) ?? Figures.missing),
        Column(title: "\(confidence) interval", value: interval),
        Column(title: "p", value: row.pValue.map(Figures.probability) ?? Figures.missing),
        Column(title: "best set", value: inSet),
      ]
      columns += panelColumns(row, record.seriesSkill)
      columns += [
        Column(title: "train s", value: number(row.seconds, "%.1f")),
        Column(title: "parameters", value: row.parameters.map(String.init) ?? Figures.missing),
        Column(title: "status", value: row.status.rawValue),
      ]
      return columns
    }
    return table.string(for: record.ranked, style: Style.plain) ?? ""
  }

  /// Of several series, skill and win rate over them.
  private func panelColumns(_ row: ComparisonRow, _ skill: SeriesSkill?) -> [Column] {
    guard let skill else { return [] }
    let found = skill.row(of: row.name)
    return [
      Column(
        title: "skill over series", value: found.map { Figures.skill($0.skill) } ?? Figures.missing),
      Column(
        title: "wins",
        value: found.map { Figures.percent($0.winRate, decimals: 0) } ?? Figures.missing),
    ]
  }

  /// The command as it was typed, ready to paste.
  private var commandLine: String {
    (["apus"] + CommandLine.arguments.dropFirst()).map(shellWord).joined(separator: " ")
  }
}

/// A word as a shell takes it: quoted where it holds more than letters, digits and plain signs.
func shellWord(_ word: String) -> String {
  let isPlain = word.utf8.allSatisfy { byte in
    let isLetter = (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte & 0xDF)
    return isLetter || byte >= 0x80 || "-_./,:=+@%".utf8.contains(byte)
  }
  return isPlain && !word.isEmpty ? word : "'\(word.replacing("'", with: "'\\''"))'"
}

/// Where the data is that ships with the project.
enum Sample {
  /// The S&P 500 sample: under the working directory, or beside the executable and up its tree.
  static func path() throws -> String {
    let name = "Samples/sp500.csv"
    var folders = [FileManager.default.currentDirectoryPath]
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
    while folder.path != "/" {
      folder.deleteLastPathComponent()
      folders.append(folder.path)
    }
    for folder in folders where FileManager.default.fileExists(atPath: folder + "/" + name) {
      return folder + "/" + name
    }
    throw ModelFolderError.missingFile(
      path: name, purpose: "the sample; give DATA, or run in the project's folder")
  }
}
