/// What one cell said.
struct ParsedDate: Equatable {
  /// The clock as written, without its zone.
  var local: Timestamp
  /// Seconds east of Greenwich, when the cell named a zone.
  var offset: Int?
  /// Digits below the second were dropped.
  var droppedFraction = false
  /// The year had two digits.
  var twoDigitYear = false

  /// The moment in Coordinated Universal Time; the local clock where no zone was named.
  var universal: Timestamp {
    Timestamp(secondsSinceEpoch: local.secondsSinceEpoch - Int64(offset ?? 0))
  }
}

extension Timestamp {
  /// Parses ISO 8601 and its usual relatives: `2015-12-31`, `2015/12/31 13:05`, `20151231`,
  /// `2015-12-31T13:05:00.25+02:00`. A zone moves the stamp to Coordinated Universal Time.
  public init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    for style in [DateStyle.yearMonthDay, .compact] {
      if let parsed = DateScanner.parse(bytes[...], as: style) {
        self = parsed.universal
        return
      }
    }
    return nil
  }
}

/// Reads one date from bytes. Every function leaves `position` after what it has read.
struct DateScanner {
  let bytes: ArraySlice<UInt8>
  var position: Int

  init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
  }

  /// Parses the whole of `cell`, or nothing. Spaces around it are the caller's to trim.
  static func parse(_ cell: ArraySlice<UInt8>, as style: DateStyle) -> ParsedDate? {
    guard !cell.isEmpty, cell.count <= 64 else { return nil }
    var scanner = DateScanner(cell)
    switch style {
    case .yearMonthDay, .dayMonthYear, .monthDayYear: return scanner.numericDate(style)
    case .compact: return scanner.compactDate()
    case .monthName: return scanner.namedDate()
    case .yearMonth: return scanner.yearAndMonth()
    case .quarter: return scanner.yearAndQuarter()
    case .isoWeek: return scanner.isoWeek()
    case .year:
      guard cell.count == 4, let year = scanner.number(4...4)?.value, (1000...2999).contains(year),
        let stamp = Timestamp(year: year, month: 1, day: 1)
      else { return nil }
      return ParsedDate(local: stamp)
    case .epochSeconds: return scanner.epoch(perSecond: 1)
    case .epochMilliseconds: return scanner.epoch(perSecond: 1_000)
    case .epochMicroseconds: return scanner.epoch(perSecond: 1_000_000)
    case .epochNanoseconds: return scanner.epoch(perSecond: 1_000_000_000)
    }
  }

  var isAtEnd: Bool { position >= bytes.endIndex }
  var next: UInt8? { isAtEnd ? nil : bytes[position] }

  mutating func take(_ byte: UInt8) -> Bool {
    guard next == byte else { return false }
    position += 1
    return true
  }

  mutating func skipSpaces() {
    while let byte = next, byte == 0x20 || byte == 0x09 { position += 1 }
  }

  /// A run of digits whose length lies in `digits`; nil, and nothing read, otherwise.
  mutating func number(_ digits: ClosedRange<Int>) -> (value: Int, digits: Int)? {
    var end = position
    var value = 0
    while end < bytes.endIndex, let digit = digitValue(bytes[end]) {
      guard end - position < digits.upperBound else { return nil }
      value = value * 10 + digit
      end += 1
    }
    let count = end - position
    guard digits.contains(count) else { return nil }
    position = end
    return (value, count)
  }

  /// A run of letters in lower case.
  mutating func word() -> String? {
    var letters: [UInt8] = []
    while let byte = next, letters.count < 12, let letter = lowercaseLetter(byte) {
      letters.append(letter)
      position += 1
    }
    return letters.isEmpty ? nil : String(decoding: letters, as: UTF8.self)
  }

  // MARK: Dates

  private mutating func numericDate(_ style: DateStyle) -> ParsedDate? {
    guard let first = number(1...4), let separator = next,
      separator == 0x2D || separator == 0x2F || separator == 0x2E || separator == 0x20
    else { return nil }
    position += 1
    guard let second = number(1...2), take(separator), let third = number(1...4) else { return nil }
    let year: (value: Int, digits: Int)
    let month: Int
    let day: Int
    switch style {
    case .yearMonthDay:
      guard first.digits == 4, third.digits <= 2 else { return nil }
      (year, month, day) = (first, second.value, third.value)
    case .dayMonthYear:
      (year, month, day) = (third, second.value, first.value)
    default:
      (year, month, day) = (third, first.value, second.value)
    }
    guard year.digits == 4 || (year.digits == 2 && first.digits <= 2) else { return nil }
    return finish(
      year: Self.fullYear(year), month: month, day: day, twoDigitYear: year.digits == 2)
  }

  private mutating func compactDate() -> ParsedDate? {
    var digits = 0
    while position + digits < bytes.endIndex, digitValue(bytes[position + digits]) != nil {
      digits += 1
    }
    guard digits == 8 || digits == 12 || digits == 14, let year = fixed(4), let month = fixed(2),
      let day = fixed(2)
    else { return nil }
    guard digits > 8 else { return finish(year: year, month: month, day: day) }
    guard let hour = fixed(2), let minute = fixed(2) else { return nil }
    var second = 0
    if digits == 14 {
      guard let seconds = fixed(2) else { return nil }
      second = seconds
    }
    guard isAtEnd,
      let stamp = Timestamp(
        year: year, month: month, day: day, hour: hour, minute: minute, second: second)
    else { return nil }
    return ParsedDate(local: stamp)
  }

  /// Exactly `count` digits of a longer run.
  private mutating func fixed(_ count: Int) -> Int? {
    guard position + count <= bytes.endIndex else { return nil }
    var value = 0
    for index in position..<position + count {
      guard let digit = digitValue(bytes[index]) else { return nil }
      value = value * 10 + digit
    }
    position += count
    return value
  }

  private mutating func namedDate() -> ParsedDate? {
    var month: Int?
    var numbers: [(value: Int, digits: Int)] = []
    var monthCameAfter = 0
    while !isAtEnd, numbers.count < 3 {
      let start = position
      if let name = word() {
        if let index = Self.monthIndex(name), month == nil {
          month = index
          monthCameAfter = numbers.count
        } else if !Self.isWeekday(name), !["of", "st", "nd", "rd", "th"].contains(name) {
          position = start
          break
        }
      } else if let value = number(1...4) {
        if next == 0x3A {  // a colon: this was the hour
          position = start
          break
        }
        numbers.append(value)
      } else {
        return nil
      }
      while let byte = next,
        byte == 0x20 || byte == 0x2C || byte == 0x2D || byte == 0x2F || byte == 0x2E
      {
        // A dash before digits after a full date is a zone, but a zone follows a time only.
        position += 1
      }
    }
    guard let month else { return nil }
    if numbers.count == 1, numbers[0].digits <= 2, monthCameAfter == 0, !isAtEnd {
      return timeThenYear(month: month, day: numbers[0].value)
    }
    let year: (value: Int, digits: Int)
    var day = 1
    switch numbers.count {
    case 1: year = numbers[0]
    case 2 where numbers[0].digits >= 3: (year, day) = (numbers[0], numbers[1].value)
    case 2: (year, day) = (numbers[1], numbers[0].value)
    default: return nil
    }
    guard year.digits == 4 || year.digits == 2 else { return nil }
    return finish(
      year: Self.fullYear(year), month: month, day: day, twoDigitYear: year.digits == 2,
      spacesTaken: true)
  }

  /// The order of C's `ctime`: `Mon Jan  2 15:04:05 2006`.
  private mutating func timeThenYear(month: Int, day: Int) -> ParsedDate? {
    guard let time = timeOfDay() else { return nil }
    skipSpaces()
    guard let year = number(4...4), isAtEnd,
      let stamp = Timestamp(
        year: year.value, month: month, day: day, hour: time.hour, minute: time.minute,
        second: time.second)
    else { return nil }
    return ParsedDate(local: stamp, droppedFraction: time.fraction)
  }

  private mutating func yearAndMonth() -> ParsedDate? {
    if bytes.count == 6, let year = fixed(4), let month = fixed(2), (1500...2999).contains(year) {
      return first(ofMonth: month, in: year)
    }
    position = bytes.startIndex
    guard let first = number(1...4), let separator = next, [0x2D, 0x2F, 0x2E].contains(separator)
    else { return nil }
    position += 1
    guard let second = number(1...4), isAtEnd else { return nil }
    if first.digits == 4, second.digits <= 2 {
      return self.first(ofMonth: second.value, in: first.value)
    }
    if first.digits <= 2, second.digits == 4 {
      return self.first(ofMonth: first.value, in: second.value)
    }
    return nil
  }

  private func first(ofMonth month: Int, in year: Int) -> ParsedDate? {
    Timestamp(year: year, month: month, day: 1).map { ParsedDate(local: $0) }
  }

  private mutating func yearAndQuarter() -> ParsedDate? {
    var year: Int?
    var quarter: Int?
    while !isAtEnd {
      if let letters = word() {
        guard letters == "q", quarter == nil, let value = number(1...1)?.value else { return nil }
        quarter = value
      } else if let value = number(4...4)?.value, year == nil {
        year = value
      } else {
        return nil
      }
      while let byte = next, byte == 0x20 || byte == 0x2D || byte == 0x2F { position += 1 }
    }
    guard let year, let quarter, (1...4).contains(quarter) else { return nil }
    return first(ofMonth: quarter * 3 - 2, in: year)
  }

  private mutating func isoWeek() -> ParsedDate? {
    guard let year = number(4...4)?.value, (1...9998).contains(year) else { return nil }
    _ = take(0x2D)
    guard word() == "w", let week = number(2...2)?.value, (1...53).contains(week) else {
      return nil
    }
    var weekday = 1
    if take(0x2D) {
      guard let value = number(1...1)?.value, (1...7).contains(value) else { return nil }
      weekday = value
    }
    guard isAtEnd, let fourth = Timestamp(year: year, month: 1, day: 4) else { return nil }
    // The week of 4 January is week 1.
    let monday = fourth.dayNumber - fourth.weekday
    let day = monday + (week - 1) * 7 + weekday - 1
    return ParsedDate(local: Timestamp(secondsSinceEpoch: Int64(day) * 86_400))
  }

  /// A count of ticks since 1970, with an optional fraction; moments from year 1 to 9999.
  private mutating func epoch(perSecond: Int64) -> ParsedDate? {
    let isNegative = take(0x2D)
    guard let count = number(1...18)?.value else { return nil }
    var fraction = false
    if take(0x2E) {
      guard let digits = number(1...12) else { return nil }
      fraction = digits.value != 0
    }
    guard isAtEnd else { return nil }
    let ticks = isNegative ? -Int64(count) : Int64(count)
    let stamp = Timestamp(secondsSinceEpoch: ticks.flooredQuotient(perSecond))
    guard stamp.secondsSinceEpoch.magnitude < 253_402_300_800 else { return nil }
    return ParsedDate(local: stamp, droppedFraction: fraction || ticks % perSecond != 0)
  }

  // MARK: Words

  /// 00 to 68 belong to this century, 69 to 99 to the last, as POSIX reads them.
  private static func fullYear(_ year: (value: Int, digits: Int)) -> Int {
    guard year.digits == 2 else { return year.value }
    return year.value + (year.value < 69 ? 2_000 : 1_900)
  }

  private static let months = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
  ]

  private static func monthIndex(_ name: String) -> Int? {
    if name == "sept" { return 9 }
    return months.firstIndex { $0 == name || (name.count == 3 && $0.hasPrefix(name)) }
      .map { $0 + 1 }
  }

  private static func isWeekday(_ name: String) -> Bool {
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"].contains {
      $0 == name || (name.count >= 3 && $0.hasPrefix(name))
    }
  }
}

/// The value of an ASCII digit.
func digitValue(_ byte: UInt8) -> Int? {
  byte >= 0x30 && byte <= 0x39 ? Int(byte) - 0x30 : nil
}

/// The lower-case form of an ASCII letter, nil for any other byte.
func lowercaseLetter(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 0x41...0x5A: byte + 0x20
  case 0x61...0x7A: byte
  default: nil
  }
}
