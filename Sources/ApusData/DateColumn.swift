/// A column of dates, read as a whole.
///
/// Whether `03/04/2015` is in March or in April cannot be told from one cell. The column tells: a 13 in one
/// place settles it, then the order of the rows; what neither settles is reported as ambiguous.
struct DateColumn: Sendable {
  /// One stamp per cell; nil where the cell is empty or no date in this style.
  var stamps: [Timestamp?]
  var style: DateStyle
  /// What the reader of the data should know, as sentences.
  var notes: [String] = []
  /// Whether times that carry a zone were moved to Coordinated Universal Time.
  private(set) var isUniversal = false
  /// Both orders of day and month fit every cell.
  var isAmbiguous = false

  /// The style that most of a sample of cells follows, and the share that does; nil below one half.
  ///
  /// - Parameter cells: Trimmed cells, empty ones left out.
  /// - Returns: The style with its share of the cells.
  static func guessStyle(of cells: [ArraySlice<UInt8>]) -> (style: DateStyle, share: Double)? {
    guard !cells.isEmpty else { return nil }
    var best: (style: DateStyle, share: Double)?
    for style in candidates {
      let hits = cells.count { DateScanner.parse($0, as: style) != nil }
      let share = Double(hits) / Double(cells.count)
      if share > (best?.share ?? 0.5) { best = (style, share) }
      if share == 1 { break }
    }
    if best == nil || best?.style.isBareNumber == true, let epoch = epochStyle(of: cells) {
      return best?.share == 1 && best?.style != .year ? best : (epoch, 1)
    }
    return best
  }

  /// Epochs are not among them: any number is one, so their magnitude decides.
  private static let candidates: [DateStyle] = [
    .yearMonthDay, .dayMonthYear, .monthDayYear, .compact, .monthName, .yearMonth, .quarter,
    .isoWeek, .year,
  ]

  /// Which tick makes every cell fall into the years 1971 to 2199, when one does.
  private static func epochStyle(of cells: [ArraySlice<UInt8>]) -> DateStyle? {
    let styles: [DateStyle] = [
      .epochSeconds, .epochMilliseconds, .epochMicroseconds, .epochNanoseconds,
    ]
    return styles.first { style in
      cells.allSatisfy { cell in
        guard let stamp = DateScanner.parse(cell, as: style)?.local else { return false }
        return (31_536_000...7_258_118_400).contains(stamp.secondsSinceEpoch)
      }
    }
  }

  /// Reads every cell.
  ///
  /// - Parameters:
  ///   - count: How many cells.
  ///   - style: What ``guessStyle(of:)`` found; the two orders of day and month are distinguished
  ///     here.
  ///   - dayFirst: The user's word on day and month, which ends the matter.
  ///   - isUniversal: Whether times with a zone move to Coordinated Universal Time; nil decides by the
  ///     column.
  ///   - cell: A trimmed cell.
  init(
    count: Int, style: DateStyle, dayFirst: Bool?, isUniversal: Bool? = nil,
    cell: (Int) -> ArraySlice<UInt8>
  ) {
    func parsed(as style: DateStyle) -> [ParsedDate?] {
      (0..<count).map { DateScanner.parse(cell($0), as: style) }
    }
    guard style == .dayMonthYear || style == .monthDayYear else {
      self.init(parsed(as: style), style: style, isUniversal: isUniversal)
      return
    }
    if let dayFirst {
      let chosen: DateStyle = dayFirst ? .dayMonthYear : .monthDayYear
      self.init(parsed(as: chosen), style: chosen, isUniversal: isUniversal)
      return
    }
    let byDay = parsed(as: .dayMonthYear)
    let byMonth = parsed(as: .monthDayYear)
    let dayHits = byDay.count { $0 != nil }
    let monthHits = byMonth.count { $0 != nil }
    if dayHits != monthHits {
      let dayWins = dayHits > monthHits
      self.init(
        dayWins ? byDay : byMonth, style: dayWins ? .dayMonthYear : .monthDayYear,
        isUniversal: isUniversal)
      return
    }
    let daySteps = Self.roughness(byDay)
    let monthSteps = Self.roughness(byMonth)
    if daySteps != monthSteps {
      let dayWins = daySteps < monthSteps
      self.init(
        dayWins ? byDay : byMonth, style: dayWins ? .dayMonthYear : .monthDayYear,
        isUniversal: isUniversal)
      notes.append(
        "No day above 12 tells day from month; the order of the rows does: dates are read as "
          + (dayWins ? "day/month/year." : "month/day/year."))
      return
    }
    let usesDots = (0..<count).contains { cell($0).contains(0x2E) }
    self.init(
      usesDots ? byDay : byMonth, style: usesDots ? .dayMonthYear : .monthDayYear,
      isUniversal: isUniversal)
    isAmbiguous = true
    notes.append(
      "Day and month cannot be told apart in this column; dates are read as "
        + (usesDots ? "day.month.year." : "month/day/year. Say dayFirst if that is wrong."))
  }

  private init(_ parsed: [ParsedDate?], style: DateStyle, isUniversal known: Bool?) {
    self.style = style
    let found = parsed.compactMap { $0 }
    let zoned = found.count { $0.offset != nil }
    let offsets = Set(found.compactMap(\.offset))
    let isDaily = found.allSatisfy { $0.local.secondOfDay == 0 }
    // Daily rows carry midnight of some place; moving them to Greenwich would change the day.
    let keepsLocal = known.map { !$0 } ?? (zoned == 0 || isDaily)
    isUniversal = !keepsLocal
    stamps = parsed.map { date in date.map { keepsLocal ? $0.local : $0.universal } }
    if zoned > 0, isDaily, offsets != [0] {
      notes.append("Dates carry a zone; they are days, so the local calendar day is kept.")
    } else if zoned > 0, offsets != [0] {
      notes.append("Times carry a zone and were moved to Coordinated Universal Time.")
    }
    if zoned > 0, zoned < found.count {
      notes.append(
        "\(found.count - zoned) of \(found.count) times name no zone and were taken as "
          + (keepsLocal ? "local." : "universal."))
    }
    if found.contains(where: \.twoDigitYear) {
      notes.append(
        "Years have two digits: 69 to 99 are read as 1969 to 1999, 00 to 68 as 2000 to 2068.")
    }
    if found.contains(where: \.droppedFraction) {
      notes.append("Fractions of a second were dropped.")
    }
  }

  /// `2015-12-31 13:00` from cells that hold 2015, 12, 31 and 13; at least the first two.
  static func composed(_ parts: [ArraySlice<UInt8>]) -> ArraySlice<UInt8> {
    var text = Array(parts[0])
    text += [0x2D] + parts[1]
    text += [0x2D] + (parts.count > 2 ? parts[2] : [0x31])
    if parts.count > 3 { text += [0x20] + parts[3] + Array(":00".utf8) }
    return text[...]
  }

  /// How far the column is from marching in one direction: steps against the majority.
  private static func roughness(_ dates: [ParsedDate?]) -> Int {
    var (up, down) = (0, 0)
    var last: Timestamp?
    for date in dates {
      guard let stamp = date?.local else { continue }
      if let last {
        if stamp > last { up += 1 }
        if stamp < last { down += 1 }
      }
      last = stamp
    }
    return min(up, down)
  }
}
