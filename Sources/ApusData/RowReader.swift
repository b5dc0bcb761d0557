public import ApusTensor

/// One row of a live table.
public struct LiveRow: Sendable, Equatable {
  /// The name of its series; empty where the table has no column of names.
  public var series: String
  /// Its time; the number of the row where there is no clock.
  public var stamp: Timestamp
  /// The target; NaN where missing.
  public var value: Double
  /// The covariates in the order of ``RowReader/covariateNames``; NaN where missing.
  public var covariates: [Double]
}

/// What a line of a live table holds: a row; of a table with several targets one of each; of a table with
/// a series in each line all rows of the series.
public struct LiveLine: Sendable, Equatable {
  /// The rows that can be read. Those of one series follow each other in time.
  public var rows: [LiveRow] = []
  /// Why others were passed over.
  public var problems: [RowError] = []
}

/// Why a line, or one series of it, was passed over.
public struct RowError: Error, Equatable, Sendable {
  /// The number of the line, from 1.
  public var line: Int
  /// The finding and the expectation.
  public var problem: String
  /// The series that was passed over; nil where all of the line was.
  public var series: String?

  /// Records what is wrong with a line.
  public init(line: Int, problem: String, series: String? = nil) {
    (self.line, self.problem, self.series) = (line, problem, series)
  }
}

extension RowError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  public var description: String {
    "line \(line): \(problem); the row\(series.map { " of '\($0)'" } ?? "") was skipped"
  }
}

/// Reads a table line by line while it is being written.
///
/// The first lines settle which column is what, by the rules of ``SeriesTable``; from then on every line
/// stands alone. A file without a header is read when it has one or two columns: the time and the value.
/// A table with a series in each line is read where `options` have the format of such a file.
public struct RowReader {
  /// The columns that go with every row, by name; empty until the first row.
  public private(set) var covariateNames: [String] = []
  private let options: SeriesOptions
  private let isUniversal: Bool
  private let isNeeded: @Sendable (String) -> Bool
  private var pending: (text: String, line: Int)?
  private var columns: Columns?
  private var lineNumber = 0
  private var latest: [String: Timestamp] = [:]
  /// Of series that are read again: the last row that counts as read.
  private var seen: [String: Timestamp] = [:]
  /// Rows passed over because they count as read.
  package private(set) var passedOver = 0

  /// What the first lines have settled.
  private struct Columns {
    let delimiter: UInt8
    let names: [String]
    let styles: [NumberStyle]
    let time: TimeAxis
    let months: MonthNames
    let keys: [Int]
    let targets: [Int]
    let covariates: [Int]
    /// The times of the targets, where each line is a series.
    let stamps: [Timestamp]?
    /// Columns of words, which make further covariates.
    let categories: [(column: Int, classes: CategoryColumn)]
  }

  /// The longest line.
  private static let lineLimit = 1 << 20

  /// Starts before the first line.
  ///
  /// - Parameters:
  ///   - options: What is known about the columns.
  ///   - isIntraday: Whether several rows fall into a day; then, where no format says otherwise, times with
  ///     a zone move to Coordinated Universal Time, while days stay the days of their place.
  ///   - isNeeded: Which columns besides time, name and target are to be read.
  public init(
    options: SeriesOptions, isIntraday: Bool, isNeeded: @escaping @Sendable (String) -> Bool
  ) {
    self.options = options
    isUniversal = options.format?.isUniversal ?? isIntraday
    self.isNeeded = isNeeded
  }

  /// Reads a line, without its end.
  ///
  /// - Returns: Its rows; none of a header, a comment or an empty line.
  /// - Throws: ``RowError`` for a line that is to be passed over, ``SeriesError`` when the columns asked
  ///   for are not there, after which reading has no point.
  public mutating func line(_ line: String) throws -> LiveLine {
    lineNumber += 1
    let text = lineNumber == 1 && line.hasPrefix("\u{FEFF}") ? String(line.dropFirst()) : line
    guard text.utf8.contains(where: { $0 > 0x20 }) else { return LiveLine() }
    guard text.utf8.count <= Self.lineLimit else {
      throw problem("found more than \(Self.lineLimit) bytes, expected one row")
    }
    if columns == nil { columns = try settled(with: text) }
    guard let columns else { return LiveLine() }
    var found = try parsed(text, columns)
    // A series is given again from its start when its line has grown.
    if columns.stamps != nil, let name = found.rows.first?.series, seen[name] == nil,
      let last = latest[name], let newest = found.rows.last, newest.stamp > last
    {
      found.rows.removeAll { $0.stamp <= last }
    }
    var rows: [LiveRow] = []
    for row in found.rows {
      if let last = seen[row.series] {
        guard row.stamp > last else {
          passedOver += 1
          continue
        }
        seen[row.series] = nil
      }
      if let last = latest[row.series], row.stamp <= last {
        let reason = "found the time \(row.stamp) after \(last), expected a later one"
        // What is wrong with all series of a line is said once.
        guard found.rows.count > 1, columns.stamps == nil else { throw problem(reason) }
        found.problems.append(RowError(line: lineNumber, problem: reason, series: row.series))
        continue
      }
      latest[row.series] = row.stamp
      rows.append(row)
    }
    if rows.isEmpty, found.problems.count > 1, let first = found.problems.first,
      found.problems.allSatisfy({ $0.problem == first.problem })
    {
      throw problem(first.problem)
    }
    found.rows = rows
    return found
  }

  /// Counts rows up to these as read before, by series: until a later one comes they are passed over.
  package mutating func passOver(upTo times: [String: Timestamp]) {
    (seen, latest) = (times, times)
  }

  /// What is wrong with the line taken in last.
  package func problem(_ text: String) -> RowError { RowError(line: lineNumber, problem: text) }

  // MARK: Columns

  /// The columns, by the header and this row; nil while this is only the header.
  private mutating func settled(with text: String) throws -> Columns? {
    // Empty lines stand for those that are gone, so that messages count right.
    let head = pending.map { lines(before: $0.line) + $0.text + "\n" } ?? ""
    let gap = lines(before: lineNumber - (pending?.line ?? 0))
    do throws(SeriesError) {
      let source = try SourceFile(
        name: "standard input", bytes: Array((head + gap + text).utf8), limit: 4 * Self.lineLimit)
      let layout = try CSVLayout(source, options: options)
      if let rows = try seriesLine(layout, text) { return rows }
      if let pending {
        // A row wider than its header would move the names off their columns.
        let header = try CSVTable(
          SourceFile(
            name: "standard input", bytes: Array(pending.text.utf8), limit: Self.lineLimit),
          delimiter: layout.table.delimiter, line: pending.line)
        let width = header.rowCount == 1 ? header.fieldCount(row: 0) : layout.width
        guard layout.width == width else {
          throw .tooManyBadRows(
            file: "standard input", bad: 1, rows: 1, line: lineNumber,
            reason: "found \(layout.width) fields, expected \(width) as in the header")
        }
      }
      guard let bad = layout.badRows.last, layout.rows.isEmpty else {
        let roles = try ColumnRoles(layout, options: adapted(to: layout), isLive: true)
        return try columns(layout, roles)
      }
      throw .tooManyBadRows(
        file: "standard input", bad: 1, rows: 1, line: bad.line, reason: bad.reason)
    } catch {
      switch error {
      case .onlyHeader, .empty:
        if text.utf8.first != 0x23 { pending = (text, lineNumber) }
        return nil
      case .noSuchColumn, .undecided, .unknownLocale: throw error
      case .tooManyBadRows(_, _, _, _, let reason): throw problem(reason)
      case .noNumbers: throw problem("found no number, expected a time and a value")
      case .unreadableTime(_, let column, _, let found, let expected):
        throw problem("found '\(found)' in column '\(column)', expected \(expected)")
      default: throw problem(error.description)
      }
    }
  }

  /// The columns of a table with a series in each line; nil for any other.
  private func seriesLine(_ layout: CSVLayout, _ text: String) throws(SeriesError) -> Columns? {
    guard options.format?.isRowPerSeries == true, let pending else { return nil }
    let delimiter = layout.table.delimiter
    func fields(_ text: String) throws(SeriesError) -> Int {
      let source = try SourceFile(
        name: "standard input", bytes: Array(text.utf8), limit: Self.lineLimit)
      return try CSVTable(source, delimiter: delimiter, line: 1).fieldCount(row: 0)
    }
    // A series that ends before the longest one may have fewer fields.
    let short = try fields(pending.text) - fields(text)
    guard short >= 0 else { return nil }
    let row = text + String(repeating: String(UnicodeScalar(delimiter)), count: short)
    let source = try SourceFile(
      name: "standard input", bytes: Array((pending.text + "\n" + row).utf8),
      limit: 4 * Self.lineLimit)
    let whole = try CSVLayout(source, options: options)
    guard let series = try RowSeries(whole, options: options) else { return nil }
    return Columns(
      delimiter: delimiter, names: whole.names, styles: whole.styles, time: .rowOrder,
      months: .english, keys: series.labels, targets: series.columns, covariates: [],
      stamps: series.stamps, categories: [])
  }

  private func lines(before line: Int) -> String {
    String(repeating: "\n", count: max(0, line - 1))
  }

  /// A table of a time and a value needs no names.
  private func adapted(to layout: CSVLayout) -> SeriesOptions {
    var adapted = options
    adapted.covariates = []
    // One row does not tell which of its columns are forecast; the file did.
    if options.targets.isEmpty || options.targets == ["*"], let format = options.format,
      format.targets.count > 1
    {
      adapted.targets = format.targets
      return adapted
    }
    guard let target = options.targets.first, layout.width <= 2,
      !layout.names.contains(where: { normalizedName($0) == normalizedName(target) })
    else { return adapted }
    adapted.targets = []
    return adapted
  }

  private mutating func columns(
    _ layout: CSVLayout, _ roles: ColumnRoles
  ) throws(SeriesError) -> Columns {
    guard !roles.targets.isEmpty else {
      throw .noSuchColumn(file: "standard input", name: "value", names: layout.names)
    }
    let taken = Set(roles.time.columns + roles.keys + roles.targets)
    let covariates = layout.names.indices.filter {
      !taken.contains($0) && isNeeded(layout.names[$0])
        && options.format?.category(layout.names[$0]) == nil
    }
    let categories = layout.names.indices.compactMap { column in
      options.format?.category(layout.names[column]).map { (column: column, classes: $0) }
    }.filter { one in
      !roles.targets.contains(one.column) && one.classes.names.contains(where: isNeeded)
    }
    covariateNames =
      covariates.map { layout.names[$0] } + categories.flatMap(\.classes.names)
    return Columns(
      delimiter: layout.table.delimiter, names: layout.names, styles: layout.styles,
      time: roles.time, months: roles.months, keys: roles.keys, targets: roles.targets,
      covariates: covariates, stamps: nil, categories: categories)
  }

  // MARK: Rows

  private func parsed(_ text: String, _ columns: Columns) throws -> LiveLine {
    let table: CSVTable
    do {
      let source = try SourceFile(
        name: "standard input", bytes: Array(text.utf8), limit: Self.lineLimit)
      table = try CSVTable(source, delimiter: columns.delimiter, line: lineNumber)
    } catch SeriesError.unterminatedQuote {
      throw problem("found a quote that is never closed, expected one row on one line")
    } catch {
      throw problem("found bytes that no text holds, expected one row of text")
    }
    guard table.rowCount == 1, table.malformedRows.isEmpty else {
      throw problem("found no readable row, expected \(columns.names.count) fields")
    }
    let count = table.fieldCount(row: 0)
    guard count == columns.names.count || columns.stamps != nil && count < columns.names.count
    else {
      throw problem(
        "found \(count) field\(count == 1 ? "" : "s"), expected \(columns.names.count)")
    }
    let cells = (0..<count).map { table.cell(row: 0, column: $0) }
    let label = columns.keys.filter { $0 < count }.map { table.text(row: 0, column: $0) }
    if let stamps = columns.stamps {
      return try series(label.filter { !$0.isEmpty }, cells, stamps, columns)
    }
    let stamp = try stamp(cells, columns)
    let covariates =
      try columns.covariates.map { try number(cells, $0, columns) }
      + columns.categories.flatMap { one in
        one.classes.numbers(table.text(row: 0, column: one.column))
      }
    var line = LiveLine()
    for target in columns.targets {
      let own = columns.targets.count > 1 ? [columns.names[target]] : []
      let series = (label + own).joined(separator: "/")
      do {
        line.rows.append(
          LiveRow(
            series: series, stamp: stamp, value: try number(cells, target, columns),
            covariates: covariates))
      } catch {
        guard columns.targets.count > 1 else { throw error }
        line.problems.append(
          RowError(line: lineNumber, problem: error.problem, series: series))
      }
    }
    return line
  }

  /// The rows of a series, from its first value to its last.
  private func series(
    _ label: [String], _ cells: [ArraySlice<UInt8>], _ stamps: [Timestamp], _ columns: Columns
  ) throws -> LiveLine {
    guard !label.isEmpty else { throw problem("found no name, expected that of a series") }
    var line = LiveLine()
    let name = label.joined(separator: "/")
    var rows: [LiveRow] = []
    for (stamp, column) in zip(stamps, columns.targets) where column < cells.count {
      var value = Double.nan
      do { value = try number(cells, column, columns) } catch {
        line.problems.append(RowError(line: lineNumber, problem: error.problem, series: name))
      }
      rows.append(LiveRow(series: name, stamp: stamp, value: value, covariates: []))
    }
    while let last = rows.last, last.value.isNaN { rows.removeLast() }
    rows.removeFirst(rows.prefix { $0.value.isNaN }.count)
    guard !rows.isEmpty else { throw problem("found no number, expected the values of a series") }
    line.rows = rows
    return line
  }

  private func number(
    _ cells: [ArraySlice<UInt8>], _ column: Int, _ columns: Columns
  ) throws(RowError) -> Double {
    switch columns.styles[column].parse(cells[column]) {
    case .number(let value): return value
    case .missing: return .nan
    case .bad: throw problem(found(cells[column], columns.names[column], "a number"))
    }
  }

  private func found(_ cell: ArraySlice<UInt8>, _ name: String, _ expected: String) -> String {
    let text = String(decoding: cell, as: UTF8.self).prefix(40)
    return "found '\(text)' in column '\(name)', expected \(expected)"
  }

  private func stamp(_ cells: [ArraySlice<UInt8>], _ columns: Columns) throws -> Timestamp {
    switch columns.time {
    case .rowOrder:
      return Timestamp(secondsSinceEpoch: Int64(lineNumber))
    case .ordinal(let column):
      guard let step = columns.styles[column].step(cells[column]) else {
        throw problem(found(cells[column], columns.names[column], "a whole number below 10^15"))
      }
      return step
    case .moments(let parts):
      guard let date = parts.parse(months: columns.months, cell: { cells[$0] }) else {
        let text = parts.map { cells[$0.column] }.joined(separator: [0x20])
        let names = parts.map { columns.names[$0.column] }.joined(separator: "' and '")
        throw problem(found(Array(text)[...], names, "a date like \(parts.example)"))
      }
      return isUniversal ? date.universal : date.local
    }
  }
}
