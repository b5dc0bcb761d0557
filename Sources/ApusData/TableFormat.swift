/// How a table is written, as it was decided from a whole file: another file of its kind, or a live
/// table of which only the first row is known, is read the same way with it.
///
/// Columns are named, so that their order may differ.
public struct TableFormat: Codable, Sendable, Equatable {
  /// Where stamps come from.
  public enum Time: Codable, Sendable, Equatable {
    /// A column of dates of one style, and one of times of day where they stand apart.
    case dates(column: String, style: DateStyle, timeOfDay: String?)
    /// Year, month and further parts in columns of their own.
    case parts(columns: [String])
    /// A column of whole numbers that count steps.
    case ordinal(column: String)
    /// The names of the columns, of a table with a series a row; nil where these are numbered.
    case header(style: DateStyle?)
    /// None: the order of the rows.
    case rowOrder
  }

  /// Where stamps come from.
  public var time: Time
  /// Whether times that carry a zone are moved to Coordinated Universal Time; otherwise they stay those of
  /// their place.
  public var isUniversal: Bool
  /// The column that names series; nil without one.
  public var series: String?
  /// The columns that are forecast.
  public var targets: [String]
  /// The columns beside them.
  public var covariates: [String]
  /// How numbers are written, and which words stand for a missing one.
  public var numbers: NumberStyle
}

extension TableFormat {
  /// How its dates are written; nil without dates.
  var style: DateStyle? {
    switch time {
    case .dates(_, let style, _): style
    case .header(let style): style
    case .parts, .ordinal, .rowOrder: nil
    }
  }

  var isRowPerSeries: Bool { if case .header = time { true } else { false } }

  /// Whether the day comes before the month; nil where the style leaves no doubt.
  var dayFirst: Bool? {
    switch style {
    case .dayMonthYear: true
    case .monthDayYear: false
    default: nil
    }
  }
}

extension Cadence {
  /// Whether stamps can be those of rows that follow each other like this: a table of another frequency
  /// asks another question.
  ///
  /// A few rows may show no frequency, and days that rest at no weekend may be working days yet.
  ///
  /// - Parameters:
  ///   - other: How the rows follow each other.
  ///   - stamps: Theirs, in order.
  /// - Returns: False only where the rows cannot follow each other like this.
  public func admits(_ other: Cadence, stamps: [Timestamp]) -> Bool {
    switch (frequency, other.frequency) {
    case (.irregular, let found): found != .steps
    case (.steps, let found): found == .steps
    case (_, .irregular), (.businessDays, .businessDays): true
    case (.businessDays, .days(1)): stamps.allSatisfy { openWeekdays[$0.weekday] }
    case (let one, let found): one == found
    }
  }

  /// Whether a row comes too early after the one before it to be the next: at less than half of a step.
  public func isTooEarly(_ stamp: Timestamp, after last: Timestamp) -> Bool {
    let step: Double =
      switch frequency {
      case .seconds(let seconds): Double(seconds)
      case .businessDays: 86_400
      case .days(let days): Double(days) * 86_400
      case .months(let months): Double(months) * 28 * 86_400
      case .steps, .irregular: 0
      }
    return (Double(stamp.secondsSinceEpoch) - Double(last.secondsSinceEpoch)) * 2 < step
  }
}
