/// Which column of a table plays which part, and why.
struct ColumnRoles {
  /// Where stamps come from.
  enum Time: Equatable {
    /// A column of dates, and one of times of day where they stand apart.
    case dates(column: Int, style: DateStyle, timeOfDay: Int?)
    /// Year, month and, where there are any, day and hour in columns of their own.
    case parts(columns: [Int])
    /// A column of whole numbers that count steps.
    case ordinal(column: Int)
    /// None: the order of the rows.
    case rowOrder
  }

  var time = Time.rowOrder
  /// Column of series names.
  var id: Int?
  var targets: [Int] = []
  var covariates: [Int] = []
  /// Columns that hold neither numbers nor a role.
  var ignored: [Int] = []
  var choices: [DataReport.Choice] = []

  private let layout: CSVLayout
  private let options: SeriesOptions
  private let file: String
  /// Whether most cells of each column are numbers.
  private var isNumeric: [Bool] = []

  init(_ layout: CSVLayout, options: SeriesOptions) throws(SeriesError) {
    self.layout = layout
    self.options = options
    file = layout.table.source.name
    isNumeric = layout.names.indices.map { column in
      let sample = layout.sample(column)
      var (numbers, bad) = (0, 0)
      for cell in sample {
        switch layout.numbers.parse(cell) {
        case .number: numbers += 1
        case .bad: bad += 1
        case .missing: break
        }
      }
      return numbers > 0 && numbers >= bad
    }
    try chooseTime()
    try chooseID()
    try chooseTargets()
    try chooseCovariates()
  }

  private mutating func choose(_ subject: String, _ chosen: String, because reason: String) {
    choices.append(DataReport.Choice(subject: subject, chosen: chosen, reason: reason))
  }

  private func index(of name: String) -> Int? {
    if let exact = layout.names.firstIndex(of: name) { return exact }
    let wanted = normalizedName(name)
    return layout.names.firstIndex { normalizedName($0) == wanted }
  }

  private func column(named name: String) throws(SeriesError) -> Int {
    guard let index = index(of: name) else {
      throw .noSuchColumn(file: file, name: name, names: layout.names)
    }
    return index
  }

  // MARK: Time

  private static let timeNames = [
    "date", "datetime", "timestamp", "ds", "time", "dt", "opentime", "closetime", "tradedate",
    "tradingday", "caldt", "observationdate", "dateutc", "timeutc", "utc", "period", "day", "week",
    "month", "quarter", "year", "t", "ts", "step", "timestep", "index", "unixtime",
    "unixtimestamp", "epoch", "unix",
  ]

  /// Names of columns that may count steps. A day or a month that is a bare number starts again each time.
  private static let stepNames: Set<String> = [
    "t", "ts", "time", "timestamp", "step", "timestep", "index", "ds", "period", "dt",
  ]

  private mutating func chooseTime() throws(SeriesError) {
    if let name = options.time {
      let index = try column(named: name)
      guard let time = timeRole(index, isNamed: true) else {
        let row = layout.rows.indices.first { !layout.cell($0, index).isEmpty } ?? 0
        throw .notDates(
          file: file, column: name, line: layout.line(row),
          found: String(layout.text(row, index).prefix(40)))
      }
      time.apply(&self, "you named it")
      return
    }
    if let known = options.format, let found = self.time(like: known.time) {
      time = found
      choose(
        "time", found.columns.sorted().map { layout.names[$0] }.joined(separator: " and "),
        because: "the model's training read it so")
      return
    }
    if let columns = partColumns() {
      time = .parts(columns: columns)
      choose(
        "time", columns.map { layout.names[$0] }.joined(separator: " and "),
        because: "the parts of a date stand in columns of their own")
      return
    }
    let ranked = layout.names.indices.map { index in
      (index, Self.timeNames.firstIndex(of: normalizedName(layout.names[index])))
    }.sorted { ($0.1 ?? .max, $0.0) < ($1.1 ?? .max, $1.0) }
    for (index, rank) in ranked {
      guard let role = timeRole(index, isNamed: rank != nil) else { continue }
      role.apply(&self, rank != nil ? "of its name and its cells" : "its cells are dates")
      return
    }
    choose("time", "none", because: "no column holds dates; rows are taken as consecutive steps")
  }

  /// The columns that a model's training read the time from, where this table has them and they are
  /// written so.
  private func time(like known: TableFormat.Time) -> Time? {
    switch known {
    case .dates(let name, let style, let clock):
      guard let column = index(of: name) else { return nil }
      let sample = layout.sample(column)
      let hits = sample.count { DateScanner.parse($0, as: style) != nil }
      guard hits > 0, hits * 5 >= sample.count * 4 else { return nil }
      guard let clock else { return .dates(column: column, style: style, timeOfDay: nil) }
      return index(of: clock).map { .dates(column: column, style: style, timeOfDay: $0) }
    case .parts(let names):
      let columns = names.compactMap(index)
      let isWhole = columns.count == names.count && (2...4).contains(columns.count)
      return isWhole ? .parts(columns: columns) : nil
    case .ordinal(let name): return index(of: name).map { .ordinal(column: $0) }
    case .header, .rowOrder: return nil
    }
  }

  private struct TimeRole {
    var time: Time
    var name: String
    var example: String

    func apply(_ roles: inout ColumnRoles, _ reason: String) {
      roles.time = time
      roles.choose("time", name, because: "\(reason) (\(example))")
    }
  }

  /// Columns called year, month, day and hour, in that order; at least the first two.
  private func partColumns() -> [Int]? {
    var columns: [Int] = []
    for names in [
      ["year", "yr"], ["month", "mo", "mnth"], ["day", "dayofmonth"], ["hour", "hr"],
    ] {
      guard
        let index = layout.names.indices.first(where: {
          names.contains(normalizedName(layout.names[$0])) && isNumeric[$0]
        })
      else { break }
      columns.append(index)
    }
    return columns.count >= 2 ? columns : nil
  }

  private func timeRole(_ index: Int, isNamed: Bool) -> TimeRole? {
    let sample = layout.sample(index)
    if let guess = DateColumn.guessStyle(of: sample), guess.share >= 0.8,
      isNamed || !isNumeric[index] || (guess.share == 1 && isMonotonic(sample))
    {
      let clock =
        guess.style == .yearMonthDay || guess.style == .dayMonthYear
          || guess.style == .monthDayYear || guess.style == .compact
        ? timeOfDayColumn(index, sample) : nil
      let name = layout.names[index] + (clock.map { " and \(layout.names[$0])" } ?? "")
      return TimeRole(
        time: .dates(column: index, style: guess.style, timeOfDay: clock), name: name,
        example: "written like \(guess.style.example)")
    }
    guard Self.stepNames.contains(normalizedName(layout.names[index])) || options.time != nil,
      isNumeric[index], !sample.isEmpty
    else { return nil }
    guard sample.allSatisfy({ layout.numbers.step($0) != nil }) else { return nil }
    return TimeRole(
      time: .ordinal(column: index), name: layout.names[index],
      example: "whole numbers, taken as steps")
  }

  /// At least ten numbers that rise, or fall, at every step.
  private func isMonotonic(_ sample: [ArraySlice<UInt8>]) -> Bool {
    let numbers = sample.compactMap { cell in
      if case .number(let value) = layout.numbers.parse(cell) { value } else { nil }
    }
    let pairs = zip(numbers, numbers.dropFirst())
    return numbers.count >= 10
      && (pairs.allSatisfy { $0 < $1 } || pairs.allSatisfy { $0 > $1 })
  }

  /// A column of times of day, when the dates have none.
  private func timeOfDayColumn(_ dates: Int, _ sample: [ArraySlice<UInt8>]) -> Int? {
    guard sample.allSatisfy({ !$0.contains(0x3A) }) else { return nil }
    return layout.names.indices.first { index in
      guard index != dates, normalizedName(layout.names[index]).contains("time") else {
        return false
      }
      let cells = layout.sample(index, limit: 100)
      return !cells.isEmpty
        && cells.allSatisfy { cell in
          var scanner = DateScanner(cell)
          guard let time = scanner.timeOfDay(), scanner.isAtEnd else { return false }
          return time.hour < 25 && time.minute < 60 && time.second < 61
        }
    }
  }

  private var timeColumns: Set<Int> { time.columns }

  // MARK: Series

  private static let idNames = [
    "uniqueid", "itemid", "seriesid", "tsid", "symbol", "ticker", "tic", "name", "id", "series",
    "asset", "instrument", "code", "stock", "pair", "item", "store", "sensor", "entity", "region",
    "country", "group", "permno",
  ]

  private mutating func chooseID() throws(SeriesError) {
    if let name = options.id {
      id = try column(named: name)
      choose("series", layout.names[id ?? 0], because: "you named it")
      return
    }
    if let known = options.format?.series.flatMap(index), !timeColumns.contains(known) {
      id = known
      choose("series", layout.names[known], because: "the model's training read it so")
      return
    }
    let candidates = layout.names.indices.filter { !timeColumns.contains($0) }
    let named = candidates.compactMap { index in
      Self.idNames.firstIndex(of: normalizedName(layout.names[index])).map {
        (rank: $0, index: index)
      }
    }.sorted { $0.rank < $1.rank }.map(\.index)
    let targets = options.targets.map(normalizedName)
    let texts = candidates.filter { !isNumeric[$0] && !named.contains($0) }
    for index in named + texts where !targets.contains(normalizedName(layout.names[index])) {
      let sample = layout.sample(index, limit: 2_000)
      guard !sample.isEmpty else { continue }
      let distinct = Set(sample.map { Array($0) }).count
      if distinct == 1, named.contains(index), !isNumeric[index] {
        id = index
        choose("series", layout.names[index], because: "every row carries the same name")
        return
      }
      guard timesRepeat(within: index) else { continue }
      id = index
      choose(
        "series", layout.names[index],
        because: named.contains(index)
          ? "of its name, and times repeat from one value to the next"
          : "it holds text, and times repeat from one value to the next")
      return
    }
  }

  /// Whether the same time occurs in several rows and the column tells them apart.
  private func timesRepeat(within column: Int) -> Bool {
    let times = timeColumns.sorted()
    guard !times.isEmpty else {
      // Without a clock a label that comes back marks the rows of one series.
      let sample = layout.rows.indices.prefix(2_000)
      let labels = Set(sample.map { Array(layout.cell($0, column)) })
      return !isNumeric[column] && labels.count > 1 && labels.count * 3 < sample.count
    }
    var seen: Set<[UInt8]> = []
    var seenWithLabel: Set<[UInt8]> = []
    var repeats = 0
    for row in layout.rows.indices {
      var key: [UInt8] = []
      for column in times { key += layout.cell(row, column) + [0] }
      if !seen.insert(key).inserted {
        repeats += 1
        if seenWithLabel.count > 20_000 { break }
      }
      seenWithLabel.insert(key + layout.cell(row, column))
    }
    let rows = seen.count + repeats
    // Labels must resolve nearly all of the repetition.
    return repeats * 20 > rows && seenWithLabel.count - seen.count > repeats * 9 / 10
  }

  // MARK: Target and covariates

  private static let targetNames = [
    "adjclose", "adjustedclose", "closeadj", "close", "closeprice", "closelast", "last", "price",
    "settle", "settlement", "y", "target", "value", "ot", "rv5", "rv", "sales", "demand", "load",
  ]

  private mutating func chooseTargets() throws(SeriesError) {
    let taken = timeColumns.union(id.map { [$0] } ?? [])
    let numeric = layout.names.indices.filter { isNumeric[$0] && !taken.contains($0) }
    if !options.targets.isEmpty, options.targets != ["*"] {
      for name in options.targets {
        let index = try column(named: name)
        guard isNumeric[index] else {
          let row =
            layout.rows.indices.first { layout.numbers.parse(layout.cell($0, index)) == .bad } ?? 0
          throw .notNumeric(
            file: file, column: name,
            line: layout.rows.isEmpty ? layout.headerLine : layout.line(row),
            found: layout.rows.isEmpty ? "" : String(layout.text(row, index).prefix(40)))
        }
        if !targets.contains(index) { targets.append(index) }
      }
      choose(
        "target", targets.map { layout.names[$0] }.joined(separator: ", "), because: "you named it")
      return
    }
    guard !numeric.isEmpty else { throw .noNumbers(file: file, names: layout.names) }
    if options.targets == ["*"] {
      targets = numeric
      choose("target", "every column of numbers", because: "you asked for all")
      return
    }
    let known = numeric.compactMap { index in
      Self.targetNames.firstIndex(of: normalizedName(layout.names[index])).map {
        (rank: $0, index: index)
      }
    }.min { $0.rank < $1.rank }
    if numeric.count == 1 {
      targets = numeric
      choose("target", layout.names[numeric[0]], because: "it is the only column of numbers")
    } else if let known {
      targets = [known.index]
      choose("target", layout.names[known.index], because: "of its name")
    } else if id != nil {
      targets = [numeric[numeric.count - 1]]
      choose("target", layout.names[targets[0]], because: "it is the last column of numbers")
    } else {
      targets = numeric
      choose(
        "target", "each of \(numeric.count) columns as a series of its own",
        because: "no column is called close, price, value, y or target")
    }
  }

  private mutating func chooseCovariates() throws(SeriesError) {
    let taken = timeColumns.union(targets).union(id.map { [$0] } ?? [])
    ignored = layout.names.indices.filter { !isNumeric[$0] && !taken.contains($0) }
    if let names = options.covariates {
      for name in names {
        let index = try column(named: name)
        guard isNumeric[index] else {
          throw .notNumeric(
            file: file, column: name,
            line: layout.rows.isEmpty ? layout.headerLine : layout.line(0),
            found: layout.rows.isEmpty ? "" : String(layout.text(0, index).prefix(40)))
        }
        if !taken.contains(index), !covariates.contains(index) { covariates.append(index) }
      }
    } else if targets.count == 1 {
      covariates = layout.names.indices.filter { isNumeric[$0] && !taken.contains($0) }
    }
  }
}
