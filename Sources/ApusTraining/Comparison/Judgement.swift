import ApusEvaluation
import ApusTensor
import Foundation

/// One model or baseline before judgement: what its row says so far, and its losses at the same
/// windows as those of all others, in time order.
struct JudgedEntry {
  var row: ComparisonRow
  var validationLosses: [Double] = []
  var testLosses: [Double] = []
  /// Series that it could not forecast, so that another forecast stands in.
  var standIns: [String] = []

  /// Lets `score` fill in the losses and what else it finds. A row that has failed before stays as it
  /// is; one whose scoring fails, or gives a loss that is no number, becomes a failure. Cancellation
  /// alone is thrown.
  init(_ row: ComparisonRow, score: (inout JudgedEntry) throws -> Void) throws {
    self.row = row
    guard row.status == .ok else { return }
    do {
      try Task.checkCancellation()
      try score(&self)
      let losses = validationLosses + testLosses
      if losses.isEmpty || !losses.allSatisfy(\.isFinite) {
        fail("Not all of its losses are finite numbers.")
      }
    } catch let error as CancellationError {
      throw error
    } catch {
      fail("\(error)")
    }
  }

  private mutating func fail(_ message: String) {
    (row.status, row.message) = (.failed, message)
    (validationLosses, testLosses) = ([], [])
  }
}

/// The opening of the test part and what it says: the same for series and for texts.
struct Judgement {
  /// The rows of all entries with skill, interval and p-value.
  let rows: [ComparisonRow]
  /// The answer.
  let verdict: Verdict
  /// Which rows cannot be told from the best; nil with fewer than two windows.
  let bestSet: BestSet?
  /// Series that a row could not forecast, by its name.
  let standIns: [String: Set<String>]
  private let openedAt: Double

  /// Scores everything and compares.
  ///
  /// - Parameters:
  ///   - overlap: How many successive windows share some target.
  ///   - wanders: Whether series wander like prices. Default: no.
  ///   - seed: Seed of the bootstrap.
  ///   - entries: Opens the test part and scores all models, then all baselines.
  /// - Throws: What `entries` throws; `MetricError` where entries were scored at different windows.
  init(
    overlap: Int, wanders: Bool = false, seed: UInt64, entries: () throws -> [JudgedEntry]
  ) throws {
    openedAt = Date.now.timeIntervalSince1970
    let entries = try entries()
    var generator = PhiloxGenerator(RandomKey(seed: seed, stream: 77))
    let selection = try ModelSelection(
      entries.map {
        ModelSelection.Candidate(
          name: $0.row.name, isBaseline: $0.row.kind == .baseline,
          validationLosses: $0.validationLosses, testLosses: $0.testLosses)
      }, overlap: overlap, wanders: wanders, using: &generator)
    verdict = selection.verdict
    standIns = Dictionary(
      entries.map { ($0.row.name, Set($0.standIns)) }, uniquingKeysWith: { first, _ in first })
    let alive = entries.filter { $0.testLosses.count > 1 }
    let set =
      alive.isEmpty
      ? nil
      : try ModelConfidenceSet(
        losses: alive.map(\.testLosses), overlap: overlap, using: &generator)
    let places = Dictionary(
      zip(alive.map(\.row.name), set?.pValues ?? []), uniquingKeysWith: { first, _ in first })
    bestSet = set.map { set in
      BestSet(
        confidence: Self.setConfidence,
        names: set.members(confidence: Self.setConfidence).map { alive[$0] }
          .sorted { Metrics.mean($0.testLosses) < Metrics.mean($1.testLosses) }.map(\.row.name))
    }
    let standings = Dictionary(
      selection.standings.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    rows = entries.map { entry in
      var row = entry.row
      let standing = standings[row.name]
      (row.skill, row.interval) = (standing?.skill, standing?.interval)
      row.pValue = standing?.adjustedPValue
      row.setPValue = places[row.name]
      return row
    }
  }

  /// The confidence of the set of the best.
  private static let setConfidence = 0.9

  /// Everything found, as the report draws it; what is special to series or texts is set by the caller.
  ///
  /// - Parameters:
  ///   - task: The question.
  ///   - source: Where the data came from.
  ///   - options: How the comparison was made.
  ///   - windows: How many windows, or tokens, were scored.
  /// - Returns: The record.
  func record(
    _ task: ComparisonTask, source: DataSource, options: ComparisonOptions, windows: Int
  ) -> ComparisonRecord {
    var task = task
    task.testWindows = windows
    let machine = MachineDescription.current
    var reproduction = Reproduction(
      command: options.command, seed: options.seeds.first ?? 0,
      versions: [
        .init(name: "apus", version: machine.apus), .init(name: "kernels", version: machine.isa),
        .init(name: "matrix products", version: "oneDNN, \(machine.productIsa)"),
      ])
    (reproduction.dataSha256, reproduction.dataBytes) = (source.sha256, source.bytes)
    reproduction.machine = "\(machine.processor), \(machine.cores) cores, \(machine.system)"
    var record = ComparisonRecord(
      task: task, verdict: verdict, rows: rows, reproduction: reproduction)
    record.bestSet = bestSet
    func counted(_ kind: ComparisonRow.Kind) -> String {
      let count = rows.count { $0.kind == kind }
      return "\(count) \(kind.rawValue)\(count == 1 ? "" : "s")"
    }
    record.openings = [
      TestOpening(
        at: openedAt, purpose: "final scores of \(counted(.model)) and \(counted(.baseline))",
        windows: windows)
    ]
    return record
  }
}

extension ComparisonTask {
  /// A question with what the options and the machine say about it.
  init(
    _ kind: Kind, of source: DataSource, rows: Int, target: String, lossName: String,
    options: ComparisonOptions
  ) {
    self.init(
      kind: kind, data: source.name, rows: rows, target: target, lossName: lossName,
      context: kind == .text ? options.tokens : options.lookBack,
      budgetUnit: options.budget.unit,
      budgetAmount: options.budget.amount, seeds: options.seeds, threads: Machine.threads,
      isa: Machine.instructionSet)
  }
}
