public import ApusData

/// Looks for leaks in a table, in its split, and in what was made of it.
///
/// Each kind of leak of ``LeakKind`` is one question; where the input does not allow to ask it, the answer
/// says what is missing, never that all is well.
public struct LeakAudit: Sendable {
  let table: AuditTable
  let options: AuditOptions
  let parts: PartMap

  /// Creates the audit; nothing is done before ``report()``.
  ///
  /// - Parameters:
  ///   - table: The rows.
  ///   - options: How they are used.
  /// - Throws: `AuditError` for a column of parts with other words.
  public init(_ table: AuditTable, options: AuditOptions = AuditOptions()) throws {
    (self.table, self.options) = (table, options)
    parts = try PartMap(table, options: options)
  }

  /// Answers every question.
  ///
  /// - Throws: `AuditError` where a further file does not belong to the table, `SeriesError` for a column
  ///   that is not there.
  public func report() throws -> AuditReport {
    let columns = try columnChecks()
    var checks = [scalerCheck()] + columns
    checks +=
      [try fillCheck()] + splitChecks() + [
        try windowCheck(), try futureCheck(), try publicationCheck(), try rerunCheck(),
      ]
    let order = LeakKind.allCases
    checks.sort { one, other in
      (order.firstIndex(of: one.kind) ?? 0) < (order.firstIndex(of: other.kind) ?? 0)
    }
    let times = table.rows.map(\.time)
    let target = table.column(named: table.target) ?? []
    return AuditReport(
      source: table.source, rows: table.rows.count, target: table.target,
      first: times.min().map(table.text), last: times.max().map(table.text),
      targets: target.count(where: \.isFinite), checks: checks)
  }

  /// A finding at a row.
  func finding(
    _ row: Int?, column: String? = nil, rows: Int? = nil, _ evidence: String, advice: String
  ) -> LeakFinding {
    let found = row.map { table.rows[$0] }
    let series = found.map { table.series[$0.series] }
    return LeakFinding(
      column: column, series: table.series.count > 1 ? series : nil,
      time: found.map { table.text($0.time) }, line: found?.line, rows: rows, evidence: evidence,
      advice: advice)
  }

  /// The columns beside the target that a person may take for inputs.
  var features: [Covariate] { table.features }

  /// The longest series, at most so many, longest first.
  func longest(_ count: Int) -> [Range<Int>] {
    Array(table.ranges.filter { !$0.isEmpty }.sorted { $0.count > $1.count }.prefix(count))
  }

  /// The words for an input that says which rows are judged.
  static let partsWanted =
    "it needs the parts of the rows: a column of train and test (--split), --test-from, or --splits"
}

/// A count with its noun.
func counted(_ count: Int, _ one: String, _ many: String? = nil) -> String {
  "\(count) \(count == 1 ? one : many ?? one + "s")"
}
