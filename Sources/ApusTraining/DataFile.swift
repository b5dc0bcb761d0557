public import ApusData
public import ApusEvaluation
import ApusModels
public import ApusRuntime
import ApusTensor
import Foundation

/// A file to learn from: a table of series, or a text.
public struct DataFile: Sendable {
  /// The kind of a file.
  public enum Kind: String, Sendable, CaseIterable {
    /// A table of series, or plain text.
    case series, text

    /// The kind of a file: a text for `.md`, and for `.txt` unless its first lines are rows of a table; else
    /// series.
    public init(ofFileAt path: String) {
      let isText =
        path.hasSuffix(".md") || path.hasSuffix(".txt") && !SeriesTable.isTable(fileAt: path)
      self = isText ? .text : .series
    }
  }

  /// The contents of a file.
  public enum Contents: Sendable {
    /// A table of series.
    case series(SeriesTable)
    /// A text as tokens.
    case text(TextCorpus)
  }

  /// The contents.
  public let contents: Contents
  /// The name of the file and its fingerprint.
  public let source: DataSource
  /// Where it is and what was known about it; nil for series that are in memory.
  private let place: (path: String, reading: SeriesOptions)?

  /// Reads a file.
  ///
  /// - Parameters:
  ///   - path: A CSV of series, or a text.
  ///   - kind: What it holds. Default: by its name, and `.txt` by its first lines.
  ///   - reading: What is known about the columns of series. Default: nothing.
  ///   - future: A CSV with times and the columns that `reading` names as known ahead, of rows after the
  ///     last one. Default: they stand in the file, behind the last value.
  /// - Throws: `SeriesError`, `TextError`; `ConfigError` where `reading` names no column that is known
  ///   ahead.
  public init(
    _ path: String, kind: Kind? = nil, reading: SeriesOptions = SeriesOptions(),
    futureAt future: String? = nil
  ) throws {
    place = (path, reading)
    switch kind ?? Kind(ofFileAt: path) {
    case .series:
      let table = try SeriesTable(readingCSVAt: path, options: reading)
      contents = .series(try future.map { try Self.joined(table, $0, reading) } ?? table)
    case .text: contents = .text(try TextCorpus(readingAt: path, unit: .characters))
    }
    source = DataSource(
      name: URL(fileURLWithPath: path).lastPathComponent,
      data: try Files.contents(of: path, limit: reading.maximumBytes))
  }

  /// Takes series that are in memory.
  public init(_ table: SeriesTable) {
    (contents, source, place) = (.series(table), DataSource(table), nil)
  }

  /// The series with what a second file knows of the rows after them.
  private static func joined(
    _ table: SeriesTable, _ path: String, _ reading: SeriesOptions
  ) throws -> SeriesTable {
    guard !reading.future.isEmpty else {
      throw ConfigError.invalid(
        key: "future-data", value: path,
        rule: "no column is named as known ahead; name it with --future")
    }
    var options = reading
    (options.format, options.targets) = (table.format, [])
    return table.withFuture(
      try SeriesTable(readingKnownAt: path, columns: reading.future, options: options))
  }

  /// What reading the file decided or found, in sentences.
  public var notes: [String] {
    if case .series(let table) = contents { table.report.sentences } else { [] }
  }

  /// Compares models and baselines on the file, and writes the report and the folder of what is
  /// recommended.
  ///
  /// - Parameters:
  ///   - options: How; see ``ComparisonOptions/init(for:)``.
  ///   - output: The folder for `report.html`, `leaderboard.json`, `record.json`, `trials.jsonl`,
  ///     `forecast.csv` and `winner`, what is recommended.
  ///   - resume: Whether to go on from the runs of an interrupted comparison of the same data and
  ///     options. Default: no.
  ///   - progress: Called after every step, and awaited.
  /// - Returns: Everything that was found.
  /// - Throws: What is wrong with the data, the options or the folder, which is found before training.
  ///   ``Interruption`` when the Swift task is cancelled; what was trained is kept then.
  public func compare(
    _ options: ComparisonOptions, output: String, resume: Bool = false,
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> ComparisonRecord {
    let folder = try ComparisonFolder(output, resume: resume)
    switch contents {
    case .series(let table):
      var comparison = SeriesComparison(table, source: source, options: options)
      (comparison.runs, comparison.trials) = (folder.runsPath, folder.trialsPath)
      let found = try await comparison.run(progress: progress)
      var record = found.record
      let steps = found.recommended.flatMap { next($0, found.record, options) }
      record.recommendation?.next = steps
      try folder.write(record, winner: try found.recommended?.contents, forecast: found.forecast)
      return record
    case .text(let corpus):
      var comparison = TextComparison(corpus, source: source, options: options)
      (comparison.runs, comparison.trials) = (folder.runsPath, folder.trialsPath)
      let found = try await comparison.run(progress: progress)
      try folder.write(
        found.record,
        winner: found.winner.map { try ModelFolder.contents($0, tokenizer: corpus.tokenizer) })
      return found.record
    }
  }

  /// The commands that go on from what is recommended; nil for series that are in no file.
  private func next(
    _ model: Model, _ record: ComparisonRecord, _ options: ComparisonOptions
  ) -> [NextStep]? {
    let row = record.rows.first { $0.name == record.verdict.recommended }
    return place.map { path, reading in
      options.next(
        RecommendedUse(
          name: model.name, isModel: !model.forecasters.isEmpty, members: model.members.map(\.name),
          settings: row?.tuning?.keptCandidate,
          baseline: record.verdict.baseline,
          streamObstacle: model.streamObstacle(inFileAt: path, options: reading)))
    }
  }

  /// Fits a baseline to all rows of the file's series, and saves it with them.
  ///
  /// - Parameters:
  ///   - name: The baseline, such as "theta".
  ///   - options: Horizon, levels, measure, and the context, which linear baselines read.
  ///   - output: The folder.
  /// - Returns: The baseline, and how it did on the validation part after a fit to the training part.
  /// - Throws: `BaselineError`, what is wrong with the data, and `FileError`.
  public func fit(
    baseline name: String, options: ComparisonOptions, output: String
  ) throws -> FittedBaseline {
    guard case .series(let table) = contents else {
      throw ConfigError.invalid(
        key: "model", value: name, rule: "it forecasts series, and the data is a text")
    }
    let options = options.fitting(table)
    let prototype = try Baseline.named(name, lookback: options.lookBack)
    try ModelFolder.prepare(output)
    let problem = try SeriesProblem(table, options: options)
    let judged = try SeriesBaseline(prototype, problem: problem)
    let known = try? judged.forecasts(problem, problem.origins(.validation))
    let levels = problem.task.levels
    let loss = try? known.map {
      try problem.score($0.quantiles, means: $0.means, part: .validation, levels: levels).loss
    }
    let model = Model(
      prototype, task: problem.task, lookback: options.lookBack, recipe: problem.recipe,
      target: table.targetName, history: table.series,
      correction: known.flatMap { problem.correction(of: $0.quantiles, levels: levels) })
    _ = try model.forecast(after: table)  // what fits to no series is an error here, not later
    try model.save(to: output)
    return FittedBaseline(
      model: model, validationLoss: loss.flatMap { $0.isFinite ? $0 : nil },
      coverage: try? known.map {
        try problem.validationCoverage(of: $0.quantiles, levels: levels)
      })
  }

  /// Forecasts the file's series from rolling origins and scores what came.
  ///
  /// - Parameters:
  ///   - choices: The forecasters.
  ///   - options: Origins, refits, and how models are trained.
  ///   - progress: Called after every step of training and every fit, and awaited.
  /// - Returns: All forecasts with what came, and the scores.
  /// - Throws: ``BacktestError``; what is wrong with the data, the options or a folder. ``Interruption``
  ///   when the Swift task is cancelled.
  public func backtest(
    _ choices: [ForecasterChoice], options: BacktestOptions,
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> BacktestResult {
    guard case .series(let table) = contents else { throw BacktestError.nothingScored }
    return try await Backtest(table, choices: choices, options: options).run(progress: progress)
  }

  /// Judges forecasters on the file by the protocol of the published tables, each column a channel.
  ///
  /// - Parameters:
  ///   - options: Models, split and sizes.
  ///   - progress: Called after every step of training, and awaited.
  /// - Returns: The table.
  /// - Throws: ``LongHorizonError``, `ConfigError` and ``TrainingError``. ``Interruption`` when the
  ///   Swift task is cancelled.
  public func longHorizonErrors(
    _ options: LongHorizonOptions,
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> LongHorizonReport {
    guard case .series(let table) = contents else { throw LongHorizonError.noSeries }
    return try await LongHorizonBenchmark(table, source: source, options: options)
      .run(progress: progress)
  }

  /// Trains one model on the file: a forecaster on series, a language model on a text.
  ///
  /// - Parameters:
  ///   - options: Model, budget and the like.
  ///   - output: The model's folder; the run's checkpoints lie in `checkpoints` under it.
  ///   - resume: Whether to go on from the newest checkpoint there. Default: no.
  ///   - progress: Called after every step, and awaited.
  /// - Returns: The record of the run.
  /// - Throws: ``TrainingError``, `ModelFolderError` and `FileError`. ``Interruption`` when the Swift
  ///   task is cancelled; its checkpoint stands then.
  public func train(
    _ options: ModelTrainingOptions, output: String, resume: Bool = false,
    progress: @escaping @Sendable (TrainingProgress) async -> Void = { _ in }
  ) async throws -> TrainingSummary {
    switch contents {
    case .series(let table):
      try await ForecastTraining(table, source: source, options: options)
        .run(output: output, resume: resume, progress: progress)
    case .text(let corpus):
      try await LanguageTraining(corpus, source: source, options: options)
        .run(output: output, resume: resume, progress: progress)
    }
  }
}

extension ComparisonOptions {
  /// Creates the default for a kind of data: for series 20 seconds a run and three seeds; for a text 60
  /// seconds and one seed.
  public init(for kind: DataFile.Kind) {
    self.init()
    if kind == .text { (budget, seeds) = (.seconds(60), [0]) }
  }

  /// What ``models`` becomes of words.
  ///
  /// - Parameter text: `standard`, `all`, or names and paths of `config.json`s separated by commas.
  /// - Returns: The models.
  public static func models(named text: String) -> [String] {
    switch text {
    case "standard": Architecture.standard.map(\.name)
    case "all": Architecture.all.map(\.name)
    default: text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }
  }
}

/// A baseline that was fitted to all rows of a file.
public struct FittedBaseline {
  /// The baseline with its rows.
  public let model: Model
  /// Its mean pinball loss on the validation part after a fit to the training part; nil where the rows are too
  /// few for that.
  public let validationLoss: Double?
  /// What its central intervals held there, widest first; nil where the rows are too few.
  public let coverage: [IntervalCoverage]?
}
