import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("The front door of the library", .steadyMachine)
struct FrontDoorTests {
  private static let start = Date(timeIntervalSince1970: 1_514_764_800)

  /// A random walk by days.
  private func walk(_ count: Int) throws -> TimeSeries {
    var level = 100.0
    let values = Tensor(normal: [count], key: RandomKey(seed: 3)).values.map { step -> Double in
      level += Double(step)
      return level
    }
    return try TimeSeries(
      "walk", dates: (0..<count).map { Self.start + Double($0) * 86_400 }, values: values)
  }

  private var options: ComparisonOptions {
    var options = ComparisonOptions()
    (options.models, options.seeds, options.measure) = (["lstm"], [0], .level)
    (options.context, options.width, options.layers) = (16, 8, 1)
    return options
  }

  @Test("a baseline that is recommended is fitted to all rows, saved, loaded and streamed")
  func baseline() async throws {
    let series = try walk(300)
    var options = options
    options.isConformal = false
    let report = try await compare(series, horizon: 3, budget: .steps(2), options: options)
    #expect(report.headline == report.record.headline)
    let name = try #require(report.record.verdict.use)
    #expect(report.record.verdict.recommended == nil && report.recommended?.name == name)
    let rows = try report.best.forecast(levels: [0.1, 0.5, 0.9]).rows
    #expect(rows.map(\.date) == (300..<303).map { Self.start + Double($0) * 86_400 })
    for row in rows {
      let interval = try row.interval(0.8)
      #expect(interval.contains(row.median) && interval.lowerBound < interval.upperBound)
      #expect(throws: ForecastError.noLevel(asked: 0.25, known: [0.1, 0.5, 0.9])) {
        try row.interval(0.5)
      }
    }
    let task = ForecastTask(horizon: 3, seasonLength: 7, measure: .level)
    var fitted = try Baseline.named(name, lookback: 16)
    try fitted.fit(series.values, task: task)
    let whole = try report.best.forecast().rows
    #expect(try whole.map(\.quantiles) == fitted.forecast(series.values[...], task: task))
    try withTemporaryFolder { folder in
      for _ in 0..<2 { try report.best.save(to: folder + "/best") }  // a second run changes nothing
      let model = try Model(at: folder + "/best")
      #expect(try model.name == name && model.history == report.best.history)
      #expect(try model.forecast().rows == whole)
      var stream = try model.stream()
      let next = try stream.push(120, at: Self.start + 300 * 86_400)
      let expected = try fitted.forecasts(series.values + [120], origins: [301], task: task)
      #expect(next.map(\.quantiles) == expected[0].quantiles)
      #expect(next.first?.date == Self.start + 301 * 86_400)
      #expect(throws: ForecastError.self) { try stream.push(1, at: Self.start) }
      #expect(throws: ForecastError.self) { try model.stream(of: "none") }
    }
  }

  @Test("a trained model forecasts and streams from the rows that its folder keeps")
  func trained() async throws {
    let series = try walk(200)
    var options = ModelTrainingOptions(.architecture(try Architecture.named("lstm")))
    (options.horizon, options.budget, options.measure) = (2, .steps(3), .level)
    (options.context, options.width, options.layers) = (16, 8, 1)
    let table = SeriesTable([series])
    try await withTemporaryFolder { folder in
      _ = try await ForecastTraining(table, source: DataSource(table), options: options)
        .run(output: folder + "/trained")
      let model = try Model(at: folder + "/trained")
      #expect(model.history == [series])
      try model.save(to: folder + "/lstm")
      let again = try Model(at: folder + "/lstm")
      let rows = try again.forecast().rows
      #expect(try rows == model.forecast().rows && rows.count == 2)
      #expect(try again.forecast(levels: [0.5]).rows.map(\.median) == rows.map(\.median))
      #expect(throws: ForecastError.self) { try again.forecast(levels: [0.33]) }
      var stream = try again.stream()
      let next = try stream.push(101, at: Self.start + 200 * 86_400)
      var longer = table
      longer.series[0].timestamps.append(Timestamp(Self.start + 200 * 86_400))
      longer.series[0].values.append(101)
      let batch = try again.forecast(after: longer).rows
      for (one, other) in zip(next, batch) {
        #expect(one.date == other.date)
        for (left, right) in zip(one.quantiles, other.quantiles) {
          #expect(abs(left - right) < 1e-3)
        }
      }
    }
  }

  @Test("dates that make no series are named")
  func dates() throws {
    #expect(throws: DatesError.otherCount(dates: 1, values: 2)) {
      try TimeSeries(dates: [Self.start], values: [1, 2])
    }
    let stamp = Timestamp(Self.start)
    #expect(throws: DatesError.notAscending(place: 1, found: stamp, before: stamp)) {
      try TimeSeries(dates: [Self.start, Self.start], values: [1, 2])
    }
    #expect(Timestamp(Date(timeIntervalSince1970: .nan)).secondsSinceEpoch == 0)
    #expect(Timestamp(.distantFuture).date == .distantFuture)
  }
}
