import ApusData
import Foundation
import Testing

/// Large files without quotes are read by kernels: to the same tables as cell by cell.
@Suite("Large tables")
struct LargeTableTests {
  private func read(_ text: String) throws -> SeriesTable {
    try SeriesTable(parsingCSV: Array(text.utf8), name: "large.csv")
  }

  /// Equal to the bit, not-a-number included.
  private func expectSame(_ one: SeriesTable, _ other: SeriesTable, _ context: String) {
    #expect(one.report == other.report, "\(context)")
    #expect(one.format == other.format && one.cadence == other.cadence, "\(context)")
    #expect(one.series.count == other.series.count, "\(context)")
    for (a, b) in zip(one.series, other.series) {
      #expect(a.id == b.id && a.timestamps == b.timestamps, "\(context)")
      #expect(bits(a.values) == bits(b.values), "\(context)")
      #expect(a.covariates.map(\.name) == b.covariates.map(\.name), "\(context)")
      for (left, right) in zip(a.covariates, b.covariates) {
        #expect(bits(left.values) == bits(right.values), "\(context)")
      }
    }
  }

  private func bits(_ values: [Double]) -> [UInt64] { values.map(\.bitPattern) }

  /// The minute of a row, as the form of a file writes it.
  private func time(_ row: Int, _ form: Int) -> String {
    let moment = "\(Timestamp(secondsSinceEpoch: Int64(row + 1) * 60 + 1_577_836_800))"
    return switch form {
    case 0: moment.replacing("T", with: " ")
    case 1: moment.contains("T") ? String(moment.dropLast(3)) : moment
    case 2: moment + "Z"
    default: moment
    }
  }

  /// A cell such as people write; most are plain.
  private func cell(_ random: inout SeededRandom, delimiter: String) -> String {
    let number = (random.normal() * 400).rounded() / 100
    return switch random.below(60) {
    case 0: ""
    case 1: "  "
    case 2: "NA"
    case 3: " \(number) "
    case 4: "+\(abs(number))"
    case 5: "\(number)e2"
    case 6: delimiter == "," ? "1234.5" : "1,234.5"
    case 7: "\(abs(number)) %"
    case 8: "-0"
    case 9: "12345678901234567890.5"
    case 10: ".5"
    case 11: "7."
    default: "\(number)"
    }
  }

  @Test(
    "a quoted name in the head, which kernels leave to the scanner, changes nothing",
    arguments: 0..<12)
  func sameAsScanner(seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let delimiter = [",", ";", "\t", "|"][seed % 4]
    let end = seed % 3 == 0 ? "\r\n" : "\n"
    var text = ["time", "one", "value", "three"].joined(separator: delimiter) + end
    let rows = 4_000 + random.below(9_000)
    for row in 0..<rows {
      if seed % 5 == 1, row % 700 == 3 { text += end }
      if seed % 5 == 2, row % 2_000 == 5 { text += "torn\(delimiter)1" + end }
      let cells = (0..<3).map { _ in cell(&random, delimiter: delimiter) }
      text += ([time(row, seed % 4)] + cells).joined(separator: delimiter)
      if row + 1 < rows || seed % 2 == 0 { text += end }
    }
    #expect(text.utf8.count > 1 << 16)
    let table = try read(text)
    expectSame(table, try read("\"time\"" + text.dropFirst(4)), "seed \(seed)")
    #expect(table.series[0].count > 3_000)
  }

  @Test("numbers and times are those of each cell", arguments: 0..<4)
  func sameAsCells(form: Int) throws {
    var random = SeededRandom(seed: UInt64(form))
    var (text, values, times): (String, [Double], [String]) = ("time,value\n", [], [])
    for row in 0..<7_001 {
      let number = "\(random.normal() * pow(10, Double(random.below(13)) - 6))"
      times.append(time(row, form))
      values.append(try #require(Double(number)))
      text += "\(times[row]),\(number)\n"
    }
    let one = try read(text).series[0]
    #expect(bits(one.values) == bits(values))
    #expect(one.timestamps == times.compactMap { Timestamp($0) })
  }

  @Test(
    "a column is read in one style however many rows it has",
    arguments: [
      ["1.735", "2.250", "9.125"], ["980", "1.735", "12.500"], ["12.5", "1.735"], ["1,5", "2,25"],
      ["1.234,5", "12,75"], ["-0", "+5.", ".5", "1e3"], ["1200", "1.735"], ["0.735", "0", "1.735"],
      ["3", "4", "5", "1 234"], ["$1.50", "2.25"], ["7", "", "null", "8.5"],
    ], [";", "\t"])
  func sameForAnyLength(cells: [String], delimiter: String) {
    func text(_ rows: Int) -> String {
      "time\(delimiter)value\n"
        + (0..<rows).map { "\(time($0, 0))\(delimiter)\(cells[$0 % cells.count])\n" }.joined()
    }
    // Fewer than a thousand rows are read cell by cell.
    let (short, long) = (try? read(text(960)), try? read(text(3_840)))
    #expect((short == nil) == (long == nil))
    #expect(short?.format?.numbers == long?.format?.numbers)
    #expect(
      short.map { bits($0.series[0].values) }
        == long.map { bits(Array($0.series[0].values[..<960])) })
  }

  @Test("many spaces are one delimiter where a person names the space")
  func spaces() throws {
    let rows = (0..<9_000).map { "\($0 + 1)   \($0).5" + ($0 % 2 == 0 ? " " : "") }
    var options = SeriesOptions()
    options.delimiter = 0x20
    let quoted = try? SeriesTable(
      parsingCSV: Array((["\"step\" value"] + rows).joined(separator: "\n").utf8), options: options)
    let plain = try? SeriesTable(
      parsingCSV: Array((["step value"] + rows).joined(separator: "\n").utf8), options: options)
    #expect((quoted == nil) == (plain == nil))
    if let quoted, let plain { expectSame(quoted, plain, "spaces") }
  }

  @Test("an error names the line, in a large file too")
  func errors() {
    var text = "time,value\n" + (0..<9_000).map { "\(time($0, 0)),\($0).5\n" }.joined()
    text += String(repeating: "2020-13-41 00:00:00,x\n", count: 900)
    #expect {
      try read(text)
    } throws: { "\($0)".contains("line 9002") }
  }
}
