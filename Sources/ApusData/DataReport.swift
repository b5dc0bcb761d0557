/// What a reader found in a file: the facts, the choices it made, and everything that looks wrong.
///
/// Nothing is repaired in silence: what was left out, taken as missing or put in order is counted here.
public struct DataReport: Codable, Sendable, Equatable {
  /// The file as it was named, or `memory`.
  public var source: String
  /// Rows below the header.
  public var rowsRead = 0
  /// Rows that became part of a series.
  public var rowsUsed = 0
  /// Number of series.
  public var seriesCount = 0
  /// First and last stamp over all series.
  public var firstTime: Timestamp?
  /// See ``firstTime``.
  public var lastTime: Timestamp?
  /// Column names in the order of the file.
  public var columns: [String] = []
  /// The decisions about the columns, with reasons.
  public var choices: [Choice] = []
  /// The assumptions about the file, as sentences.
  public var notes: [String] = []
  /// Irregularities, each kind once.
  public var findings: [Finding] = []

  /// Creates an empty report.
  public init(source: String) {
    self.source = source
  }

  /// One decision.
  public struct Choice: Codable, Sendable, Equatable {
    /// The subject of the decision: `layout`, `time`, `series`, `target`,
    /// `frequency`, `measure`.
    public var subject: String
    /// The answer.
    public var chosen: String
    /// Why.
    public var reason: String
  }

  /// A kind of irregularity.
  public enum Kind: String, Codable, Sendable, CaseIterable {
    /// A row with a wrong number of fields, or without a readable time.
    case unreadableRow
    /// A cell that should hold a number and does not; taken as missing.
    case unreadableValue
    /// A row without a target.
    case missingTarget
    /// An empty cell of another column.
    case missingCovariate
    /// A row that repeats an earlier one; one was kept.
    case duplicateRow
    /// A second, different row for one time.
    case conflictingRow
    /// A row earlier than the row above it; rows were put in order.
    case outOfOrder
    /// Rows that were due and are absent.
    case gap
    /// Short holes in a market's calendar, taken as holidays.
    case closure
    /// The target does not change.
    case constantStretch
    /// A price that is zero or negative.
    case nonPositivePrice
    /// The high of a row lies below its low.
    case highBelowLow
    /// A price changes by more than a third in one step.
    case jump
    /// A value very far from the others.
    case outlier
  }

  /// All cases of one kind.
  public struct Finding: Codable, Sendable, Equatable {
    /// The kind of irregularity.
    public var kind: Kind
    /// The number of cases.
    public var count: Int
    /// Rows concerned: missing rows of gaps, rows in constant stretches; otherwise ``count``.
    public var rows: Int
    /// The first few.
    public var examples: [Example]
  }

  /// One case.
  public struct Example: Codable, Sendable, Equatable {
    /// Line of the file, from 1; nil where no line exists, as in a gap between series of memory.
    public var line: Int?
    /// The series, when there are several.
    public var series: String?
    /// When.
    public var time: Timestamp?
    /// The finding.
    public var detail: String
  }

  /// How many examples each finding keeps.
  static let exampleLimit = 5

  /// The number of cases of a kind.
  public func count(_ kind: Kind) -> Int { finding(kind)?.count ?? 0 }

  /// All cases of a kind, when there are any.
  public func finding(_ kind: Kind) -> Finding? { findings.first { $0.kind == kind } }

  /// Adds a case.
  mutating func add(
    _ kind: Kind, line: Int? = nil, series: String? = nil, time: Timestamp? = nil, rows: Int = 1,
    _ detail: @autoclosure () -> String
  ) {
    let index: Int
    if let known = findings.firstIndex(where: { $0.kind == kind }) {
      index = known
    } else {
      index = findings.count
      findings.append(Finding(kind: kind, count: 0, rows: 0, examples: []))
    }
    findings[index].count += 1
    findings[index].rows += rows
    guard findings[index].examples.count < Self.exampleLimit else { return }
    findings[index].examples.append(
      Example(line: line, series: series, time: time, detail: detail()))
  }

  mutating func choose(_ subject: String, _ chosen: String, because reason: String) {
    choices.append(Choice(subject: subject, chosen: chosen, reason: reason))
  }
}

extension DataReport {
  /// The report in plain sentences: what was read, what was chosen, what is wrong, most harmful first.
  public var sentences: [String] {
    var result = [summary]
    result += choices.map {
      "\($0.subject.prefix(1).uppercased())\($0.subject.dropFirst()): \($0.chosen), because \($0.reason)."
    }
    result += notes
    result += Kind.allCases.compactMap(finding).map(sentence)
    return result
  }

  private var summary: String {
    var text =
      "Read \(counted(rowsUsed, "row")) in \(counted(seriesCount, "series", "series")) from \(source)"
    if let firstTime, let lastTime { text += ", \(firstTime) to \(lastTime)" }
    return text + "."
  }

  private func sentence(_ finding: Finding) -> String {
    let examples = finding.examples.map(described).joined(separator: "; ")
    let more = finding.count > finding.examples.count ? "; …" : ""
    return "\(headline(finding)): \(examples)\(more)."
  }

  private func described(_ example: Example) -> String {
    var place: [String] = []
    if let line = example.line { place.append("line \(line)") }
    if let series = example.series { place.append(series) }
    if let time = example.time { place.append("\(time)") }
    return place.isEmpty ? example.detail : "\(place.joined(separator: ", ")) (\(example.detail))"
  }

  /// What was found in a few words, such as "1 row was out of order and was sorted".
  package func headline(_ finding: Finding) -> String {
    let count = finding.count
    let s = count == 1 ? "s" : ""  // of a verb
    return switch finding.kind {
    case .unreadableRow: "\(counted(count, "row")) could not be read and stay\(s) out"
    case .unreadableValue: "\(counted(count, "cell")) should be a number and count\(s) as missing"
    case .missingTarget: "\(counted(count, "row")) without a target"
    case .missingCovariate: "\(counted(count, "empty cell")) in other columns"
    case .duplicateRow: "\(counted(count, "row")) repeat\(s) an earlier row; one of each was kept"
    case .conflictingRow:
      "\(counted(count, "row")) give\(s) another value for a time already there"
    case .outOfOrder:
      count == 1
        ? "1 row was out of order and was sorted"
        : "\(counted(count, "row")) were out of order and were sorted"
    case .gap: "\(counted(count, "gap")) with \(counted(finding.rows, "missing row"))"
    case .closure: "\(counted(count, "hole")) of a few days taken as market holidays"
    case .constantStretch:
      "\(counted(count, "stretch", "stretches")) where the target stands still, "
        + "\(counted(finding.rows, "row")) in all"
    case .nonPositivePrice: "\(counted(count, "price")) at or below zero"
    case .highBelowLow: "\(counted(count, "row")) with the high below the low"
    case .jump: "\(counted(count, "step")) larger than 35 % in logarithms"
    case .outlier:
      "\(counted(count, "value")) far from the others; if such a value stands for a missing one, say "
        + "--missing"
    }
  }

  private func counted(_ count: Int, _ one: String, _ many: String? = nil) -> String {
    "\(count) \(count == 1 ? one : many ?? one + "s")"
  }
}
