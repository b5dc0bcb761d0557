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
    let count = problem.table.series.count
    var (fitted, first) = ([Baseline?](), String?.none)
    while fitted.count < count {
      try Task.checkCancellation()
      let done = fitted.count
      let part = sideBySide(min(Self.atOnce, count - done)) { place in
        Self.fitted(prototype, problem, series: done + place)
      }
      fitted += part.map(\.baseline)
      first = first ?? part.lazy.compactMap(\.problem).first
      let spent = (ContinuousClock.now - start).seconds
      let expected = spent / Double(fitted.count) * Double(count)
      // Far too long is seen sooner than a little too long.
      if let limit,
        spent > limit / 10 && expected > 1.2 * limit
          || spent > limit / 40 && expected > 3 * limit
      {
        first =
          "It would take some \(shortNumber(expected.rounded())) s to fit, more than the budget of "
          + "\(shortNumber(limit)) s; give more with --budget."
        fitted = [Baseline?](repeating: nil, count: count)
      }
    }
    self.fitted = fitted
    if fitted.allSatisfy({ $0 == nil }) {
      failure = first ?? "No series has a value to learn from."
    }
    seconds = (ContinuousClock.now - start).seconds
  }

  /// The mean of baselines that are fitted already; a series that one of them cannot forecast has none.
  ///
  /// - Parameter members: At least one.
  init(meanOf members: [SeriesBaseline]) {
    (name, task) = (members.map(\.name).joined(separator: "+"), members[0].task)
    fitted = members[0].fitted.indices.map { series in
      let parts = members.compactMap { $0.fitted[series] }
      return parts.count == members.count ? .combination(parts) : nil
    }
    seconds = members.reduce(0) { $0 + $1.seconds }
    if fitted.allSatisfy({ $0 == nil }) { failure = "No series can be forecast by all of them." }
  }

  /// Series between looks at the clock and at cancellation.
  private static var atOnce: Int { 2 * max(1, Machine.threads) }

  /// The baseline of one series, or what is wrong; neither where there is nothing to fit to.
  private static func fitted(
    _ prototype: Baseline, _ problem: SeriesProblem, series: Int
  ) -> (baseline: Baseline?, problem: String?) {
    guard problem.naive[series] != nil else { return (nil, nil) }
    var baseline = prototype
    do {
      try baseline.fit(
        Array(problem.rest(series)[problem.split.fittingRows(series: series)]), task: problem.task)
      return (baseline, nil)
    } catch { return (nil, "\(error)") }
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
