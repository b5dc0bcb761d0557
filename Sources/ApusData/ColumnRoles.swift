/// Which column of a table plays which part, and why.
struct ColumnRoles {
  /// Where stamps come from.
  private(set) var time = TimeAxis.rowOrder
  /// The stamp of each row; nil where its time cannot be read.
  private(set) var stamps: [Timestamp?] = []
  /// Whether times with a zone were moved to Coordinated Universal Time.
  private(set) var isUniversal = false
  /// The language of names of months.
  private(set) var months = MonthNames.english
  /// Columns that name series together.
  private(set) var keys: [Int] = []
  private(set) var targets: [Int] = []
  private(set) var covariates: [Int] = []
  /// Columns of words that are kept as classes.
  private(set) var categories: [Int] = []
  /// Columns that hold neither numbers nor a role.
  private(set) var ignored: [Int] = []
  private(set) var choices: [DataReport.Choice] = []
  private(set) var notes: [String] = []
  /// What the cells of every column are.
  let facts: [ColumnFacts]
  /// The rows of each series.
  private(set) var groups: [SeriesGroup] = []

  private let layout: CSVLayout
  private let options: SeriesOptions
  private let file: String
  /// Columns that are written like a time, whether or not they are the time of the rows.
  private var timeLike: Set<Int> = []
  /// Columns that play another part.
  private let barred: Set<Int>
  /// Whether the table is the first row of a live one, in which a column may be missing.
  private let isLive: Bool

  /// Decides.
  ///
  /// - Parameters:
  ///   - layout: The table.
  ///   - options: What a person says.
  ///   - barred: Columns that are neither time, name, target nor beside it. Default: none.
  ///   - isLive: Whether the table is the first row of a live one. Default: no.
  /// - Throws: ``SeriesError`` where the table cannot be read, or can be read in several ways.
  init(_ layout: CSVLayout, options: SeriesOptions, barred: Set<Int> = [], isLive: Bool = false)
    throws(SeriesError)
  {
    self.layout = layout
    (self.barred, self.isLive) = (barred, isLive)
    self.options = options
    file = layout.table.source.name
    facts = layout.names.indices.map { ColumnFacts(layout, $0) }
    let fixed = try options.id.map { name throws(SeriesError) in try column(named: name) }
    keys = fixed
    try chooseTime()
    try chooseKeys(fixed: fixed)
    groups = SeriesGroup.all(layout, keys: keys, stamps: stamps)
    if options.format == nil || !fixed.isEmpty { try refuseRepeats() }
    try chooseTargets()
    try chooseCovariates()
  }

  private mutating func choose(_ subject: String, _ chosen: String, because reason: String) {
    choices.append(DataReport.Choice(subject: subject, chosen: chosen, reason: reason))
  }

  private func column(named name: String) throws(SeriesError) -> Int {
    guard let index = layout.column(named: name) else {
      throw .noSuchColumn(file: file, name: name, names: layout.names)
    }
    return index
  }

  private func listed(_ columns: [Int]) -> String {
    columns.map { layout.names[$0] }.joined(separator: " and ")
  }

  /// The columns beside the time and the names.
  private func isTaken(_ column: Int) -> Bool {
    time.columns.contains(column) || keys.contains(column) || barred.contains(column)
  }
}

// MARK: - Time

extension ColumnRoles {
  private mutating func chooseTime() throws(SeriesError) {
    if options.countsRows {
      countRows(because: "you asked to count rows")
      return
    }
    if !options.time.isEmpty {
      try chooseNamedTime()
      return
    }
    if let known = options.format, try chooseTime(like: known.time) { return }
    let search = try TimeSearch(layout, options: options, facts: facts, barred: barred)
    months = search.months
    let parts = TimeParts(search)
    let settled = search.open.sorted { $0.key < $1.key }.compactMap { parts.settled($0.value) }
    let all = search.candidates.map(parts.extended) + settled + parts.composed()
    let undecided = search.undecided.filter { column, _ in
      !settled.contains { $0.parts[0].column == column }
    }
    timeLike = Set(
      search.candidates.filter { $0.rank < 2 && !$0.isYear }.map { $0.parts[0].column })
    if let best = bestCandidate(all) {
      if let error = undecided.first(where: { $0.key < best.parts[0].column })?.value,
        best.rank > 0
      {
        throw error
      }
      take(best, because: reason(best))
      return
    }
    if let error = undecided.min(by: { $0.key < $1.key })?.value { throw error }
    if let failed = search.unreadable.first {
      throw .unreadableTime(
        file: file, column: layout.names[failed.column], line: layout.line(failed.row),
        found: String(layout.text(failed.row, failed.column).prefix(40)), reason: failed.reason)
    }
    if let steps = layout.names.indices.first(where: isSteps) {
      takeSteps(steps, because: "of its name and its cells (whole numbers, taken as steps)")
      return
    }
    countRows(because: "no column holds dates; rows are taken as consecutive steps")
  }

  private mutating func countRows(because reason: String) {
    time = .rowOrder
    stamps = layout.rows.indices.map { Timestamp(secondsSinceEpoch: Int64($0)) }
    choose("time", "none", because: reason)
  }

  private mutating func take(_ found: TimeCandidate, because reason: String) {
    time = .moments(found.parts)
    (stamps, isUniversal) = (found.stamps, found.isUniversal)
    notes += found.notes
    choose("time", listed(found.parts.map(\.column)), because: reason)
  }

  private mutating func takeSteps(_ column: Int, because reason: String) {
    time = .ordinal(column: column)
    stamps = layout.rows.indices.map { layout.styles[column].step(layout.cell($0, column)) }
    choose("time", layout.names[column], because: reason)
  }

  private func reason(_ found: TimeCandidate) -> String {
    if found.parts.count > 1 {
      return "together they make the time of a row (\(found.parts.example))"
    }
    let kind =
      switch found.rank {
      case 0: "its cells are dates"
      case 1: "of its name and its cells"
      default: "its numbers rise like times"
      }
    return "\(kind) (written like \(found.parts.example))"
  }

  /// Whole numbers under the name of a count, which name no series.
  private func isSteps(_ column: Int) -> Bool {
    let fact = facts[column]
    guard ColumnNames.isStep(layout.names[column]), fact.isInteger, fact.high < 1e15,
      !keys.contains(column), options.mayDrop(layout.rows.count - fact.count, of: layout.rows.count)
    else { return false }
    let name = normalizedName(layout.names[column])
    return !["id", "no", "nr", ""].contains(name) || fact.isMonotonic
  }

  /// The reading under which most rows become distinct; of equals the plainer one, the more even one, the one
  /// that needs fewer columns of names, the first.
  private func bestCandidate(_ all: [TimeCandidate]) -> TimeCandidate? {
    guard all.count > 1 else { return all.first }
    func order(_ one: TimeCandidate) -> [Double] {
      var names = 0
      var isResolved = hasFewRepeats(one.stamps)
      if !isResolved {
        let search = KeySearch(layout, facts: facts, stamps: one.stamps)
        let found = search.keys(fixed: keys, excluding: barred.union(one.parts.map(\.column)))
        isResolved = found != nil
        names = found?.columns.count ?? 0
      }
      let first = Double(one.parts.map(\.column).min() ?? 0)
      let evenness = DateColumn.evenness(one.stamps) >= 0.5 ? 0.0 : 1.0
      return [
        isResolved ? 0 : 1, Double(one.rank), evenness, Double(names), Double(one.parts.count),
        first,
      ]
    }
    let ranked = all.map { (candidate: $0, order: order($0)) }
    return ranked.min { $0.order.lexicographicallyPrecedes($1.order) }?.candidate
  }

  private mutating func chooseNamedTime() throws(SeriesError) {
    var columns: [Int] = []
    for name in options.time { columns.append(try column(named: name)) }
    let search = try TimeSearch(layout, options: options, facts: facts, only: columns)
    months = search.months
    if let error = columns.compactMap({ search.undecided[$0] }).first { throw error }
    if let found = TimeParts(search).named(columns) {
      take(found, because: "you named it (written like \(found.parts.example))")
      return
    }
    if columns.count == 1, facts[columns[0]].isInteger, facts[columns[0]].high < 1e15 {
      takeSteps(columns[0], because: "you named it (whole numbers, taken as steps)")
      return
    }
    let column = search.unreadable.first?.column ?? columns[0]
    let row =
      search.unreadable.first?.row
      ?? layout.rows.indices.first { !layout.cell($0, column).isEmpty } ?? 0
    throw .notDates(
      file: file, column: layout.names[column], line: layout.line(row),
      found: String(layout.text(row, column).prefix(40)))
  }

  /// Reads the time as a model's training did; false where this table has not its columns, or they are
  /// written otherwise.
  private mutating func chooseTime(like known: TableFormat.Time) throws(SeriesError) -> Bool {
    var parts: [TimePart] = []
    let locale = options.locale ?? options.format?.locale
    if let locale {
      guard let language = MonthNames.named(locale) else { throw .unknownLocale(locale) }
      months = language
    }
    switch known {
    case .dates(let name, let style, let clock):
      guard let column = layout.column(named: name) else { return false }
      parts = [
        TimePart(
          column: column, role: .date(options.dayFirst.map { style.with(dayFirst: $0) } ?? style))
      ]
      if let clock {
        guard let column = layout.column(named: clock) else { return false }
        parts.append(TimePart(column: column, role: .clock))
      }
    case .parts(let known):
      for part in known {
        guard let column = layout.column(named: part.column) else { return false }
        parts.append(TimePart(column: column, role: part.role))
      }
    case .ordinal(let name):
      guard let column = layout.column(named: name) else { return false }
      takeSteps(column, because: "the model's training read it so")
      return true
    case .rowOrder:
      countRows(because: "the model's training counted rows")
      return true
    case .header: return false
    }
    guard !parts.isEmpty else { return false }
    let months = months
    let parsed = layout.rows.indices.map { row in
      parts.parse(months: months) { layout.cell(row, $0) }
    }
    let hits = parsed.count { $0 != nil }
    guard hits > 0, hits * 5 >= parsed.count * 4 else { return false }
    let dates = DateColumn(parsed, isUniversal: options.format?.isUniversal)
    take(
      TimeCandidate(parts, dates: dates, rank: 0), because: "the model's training read it so")
    return true
  }
}

extension DateStyle {
  /// The same style with the order of day and month that a person names.
  fileprivate func with(dayFirst: Bool) -> DateStyle {
    guard isNumericDate, self != .shortYearMonthDay else { return self }
    return dayFirst ? .dayMonthYear : .monthDayYear
  }
}

// MARK: - Series

extension ColumnRoles {
  private mutating func chooseKeys(fixed: [Int]) throws(SeriesError) {
    if !fixed.isEmpty {
      choose("series", listed(fixed), because: "you named it")
      return
    }
    let known = (options.format?.series ?? []).compactMap { layout.column(named: $0) }
    if !known.isEmpty, known.count == options.format?.series.count,
      !known.contains(where: { time.columns.contains($0) })
    {
      keys = known
      choose("series", listed(known), because: "the model's training read it so")
      return
    }
    guard layout.entities.isEmpty else { return }
    if time == .rowOrder {
      chooseLabels()
      return
    }
    if hasFewRepeats(stamps) {
      chooseLoneName()
      return
    }
    let search = KeySearch(layout, facts: facts, stamps: stamps)
    if let found = search.keys(excluding: try untouchable()) {
      try refuseHours(found.columns)
      keys = found.columns.sorted()
      choose(
        "series", listed(keys),
        because: keys.count == 1
          ? "times repeat from one value to the next"
          : "times repeat, and these columns together tell the rows apart")
    }
  }

  /// 24 numbers a day under a name that says nothing: hours or series.
  private func refuseHours(_ found: [Int]) throws(SeriesError) {
    guard found.count == 1, let column = found.first, facts[column].isInteger,
      facts[column].distinct == 24, facts[column].high - facts[column].low == 23,
      facts[column].low <= 1, ColumnNames.seriesRank(layout.names[column]) == nil,
      case .moments(let parts) = time, parts.count == 1,
      stamps.allSatisfy({ $0.map { $0.secondOfDay == 0 } ?? true })
    else { return }
    let (day, name) = (layout.names[parts[0].column], layout.names[column])
    throw .undecided(
      file: file, column: name, line: layout.line(0), found: layout.text(0, column),
      readings: "an hour of the day or as the name of a series",
      choice: "--time \(day),\(name) or --id \(name)")
  }

  /// Columns that name no series.
  private func untouchable() throws(SeriesError) -> Set<Int> {
    var columns = Set(time.columns).union(timeLike).union(barred)
    for name in options.targets where name != "*" { columns.insert(try column(named: name)) }
    for name in options.statics { columns.insert(try column(named: name)) }
    return columns.union(try known())
  }

  /// One name that every row carries, or names whose series follow one another.
  private mutating func chooseLoneName() {
    let named = layout.names.indices.filter { !isTaken($0) && !facts[$0].isNumeric }
      .compactMap { column in
        ColumnNames.seriesRank(layout.names[column]).map { (rank: $0, column: column) }
      }.sorted { $0.rank < $1.rank }
    for (_, column) in named {
      var labels: Set<ArraySlice<UInt8>> = []
      var blocks = 0
      var last: ArraySlice<UInt8>?
      for row in layout.rows.indices {
        let label = layout.cell(row, column)
        if label != last {
          blocks += 1
          labels.insert(label)
          last = label
          if blocks > labels.count || labels.count > 1_000 { break }
        }
      }
      guard blocks == labels.count, labels.count * 10 <= max(10, layout.rows.count) else {
        continue
      }
      keys = [column]
      choose(
        "series", layout.names[column],
        because: labels.count == 1
          ? "every row carries the same name" : "of its name, and its series follow one another")
      return
    }
  }

  /// Without a clock a label that comes back marks the rows of one series.
  private mutating func chooseLabels() {
    let sample = layout.rows.indices.prefix(2_000)
    for column in layout.names.indices where !facts[column].isNumeric && !isTaken(column) {
      let labels = Set(sample.map { layout.cell($0, column) })
      guard labels.count > 1, labels.count * 3 < sample.count else { continue }
      keys = [column]
      choose("series", layout.names[column], because: "it holds text that comes back")
      return
    }
  }

  /// Rows are lost where a time comes back within a series; beyond a few that is refused.
  private func refuseRepeats() throws(SeriesError) {
    guard options.duplicates == nil, time != .rowOrder else { return }
    var (repeats, first) = (0, Int.max)
    for group in groups {
      let times = group.rows.map { stamps[$0] }
      guard TimeCandidate.repeats(times, atMost: 0) > 0 else { continue }
      var seen: Set<Timestamp> = []
      for row in group.rows {
        guard let stamp = stamps[row], !seen.insert(stamp).inserted else { continue }
        repeats += 1
        first = min(first, row)
      }
    }
    guard !options.mayDrop(repeats, of: stamps.count), first < stamps.count else { return }
    let search = KeySearch(layout, facts: facts, stamps: stamps)
    let found = search.keys(fixed: keys, excluding: try untouchable())
    throw .repeatedTimes(
      file: file, rows: repeats, of: stamps.count, time: stamps[first].map { "\($0)" } ?? "",
      line: layout.line(first),
      resolving: found.map { (keys + $0.columns).map { layout.names[$0] } } ?? [])
  }

  /// Whether so few times come back that the rows can be lost.
  private func hasFewRepeats(_ stamps: [Timestamp?]) -> Bool {
    let limit = max(1, Int(options.droppedRowTolerance * Double(stamps.count)))
    let repeats = TimeCandidate.repeats(stamps, atMost: limit)
    return options.mayDrop(repeats, of: stamps.count)
  }
}

// MARK: - Target and covariates

extension ColumnRoles {
  private mutating func chooseTargets() throws(SeriesError) {
    guard options.hasTarget else { return }
    let numeric = layout.names.indices.filter { facts[$0].isNumeric && !isTaken($0) }
    if !options.targets.isEmpty, options.targets != ["*"] {
      for name in options.targets {
        for index in try columns(named: name) where !targets.contains(index) {
          try requireNumbers(index, name: name)
          targets.append(index)
        }
      }
      choose(
        "target", Set(targets.map { layout.names[$0] }).sorted().joined(separator: ", "),
        because: "you named it")
      return
    }
    guard !numeric.isEmpty else { throw .noNumbers(file: file, names: layout.names) }
    if options.targets == ["*"] {
      let known = try known()
      targets = numeric.filter { !known.contains($0) }
      choose("target", "every column of numbers", because: "you asked for all")
      return
    }
    let features = Features(layout, facts: facts, stamps: time.hasClock ? stamps : [])
    let known = try known()
    let free = numeric.filter { !known.contains($0) }
    guard !free.isEmpty else { throw .noNumbers(file: file, names: layout.names) }
    let measured = free.filter {
      !timeLike.contains($0) && !features.isFeature($0) && !isStatic($0)
    }
    chooseTarget(among: measured.isEmpty ? free : measured)
  }

  /// Whether each series has one number throughout, as a size or a price class.
  private func isStatic(_ column: Int) -> Bool {
    guard !keys.isEmpty, let values = facts[column].numbers?.values else { return false }
    var known: [[ArraySlice<UInt8>]: Double] = [:]
    var comesBack = false
    for row in layout.sampleRows(4_000) where !values[row].isNaN {
      let label = keys.map { layout.cell(row, $0) }
      if let value = known[label] {
        if value != values[row] { return false }
        comesBack = true
      } else {
        known[label] = values[row]
      }
    }
    return comesBack
  }

  /// The columns that are known ahead.
  private func known() throws(SeriesError) -> Set<Int> {
    var found: Set<Int> = []
    for name in options.future { found.formUnion(try columns(named: name)) }
    return found
  }

  /// The columns of a name: several where each series has one.
  private func columns(named name: String) throws(SeriesError) -> [Int] {
    let first = try column(named: name)
    guard !layout.entities.isEmpty else { return [first] }
    return layout.names.indices.filter { layout.names[$0] == layout.names[first] }
  }

  private func requireNumbers(_ index: Int, name: String) throws(SeriesError) {
    guard !facts[index].isNumeric else { return }
    let style = layout.styles[index]
    let bad = layout.rows.indices.first { style.parse(layout.cell($0, index)) == .bad }
    if isLive, bad == nil { return }
    let row = bad ?? 0
    throw .notNumeric(
      file: file, column: name,
      line: layout.rows.isEmpty ? layout.headerLine : layout.line(row),
      found: layout.rows.isEmpty ? "" : String(layout.text(row, index).prefix(40)))
  }

  private mutating func chooseTarget(among numeric: [Int]) {
    let known = numeric.compactMap { index in
      ColumnNames.targetRank(layout.names[index]).map { (rank: $0, index: index) }
    }.min { a, b in
      // Beside a quantity a price is what it is sold at, not what is asked for.
      let (one, other) = (isSoldPrice(a.index, numeric), isSoldPrice(b.index, numeric))
      return one != other ? other : a.rank < b.rank
    }
    let bars = layout.entities.isEmpty ? PriceBars(layout, columns: numeric) : nil
    if numeric.count == 1 {
      targets = numeric
      let isAlone = layout.names.indices.count { facts[$0].isNumeric && !isTaken($0) } == 1
      choose(
        "target", layout.names[numeric[0]],
        because: isAlone
          ? "it is the only column of numbers"
          : "it is the only column of numbers that is no counter, flag or part of the calendar")
    } else if let known {
      // Where series stand side by side each has a column of the name.
      let name = layout.names[known.index]
      targets =
        layout.entities.isEmpty ? [known.index] : numeric.filter { layout.names[$0] == name }
      choose("target", name, because: "of its name")
    } else if let bars {
      targets = [bars.close]
      choose(
        "target", layout.names[bars.close],
        because:
          "it closes price bars: of four columns the second is never below, and the third never "
          + "above, the others")
    } else if !keys.isEmpty {
      targets = [numeric[numeric.count - 1]]
      choose("target", layout.names[targets[0]], because: "it is the last column of numbers")
    } else {
      targets = numeric
      choose(
        "target", "each of \(numeric.count) columns as a series of its own",
        because: "no column is called close, price, value, y or target")
    }
  }

  private func isSoldPrice(_ column: Int, _ numeric: [Int]) -> Bool {
    normalizedName(layout.names[column]) == "price" && !keys.isEmpty
      && numeric.contains { ColumnNames.isQuantity(layout.names[$0]) }
  }

  private mutating func chooseCovariates() throws(SeriesError) {
    ignored = layout.names.indices.filter {
      !facts[$0].isNumeric && !isTaken($0) && !targets.contains($0)
    }
    try keep(options.covariates ?? [])
    if options.covariates == nil, targets.count == 1 || !layout.entities.isEmpty {
      let others = Set(timeLike).subtracting(targets)
      covariates = layout.names.indices.filter {
        facts[$0].isNumeric && !isTaken($0) && !targets.contains($0) && !others.contains($0)
      }
    }
    try keep(options.future)
    chooseCategories()
    if !options.future.isEmpty {
      choose(
        "known ahead", options.future.joined(separator: ", "), because: "you named it")
    }
  }

  /// Keeps columns of words that were named, those that name series among them.
  private mutating func chooseCategories() {
    let known = options.format?.categories.keys.sorted() ?? []
    let names = options.categories + options.statics + (options.covariates ?? []) + options.future
    for name in names + known {
      guard layout.entities.isEmpty, let column = layout.column(named: name),
        !facts[column].isNumeric || known.contains(name), !time.columns.contains(column),
        !targets.contains(column), !categories.contains(column), !barred.contains(column)
      else { continue }
      categories.append(column)
      covariates.removeAll { $0 == column }
    }
    ignored.removeAll { categories.contains($0) }
    if !categories.isEmpty { choose("classes", listed(categories), because: "you named it") }
  }

  /// Keeps columns beside the target.
  private mutating func keep(_ names: [String]) throws(SeriesError) {
    for name in names {
      for index in try columns(named: name) where !isTaken(index) && !targets.contains(index) {
        if !facts[index].isNumeric, layout.entities.isEmpty { continue }
        try requireNumbers(index, name: name)
        if !covariates.contains(index) { covariates.append(index) }
      }
    }
  }
}
