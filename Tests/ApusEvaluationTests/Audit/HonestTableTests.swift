import ApusData
import ApusTestSupport
import Foundation
import Testing

import ApusEvaluation

/// What is honest is not called a leak, on series of every kind.
@Suite("Honest tables", .tags(.property))
struct HonestTableTests {
  @Test("features made of the past pass", arguments: Process.allCases, [UInt64(0), 1])
  func features(process: Process, seed: UInt64) throws {
    let count = 400
    let y = process.values(count, seed: seed)
    let steps = y.indices.map { $0 > 0 ? y[$0] - y[$0 - 1] : .nan }
    let deviation = { (values: [Double]) in AuditStatistics.variance(values).squareRoot() }
    let beside = zip(y, Process.autoregression.values(count, seed: seed + 40)).map { 0.5 * $0 + $1 }
    let split = ordered(count, train: 280)
    let report = try PlantedTable(
      ("y", y), ("lag1", y.lagged(1)), ("week", y.lagged(7)), ("mean5", y.rolled(4)),
      ("mean30", y.rolled(29)), ("mean101", y.rolled(100)), ("mean7_before", y.rolled(6).lagged(1)),
      ("slow", y.smoothed(0.02)), ("fast", y.smoothed(0.3)), ("step", steps),
      ("deviation10", y.rolled(9, 0, deviation)), ("largest20", y.rolled(19, 0) { $0.max() ?? 0 }),
      ("other", Process.walk.values(count, seed: seed + 60)), ("beside", beside),
      ("beside_mean", beside.rolled(4)), ("scaled", beside.standardized(by: 280)),
      ("weekday", y.indices.map { Double($0 % 7) }),
      ("wave", y.indices.map { sin(Double($0) / 9) }),
      split: split
    ).audit()
    let leaks = report.checks.filter { $0.status == .leak || $0.status == .doubt }
    #expect(leaks.isEmpty, "\(process) \(seed): \(leaks.flatMap(\.findings))")
  }

  @Test("a leading indicator with noise of its own is no leak", arguments: Process.allCases)
  func leadingIndicator(process: Process) throws {
    let y = process.values(800, seed: 3)
    let steps = zip(y.dropFirst(), y).map { $0 - $1 }
    let size = AuditStatistics.variance(steps).squareRoot()
    let noise = Process.white.values(800, seed: 4)
    let signal = zip(y.lagged(-1), noise).map { $0 + size * $1 }
    #expect(try !PlantedTable(("y", y), ("signal", signal)).audit().hasLeak)
  }

  @Test("for the target of the same row, what holds it is a leak", arguments: Process.allCases)
  func sameRow(process: Process) throws {
    let y = process.values(400, seed: 12)
    var options = AuditOptions()
    options.usesSameRow = true
    let trailing = try PlantedTable(("y", y), ("f", y.rolled(4))).audit(options)
    #expect(trailing.check(.lookAhead)?.findings.first?.column == "f", "\(process)")
    let before = try PlantedTable(("y", y), ("f", y.rolled(4).lagged(1)), ("g", y.lagged(1)))
      .audit(options)
    #expect(!before.hasLeak, "\(process): \(before.checks)")
    let bar = try PlantedTable(("y", y), ("high", y.map { $0 + 1 + sin($0) })).audit(options)
    #expect(bar.hasLeak)
  }

  @Test("what cannot be asked is said, not passed")
  func notMade() throws {
    let y = Process.walk.values(120, seed: 1)
    let report = try PlantedTable(("y", y), ("x", y.lagged(1))).audit()
    let open = Set(report.checks.filter { $0.status == .notMade }.map(\.kind))
    #expect(
      open == [
        .scaler, .backFill, .labelOverlap, .embargo, .shuffledSplit, .duplicates,
        .windowNormalization, .unknownFuture, .restated, .causality,
      ])
    #expect(report.checks.map(\.kind) == LeakKind.allCases)
    #expect(report.headline == "No leak found; 10 of 13 checks could not be made")
    let alone = try PlantedTable(("y", y)).audit()
    #expect(alone.headline == "Nothing could be checked")
  }

  @Test("a panel is cut at one time, or whole series are kept apart")
  func panel() throws {
    func panel(_ part: (_ series: Int, _ row: Int) -> String) throws -> AuditReport {
      var lines = ["id,date,y,x,split"]
      for series in 0..<4 {
        let y = Process.walk.values(150, seed: UInt64(series))
        let x = Process.autoregression.values(150, seed: UInt64(series + 9))
        for row in y.indices {
          lines.append(
            "s\(series),\(PlantedTable.day(row)),\(y[row]),\(x[row]),\(part(series, row))")
        }
      }
      var options = SeriesOptions()
      options.targets = ["y"]
      let text = lines.joined(separator: "\n")
      return try LeakAudit(AuditTable(parsingCSV: text, options: options)).report()
    }
    #expect(try !panel { _, row in row < 100 ? "train" : "test" }.hasLeak)
    #expect(try !panel { series, _ in series < 3 ? "train" : "test" }.hasLeak)
    let own = try panel { series, row in row < 90 + 10 * series ? "train" : "test" }
    let found = try #require(own.check(.duplicates)?.findings.first)
    #expect(found.rows == 30 && found.series == "s0" && found.time == PlantedTable.day(90))
  }

  @Test("parts come from spans, folds, flags or a first time")
  func parts() throws {
    let y = Process.autoregression.values(200, seed: 2)
    let table = PlantedTable(("y", y), ("x", y.lagged(1)))
    let first = try table.table().rows[0].time
    func time(_ row: Int) -> Timestamp {
      Timestamp(secondsSinceEpoch: first.secondsSinceEpoch + Int64(row) * 86_400)
    }
    var options = AuditOptions()
    options.testFrom = time(150)
    #expect(try table.audit(options).check(.shuffledSplit)?.status == .passed)
    options.testFrom = nil
    options.embargo = 3
    options.spans = [
      PartSpan(part: .train, times: time(0)...time(149)),
      PartSpan(part: .test, times: time(152)...time(199)),
    ]
    let close = try #require(try table.audit(options).check(.embargo)?.findings.first)
    #expect(close.time == PlantedTable.day(152) && close.evidence.hasPrefix("2 rows lie between"))
    options.embargo = 2
    #expect(try table.audit(options).check(.embargo)?.status == .passed)
    var folds = PlantedTable(("y", y), ("x", y.lagged(1)))
    folds.texts = [("fold", (0..<200).map { "\($0 / 50)" })]
    let cross = try folds.audit()
    #expect(cross.check(.embargo)?.findings.count == 3)
    #expect(cross.check(.shuffledSplit)?.status == .passed)
    var flags = PlantedTable(("y", y), ("x", y.lagged(1)))
    flags.texts = [("is_test", (0..<200).map { $0 < 150 ? "0" : "1" })]
    #expect(try flags.audit().check(.shuffledSplit)?.status == .passed)
    let odd = PlantedTable(("y", y), split: (0..<200).map { $0 < 150 ? "train" : "tset" })
    var special = AuditTable.Special()
    special.part = "split"
    #expect(
      throws: AuditError.unknownPart(file: "planted.csv", column: "split", found: "tset")
    ) { try LeakAudit(odd.table(special: special)) }
  }
}
