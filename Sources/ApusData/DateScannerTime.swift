extension DateScanner {
  /// The date alone, or the date and what follows it: a time, a zone.
  mutating func finish(
    year: Int, month: Int, day: Int, twoDigitYear: Bool = false, spacesTaken: Bool = false
  ) -> ParsedDate? {
    guard !isAtEnd else {
      return Timestamp(year: year, month: month, day: day).map {
        ParsedDate(local: $0, twoDigitYear: twoDigitYear)
      }
    }
    if next == 0x5A || next == 0x7A {  // a bare zone after the date
      position += 1
      guard isAtEnd else { return nil }
      return Timestamp(year: year, month: month, day: day).map {
        ParsedDate(local: $0, offset: 0, twoDigitYear: twoDigitYear)
      }
    }
    if next == 0x54 || next == 0x74 {
      position += 1
    } else if next == 0x20 || next == 0x09 || next == 0x3A || next == 0x2C {
      position += 1
      skipSpaces()
      // 2012-01-01 - 13:00, and 2012-01-01_13:00 below.
      if next == 0x2D { position += 1 }
      skipSpaces()
    } else if next == 0x5F {
      position += 1
    } else if !spacesTaken {
      return nil
    }
    let beforeTime = position
    var time = timeOfDay()
    if time == nil {
      position = beforeTime
      time = hourAlone()
    }
    guard let time else { return nil }
    skipSpaces()
    var offset: Int?
    if !isAtEnd {
      guard let zone = zone() else { return nil }
      offset = zone
    }
    guard isAtEnd,
      let stamp = Timestamp(
        year: year, month: month, day: day, hour: time.hour, minute: time.minute,
        second: time.second)
    else { return nil }
    return ParsedDate(
      local: stamp.adding(nanoseconds: time.nanosecond), offset: offset, twoDigitYear: twoDigitYear)
  }

  /// A time of day.
  typealias TimeOfDay = (hour: Int, minute: Int, second: Int, nanosecond: Int)

  /// Two digits and nothing behind them but a zone: `2015-12-31T13Z`.
  private mutating func hourAlone() -> TimeOfDay? {
    guard let hour = number(2...2)?.value, next != 0x3A else { return nil }
    return (hour, 0, 0, 0)
  }

  /// `13:05`, `13:05:09`, `13:05:09.25`, `13.05.09`, `1:05 PM`, `1305`, `130509`, `130509250`.
  mutating func timeOfDay() -> TimeOfDay? {
    let start = position
    if let compact = number(4...9), next != 0x3A {
      let value = compact.value
      switch compact.digits {
      case 4: return (value / 100, value % 100, 0, 0)
      case 6: return (value / 10_000, value / 100 % 100, value % 100, 0)
      case 9:
        return (
          value / 10_000_000, value / 100_000 % 100, value / 1_000 % 100,
          value % 1_000 * 1_000_000
        )
      default: break
      }
    }
    position = start
    guard var hour = number(1...2)?.value, let mark = next,
      mark == 0x3A || mark == 0x2E || mark == 0x2D,
      take(mark), let minute = number(2...2)?.value
    else { return nil }
    var second = 0
    var nanosecond = 0
    if take(mark) {
      guard let seconds = number(2...2)?.value else { return nil }
      second = seconds
      if next == 0x2E || next == 0x2C {
        position += 1
        guard let digits = number(1...12) else { return nil }
        var value = digits.value
        for _ in digits.digits..<max(9, digits.digits) { value *= 10 }
        for _ in 9..<max(9, digits.digits) { value /= 10 }
        nanosecond = value
      }
    } else if mark != 0x3A {
      return nil  // 13.05 is a number
    }
    let beforeMark = position
    skipSpaces()
    if let mark = word(), mark == "am" || mark == "pm" {
      guard (1...12).contains(hour) else { return nil }
      hour = hour % 12 + (mark == "pm" ? 12 : 0)
    } else {
      position = beforeMark
    }
    return (hour, minute, second, nanosecond)
  }

  /// A cell that is a time of day and nothing else, as seconds and nanoseconds since midnight; 24:00 and a
  /// leap second count as what they are the start of.
  static func clock(_ cell: ArraySlice<UInt8>) -> (seconds: Int, nanosecond: Int)? {
    guard cell.count <= 32 else { return nil }
    // Of a span, `00:00 - 01:00`, the start.
    let end = cell.dropFirst(4).firstIndex(of: 0x2D) ?? cell.endIndex
    let start = cell.contains(0x3A) ? cell[..<end].trimmedSpaces : cell
    var scanner = DateScanner(start)
    guard let time = scanner.timeOfDay(), scanner.isAtEnd, time.hour <= 24, time.minute < 60,
      time.second <= 60
    else { return nil }
    return (time.hour * 3_600 + time.minute * 60 + time.second, time.nanosecond)
  }

  /// Hours east of Greenwich of the zones that have one meaning.
  private static let zones: [String: Double] = [
    "z": 0, "utc": 0, "gmt": 0, "wet": 0, "west": 1, "cet": 1, "cest": 2, "mez": 1, "mesz": 2,
    "eet": 2, "eest": 3, "msk": 3, "jst": 9, "aest": 10, "aedt": 11, "est": -5, "edt": -4,
    "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
  ]

  /// Seconds east of Greenwich: `Z`, `UTC`, `GMT`, `+02:00`, `-0530`, `+01`, `UTC+1`, `CET`.
  private mutating func zone() -> Int? {
    if let name = word() {
      guard let hours = Self.zones[name] else { return nil }
      if isAtEnd { return Int(hours * 3_600) }
      guard hours == 0 else { return nil }
    }
    let isWest = next == 0x2D
    guard isWest || next == 0x2B else { return nil }
    position += 1
    guard let hours = number(1...4) else { return nil }
    var minutes = 0
    var wholeHours = hours.value
    if hours.digits >= 3 {
      (wholeHours, minutes) = (hours.value / 100, hours.value % 100)
    } else if take(0x3A) {
      guard let value = number(2...2)?.value else { return nil }
      minutes = value
    }
    guard wholeHours <= 15, minutes < 60 else { return nil }
    let seconds = wholeHours * 3_600 + minutes * 60
    return isWest ? -seconds : seconds
  }
}
