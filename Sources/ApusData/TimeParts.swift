/// Puts a time together from several columns: a date and a clock or an hour, or a year and what divides it.
struct TimeParts {
  let search: TimeSearch
  private var layout: CSVLayout { search.layout }
  private var facts: [ColumnFacts] { search.facts }

  init(_ search: TimeSearch) { self.search = search }

  /// The part of a date that people call so.
  static func role(named name: String) -> TableFormat.TimeRole? {
    let plain = normalizedName(name)
    if let role = names.first(where: { $0.names.contains(plain) })?.role { return role }
    return ColumnNames.isHour(name) ? .hour : nil
  }

  private static let names: [(role: TableFormat.TimeRole, names: Set<String>)] = [
    (
      .year,
      [
        "year", "yr", "yyyy", "jahr", "annee", "année", "ano", "año", "anno", "rok", "aar", "år",
        "jaar",
      ]
    ),
    (
      .month,
      [
        "month", "mo", "mnth", "mon", "mm", "monthofyear", "monat", "mois", "mes", "mese", "maand",
        "miesiąc", "period",
      ]
    ),
    (.quarter, ["quarter", "qtr", "q", "quartal", "trimestre", "kvartal", "kwartaal", "period"]),
    (
      .week,
      [
        "week", "wk", "weekofyear", "weekno", "weeknumber", "isoweek", "kw", "woche", "semaine",
        "semana", "vecka", "period",
      ]
    ),
    (.day, ["day", "dayofmonth", "dd", "tag", "jour", "dia", "día", "giorno", "dag", "dom"]),
    (.yearDay, ["dayofyear", "doy", "yday", "julian", "julianday", "jday"]),
    (.minute, ["minute", "min", "minutes", "mi"]),
    (.second, ["second", "sec", "seconds"]),
  ]

  private static let slots: Set<String> = [
    "interval", "slot", "period", "settlementperiod", "deliveryinterval", "timeslot", "halfhour",
    "quarterhour", "ptu", "block",
  ]

  // MARK: A date and what follows it

  /// The candidate with the columns that tell rows of one day apart; itself where there are none.
  func extended(_ candidate: TimeCandidate) -> TimeCandidate {
    guard candidate.parts.count == 1, case .date(let style) = candidate.parts[0].role,
      style.isOfDays, TimeCandidate.repeats(candidate.stamps, atMost: 0) > 0,
      candidate.stamps.allSatisfy({ $0.map { $0.secondOfDay == 0 } ?? true })
    else { return candidate }
    var best = candidate
    for parts in extensions(of: candidate.parts[0].column) {
      let all = candidate.parts + parts
      guard let found = read(all, rank: candidate.rank) else { continue }
      if found.repeats < best.repeats { best = found }
    }
    best.notes = candidate.notes + best.notes.filter { !candidate.notes.contains($0) }
    return best
  }

  /// Of readings that differ in the order of day and month, the one under which rows are evenly spaced once the
  /// clock is read too; nil where that does not tell.
  func settled(_ open: [TimeCandidate]) -> TimeCandidate? {
    let all = open.map(extended).filter { $0.parts.count > 1 }
      .map { (candidate: $0, evenness: DateColumn.evenness($0.stamps)) }
      .sorted { $0.evenness > $1.evenness }
    guard all.count == open.count, all[0].evenness >= 0.7,
      all[1].evenness * 2 <= all[0].evenness
    else { return nil }
    var best = all[0].candidate
    best.notes.append(
      "No day above 12 tells day from month; even spacing does: dates are read like "
        + "\(best.parts.example).")
    return best
  }

  private func extensions(of date: Int) -> [[TimePart]] {
    var result: [[TimePart]] = []
    for column in layout.names.indices where column != date {
      if isClock(column) {
        result.append([TimePart(column: column, role: .clock)])
      } else if let slot = slot(column) {
        result.append([TimePart(column: column, role: slot)])
      } else if facts[column].isInteger || !facts[column].isNumeric,
        ColumnNames.isHour(layout.names[column]), isNumber(column, in: 0...25)
      {
        let hour = TimePart(column: column, role: .hour)
        result.append([hour])
        for minute in layout.names.indices where isRole(.minute, minute) {
          result.append([hour, TimePart(column: minute, role: .minute)])
        }
        for part in layout.names.indices {
          if let quarter = quarterOfHour(part) {
            result.append([hour, TimePart(column: part, role: quarter)])
          }
        }
      }
    }
    return result
  }

  /// Times of day in every cell, and not one and the same.
  private func isClock(_ column: Int) -> Bool {
    let sample = layout.sample(column, limit: 300)
    guard !sample.isEmpty else { return false }
    if facts[column].isNumeric {
      // Leading zeros: numbers of four or six digits each are no quantity.
      let widths = Set(sample.map(\.count))
      let isPadded =
        (widths == [4] || widths == [6] || widths == [9]) && sample.contains { $0.first == 0x30 }
      guard isPadded || ColumnNames.isClock(layout.names[column]), facts[column].isInteger,
        facts[column].high <= 240_000_000, facts[column].high > 24
      else { return false }
    }
    return sample.allSatisfy { DateScanner.clock($0) != nil }
      && Set(sample.map(Array.init)).count > 1
  }

  /// A day in 48, 96 or another number of parts.
  private func slot(_ column: Int) -> TableFormat.TimeRole? {
    let fact = facts[column]
    guard Self.slots.contains(normalizedName(layout.names[column])), fact.isInteger, fact.low == 1
    else { return nil }
    let sizes = [24, 48, 96, 144, 288, 1_440]
    // The day on which clocks go back has a few more.
    return sizes.first { Double($0) <= fact.high && fact.high <= Double($0) * 25 / 24 + 1 }
      .map { .slot(perDay: $0) }
  }

  /// A quarter of an hour, 1 to 4, as a part of a day of 96.
  private func quarterOfHour(_ column: Int) -> TableFormat.TimeRole? {
    let fact = facts[column]
    guard Self.slots.contains(normalizedName(layout.names[column])), fact.isInteger, fact.low == 1
    else { return nil }
    return switch fact.high {
    case 2: .slot(perDay: 48)
    case 4: .slot(perDay: 96)
    case 6: .slot(perDay: 144)
    case 12: .slot(perDay: 288)
    default: nil
    }
  }

  // MARK: A year and what divides it

  /// Readings from a column of years and what divides them.
  func composed() -> [TimeCandidate] {
    guard let year = yearColumn() else { return [] }
    let start = [TimePart(column: year.column, role: .year)]
    var found: [TimeCandidate] = []
    for role in [TableFormat.TimeRole.month, .quarter, .week, .yearDay] {
      for column in layout.names.indices where column != year.column && isRole(role, column) {
        var parts = start + [TimePart(column: column, role: role)]
        if role == .month, let day = layout.names.indices.first(where: { isRole(.day, $0) }) {
          parts.append(TimePart(column: day, role: .day))
        }
        for finer in [TableFormat.TimeRole.hour, .minute, .second] {
          guard let next = layout.names.indices.first(where: { isRole(finer, $0) }) else { break }
          parts.append(TimePart(column: next, role: finer))
        }
        if let reading = read(parts, rank: 1) { found.append(reading) }
      }
    }
    if found.isEmpty, let month = cyclicMonth(besides: year.column),
      let reading = read(start + [TimePart(column: month, role: .month)], rank: 1)
    {
      found.append(reading)
    }
    return found
  }

  /// A column of years by its name, or the first of numbers that are years and never fall.
  private func yearColumn() -> (column: Int, isNamed: Bool)? {
    let years = layout.names.indices.filter {
      facts[$0].isInteger && facts[$0].low >= 1_000 && facts[$0].high <= 2_999
    }
    if let named = years.first(where: { isNamed(.year, $0) }) { return (named, true) }
    let unnamed = years.first { column in
      let values = facts[column].numbers?.values ?? []
      return facts[column].low >= 1_700 && facts[column].high <= 2_200
        && zip(values, values.dropFirst()).allSatisfy { $0 <= $1 }
    }
    return unnamed.map { ($0, false) }
  }

  /// A column of 1 to 12 that goes round and round.
  private func cyclicMonth(besides year: Int) -> Int? {
    layout.names.indices.first { column in
      let fact = facts[column]
      guard column != year, fact.isInteger, fact.low == 1, fact.high == 12, fact.distinct == 12
      else { return false }
      let values = fact.numbers?.values ?? []
      let steps = zip(values, values.dropFirst())
      let even = steps.count { $1 == $0.truncatingRemainder(dividingBy: 12) + 1 }
      return even * 100 >= (values.count - 1) * 95
    }
  }

  private func isNamed(_ role: TableFormat.TimeRole, _ column: Int) -> Bool {
    let plain = normalizedName(layout.names[column])
    if role == .hour { return ColumnNames.isHour(layout.names[column]) }
    return Self.names.contains { $0.role == role && $0.names.contains(plain) }
  }

  /// A column of that name whose cells fit it.
  private func isRole(_ role: TableFormat.TimeRole, _ column: Int) -> Bool {
    guard isNamed(role, column) else { return false }
    if facts[column].isNumeric {
      return facts[column].isInteger && isNumber(column, in: role.range)
    }
    let sample = layout.sample(column, limit: 300)
    let letter: [UInt8] =
      switch role {
      case .quarter: [0x71]
      case .week: [0x77, 0x6B]
      case .month: [0x6D]
      default: []
      }
    return !sample.isEmpty
      && sample.allSatisfy { cell in
        if let number = TimeSum.number(cell), role.range.contains(number),
          let first = cell.first.flatMap({ lowercaseLetter($0) })
        {
          return letter.contains(first)
        }
        guard role == .month else { return false }
        var scanner = DateScanner(cell, months: search.months)
        return scanner.word().flatMap { search.months.month($0) } != nil
      }
  }

  private func isNumber(_ column: Int, in range: ClosedRange<Int>) -> Bool {
    let fact = facts[column]
    if fact.isNumeric {
      return fact.low >= Double(range.lowerBound) && fact.high <= Double(range.upperBound)
    }
    return layout.sample(column, limit: 300).allSatisfy {
      TimeSum.number($0).map(range.contains) ?? false
    }
  }

  // MARK: Reading

  /// Every row read by the parts; nil where too many do not fit.
  func read(_ parts: [TimePart], rank: Int) -> TimeCandidate? {
    let months = search.months
    let parsed = layout.rows.indices.map { row in
      parts.parse(months: months) { layout.cell(row, $0) }
    }
    guard search.options.mayDrop(parsed.count { $0 == nil }, of: parsed.count) else { return nil }
    let dates = DateColumn(parsed, isUniversal: search.options.format?.isUniversal)
    var notes: [String] = []
    for part in parts where part.role == .hour && facts[part.column].high >= 24 {
      notes.append("Hours run to 24: '\(layout.names[part.column])' is taken as the hour's end.")
    }
    return TimeCandidate(parts, dates: dates, notes: notes, rank: rank)
  }

  /// The parts that a person named by their columns, in any order; nil where they do not make a time.
  func named(_ columns: [Int]) -> TimeCandidate? {
    if let date = search.candidates.first(where: {
      $0.parts.count == 1 && columns.contains($0.parts[0].column)
    }) {
      let rest = columns.filter { $0 != date.parts[0].column }
      if rest.isEmpty { return date }
      let parts = rest.compactMap { column -> TimePart? in
        if isClock(column) { return TimePart(column: column, role: .clock) }
        if let slot = slot(column) { return TimePart(column: column, role: slot) }
        if let role = Self.role(named: layout.names[column]) {
          return TimePart(column: column, role: role)
        }
        return isNumber(column, in: 0...25) ? TimePart(column: column, role: .hour) : nil
      }
      guard parts.count == rest.count else { return nil }
      return read(date.parts + parts, rank: 0)
    }
    let parts = columns.enumerated().compactMap { place, column -> TimePart? in
      if place == 0 || isNamed(.year, column) { return TimePart(column: column, role: .year) }
      if let role = Self.role(named: layout.names[column]) {
        return TimePart(column: column, role: role)
      }
      return isNumber(column, in: 1...12) ? TimePart(column: column, role: .month) : nil
    }
    return parts.count == columns.count && parts.count > 1 ? read(parts, rank: 0) : nil
  }
}
