import ApusModels

/// A baseline at work on a live series. Fitted to rows that are known before, it keeps its parameters;
/// else it is fitted to the rows that come, as soon as they are enough and whenever they have doubled.
struct LiveBaseline {
  private var baseline: Baseline
  private let task: ForecastTask
  private var stream: BaselineStream?
  /// The rows so far, while the baseline is fitted to them.
  private var rows: [Double] = []
  /// The last rows, as many as a snapshot takes along; all of them while the baseline is fitted to them.
  private(set) var recent: [Double] = []
  private var nextFit = 2
  /// Whether its parameters stay, as they rest on enough rows.
  private(set) var isFixed = false
  /// A snapshot holds at least so many of the last rows, and fewer than twice as many.
  private static let mostRecent = 4096

  /// Begins a series.
  ///
  /// - Parameters:
  ///   - baseline: The rule.
  ///   - task: What it is asked.
  ///   - fitting: Rows to fit to; where they are too few, or nil, it is fitted to those that come.
  ///   - taken: Rows of the series so far, NaN where missing.
  /// - Throws: `BaselineError`.
  init(
    _ baseline: Baseline, task: ForecastTask, fitting: [Double]?, _ taken: [Double]
  ) throws {
    (self.baseline, self.task) = (baseline, task)
    if let fitting {
      do { try fit(fitting) } catch BaselineError.historyTooShort {}
    }
    for value in taken { try take(value) }
  }

  private mutating func fit(_ values: [Double]) throws {
    try baseline.fit(values, task: task)
    stream = try baseline.stream(task)
    isFixed = true
  }

  /// Takes in the next value; NaN where it is missing.
  ///
  /// - Throws: `BaselineError` when numbers leave their range.
  mutating func take(_ value: Double) throws {
    stream?.push(value)
    recent.append(value)
    if recent.count >= 2 * Self.mostRecent { recent.removeFirst(Self.mostRecent) }
    guard !isFixed else { return }
    rows.append(value)
    guard rows.count >= nextFit else { return }
    do {
      try baseline.fit(rows, task: task)
      var fresh = try baseline.stream(task)
      for value in rows { fresh.push(value) }
      stream = fresh
      nextFit = 2 * rows.count
    } catch BaselineError.historyTooShort(_, _, let needed) {
      nextFit = max(needed, rows.count + 1)
    }
    // A rule that has seen so many rows is as good as fitted.
    if rows.count >= Model.mostRows { (isFixed, rows) = (true, []) }
  }

  /// What comes next; nil while too few rows are there.
  ///
  /// - Throws: `BaselineError` when numbers leave their range.
  func forecast() throws -> BaselineForecast? {
    do { return try stream?.forecast() } catch BaselineError.nothingBeforeOrigin {
      return nil
    } catch BaselineError.historyTooShort {
      return nil
    }
  }
}
