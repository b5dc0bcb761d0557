import ApusData
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Long-horizon protocol")
struct LongHorizonTests {
  /// A ramp 0, 1, 2 … and a swing +1, −1, +1 …: 70 rows of training, 10 of validation, 20 of test.
  static let table = SeriesTable([
    TimeSeries(id: "ramp", values: (0..<100).map { Double($0) }),
    TimeSeries(id: "swing", values: (0..<100).map { $0 % 2 == 0 ? 1 : -1 }),
  ])

  static func report(
    _ models: [String], table: SeriesTable = table, _ change: (inout LongHorizonOptions) -> Void
  ) async throws -> LongHorizonReport {
    var options = LongHorizonOptions()
    (options.models, options.context, options.horizon, options.season) = (models, 4, 2, 2)
    (options.budget, options.seeds, options.width, options.layers) = (.steps(2), [0], 8, 1)
    change(&options)
    return try await LongHorizonBenchmark(
      table, source: DataSource(table), options: options
    ).run()
  }

  @Test("baselines have the errors that were worked by hand")
  func baselines() async throws {
    let report = try await Self.report(["naive", "seasonal-naive", "window-mean", "ols", "nlinear"])
    { _ in }
    #expect(report.channels == 2)
    #expect(report.windows == [65, 9, 19], "70 − 4 − 2 + 1, 10 − 2 + 1, 20 − 2 + 1")
    // 0 … 69 have the population variance (70² − 1) / 12; the swing has mean 0 and deviation 1.
    let variance = (70.0 * 70 - 1) / 12
    let expected: [(mse: Double, mae: Double)] = [
      // The ramp errs by 1 and 2, the swing by 2 and 0.
      ((2.5 / variance + 2) / 2, (1.5 / variance.squareRoot() + 1) / 2),
      // Two rows back: the ramp errs by 2 and 2, the swing by nothing.
      ((4 / variance) / 2, (2 / variance.squareRoot()) / 2),
      // The mean of four rows: the ramp errs by 2.5 and 3.5, the swing by 1 and 1.
      ((9.25 / variance + 1) / 2, (3 / variance.squareRoot() + 1) / 2),
      // Both go on as x + x₋₁ − x₋₂ says.
      (0, 0), (0, 0),
    ]
    #expect(report.rows.map(\.name) == report.options.models)
    for (row, expected) in zip(report.rows, expected) {
      #expect(abs(row.score.mse - expected.mse) < 1e-12, "\(row.name)")
      #expect(abs(row.score.mae - expected.mae) < 1e-9, "\(row.name)")
      #expect(row.score.windows == 19)
    }
    #expect(report.rows[3].ridge == 0 && report.rows[4].ridge == 0)
  }

  @Test("a season longer than the window leaves seasonal naive out")
  func longSeason() async throws {
    let report = try await Self.report(["naive", "seasonal-naive"]) { $0.season = 5 }
    #expect(report.rows.map(\.name) == ["naive"])
  }

  @Test("the parts of the ETT files are their months, and later rows are not used")
  func ettParts() throws {
    let long = SeriesTable([
      TimeSeries(id: "x", values: (0..<17_420).map { Double($0 % 24) + ($0 < 14_400 ? 0 : 1e6) })
    ])
    let data = try LongHorizonData(long, split: .ettHourly, context: 96, horizon: 96)
    #expect(data.windows(.train) == 8640 - 96 - 96 + 1)
    #expect(data.windows(.validation) == 2785 && data.windows(.test) == 2785)
    let quarters = SeriesTable([TimeSeries(id: "x", values: (0..<57_600).map { Double($0 % 96) })])
    let minutes = try LongHorizonData(quarters, split: .ettMinutely, context: 336, horizon: 720)
    #expect(minutes.windows(.test) == 11_520 - 720 + 1)
    #expect(throws: LongHorizonError.tooFewRows(found: 100, needed: 14_400)) {
      try LongHorizonData(Self.table, split: .ettHourly, context: 4, horizon: 2)
    }
  }

  @Test(
    "shares of rows are whole numbers, with the rest for validation",
    arguments: [
      (966, 676, 97, 193), (7588, 5311, 760, 1517), (100, 70, 10, 20),
    ])
  func fractions(rows: Int, train: Int, validation: Int, test: Int) throws {
    let table = SeriesTable([TimeSeries(id: "x", values: (0..<rows).map { Double($0 % 7) })])
    let data = try LongHorizonData(table, split: .fractions, context: 8, horizon: 4)
    #expect(data.windows(.train) == train - 8 - 4 + 1)
    #expect(data.windows(.validation) == validation - 3 && data.windows(.test) == test - 3)
  }

  @Test("a channel that lacks a value or has other times is refused, and so is a short file")
  func refusals() {
    var holed = Self.table
    holed.series[1].values[93] = .nan
    #expect(throws: LongHorizonError.missing(channel: "swing", row: 93)) {
      try LongHorizonData(holed, split: .fractions, context: 4, horizon: 2)
    }
    var late = Self.table
    late.series[1] = late.series[1].slice(1..<100)
    #expect(throws: LongHorizonError.otherTimes(channel: "swing")) {
      try LongHorizonData(late, split: .fractions, context: 4, horizon: 2)
    }
    #expect(throws: LongHorizonError.shortPart("validation", found: 10, needed: 11)) {
      try LongHorizonData(Self.table, split: .fractions, context: 4, horizon: 11)
    }
    #expect(throws: LongHorizonError.shortPart("training", found: 70, needed: 77)) {
      try LongHorizonData(Self.table, split: .fractions, context: 59, horizon: 2)
    }
  }

  @Test("a name that is nothing is refused before anything is fitted")
  func unknown() async {
    await #expect(throws: LongHorizonError.unknown("nbeats")) {
      try await Self.report(["naive", "nbeats"]) { _ in }
    }
  }

  @Test("a model starts from the linear map, and is judged on every window")
  func model() async throws {
    let report = try await Self.report(["lstm"]) {
      ($0.seeds, $0.learningRate) = ([3, 4], 1e-9)
    }
    let row = try #require(report.rows.first)
    #expect(row.runs.map(\.seed) == [3, 4] && row.runs.map(\.steps) == [2, 2])
    #expect(row.score.windows == 19 && row.parameters ?? 0 > 0)
    // The map goes on with both channels exactly; the backbone's start adds some thousandths.
    #expect(row.score.mse < 1e-3, "\(row.score)")
    let mean = row.runs.map(\.score.mse).reduce(0, +) / 2
    #expect(abs(row.score.mse - mean) < 1e-15 && row.deviation != nil)
    let without = try await Self.report(["lstm"]) { ($0.window, $0.learningRate) = (0, 1e-9) }
    #expect(without.rows[0].score.mse > 0.5, "it starts at the last value")
  }

  @Test("rows before a window change nothing in its forecast, nor do rows after it")
  func windowsStandAlone() async throws {
    // Only the last window of test remains when validation ends where test begins.
    let first = try await Self.report(["lstm"]) { $0.budget = .steps(3) }
    let again = try await Self.report(["lstm"]) { $0.budget = .steps(3) }
    #expect(
      first.rows
        == again.rows.map { row in
          var row = row
          for run in row.runs.indices { row.runs[run].seconds = first.rows[0].runs[run].seconds }
          return row
        })
  }
}
