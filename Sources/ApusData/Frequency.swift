public import ApusTensor

/// The distance from one row to the next.
public enum Frequency: Hashable, Codable, Sendable {
  /// No clock: rows are consecutive steps.
  case steps
  /// A fixed number of nanoseconds, at least 1 and below a second.
  case nanoseconds(Int)
  /// A fixed number of seconds, at least 1 and below a day.
  case seconds(Int)
  /// A fixed number of days, 1 to 366; 7 is weekly.
  case days(Int)
  /// One row per working day.
  case businessDays
  /// A fixed number of months, 1 to 120,000; 3 is quarterly, 12 yearly.
  case months(Int)
  /// No fixed distance.
  case irregular

  /// Whether the number is one that the case allows.
  public var isPossible: Bool {
    switch self {
    case .steps, .businessDays, .irregular: true
    case .nanoseconds(let nanoseconds): (1..<1_000_000_000).contains(nanoseconds)
    case .seconds(let seconds): (1..<86_400).contains(seconds)
    case .days(let days): (1...366).contains(days)
    case .months(let months): (1...120_000).contains(months)
    }
  }

  /// The usual word: `hourly`, `every 15 minutes`, `business days`, `weekly`.
  public var name: String {
    switch self {
    case .steps: "steps"
    case .nanoseconds(let count) where count % 1_000_000 == 0:
      "every \(count / 1_000_000) ms"
    case .nanoseconds(let count): "every \(count) ns"
    case .seconds(let seconds):
      switch seconds {
      case 3_600: "hourly"
      case 60: "every minute"
      case 1: "every second"
      case _ where seconds % 3_600 == 0: "every \(seconds / 3_600) hours"
      case _ where seconds % 60 == 0: "every \(seconds / 60) minutes"
      default: "every \(seconds) seconds"
      }
    case .days(1): "daily"
    case .days(7): "weekly"
    case .days(let days): "every \(days) days"
    case .businessDays: "business days"
    case .months(1): "monthly"
    case .months(3): "quarterly"
    case .months(12): "yearly"
    case .months(let months): "every \(months) months"
    case .irregular: "irregular"
    }
  }

  /// Reads a frequency as people write it: a word such as `daily` or `hourly`, or a number with a unit, as
  /// `15min`, `1h`, `2d`, `1w`, `1mo`, `1q`, `1y`, `100ms`; the letters of pandas (`H`, `T`, `D`, `B`, `W`, `M`,
  /// `Q`, `Y`) as well. Nil for anything else.
  public init?(_ text: some StringProtocol) {
    let digits = text.prefix { $0.isNumber }
    let unit = String(text.dropFirst(digits.count)).trimmed
    guard let count = digits.isEmpty ? 1 : Int(digits), count > 0 else { return nil }
    let letters = String(unit.prefix { $0 != "-" && $0 != "_" && $0 != "." })
    guard let found = Self.unit(unit, count) ?? Self.unit(letters, count), found.isPossible else {
      return nil
    }
    self = found
  }

  private static func unit(_ text: String, _ count: Int) -> Frequency? {
    // M is a month and m a minute; elsewhere the case says nothing.
    switch text {
    case "M", "ME", "MS", "BM", "BME": return .months(count)
    case "m": return seconds(60, count)
    default: break
    }
    switch text.lowercased() {
    case "ns": return .nanoseconds(count)
    case "us": return .nanoseconds(count.multipliedOrHuge(by: 1_000))
    case "ms", "l": return .nanoseconds(count.multipliedOrHuge(by: 1_000_000))
    case "s", "sec", "second", "seconds", "secondly": return seconds(1, count)
    case "min", "t", "minute", "minutes", "minutely": return seconds(60, count)
    case "half_hourly": return seconds(1_800, count)
    case "h", "hr", "hour", "hours", "hourly": return seconds(3_600, count)
    case "d", "day", "days", "daily": return .days(count)
    case "b", "bd", "business days", "business-days", "businessdays", "weekdays":
      return count == 1 ? .businessDays : nil
    case "w", "week", "weeks", "weekly": return .days(count.multipliedOrHuge(by: 7))
    case "mo", "month", "months", "monthly": return .months(count)
    case "q", "qs", "qe", "quarter", "quarters", "quarterly":
      return .months(count.multipliedOrHuge(by: 3))
    case "y", "a", "ys", "ye", "as", "year", "years", "yearly":
      return .months(count.multipliedOrHuge(by: 12))
    case "steps": return .steps
    default: return nil
    }
  }

  /// Whole days as days, so that a frequency has one form.
  private static func seconds(_ unit: Int, _ count: Int) -> Frequency {
    let seconds = count.multipliedOrHuge(by: unit)
    return seconds % 86_400 == 0 ? .days(seconds / 86_400) : .seconds(seconds)
  }
}

extension Int {
  /// The product, or the largest number where it does not fit.
  fileprivate func multipliedOrHuge(by factor: Int) -> Int {
    let (product, overflow) = multipliedReportingOverflow(by: factor)
    return overflow ? .max : product
  }
}

extension String {
  /// The text without spaces around it.
  var trimmed: String {
    let start = drop { $0 == " " }
    return String(start.reversed().drop { $0 == " " }.reversed())
  }
}

/// The times of rows: a frequency, and when nothing is to be expected.
///
/// A market is closed at night, on weekends and on holidays; those holes are no gaps.
public struct Cadence: Hashable, Codable, Sendable {
  /// The distance between rows.
  public private(set) var frequency: Frequency
  /// Whether each weekday has rows, Monday first; all of them unless the frequency is
  /// ``Frequency/businessDays``.
  public private(set) var openWeekdays: [Bool]
  /// The intraday slots: which slots of the week have rows, from Monday 00:00 in steps of the
  /// frequency; empty when all have.
  public private(set) var openSlots: [Bool] { didSet { openRanks = Self.ranks(openSlots) } }
  /// How many open slots lie before each slot of the week; empty when all are open.
  private var openRanks: [Int] = []
  /// Seconds by which rows lie behind full multiples of an intraday step.
  public private(set) var phaseSeconds: Int
  /// Whether monthly rows are on the last day, or the last weekday, of the month.
  public private(set) var monthEnd: MonthEnd
  /// Rows in a season, where a person says it; nil for the natural one.
  public var season: Int?
  /// Rows in each longer season beside it, where a person says them, in ascending order.
  public var longerSeasons: [Int] = []

  private enum CodingKeys: String, CodingKey {
    case frequency, openWeekdays, openSlots, phaseSeconds, monthEnd, season, longerSeasons
  }

  /// The day of the month of a monthly row.
  public enum MonthEnd: String, Codable, Sendable {
    /// The same day each month.
    case fixedDay
    /// The last day.
    case lastDay
    /// The last day from Monday to Friday.
    case lastWeekday
  }

  /// Creates a cadence without holes beyond weekends.
  ///
  /// - Precondition: ``Frequency/isPossible``.
  public init(_ frequency: Frequency) {
    precondition(frequency.isPossible, "Cadence: there is no frequency \(frequency)")
    self.frequency = frequency
    openWeekdays = (0..<7).map { frequency != .businessDays || $0 < 5 }
    openSlots = []
    phaseSeconds = 0
    monthEnd = .fixedDay
  }

  /// Reads a stored cadence; rejects one whose rows would never come, or from which no slot
  /// follows.
  public init(from decoder: any Decoder) throws {
    let keys = try decoder.container(keyedBy: CodingKeys.self)
    frequency = try keys.decode(Frequency.self, forKey: .frequency)
    openWeekdays = try keys.decode([Bool].self, forKey: .openWeekdays)
    openSlots = try keys.decode([Bool].self, forKey: .openSlots)
    openRanks = Self.ranks(openSlots)
    phaseSeconds = try keys.decode(Int.self, forKey: .phaseSeconds)
    monthEnd = try keys.decode(MonthEnd.self, forKey: .monthEnd)
    season = try keys.decodeIfPresent(Int.self, forKey: .season)
    longerSeasons = try keys.decodeIfPresent([Int].self, forKey: .longerSeasons) ?? []
    try keys.require(
      longerSeasons.allSatisfy { (2...1_000_000).contains($0) }, .longerSeasons,
      "2 to 1000000 rows are expected")
    try keys.require(season.map { $0 >= 1 } ?? true, .season, "it must be at least 1")
    try keys.require(frequency.isPossible, .frequency, "there is no frequency \(frequency)")
    try keys.require(
      openWeekdays.count == 7 && openWeekdays.contains(true), .openWeekdays,
      "seven days are expected, one of them open")
    let step = if case .seconds(let seconds) = frequency { seconds } else { 0 }
    try keys.require(
      openSlots.isEmpty
        || step > 0 && step * openSlots.count == 604_800 && openSlots.contains(true), .openSlots,
      "none, or those of one week are expected, one of them open")
    try keys.require(
      (0...max(step - 1, 0)).contains(phaseSeconds), .phaseSeconds, "it must be below the step")
  }

  /// Rows in a season: ``season``, or the natural one, a day of intraday rows, a week of days, a year of
  /// weeks, months or quarters; 1 where there is none.
  public var seasonLength: Int {
    if let season { return max(1, season) }
    switch frequency {
    case .seconds(let seconds):
      guard !openSlots.isEmpty else { return max(1, 86_400 / seconds) }
      let days = max(1, openDays.count)
      return max(1, openSlots.count { $0 } / days)
    case .days(1): return 7
    case .businessDays: return max(1, openWeekdays.count { $0 })
    case .days(7): return 52
    case .months(let months): return months < 12 ? 12 / months : 1
    case .steps, .nanoseconds, .days, .irregular: return 1
    }
  }

  /// Weekdays on which an intraday market opens at all.
  private var openDays: Set<Int> {
    guard case .seconds(let step) = frequency else { return [] }
    return Set(openSlots.indices.filter { openSlots[$0] }.map { $0 * step / 86_400 })
  }
}

// MARK: - Inference

extension Cadence {
  /// Infers the cadence from strictly increasing stamps. Fewer than three say nothing: ``Frequency/irregular``.
  public init(inferredFrom stamps: [Timestamp]) {
    self.init(.irregular)
    guard stamps.count >= 3, let first = stamps.first, let last = stamps.last else { return }
    if inferNanoseconds(stamps) { return }
    var counts: [Int64: Int] = [:]
    var shortest = Int64.max
    for (left, right) in zip(stamps, stamps.dropFirst()) {
      let step = right.seconds(since: left)
      shortest = min(shortest, step)
      counts[step, default: 0] += 1
    }
    guard shortest > 0, let mode = counts.max(by: { ($0.value, -$0.key) < ($1.value, -$1.key) })
    else { return }
    if first.secondsSinceEpoch == 0, mode.key == 1, counts.count == 1,
      last.secondsSinceEpoch == Int64(stamps.count - 1)
    {
      frequency = .steps
    } else if mode.key < 82_800 {  // 23 hours: days of a zone with summer time are longer than that
      inferIntraday(stamps, step: Int(mode.key), counts: counts)
    } else {
      inferDays(stamps)
    }
  }

  /// Rows that follow each other in less than a second, in the median.
  private mutating func inferNanoseconds(_ stamps: [Timestamp]) -> Bool {
    guard stamps.contains(where: { $0.nanosecond != 0 }) else { return false }
    let steps = zip(stamps, stamps.dropFirst()).map { $1.nanoseconds(since: $0) }
    let median = steps.sorted()[steps.count / 2]
    guard (1..<1_000_000_000).contains(median) else { return false }
    // Clocks jitter: a step that is off by a hundredth is the same step.
    let near = steps.count { abs($0 - median) * 100 <= median }
    if near * 10 >= steps.count * 8 { frequency = .nanoseconds(Int(median)) }
    return true
  }

  private mutating func inferIntraday(_ stamps: [Timestamp], step: Int, counts: [Int64: Int]) {
    let steps = counts.values.reduce(0, +)
    let fitting = counts.filter { $0.key % Int64(step) == 0 }.values.reduce(0, +)
    guard fitting * 10 >= steps * 8 else { return }
    frequency = .seconds(step)
    phaseSeconds = Int(stamps[stamps.count - 1].secondsSinceEpoch % Int64(step))
    if phaseSeconds < 0 { phaseSeconds += step }
    let week = 604_800
    guard week % step == 0, step >= 60 else { return }
    var seen = Array(repeating: 0, count: week / step)
    for stamp in stamps { seen[slot(of: stamp, step: step)] += 1 }
    let span = stamps[stamps.count - 1].seconds(since: stamps[0])
    let weeks = Double(span) / Double(week)
    guard weeks >= 1 else { return }
    let usual = Double(seen.sorted()[seen.count * 9 / 10])
    let enough = weeks < 4 ? 1 : max(1, usual * 0.5)
    let open = seen.map { Double($0) >= enough }
    if open.contains(true), open.count(where: { !$0 }) * 20 > open.count { openSlots = open }
  }

  private mutating func inferDays(_ stamps: [Timestamp]) {
    let days = stamps.map(\.dayNumber)
    let steps = zip(days.dropFirst(), days).map { $0 - $1 }
    var counts: [Int: Int] = [:]
    for step in steps { counts[step, default: 0] += 1 }
    guard let mode = counts.max(by: { ($0.value, -$0.key) < ($1.value, -$1.key) })?.key else {
      return
    }
    if mode >= 28 {
      inferMonths(stamps)
      return
    }
    if mode == 1 {
      var weekdays = Array(repeating: 0, count: 7)
      for stamp in stamps { weekdays[stamp.weekday] += 1 }
      let open = weekdays.map { $0 * 50 > stamps.count }
      let restsAtWeekend =
        weekdays[5] + weekdays[6] == 0
        && zip(days, steps).contains { day, step in step == 3 && (day + 3) % 7 == 4 }
      if stamps.count < 10, restsAtWeekend {
        frequency = .businessDays
        openWeekdays = (0..<7).map { $0 < 5 }
      } else if stamps.count >= 10, open.count(where: { $0 }) < 7 {
        frequency = .businessDays
        openWeekdays = open
      } else {
        frequency = .days(1)
      }
      return
    }
    // Weekly rows may shift by a day around a holiday.
    let near = counts.filter { $0.key % mode <= 1 || mode - $0.key % mode <= 1 }.values.reduce(0, +)
    if near * 10 >= steps.count * 8 { frequency = .days(mode) }
  }

  private mutating func inferMonths(_ stamps: [Timestamp]) {
    let months = stamps.map(\.monthNumber)
    var counts: [Int: Int] = [:]
    for (left, right) in zip(months, months.dropFirst()) { counts[right - left, default: 0] += 1 }
    guard let mode = counts.max(by: { ($0.value, -$0.key) < ($1.value, -$1.key) })?.key,
      Frequency.months(mode).isPossible,
      counts.filter({ $0.key % mode == 0 }).values.reduce(0, +) * 10 >= (stamps.count - 1) * 8
    else { return }
    frequency = .months(mode)
    let isLast = stamps.map { stamp in
      let civil = stamp.civil
      return CivilTime.daysInMonth(year: civil.year, month: civil.month) - civil.day
    }
    if isLast.allSatisfy({ $0 == 0 }) {
      monthEnd = .lastDay
    } else if isLast.allSatisfy({ $0 <= 3 }), stamps.allSatisfy({ $0.weekday < 5 }) {
      monthEnd = .lastWeekday
    }
  }

  /// Which slot of the week a stamp falls into.
  private func slot(of stamp: Timestamp, step: Int) -> Int {
    // Day 4 of 1970, a Monday, starts slot 0.
    let seconds = (stamp.secondsSinceEpoch % 604_800 - Int64(phaseSeconds) - 345_600) % 604_800
    return Int(seconds < 0 ? seconds + 604_800 : seconds) / step
  }

  private static func ranks(_ open: [Bool]) -> [Int] {
    var count = 0
    return open.map { isOpen in
      defer { count += isOpen ? 1 : 0 }
      return count
    }
  }

  /// Open slots of a week; 0 when all are open.
  var openSlotsOfWeek: Int { (openRanks.last ?? 0) + (openSlots.last == true ? 1 : 0) }

  /// How many open slots lie before that of a time, in its week; nil when all are open.
  func openRank(of stamp: Timestamp) -> Int? {
    guard case .seconds(let step) = frequency, !openRanks.isEmpty else { return nil }
    return openRanks[slot(of: stamp, step: step)]
  }

  /// The number of the week of a time, from Monday on, as slots and weekdays count it.
  func week(of stamp: Timestamp) -> Int {
    let phase = if case .seconds = frequency { Int64(phaseSeconds) } else { Int64(0) }
    let (seconds, overflows) = stamp.secondsSinceEpoch.subtractingReportingOverflow(345_600 + phase)
    return Int((overflows ? .min : seconds).flooredQuotient(604_800))
  }
}

// MARK: - Future stamps and holes

extension Cadence {
  /// The next `count` stamps after `stamp`: business days skip closed weekdays, intraday rows closed slots.
  ///
  /// An irregular cadence has no next stamp; days are assumed. Holidays are not known and not skipped.
  ///
  /// - Throws: ``CadenceError`` where time ends before the stamps do.
  public func stamps(after stamp: Timestamp, count: Int) throws(CadenceError) -> [Timestamp] {
    // From here a million of the longest steps stay inside 64 bits.
    guard stamp.secondsSinceEpoch.magnitude <= 1 << 62, count <= 1 << 20 else {
      throw CadenceError.beyondTime(after: stamp, count: count)
    }
    var result: [Timestamp] = []
    result.reserveCapacity(max(0, count))
    var current = stamp
    for index in 0..<max(0, count) {
      current = next(after: current, origin: stamp, index: index)
      result.append(current)
    }
    return result
  }

  private func next(after current: Timestamp, origin: Timestamp, index: Int) -> Timestamp {
    var next = current
    switch frequency {
    case .steps:
      next.secondsSinceEpoch += 1
    case .nanoseconds(let step):
      next = next.adding(nanoseconds: step)
    case .seconds(let step):
      repeat {
        next.secondsSinceEpoch += Int64(step)
      } while !openSlots.isEmpty && !openSlots[slot(of: next, step: step)]
    case .days(let days):
      next.secondsSinceEpoch += Int64(days) * 86_400
    case .businessDays:
      repeat {
        next.secondsSinceEpoch += 86_400
      } while !openWeekdays[next.weekday] && openWeekdays.contains(true)
    case .irregular:
      next.secondsSinceEpoch += 86_400
    case .months(let months):
      next = month(origin.monthNumber + months * (index + 1), like: origin)
    }
    return next
  }

  private func month(_ number: Int, like origin: Timestamp) -> Timestamp {
    let year = 1970 + number.flooredQuotient(12)
    let month = number - number.flooredQuotient(12) * 12 + 1
    let length = CivilTime.daysInMonth(year: year, month: month)
    let day = monthEnd == .fixedDay ? min(origin.civil.day, length) : length
    var number = CivilTime.dayNumber(year: year, month: month, day: day)
    if monthEnd == .lastWeekday {
      while Timestamp(secondsSinceEpoch: Int64(number) * 86_400).weekday > 4 { number -= 1 }
    }
    return Timestamp(secondsSinceEpoch: Int64(number) * 86_400 + Int64(origin.secondOfDay))
  }

  /// A stretch without rows where rows were due.
  public struct Hole: Hashable, Codable, Sendable {
    /// The last stamp before the hole.
    public var after: Timestamp
    /// The first stamp behind it.
    public var before: Timestamp
    /// Rows that were due in between.
    public var missing: Int
    /// Short enough to be a holiday of a market.
    public var isClosure: Bool
  }

  /// The holes in strictly increasing stamps; none for steps and irregular rows.
  public func holes(in stamps: [Timestamp]) -> [Hole] {
    zip(stamps, stamps.dropFirst()).compactMap { left, right in
      let missing = rowsDue(after: left, before: right)
      guard missing > 0 else { return nil }
      return Hole(after: left, before: right, missing: missing, isClosure: isClosure(missing))
    }
  }

  /// Four closed days in a row have happened to every exchange; five are a gap.
  private func isClosure(_ missing: Int) -> Bool {
    switch frequency {
    case .businessDays: missing <= 4
    case .seconds:
      !openSlots.isEmpty && missing * 5 >= seasonLength * 3 && missing <= seasonLength * 4
    default: false
    }
  }

  private func rowsDue(after left: Timestamp, before right: Timestamp) -> Int {
    switch frequency {
    case .steps, .irregular: return 0
    case .nanoseconds(let step):
      let span = right.nanoseconds(since: left)
      return max(0, Int((Double(span) / Double(step)).rounded()) - 1)
    case .days(let days):
      let span = right.dayNumber - left.dayNumber
      return max(0, (span + days / 2) / days - 1)
    case .months(let months):
      return max(0, (right.monthNumber - left.monthNumber) / months - 1)
    case .businessDays:
      let span = right.dayNumber - left.dayNumber - 1
      guard span > 0 else { return 0 }
      let perWeek = openWeekdays.count { $0 }
      let rest = (0..<span % 7).count { openWeekdays[(left.weekday + 1 + $0) % 7] }
      return span / 7 * perWeek + rest
    case .seconds(let step):
      let (steps, rest) = Int(right.seconds(since: left)).quotientAndRemainder(dividingBy: step)
      let span = rest >= step - step / 2 ? steps : steps - 1
      guard span > 0, !openSlots.isEmpty else { return max(0, span) }
      let start = slot(of: left, step: step) + 1
      let open = (0..<span % openSlots.count).count { openSlots[(start + $0) % openSlots.count] }
      return span / openSlots.count * openSlots.count { $0 } + open
    }
  }
}

/// Why a cadence has no stamps ahead.
public enum CadenceError: Error, Equatable, Sendable {
  /// The moment lies so far off that its successors cannot be counted, or too many are asked for.
  case beyondTime(after: Timestamp, count: Int)
}

extension CadenceError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// What was found, what was expected.
  public var description: String {
    switch self {
    case .beyondTime(let stamp, let count):
      """
      Found the time \(stamp), expected one that \(count) further rows can follow; check the column of \
      the time.
      """
    }
  }
}

extension KeyedDecodingContainer {
  /// Throws, naming the key, unless what was read for it keeps a rule.
  package func require(_ isKept: Bool, _ key: Key, _ rule: String) throws {
    guard isKept else {
      throw DecodingError.dataCorruptedError(forKey: key, in: self, debugDescription: rule)
    }
  }
}
