#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#endif
public import ApusTensor

/// What is known of rows before they come, as numbers of one size: columns such as a promotion or a price, and
/// what follows from the time of a row, holidays and the place in long seasons.
///
/// Stored with the model, so that rows ahead are seen as those of training were.
public struct KnownInputs: Codable, Sendable, Equatable {
  /// The columns, by name, after the measure.
  public let columns: [String]
  /// The holidays; nil for none.
  public let holidays: Holidays?
  /// Means and deviations over the training part, of the columns and then of what follows from the time.
  public let scaler: StandardScaler
  /// How rows follow each other, with the seasons that a person says.
  private let cadence: Cadence

  /// Fits the inputs of a table; nil where there are none.
  ///
  /// A season beside the first one is seen by up to ten sines and cosines of its place, without those that a
  /// shorter season has too (Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd edition,
  /// section 7.4).
  /// - Parameters:
  ///   - table: The series, measured.
  ///   - columns: The columns that are known ahead, which every series has.
  ///   - holidays: The holidays. Default: none.
  ///   - rows: Of each series the rows to fit on.
  public init?(
    fitting table: SeriesTable, columns: [String], holidays: Holidays? = nil, rows: [Range<Int>]
  ) {
    (self.columns, self.holidays, cadence) = (columns, holidays, table.cadence)
    let fromTime = Self.fromTime(Timestamp(secondsSinceEpoch: 0), holidays, table.cadence).count
    guard !columns.isEmpty || fromTime > 0 else { return nil }
    var values = columns.map { name in
      zip(table.series, rows).flatMap { series, rows in
        series.covariate(named: name).map { Array($0[rows]) } ?? []
      }
    }
    if fromTime > 0 {
      let times = zip(table.series, rows).flatMap { series, rows in
        series.timestamps[rows].map { Self.fromTime($0, holidays, table.cadence) }
      }
      values += (0..<fromTime).map { input in times.map { $0[input] } }
    }
    scaler = StandardScaler(fitting: values)
  }

  /// Reads stored inputs; rejects a scaler of others.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    columns = try keys.decode([String].self, forKey: .columns)
    holidays = try keys.decodeIfPresent(Holidays.self, forKey: .holidays)
    scaler = try keys.decode(StandardScaler.self, forKey: .scaler)
    cadence = try keys.decode(Cadence.self, forKey: .cadence)
    let count =
      columns.count + Self.fromTime(Timestamp(secondsSinceEpoch: 0), holidays, cadence).count
    try keys.require(
      scaler.means.count == count, .scaler, "a mean for each of the \(count) inputs is expected")
  }

  /// Numbers of one row, K.
  public var count: Int { scaler.means.count }

  /// The inputs of a row in standard units and within eight of them; 0 where missing.
  ///
  /// - Parameters:
  ///   - values: The columns in order; NaN where missing.
  ///   - stamp: The time of the row.
  /// - Returns: `[K]`.
  public func callAsFunction(_ values: [Double], at stamp: Timestamp) -> [Double] {
    (values + Self.fromTime(stamp, holidays, cadence)).enumerated().map {
      min(max(scaler.scaled($1, column: $0), -8), 8)
    }
  }

  /// What follows from the time of a row.
  private static func fromTime(
    _ stamp: Timestamp, _ holidays: Holidays?, _ cadence: Cadence
  ) -> [Double] {
    var inputs = holidays?.inputs(at: stamp, cadence.frequency) ?? []
    guard !cadence.longerSeasons.isEmpty, let place = cadence.ordinal(of: stamp) else {
      return inputs
    }
    var shorter = [cadence.seasonLength]
    for season in cadence.longerSeasons {
      for turns in 1...max(1, min(10, season / 2))
      where !shorter.contains(where: { $0 * turns % season == 0 }) {
        let phase = Double(((place % season) * turns) % season) / Double(season)
        inputs += [sin(2 * .pi * phase), cos(2 * .pi * phase)]
      }
      shorter.append(season)
    }
    return inputs
  }
}

/// The columns of rows ahead, as far as they are known.
public struct RowsAhead: Sendable, Equatable {
  /// The times, in order.
  public var stamps: [Timestamp]
  /// For each time one number for each column that is known ahead.
  public var columns: [[Double]]

  /// Puts the two together.
  public init(stamps: [Timestamp] = [], columns: [[Double]] = []) {
    (self.stamps, self.columns) = (stamps, columns)
  }

  /// Nothing is known.
  public static let unknown = RowsAhead()
}

extension TimeSeries {
  /// What the series knows of columns at given times, in its rows and in its future.
  ///
  /// - Parameters:
  ///   - names: The columns.
  ///   - stamps: The times, in order.
  /// - Returns: A number for each time and column.
  /// - Throws: ``KnownFutureError`` for the first that is not there.
  public func rowsAhead(
    _ names: [String], at stamps: [Timestamp]
  ) throws(KnownFutureError) -> RowsAhead {
    let past = names.map { covariate(named: $0) }
    let ahead = names.map { future.covariate(named: $0) }
    var rows = RowsAhead(stamps: stamps)
    for stamp in stamps {
      var numbers: [Double] = []
      let place = Self.place(of: stamp, in: future.timestamps)
      let row = place == nil ? Self.place(of: stamp, in: timestamps) : nil
      for (column, name) in names.enumerated() {
        let number = place.flatMap { ahead[column]?[$0] } ?? row.flatMap { past[column]?[$0] }
        guard let number, number.isFinite else {
          throw KnownFutureError(column: name, series: id, time: stamp)
        }
        numbers.append(number)
      }
      rows.columns.append(numbers)
    }
    return rows
  }

  /// Where a time stands among rising ones.
  private static func place(of stamp: Timestamp, in stamps: [Timestamp]) -> Int? {
    var (low, high) = (0, stamps.count)
    while low < high {
      let middle = (low + high) / 2
      if stamps[middle] < stamp { low = middle + 1 } else { high = middle }
    }
    return low < stamps.count && stamps[low] == stamp ? low : nil
  }
}

extension KnownFuture {
  /// The column of that name, whatever the case of its letters.
  public func covariate(named name: String) -> [Double]? {
    let wanted = normalizedName(name)
    return covariates.first { normalizedName($0.name) == wanted }?.values
  }
}

/// A number that should be known ahead is not there.
public struct KnownFutureError: Error, Equatable, Sendable {
  /// The column.
  public var column: String
  /// The series.
  public var series: String
  /// The first time without a number.
  public var time: Timestamp

  /// Names what is missing.
  public init(column: String, series: String, time: Timestamp) {
    (self.column, self.series, self.time) = (column, series, time)
  }
}

extension KnownFutureError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    """
    Column '\(column)' of series '\(series)' has no number at \(time), but it was named as known ahead. Add \
    that row with its time and without a value of the target, or give it with --future-data.
    """
  }
}

extension SeriesTable {
  /// Reads columns that are known ahead from a table that need not have the target.
  ///
  /// - Parameters:
  ///   - path: A CSV with times, names where there are several series, and the columns.
  ///   - columns: The columns.
  ///   - options: What is known about the file.
  /// - Throws: ``SeriesError``.
  package init(
    readingKnownAt path: String, columns: [String], options: SeriesOptions
  ) throws(SeriesError) {
    var options = options
    (options.hasTarget, options.covariates, options.future) = (false, [], columns)
    try self.init(readingCSVAt: path, options: options)
  }

  /// The same series with the rows ahead that another table has of them.
  ///
  /// A series finds its own by name, and the only one of a table that of another.
  /// - Parameter known: Rows with the columns beside the target.
  /// - Returns: Rows of `known` after the last of each series are its future; others are left.
  public func withFuture(_ known: SeriesTable) -> SeriesTable {
    var result = self
    let own = Dictionary(known.series.map { ($0.id, $0) }, uniquingKeysWith: { one, _ in one })
    for index in result.series.indices {
      let series = result.series[index]
      let isOnly = result.series.count == 1 && known.series.count == 1
      guard let other = own[series.id] ?? (isOnly ? known.series.first : nil) else { continue }
      result.series[index].future = series.future.joined(
        other, columns: series.covariates.map(\.name), after: series.timestamps.last)
    }
    return result
  }
}

extension KnownFuture {
  /// The rows of both after a time; where both have a number, that of the other counts.
  fileprivate func joined(
    _ other: TimeSeries, columns: [String], after last: Timestamp?
  ) -> KnownFuture {
    var result = KnownFuture()
    result.timestamps = Set(timestamps + other.timestamps).sorted()
      .filter { stamp in last.map { stamp > $0 } ?? true }
    let (mine, theirs) = (Self.places(timestamps), Self.places(other.timestamps))
    result.covariates = columns.map { name in
      let (old, new) = (covariate(named: name), other.covariate(named: name))
      return Covariate(
        name: name,
        values: result.timestamps.map { stamp in
          let number = theirs[stamp].flatMap { new?[$0] } ?? .nan
          return number.isFinite ? number : mine[stamp].flatMap { old?[$0] } ?? .nan
        })
    }
    return result
  }

  private static func places(_ stamps: [Timestamp]) -> [Timestamp: Int] {
    Dictionary(stamps.enumerated().map { ($1, $0) }, uniquingKeysWith: { one, _ in one })
  }
}
