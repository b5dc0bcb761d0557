/// A table as an audit reads it: every row of the file, repeated times included, nothing filled and nothing
/// left out but rows without a time.
public struct AuditTable: Sendable {
  /// One row of the file.
  public struct Row: Sendable, Equatable {
    /// Its line, from 1.
    public var line: Int
    /// The number of its series.
    public var series: Int
    /// Its time.
    public var time: Timestamp
  }

  /// The file as it was named.
  public let source: String
  /// The names of the series; one empty name where there is one series.
  public let series: [String]
  /// The rows by series, then time, then line, T of them.
  public let rows: [Row]
  /// The rows of each series.
  public let ranges: [Range<Int>]
  /// The column that is predicted.
  public let target: String
  /// The columns of numbers, the target among them, each `[T]`; NaN where a cell is empty.
  public let columns: [Covariate]
  /// Columns of text that were asked for or that name parts of the data, each `[T]`.
  public let labels: [Label]
  /// The times at which the values of the rows were published, `[T]`; nil where there is no such column.
  public let published: Published?
  /// How the rows follow each other.
  public let cadence: Cadence
  /// Whether rows have dates; else their times are numbers of steps.
  public var hasClock: Bool { cadence.frequency != .steps }

  /// A column of text.
  public struct Label: Sendable, Equatable {
    /// Its name.
    public var name: String
    /// A cell for each row.
    public var cells: [String]
  }

  /// A column of times of publication.
  public struct Published: Sendable, Equatable {
    /// Its name.
    public var name: String
    /// A time for each row; nil where the cell is empty or no time.
    public var times: [Timestamp?]
  }

  /// The columns of a file that are neither time, series nor numbers.
  public struct Special: Sendable {
    /// The column that names the part of a row; nil looks for one.
    public var part: String?
    /// The column of times of publication; nil looks for one.
    public var published: String?
    /// Further columns of text that are wanted.
    public var labels: [String] = []
    /// Whether a table without a plain target is an error. Default: yes.
    public var needsTarget = true

    /// Creates the default: columns are looked for by name and content.
    public init() {}
  }

  /// Reads a file.
  ///
  /// - Parameters:
  ///   - path: A CSV with a time, a target and columns beside it; one series or a long table of several.
  ///   - options: What is known about its columns; what becomes of repeated times is not asked.
  ///   - special: Which columns name parts and times of publication.
  /// - Throws: `SeriesError`; ``AuditError/noTarget(file:columns:)``.
  public init(
    readingCSVAt path: String, options: SeriesOptions = SeriesOptions(),
    special: Special = Special()
  ) throws {
    let source = try SourceFile(path: path, limit: options.maximumBytes)
    try self.init(source, options: options, special: special)
  }

  /// Reads text that is already in memory; `name` stands for the file in messages.
  public init(
    parsingCSV text: String, name: String = "input", options: SeriesOptions = SeriesOptions(),
    special: Special = Special()
  ) throws {
    let source = try SourceFile(name: name, bytes: Array(text.utf8), limit: options.maximumBytes)
    try self.init(source, options: options, special: special)
  }

  private init(_ file: SourceFile, options: SeriesOptions, special: Special) throws {
    var options = options
    options.duplicates = .keepLast
    let layout = try CSVLayout(file, options: options)
    guard !layout.rows.isEmpty else {
      throw SeriesError.onlyHeader(file: file.name, names: layout.names)
    }
    func column(_ name: String) throws -> Int {
      guard let index = layout.column(named: name) else {
        throw SeriesError.noSuchColumn(file: file.name, name: name, names: layout.names)
      }
      return index
    }
    let part = try special.part.map(column) ?? PartName.column(of: layout)
    let published = try special.published.map(column) ?? Self.publishedColumn(of: layout)
    let texts = try special.labels.map(column)
    let named = try (options.targets + options.id + options.time).filter { $0 != "*" }.map(column)
    let barred = Set([part, published].compactMap(\.self) + texts).subtracting(named)
    let roles = try ColumnRoles(layout, options: options, barred: barred)
    if special.needsTarget, roles.targets.count != 1 {
      throw AuditError.noTarget(
        file: file.name, columns: roles.targets.map { layout.names[$0] })
    }
    let order = Self.ordered(layout, roles)
    let places = order.map(\.place)
    self.source = file.name
    series = roles.groups.map { $0.label ?? "" }
    rows = order.map(\.row)
    ranges = Self.ranges(rows, series: series.count)
    target = roles.targets.first.map { layout.names[$0] } ?? ""
    let numeric = layout.names.indices.filter {
      roles.facts[$0].isNumeric && !roles.time.columns.contains($0) && !roles.keys.contains($0)
        && !barred.contains($0)
    }
    columns = numeric.map { index in
      let values = roles.facts[index].numbers?.values ?? []
      return Covariate(name: layout.names[index], values: places.map { values[$0] })
    }
    let labeled = Set([part].compactMap(\.self) + texts).sorted()
    labels = labeled.map { index in
      Label(name: layout.names[index], cells: places.map { layout.text($0, index) })
    }
    self.published = published.map { index in
      let times = Self.times(layout, index)
      return Published(name: layout.names[index], times: places.map { times[$0] })
    }
    let longest = ranges.max { $0.count < $1.count }.map { Set(order[$0].map(\.row.time)).sorted() }
    cadence = roles.time.hasClock ? Cadence(inferredFrom: longest ?? []) : Cadence(.steps)
  }

  private static func ordered(
    _ layout: CSVLayout, _ roles: ColumnRoles
  ) -> [(row: Row, place: Int)] {
    roles.groups.enumerated().flatMap { number, group in
      group.rows.compactMap { place in
        roles.stamps[place].map {
          (row: Row(line: layout.line(place), series: number, time: $0), place: place)
        }
      }.sorted { ($0.row.time, $0.row.line) < ($1.row.time, $1.row.line) }
    }
  }

  private static func ranges(_ rows: [Row], series: Int) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    for number in 0..<series {
      let end = rows[start...].firstIndex { $0.series != number } ?? rows.count
      ranges.append(start..<end)
      start = end
    }
    return ranges
  }

  /// The times in a column, in the style that most of its cells have.
  private static func times(_ layout: CSVLayout, _ column: Int) -> [Timestamp?] {
    let cells = layout.rows.indices.map { layout.cell($0, column) }
    let sample = layout.sample(column, limit: 300)
    guard let style = DateColumn.styles(of: sample).first?.style else {
      return cells.map { _ in nil }
    }
    let parsed = cells.map { DateScanner.parse($0, as: style) }
    return DateColumn(parsed, isUniversal: nil).stamps
  }

  private static let publishedNames: Set<String> = [
    "published", "publishedat", "publishedon", "publication", "publicationdate", "publicationtime",
    "publishdate", "released", "releasedat", "releasedate", "releasetime", "available",
    "availableat", "availablefrom", "availabledate", "availabilitydate", "knowledgedate",
    "knowledgetime", "knownat", "knownfrom", "realtimestart", "vintage", "vintagedate",
    "announcementdate", "reportingdate",
  ]

  private static func publishedColumn(of layout: CSVLayout) -> Int? {
    layout.names.indices.first { column in
      guard publishedNames.contains(normalizedName(layout.names[column])) else { return false }
      let sample = layout.sample(column, limit: 300)
      return DateColumn.styles(of: sample).first.map { $0.share > 0.9 } ?? false
    }
  }
}

extension AuditTable {
  /// The column of that name, whatever the case of its letters.
  public func column(named name: String) -> [Double]? {
    let wanted = normalizedName(name)
    return
      (columns.first { $0.name == name } ?? columns.first { normalizedName($0.name) == wanted })?
      .values
  }

  /// The columns beside the target.
  public var features: [Covariate] { columns.filter { $0.name != target } }

  /// A time as a person types it: in any way of writing dates whose order needs no guess, or the number of a
  /// row where rows are steps; nil for anything else.
  public func time(_ text: String) -> Timestamp? {
    guard hasClock else { return Int64(text).map { Timestamp(secondsSinceEpoch: $0) } }
    let styles: [DateStyle] = [.yearMonthDay, .yearMonth, .quarter, .isoWeek, .compact, .year]
    return styles.lazy.compactMap { $0.parse(text) }.first
  }
}

/// What keeps a table from being audited.
public enum AuditError: Error, Equatable, Sendable {
  /// Several columns could be the target, or none.
  case noTarget(file: String, columns: [String])
  /// A cell of a column of parts is none of the known words.
  case unknownPart(file: String, column: String, found: String)
  /// A text is no time of the table.
  case badTime(option: String, found: String, example: String)
  /// A file that belongs to the table lacks a column.
  case missingColumn(file: String, column: String, purpose: String)
  /// A file has no row in common with the table.
  case nothingShared(file: String, other: String)
}
