import Apus
import ApusEvaluation
import ArgumentParser
import TextTable

/// `apus audit`: whether a table, its split or a model knows more than it can know.
struct AuditCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit",
    abstract: "Looks for leaks in a table of features, its split, and a saved model.",
    discussion: """
      EXAMPLE: apus audit features.csv --target y --test-from 2020-01-01 --horizon 5

      Thirteen questions, each answered with leak, doubt, passed, or what is missing to ask it; a leak names \
      column, time, figures and mend. The command ends with 2 where there is one. Rows are used as they \
      stand: the columns of a row for targets after it, or for that of the same row with --same-row.

      From DATA alone: a copy of the target; the target of later rows; windows that end after their row \
      (means, medians, extremes, deviations, and whatever else holds what is new in the target later).
      With the parts of the rows (a column of train and test, or of folds, with --split or found by its \
      cells; --test-from; or --splits FILE with split, start, end and fold): scalers fitted to judged rows, \
      shuffled splits, times in two parts, training rows behind judged ones (--embargo sets the distance), \
      and with --horizon labels that reach into the next part.
      With --raw FILE, the table before it was filled, or a column that has the gaps: values filled from \
      later rows. With --published COLUMN or --vintages FILE (the columns of DATA with a column published, \
      a value as often as it was restated): values used before they were published. With --future: columns \
      passed as known ahead that are measured. With --windows FILE (columns window, role with input or \
      target, and numbers): windows scaled with their targets. With --rerun FILE, the same table made again \
      from data that ends at its last row, or that was changed after --cut: every value that is not the same \
      to the bit. With --model DIR, an Apus forecaster: the same for its features and forecasts, by \
      cutting off and by changing what comes later.
      """)

  @Argument(help: "A CSV of a target and columns beside it. Default: the rows saved with --model.")
  var data: String?
  @Option(help: "A forecaster's folder, from apus train or apus compare. Default: none.")
  var model: String?
  @OptionGroup var columns: ColumnOptions
  @Option(
    help: "The column of parts: train, validation and test, 0 and 1, or folds. Default: found.")
  var split: String?
  @Option(help: "The first time that is judged, such as 2020-01-01. Default: by --split.")
  var testFrom: String?
  @Option(help: "A CSV of parts: split, start, and where needed end and fold. Default: none.")
  var splits: String?
  @Option(
    parsing: .unconditional,
    help: "Rows that the target of a row reaches ahead. Default: as a column shows it.")
  var horizon: Int?
  @Option(
    parsing: .unconditional,
    help: """
      Rows between training and judged rows, on both sides. Default: after them as far as the target is \
      correlated, up to the horizon or a hundredth of the rows.
      """)
  var embargo: Int?
  @Flag(help: "Columns are used for the target of the same row.")
  var sameRow = false
  @Option(help: "Columns passed as known ahead, separated by commas. Default: none.")
  var future: String?
  @Option(help: "The table before missing values were filled. Default: none.")
  var raw: String?
  @Option(
    help:
      "The column of times of publication, in --vintages where that is given. Default: found by name."
  )
  var published: String?
  @Option(help: "A CSV of values with their times of publication. Default: none.")
  var vintages: String?
  @Option(help: "A CSV of windows as a model gets them. Default: none.")
  var windows: String?
  @Option(help: "The table made again from data that ends earlier. Default: none.")
  var rerun: String?
  @Option(help: "The last time up to which --rerun had the same data. Default: its last row.")
  var cut: String?
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    try requireRange([("--horizon", horizon, 1...100_000), ("--embargo", embargo, 0...1_000_000)])
    if cut != nil, rerun == nil {
      throw ValidationError("--cut is about the table of --rerun. Give that too.")
    }
    let parts = [("--split", split), ("--test-from", testFrom), ("--splits", splits)]
    let given = parts.filter { $0.1 != nil }.map(\.0)
    if given.count > 1 { throw ValidationError("Give \(given[0]) or \(given[1]), not both.") }
  }

  func run() throws {
    machine.apply()
    try refuse(
      columns.given + [
        ("--split", split != nil), ("--test-from", testFrom != nil), ("--splits", splits != nil),
        ("--horizon", horizon != nil), ("--embargo", embargo != nil), ("--same-row", sameRow),
        ("--future", future != nil), ("--raw", raw != nil), ("--published", published != nil),
        ("--vintages", vintages != nil), ("--windows", windows != nil), ("--rerun", rerun != nil),
      ], unless: data != nil, because: "is about the rows of DATA. Give that too.")
    let report = try audit.report()
    if machine.json {
      try Printer.results.print(try jsonText(report))
    } else {
      try show(report)
    }
    if report.hasLeak { throw ExitCode(ExitStatus.gateNotMet.rawValue) }
  }

  private var audit: Audit {
    var audit = Audit()
    (audit.data, audit.model, audit.reading) = (data, model, columns.reading)
    (audit.special.part, audit.special.published) = (split, published)
    (audit.testFrom, audit.cut) = (testFrom, cut)
    (audit.options.horizon, audit.options.embargo) = (horizon, embargo)
    audit.options.usesSameRow = sameRow
    audit.options.known = future.map(commaSeparated) ?? []
    (audit.files.splits, audit.files.raw, audit.files.rerun) = (splits, raw, rerun)
    (audit.files.vintages, audit.files.windows) = (vintages, windows)
    return audit
  }

  private func show(_ report: AuditReport) throws {
    let table = TextTable<AuditCheck> { check in
      [
        Column(title: "check", value: check.kind.title),
        Column(
          title: "answer", value: check.status == .notMade ? "not made" : check.status.rawValue),
        Column(title: "columns", value: Self.names(check)),
      ]
    }
    var lines = [
      report.headline, report.subject, "",
      table.string(for: report.checks, style: Style.plain) ?? "",
    ]
    for check in report.checks where !check.findings.isEmpty {
      lines += ["", "\(check.status == .leak ? "Leak" : "Doubt"): \(check.kind.title)"]
      lines += check.findings.flatMap { ["  \(Self.place($0))\($0.evidence)", "  → \($0.advice)"] }
    }
    lines += Self.listed(report.checks, .passed, "Passed:")
    lines += Self.listed(report.checks, .notMade, "Not made:")
    try Printer.results.print(lines.joined(separator: "\n"))
  }

  /// What was looked at, or what is missing; checks that miss the same stand together.
  private static func listed(
    _ checks: [AuditCheck], _ status: AuditCheck.Status, _ title: String
  ) -> [String] {
    var (details, names) = ([String](), [String: [String]]())
    for check in checks where check.status == status {
      if names[check.detail] == nil { details.append(check.detail) }
      names[check.detail, default: []].append(check.kind.title)
    }
    guard !details.isEmpty else { return [] }
    return ["", title]
      + details.map { "  \((names[$0] ?? []).joined(separator: "; ")): \($0)" }
  }

  /// The columns of the findings, the first few.
  private static func names(_ check: AuditCheck) -> String {
    var names: [String] = []
    for case .some(let name) in check.findings.map(\.column) where !names.contains(name) {
      names.append(name)
    }
    return names.prefix(3).joined(separator: ", ") + (names.count > 3 ? ", …" : "")
  }

  /// Where a finding is: column, series, time and line.
  private static func place(_ finding: LeakFinding) -> String {
    let place = [
      finding.column, finding.series, finding.time, finding.line.map { "line \($0)" },
    ].compactMap(\.self).joined(separator: ", ")
    return place.isEmpty ? "" : "\(place): "
  }
}
