/// One value of the target.
public struct SeriesPoint: Codable, Sendable, Equatable {
  /// Position on the time axis of the task.
  public var time: Double
  /// The value, in the unit of the target.
  public var value: Double

  /// Creates a point.
  public init(time: Double, value: Double) {
    self.time = time
    self.value = value
  }
}

/// A stretch of the data and what it was used for.
public struct SplitPart: Codable, Sendable, Equatable {
  /// The use of a stretch.
  public enum Use: String, Codable, Sendable {
    /// The parts in the order of time.
    case train, validation, test
    /// Left out so that no label of one part overlaps the next (purge and embargo).
    case gap
  }

  /// The use.
  public var use: Use
  /// Its first and last row, counted from 0.
  public var rows: ClosedRange<Int>
  /// Its first and last position on the time axis of the task.
  public var times: ClosedRange<Double>

  /// Creates a part.
  public init(use: Use, rows: ClosedRange<Int>, times: ClosedRange<Double>) {
    self.use = use
    self.rows = rows
    self.times = times
  }
}

/// One origin of the test split: what was known, what came, and what was forecast.
public struct ForecastExample: Codable, Sendable, Equatable {
  /// The recent past, the last point being the origin.
  public var history: [SeriesPoint]
  /// The actual values, one point per step; none where they are not known yet.
  public var actual: [SeriesPoint]
  /// The forecasts made at the origin; the report draws the chosen model and the best baseline.
  public var fans: [ForecastFan]
  /// The name of the series; nil where it is not told.
  public var series: String?
  /// The times of the steps where actual values are not known yet; nil where they are.
  public var ahead: [Double]?

  /// The times of the steps.
  public var times: [Double] { ahead ?? actual.map(\.time) }

  /// Creates an example.
  public init(history: [SeriesPoint], actual: [SeriesPoint], fans: [ForecastFan]) {
    self.history = history
    self.actual = actual
    self.fans = fans
  }
}

/// The quantile forecast of one row at one origin.
public struct ForecastFan: Codable, Sendable, Equatable {
  /// The name of the row.
  public var name: String
  /// The probabilities of the quantiles, ascending.
  public var levels: [Double]
  /// The quantiles, `[steps][levels]`, steps as in ``ForecastExample/times``.
  public var quantiles: [[Double]]

  /// Creates a fan.
  public init(name: String, levels: [Double], quantiles: [[Double]]) {
    self.name = name
    self.levels = levels
    self.quantiles = quantiles
  }
}

/// What came out for one of several series.
public struct SeriesOutcome: Codable, Sendable, Equatable {
  /// Its name.
  public var series: String
  /// Its rows.
  public var rows: Int
  /// The test losses of models and baselines by name; none where the series was not judged.
  public var losses: [String: Double]
  /// Which of them is smallest.
  public var best: String?
  /// A forecast of it on the test part; nil but of the best, the middle and the worst series.
  public var example: ForecastExample?

  /// Creates an outcome.
  public init(series: String, rows: Int, losses: [String: Double], best: String?) {
    (self.series, self.rows, self.losses, self.best) = (series, rows, losses, best)
  }
}

/// What to use, fitted to all rows, and what it says about the time ahead.
public struct Recommendation: Codable, Sendable, Equatable {
  /// The name of the model or baseline.
  public var name: String
  /// How it was fitted, a sentence.
  public var fit: String
  /// The forecast of every series, as `forecast.csv` has it; nil where it is long.
  public var csv: String?
  /// The first few series with what is forecast of them.
  public var future: [ForecastExample]
  /// The commands that go on from here; nil where none are known.
  public var next: [NextStep]?

  /// Creates a recommendation.
  public init(name: String, fit: String, csv: String?, future: [ForecastExample]) {
    (self.name, self.fit, self.csv, self.future) = (name, fit, csv, future)
  }
}

/// A command that goes on from a comparison.
public struct NextStep: Codable, Sendable, Equatable {
  /// What it is for, such as "Forecast".
  public var title: String
  /// The command, ready to be copied; nil where there is none.
  public var command: String?
  /// A sentence about it: what to know before it is used, or why there is no command; nil for nothing.
  public var note: String?

  /// Creates a step.
  public init(title: String, command: String?, note: String? = nil) {
    (self.title, self.command, self.note) = (title, command, note)
  }
}

/// The outcome of one check of the data.
public struct HealthFinding: Codable, Sendable, Equatable {
  /// The severity.
  public enum Severity: String, Codable, Sendable {
    /// The check found nothing.
    case clean
    /// Worth knowing; nothing was changed.
    case note
    /// The data was repaired or the result needs care.
    case warning
    /// The result should not be trusted until this is resolved.
    case problem
  }

  /// What was checked, such as "duplicate timestamps".
  public var check: String
  /// The severity.
  public var severity: Severity
  /// How many rows or values it concerns.
  public var count: Int
  /// What was found and what was done about it.
  public var detail: String
  /// A few of the lines concerned, word for word.
  public var lines: [String] = []

  /// Creates a finding without example lines.
  public init(check: String, severity: Severity, count: Int, detail: String) {
    self.check = check
    self.severity = severity
    self.count = count
    self.detail = detail
  }
}

/// One reading of the test split.
public struct TestOpening: Codable, Sendable, Equatable {
  /// When, in seconds since 1970-01-01 00:00 UTC.
  public var at: Double
  /// The purpose, such as "final scores of 9 models and 12 baselines".
  public var purpose: String
  /// The number of windows (of text: tokens) that were scored.
  public var windows: Int

  /// Creates an entry.
  public init(at: Double, purpose: String, windows: Int) {
    self.at = at
    self.purpose = purpose
    self.windows = windows
  }
}
