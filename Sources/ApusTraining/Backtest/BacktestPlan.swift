import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor

/// From where a backtest forecasts, and which rows it may fit to before.
struct BacktestPlan {
  /// A series at an origin.
  struct Window {
    let series: Int
    /// The last row that a forecast reads.
    let row: Int
    /// The place of the origin among all.
    let date: Int
  }

  /// The measured series.
  let table: SeriesTable
  let horizon: Int
  /// Windows, by origin in time.
  let origins: [[Window]]
  /// Rows between origins.
  let step: Int
  /// Of each origin, how many rows of each series may be fitted to.
  private let known: [[Int]]

  /// Plans the origins.
  ///
  /// - Throws: ``ComparisonError/nothingToJudge(part:)`` where no series has rows before and after one.
  init(_ table: SeriesTable, horizon: Int, options: BacktestOptions) throws {
    (self.table, self.horizon) = (table, horizon)
    step = options.step ?? horizon
    let hasClock = table.cadence.frequency != .steps
    let axis = hasClock ? Set(table.series.flatMap(\.timestamps)).sorted() : []
    let length = hasClock ? axis.count : table.series.map(\.count).max() ?? 0
    let last = length - 1 - horizon
    let first = max(1, length - max(horizon, Int(options.test * Double(length))) - 1)
    var places = last >= first ? Array(stride(from: last, through: first, by: -step)) : []
    if let windows = options.windows { places = Array(places.prefix(windows)) }
    var (origins, known) = ([[Window]](), [[Int]]())
    for place in places.reversed() {
      /// How many rows a series has up to a place of the axis.
      func rows(_ series: TimeSeries, upTo place: Int) -> Int {
        guard hasClock else { return max(0, place + 1 - (length - series.count)) }
        guard place >= 0 else { return 0 }
        return place + 1 < axis.count ? series.rows(before: axis[place + 1]) : series.count
      }
      let windows = table.series.enumerated().compactMap { number, series -> Window? in
        let row = rows(series, upTo: place) - 1
        guard row >= 0, row + 1 < series.count, !hasClock || series.timestamps[row] == axis[place]
        else { return nil }
        return Window(series: number, row: row, date: origins.count)
      }
      guard !windows.isEmpty else { continue }
      origins.append(windows)
      known.append(table.series.map { rows($0, upTo: place - options.training.embargo) })
    }
    guard !origins.isEmpty else { throw ComparisonError.nothingToJudge(part: "test") }
    (self.origins, self.known) = (origins, known)
  }

  /// Origins that are forecast after one fit.
  func folds(refitEvery count: Int?) -> [Range<Int>] {
    guard let count, count > 0 else { return [origins.indices] }
    return stride(from: 0, to: origins.count, by: count).map {
      $0..<min($0 + count, origins.count)
    }
  }

  /// The values of a series that may be fitted to before an origin.
  func training(series: Int, before origin: Int) -> [Double] {
    Array(table.series[series].values.prefix(known[origin][series]))
  }

  /// The series as they were before an origin; those without rows are left out.
  func training(before origin: Int) -> SeriesTable {
    var cut = table
    cut.series = zip(table.series, known[origin]).compactMap { series, count in
      count > 0 ? series.slice(0..<count) : nil
    }
    return cut
  }

  /// The unit of errors of each series, as of a comparison; nil where all have about the same.
  func units(season: Int, measure: Measure) -> [String: Double]? {
    guard measure == .level else { return nil }
    let training = table.series.indices.map { self.training(series: $0, before: 0) }
    guard let units = SeriesProblem.units(training, season: season) else { return nil }
    return Dictionary(
      zip(table.series.map(\.id), units).map { ($0, $1) }, uniquingKeysWith: { one, _ in one })
  }

  /// Rows for every window and step, without forecasts.
  func rows(models: Int) -> [ForecastTable.Row] {
    origins.joined().sorted { ($0.series, $0.row) < ($1.series, $1.row) }.flatMap { window in
      let series = table.series[window.series]
      let end = min(window.row + horizon, series.count - 1)
      return (window.row + 1...end).map { row in
        ForecastTable.Row(
          series: series.id, cutoff: table.cadence.text(series.timestamps[window.row]),
          ds: table.cadence.text(series.timestamps[row]), step: row - window.row,
          date: window.date, actual: series.values[row],
          quantiles: Array(repeating: [], count: models))
      }
    }
  }
}
