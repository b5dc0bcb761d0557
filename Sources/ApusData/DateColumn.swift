/// A column of dates, read as a whole.
struct DateColumn: Sendable {
  /// One stamp per cell; nil where the cell is empty or no date in this style.
  var stamps: [Timestamp?]
  /// What the reader of the data should know, as sentences.
  var notes: [String] = []
  /// Whether times that carry a zone were moved to Coordinated Universal Time.
  private(set) var isUniversal = false

  /// Settles zones and years of two digits.
  ///
  /// - Parameters:
  ///   - parsed: What each cell said.
  ///   - known: Whether times with a zone move to Coordinated Universal Time; nil decides by the
  ///     column.
  init(_ parsed: [ParsedDate?], isUniversal known: Bool?) {
    var (found, zoned) = (0, 0)
    var offsets: Set<Int> = []
    var (isDaily, hasShortYears) = (true, false)
    for case .some(let date) in parsed {
      found += 1
      if let offset = date.offset {
        zoned += 1
        if offsets.count < 4 { offsets.insert(offset) }
      }
      if isDaily { isDaily = date.local.nanosecond == 0 && date.local.secondOfDay == 0 }
      hasShortYears = hasShortYears || date.twoDigitYear
    }
    // Daily rows carry midnight of some place; moving them to Greenwich would change the day.
    let keepsLocal = known.map { !$0 } ?? (zoned == 0 || isDaily)
    isUniversal = !keepsLocal
    stamps = parsed.map { date in date.map { keepsLocal ? $0.local : $0.universal } }
    if zoned > 0, isDaily, offsets != [0] {
      notes.append("Dates carry a zone; they are days, so the local calendar day is kept.")
    } else if zoned > 0, offsets != [0] {
      notes.append("Times carry a zone and were moved to Coordinated Universal Time.")
    }
    if zoned > 0, zoned < found {
      notes.append(
        "\(found - zoned) of \(found) times name no zone and were taken as "
          + (keepsLocal ? "local." : "universal."))
    }
    if hasShortYears {
      notes.append(
        "Years have two digits: 41 to 99 are read as 1941 to 1999, 00 to 40 as 2000 to 2040.")
    }
  }

  /// The styles in which at least one of some cells is a date, with the share of the cells that is; the
  /// largest share first. Counts of days and ticks are not among them: any number is one.
  ///
  /// - Parameters:
  ///   - cells: Trimmed cells, empty ones left out.
  ///   - months: The language of names of months.
  /// - Returns: The styles with their shares.
  static func styles(
    of cells: [ArraySlice<UInt8>], months: MonthNames = .english
  ) -> [(style: DateStyle, share: Double)] {
    guard !cells.isEmpty else { return [] }
    var found: [(style: DateStyle, share: Double)] = []
    for style in candidates {
      let hits = cells.count { DateScanner.parse($0, as: style, months: months) != nil }
      if hits > 0 { found.append((style, Double(hits) / Double(cells.count))) }
    }
    // Of equal shares the first of the list counts.
    return found.enumerated().sorted {
      ($1.element.share, $0.offset) < ($0.element.share, $1.offset)
    }.map(\.element)
  }

  private static let candidates: [DateStyle] = [
    .yearMonthDay, .dayMonthYear, .monthDayYear, .shortYearMonthDay, .compact, .monthName,
    .yearMonth,
    .quarter, .halfYear, .isoWeek, .yearDay, .year,
  ]

  /// How evenly moments are spaced: the share of the rows that are due by their own cadence and are there; 0
  /// where no cadence shows.
  static func evenness(_ stamps: some Sequence<Timestamp?>) -> Double {
    let sorted = Set(stamps.compactMap(\.self)).sorted()
    guard sorted.count >= 3 else { return 0 }
    let cadence = Cadence(inferredFrom: sorted)
    guard cadence.frequency != .irregular else { return 0 }
    let missing = cadence.holes(in: sorted).reduce(0) { $0 + ($1.isClosure ? 0 : $1.missing) }
    return Double(sorted.count) / Double(sorted.count + missing)
  }
}

extension DateStyle {
  /// The unit of ticks since 1970 in which a number falls into the years 1971 to 2199; the ranges of the units
  /// do not meet.
  static func epochUnit(of cell: ArraySlice<UInt8>) -> DateStyle? {
    let units: [DateStyle] = [
      .epochSeconds, .epochMilliseconds, .epochMicroseconds, .epochNanoseconds,
    ]
    return units.first { unit in
      guard let stamp = DateScanner.parse(cell, as: unit)?.local else { return false }
      return (31_536_000...7_258_118_400).contains(stamp.secondsSinceEpoch)
    }
  }
}
