public import ApusData

/// The origins of one part of a table, or one in so many of them, grouped by date.
///
/// Losses of different series at one date depend on each other, so a date, not a forecast, is the unit
/// that tests and intervals count.
public struct ForecastOrigins: Sendable {
  /// One origin: the last row that a forecast may read.
  public struct Origin: Sendable, Hashable {
    /// The series.
    public let series: Int
    /// Its row.
    public let row: Int
    /// The index of its date among all dates of the part.
    public let date: Int
  }

  /// The origins, ordered by series, then by time.
  public let all: [Origin]
  /// The number of dates.
  public let dates: Int
  /// The places in ``all`` of the origins of every series.
  public let ranges: [Range<Int>]

  /// All origins of a part that have at least one target, and a value to forecast from.
  ///
  /// - Parameters:
  ///   - table: The series.
  ///   - split: The parts.
  ///   - part: The part that the targets lie in.
  ///   - stride: One date in so many, from the first on. Default: all.
  ///   - isJudged: Whether a series counts, by its number. Default: all do.
  public init(
    _ table: SeriesTable, split: Split, part: Split.Part, stride: Int = 1,
    where isJudged: (_ series: Int) -> Bool = { _ in true }
  ) {
    var origins: [[Int]] = []
    for series in table.series.indices {
      let values = table.series[series].values
      guard isJudged(series), let first = values.firstIndex(where: \.isFinite) else {
        origins.append([])
        continue
      }
      origins.append(
        split.origins(part, series: series, lookBack: 1).filter { row in
          row >= first && values[row + 1...row + split.horizon].contains(where: \.isFinite)
        })
    }
    // Rows without a clock meet at the same distance from the start of the part.
    let hasClock = table.cadence.frequency != .steps
    func key(_ series: Int, _ row: Int) -> Int64 {
      hasClock
        ? table.series[series].timestamps[row].secondsSinceEpoch
        : Int64(row - split.rows(part, series: series).lowerBound)
    }
    let keys = Set(origins.enumerated().flatMap { series, rows in rows.map { key(series, $0) } })
      .sorted()
    var dates: [Int64: Int] = [:]
    for place in Swift.stride(from: 0, to: keys.count, by: max(1, stride)) {
      dates[keys[place]] = dates.count
    }
    var (all, ranges) = ([Origin](), [Range<Int>]())
    for (series, rows) in origins.enumerated() {
      let start = all.count
      for row in rows {
        guard let date = dates[key(series, row)] else { continue }
        all.append(Origin(series: series, row: row, date: date))
      }
      ranges.append(start..<all.count)
    }
    (self.all, self.ranges, self.dates) = (all, ranges, dates.count)
  }
}
