/// How a table is written, as it was decided from a whole file: another file of its kind, or a live
/// table of which only the first row is known, is read the same way with it.
///
/// Columns are named, so that their order may differ.
public struct TableFormat: Sendable, Equatable {
  /// Where stamps come from.
  public enum Time: Sendable, Equatable {
    /// A column of dates of one style, and one of times of day where they stand apart.
    case dates(column: String, style: DateStyle, timeOfDay: String?)
    /// Several columns that make a moment, such as year and month, or date and hour.
    case parts([Part])
    /// A column of whole numbers that count steps.
    case ordinal(column: String)
    /// The names of the columns, of a table with a series a row; nil where these are numbered.
    case header(style: DateStyle?)
    /// None: the order of the rows.
    case rowOrder
  }

  /// One column of a time that several make.
  public struct Part: Codable, Sendable, Equatable {
    /// Its name.
    public var column: String
    /// What its cells say.
    public var role: TimeRole

    /// Puts the two together.
    public init(column: String, role: TimeRole) { (self.column, self.role) = (column, role) }
  }

  /// What a column says about the time of its rows.
  public enum TimeRole: Codable, Sendable, Equatable {
    /// A date, with or without a time of day.
    case date(DateStyle)
    /// A time of day, such as 13:05.
    case clock
    /// The hour, 0 to 23; or 1 to 24, which is the moment at which the hour ends.
    case hour
    /// The minute, 0 to 59.
    case minute
    /// The second, 0 to 59.
    case second
    /// The number from 1 of one of so many equal parts of a day, which it stands at the start of.
    case slot(perDay: Int)
    /// The year.
    case year
    /// The month, 1 to 12, or its name.
    case month
    /// The quarter, 1 to 4.
    case quarter
    /// The day of the month, 1 to 31.
    case day
    /// The week of ISO 8601, 1 to 53.
    case week
    /// The day of the year, 1 to 366.
    case yearDay
  }

  /// Where stamps come from.
  public var time: Time
  /// Whether times that carry a zone are moved to Coordinated Universal Time; otherwise they stay those of
  /// their place.
  public var isUniversal: Bool
  /// The columns that name series, which together name one; empty without any.
  public var series: [String]
  /// The columns that are forecast.
  public var targets: [String]
  /// The columns beside them.
  public var covariates: [String]
  /// How most numbers are written, and which words stand for a missing one.
  public var numbers: NumberStyle
  /// How the numbers of the columns are written that differ from ``numbers``, by name.
  public var styles: [String: NumberStyle] = [:]
  /// The language of names of months, where it is not English.
  public var locale: String?
  /// What the columns are called, of a file that does not name them; nil for one that does.
  public var columns: [String]?
  /// The classes of the columns of words that were kept, by name.
  public var categories: [String: [String]] = [:]
}

extension TableFormat {
  /// How its dates are written; nil without dates.
  var dateStyle: DateStyle? {
    switch time {
    case .dates(_, let style, _): return style
    case .header(let style): return style
    case .parts(let parts):
      for part in parts { if case .date(let style) = part.role { return style } }
      return nil
    case .ordinal, .rowOrder: return nil
    }
  }

  var isRowPerSeries: Bool { if case .header = time { true } else { false } }

  /// Whether the day comes before the month; nil where the style leaves no doubt.
  var dayFirst: Bool? {
    switch dateStyle {
    case .dayMonthYear: true
    case .monthDayYear: false
    default: nil
    }
  }

  /// The classes of a column of words, as training found them; nil where it was none.
  func category(_ column: String) -> CategoryColumn? {
    let wanted = normalizedName(column)
    return categories.first { normalizedName($0.key) == wanted }.map {
      CategoryColumn(name: $0.key, classes: $0.value)
    }
  }

  /// How the numbers of a column are written.
  func style(of column: String) -> NumberStyle {
    if let exact = styles[column] { return exact }
    let wanted = normalizedName(column)
    return styles.first { normalizedName($0.key) == wanted }?.value ?? numbers
  }
}

extension TableFormat.TimeRole {
  /// The numbers that can stand in such a column.
  var range: ClosedRange<Int> {
    switch self {
    case .hour: 0...25
    case .minute, .second: 0...59
    case .slot(let perDay): 1...(max(1, perDay) * 25 / 24 + 1)
    case .year: 1000...2999
    case .month: 1...12
    case .quarter: 1...4
    case .day: 1...31
    case .week: 1...53
    case .yearDay: 1...366
    case .date, .clock: 0...0
    }
  }

  /// An example to show to people.
  var example: String {
    switch self {
    case .date(let style): style.example
    case .clock: "13:05"
    case .hour: "an hour"
    case .minute: "a minute"
    case .second: "a second"
    case .slot(let perDay): "one of \(perDay) parts of a day"
    case .year: "a year"
    case .month: "a month"
    case .quarter: "a quarter"
    case .day: "a day"
    case .week: "a week"
    case .yearDay: "a day of the year"
    }
  }
}

extension TableFormat: Codable {
  private enum CodingKeys: String, CodingKey {
    case time, isUniversal, series, targets, covariates, numbers, styles, locale, columns,
      categories
  }

  /// Reads a stored format, that of earlier versions included, which knew one column of names.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    time = try keys.decode(Time.self, forKey: .time)
    isUniversal = try keys.decode(Bool.self, forKey: .isUniversal)
    if let one = try? keys.decode(String.self, forKey: .series) {
      series = [one]
    } else {
      series = try keys.decodeIfPresent([String].self, forKey: .series) ?? []
    }
    targets = try keys.decode([String].self, forKey: .targets)
    covariates = try keys.decode([String].self, forKey: .covariates)
    numbers = try keys.decode(NumberStyle.self, forKey: .numbers)
    styles = try keys.decodeIfPresent([String: NumberStyle].self, forKey: .styles) ?? [:]
    locale = try keys.decodeIfPresent(String.self, forKey: .locale)
    columns = try keys.decodeIfPresent([String].self, forKey: .columns)
    categories = try keys.decodeIfPresent([String: [String]].self, forKey: .categories) ?? [:]
  }

  /// Writes what differs from the usual, and one column of names as earlier versions did.
  public func encode(to encoder: any Encoder) throws {
    var keys = encoder.container(keyedBy: CodingKeys.self)
    try keys.encode(time, forKey: .time)
    try keys.encode(isUniversal, forKey: .isUniversal)
    if series.count == 1 {
      try keys.encode(series[0], forKey: .series)
    } else if series.count > 1 {
      try keys.encode(series, forKey: .series)
    }
    try keys.encode(targets, forKey: .targets)
    try keys.encode(covariates, forKey: .covariates)
    try keys.encode(numbers, forKey: .numbers)
    if !styles.isEmpty { try keys.encode(styles, forKey: .styles) }
    try keys.encodeIfPresent(locale, forKey: .locale)
    try keys.encodeIfPresent(columns, forKey: .columns)
    if !categories.isEmpty { try keys.encode(categories, forKey: .categories) }
  }
}

extension TableFormat.Time: Codable {
  private enum CodingKeys: String, CodingKey { case dates, parts, ordinal, header, rowOrder }
  private enum Facts: String, CodingKey { case column, style, timeOfDay, columns, roles }

  /// Reads a stored time; of parts, earlier versions kept the columns of year, month, day and hour alone.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    if keys.contains(.dates) {
      let facts = try keys.nestedContainer(keyedBy: Facts.self, forKey: .dates)
      self = .dates(
        column: try facts.decode(String.self, forKey: .column),
        style: try facts.decode(DateStyle.self, forKey: .style),
        timeOfDay: try facts.decodeIfPresent(String.self, forKey: .timeOfDay))
    } else if keys.contains(.parts) {
      let facts = try keys.nestedContainer(keyedBy: Facts.self, forKey: .parts)
      let columns = try facts.decode([String].self, forKey: .columns)
      let roles =
        try facts.decodeIfPresent([TableFormat.TimeRole].self, forKey: .roles)
        ?? Array([.year, .month, .day, .hour].prefix(columns.count))
      self = .parts(zip(columns, roles).map { TableFormat.Part(column: $0, role: $1) })
    } else if keys.contains(.ordinal) {
      let facts = try keys.nestedContainer(keyedBy: Facts.self, forKey: .ordinal)
      self = .ordinal(column: try facts.decode(String.self, forKey: .column))
    } else if keys.contains(.header) {
      let facts = try keys.nestedContainer(keyedBy: Facts.self, forKey: .header)
      self = .header(style: try facts.decodeIfPresent(DateStyle.self, forKey: .style))
    } else {
      try keys.require(keys.contains(.rowOrder), .rowOrder, "a known kind of time is expected")
      self = .rowOrder
    }
  }

  /// Writes the time, by the name of its kind.
  public func encode(to encoder: any Encoder) throws {
    var keys = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .dates(let column, let style, let timeOfDay):
      var facts = keys.nestedContainer(keyedBy: Facts.self, forKey: .dates)
      try facts.encode(column, forKey: .column)
      try facts.encode(style, forKey: .style)
      try facts.encodeIfPresent(timeOfDay, forKey: .timeOfDay)
    case .parts(let parts):
      var facts = keys.nestedContainer(keyedBy: Facts.self, forKey: .parts)
      try facts.encode(parts.map(\.column), forKey: .columns)
      try facts.encode(parts.map(\.role), forKey: .roles)
    case .ordinal(let column):
      var facts = keys.nestedContainer(keyedBy: Facts.self, forKey: .ordinal)
      try facts.encode(column, forKey: .column)
    case .header(let style):
      var facts = keys.nestedContainer(keyedBy: Facts.self, forKey: .header)
      try facts.encodeIfPresent(style, forKey: .style)
    case .rowOrder:
      _ = keys.nestedContainer(keyedBy: Facts.self, forKey: .rowOrder)
    }
  }
}
