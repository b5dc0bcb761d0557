import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Backtest", .steadyMachine)
struct BacktestTests {
  private static let start = Date(timeIntervalSince1970: 1_640_995_200)  // a Saturday

  private static func series(_ id: String, _ values: [Double]) throws -> TimeSeries {
    try TimeSeries(
      id, dates: values.indices.map { start + Double($0) * 86_400 }, values: values)
  }

  private static func options(horizon: Int = 2) -> BacktestOptions {
    var options = BacktestOptions()
    (options.training.horizon, options.training.measure) = (horizon, .level)
    (options.training.context, options.training.width, options.training.layers) = (8, 8, 1)
    options.training.budget = .steps(3)
    return options
  }

  @Test("forecasts each row of the end once, a horizon at a time, from rows before it alone")
  func origins() async throws {
    // A staircase: the naive forecast errs by 1 at the first step and by 2 at the second.
    let table = SeriesTable([try Self.series("stairs", (0..<50).map(Double.init))])
    let result = try await Backtest(
      table, choices: [.baseline("naive")], options: Self.options()
    ).run()
    #expect(result.origins == 5 && result.table.rows.count == 10)
    #expect(result.table.rows.map(\.actual) == (40..<50).map(Double.init))
    #expect(result.table.rows.map(\.step) == [1, 2, 1, 2, 1, 2, 1, 2, 1, 2])
    let summary = try #require(result.summaries.first)
    #expect(summary.model == "naive" && summary.count == 10 && !summary.isScaled)
    let mae = try #require(summary.metrics.first { $0.name == "MAE" }?.value)
    #expect(abs(mae - 1.5) < 1e-12)
    let csv = result.table.csv()
    #expect(csv.hasPrefix("unique_id,ds,cutoff,y,naive,naive-lo-80,naive-hi-80,"))
    #expect(csv.contains("\nstairs,2022-02-10,2022-02-09,40.0,39.0,"))
  }

  @Test("fits again as often as asked, to all but the embargo, and never to what follows")
  func refits() async throws {
    var values = (0..<60).map { Double(($0 * 37) % 11) }
    let table = SeriesTable([try Self.series("s", values)])
    func rows(_ refit: Int?, embargo: Int = 0) async throws -> [[Double]] {
      var options = Self.options()
      (options.refitEvery, options.training.embargo) = (refit, embargo)
      return try await Backtest(table, choices: [.baseline("mean")], options: options).run()
        .table.rows.map { $0.quantiles[0] }
    }
    let (once, each, late) = (
      try await rows(nil), try await rows(1), try await rows(1, embargo: 10)
    )
    #expect(once.count == 12 && once[0] == each[0] && once[11] != each[11])
    #expect(each != late)
    // By hand: the last window of `each` is the baseline fitted to all 58 rows before it.
    var baseline = Baseline.mean
    let task = ForecastTask(horizon: 2, seasonLength: 7, measure: .level)
    try baseline.fit(Array(values.prefix(58)), task: task)
    let known = try baseline.forecasts(values, origins: [58], task: task)[0].quantiles
    #expect(Array(each[10...11]) == known)
    // Values after an origin change nothing before it.
    for row in 56..<60 { values[row] = 1e6 }
    let changed = SeriesTable([try Self.series("s", values)])
    var options = Self.options()
    options.refitEvery = 1
    let other = try await Backtest(changed, choices: [.baseline("mean")], options: options).run()
    #expect(Array(other.table.rows.map { $0.quantiles[0] }.prefix(8)) == Array(each.prefix(8)))
  }

  @Test("scores several forecasters at the same rows, series by series, in units of their own")
  func panel() async throws {
    func shop(_ unit: Double, _ rows: Range<Int>, seed: UInt64) throws -> TimeSeries {
      let noise = Tensor(normal: [rows.upperBound], key: RandomKey(seed: seed)).values
      return try TimeSeries(
        "s\(seed)", dates: rows.map { Self.start + Double($0) * 86_400 },
        values: rows.map { unit * (50 + 10 * Double($0 % 7) + Double(noise[$0])) })
    }
    let table = SeriesTable([
      try shop(1, 0..<140, seed: 1), try shop(1000, 0..<140, seed: 2),
      try shop(1, 136..<140, seed: 3),
    ])
    let result = try await Backtest(
      table,
      choices: [.baseline("naive"), .baseline("seasonal-naive"), try ForecasterChoice("lstm")],
      options: Self.options()
    ).run()
    #expect(result.summaries.map(\.isScaled) == [true, true, true])
    // The model has its season from all weeks of training, the seasonal naive forecast from the last.
    #expect(result.summaries.map(\.model) == ["lstm", "seasonal-naive", "naive"])
    #expect(Set(result.summaries.map(\.count)).count == 1)
    #expect(result.bySeries.map(\.series) == ["s1", "s1", "s1", "s2", "s2", "s2"])
    let scaled = result.bySeries.filter { $0.model == "seasonal-naive" }.compactMap {
      $0.metrics.first { $0.name == "MASE" }?.value
    }
    #expect(scaled.allSatisfy { (0.7...1.4).contains($0) })
    #expect((result.summaries.last?.pValue ?? 1) < 0.01)
  }

  @Test("takes models as they are saved, and says when they had seen the rows")
  func saved() async throws {
    let noise = Tensor(normal: [200], key: RandomKey(seed: 4)).values
    let series = try Self.series("s", noise.indices.map { Double($0 % 7) + Double(noise[$0]) })
    let table = SeriesTable([series])
    try await withTemporaryFolder { folder in
      var options = ModelTrainingOptions(.architecture(try Architecture.named("lstm")))
      (options.horizon, options.budget, options.measure) = (2, .steps(3), .level)
      (options.context, options.width, options.layers) = (8, 8, 1)
      _ = try await ForecastTraining(table, source: DataSource(table), options: options)
        .run(output: folder + "/lstm")
      let choice = try ForecasterChoice(folder + "/lstm")
      var test = Self.options()
      let honest = try await Backtest(table, choices: [choice], options: test).run()
      #expect(honest.notes.isEmpty && honest.table.models[0].levels.count == 11)
      test.test = 0.5
      let early = try await Backtest(table, choices: [choice], options: test).run()
      #expect(early.notes.count == 1 && early.notes[0].contains("too good"))
      // The last windows are the same forecasts.
      #expect(
        early.table.rows.suffix(6).map(\.quantiles) == honest.table.rows.suffix(6).map(\.quantiles))
      test.training.measure = .returns
      let other = test
      await #expect(throws: BacktestError.self) {
        try await Backtest(table, choices: [choice], options: other).run()
      }
      // What is asked is not ignored: the model forecasts two rows.
      var longer = Self.options()
      longer.horizon = 3
      let three = longer
      await #expect(
        throws: BacktestError.otherQuestion(
          model: "lstm", key: "horizon", found: "2", expected: "3")
      ) { try await Backtest(table, choices: [choice], options: three).run() }
      longer.horizon = nil
      longer.training.horizon = 7
      let both = try await Backtest(
        table, choices: [choice, try ForecasterChoice("lstm"), .baseline("naive")],
        options: longer
      ).run()
      #expect(
        both.table.rows.allSatisfy { $0.step <= 2 && $0.quantiles.allSatisfy { !$0.isEmpty } })
      let path = folder + "/out"
      try honest.write(to: path)
      #expect(try Files.names(in: path).sorted() == ["fev.csv", "metrics.json", "predictions.csv"])
      let tasks = try FevSummaries(readingCSVAt: path + "/fev.csv")
      #expect(tasks.tasks == 1 && tasks.errors.map(\.name) == honest.table.models.map(\.name))
      for (name, errors) in tasks.errors {
        let summary = honest.summaries.first { $0.model == name }
        #expect(errors == [summary?.metrics.first { $0.name == "wQL" }?.value])
      }
    }
  }
}
