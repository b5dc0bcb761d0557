import ApusData
import ApusEvaluation
import ApusModels
import ApusTensor

/// One classical baseline, fitted to every series of a table.
///
/// A series that is too short for it gets the naive forecast, so that one late series does not take the
/// baseline from all others.
struct SeriesBaseline {
  let name: String
  let task: ForecastTask
  private let fitted: [Baseline?]
  /// Why it could be fitted to no series at all.
  private(set) var failure: String?
  private(set) var seconds = 0.0

  /// Fits it to the training rows of every series.
  ///
  /// - Parameters:
  ///   - prototype: The baseline.
  ///   - problem: The series.
  ///   - limit: The seconds that it may take for all series, as models may; where the first ones tell that
  ///     they will not do, it fails at once. Default: none.
  /// - Throws: `CancellationError` alone; what else goes wrong is kept as a failure.
  init(_ prototype: Baseline, problem: SeriesProblem, limit: Double? = nil) throws {
    (name, task) = (prototype.name, problem.task)
    let start = ContinuousClock.now
    var fitted: [Baseline?] = []
    var first: String?
    for index in problem.table.series.indices {
      try Task.checkCancellation()
      var baseline = prototype
      do {
        guard problem.naive[index] != nil else {
          fitted.append(nil)
          continue
        }
        try baseline.fit(
          Array(problem.rest(index)[problem.split.fittingRows(series: index)]),
          task: problem.task)
        fitted.append(baseline)
      } catch {
        first = first ?? "\(error)"
        fitted.append(nil)
      }
      let spent = (ContinuousClock.now - start).seconds
      let expected = spent / Double(index + 1) * Double(problem.table.series.count)
      if let limit, spent > limit / 10, expected > 1.2 * limit {
        first =
          "It would take some \(shortNumber(expected.rounded())) s to fit, more than the budget of "
          + "\(shortNumber(limit)) s; give more with --budget."
        fitted = fitted.map { _ in nil }
        break
      }
    }
    self.fitted = fitted
    if fitted.allSatisfy({ $0 == nil }) {
      failure = first ?? "No series has a value to learn from."
    }
    seconds = (ContinuousClock.now - start).seconds
  }

  /// What it forecasts at some origins.
  struct Forecasts {
    /// Of each origin, `[P][Q]`.
    var quantiles: [[[Double]]] = []
    /// Of each origin, `[P]`.
    var means: [[Double]] = []
    /// Names of the series that the naive forecast stands in for.
    var standIns: [String] = []
  }

  /// Forecasts at the given origins.
  ///
  /// - Throws: `BaselineError` when even the naive forecast fails.
  func forecasts(_ problem: SeriesProblem, _ origins: ForecastOrigins) throws -> Forecasts {
    var result = Forecasts()
    var first: (any Error)?
    for (number, series) in problem.table.series.enumerated() {
      let rows = origins.all[origins.ranges[number]].map { $0.row + 1 }
      guard !rows.isEmpty else { continue }
      try Task.checkCancellation()
      var forecasts: [BaselineForecast]?
      let rest = problem.rest(number)
      do {
        forecasts = try fitted[number]?.forecasts(rest, origins: rows, task: task)
      } catch {
        first = first ?? error
      }
      if forecasts == nil {
        result.standIns.append(series.id)
        forecasts = try problem.naive[number]?.forecasts(rest, origins: rows, task: task)
      }
      forecasts = forecasts.map { problem.shifted($0, series: number, origins: rows) }
      result.quantiles += forecasts?.map(\.quantiles) ?? []
      result.means += forecasts?.map(\.mean) ?? []
    }
    // What works for no series is a failure, and not the naive forecast under another name.
    if let first, result.standIns.count == origins.ranges.count(where: { !$0.isEmpty }) {
      throw first
    }
    return result
  }

  /// The scores, and the names of series that the naive forecast stands in for on test.
  func scores(
    _ problem: SeriesProblem
  ) throws -> (scores: CorrectedScores, standIns: [String]) {
    var standIns: [String] = []
    let scores = try CorrectedScores(problem, levels: task.levels) { part in
      let forecasts = try forecasts(problem, problem.origins(part))
      standIns = forecasts.standIns
      return (forecasts.quantiles, forecasts.means)
    }
    return (scores, standIns)
  }

  /// Milliseconds of one forecast, as a rough median.
  func latency(_ problem: SeriesProblem) -> Double? {
    guard let index = fitted.firstIndex(where: { $0 != nil }), let baseline = fitted[index] else {
      return nil
    }
    let values = problem.table.series[index].values
    let times = (0..<5).compactMap { _ -> Double? in
      let start = ContinuousClock.now
      guard (try? baseline.forecast(values[...], task: task)) != nil else { return nil }
      return (ContinuousClock.now - start).seconds * 1e3
    }.sorted()
    return times.isEmpty ? nil : times[times.count / 2]
  }
}
