import ApusData
import ApusTestSupport
import Foundation
import Testing

import ApusEvaluation

/// The twelve planted leaks, each with its clean twin, on series of every kind.
@Suite("Planted leaks", .tags(.property))
struct PlantedLeakTests {
  static let (rows, train) = (300, 210)

  /// A leak that must be found in a column from a time on, and a twin that must pass.
  private func expect(
    _ kind: LeakKind, in leak: AuditReport, not clean: AuditReport, column: String? = nil,
    day: Int? = nil, _ comment: String
  ) {
    let found = leak.check(kind)
    #expect(found?.status == .leak, "\(comment): \(leak.checks)")
    #expect(found?.findings.first?.column == column, "\(comment)")
    if let day { #expect(found?.findings.first?.time == PlantedTable.day(day), "\(comment)") }
    #expect(found?.findings.first?.time != nil, "\(comment)")
    #expect(!clean.hasLeak, "\(comment), clean twin: \(clean.checks.filter { $0.status == .leak })")
    #expect(clean.check(kind)?.status == .passed, "\(comment), clean twin")
  }

  @Test("a scaler fitted to all rows", arguments: Process.allCases, [UInt64(1), 2])
  func scaler(process: Process, seed: UInt64) throws {
    let (count, train) = (Self.rows, Self.train)
    let (y, x) = (
      process.values(count, seed: seed), Process.autoregression.values(count, seed: seed + 50)
    )
    let split = ordered(count, train: train)
    for (name, source) in [("of a column", x), ("of the target", y)] {
      expect(
        .scaler,
        in: try PlantedTable(("y", y), ("z", source.standardized(by: count)), split: split).audit(),
        not: try PlantedTable(("y", y), ("z", source.standardized(by: train)), split: split)
          .audit(),
        column: "z", day: train, "\(process) \(seed), \(name)")
    }
    // The range of all rows is met in the test part alone.
    var rising = x
    rising[train + 20] = 60
    func ranged(_ rows: Int) -> [Double] {
      let (low, high) = (rising[..<rows].min() ?? 0, rising[..<rows].max() ?? 1)
      return rising.map { ($0 - low) / (high - low) }
    }
    expect(
      .scaler, in: try PlantedTable(("y", y), ("z", ranged(count)), split: split).audit(),
      not: try PlantedTable(("y", y), ("z", ranged(train)), split: split).audit(), column: "z",
      day: train + 20, "\(process) \(seed), range")
  }

  @Test("copies, shifts and windows of the target", arguments: Process.allCases, [UInt64(1), 2])
  func columns(process: Process, seed: UInt64) throws {
    let y = process.values(Self.rows, seed: seed)
    let lag = try PlantedTable(("y", y), ("f", y.lagged(1)), ("g", y.lagged(7))).audit()
    let comment = "\(process) \(seed)"
    expect(
      .copiedTarget, in: try PlantedTable(("y", y), ("f", y)).audit(), not: lag, column: "f",
      day: 0, comment)
    expect(
      .copiedTarget, in: try PlantedTable(("y", y), ("f", y.map { 32 + 1.8 * $0 })).audit(),
      not: lag, column: "f", day: 0, comment)
    for lead in [1, 5] {
      expect(
        .shiftedTarget, in: try PlantedTable(("y", y), ("f", y.lagged(-lead))).audit(), not: lag,
        column: "f", day: 0, comment)
    }
    let median = { (values: [Double]) in values.sorted()[values.count / 2] }
    let deviation = { (values: [Double]) in AuditStatistics.variance(values).squareRoot() }
    for (half, statistic) in [
      (1, AuditStatistics.mean), (3, AuditStatistics.mean), (25, AuditStatistics.mean), (3, median),
      (3, { $0.max() ?? 0 }), (5, deviation),
    ] as [(Int, ([Double]) -> Double)] {
      expect(
        .lookAhead,
        in: try PlantedTable(("y", y), ("f", y.rolled(half, half, statistic))).audit(),
        not: try PlantedTable(("y", y), ("f", y.rolled(2 * half, 0, statistic))).audit(),
        column: "f", day: half, "\(comment), half \(half)")
    }
    let ahead = y.lagged(-5).rolled(4)
    expect(
      .lookAhead, in: try PlantedTable(("y", y), ("f", ahead)).audit(),
      not: try PlantedTable(("y", y), ("f", y.rolled(4).lagged(1))).audit(), column: "f", comment)
  }

  @Test("smoothing that runs backwards", arguments: Process.allCases)
  func backwards(process: Process) throws {
    let y = process.values(600, seed: 4)
    let backwards: [Double] = y.reversed().smoothed(0.3).reversed()
    expect(
      .lookAhead, in: try PlantedTable(("y", y), ("f", backwards)).audit(),
      not: try PlantedTable(("y", y), ("f", y.smoothed(0.3))).audit(), column: "f", "\(process)")
  }

  @Test("a centered mean of another column", arguments: Process.allCases)
  func otherColumn(process: Process) throws {
    let (y, x) = (process.values(300, seed: 5), Process.walk.values(300, seed: 6))
    expect(
      .lookAhead, in: try PlantedTable(("y", y), ("x", x), ("f", x.rolled(3, 3))).audit(),
      not: try PlantedTable(
        ("y", y), ("x", x), ("f", x.rolled(6)), ("x_2", x.lagged(2)), ("g", x.rolled(4))
      ).audit(), column: "f", day: 3, "\(process)")
  }

  @Test("values filled from later rows", arguments: Process.allCases, [UInt64(1), 2])
  func backFill(process: Process, seed: UInt64) throws {
    let (count, train) = (Self.rows, Self.train)
    let (y, x) = (process.values(count, seed: seed), Process.walk.values(count, seed: seed + 9))
    var raw = x
    for row in [40, 41, 90, train - 2, train - 1, train, 250] { raw[row] = .nan }
    func filled(_ values: [Double]) -> [Double] {
      var last = Double.nan
      return values.map { value in
        if value.isFinite { last = value }
        return last
      }
    }
    let backward: [Double] = filled(raw.reversed()).reversed()
    let split = ordered(count, train: train)
    func audit(_ values: [Double]) throws -> AuditReport {
      try PlantedTable(("y", y), ("x", raw), ("x_filled", values), split: split).audit()
    }
    expect(
      .backFill, in: try audit(backward), not: try audit(filled(raw)), column: "x_filled",
      day: train - 2, "\(process) \(seed)")
    // The same with the raw table in a file of its own.
    var options = AuditOptions()
    options.raw = try PlantedTable(("y", y), ("x", raw)).beside()
    expect(
      .backFill, in: try PlantedTable(("y", y), ("x", backward), split: split).audit(options),
      not: try PlantedTable(("y", y), ("x", filled(raw)), split: split).audit(options), column: "x",
      day: train - 2, "\(process) \(seed), raw")
  }

  @Test("the split: no purge, no embargo, shuffled, repeated", arguments: [UInt64(1), 2, 3, 4, 5])
  func splits(seed: UInt64) throws {
    let (count, train) = (Self.rows, Self.train)
    let close = Process.price.values(count, seed: seed)
    let label = close.indices.map { row in
      row + 5 < count ? log(close[row + 5] / close[row]) : .nan
    }
    let plain = ordered(count, train: train)
    let purged = plain.indices.map { (train - 4..<train).contains($0) ? "purged" : plain[$0] }
    expect(
      .labelOverlap, in: try PlantedTable(("y", label), ("close", close), split: plain).audit(),
      not: try PlantedTable(("y", label), ("close", close), split: purged).audit(),
      day: train - 4, "\(seed)")
    var five = AuditOptions()
    five.horizon = 5
    let y = Process.autoregression.values(count, seed: seed)
    expect(
      .labelOverlap, in: try PlantedTable(("y", y), split: plain).audit(five),
      not: try PlantedTable(("y", y), split: purged).audit(five), day: train - 4, "\(seed)")

    let block = (0..<count).map { (100..<150).contains($0) ? "test" : "train" }
    let embargoed = block.indices.map { (150..<153).contains($0) ? "embargo" : block[$0] }
    expect(
      .embargo, in: try PlantedTable(("y", y), split: block).audit(),
      not: try PlantedTable(("y", y), split: embargoed).audit(), day: 150, "\(seed)")
    let white = Process.white.values(count, seed: seed)
    #expect(try !PlantedTable(("y", white), split: block).audit().hasLeak)

    var generator = SplitMix(state: seed)
    let shuffled = (0..<count).map { _ in generator.uniform() < 0.3 ? "test" : "train" }
    expect(
      .shuffledSplit, in: try PlantedTable(("y", white), split: shuffled).audit(),
      not: try PlantedTable(("y", white), split: plain).audit(), column: "split", "\(seed)")

    var twice = PlantedTable(
      ("y", white + white[..<3]), split: plain + ["train", "train", "train"])
    twice.days = Array(0..<count) + Array(train..<train + 3)
    expect(
      .duplicates, in: try twice.audit(),
      not: try PlantedTable(("y", white), split: plain).audit(), day: train, "\(seed)")
  }

  @Test("windows scaled with their targets", arguments: Process.allCases)
  func windows(process: Process) throws {
    let y = process.values(400, seed: 8)
    func windows(_ fitting: Int) throws -> AuditTable {
      var lines = ["window,step,role,y"]
      for window in 0..<12 {
        let values = Array(y[window * 30..<window * 30 + 30]).standardized(by: fitting)
        for (step, value) in values.enumerated() {
          lines.append("w\(window),\(step),\(step < 20 ? "input" : "target"),\(value)")
        }
      }
      var (options, special) = (SeriesOptions(), AuditTable.Special())
      (options.id, special.labels, special.needsTarget) = (["window"], ["role"], false)
      return try AuditTable(
        parsingCSV: lines.joined(separator: "\n"), options: options, special: special)
    }
    func audit(_ fitting: Int) throws -> AuditReport {
      var options = AuditOptions()
      options.windows = try windows(fitting)
      return try PlantedTable(("y", y)).audit(options)
    }
    let leak = try audit(30).check(.windowNormalization)
    #expect(leak?.status == .leak && leak?.findings.first?.column == "y")
    #expect(leak?.findings.first?.time == "20" && leak?.findings.first?.series == "w0")
    #expect(try audit(20).check(.windowNormalization)?.status == .passed)
  }

  @Test("what is passed as known ahead", arguments: [UInt64(1), 2, 3, 4])
  func future(seed: UInt64) throws {
    var generator = SplitMix(state: seed)
    let y = Process.seasonal.values(300, seed: seed)
    let weather = Process.autoregression.values(300, seed: seed + 1)
    let promotion = y.map { _ in generator.uniform() < 0.1 ? 1.0 : 0 }
    let price = (0..<300).map { Double(10 + $0 / 40) }
    let wave = (0..<300).map { cos(2 * .pi * Double($0) / 7) }
    let table = PlantedTable(
      ("y", y), ("weather", weather), ("promotion", promotion), ("price", price), ("wave", wave))
    var (leaking, honest) = (AuditOptions(), AuditOptions())
    (leaking.known, honest.known) = (["promotion", "weather"], ["promotion", "price", "wave"])
    expect(
      .unknownFuture, in: try table.audit(leaking), not: try table.audit(honest),
      column: "weather", day: 0, "\(seed)")
    // A forecast of the weather stands in the rows ahead; a measurement does not.
    let ahead = [Double](repeating: .nan, count: 7)
    let known = PlantedTable(("y", y + ahead), ("weather", weather + Array(weather[..<7])))
    let unknown = PlantedTable(("y", y + ahead), ("weather", weather + ahead), ("x", y + y[..<7]))
    leaking.known = ["weather"]
    expect(
      .unknownFuture, in: try unknown.audit(leaking), not: try known.audit(leaking),
      column: "weather", day: 300, "\(seed)")
  }

  @Test("restated values used before they were published", arguments: [UInt64(1), 2, 3])
  func restated(seed: UInt64) throws {
    let y = Process.walk.values(200, seed: seed)
    let first = Process.autoregression.values(200, seed: seed + 3)
    let final = zip(first, Process.white.values(200, seed: seed + 4)).map { $0 + 0.3 * $1 }
    var vintages = PlantedTable(("x", zip(first, final).flatMap { [$0, $1] }))
    vintages.days = (0..<400).map { $0 / 2 }
    vintages.texts = [
      ("published", (0..<400).map { PlantedTable.day($0 / 2 + ($0 % 2) * 30) })
    ]
    var options = AuditOptions()
    options.vintages = try vintages.beside()
    expect(
      .restated, in: try PlantedTable(("y", y), ("x", final)).audit(options),
      not: try PlantedTable(("y", y), ("x", first)).audit(options), column: "x", day: 0, "\(seed)")

    func published(late row: Int?) throws -> AuditReport {
      var table = PlantedTable(("y", y), ("x", first))
      table.texts = [("published", (0..<200).map { PlantedTable.day($0 == row ? $0 + 12 : $0) })]
      return try table.audit()
    }
    expect(
      .restated, in: try published(late: 57), not: try published(late: nil), column: "published",
      day: 57, "\(seed)")
  }

  @Test("a table made again from fewer rows", arguments: Process.allCases)
  func rerun(process: Process) throws {
    let y = process.values(300, seed: 11)
    func audit(_ feature: ([Double]) -> [Double]) throws -> AuditReport {
      var options = AuditOptions()
      let cut = Array(y[..<200])
      options.rerun = try PlantedTable(("y", cut), ("f", feature(cut))).beside()
      return try PlantedTable(("y", y), ("f", feature(y))).audit(options)
    }
    let leak = try audit { values in values.map { $0 - AuditStatistics.mean(values) } }
    #expect(leak.check(.causality)?.status == .leak)
    #expect(leak.check(.causality)?.findings.first?.column == "f")
    #expect(leak.check(.causality)?.findings.first?.rows == 200)
    #expect(try audit { $0.smoothed(0.2) }.check(.causality)?.status == .passed)
  }
}
