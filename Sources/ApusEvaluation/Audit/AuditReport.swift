/// A way in which a table, a split or a model may know more than it can know.
///
/// The twelve planted leaks of Apus' own corpus, and what no name fits.
public enum LeakKind: String, Codable, Sendable, CaseIterable {
  /// A column was scaled with statistics of rows that are judged.
  case scaler
  /// A column repeats the target of its row.
  case copiedTarget = "copied_target"
  /// A column holds a later value of the target.
  case shiftedTarget = "shifted_target"
  /// A column is made of a window that ends after its row.
  case lookAhead = "look_ahead"
  /// A missing value was filled from a later one.
  case backFill = "back_fill"
  /// Labels of training rows reach into the rows that are judged.
  case labelOverlap = "label_overlap"
  /// Training rows follow judged ones more closely than the target's dependence allows.
  case embargo
  /// Rows were dealt to the parts at random.
  case shuffledSplit = "shuffled_split"
  /// The same time is in two parts.
  case duplicates
  /// A window was scaled with the values that are to be forecast.
  case windowNormalization = "window_normalization"
  /// A column passed as known ahead cannot be known.
  case unknownFuture = "unknown_future"
  /// A value was used before it was published.
  case restated
  /// Rows, features or forecasts change when later rows do.
  case causality

  /// The question of the check, as a person reads it.
  public var title: String {
    switch self {
    case .scaler: "scaled with training rows alone"
    case .copiedTarget: "no copy of the target"
    case .shiftedTarget: "no later target in a row"
    case .lookAhead: "no window that ends after its row"
    case .backFill: "nothing filled from later rows"
    case .labelOverlap: "labels end before the next part"
    case .embargo: "distance after judged rows"
    case .shuffledSplit: "parts in order of time"
    case .duplicates: "no time in two parts"
    case .windowNormalization: "windows scaled by their inputs"
    case .unknownFuture: "known ahead what is passed so"
    case .restated: "values used once published"
    case .causality: "the past stays when the future changes"
    }
  }
}

/// One leak.
public struct LeakFinding: Codable, Sendable, Equatable {
  /// The column; nil where the leak is in the split.
  public var column: String?
  /// The series; nil where the table has one, or all have it.
  public var series: String?
  /// The time of the first row that shows it, as the table's other times are written.
  public var time: String?
  /// The line of that row.
  public var line: Int?
  /// How many rows show it; nil where it is a whole column.
  public var rows: Int?
  /// The figures that show it, a sentence.
  public var evidence: String
  /// The mend, a sentence.
  public var advice: String

  /// Creates a finding.
  public init(
    column: String? = nil, series: String? = nil, time: String? = nil, line: Int? = nil,
    rows: Int? = nil, evidence: String, advice: String
  ) {
    (self.column, self.series, self.time, self.line) = (column, series, time, line)
    (self.rows, self.evidence, self.advice) = (rows, evidence, advice)
  }
}

/// The answer to one question of an audit.
public struct AuditCheck: Codable, Sendable, Equatable {
  /// What came of it.
  public enum Status: String, Codable, Sendable {
    /// There is a leak.
    case leak
    /// Something looks like one, and the data cannot decide.
    case doubt
    /// There is none.
    case passed
    /// It could not be asked, for want of input.
    case notMade = "not_made"
  }

  /// What was looked for.
  public var kind: LeakKind
  /// What came of it.
  public var status: Status
  /// What was looked at, or what is missing, a sentence.
  public var detail: String
  /// The leaks, and what looks like one.
  public var findings: [LeakFinding]

  /// Creates an answer.
  public init(
    _ kind: LeakKind, _ status: Status, _ detail: String, findings: [LeakFinding] = []
  ) {
    (self.kind, self.status, self.detail, self.findings) = (kind, status, detail, findings)
  }

  /// A leak where there are findings, else none.
  init(_ kind: LeakKind, findings: [LeakFinding], doubts: [LeakFinding] = [], passed: String) {
    let status: Status = !findings.isEmpty ? .leak : doubts.isEmpty ? .passed : .doubt
    self.init(kind, status, passed, findings: findings + doubts)
  }
}

/// What an audit found, one answer for each kind of leak.
public struct AuditReport: Codable, Sendable, Equatable {
  /// The table or model.
  public var source: String
  /// Rows that were looked at.
  public var rows: Int
  /// The column that is predicted.
  public var target: String
  /// The first and the last time; nil where rows have none.
  public var first, last: String?
  /// Rows that have a target.
  public var targets: Int
  /// The answers, in the order of ``LeakKind``.
  public var checks: [AuditCheck]

  /// Creates a report.
  public init(
    source: String, rows: Int, target: String, first: String? = nil, last: String? = nil,
    targets: Int, checks: [AuditCheck]
  ) {
    (self.source, self.rows, self.target, self.checks) = (source, rows, target, checks)
    (self.first, self.last, self.targets) = (first, last, targets)
  }

  /// What was looked at, a sentence without its end.
  public var subject: String {
    let span = [first, last].compactMap(\.self).joined(separator: " to ")
    let target = target.isEmpty ? "" : ", \(counted(targets, "value")) of \(target)"
    return "\(source): \(counted(rows, "row"))\(span.isEmpty ? "" : ", \(span)")\(target)"
  }

  /// Whether there is a leak.
  public var hasLeak: Bool { checks.contains { $0.status == .leak } }

  /// The answer of one kind; nil where it was not asked.
  public func check(_ kind: LeakKind) -> AuditCheck? { checks.first { $0.kind == kind } }

  /// The same with answers of another look at the same kinds: a leak of either is one.
  public func merged(with other: [AuditCheck]) -> AuditReport {
    var result = self
    for check in other {
      guard let place = result.checks.firstIndex(where: { $0.kind == check.kind }) else {
        result.checks.append(check)
        continue
      }
      let known = result.checks[place]
      switch (known.status, check.status) {
      case (.notMade, _): result.checks[place] = check
      case (_, .notMade): break
      default:
        let rank: [AuditCheck.Status] = [.leak, .doubt, .passed]
        let status = rank.first { $0 == known.status || $0 == check.status } ?? .passed
        result.checks[place] = AuditCheck(
          check.kind, status, known.detail + " " + check.detail,
          findings: known.findings + check.findings)
      }
    }
    return result
  }

  /// The answer in one line.
  public var headline: String {
    let leaks = checks.filter { $0.status == .leak }
    let missing = checks.count { $0.status == .notMade }
    let doubts = checks.count { $0.status == .doubt }
    var text: String
    switch leaks.count {
    case 0 where missing == checks.count: text = "Nothing could be checked"
    case 0: text = "No leak found"
    case 1: text = "1 leak found"
    default: text = "\(leaks.count) kinds of leak found"
    }
    if doubts > 0 { text += ", \(doubts) in doubt" }
    if missing > 0, missing < checks.count {
      text += "; \(missing) of \(checks.count) checks could not be made"
    }
    return text
  }
}
