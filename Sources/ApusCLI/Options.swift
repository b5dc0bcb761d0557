public import Apus
import ApusTensor
public import ArgumentParser
import Foundation

// Choices of the library as words of the command line.
extension Precision: ExpressibleByArgument {}
extension Measure: ExpressibleByArgument {}
extension ForecastHead: ExpressibleByArgument {
  public init?(argument: String) { self.init(named: argument) }
  public static var allValueStrings: [String] { names }
}
extension ProbeKind: ExpressibleByArgument {}
extension PathwaysExercise: ExpressibleByArgument {}
extension DataFile.Kind: ExpressibleByArgument {}
extension DecimalMark: ExpressibleByArgument {}
extension SeriesOptions.DuplicateRule: ExpressibleByArgument {}
extension Frequency: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}
extension LongHorizonSplit: ExpressibleByArgument {}

/// What every command takes.
struct MachineOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: "Threads for the kernels; 0 takes all cores. No result depends on it.")
  var threads = 0
  @Flag(help: "Print the result as JSON.")
  var json = false

  func validate() throws {
    guard threads >= 0 else {
      throw ValidationError("--threads is \(threads), but it must be 0 (all cores) or more.")
    }
  }

  /// Puts the options into force.
  func apply() { Machine.setThreads(threads) }
}

/// What the options of training are for one command, where nothing is given.
protocol TrainingDefaults {
  static var context: String { get }
  static var longestContext: Int { get }
  static var budget: String { get }
  static var steps: String { get }
  static var fewestSteps: Int { get }
  static var takesBudgetAndSteps: Bool { get }
  static var width: String { get }
  static var layers: String { get }
  static var learningRate: String { get }
}

/// How a model is trained.
struct TrainingOptions<Usual: TrainingDefaults>: ParsableArguments {
  @Option(
    parsing: .unconditional, help: "Rows, or tokens, that a model reads. Default: \(Usual.context)."
  )
  var context: Int?
  @Option(
    parsing: .unconditional,
    help: "Training time of a run, such as 90s or 5m. Default: \(Usual.budget).")
  var budget: TimeSpan?
  @Option(parsing: .unconditional, help: "Optimizer steps of a run. Default: \(Usual.steps).")
  var steps: Int?
  @Option(parsing: .unconditional, help: "Width of the backbone. Default: \(Usual.width).")
  var width: Int?
  @Option(parsing: .unconditional, help: "Layers of the backbone. Default: \(Usual.layers).")
  var layers: Int?
  @Option(
    parsing: .unconditional, help: "Peak of the learning rate. Default: \(Usual.learningRate).")
  var learningRate: Double?
  @Option(parsing: .unconditional, help: "Seed of weights and examples. Default: 0.")
  var seed: UInt64?
  @Flag(name: .shortAndLong, help: "No progress; warnings are shown all the same.")
  var quiet = false

  func validate() throws {
    if !Usual.takesBudgetAndSteps, budget != nil, steps != nil {
      throw ValidationError("Give --budget or --steps, not both.")
    }
    try requireRange([
      ("--context", context, 1...Usual.longestContext), ("--width", width, 1...8192),
      ("--layers", layers, 1...256), ("--steps", steps, Usual.fewestSteps...Int(Int32.max)),
    ])
    if let budget, budget.seconds <= 0 || budget.seconds > 1e7 {
      throw ValidationError("--budget must be above 0 seconds and at most 115 days.")
    }
    if let learningRate, !(learningRate > 0 && learningRate < 1) {
      throw ValidationError("--learning-rate is \(learningRate), but it must be in 0...1.")
    }
  }

  /// What was given of that which only models have, by name.
  var given: [(name: String, isGiven: Bool)] {
    [
      ("--budget", budget != nil), ("--steps", steps != nil), ("--width", width != nil),
      ("--layers", layers != nil), ("--learning-rate", learningRate != nil),
      ("--seed", seed != nil),
    ]
  }

  /// When training ends, if that was said.
  var limit: Budget? { steps.map { .steps($0) } ?? budget.map { .seconds($0.seconds) } }
}

/// The user's statements about the columns of a table.
struct ColumnOptions: ParsableArguments {
  @Option(
    help: "The column to forecast, or several separated by commas, * for all. Default: inferred.")
  var target: String?
  @Option(
    help: """
      The column that names the series of a long table, or several separated by commas. Default: \
      inferred.
      """)
  var id: String?
  @Option(
    help: """
      The column of the time, or several separated by commas that make it together, such as Date,Hour; \
      none counts rows as steps. Default: inferred.
      """)
  var time: String?
  @Flag(
    inversion: .prefixedNo,
    help: "Whether 03/04/2015 is the 3rd of April. Default: inferred.")
  var dayFirst: Bool?
  @Option(
    help: "The mark before decimals in every column: point or comma. Default: inferred by column.")
  var decimal: DecimalMark?
  @Option(
    parsing: .unconditional,
    help: "Words or codes for a missing number, separated by commas. Default: the usual words.")
  var missing: String?
  @Option(help: "The language of names of months, such as de. Default: inferred.")
  var locale: String?

  func validate() throws {
    if let locale, !SeriesOptions.knowsLocale(locale) {
      throw ValidationError(
        "--locale is '\(locale)', but it must be one of \(SeriesOptions.locales.joined(separator: ", "))."
      )
    }
  }

  /// The same for the library.
  var reading: SeriesOptions {
    var reading = SeriesOptions()
    reading.targets = target.map(commaSeparated) ?? []
    reading.id = id.map(commaSeparated) ?? []
    reading.countsRows = time == "none"
    reading.time = reading.countsRows ? [] : time.map(commaSeparated) ?? []
    (reading.dayFirst, reading.decimal, reading.locale) = (dayFirst, decimal, locale)
    reading.missing = missing.map(commaSeparated) ?? []
    return reading
  }

  /// What was given, by name.
  var given: [(name: String, isGiven: Bool)] {
    [
      ("--target", target != nil), ("--id", id != nil), ("--time", time != nil),
      ("--day-first", dayFirst != nil), ("--decimal", decimal != nil),
      ("--missing", missing != nil), ("--locale", locale != nil),
    ]
  }
}

/// The user's statements about how the rows of a table stand in their file.
struct TableOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Lines of column names. Default: inferred.")
  var header: Int?
  @Option(
    help: """
      What becomes of rows that share series and time: last, first, sum, mean or fail. Default: last, up \
      to one row in a hundred.
      """)
  var duplicates: SeriesOptions.DuplicateRule?
  @Option(help: "The distance between rows, such as 15min, 1h, 1d, B, 1w, 1mo. Default: inferred.")
  var freq: Frequency?

  func validate() throws {
    try requireRange([("--header", header, 0...16)])
  }

  /// Adds them to what is said about the columns.
  func reading(_ columns: ColumnOptions) -> SeriesOptions {
    var reading = columns.reading
    (reading.headerLines, reading.duplicates, reading.frequency) = (header, duplicates, freq)
    return reading
  }

  /// What was given, by name.
  var given: [(name: String, isGiven: Bool)] {
    [("--header", header != nil), ("--duplicates", duplicates != nil), ("--freq", freq != nil)]
  }
}

/// The user's statements about the rows of a table and their seasons.
struct RowOptions: ParsableArguments {
  @OptionGroup var table: TableOptions
  @Option(
    parsing: .unconditional,
    help: """
      Rows in a season, or in several, from the shortest on, such as 24,168. Default: by the frequency.
      """)
  var season: SeasonList?

  /// Adds them to what is said about the columns.
  func reading(_ columns: ColumnOptions, measure: Measure? = nil) -> SeriesOptions {
    var reading = table.reading(columns)
    (reading.season, reading.measure) = (season?.lengths.first, measure)
    reading.longerSeasons = Array(season?.lengths.dropFirst() ?? [])
    return reading
  }

  /// What was given, by name.
  var given: [(name: String, isGiven: Bool)] { table.given + [("--season", season != nil)] }
}

/// Rows in each of several seasons, rising.
struct SeasonList: ExpressibleByArgument {
  let lengths: [Int]

  init?(argument: String) {
    let words = argument.split(separator: ",", omittingEmptySubsequences: false)
    lengths = words.compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
    let isRising = zip(lengths, lengths.dropFirst()).allSatisfy { $0 < $1 }
    guard lengths.count == words.count, lengths.count <= 8, isRising,
      lengths.allSatisfy({ (1...1_000_000).contains($0) }), lengths.count == 1 || lengths[0] > 1
    else { return nil }
  }
}

/// Which quantiles are forecast.
struct LevelOptions: ParsableArguments {
  @Option(
    help: """
      Levels of the quantiles, separated by commas, from above 0 to below 1. Default: 0.1 to 0.9, and 0.05 \
      and 0.95 for train.
      """)
  var levels: String?

  func validate() throws {
    guard let levels else { return }
    let numbers = commaSeparated(levels).map { Double($0) ?? .nan }
    guard !numbers.isEmpty, numbers.allSatisfy({ $0 > 0 && $0 < 1 }), numbers.count <= 99,
      zip(numbers, numbers.dropFirst()).allSatisfy({ $0 < $1 })
    else {
      throw ValidationError(
        "--levels is '\(levels)', but it must be rising numbers between 0 and 1, such as 0.1,0.5,0.9."
      )
    }
  }

  /// The levels that were asked for.
  var list: [Double]? { levels.map { commaSeparated($0).compactMap { Double($0) } } }
}

/// What models say of each step ahead.
struct HeadOptions: ParsableArguments {
  @Option(
    help: """
      What models say of each step ahead, and learn by: quantiles, student-t, mixture (of three normal \
      distributions), or counts (whole numbers from 0 up, a negative binomial). Default: quantiles.
      """)
  var head: ForecastHead?
}

/// What a forecaster is asked for; all of it is of series alone.
struct ForecastOptions: ParsableArguments {
  @OptionGroup var columns: ColumnOptions
  @OptionGroup var rows: RowOptions
  @Option(parsing: .unconditional, help: "Rows ahead, for series. Default: 5.")
  var horizon: Int?
  @Option(
    parsing: .unconditional,
    help: "Rows that make one token, for series; it divides the context. Default: 1.")
  var patch: Int?
  @Option(help: "What is forecast: returns, volatility or level. Default: inferred.")
  var measure: Measure?
  @Option(
    help: """
      Columns that models read beside the target, separated by commas; words become classes. Default: none.
      """)
  var covariates: String?
  @OptionGroup var ahead: FutureOptions
  @OptionGroup var quantiles: LevelOptions
  @OptionGroup var heads: HeadOptions
  @Flag(
    inversion: .prefixedNo,
    help: """
      Stretch the quantiles of a series so that intervals hold on validation what they claim. Default: yes.
      """)
  var conformal: Bool?
  @Option(
    help: """
      What the data is: series or text. Default: by the content for .txt, text for .md, else series.
      """)
  var kind: DataFile.Kind?

  func validate() throws {
    try requireRange([("--horizon", horizon, 1...4096), ("--patch", patch, 1...1024)])
  }

  /// What is known about the table.
  var reading: SeriesOptions {
    var reading = rows.reading(columns, measure: measure)
    reading.future = ahead.names
    (reading.categories, reading.statics) = (covariateNames, ahead.staticNames)
    return reading
  }

  /// What a file holds.
  ///
  /// - Throws: ``UsageError`` where options of series are given for a text: none is taken and then ignored.
  func kind(of path: String) throws -> DataFile.Kind {
    let found = kind ?? DataFile.Kind(ofFileAt: path)
    try refuse(
      columns.given + rows.given + [
        ("--horizon", horizon != nil), ("--patch", patch != nil), ("--measure", measure != nil),
        ("--covariates", covariates != nil), ("--future", ahead.future != nil),
        ("--holidays", ahead.holidays != nil), ("--static", ahead.statics != nil),
        ("--levels", quantiles.levels != nil), ("--conformal", conformal != nil),
        ("--head", heads.head != nil),
      ], unless: found == .series,
      because: "is for series, but '\(path)' is read as a text. Leave it out, or add --kind series."
    )
    return found
  }

  /// Whether quantiles are stretched.
  var isConformal: Bool { conformal ?? true }

  /// The columns beside the target.
  var covariateNames: [String] { (covariates.map(commaSeparated) ?? []) + ahead.staticNames }
}

/// Which columns are known before their rows come.
struct FutureOptions: ParsableArguments {
  @Option(
    help: """
      Columns that are known ahead, such as a promotion or a price, separated by commas: models and \
      baselines read those of the rows that they forecast. Default: none.
      """)
  var future: String?

  @Option(
    help: """
      Countries by their two letters, such as DE,US, and files with a date in each line, separated by commas: \
      their holidays are known ahead. Default: none.
      """)
  var holidays: String?

  @Option(
    name: .customLong("static"),
    help: """
      Columns that have one value throughout each series, such as a region, which models read, separated by \
      commas. Default: none.
      """)
  var statics: String?

  /// The static columns.
  var staticNames: [String] { statics.map(commaSeparated) ?? [] }

  /// The columns.
  var names: [String] { future.map(commaSeparated) ?? [] }

  /// The holidays; nil for none.
  ///
  /// - Throws: `HolidayError`, and what is wrong with a file.
  func days() throws -> Holidays? { try holidays.map { try Holidays(commaSeparated($0)) } }
}

/// How cells of CSV are written.
struct CellOptions: ParsableArguments {
  @Flag(
    inversion: .prefixedNo,
    help: """
      In CSV, put an apostrophe before a name that a spreadsheet would take for a formula: one that \
      begins with =, +, -, @, a tab or a line end and is no number. Default: on.
      """)
  var formulaGuard: Bool?

  /// Whether cells are guarded.
  ///
  /// - Throws: ``UsageError`` where it was said, and no CSV is printed.
  func guardsFormulas(inCSV isCSV: Bool) throws -> Bool {
    try refuse(
      [("--formula-guard", formulaGuard != nil)], unless: isCSV,
      because: "is for CSV; JSON has names as they are. Leave it out.")
    return formulaGuard ?? true
  }
}

/// Refuses options that would be ignored.
func refuse(
  _ options: [(name: String, isGiven: Bool)], unless isUsed: Bool, because reason: String
) throws {
  guard !isUsed, let name = options.first(where: \.isGiven)?.name else { return }
  throw UsageError("\(name) \(reason)")
}

/// Refuses numbers outside of what an option can be.
func requireRange(_ options: [(name: String, value: Int?, range: ClosedRange<Int>)]) throws {
  for (name, value, range) in options {
    guard let value, !range.contains(value) else { continue }
    throw ValidationError(
      "\(name) is \(value), but it must be in \(range.lowerBound)...\(range.upperBound).")
  }
}

/// A time span as people type it: `20s`, `5m`, `1h`, or a number of seconds.
struct TimeSpan: ExpressibleByArgument {
  let seconds: Double

  init(seconds: Double) { self.seconds = seconds }

  init?(argument: String) {
    let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600]
    let unit = argument.last.flatMap { units[$0] }
    guard let number = Double(unit == nil ? argument : String(argument.dropLast())),
      number.isFinite
    else { return nil }
    seconds = number * (unit ?? 1)
  }

  var defaultValueDescription: String { "\(Int(seconds))s" }
}

/// The words of a list as people type it.
func commaSeparated(_ text: String) -> [String] {
  text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    .filter { !$0.isEmpty }
}

/// JSON with sorted keys in snake case, for people too.
func jsonText(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.keyEncodingStrategy = .convertToSnakeCase
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}

/// Writes a file as a whole.
///
/// - Throws: `ModelFolderError/cannotCreate(path:reason:)`.
func write(_ text: String, to path: String) throws {
  do {
    try Files().replace(path, with: Array(text.utf8))
  } catch {
    throw ModelFolderError.cannotCreate(path: path, reason: "\(error)")
  }
}
