public import ApusTensor
public import Foundation

extension Timestamp {
  /// The whole second of a date, within the years 1 to 9999; the start of 1970 for one that is no number.
  public init(_ date: Date) {
    let seconds = date.timeIntervalSince1970.rounded(.down)
    let sane = seconds.isNaN ? 0 : min(max(seconds, -62_135_596_800), 253_402_300_799)
    self.init(secondsSinceEpoch: Int64(sane))
  }

  /// The same moment for Foundation.
  public var date: Date { Date(timeIntervalSince1970: Double(secondsSinceEpoch)) }
}

extension TimeSeries {
  /// Creates a series of dates and numbers.
  ///
  /// - Parameters:
  ///   - id: Name of the series. Default: "value".
  ///   - dates: In ascending order, no two within one second.
  ///   - values: One for each date; NaN where missing.
  /// - Throws: ``DatesError``.
  public init(_ id: String = "value", dates: [Date], values: [Double]) throws(DatesError) {
    guard dates.count == values.count else {
      throw .otherCount(dates: dates.count, values: values.count)
    }
    self.init(id: id, timestamps: try ascending(dates), values: values)
  }
}

extension KnownFuture {
  /// Creates rows ahead of dates and numbers.
  ///
  /// - Parameters:
  ///   - dates: In ascending order, no two within one second, after the last row of the series.
  ///   - covariates: What is known of them, one number for each date; NaN where missing.
  /// - Throws: ``DatesError``.
  public init(dates: [Date], covariates: [Covariate]) throws(DatesError) {
    for column in covariates where column.values.count != dates.count {
      throw .otherCount(dates: dates.count, values: column.values.count)
    }
    self.init()
    timestamps = try ascending(dates)
    self.covariates = covariates
  }
}

/// Dates as stamps, each after the one before it.
private func ascending(_ dates: [Date]) throws(DatesError) -> [Timestamp] {
  let stamps = dates.map { Timestamp($0) }
  for (place, pair) in zip(stamps, stamps.dropFirst()).enumerated() where pair.0 >= pair.1 {
    throw .notAscending(place: place + 1, found: pair.1, before: pair.0)
  }
  return stamps
}

/// Why dates and numbers make no series.
public enum DatesError: Error, Equatable, Sendable {
  /// There is not one number for each date.
  case otherCount(dates: Int, values: Int)
  /// A date does not lie after the one before it.
  case notAscending(place: Int, found: Timestamp, before: Timestamp)
}

extension DatesError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .otherCount(let dates, let values):
      "Found \(dates) dates and \(values) values, expected one value for each date."
    case .notAscending(let place, let found, let before):
      """
      Date number \(place) is \(found), but it must lie after \(before), the date before it. Sort the \
      rows by time, and keep one of each.
      """
    }
  }
}
