/// What one cell said.
struct ParsedDate: Equatable {
  /// The clock as written, without its zone.
  var local: Timestamp
  /// Seconds east of Greenwich, when the cell named a zone.
  var offset: Int?
  /// The year had two digits.
  var twoDigitYear = false
  /// The cell held a month's name and one number of at most two digits: a year, or a day without one.
  var isMonthAndShortNumber = false

  /// The moment in Coordinated Universal Time; the local clock where no zone was named.
  var universal: Timestamp {
    guard let offset, offset != 0 else { return local }
    return Timestamp(
      secondsSinceEpoch: local.secondsSinceEpoch &- Int64(offset), nanosecond: Int(local.nanosecond)
    )
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
  let months: MonthNames

  init(_ bytes: ArraySlice<UInt8>, months: MonthNames = .english) {
    self.bytes = bytes
    self.months = months
    position = bytes.startIndex
  }

  /// Parses the whole of `cell`, or nothing. Spaces around it are the caller's to trim.
  static func parse(
    _ cell: ArraySlice<UInt8>, as style: DateStyle, months: MonthNames = .english
  ) -> ParsedDate? {
    guard !cell.isEmpty, cell.count <= 64 else { return nil }
    if style == .yearMonthDay, let stamp = plainISO(cell) { return ParsedDate(local: stamp) }
    return whole(cell, as: style, months: months)
      ?? start(of: cell).flatMap { whole($0, as: style, months: months) }
  }

  /// The start of a span of time: `01.01.2015 00:00 - 01.01.2015 01:00`, with or without a remark in
  /// brackets behind it, and `2015-01-01T00:00Z/2015-01-01T01:00Z`; nil for what is no span.
  private static func start(of cell: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    guard cell.count >= 21 else { return nil }
    for place in cell.indices.dropFirst(8).dropLast(8) {
      if cell[place] == 0x2D, cell[place - 1] == 0x20, cell[place + 1] == 0x20 {
        return cell[..<(place - 1)]
      }
      if cell[place] == 0x2F, cell.contains(0x54), cell.count >= 33 { return cell[..<place] }
    }
    return nil
  }

  private static func whole(
    _ cell: ArraySlice<UInt8>, as style: DateStyle, months: MonthNames
  ) -> ParsedDate? {
    var scanner = DateScanner(cell, months: months)
    switch style {
    case .yearMonthDay, .dayMonthYear, .monthDayYear, .shortYearMonthDay:
      return scanner.numericDate(style)
    case .compact: return scanner.compactDate()
    case .monthName: return scanner.namedDate()
    case .yearMonth: return scanner.yearAndMonth()
    case .quarter: return scanner.yearAndQuarter()
    case .halfYear: return scanner.yearAndHalf()
    case .isoWeek: return scanner.isoWeek()
    case .yearDay: return scanner.yearAndDay()
    case .year:
      guard cell.count == 4, let year = scanner.number(4...4)?.value, (1000...2999).contains(year),
        let stamp = Timestamp(year: year, month: 1, day: 1)
      else { return nil }
      return ParsedDate(local: stamp)
    case .epochSeconds: return scanner.epoch(perSecond: 1)
    case .epochMilliseconds: return scanner.epoch(perSecond: 1_000)
    case .epochMicroseconds: return scanner.epoch(perSecond: 1_000_000)
    case .epochNanoseconds: return scanner.epoch(perSecond: 1_000_000_000)
    case .epochAnyUnit:
      return DateStyle.epochUnit(of: cell).flatMap { DateScanner.parse(cell, as: $0) }
    case .excelDays: return scanner.excelDays()
    }
  }

  /// `2015-12-31`, `2015-12-31 13:05` and `2015-12-31T13:05:09`, the most usual forms, without the way through
  /// the scanner; nil for any other, valid or not.
  private static func plainISO(_ cell: ArraySlice<UInt8>) -> Timestamp? {
    let start = cell.startIndex
    let count = cell.count
    guard count == 10 || count == 16 || count == 19 else { return nil }
    func two(_ offset: Int) -> Int {
      let (tens, ones) = (cell[start + offset] &- 0x30, cell[start + offset + 1] &- 0x30)
      return tens < 10 && ones < 10 ? Int(tens) * 10 + Int(ones) : 10_000
    }
    guard cell[start + 4] == 0x2D, cell[start + 7] == 0x2D else { return nil }
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8))
    guard count > 10 else { return Timestamp(year: year, month: month, day: day) }
    let mark = cell[start + 10]
    guard mark == 0x20 || mark == 0x54, cell[start + 13] == 0x3A,
      count == 16 || cell[start + 16] == 0x3A
    else { return nil }
    return Timestamp(
      year: year, month: month, day: day, hour: two(11), minute: two(14),
      second: count == 19 ? two(17) : 0)
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

  /// A run of letters in lower case, those beyond ASCII included.
  mutating func word() -> String? {
    var letters: [UInt8] = []
    var isASCII = true
    while let byte = next, letters.count < 24 {
      if let letter = lowercaseLetter(byte) {
        letters.append(letter)
      } else if byte >= 0x80 {
        letters.append(byte)
        isASCII = false
      } else {
        break
      }
      position += 1
    }
    guard !letters.isEmpty else { return nil }
    let text = String(decoding: letters, as: UTF8.self)
    return isASCII ? text : text.lowercased()
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
    case .shortYearMonthDay:
      guard first.digits == 2, third.digits <= 2 else { return nil }
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
    guard [8, 10, 12, 14, 17].contains(digits), let year = fixed(4), let month = fixed(2),
      let day = fixed(2)
    else { return nil }
    guard digits > 8 else { return finish(year: year, month: month, day: day) }
    guard let hour = fixed(2) else { return nil }
    let minute = digits >= 12 ? fixed(2) : 0
    let second = digits >= 14 ? fixed(2) : 0
    let thousandths = digits == 17 ? fixed(3) : 0
    guard let minute, let second, let thousandths, isAtEnd,
      let stamp = Timestamp(
        year: year, month: month, day: day, hour: hour, minute: minute, second: second)
    else { return nil }
    return ParsedDate(local: stamp.adding(nanoseconds: thousandths * 1_000_000))
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
        if let index = monthIndex(name), month == nil {
          month = index
          monthCameAfter = numbers.count
        } else if !Self.isWeekday(name), !["of", "st", "nd", "rd", "th", "de"].contains(name) {
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
    let isShort = numbers.count == 1 && year.digits <= 2
    guard year.digits == 4 || year.digits == 2 || isShort else { return nil }
    var found = finish(
      year: Self.fullYear(year), month: month, day: day, twoDigitYear: year.digits == 2,
      spacesTaken: true)
    found?.isMonthAndShortNumber = isShort
    return found
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
    return ParsedDate(local: stamp.adding(nanoseconds: time.nanosecond))
  }

  private mutating func yearAndMonth() -> ParsedDate? {
    if bytes.count == 6, let year = fixed(4), let month = fixed(2), (1500...2999).contains(year) {
      return first(ofMonth: month, in: year)
    }
    position = bytes.startIndex
    guard let first = number(1...4), let separator = next else { return nil }
    switch separator {
    case 0x2F, 0x2E, 0x4D, 0x6D: position += 1  // 2015/12, 2015.12, 2015M12
    case 0x2D, 0x3A, 0x20:  // 2015-12, 2015:M12
      position += 1
      if next == 0x4D || next == 0x6D { position += 1 } else if separator != 0x2D { return nil }
    default: return nil
    }
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
    yearAndPart(letters: ["q", "qtr", "quarter", "t"], parts: 4).flatMap {
      first(ofMonth: $0.part * 3 - 2, in: $0.year)
    }
  }

  private mutating func yearAndHalf() -> ParsedDate? {
    yearAndPart(letters: ["h", "s", "half"], parts: 2).flatMap {
      first(ofMonth: $0.part * 6 - 5, in: $0.year)
    }
  }

  /// A year and a letter with a number, in any order: `2015Q4`, `2015:Q4`, `Q4 2015`, `4Q2015`.
  private mutating func yearAndPart(
    letters: Set<String>, parts: Int
  ) -> (year: Int, part: Int)? {
    var (year, part): (Int?, Int?)
    var hasLetter = false
    while !isAtEnd {
      if let word = word() {
        guard !hasLetter, letters.contains(word) else { return nil }
        hasLetter = true
      } else if year == nil, let value = number(4...4)?.value {
        year = value
      } else if part == nil, let value = number(1...2)?.value {
        part = value
      } else {
        return nil
      }
      while let byte = next, [0x20, 0x2D, 0x2F, 0x3A, 0x5F, 0x2E].contains(byte) { position += 1 }
    }
    guard hasLetter, let year, let part, (1...parts).contains(part) else { return nil }
    return (year, part)
  }

  private mutating func isoWeek() -> ParsedDate? {
    let letters: Set<String> = ["w", "wk", "week", "kw", "cw"]
    if let dash = bytes.lastIndex(of: 0x2D), bytes.endIndex - dash == 2,
      let weekday = digitValue(bytes[dash + 1]), (1...7).contains(weekday)
    {  // 2015-W53-4
      var week = DateScanner(bytes[..<dash])
      guard let found = week.yearAndPart(letters: letters, parts: 53) else { return nil }
      return Self.monday(ofWeek: found.part, in: found.year, plus: weekday - 1)
    }
    guard let found = yearAndPart(letters: letters, parts: 53) else { return nil }
    return Self.monday(ofWeek: found.part, in: found.year)
  }

  /// The Monday of a week by ISO 8601: the week of 4 January is week 1.
  static func monday(ofWeek week: Int, in year: Int, plus days: Int = 0) -> ParsedDate? {
    guard (1...9998).contains(year), (1...53).contains(week),
      let fourth = Timestamp(year: year, month: 1, day: 4)
    else { return nil }
    let day = fourth.dayNumber - fourth.weekday + (week - 1) * 7 + days
    return ParsedDate(local: Timestamp(secondsSinceEpoch: Int64(day) * 86_400))
  }

  private mutating func yearAndDay() -> ParsedDate? {
    guard let year = fixed(4), (1000...2999).contains(year) else { return nil }
    _ = take(0x2D)
    guard let day = fixed(3), isAtEnd else { return nil }
    return Self.day(day, of: year)
  }

  /// A day of the year, from 1.
  static func day(_ day: Int, of year: Int) -> ParsedDate? {
    guard day >= 1, day <= (CivilTime.isLeap(year: year) ? 366 : 365),
      let first = Timestamp(year: year, month: 1, day: 1)
    else { return nil }
    return ParsedDate(
      local: Timestamp(secondsSinceEpoch: first.secondsSinceEpoch + Int64(day - 1) * 86_400))
  }

  /// Days since 1899-12-30 with an optional fraction: the moment to the nearest second. From 61 on, which
  /// is 1900-03-01, the count of spreadsheets has no leap day that never was.
  private mutating func excelDays() -> ParsedDate? {
    guard let days = number(1...7)?.value, (61...2_958_465).contains(days) else { return nil }
    var seconds = 0.0
    if take(0x2E) || take(0x2C) {
      var (value, place) = (0.0, 0.1)
      while let byte = next, let digit = digitValue(byte) {
        value += Double(digit) * place
        place /= 10
        position += 1
      }
      seconds = (value * 86_400).rounded()
    }
    guard isAtEnd else { return nil }
    return ParsedDate(
      local: Timestamp(secondsSinceEpoch: Int64(days - 25_569) * 86_400 + Int64(seconds)))
  }

  /// A count of ticks since 1970, with an optional fraction; moments from year 1 to 9999.
  private mutating func epoch(perSecond: Int64) -> ParsedDate? {
    let isNegative = take(0x2D)
    var count: Int64 = 0
    let start = position
    while let byte = next, let digit = digitValue(byte) {
      let (tens, tooLong) = count.multipliedReportingOverflow(by: 10)
      let (sum, overflow) = tens.addingReportingOverflow(Int64(digit))
      guard !tooLong, !overflow else { return nil }
      count = sum
      position += 1
    }
    guard position > start else { return nil }
    var nanoseconds = 0.0
    let perTick = 1_000_000_000 / perSecond
    if take(0x2E) {
      guard let digits = number(1...12) else { return nil }
      nanoseconds = Double(digits.value) * Double(perTick)
      for _ in 0..<digits.digits { nanoseconds /= 10 }
    }
    guard isAtEnd else { return nil }
    let ticks = isNegative ? -count : count
    let whole = ticks.flooredQuotient(perSecond)
    guard whole.magnitude < 253_402_300_800 else { return nil }
    let below = Double((ticks - whole * perSecond) * perTick) + (isNegative ? 0 : nanoseconds)
    return ParsedDate(
      local: Timestamp(secondsSinceEpoch: whole, nanosecond: Int(below.rounded())))
  }

  // MARK: Words

  /// 00 to 40 belong to this century, 41 to 99 to the last: tables hold history, where POSIX, which parts at 69,
  /// would read the sixties as years to come.
  private static func fullYear(_ year: (value: Int, digits: Int)) -> Int {
    guard year.digits == 2 else { return year.value }
    return year.value + (year.value <= 40 ? 2_000 : 1_900)
  }

  private func monthIndex(_ name: String) -> Int? {
    if name == "sept" { return 9 }
    return months.month(name)
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
