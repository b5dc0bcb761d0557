import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Ensembles of runs", .steadyMachine)
struct EnsembleTrainingTests {
  /// A map that a straight line cannot follow, in a unit that grows: trees have not seen its size.
  private static func logistic(rows: Int, id: String = "s") throws -> TimeSeries {
    var x = 0.3
    let values = (0..<rows).map { row in
      x = 3.8 * x * (1 - x)
      return exp(0.01 * Double(row)) * (x - 0.6)
    }
    return try TimeSeries(
      id, dates: (0..<rows).map { Date(timeIntervalSince1970: 1.5e9 + Double($0) * 86_400) },
      values: values)
  }

  private static func options(steps: Int) -> ComparisonOptions {
    var options = ComparisonOptions()
    (options.models, options.seeds, options.measure) = (["lstm"], [0, 1], .level)
    (options.context, options.width, options.layers) = (8, 16, 1)
    (options.horizon, options.budget) = (1, .steps(steps))
    return options
  }

  @Test("are a row of a comparison, with the cost of their members, and can be recommended")
  func comparison() async throws {
    let table = SeriesTable([try Self.logistic(rows: 400)])
    var options = Self.options(steps: 120)
    options.hasEnsemble = true
    let report = try await compare(table, horizon: 1, budget: options.budget, options: options)
    let row = try #require(report.record.rows.first { $0.name == "ensemble" })
    let lstm = try #require(report.record.rows.first { $0.name == "lstm" })
    #expect(row.kind == .model && row.status == .ok && row.steps == 240)
    #expect(row.parameters == 2 * (try #require(lstm.parameters)))
    #expect(row.message?.hasPrefix("The mean of lstm (seed ") == true)
    #expect(abs(try #require(row.seconds) - 2 * (try #require(lstm.seconds))) < 1e-6)
    // The pinball loss is convex: the mean's is at most the mean of the members'.
    #expect(try #require(row.loss) <= (try #require(lstm.loss)) + 1e-12)
    #expect(try #require(row.validationLoss) <= (try #require(lstm.validationLoss)) + 1e-12)
    #expect(row.intervals?.count == 4 && report.record.chosen == "ensemble")
    #expect(report.record.examples.first?.fans.first?.name == "ensemble")
    #expect(report.record.verdict.recommended == "ensemble", "\(report.headline)")
    let fit = try #require(report.record.recommendation?.fit)
    #expect(fit.hasPrefix("Its members were trained again on all rows, each for the steps"))
    let best = try report.best
    #expect(best.members.map(\.name) == ["lstm", "lstm"])
    // The members are those of all rows, not the judged ones.
    let last = try #require(table.series.first?.timestamps.last)
    #expect(best.seen == last && best.history.first?.count == 400)
    try withTemporaryFolder { folder in
      try best.save(to: folder)
      #expect(try Model(at: folder).forecast().csv() == report.forecast?.csv())
    }
    // A single run is none.
    options.seeds = [0]
    options.budget = .steps(2)
    await #expect(throws: ConfigError.self) {
      try await compare(table, horizon: 1, budget: .steps(2), options: options)
    }
  }

  @Test("are trained within one budget, saved as one folder, and are the mean of their seeds")
  func training() async throws {
    try await withTemporaryFolder { folder in
      let series = try Self.logistic(rows: 120)
      let path = folder + "/data.csv"
      let lines = zip(series.timestamps, series.values).map { "\($0.date.ISO8601Format()),\($1)" }
      try Data((["date,y"] + lines).joined(separator: "\n").utf8).write(to: URL(filePath: path))
      let file = try DataFile(path)
      var options = ModelTrainingOptions(try ModelChoice("mamba"))
      (options.context, options.width, options.layers) = (8, 8, 1)
      (options.horizon, options.measure, options.seed) = (2, .level, 5)
      // A correction belongs to the forecaster that it was learned from: the mean has its own.
      (options.seeds, options.budget, options.isConformal) = (3, .steps(12), false)
      let summary = try await file.train(options, output: folder + "/all")
      #expect(summary.model == "ensemble" && summary.record.steps == 12)
      let all = try Model(at: folder + "/all")
      #expect(all.members.map(\.name) == ["mamba", "mamba", "mamba"])
      #expect(all.members.allSatisfy { abs($0.weight - 1.0 / 3) < 1e-15 })
      (options.seeds, options.budget) = (1, .steps(4))
      var (quantiles, losses, parameters) = ([[[Double]]](), [Double](), 0)
      for seed in 5...7 {
        options.seed = UInt64(seed)
        let one = try await file.train(options, output: folder + "/\(seed)")
        quantiles.append(try Model(at: folder + "/\(seed)").forecast().series[0].quantiles)
        losses.append(try #require(one.validationLoss))
        parameters += one.parameters
      }
      #expect(summary.parameters == parameters)
      #expect(try #require(summary.validationLoss) <= losses.reduce(0, +) / 3 + 1e-12)
      let found = try all.forecast().series[0].quantiles
      for step in 0..<2 {
        for level in found[step].indices {
          let mean = quantiles.reduce(0) { $0 + $1[step][level] } / 3
          #expect(abs(found[step][level] - mean) < 1e-9)
        }
      }
      // What is trained already is not trained again.
      (options.seed, options.seeds, options.budget) = (5, 3, .steps(12))
      _ = try await file.train(options, output: folder + "/all", resume: true)
      #expect(try Model(at: folder + "/all").forecast().series[0].quantiles == found)
      // It is backtested like any other.
      var backtest = BacktestOptions()
      backtest.windows = 3
      let choice = ForecasterChoice.saved(try ModelFolder.open(folder + "/all"))
      #expect(choice.name == "ensemble")
      let result = try await file.backtest([choice], options: backtest)
      #expect(result.table.rows.allSatisfy { $0.quantiles[0].count == 11 })
    }
  }
}
