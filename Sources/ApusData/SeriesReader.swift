extension SeriesTable {
  /// Reads a table of one or many series from a text file.
  ///
  /// Understood are CSV and its relatives with one series and covariates, several series side by side, a long
  /// table whose rows columns of names tell apart, and one series per row; the `.tsf` files of the Monash
  /// archive; and JSON Lines of GluonTS. Nothing is resampled or filled: a gap stays a gap, a missing value
  /// NaN.
  ///
  /// - Parameters:
  ///   - path: A plain text file.
  ///   - options: What is known about it; the default infers everything.
  /// - Throws: ``SeriesError``, whose description names file, line, what was found and what was expected.
  public init(readingCSVAt path: String, options: SeriesOptions = SeriesOptions())
    throws(SeriesError)
  {
    let source = try SourceFile(path: path, limit: options.maximumBytes)
    self = try SeriesReader.table(source, options: options)
  }

  /// Reads the text of a table that is already in memory; `name` stands for the file in messages.
  ///
  /// - Throws: ``SeriesError``.
  public init(
    parsingCSV bytes: [UInt8], name: String = "input", options: SeriesOptions = SeriesOptions()
  ) throws(SeriesError) {
    let source = try SourceFile(
      name: name, bytes: bytes, limit: min(options.maximumBytes, Int(Int32.max)))
    self = try SeriesReader.table(source, options: options)
  }
}

/// Turns a table of cells into series, and keeps the book.
struct SeriesReader {
  private let source: SourceFile
  private let options: SeriesOptions
  private var layout: CSVLayout
  private var report: DataReport
  /// What was taken as missing in a column, before it is known what the column is.
  private var missingNotes: [Int: String] = [:]

  /// Reads a file in the format that its first bytes tell.
  static func table(
    _ source: SourceFile, options: SeriesOptions
  ) throws(SeriesError) -> SeriesTable {
    var table: SeriesTable
    if TSFReader.recognizes(source) {
      table = try TSFReader(source, options: options).table()
    } else if JSONLinesReader.recognizes(source) {
      table = try JSONLinesReader(source, options: options).table()
    } else {
      var reader = try SeriesReader(source, options: options)
      table = try reader.table()
    }
    let inferred = Measure.inferred(for: table)
    let measure = options.measure ?? inferred.measure
    table.report.choose(
      "measure", measure.words, because: options.measure == nil ? inferred.reason : "you named it")
    return table
  }

  private init(_ source: SourceFile, options: SeriesOptions) throws(SeriesError) {
    self.source = source
    self.options = options
    layout = try CSVLayout(source, options: options)
    layout.nameBars()
    report = DataReport(source: source.name)
    report.rowsRead = layout.rows.count + layout.badRows.count
    report.columns = Array(layout.names.prefix(1_000))
    for bad in layout.badRows { report.add(.unreadableRow, line: bad.line, bad.reason) }
  }

  private mutating func table() throws(SeriesError) -> SeriesTable {
    guard !layout.rows.isEmpty else {
      guard let bad = layout.badRows.first else {
        throw .onlyHeader(file: source.name, names: layout.names)
      }
      throw .tooManyBadRows(
        file: source.name, bad: layout.badRows.count, rows: report.rowsRead, line: bad.line,
        reason: bad.reason)
    }
    if let rows = try RowSeries(layout, options: options) {
      report.notes += layout.notes
      return try rows.table(report)
    }
    if let grid = CalendarGrid(layout, options: options) {
      report.notes += layout.notes
      return try grid.table(report, options: options)
    }
    learnMissingWords()
    return try columns()
  }

  /// A word that stands in a column of numbers again and again stands for a missing one.
  private mutating func learnMissingWords() {
    guard options.format == nil else { return }
    for column in layout.names.indices {
      let style = layout.styles[column]
      let sample = layout.sample(column, limit: 300)
      let numbers = sample.count { if case .number = style.parse($0) { true } else { false } }
      guard numbers > 0, numbers * 2 >= sample.count,
        sample.contains(where: { style.parse($0) == .bad })
      else { continue }
      var words: [String: Int] = [:]
      for row in layout.rows.indices where words.count <= 3 {
        let cell = layout.cell(row, column)
        guard cell.count <= NumberStyle.longestWord, style.parse(cell) == .bad else { continue }
        words[NumberStyle.word(cell), default: 0] += 1
      }
      guard !words.isEmpty, words.count <= 3,
        words.allSatisfy({ $0.value >= 3 && !$0.key.contains { $0.isNumber } })
      else { continue }
      layout.addMissing(words.keys.sorted(), column: column)
      let list = words.sorted { $0.key < $1.key }.map { "'\($0.key)' (\($0.value) cells)" }
      missingNotes[column] =
        "In column '\(layout.names[column])' \(list.joined(separator: ", ")) "
        + "\(list.count == 1 ? "was" : "were") taken as missing."
    }
  }

  private mutating func columns() throws(SeriesError) -> SeriesTable {
    let roles = try ColumnRoles(layout, options: options)
    // In a column of names no word is missing.
    let missing = missingNotes.filter { !roles.keys.contains($0.key) }.sorted { $0.key < $1.key }
    report.notes = layout.notes + report.notes + missing.map(\.value) + roles.notes
    report.choices = [layout.choice] + roles.choices
    noteIgnored(roles)
    try refuseOpenMarks(roles)
    let stamps = roles.stamps
    noteTimes(roles)
    let targets = roles.targets.compactMap { roles.facts[$0].numbers }
    try refuseWreck(stamps: stamps, targets: targets, roles: roles)
    for column in roles.targets + roles.covariates { noteBadCells(column, roles) }
    let groups = roles.groups
    let isAlone = groups.count == 1 && roles.targets.count == 1
    let classes = roles.categories.map { column in
      options.format?.category(layout.names[column]) ?? CategoryColumn(layout, column)
    }
    let beside = zip(classes, roles.categories).flatMap { $0.covariates(layout, $1) }
    guard options.hasTarget else { return try known(roles, beside: beside) }
    var builder = SeriesBuilder(layout: layout, options: options, stamps: stamps, report: report)
    var series: [TimeSeries] = []
    var future: [Int: Set<Int>] = [:]
    for group in groups {
      for (index, column) in roles.targets.enumerated() {
        let id = seriesID(group.label, column: column, roles: roles)
        series.append(
          try builder.series(
            id: id, rows: group.rows, target: targets[index].values,
            covariates: covariates(of: column, roles) + beside, isAlone: isAlone,
            isFirstOfRow: index == 0))
        future[column, default: []].formUnion(builder.futureRows)
      }
    }
    report = builder.report
    noteMissing(roles, future: future)
    guard series.contains(where: { $0.values.contains { !$0.isNaN } }) else {
      throw .noUsableRows(
        file: source.name, target: roles.targets.map { layout.names[$0] }.joined(separator: ", "))
    }
    let targetNames = Set(roles.targets.map { layout.names[$0] })
    var table = SeriesChecks.table(
      series, lines: builder.lines,
      targetName: targetNames.count == 1 ? targetNames.first ?? "" : "",
      covariateNames: series.first?.covariates.map(\.name) ?? [], hasClock: roles.time.hasClock,
      options: options, report: report)
    try settleStatics(&table)
    table.format = format(roles, classes)
    return table
  }

  /// The rows of a table that has no target, which are all known.
  private mutating func known(
    _ roles: ColumnRoles, beside: [Covariate]
  ) throws(SeriesError) -> SeriesTable {
    var builder = SeriesBuilder(
      layout: layout, options: options, stamps: roles.stamps, report: report)
    let missing = [Double](repeating: .nan, count: layout.rows.count)
    let columns = roles.covariates.compactMap { column in
      roles.facts[column].numbers.map {
        Covariate(name: layout.names[column], values: $0.values)
      }
    }
    var table = SeriesTable([])
    for group in roles.groups {
      table.series.append(
        try builder.series(
          id: group.label ?? source.stem, rows: group.rows, target: missing,
          covariates: columns + beside, isAlone: roles.groups.count == 1, isFirstOfRow: true))
    }
    table.report = builder.report
    return table
  }

  /// Fills a column that has one value throughout each series, and refuses one that has several.
  private func settleStatics(_ table: inout SeriesTable) throws(SeriesError) {
    for name in options.statics {
      for index in table.series.indices {
        let columns = table.series[index].covariates.indices.filter { place in
          let own = table.series[index].covariates[place].name
          return normalizedName(own) == normalizedName(name) || own.hasPrefix(name + "=")
        }
        for place in columns {
          let values = table.series[index].covariates[place].values
          guard let first = values.first(where: \.isFinite) else { continue }
          if let row = values.firstIndex(where: { $0.isFinite && $0 != first }) {
            throw .notStatic(
              file: source.name, column: name, series: table.series[index].id,
              time: "\(table.series[index].timestamps[row])")
          }
          table.series[index].covariates[place].values = values.map { _ in first }
        }
      }
    }
  }

  /// The columns beside a target: those of its series, and those that belong to all.
  private func covariates(of target: Int, _ roles: ColumnRoles) -> [Covariate] {
    let entity = layout.entities.isEmpty ? nil : layout.entities[target]
    return roles.covariates.compactMap { column in
      if let entity, let other = layout.entities[column], other != entity { return nil }
      guard let numbers = roles.facts[column].numbers else { return nil }
      return Covariate(name: layout.names[column], values: numbers.values)
    }
  }

  /// What was decided about the file.
  private func format(_ roles: ColumnRoles, _ classes: [CategoryColumn]) -> TableFormat {
    let names = layout.names
    let time: TableFormat.Time
    switch roles.time {
    case .moments(let parts):
      if case .date(let style) = parts[0].role,
        parts.count == 1 || parts.count == 2 && parts[1].role == .clock
      {
        time = .dates(
          column: names[parts[0].column], style: style,
          timeOfDay: parts.count == 2 ? names[parts[1].column] : nil)
      } else {
        time = .parts(parts.map { TableFormat.Part(column: names[$0.column], role: $0.role) })
      }
    case .ordinal(let column): time = .ordinal(column: names[column])
    case .rowOrder: time = .rowOrder
    }
    let used = roles.targets + roles.covariates
    let common = roles.targets.first.map { layout.styles[$0] } ?? NumberStyle()
    var format = TableFormat(
      time: time, isUniversal: roles.isUniversal, series: roles.keys.map { names[$0] },
      targets: roles.targets.map { names[$0] }, covariates: roles.covariates.map { names[$0] },
      numbers: common)
    for column in used where layout.styles[column] != common {
      format.styles[names[column]] = layout.styles[column]
    }
    if roles.months != .english { format.locale = roles.months.locale }
    if !layout.hasHeader { format.columns = names }
    for column in classes { format.categories[column.name] = column.classes }
    return format
  }

  private func seriesID(_ label: String?, column: Int, roles: ColumnRoles) -> String {
    if !layout.entities.isEmpty, let entity = layout.entities[column] {
      let fields = Set(roles.targets.map { layout.names[$0] })
      return fields.count == 1 ? entity : "\(entity)/\(layout.names[column])"
    }
    return switch (label, roles.targets.count) {
    case (let label?, 1): label
    case (let label?, _): "\(label)/\(layout.names[column])"
    case (nil, 1): source.stem
    case (nil, _): layout.names[column]
    }
  }
}

// MARK: - Book-keeping

extension SeriesReader {
  private mutating func noteIgnored(_ roles: ColumnRoles) {
    guard !roles.ignored.isEmpty else { return }
    let names = roles.ignored.prefix(5).map { "'\(layout.names[$0].prefix(40))'" }
    report.notes.append(
      "Left out \(roles.ignored.count) column\(roles.ignored.count == 1 ? "" : "s") without numbers: "
        + names.joined(separator: ", ") + (roles.ignored.count > 5 ? ", …." : "."))
  }

  /// A target whose decimal mark nothing tells would be off by a factor of a thousand.
  private func refuseOpenMarks(_ roles: ColumnRoles) throws(SeriesError) {
    for column in roles.targets {
      guard let row = layout.openMarks[column] else { continue }
      let text = String(layout.text(row, column).prefix(40))
      let mark = text.contains(".") ? "." : ","
      throw .undecided(
        file: source.name, column: layout.names[column], line: layout.line(row), found: text,
        readings: "\(text.replacing(mark, with: ".")) or \(text.replacing(mark, with: ""))",
        choice: "--decimal point or --decimal comma")
    }
  }

  private mutating func noteTimes(_ roles: ColumnRoles) {
    guard let column = roles.time.columns.first else { return }
    let layout = layout
    for (row, stamp) in roles.stamps.enumerated() where stamp == nil {
      report.add(.unreadableRow, line: layout.line(row), Self.timeReason(layout, row, column))
    }
  }

  private static func timeReason(_ layout: CSVLayout, _ row: Int, _ column: Int) -> String {
    "found '\(layout.text(row, column).prefix(40))' in column '\(layout.names[column])', expected a date"
  }

  private mutating func noteBadCells(_ column: Int, _ roles: ColumnRoles) {
    let layout = layout
    for row in roles.facts[column].numbers?.bad ?? [] {
      report.add(.unreadableValue, line: layout.line(row), Self.numberReason(layout, row, column))
    }
  }

  /// Empty cells, but for those of the known future.
  private mutating func noteMissing(_ roles: ColumnRoles, future: [Int: Set<Int>]) {
    let layout = layout
    // A row ahead of every target has of the other columns what is known.
    let ahead = future.values.reduce(future.values.first ?? []) { $0.intersection($1) }
    for column in roles.targets + roles.covariates {
      let isTarget = roles.targets.contains(column)
      let name = layout.names[column]
      for row in roles.facts[column].numbers?.missing ?? []
      where !(isTarget ? future[column] ?? [] : ahead).contains(row) {
        report.add(
          isTarget ? .missingTarget : .missingCovariate, line: layout.line(row),
          "'\(name)' is '\(layout.text(row, column).prefix(20))'")
      }
    }
  }

  private static func numberReason(_ layout: CSVLayout, _ row: Int, _ column: Int) -> String {
    "found '\(layout.text(row, column).prefix(40))' in column '\(layout.names[column])', "
      + "expected a number"
  }

  /// A file in which many rows are bad is misread or damaged, and no series should come of it.
  private func refuseWreck(
    stamps: [Timestamp?], targets: [NumberColumn], roles: ColumnRoles
  ) throws(SeriesError) {
    let badTimes = stamps.indices.filter { stamps[$0] == nil }
    let badTargets = targets.flatMap(\.bad)
    let rows = max(1, report.rowsRead)
    let lost = layout.badRows.count + badTimes.count
    let badShare = Double(badTargets.count) / Double(rows * max(1, targets.count))
    guard !options.mayDrop(lost, of: rows) || badShare > options.badCellTolerance else { return }
    var first = layout.badRows.first.map { ($0.line, $0.reason) }
    if let row = badTimes.first, layout.line(row) < first?.0 ?? .max,
      let column = roles.time.columns.first
    {
      first = (layout.line(row), Self.timeReason(layout, row, column))
    }
    for (cells, column) in zip(targets, roles.targets) {
      if let row = cells.bad.first, layout.line(row) < first?.0 ?? .max {
        first = (layout.line(row), Self.numberReason(layout, row, column))
      }
    }
    guard let first else { return }
    throw .tooManyBadRows(
      file: source.name, bad: lost + badTargets.count, rows: rows, line: first.0, reason: first.1)
  }
}

extension SourceFile {
  /// The file's name without folders and extension.
  var stem: String {
    let last = name.split(separator: "/").last.map(String.init) ?? name
    guard let dot = last.lastIndex(of: "."), dot != last.startIndex else { return last }
    return String(last[..<dot])
  }
}
