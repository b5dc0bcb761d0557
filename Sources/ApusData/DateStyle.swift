/// The format of dates in a column. Found for a whole column, never cell by cell.
public enum DateStyle: String, Codable, Sendable, CaseIterable {
  /// `2015-12-31`, `2015/1/2`, `2015.12.31`, with or without a time and a zone.
  case yearMonthDay
  /// `31.12.2015`, `31/12/2015`, `31-12-15`.
  case dayMonthYear
  /// `12/31/2015`, `12-31-15`.
  case monthDayYear
  /// `15-12-31`, `15/12/31`: a year of two digits first.
  case shortYearMonthDay
  /// `20151231`, `20151231 1305`, `20151231T130500`, `2015123113`, `20151231130500`.
  case compact
  /// `Jan 2 1999`, `2 January 1999`, `02-Jan-99`, `Mon, 02 Jan 2006 15:04:05 GMT`, `Jan 2006`.
  case monthName
  /// `2015-12`, `2015/12`, `12/2015`, `201512`, `2015M12`.
  case yearMonth
  /// `2015Q4`, `2015-Q4`, `2015:Q4`, `Q4 2015`, `4Q2015`; the first day of the quarter.
  case quarter
  /// `2015H2`, `2015-S2`; the first day of the half-year.
  case halfYear
  /// `2015-W53`, `2015W53`, `W53 2015`, `2015-W53-4`; the Monday of the week without a day.
  case isoWeek
  /// `2015-365`, `2015365`: the day of the year.
  case yearDay
  /// `2015`; the first day of the year.
  case year
  /// Days since 1899-12-30, as spreadsheets count: `42369`, `42369.5`, to the nearest second.
  case excelDays
  /// Seconds since 1970, as `1451606400` or `1451606400.25`.
  case epochSeconds
  /// Milliseconds since 1970.
  case epochMilliseconds
  /// Microseconds since 1970.
  case epochMicroseconds
  /// Nanoseconds since 1970.
  case epochNanoseconds
  /// Seconds to nanoseconds since 1970, the unit told from the size of each number.
  case epochAnyUnit

  /// An example to show to people.
  public var example: String {
    switch self {
    case .yearMonthDay: "2015-12-31"
    case .dayMonthYear: "31/12/2015"
    case .monthDayYear: "12/31/2015"
    case .shortYearMonthDay: "15-12-31"
    case .compact: "20151231"
    case .monthName: "Dec 31 2015"
    case .yearMonth: "2015-12"
    case .quarter: "2015Q4"
    case .halfYear: "2015H2"
    case .isoWeek: "2015-W53"
    case .yearDay: "2015-365"
    case .year: "2015"
    case .excelDays: "42369, days since 1899-12-30"
    case .epochSeconds: "seconds since 1970"
    case .epochMilliseconds: "milliseconds since 1970"
    case .epochMicroseconds: "microseconds since 1970"
    case .epochNanoseconds: "nanoseconds since 1970"
    case .epochAnyUnit: "seconds, milliseconds and the like since 1970"
    }
  }

  /// Parses one date written in this style; nil for anything else. A zone moves the stamp to Coordinated
  /// Universal Time.
  public func parse(_ text: some StringProtocol) -> Timestamp? {
    DateScanner.parse(Array(text.utf8)[...], as: self)?.universal
  }

  /// Whether the cells are bare numbers, so that only the column's name or shape tells they are dates.
  var isBareNumber: Bool {
    switch self {
    case .year, .excelDays, .epochSeconds, .epochMilliseconds, .epochMicroseconds,
      .epochNanoseconds, .epochAnyUnit, .compact, .yearDay:
      true
    default: false
    }
  }

  /// Numbers parted by marks, whose order the whole column tells.
  var isNumericDate: Bool {
    switch self {
    case .dayMonthYear, .monthDayYear, .shortYearMonthDay: true
    default: false
    }
  }

  /// Whether a time of day can stand in another column: the cells are days.
  var isOfDays: Bool {
    switch self {
    case .yearMonthDay, .dayMonthYear, .monthDayYear, .shortYearMonthDay, .compact, .monthName,
      .yearDay, .excelDays:
      true
    default: false
    }
  }
}
