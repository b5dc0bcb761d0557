public import ApusData

/// The origins of one part of a table, grouped by date.
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
  ///   - isJudged: Whether a series counts, by its number. Default: all do.
  public init(
    _ table: SeriesTable, split: Split, part: Split.Part,
    where isJudged: (_ series: Int) -> Bool = { _ in true }
  ) {
    var origins: [(Int, Int)] = []
    var ranges: [Range<Int>] = []
    for series in table.series.indices {
      let start = origins.count
      let values = table.series[series].values
      if isJudged(series), let first = values.firstIndex(where: \.isFinite) {
        origins += split.origins(part, series: series, lookBack: 1).filter { row in
          row >= first && values[row + 1...row + split.horizon].contains(where: \.isFinite)
        }.map { (series, $0) }
      }
      ranges.append(start..<origins.count)
    }
    self.ranges = ranges
    // Rows without a clock meet at the same distance from the start of the part.
    let hasClock = table.cadence.frequency != .steps
    let keys = origins.map { series, row in
      hasClock
        ? table.series[series].timestamps[row].secondsSinceEpoch
        : Int64(row - split.rows(part, series: series).lowerBound)
    }
    let sorted = Set(keys).sorted()
    let index = Dictionary(uniqueKeysWithValues: sorted.enumerated().map { ($1, $0) })
    all = zip(origins, keys).map { origin, key in
      Origin(series: origin.0, row: origin.1, date: index[key] ?? 0)
    }
    dates = sorted.count
  }
}
