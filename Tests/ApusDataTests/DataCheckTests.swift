import ApusData
import Foundation
import Testing

@Suite("What was understood of a table")
struct DataCheckTests {
  @Test("finds the seasons that a series was made with", arguments: [7, 12, 24, 96])
  func seasons(rows: Int) {
    for seed in 0..<20 {
      var random = SeededRandom(seed: UInt64(seed))
      let shape = (0..<rows).map { _ in random.normal() }
      let values = (0..<rows * 20).map { row in
        100 + 0.01 * Double(row) + shape[row % rows] + 0.3 * random.normal()
      }
      let found = DataCheck.seasons(of: values, usual: rows)
      #expect(found.first?.rows == rows, "seed \(seed): \(found)")
      #expect((found.first?.correlation ?? 0) > 0.5, "seed \(seed)")
    }
  }

  @Test("finds two seasons, and none in noise and in walks")
  func twoSeasons() {
    var random = SeededRandom(seed: 5)
    let hours = (0..<24 * 7 * 8).map { row -> Double in
      let week = row / 24 % 7 < 5 ? 1.0 : 0.2
      return 10 * week * sin(Double(row % 24) * .pi / 24) + 0.3 * random.normal()
    }
    let found = DataCheck.seasons(of: hours).map(\.rows)
    #expect(Set(found).isSuperset(of: [24]) && found.contains(168), "\(found)")
    var wrong = 0
    for seed in 0..<100 {
      var random = SeededRandom(seed: UInt64(seed))
      let noise = (0..<400).map { _ in random.normal() }
      var level = 100.0
      let walk = (0..<400).map { _ in
        level += random.normal()
        return level
      }
      if !DataCheck.seasons(of: noise).isEmpty { wrong += 1 }
      if !DataCheck.seasons(of: walk).isEmpty { wrong += 1 }
    }
    #expect(wrong <= 10, "\(wrong) of 200")
    #expect(DataCheck.seasons(of: []).isEmpty && DataCheck.seasons(of: [1, 1, 1, 1]).isEmpty)
    #expect(DataCheck.seasons(of: Array(repeating: .nan, count: 50)).isEmpty)
  }

  @Test("finds codes for missing numbers, and no honest peak")
  func outliers() {
    var values = (0..<200).map { Made.number($0) }
    values[7] = 99_999_999
    values[90] = -999
    #expect(DataCheck.outliers(of: values) == [7, 90])
    var counts = (0..<200).map { $0 % 9 == 0 ? 3.0 : 0 }
    #expect(DataCheck.outliers(of: counts).isEmpty)
    counts[50] = 9_999
    #expect(DataCheck.outliers(of: counts) == [50])
    #expect(DataCheck.outliers(of: [1, 2, 1e9]).isEmpty)
    #expect(DataCheck.outliers(of: (0..<200).map { exp(Double($0 % 40) / 10) }).isEmpty)
  }

  @Test("finds stretches that stand still, up to the last row")
  func constants() {
    let values = (0..<30).map { Double($0) } + Array(repeating: 5, count: 12)
    #expect(DataCheck.constantRuns(of: values) == [30..<42])
    #expect(DataCheck.constantRuns(of: []).isEmpty)
    #expect(DataCheck.constantRuns(of: Array(repeating: 5, count: 9)).isEmpty)
  }

  @Test("says all of it in sentences and figures, and survives JSON")
  func sentences() throws {
    let rows = Made.days(120).enumerated().map { row, day in
      "\(day.iso),\(row >= 110 ? "" : row % 50 == 3 ? "99999999" : "\(Made.number(row))"),\(row % 2)"
    }
    var lines = rows
    lines.removeSubrange(60..<63)
    let table = try SeriesTable(
      parsingCSV: Array(
        Made.table("day;sales;promo", lines.map { $0.replacing(",", with: ";") }).utf8))
    let check = DataCheck(table)
    #expect(check.frequency == "daily" && check.seasonLength == 7 && check.measure == .level)
    #expect(check.covariates == ["promo"])
    let one = try #require(check.series.first)
    #expect(one.rows == 107 && one.future == 10 && one.high == 99_999_999 && one.missing == 0)
    let text = check.sentences.joined(separator: "\n")
    for words in [
      "Layout: fields parted by semicolons, 1 line of names", "Time: day", "Target: sales",
      "Frequency: daily", "Measure: level", "known future", "far from the others", "1 gap with 3",
      "Beside the target: promo", "season of 7 rows",
    ] {
      #expect(text.contains(words), "\(words): \(text)")
    }
    #expect(try roundTrip(check) == check)
  }
}
