public import ApusData
import ApusModels
import ApusRuntime
import Foundation

/// How fast a table becomes windows, as `apus bench read --json` prints it: the best of several runs.
public struct ReadResult: Codable, Sendable {
  /// The size of the file.
  public var bytes: Int
  /// Series in it.
  public var series: Int
  /// Rows of all series.
  public var rows: Int
  /// How the table was read, in sentences.
  public var notes: [String]
  /// What a model would forecast.
  public var measure: Measure
  /// Rows of a season; 1 where there is none.
  public var season: Int
  /// Rows ahead.
  public var horizon: Int
  /// Rows that a forecaster reads at once, L.
  public var context: Int
  /// Runs that the best is taken from.
  public var runs: Int
  /// Seconds from the file to a checked table.
  public var tableSeconds: Double
  /// Seconds from the table to rows as a model sees them: measured, scaled by their past, with calendar and
  /// covariates, training, validation and test told apart.
  public var frameSeconds: Double
  /// Windows of 2 L rows, every row the origin of a forecast in one of them.
  public var windows: Int
  /// Seconds to copy all windows out of the rows, as an epoch of training does batch by batch.
  public var windowSeconds: Double
  /// From the file to rows from which windows are cut.
  public var seconds: Double { tableSeconds + frameSeconds }
}

/// Times the way of a table from its file to the windows of training.
public struct ReadBenchmark: Sendable {
  /// What is known about the columns.
  public var reading = SeriesOptions()
  /// What is forecast; nil infers it.
  public var measure: Measure?
  /// Rows that a forecaster reads at once; nil takes what training would.
  public var context: Int?
  /// Rows ahead.
  public var horizon = 1
  /// How many runs the best is taken from.
  public var runs = 5

  /// Creates the default: one row ahead, the context of training, best of 5.
  public init() {}

  /// Reads a table and makes its windows, several times.
  ///
  /// - Parameter path: The file.
  /// - Returns: The least seconds of each part.
  /// - Throws: `SeriesError`; what a table cannot be learned from.
  public func measured(fileAt path: String) throws -> ReadResult {
    var found: ReadResult?
    for _ in 0..<max(1, runs) {
      let one = try run(path)
      guard var best = found else {
        found = one
        continue
      }
      best.tableSeconds = min(best.tableSeconds, one.tableSeconds)
      best.frameSeconds = min(best.frameSeconds, one.frameSeconds)
      best.windowSeconds = min(best.windowSeconds, one.windowSeconds)
      found = best
    }
    guard let found else { throw TrainingDataError.tooShort(found: 0, needed: 1) }
    return found
  }

  private func run(_ path: String) throws -> ReadResult {
    let begin = ContinuousClock.now
    let table = try SeriesTable(readingCSVAt: path, options: reading)
    let read = ContinuousClock.now
    var options = ComparisonOptions()
    (options.horizon, options.measure) = (horizon, measure)
    options.context = context ?? options.fitting(table).lookBack
    let problem = try SeriesProblem(table, options: options)
    let framed = ContinuousClock.now
    let windows = Self.copyWindows(of: problem, horizon: horizon)
    let cut = ContinuousClock.now
    let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
    return ReadResult(
      bytes: size ?? 0, series: table.series.count,
      rows: problem.frames.reduce(0) { $0 + $1.count }, notes: table.report.sentences,
      measure: problem.measure, season: table.cadence.seasonLength, horizon: horizon,
      context: problem.lookBack, runs: runs,
      tableSeconds: (read - begin).seconds, frameSeconds: (framed - read).seconds,
      windows: windows, windowSeconds: (cut - framed).seconds)
  }

  /// Copies the windows of every series, and says how many there are.
  private static func copyWindows(of problem: SeriesProblem, horizon: Int) -> Int {
    let context = problem.lookBack
    let window = ForecasterConfig.usualWindow(context: context)
    var (count, numbers) = (0, 0)
    for frame in problem.frames {
      for start in stride(from: -context, to: frame.count - context, by: context) {
        numbers &+= frame.rows(start..<start + 2 * context, window: window, horizon: horizon).count
        count += 1
      }
    }
    // What is copied is used, so that no compiler leaves the copying out.
    return numbers > 0 ? count : 0
  }
}
