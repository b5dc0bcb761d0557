import ApusTensor

/// Finds every reading of the time of a table that fits its cells.
///
/// Names break ties; what decides is whether all cells fit, whether rows become distinct, and whether they are
/// evenly spaced.
struct TimeSearch {
  let layout: CSVLayout
  let options: SeriesOptions
  let facts: [ColumnFacts]
  /// The readings, by their first column.
  private(set) var candidates: [TimeCandidate] = []
  /// Columns that look like a time and are none.
  private(set) var unreadable: [UnreadableTime] = []
  /// Day and month fit both ways, by column.
  private(set) var undecided: [Int: SeriesError] = [:]
  /// The readings of these columns, of which a clock in another column may yet tell the right one.
  private(set) var open: [Int: [TimeCandidate]] = [:]
  /// The language of names of months that the columns are in.
  private(set) var months: MonthNames

  private let file: String

  /// Looks at every column but those barred, or at those named.
  init(
    _ layout: CSVLayout, options: SeriesOptions, facts: [ColumnFacts], only: [Int]? = nil,
    barred: Set<Int> = []
  ) throws(SeriesError) {
    self.layout = layout
    self.options = options
    self.facts = facts
    file = layout.table.source.name
    let code = options.locale ?? options.format?.locale
    if let code {
      guard let known = MonthNames.named(code) else { throw .unknownLocale(code) }
      months = known
    } else {
      months = .english
    }
    for column in only ?? layout.names.indices.filter({ !barred.contains($0) }) {
      if facts[column].isNumeric {
        addNumbers(column, isAsked: only != nil)
      } else {
        addText(column, hasLocale: code != nil, isAsked: only != nil)
      }
    }
  }

  func isTimeName(_ column: Int) -> Bool { ColumnNames.isTime(layout.names[column]) }

  /// Every cell read in one style.
  func parsed(_ column: Int, _ style: DateStyle) -> [ParsedDate?] {
    let months = months
    guard style == .yearMonthDay, layout.rows.count >= 1_000, let cells = layout.textCells else {
      return layout.rows.indices.map { row in
        DateScanner.parse(layout.cell(row, column), as: style, months: months)
      }
    }
    return cells.dates(column).enumerated().map { row, seconds in
      seconds == .min
        ? DateScanner.parse(layout.cell(row, column), as: style, months: months)
        : ParsedDate(local: Timestamp(secondsSinceEpoch: seconds))
    }
  }

  private func isComplete(_ parsed: [ParsedDate?]) -> Bool {
    options.mayDrop(parsed.count { $0 == nil }, of: parsed.count)
  }

  private mutating func add(
    _ column: Int, _ style: DateStyle, _ parsed: [ParsedDate?], notes: [String] = [], rank: Int
  ) {
    let dates = DateColumn(parsed, isUniversal: options.format?.isUniversal)
    candidates.append(
      TimeCandidate(
        [TimePart(column: column, role: .date(style))], dates: dates, notes: notes, rank: rank))
  }

  // MARK: Written dates

  private mutating func addText(_ column: Int, hasLocale: Bool, isAsked: Bool) {
    let sample = layout.sample(column, limit: 300)
    guard !sample.isEmpty else { return }
    var styles = DateColumn.styles(of: sample, months: months)
    if !hasLocale, styles.first?.share ?? 0 < 0.99, let found = Self.language(of: sample) {
      months = found
      styles = DateColumn.styles(of: sample, months: months)
    }
    let share = styles.reduce(0) { min(1, $0 + ($1.style.isNumericDate ? 0 : $1.share)) }
    let looksLikeTime = max(styles.first?.share ?? 0, share) >= 0.5
    guard looksLikeTime || isTimeName(column) || isAsked else { return }
    var readings = styles.prefix(5).map { (style: $0.style, parsed: parsed(column, $0.style)) }
    if let dayFirst = options.knownDayFirst {
      let other: DateStyle = dayFirst ? .monthDayYear : .dayMonthYear
      let named: DateStyle = dayFirst ? .dayMonthYear : .monthDayYear
      if readings.contains(where: { $0.style == named }) {
        readings.removeAll { $0.style == other }
      }
    }
    let complete = readings.filter { isComplete($0.parsed) }
    guard !complete.isEmpty else {
      if looksLikeTime || isTimeName(column) || isAsked { noteUnreadable(column, readings) }
      return
    }
    let fewest = complete.map { $0.parsed.count { $0 == nil } }.min() ?? 0
    let best = complete.filter { $0.parsed.count { $0 == nil } == fewest }
    let orders = best.filter { $0.style.isNumericDate }
    let isOpen = orders.contains { order in
      zip(order.parsed, orders[0].parsed).contains { $0?.local != $1?.local }
    }
    if isOpen, best.first?.style.isNumericDate == true {
      decideOrder(column, orders)
    } else if let one = best.first {
      guard !isMixed(one.style, one.parsed) else {
        noteMixed(column, one)
        return
      }
      guard !isWithoutYear(one.parsed) else {
        noteUnreadable(column, [], reason: "a date with its year, such as 2015-12-31")
        return
      }
      var notes: [String] = []
      if one.style == .monthName, months != .english {
        notes.append("Names of months are read in the language '\(months.locale)'.")
      }
      add(column, one.style, one.parsed, notes: notes, rank: 0)
    }
  }

  /// The language in which all words of the cells are months.
  private static func language(of sample: [ArraySlice<UInt8>]) -> MonthNames? {
    guard sample.contains(where: { $0.contains { lowercaseLetter($0) != nil || $0 >= 0x80 } })
    else { return nil }
    return MonthNames.all.dropFirst().first { months in
      let hits = sample.count {
        DateScanner.parse($0, as: .monthName, months: months) != nil
      }
      return hits * 100 >= sample.count * 99
    }
  }

  /// `01-Jan` to `31-Dec`: read as years, the rows would be out of order; read as days, they are not.
  private func isWithoutYear(_ parsed: [ParsedDate?]) -> Bool {
    guard parsed.contains(where: { $0?.isMonthAndShortNumber == true }) else { return false }
    let stamps = parsed.compactMap { $0?.local }
    let pairs = zip(stamps, stamps.dropFirst())
    let isSorted = pairs.allSatisfy { $0 < $1 } || pairs.allSatisfy { $0 > $1 }
    return !isSorted && DateColumn.evenness(parsed.map { $0?.local }) < 0.95 || !isSorted
  }

  /// Whether rows are in order and even only if day and month change places wherever both are at most 12: the
  /// trace of a program that read some cells one way and some the other.
  private func isMixed(_ style: DateStyle, _ parsed: [ParsedDate?]) -> Bool {
    guard style.isNumericDate || style == .yearMonthDay, Self.turns(parsed) * 50 > parsed.count
    else { return false }
    let swapped = parsed.map { date -> ParsedDate? in
      guard var date else { return nil }
      let civil = date.local.civil
      guard civil.day <= 12, civil.day != civil.month,
        let other = Timestamp(
          year: civil.year, month: civil.day, day: civil.month, hour: civil.hour,
          minute: civil.minute, second: civil.second)
      else { return date }
      date.local = other
      return date
    }
    let stamps = swapped.compactMap { $0?.local }
    let pairs = zip(stamps, stamps.dropFirst())
    let isSorted = pairs.allSatisfy { $0 <= $1 } || pairs.allSatisfy { $0 >= $1 }
    return isSorted && DateColumn.evenness(stamps) >= 0.9
  }

  private mutating func noteMixed(_ column: Int, _ one: (style: DateStyle, parsed: [ParsedDate?])) {
    let row =
      layout.rows.indices.dropFirst().first { row in
        guard let last = one.parsed[row - 1]?.local, let this = one.parsed[row]?.local else {
          return false
        }
        return abs(this.dayNumber - last.dayNumber) > 20
      } ?? 0
    unreadable.append(
      UnreadableTime(
        column: column, row: row,
        reason:
          "one order of day and month, but rows follow each other only if it changes from cell to cell"
      ))
  }

  private mutating func noteUnreadable(
    _ column: Int, _ readings: [(style: DateStyle, parsed: [ParsedDate?])], reason: String? = nil
  ) {
    let common = readings.max { a, b in
      a.parsed.count { $0 != nil } < b.parsed.count { $0 != nil }
    }
    let row =
      common.flatMap { best in
        layout.rows.indices.first { best.parsed[$0] == nil && !layout.cell($0, column).isEmpty }
          ?? layout.rows.indices.first { best.parsed[$0] == nil }
      } ?? layout.rows.indices.first { !layout.cell($0, column).isEmpty } ?? 0
    let hits = common.map { $0.parsed.count { $0 != nil } } ?? 0
    let wanted =
      hits > 0
      ? "a date like \(common?.style.example ?? "") as in \(hits) of \(layout.rows.count) rows"
      : "a date such as 2015-12-31"
    unreadable.append(UnreadableTime(column: column, row: row, reason: reason ?? wanted))
  }

  // MARK: Day and month

  /// Of several orders of day, month and year that fit all cells, takes the one that is evenly spaced, or in
  /// order; where neither tells, none.
  private mutating func decideOrder(
    _ column: Int, _ orders: [(style: DateStyle, parsed: [ParsedDate?])]
  ) {
    let usesDots = layout.rows.indices.contains { layout.cell($0, column).prefix(3).contains(0x2E) }
    if usesDots, let day = orders.first(where: { $0.style == .dayMonthYear }) {
      add(column, day.style, day.parsed, rank: 0)
      return
    }
    let scored = orders.map { order in
      (
        order: order, evenness: DateColumn.evenness(order.parsed.map { $0?.local }),
        turns: Self.turns(order.parsed)
      )
    }
    let byEvenness = scored.sorted { $0.evenness > $1.evenness }
    let byTurns = scored.sorted { $0.turns < $1.turns }
    let isEven =
      byEvenness[0].evenness >= 0.7 && byEvenness[1].evenness * 2 <= byEvenness[0].evenness
    let isOrdered = byTurns[0].turns < byTurns[1].turns
    let agree = byEvenness[0].order.style == byTurns[0].order.style
    if isEven, !isOrdered || agree || byEvenness[0].evenness >= 0.95 {
      let best = byEvenness[0].order
      let note =
        "No day above 12 tells day from month; even spacing does: dates are read like \(best.style.example)."
      add(column, best.style, best.parsed, notes: [note], rank: 0)
    } else if isOrdered, !isEven {
      let best = byTurns[0].order
      let note =
        "No day above 12 tells day from month; the order of the rows does: dates are read like "
        + "\(best.style.example)."
      add(column, best.style, best.parsed, notes: [note], rank: 0)
    } else {
      let row =
        layout.rows.indices.first { orders[0].parsed[$0]?.local != orders[1].parsed[$0]?.local }
        ?? 0
      let readings = orders.map { "\($0.parsed[row].map { "\($0.local)" } ?? "")" }
      open[column] = orders.map { order in
        TimeCandidate(
          [TimePart(column: column, role: .date(order.style))],
          dates: DateColumn(order.parsed, isUniversal: options.format?.isUniversal), rank: 0)
      }
      undecided[column] = .undecided(
        file: file, column: layout.names[column], line: layout.line(row),
        found: String(layout.text(row, column).prefix(40)),
        readings: readings.joined(separator: " or "), choice: "--day-first or --no-day-first")
    }
  }

  /// How far a column is from marching in one direction: steps against the majority.
  private static func turns(_ dates: [ParsedDate?]) -> Int {
    var (up, down) = (0, 0)
    var last: Timestamp?
    for case .some(let date) in dates {
      if let last {
        if date.local > last { up += 1 }
        if date.local < last { down += 1 }
      }
      last = date.local
    }
    return min(up, down)
  }

  // MARK: Numbers

  private mutating func addNumbers(_ column: Int, isAsked: Bool) {
    let fact = facts[column]
    let isNamed = isTimeName(column) || isAsked
    guard fact.count > 0, options.mayDrop(layout.rows.count - fact.count, of: layout.rows.count)
    else {
      if isNamed, !ColumnNames.isStep(layout.names[column]), fact.count > 0 {
        noteUnreadable(column, [])
      }
      return
    }
    for style in numberStyles(column, fact, isNamed: isNamed, isAsked: isAsked) {
      let parsed = parsed(column, style)
      guard isComplete(parsed) else { continue }
      let stamps = parsed.map { $0?.local }
      let isStep = ColumnNames.isStep(layout.names[column])
      if !isNamed || (isStep && style == .excelDays && fact.isInteger) {
        guard
          fact.isMonotonic || fact.isSorted && style != .excelDays || style == .yearMonth
            || style == .year
        else { continue }
        let evenness = DateColumn.evenness(stamps)
        guard evenness >= 0.7, style != .year || evenness >= 0.9 else { continue }
        if style == .excelDays, column > 0 || isStep {
          let sorted = stamps.compactMap(\.self).sorted()
          guard Cadence(inferredFrom: sorted).frequency == .businessDays else { continue }
        }
      }
      add(column, style, parsed, rank: isNamed ? 1 : 2)
      return
    }
    let rises = fact.isCounter || fact.isMonotonic
    if isNamed, !ColumnNames.isStep(layout.names[column]), !isCalendarWord(column),
      !rises || isAsked
    {
      noteUnreadable(column, [])
    }
  }

  /// A part of a date by its name, which a feature may be: `month` with 1 to 12 is no date that failed.
  private func isCalendarWord(_ column: Int) -> Bool {
    TimeParts.role(named: layout.names[column]) != nil
  }

  /// The ways in which all numbers of a column can be times.
  private func numberStyles(
    _ column: Int, _ fact: ColumnFacts, isNamed: Bool, isAsked: Bool
  ) -> [DateStyle] {
    var styles: [DateStyle] = []
    if fact.isInteger, fact.low >= 0 {
      switch (fact.low, fact.high) {
      case (1_000..., ...2_999): styles.append(.year)
      case (150_001..., ...299_912): styles.append(.yearMonth)
      case (1_000_001..., ...2_999_366): styles.append(.yearDay)
      case (10_000_101..., ...99_991_231): styles.append(.compact)
      case (1_000_010_100..., ...99_991_231_235_959_999): styles.append(.compact)
      default: break
      }
    }
    if fact.low >= 20_000, fact.high <= 80_000 { styles.append(.excelDays) }
    if fact.low >= 31_536_000 {
      let sample = layout.sample(column, limit: 300)
      let units = Set(sample.map { DateStyle.epochUnit(of: $0) })
      if !units.contains(nil) {
        let low = Self.unit(fact.low)
        styles.append(low == Self.unit(fact.high) ? low ?? .epochAnyUnit : .epochAnyUnit)
      }
    }
    return styles
  }

  private static func unit(_ value: Double) -> DateStyle? {
    guard value < 9e18, let whole = Int64(exactly: value.rounded(.down)) else { return nil }
    return DateStyle.epochUnit(of: Array("\(whole)".utf8)[...])
  }
}
