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
    } else if !spacesTaken {
      return nil
    }
    guard let time = timeOfDay() else { return nil }
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
      local: stamp, offset: offset, droppedFraction: time.fraction, twoDigitYear: twoDigitYear)
  }

  /// `13:05`, `13:05:09`, `13:05:09.25`, `1:05 PM`, `1305`, `130509`.
  mutating func timeOfDay() -> (hour: Int, minute: Int, second: Int, fraction: Bool)? {
    let start = position
    if let compact = number(4...6), compact.digits != 5, next != 0x3A {
      return compact.digits == 4
        ? (compact.value / 100, compact.value % 100, 0, false)
        : (compact.value / 10_000, compact.value / 100 % 100, compact.value % 100, false)
    }
    position = start
    guard var hour = number(1...2)?.value, take(0x3A), let minute = number(2...2)?.value else {
      return nil
    }
    var second = 0
    var fraction = false
    if take(0x3A) {
      guard let seconds = number(2...2)?.value else { return nil }
      second = seconds
      if next == 0x2E || next == 0x2C {
        position += 1
        guard let digits = number(1...12) else { return nil }
        fraction = digits.value != 0
      }
    }
    let beforeMark = position
    skipSpaces()
    if let mark = word(), mark == "am" || mark == "pm" {
      guard (1...12).contains(hour) else { return nil }
      hour = hour % 12 + (mark == "pm" ? 12 : 0)
    } else {
      position = beforeMark
    }
    return (hour, minute, second, fraction)
  }

  /// Seconds east of Greenwich: `Z`, `UTC`, `GMT`, `+02:00`, `-0530`, `+01`, `UTC+1`.
  private mutating func zone() -> Int? {
    if let name = word() {
      guard ["z", "utc", "gmt"].contains(name) else { return nil }
      if isAtEnd { return 0 }
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
