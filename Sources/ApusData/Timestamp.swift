/// A moment: seconds and nanoseconds since 1970-01-01 00:00:00, without leap seconds.
///
/// Files rarely say which zone they mean. A stamp without a zone keeps the clock it was written in; calendar
/// facts are read from that same clock. Arithmetic is proleptic Gregorian and defined for every `Int64`.
public struct Timestamp: Hashable, Sendable {
  /// Seconds since the start of 1970; negative before it.
  public var secondsSinceEpoch: Int64
  /// The part below the second, 0 to 999,999,999.
  public private(set) var nanosecond: Int32 = 0

  /// Creates the moment that lies `secondsSinceEpoch` after the start of 1970.
  ///
  /// - Parameters:
  ///   - secondsSinceEpoch: Whole seconds, negative before 1970.
  ///   - nanosecond: What comes after them, clamped to 0 to 999,999,999. Default: 0.
  public init(secondsSinceEpoch: Int64, nanosecond: Int = 0) {
    self.secondsSinceEpoch = secondsSinceEpoch
    self.nanosecond = Int32(min(max(nanosecond, 0), 999_999_999))
  }

  /// Creates the moment of a calendar date, or nil when there is no such date.
  ///
  /// - Parameters:
  ///   - year: The year, 1 to 9999.
  ///   - month: The month, 1 to 12.
  ///   - day: The day, 1 to the length of the month.
  ///   - hour: The hour, 0 to 24; 24 only as 24:00:00, the start of the next day.
  ///   - minute: The minute, 0 to 59.
  ///   - second: The second, 0 to 60; 60, a leap second, is the start of the next minute.
  public init?(
    year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0
  ) {
    guard (1...9999).contains(year), (1...12).contains(month), day >= 1,
      day <= CivilTime.daysInMonth(year: year, month: month),
      (0...24).contains(hour), (0...59).contains(minute), (0...60).contains(second),
      hour < 24 || (minute == 0 && second == 0)
    else { return nil }
    let days = CivilTime.dayNumber(year: year, month: month, day: day)
    secondsSinceEpoch = Int64(days * 86_400 + hour * 3_600 + minute * 60 + second)
  }

  /// Days since 1970-01-01, rounded down.
  public var dayNumber: Int { Int(secondsSinceEpoch.flooredQuotient(86_400)) }

  /// Seconds since midnight, 0 to 86,399.
  public var secondOfDay: Int {
    let seconds = Int(secondsSinceEpoch % 86_400)
    return seconds < 0 ? seconds + 86_400 : seconds
  }

  /// Day of the week, 0 = Monday to 6 = Sunday.
  public var weekday: Int {
    // 1970-01-01 was a Thursday.
    let shifted = (dayNumber % 7 + 3) % 7
    return shifted < 0 ? shifted + 7 : shifted
  }

  /// Months since January 1970, negative before it.
  public var monthNumber: Int {
    let civil = civil
    return (civil.year - 1970) * 12 + civil.month - 1
  }

  /// The calendar date and time of day.
  public var civil: CivilTime { CivilTime(self) }

  /// This moment so many nanoseconds later; seconds wrap around at the ends of 64 bits.
  func adding(nanoseconds: Int) -> Timestamp {
    let sum = Int64(nanosecond) + Int64(nanoseconds % 1_000_000_000)
    let carry = sum.flooredQuotient(1_000_000_000)
    return Timestamp(
      secondsSinceEpoch: secondsSinceEpoch &+ Int64(nanoseconds / 1_000_000_000) &+ carry,
      nanosecond: Int(sum - carry * 1_000_000_000))
  }

  /// Nanoseconds from an earlier moment to this one, or the most that 64 bits hold.
  func nanoseconds(since earlier: Timestamp) -> Int64 {
    let (scaled, isTooLong) = seconds(since: earlier).multipliedReportingOverflow(by: 1_000_000_000)
    guard !isTooLong else { return .max }
    let (span, overflow) = scaled.addingReportingOverflow(
      Int64(nanosecond) - Int64(earlier.nanosecond))
    return overflow ? .max : span
  }

  /// Whole seconds from an earlier moment to this one, nanoseconds left aside, or the most that 64 bits
  /// hold.
  func seconds(since earlier: Timestamp) -> Int64 {
    let (span, isTooLong) = secondsSinceEpoch.subtractingReportingOverflow(
      earlier.secondsSinceEpoch)
    return isTooLong ? .max : span
  }
}

extension Timestamp: Comparable {
  public static func < (left: Timestamp, right: Timestamp) -> Bool {
    left.secondsSinceEpoch == right.secondsSinceEpoch
      ? left.nanosecond < right.nanosecond : left.secondsSinceEpoch < right.secondsSinceEpoch
  }
}

extension Timestamp: CustomStringConvertible {
  /// `2015-12-31` at midnight, `2015-12-31T13:05:00` otherwise, with three, six or nine digits below the
  /// second where there are any.
  public var description: String {
    let civil = civil
    let date = "\(padded(civil.year, 4))-\(padded(civil.month, 2))-\(padded(civil.day, 2))"
    guard secondOfDay != 0 || nanosecond != 0 else { return date }
    let time =
      "\(date)T\(padded(civil.hour, 2)):\(padded(civil.minute, 2)):\(padded(civil.second, 2))"
    let fraction = Int(nanosecond)
    return switch fraction {
    case 0: time
    case _ where fraction % 1_000_000 == 0: "\(time).\(padded(fraction / 1_000_000, 3))"
    case _ where fraction % 1_000 == 0: "\(time).\(padded(fraction / 1_000, 6))"
    default: "\(time).\(padded(fraction, 9))"
    }
  }
}

extension Timestamp: Codable {
  /// Decodes an ISO 8601 string, or a number of seconds.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let seconds = try? container.decode(Int64.self) {
      self.init(secondsSinceEpoch: seconds)
      return
    }
    let text = try container.decode(String.self)
    guard let parsed = Timestamp(text) else {
      throw DecodingError.dataCorruptedError(
        in: container, debugDescription: "'\(text)' is not an ISO 8601 date")
    }
    self = parsed
  }

  /// Encodes the ISO 8601 description; seconds where the year does not fit four digits.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if (1...9999).contains(civil.year) {
      try container.encode(description)
    } else {
      try container.encode(secondsSinceEpoch)
    }
  }
}

/// A date and time of day as a calendar writes it.
public struct CivilTime: Hashable, Sendable {
  /// The proleptic Gregorian year.
  public let year: Int
  /// 1 = January to 12 = December.
  public let month: Int
  /// Day of the month, from 1.
  public let day: Int
  /// 0 to 23.
  public let hour: Int
  /// 0 to 59.
  public let minute: Int
  /// 0 to 59.
  public let second: Int

  /// Takes a moment apart.
  ///
  /// After Howard Hinnant, *chrono-Compatible Low-Level Date Algorithms*: years start in March, so that
  /// the leap day is the last of its year.
  public init(_ stamp: Timestamp) {
    let shifted = stamp.dayNumber + 719_468
    let era = shifted.flooredQuotient(146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    let seconds = stamp.secondOfDay
    hour = seconds / 3_600
    minute = seconds / 60 % 60
    second = seconds % 60
  }

  /// Day of the year, 1 to 366.
  public var dayOfYear: Int {
    Self.dayNumber(year: year, month: month, day: day)
      - Self.dayNumber(year: year, month: 1, day: 1) + 1
  }

  /// Whether the year has a 29 February.
  public static func isLeap(year: Int) -> Bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
  }

  /// Length of a month in days; `month` from 1 to 12.
  public static func daysInMonth(year: Int, month: Int) -> Int {
    switch month {
    case 2: isLeap(year: year) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days from 1970-01-01 to a date that exists.
  static func dayNumber(year: Int, month: Int, day: Int) -> Int {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = shiftedYear.flooredQuotient(400)
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }
}

extension FixedWidthInteger {
  /// The quotient rounded towards minus infinity, for a positive divisor.
  func flooredQuotient(_ divisor: Self) -> Self {
    let quotient = self / divisor
    return self % divisor < 0 ? quotient - 1 : quotient
  }
}

/// `value` in decimal with leading zeros up to `width` digits.
func padded(_ value: Int, _ width: Int) -> String {
  let digits = String(value.magnitude)
  let zeros = String(repeating: "0", count: max(0, width - digits.count))
  return (value < 0 ? "-" : "") + zeros + digits
}
