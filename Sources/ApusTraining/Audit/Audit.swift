public import ApusData
public import ApusEvaluation
import ApusRuntime
public import ApusTensor

/// An audit of a file, of a saved forecaster, or of both.
///
///     var audit = Audit()
///     audit.data = "features.csv"
///     audit.testFrom = "2020-01-01"
///     print(try audit.report().headline)
public struct Audit: Sendable {
  /// The table; nil audits the model by the rows it was saved with.
  public var data: String?
  /// The folder of a forecaster; nil for none.
  public var model: String?
  /// What is known about the columns of the table.
  public var reading = SeriesOptions()
  /// The columns of parts and of times of publication; the latter in `files.vintages` where that is given.
  public var special = AuditTable.Special()
  /// Further files.
  public var files = AuditFiles()
  /// How the table is used.
  public var options = AuditOptions()
  /// The first time of the rows that are judged, as the table writes times; nil where it is not known.
  public var testFrom: String?
  /// The last time up to which `files.rerun` was made of the same data; nil for its last row.
  public var cut: String?

  /// Creates an audit of nothing.
  public init() {}

  /// Answers every question that the files allow.
  ///
  /// - Throws: ``AuditFailure/nothingGiven``; what is wrong with a file, an option or a folder.
  public func report() throws -> AuditReport {
    let model = try model.map { try Model(at: $0) }
    guard let data else {
      guard let model else { throw AuditFailure.nothingGiven }
      guard !model.history.isEmpty else { throw AuditFailure.noRows(model: model.name) }
      var table = SeriesTable(model.history, targetName: model.target)
      table.cadence = model.recipe.cadence
      return try ModelAudit(model, table: table).report()
    }
    let reading = model.map { self.reading.completed(by: $0) } ?? self.reading
    var special = special
    // Where every publication of a value is told, it is told there.
    if files.vintages != nil { special.published = nil }
    let table = try AuditTable(readingCSVAt: data, options: reading, special: special)
    var options = options
    options.testFrom = try time(testFrom, option: "--test-from", in: table)
    options.cut = try time(cut, option: "--cut", in: table)
    try options.read(
      files, for: table, options: self.reading,
      published: self.special.published)
    let report = try LeakAudit(table, options: options).report()
    guard let model else { return report }
    let series = try SeriesTable(readingCSVAt: data, options: reading)
    let checks = try ModelAudit(model, table: series, testFrom: options.testFrom).checks()
    return report.merged(with: checks)
  }

  private func time(
    _ text: String?, option: String, in table: AuditTable
  ) throws -> Timestamp? {
    guard let text else { return nil }
    guard let time = table.time(text) else {
      throw AuditError.badTime(
        option: option, found: text,
        example: table.rows.first.map { table.text($0.time) } ?? "2024-01-31")
    }
    return time
  }
}

/// What keeps an audit from beginning.
public enum AuditFailure: Error, Equatable {
  /// Neither a table nor a model.
  case nothingGiven
  /// A model was saved without rows, and no table is given.
  case noRows(model: String)
}

extension AuditFailure: ApusError {
  public var exitStatus: ExitStatus { .usage }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .nothingGiven:
      "Found neither a table nor a model, expected at least one; give DATA, or --model DIR."
    case .noRows(let model):
      "The model '\(model)' was saved without rows, expected some to try it on; give DATA too."
    }
  }
}
