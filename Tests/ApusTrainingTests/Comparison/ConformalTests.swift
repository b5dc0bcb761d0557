import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Forecasters corrected by validation", .steadyMachine)
struct ConformalTests {
  /// Days of a steady spread, which jumps to another behind the training rows.
  private static func series(
    rows: Int = 400, wider: Double = 3, seed: UInt64 = 5
  ) throws -> TimeSeries {
    let noise = Tensor(normal: [rows], key: RandomKey(seed: seed)).values
    return try TimeSeries(
      "s", dates: (0..<rows).map { Date(timeIntervalSince1970: 1.5e9 + Double($0) * 86_400) },
      values: noise.enumerated().map { row, value in
        100 + Double(value) * (row < rows * 7 / 10 ? 1 : wider)
      })
  }

  private static func options(isConformal: Bool) -> ComparisonOptions {
    var options = ComparisonOptions()
    (options.models, options.seeds) = (["lstm", "ets", "naive", "mean"], [0, 1])
    options.measure = .level
    (options.context, options.width, options.layers) = (14, 8, 1)
    (options.horizon, options.budget, options.isConformal) = (3, .steps(4), isConformal)
    return options
  }

  @Test("a comparison judges what it ships, and prints what intervals held before and after")
  func comparison() async throws {
    let table = SeriesTable([try Self.series()])
    func report(_ isConformal: Bool) async throws -> SeriesReport {
      let options = Self.options(isConformal: isConformal)
      return try await compare(
        table, horizon: 3, budget: options.budget, options: options)
    }
    let (plain, corrected) = (try await report(false), try await report(true))
    func intervals(_ report: SeriesReport, _ name: String) throws -> [IntervalCoverage] {
      try #require(report.record.rows.first { $0.name == name }?.intervals)
    }
    for name in ["lstm", "ets", "naive", "mean"] {
      let (before, after) = (try intervals(plain, name), try intervals(corrected, name))
      #expect(before.map(\.nominal).map { ($0 * 10).rounded() } == [8, 6, 4, 2])
      #expect(after.map(\.uncorrected) == before.map(\.measured), "\(name)")
      #expect(before.allSatisfy { $0.uncorrected == nil })
      let rows = (plain.record.rows, corrected.record.rows)
      let losses = (
        rows.0.first { $0.name == name }?.validationLoss,
        rows.1.first { $0.name == name }?.validationLoss
      )
      #expect(losses.0 != nil && losses.0 == losses.1, "choices are made by quantiles as they come")
    }
    // The spread of validation and test is three times that of training, which a mean cannot follow.
    let (before, after) = (try intervals(plain, "mean"), try intervals(corrected, "mean"))
    #expect(try #require(before.error) > 0.3, "\(before)")
    #expect(try #require(after.error) < (try #require(before.error)) / 2, "\(after)")
    let losses = try [plain, corrected].map { report in
      try #require(report.record.rows.first { $0.name == "mean" }?.loss)
    }
    #expect(losses[1] < losses[0])
    #expect(try plain.best.correction == nil)
    let best = try corrected.best
    let correction = try #require(best.correction)
    #expect(correction.factors.count == 3 && correction.scores.allSatisfy { $0 > 30 })
    try withTemporaryFolder { folder in
      try best.save(to: folder)
      #expect(try Model(at: folder).forecast().csv() == corrected.forecast?.csv())
    }
  }

  @Test("training saves the correction and tells the coverage", arguments: ["mamba", "theta"])
  func training(model: String) async throws {
    try await withTemporaryFolder { folder in
      let series = try Self.series()
      let path = folder + "/data.csv"
      let lines = zip(series.timestamps, series.values).map { "\($0.date.ISO8601Format()),\($1)" }
      try Data((["date,y"] + lines).joined(separator: "\n").utf8).write(to: URL(filePath: path))
      let file = try DataFile(path)
      func coverage(_ isConformal: Bool) async throws -> [IntervalCoverage] {
        let output = folder + "/\(isConformal)"
        if model == "theta" {
          let options = Self.options(isConformal: isConformal)
          return try #require(
            try file.fit(baseline: model, options: options, output: output).coverage)
        }
        var options = ModelTrainingOptions(try ModelChoice(model))
        (options.context, options.width, options.layers) = (14, 8, 1)
        (options.horizon, options.budget, options.measure) = (3, .steps(4), .level)
        options.isConformal = isConformal
        return try #require(try await file.train(options, output: output).coverage)
      }
      let (plain, corrected) = (try await coverage(false), try await coverage(true))
      #expect(plain.allSatisfy { $0.uncorrected == nil } && plain.count >= 4)
      #expect(corrected.allSatisfy { $0.uncorrected != nil })
      #expect(try #require(corrected.error) < (try #require(plain.error)))
      let (before, after) = (try Model(at: folder + "/false"), try Model(at: folder + "/true"))
      let correction = try #require(after.correction)
      #expect(before.correction == nil && correction.factors.joined().contains { $0 != 1 })
      // The scale of a trained model follows the spread, that of the baseline does not.
      let widest = try #require(correction.factors.joined().max())
      #expect(model == "mamba" || widest > 1.5)
      #expect(
        try after.forecast().series[0].quantiles
          == correction.applied(to: try before.forecast().series[0].quantiles))
      // A backtest of the folder has it too.
      var options = BacktestOptions()
      options.windows = 4
      func backtest(_ folder: String) async throws -> [[Double]] {
        let choice = ForecasterChoice.saved(try ModelFolder.open(folder))
        return try await file.backtest([choice], options: options).table.rows
          .map { $0.quantiles[0] }
      }
      let (one, other) = (
        try await backtest(folder + "/false"), try await backtest(folder + "/true")
      )
      #expect(one.count == 12)
      for start in stride(from: 0, to: one.count, by: 3) {
        let rows = start..<start + 3
        #expect(Array(other[rows]) == correction.applied(to: Array(one[rows])))
      }
    }
  }
}
