public import ApusTensor

/// Days on which a country, or a shop, is closed or otherwise than usual, known for every time ahead.
///
/// Three inputs of each row: whether the day before, the day itself and the day after is a holiday. Of rows that
/// hold more than a day one: how many of their days are.
public struct Holidays: Codable, Sendable, Equatable {
  /// Two letters of each country, as ISO 3166-1 has them.
  public let countries: [String]
  /// Further days, counted from 1970, in order.
  public let days: [Int]

  /// The countries whose holidays are known by rule: the days that hold in all of the country.
  public static let known: [String] = HolidayRules.countries.keys.sorted()

  /// Takes countries and days.
  ///
  /// - Parameters:
  ///   - countries: Two letters each, in any case.
  ///   - days: Further days; their times of day do not count. Default: none.
  /// - Throws: ``HolidayError`` for a country that is not known.
  public init(_ countries: [String], days: [Timestamp] = []) throws(HolidayError) {
    for code in countries where HolidayRules.countries[code.uppercased()] == nil {
      throw .unknownCountry(code, known: Self.known)
    }
    self.countries = countries.map { $0.uppercased() }
    self.days = Set(days.map(\.dayNumber)).sorted()
  }

  /// Takes codes of countries and paths of files that list dates, one a line.
  ///
  /// - Throws: ``HolidayError``, and what is wrong with a file.
  public init(_ words: [String]) throws {
    var (codes, days) = ([String](), [Timestamp]())
    for word in words {
      guard HolidayRules.countries[word.uppercased()] == nil, Files.isFile(word) else {
        codes.append(word)
        continue
      }
      let text = String(decoding: try Files.contents(of: word, limit: 1 << 20), as: UTF8.self)
      for (number, line) in text.split(whereSeparator: \.isNewline).enumerated() {
        let cell = Array(String(line).trimmed.utf8)[...]
        if cell.isEmpty || cell.first == 0x23 { continue }
        guard let date = DateScanner.parse(cell, as: .yearMonthDay) else {
          throw HolidayError.notADate(
            file: word, line: number + 1, found: String(line.prefix(40)))
        }
        days.append(date.local)
      }
    }
    try self.init(codes, days: days)
  }

  /// Reads stored holidays; rejects a country that this version does not know.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    countries = try keys.decode([String].self, forKey: .countries)
    days = try keys.decode([Int].self, forKey: .days)
    try keys.require(
      countries.allSatisfy { HolidayRules.countries[$0] != nil }, .countries,
      "countries of \(Self.known.joined(separator: ", ")) are expected")
    try keys.require(
      zip(days, days.dropFirst()).allSatisfy(<), .days, "days in ascending order are expected")
  }

  /// Whether a day, by its time, is a holiday or stands for one that falls on a weekend.
  public func contains(_ stamp: Timestamp) -> Bool { contains(day: stamp.dayNumber) }

  private func contains(day: Int) -> Bool {
    var (low, high) = (0, days.count)
    while low < high {
      let middle = (low + high) / 2
      if days[middle] < day { low = middle + 1 } else { high = middle }
    }
    if low < days.count, days[low] == day { return true }
    return countries.contains { HolidayRules.countries[$0]?.contains(day) ?? false }
  }

  /// Inputs of a row of such a frequency: 3, 1, or none where rows have no clock.
  static func count(_ frequency: Frequency) -> Int {
    switch frequency {
    case .steps: 0
    case .days(let days) where days > 1: 1
    case .months(let months): months < 12 ? 1 : 0  // every year has the same
    case .nanoseconds, .seconds, .days, .businessDays, .irregular: 3
    }
  }

  /// The inputs of the row at a time.
  func inputs(at stamp: Timestamp, _ frequency: Frequency) -> [Double] {
    let day = stamp.dayNumber
    let rows: Range<Int>
    switch frequency {
    case .steps: return []
    case .days(let count) where count > 1: rows = day..<day + count
    case .months(let months):
      guard months < 12 else { return [] }
      // The months that the row stands for, whatever day of the first it is dated to.
      let (first, next) = (stamp.monthNumber, stamp.monthNumber + months)
      rows = Self.firstDay(month: first)..<Self.firstDay(month: next)
    case .nanoseconds, .seconds, .days, .businessDays, .irregular:
      return [day - 1, day, day + 1].map { contains(day: $0) ? 1 : 0 }
    }
    return [Double(rows.count { contains(day: $0) })]
  }

  private static func firstDay(month: Int) -> Int {
    let years = month.flooredQuotient(12)
    return CivilTime.dayNumber(year: 1970 + years, month: month - 12 * years + 1, day: 1)
  }
}

/// An error of holidays.
public enum HolidayError: Error, Equatable, Sendable {
  /// The rules of a country are not known, and there is no file of that name.
  case unknownCountry(String, known: [String])
  /// A line of a list is no date.
  case notADate(file: String, line: Int, found: String)
}

extension HolidayError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .unknownCountry(let code, let known):
      """
      The holidays of '\(code)' are not known, and there is no such file. Give one of \
      \(known.joined(separator: ", ")), or a file with a date like 2024-12-24 in each line.
      """
    case .notADate(let file, let line, let found):
      "\(file), line \(line): found '\(found)', expected a date like 2024-12-24."
    }
  }
}
