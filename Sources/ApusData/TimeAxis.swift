/// One column of the time of a row, and what it says.
struct TimePart: Equatable, Sendable {
  /// The column.
  var column: Int
  /// What its cells say.
  var role: TableFormat.TimeRole
}

/// Where the stamps of rows come from: one column, or several together.
enum TimeAxis: Equatable, Sendable {
  /// Columns that make a moment, such as a date, a date and a clock, or a year and a month.
  case moments([TimePart])
  /// A column of whole numbers that count steps.
  case ordinal(column: Int)
  /// None: the order of the rows.
  case rowOrder

  /// Whether stamps are moments and not counts.
  var hasClock: Bool { if case .moments = self { true } else { false } }

  /// The columns that stamps are read from, in their order.
  var columns: [Int] {
    switch self {
    case .moments(let parts): parts.map(\.column)
    case .ordinal(let column): [column]
    case .rowOrder: []
    }
  }
}

extension [TimePart] {
  /// The moment that the cells of a row give together; nil where one of them does not fit.
  ///
  /// - Parameters:
  ///   - months: The language of names of months.
  ///   - cell: A trimmed cell by its column.
  /// - Returns: What the row says; nil for a cell that does not fit.
  func parse(months: MonthNames, cell: (Int) -> ArraySlice<UInt8>) -> ParsedDate? {
    if count == 1, case .date(let style) = self[0].role {
      return DateScanner.parse(cell(self[0].column), as: style, months: months)
    }
    var sum = TimeSum()
    for part in self where !sum.add(part.role, cell(part.column), months: months) { return nil }
    return sum.date
  }

  /// An example of what is read, to show to people.
  var example: String { map(\.role.example).joined(separator: " and ") }
}

/// A moment that is put together from parts.
struct TimeSum {
  private var base: ParsedDate?
  private var year: Int?
  private var month = 1
  private var day = 1
  private var week: Int?
  private var yearDay: Int?
  private var seconds = 0
  private var nanoseconds = 0

  /// Takes in a cell; false where it does not fit its role.
  mutating func add(
    _ role: TableFormat.TimeRole, _ cell: ArraySlice<UInt8>, months: MonthNames
  ) -> Bool {
    switch role {
    case .date(let style):
      base = DateScanner.parse(cell, as: style, months: months)
      return base != nil
    case .clock:
      guard let clock = DateScanner.clock(cell) else { return false }
      seconds += clock.seconds
      nanoseconds += clock.nanosecond
      return true
    case .month:
      if let number = Self.number(cell), (1...12).contains(number) {
        month = number
        return true
      }
      var scanner = DateScanner(cell, months: months)
      guard let word = scanner.word(), let found = months.month(word) else { return false }
      month = found
      return true
    default:
      guard let number = Self.number(cell), role.range.contains(number) else { return false }
      take(role, number)
      return true
    }
  }

  private mutating func take(_ role: TableFormat.TimeRole, _ number: Int) {
    switch role {
    case .hour: seconds += number * 3_600
    case .minute: seconds += number * 60
    case .second: seconds += number
    case .slot(let perDay): seconds += (number - 1) * 86_400 / max(1, perDay)
    case .year: year = number
    case .quarter: month = number * 3 - 2
    case .day: day = number
    case .week: week = number
    case .yearDay: yearDay = number
    case .date, .clock, .month: break
    }
  }

  /// The moment; nil where there is no such day.
  var date: ParsedDate? {
    var start = base
    if start == nil, let year {
      if let week {
        start = DateScanner.monday(ofWeek: week, in: year)
      } else if let yearDay {
        start = DateScanner.day(yearDay, of: year)
      } else {
        start = Timestamp(year: year, month: month, day: day).map { ParsedDate(local: $0) }
      }
    }
    guard var start else { return nil }
    let local = start.local
    start.local = Timestamp(
      secondsSinceEpoch: local.secondsSinceEpoch &+ Int64(seconds),
      nanosecond: Int(local.nanosecond)
    ).adding(nanoseconds: nanoseconds)
    return start
  }

  /// A small whole number, with letters before it (`Q1`, `HE07`) or a fraction of zero behind it left out.
  static func number(_ cell: ArraySlice<UInt8>) -> Int? {
    var text = cell
    while let first = text.first, lowercaseLetter(first) != nil { text = text.dropFirst() }
    let digits = text.prefix { digitValue($0) != nil }
    guard (1...6).contains(digits.count) else { return nil }
    let rest = text.dropFirst(digits.count)
    guard rest.isEmpty || (rest.first == 0x2E && rest.dropFirst().allSatisfy { $0 == 0x30 }) else {
      return nil
    }
    return digits.reduce(0) { $0 * 10 + Int($1) - 0x30 }
  }
}
