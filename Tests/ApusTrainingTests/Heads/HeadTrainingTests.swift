import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Training every head")
struct HeadTrainingTests {
  /// Days on which few things are sold, as a table of two products.
  private static func sales(rows: Int = 220, value: Double? = nil) throws -> SeriesTable {
    var generator = PhiloxGenerator(RandomKey(seed: 12))
    return SeriesTable(
      try ["a", "b"].map { id in
        var values = (0..<rows).map { row in
          Double(max(0, Int.random(in: -3...(row % 7 < 2 ? 8 : 2), using: &generator)))
        }
        if let value { values[rows / 2] = value }
        return try TimeSeries(
          id, dates: (0..<rows).map { Date(timeIntervalSince1970: 1.6e9 + Double($0) * 86_400) },
          values: values)
      }, targetName: "sales")
  }

  private static func training(
    _ table: SeriesTable, _ head: ForecastHead, measure: Measure? = nil, seeds: Int = 1
  ) throws -> ForecastTraining {
    var options = ModelTrainingOptions(try ModelChoice("lstm"))
    (options.budget, options.context, options.width) = (.steps(12), 14, 16)
    (options.layers, options.horizon, options.head) = (1, 3, head)
    (options.measure, options.seeds) = (measure, seeds)
    return ForecastTraining(table, source: DataSource(table), options: options)
  }

  @Test("saves a forecaster that forecasts and streams", arguments: ForecastHead.names)
  func trains(name: String) async throws {
    let head = try #require(ForecastHead(named: name))
    let table = try Self.sales()
    try await withTemporaryFolder { folder in
      let summary = try await Self.training(table, head).run(output: folder)
      #expect(try #require(summary.validationLoss) > 0)
      let model = try Model(at: folder)
      #expect(model.forecasters.map(\.config.head) == [head])
      let forecast = try model.forecast(after: table)
      for one in forecast.series {
        #expect(one.quantiles.count == 3)
        for row in one.quantiles {
          #expect(row.count == 11 && row.allSatisfy { $0.isFinite })
          #expect(zip(row, row.dropFirst()).allSatisfy(<=))
        }
      }
      var stream = try model.stream(of: "a")
      let next = try stream.push(2, at: Date(timeIntervalSince1970: 1.7e9))
      #expect(next.count == 3 && next.flatMap(\.quantiles).allSatisfy { $0.isFinite })
    }
  }

  @Test("an ensemble of two seeds keeps the head")
  func ensemble() async throws {
    let table = try Self.sales()
    try await withTemporaryFolder { folder in
      _ = try await Self.training(table, .counts, seeds: 2).run(output: folder)
      let model = try Model(at: folder)
      #expect(model.forecasters.map(\.config.head) == [.counts, .counts])
      #expect(try model.forecast(after: table).series.count == 2)
    }
  }

  @Test("refuses counts of what is none, and names the value", arguments: [2.5, -1, 2e9])
  func noCounts(value: Double) async throws {
    let table = try Self.sales(value: value)
    try await withTemporaryFolder { folder in
      _ = await #expect(throws: HeadError.noCount(series: "a", row: 110, value: value)) {
        try await Self.training(table, .counts, measure: .level).run(output: folder)
      }
    }
    let text = HeadError.noCount(series: "a", row: 110, value: 1228.1).description
    #expect(text.contains("'a' is 1228.1 in its row 111") && text.contains("student-t"))
  }

  @Test("refuses counts of returns")
  func returns() async throws {
    let table = try Self.sales()
    try await withTemporaryFolder { folder in
      _ = await #expect(throws: HeadError.notLevel(measure: .returns)) {
        try await Self.training(table, .counts, measure: .returns).run(output: folder)
      }
    }
  }
}
