public import ApusData
import ApusRuntime

/// What is known about the use of a table.
public struct AuditOptions: Sendable {
  /// Rows that the target of a row reaches ahead, H: the label of row t is made of rows up to t + H. Nil
  /// where it is not known.
  public var horizon: Int?
  /// Whether the columns of a row are used for the target of the same row. Default: for those after it.
  public var usesSameRow = false
  /// The first time of the rows that are judged; nil where parts come from a column, or are not known.
  public var testFrom: Timestamp?
  /// Rows that must lie between training rows and judged ones; nil for none before judged rows, and after
  /// them as many as the target depends on.
  public var embargo: Int?
  /// Columns that are passed as known ahead.
  public var known: [String] = []
  /// Parts of the rows by spans of time; they go over a column of parts.
  public var spans: [PartSpan] = []
  /// The table before anything was filled.
  public var raw: AuditTable?
  /// The table made again from data that ends earlier, or that was changed after ``cut``.
  public var rerun: AuditTable?
  /// The last time up to which ``rerun`` was given the same data; nil for its last row.
  public var cut: Timestamp?
  /// Values with their times of publication, several for one time where they were restated.
  public var vintages: AuditTable?
  /// Windows as they are fed to a model: one series for each, with a label for inputs and targets.
  public var windows: AuditTable?

  /// Creates the default: nothing is known.
  public init() {}
}

/// The files that an audit may look at beside its table, by their paths.
public struct AuditFiles: Sendable {
  /// Parts of the rows by spans of time: `split`, `start`, and where they are there `end` and `fold`.
  public var splits: String?
  /// See ``AuditOptions/raw``.
  public var raw: String?
  /// See ``AuditOptions/rerun``.
  public var rerun: String?
  /// See ``AuditOptions/vintages``: the columns of the table, and one of times of publication.
  public var vintages: String?
  /// See ``AuditOptions/windows``: the columns `window`, `role` (input or target), and numbers.
  public var windows: String?

  /// Creates the default: none.
  public init() {}
}

extension AuditOptions {
  /// Reads further files.
  ///
  /// - Parameters:
  ///   - files: Their paths.
  ///   - table: The table they belong to.
  ///   - options: How its columns are read; those of the files are the same.
  ///   - published: The column of times of publication; nil looks for one. Default: nil.
  /// - Throws: `SeriesError`, `AuditError`.
  public mutating func read(
    _ files: AuditFiles, for table: AuditTable, options: SeriesOptions = SeriesOptions(),
    published: String? = nil
  ) throws {
    var (options, special) = (options, AuditTable.Special())
    options.targets = []
    special.needsTarget = false
    func beside(_ path: String?) throws -> AuditTable? {
      try path.map { try AuditTable(readingCSVAt: $0, options: options, special: special) }
    }
    if let path = files.splits { spans = try PartSpan.reading(csvAt: path, for: table) }
    (raw, rerun) = (try beside(files.raw), try beside(files.rerun))
    if let path = files.vintages {
      special.published = published
      vintages = try AuditTable(readingCSVAt: path, options: options, special: special)
      special.published = nil
    }
    guard let path = files.windows else { return }
    options.id = ["window"]
    special.labels = ["role"]
    windows = try AuditTable(readingCSVAt: path, options: options, special: special)
  }
}

/// A stretch of time that belongs to a part.
public struct PartSpan: Sendable, Equatable {
  /// Its fold; empty where there is one.
  public var fold: String
  /// Its part.
  public var part: PartName
  /// The first and the last time.
  public var times: ClosedRange<Timestamp>

  /// Creates a span.
  public init(fold: String = "", part: PartName, times: ClosedRange<Timestamp>) {
    (self.fold, self.part, self.times) = (fold, part, times)
  }

  /// Reads spans: a CSV with the columns `split`, `start`, and where they are there `end` and `fold`.
  /// Without an end a row is one time.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - table: The table whose rows are parted, which says how times are written.
  /// - Returns: The spans, in the order of the file.
  /// - Throws: `SeriesError`; `AuditError` for a column that is missing, a part or a time that is none.
  public static func reading(csvAt path: String, for table: AuditTable) throws -> [PartSpan] {
    let cells = try CellTable(readingCSVAt: path)
    func column(_ names: [String]) -> Int? {
      cells.names.firstIndex { names.contains($0.lowercased()) }
    }
    guard let split = column(["split", "part", "set", "role"]) else {
      throw AuditError.missingColumn(file: path, column: "split", purpose: "the part of each span")
    }
    guard let start = column(["start", "from", "ds", "date", "time", "timestamp"]) else {
      throw AuditError.missingColumn(
        file: path, column: "start", purpose: "the first time of a span")
    }
    let (end, fold) = (column(["end", "to", "until"]), column(["fold"]))
    return try cells.rows.map { row in
      guard let part = PartName(row[split]) else {
        throw AuditError.unknownPart(file: path, column: cells.names[split], found: row[split])
      }
      func time(_ column: Int) throws -> Timestamp {
        guard let time = table.time(row[column]) else {
          throw AuditError.badTime(
            option: "\(path), column '\(cells.names[column])'", found: row[column],
            example: table.rows.first.map { table.text($0.time) } ?? "2024-01-31")
        }
        return time
      }
      let first = try time(start)
      let last = try end.map { try time($0) } ?? first
      return PartSpan(
        fold: fold.map { row[$0] } ?? "", part: part, times: min(first, last)...max(first, last))
    }
  }
}

/// Which part each row of a table belongs to, fold by fold.
struct PartMap {
  /// For each fold its name and the part of every row.
  private(set) var folds: [(name: String, parts: [PartName])] = []

  /// Takes spans, then the first time of the test part, then a column.
  ///
  /// - Throws: `AuditError/unknownPart(file:column:found:)`.
  init(_ table: AuditTable, options: AuditOptions) throws {
    if !options.spans.isEmpty {
      var names: [String] = []
      for span in options.spans where !names.contains(span.fold) { names.append(span.fold) }
      folds = names.map { name in
        let spans = options.spans.filter { $0.fold == name }
        return (
          name,
          table.rows.map { row in spans.last { $0.times.contains(row.time) }?.part ?? .unused }
        )
      }
    } else if let first = options.testFrom {
      folds = [("", table.rows.map { $0.time < first ? .train : .test })]
    } else if let label = table.labels.first {
      folds = try Self.folds(label, file: table.source)
    }
  }

  var isEmpty: Bool { folds.isEmpty }

  private static func folds(
    _ label: AuditTable.Label, file: String
  ) throws -> [(name: String, parts: [PartName])] {
    let words = Set(label.cells)
    if let odd = words.first(where: { PartName($0) == nil }) {
      let flags = words.filter { !$0.isEmpty }
      guard flags.allSatisfy({ Int($0) != nil || Bool($0.lowercased()) != nil }) else {
        throw AuditError.unknownPart(file: file, column: label.name, found: odd)
      }
      let name = label.name.lowercased()
      if flags.count == 2, !name.contains("fold") {
        let isTrain = name.contains("train")
        return [
          (
            "",
            label.cells.map { cell in
              if cell.isEmpty { return .unused }
              let isSet = Int(cell).map { $0 != 0 } ?? (cell.lowercased() == "true")
              return isSet == isTrain ? .train : .test
            }
          )
        ]
      }
      return flags.sorted { (Int($0) ?? 0) < (Int($1) ?? 0) }.map { fold in
        (fold, label.cells.map { $0.isEmpty ? .unused : $0 == fold ? .test : .train })
      }
    }
    return [("", label.cells.map { PartName($0) ?? .unused })]
  }
}

extension PartName {
  /// Whether it is judged or chosen by.
  var isHeld: Bool { self == .test || self == .validation }
}

extension AuditTable {
  /// A time as results write it.
  public func text(_ time: Timestamp) -> String { cadence.text(time) }
}
