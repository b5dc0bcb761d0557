import ApusData
import ApusTestSupport
import Foundation

import ApusEvaluation

/// How a series moves.
enum Process: String, CaseIterable, Sendable {
  case white, autoregression, walk, seasonal, price

  /// A series of `count` rows.
  func values(_ count: Int, seed: UInt64) -> [Double] {
    var generator = SplitMix(state: seed &* 7919 &+ 17)
    var (level, values) = (0.0, [Double]())
    for row in 0..<count {
      let noise = generator.normal()
      switch self {
      case .white: values.append(noise)
      case .autoregression:
        level = 0.9 * level + noise
        values.append(level)
      case .walk:
        level += noise
        values.append(level)
      case .seasonal:
        level = 0.5 * level + noise
        values.append(20 + 6 * sin(2 * .pi * Double(row) / 7) + level)
      case .price:
        level += 0.01 * noise
        values.append(100 * exp(level))
      }
    }
    return values
  }
}

/// A table of one series by days, made in a test.
struct PlantedTable {
  var columns: [(name: String, values: [Double])] = []
  var split: [String] = []
  /// Days of the rows after the first of January 2020; nil for one after the other.
  var days: [Int]?
  var texts: [(name: String, cells: [String])] = []

  init(_ columns: (String, [Double])..., split: [String] = []) {
    self.columns = columns.map { (name: $0.0, values: $0.1) }
    self.split = split
  }

  static func day(_ number: Int) -> String {
    Timestamp(secondsSinceEpoch: 1_577_836_800 + Int64(number) * 86_400).description
  }

  /// As a file holds it, numbers in full.
  var csv: String {
    let count = columns[0].values.count
    var header = ["date"] + columns.map(\.name) + texts.map(\.name)
    if !split.isEmpty { header.append("split") }
    var lines = [header.joined(separator: ",")]
    for row in 0..<count {
      var cells = [Self.day(days?[row] ?? row)]
      cells += columns.map { $0.values[row].isFinite ? "\($0.values[row])" : "" }
      cells += texts.map { $0.cells[row] }
      if !split.isEmpty { cells.append(split[row]) }
      lines.append(cells.joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }

  func table(special: AuditTable.Special = AuditTable.Special()) throws -> AuditTable {
    var options = SeriesOptions()
    options.targets = special.needsTarget ? ["y"] : []
    return try AuditTable(parsingCSV: csv, name: "planted.csv", options: options, special: special)
  }

  /// The table read without a target, as a file beside another one is.
  func beside() throws -> AuditTable {
    var special = AuditTable.Special()
    special.needsTarget = false
    return try table(special: special)
  }

  func audit(_ options: AuditOptions = AuditOptions()) throws -> AuditReport {
    try LeakAudit(try table(), options: options).report()
  }
}

extension [Double] {
  /// The value so many rows earlier; NaN where there is none.
  func lagged(_ rows: Int) -> [Double] {
    indices.map { indices.contains($0 - rows) ? self[$0 - rows] : .nan }
  }

  /// A statistic of the rows from `before` before to `after` after each row.
  func rolled(
    _ before: Int, _ after: Int = 0, _ statistic: ([Double]) -> Double = AuditStatistics.mean
  ) -> [Double] {
    indices.map { row in
      row - before >= 0 && row + after < count
        ? statistic(Array(self[row - before...row + after])) : .nan
    }
  }

  /// Exponential smoothing from the first row on.
  func smoothed(_ weight: Double) -> [Double] {
    var level = first ?? 0
    return map { value in
      level += weight * (value - level)
      return level
    }
  }

  /// `(x - mean) / deviation` of the first `rows`.
  func standardized(by rows: Int) -> [Double] {
    let fitting = self[..<rows]
    let (mean, deviation) = (
      AuditStatistics.mean(fitting), AuditStatistics.variance(fitting).squareRoot()
    )
    return map { ($0 - mean) / deviation }
  }
}

/// Train, then test.
func ordered(_ count: Int, train: Int) -> [String] {
  (0..<count).map { $0 < train ? "train" : "test" }
}
