/// Everything one comparison found: enough to draw the report, to write the leaderboard and to run
/// the comparison again.
///
/// The record is plain values, so it can be stored as JSON (``json()``), read back, and rendered
/// (``renderReport(_:)``) long after the run. Numbers that do not exist (the loss of a model that
/// failed) are `nil`; numbers that are not finite survive storage and are drawn as missing.
public struct ComparisonRecord: Codable, Sendable, Equatable {
  /// The question: data, target, budget and machine.
  public var task: ComparisonTask
  /// The answer: which model is recommended, or none, and why.
  public var verdict: Verdict
  /// One row per model and baseline, failures included, in any order.
  public var rows: [ComparisonRow]
  /// The parts of the data in order of time, gaps included.
  public var split: [SplitPart] = []
  /// The target over all rows, thinned to at most a few thousand points; empty for text.
  public var overview: [SeriesPoint] = []
  /// Some origins of the test split with the forecasts made there; empty for text.
  public var examples: [ForecastExample] = []
  /// Of several series, what came out for each; nil where there is one, and for text.
  public var series: [SeriesOutcome]?
  /// Of several series, skill and win rate over them; nil where there is one, and for text.
  public var seriesSkill: SeriesSkill?
  /// Which rows cannot be told from the best; nil with fewer than two windows.
  public var bestSet: BestSet?
  /// Whether the chosen model adds to a baseline that it contains; nil where it contains it not, and for
  /// text.
  public var nestedTest: NestedTest?
  /// How many training runs were made; nil where it is not known.
  public var trials: TrialCount?
  /// What the direction of the chosen model's forecasts was worth; nil where no returns are forecast.
  public var directionSharpe: DirectionSharpe?
  /// What the errors of the recommended forecaster on the test part still hold; nil for text, and where too
  /// few are there.
  public var residuals: ResidualChecks?
  /// What to use, fitted to all rows, with its forecast; nil for text and where everything failed.
  public var recommendation: Recommendation?
  /// What the audit of the data found, clean checks included.
  public var health: [HealthFinding] = []
  /// Every time the test split was read. An honest comparison has exactly one entry.
  public var openings: [TestOpening] = []
  /// How to get the same numbers again.
  public var reproduction: Reproduction

  /// Creates a record without charts; set the other properties as they are known.
  public init(
    task: ComparisonTask, verdict: Verdict, rows: [ComparisonRow], reproduction: Reproduction
  ) {
    self.task = task
    self.verdict = verdict
    self.rows = rows
    self.reproduction = reproduction
  }
}

/// The question a comparison answers, and the conditions every row shared.
public struct ComparisonTask: Codable, Sendable, Equatable {
  /// What the data is.
  public enum Kind: String, Codable, Sendable {
    /// Series of numbers, or text.
    case series, text
  }

  /// How positions in the data are counted.
  public enum TimeAxis: String, Codable, Sendable {
    /// Seconds since 1970-01-01 00:00 UTC.
    case utcSeconds = "utc_seconds"
    /// Row numbers (of text: character offsets), because the data carries no time.
    case index
  }

  /// What the data is.
  public var kind: Kind
  /// Name of the data file, without its folder.
  public var data: String
  /// Rows of the file that were used; of text, characters.
  public var rows: Int
  /// The column that is forecast; of text, what is predicted ("next character").
  public var target: String
  /// What the target was turned into: "log return", "volatility" or "level"; `nil` for text.
  public var measure: String?
  /// Name of the loss in the table, such as "mean pinball loss" or "QLIKE". Lower is better.
  public var lossName: String
  /// Unit of the loss, such as "nats per character"; `nil` when it is that of the target.
  public var lossUnit: String?
  /// Columns that the models read beside the target, and the baselines do not.
  public var covariates: [String] = []
  /// Steps ahead, P; `nil` for text.
  public var horizon: Int?
  /// Rows (of text: tokens) a model sees before it answers, L.
  public var context: Int
  /// What one step is, such as "day"; used in axis titles.
  public var stepName = "step"
  /// Forecast origins scored in the test split; of text, scored tokens.
  public var testWindows: Int?
  /// One date in so many is a forecast origin; nil where all are.
  public var originStride: Int?
  /// What the budget counts: "seconds" of training on the threads below, or "steps".
  public var budgetUnit: String
  /// The budget of each model, in ``budgetUnit``.
  public var budgetAmount: Double
  /// The seeds every model was trained with.
  public var seeds: [UInt64]
  /// Threads each model trained and predicted with.
  public var threads: Int
  /// The instruction set the kernels chose, such as "AVX2".
  public var isa: String
  /// How positions in ``ComparisonRecord/overview``, ``ComparisonRecord/split`` and
  /// ``ComparisonRecord/examples`` are counted.
  public var timeAxis = TimeAxis.index

  /// Creates a task; the properties with defaults can be set afterwards.
  public init(
    kind: Kind, data: String, rows: Int, target: String, lossName: String, context: Int,
    budgetUnit: String, budgetAmount: Double, seeds: [UInt64], threads: Int, isa: String
  ) {
    self.kind = kind
    self.data = data
    self.rows = rows
    self.target = target
    self.lossName = lossName
    self.context = context
    self.budgetUnit = budgetUnit
    self.budgetAmount = budgetAmount
    self.seeds = seeds
    self.threads = threads
    self.isa = isa
  }
}

/// How to get the same numbers again.
public struct Reproduction: Codable, Sendable, Equatable {
  /// A name and its version.
  public struct Version: Codable, Sendable, Equatable {
    /// What it is, such as "apus" or "oneDNN".
    public var name: String
    /// Its version as it reports it.
    public var version: String

    /// Creates a pair.
    public init(name: String, version: String) {
      self.name = name
      self.version = version
    }
  }

  /// The command line, ready to paste.
  public var command: String
  /// Seed of all randomness in the run.
  public var seed: UInt64
  /// SHA-256 of the data file, in hexadecimal.
  public var dataSha256: String?
  /// Size of the data file in bytes.
  public var dataBytes: Int?
  /// Versions of the program and of what it is built on.
  public var versions: [Version]
  /// The processor and the system, such as "AMD EPYC 7R13, 2 cores, Linux 6.1".
  public var machine: String?
  /// When the run began, in seconds since 1970-01-01 00:00 UTC.
  public var startedAt: Double?
  /// The seconds of the whole comparison.
  public var seconds: Double?

  /// Creates the block; the optional properties can be set afterwards.
  public init(command: String, seed: UInt64, versions: [Version]) {
    self.command = command
    self.seed = seed
    self.versions = versions
  }
}
