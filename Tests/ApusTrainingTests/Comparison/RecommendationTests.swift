import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Synchronization
import Testing

@Suite("What a comparison recommends", .steadyMachine)
struct RecommendationTests {
  private static let start = Date(timeIntervalSince1970: 1_514_764_800)

  /// Days with a week and a trend, in some unit.
  private static func shop(
    _ id: String, rows: Range<Int>, unit: Double = 1, seed: UInt64 = 1
  ) throws -> TimeSeries {
    let noise = Tensor(normal: [rows.upperBound], key: RandomKey(seed: seed)).values
    return try TimeSeries(
      id, dates: rows.map { start + Double($0) * 86_400 },
      values: rows.map { unit * (100 + 20 * Double($0 % 7) + 0.1 * Double($0) + Double(noise[$0])) }
    )
  }

  private static var options: ComparisonOptions {
    var options = ComparisonOptions()
    (options.models, options.seeds, options.measure) = (["lstm"], [0], .level)
    (options.context, options.width, options.layers) = (14, 8, 1)
    (options.horizon, options.budget) = (3, .steps(4))
    return options
  }

  private static func csv(_ table: [TimeSeries]) -> String {
    let format = Date.ISO8601FormatStyle(timeZone: .gmt).year().month().day()
    return "id,date,sales\n"
      + table.flatMap { one in
        zip(one.timestamps, one.values).map { stamp, value in
          "\(one.id),\(stamp.date.formatted(format)),\(value.isFinite ? "\(value)" : "")"
        }
      }.joined(separator: "\n")
  }

  @Test("is saved, even a baseline, and forecasts what the comparison wrote")
  func saved() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/shop.csv"
      try Data(Self.csv([try Self.shop("a", rows: 0..<200)]).utf8).write(to: URL(filePath: path))
      let file = try DataFile(path)
      let record = try await file.compare(Self.options, output: folder + "/out")
      let recommended = try #require(record.recommendation)
      #expect(record.verdict.recommended == nil && recommended.name == record.verdict.use)
      let written = try String(contentsOfFile: folder + "/out/forecast.csv", encoding: .utf8)
      #expect(recommended.csv.map { $0 + "\n" } == written)
      let winner = try ModelFolder.open(folder + "/out/winner")
      let again = try FutureForecast(winner, readingCSVAt: path)
      #expect(again.csv() + "\n" == written && again.model == recommended.name)
      #expect(try Model(at: folder + "/out/winner").forecast().csv() + "\n" == written)
      var lines = try LineForecasts(winner, warmUp: 0)
      let text = try String(contentsOfFile: path, encoding: .utf8)
      let last = try text.split(separator: "\n").compactMap { try lines.push(String($0)) }.last
      #expect(last?.quantiles?.count == 3)
      #expect(recommended.future.first?.ahead?.count == 3)
      let page = try renderReport(record)
      #expect(page.contains("Next 3 days") && page.contains("data:text/csv;base64,"))
      #expect(!FileManager.default.fileExists(atPath: folder + "/out/runs"))
    }
  }

  @Test("comes of all series that can be judged: late, empty and constant ones stop nothing")
  func panel() async throws {
    var empty = try Self.shop("empty", rows: 0..<200)
    empty.values = [Double](repeating: .nan, count: 200)
    var flat = try Self.shop("flat", rows: 0..<200)
    flat.values = [Double](repeating: 5, count: 200)
    let table = SeriesTable([
      try Self.shop("a", rows: 0..<200), try Self.shop("late", rows: 190..<200, seed: 2),
      try Self.shop("short", rows: 120..<200, seed: 3), empty, flat,
    ])
    let report = try await compare(
      table, horizon: 3, budget: .steps(4), options: Self.options)
    let rows = report.record.rows
    #expect(rows.allSatisfy { $0.status == .ok })
    #expect(
      rows.contains {
        $0.message == "Series short is too short for it and has the naive forecast."
      })
    let unjudged = report.record.health.first { $0.check == "series without training rows" }
    #expect(unjudged?.lines == ["late", "empty"])
    let outcomes = try #require(report.record.series)
    #expect(outcomes.map(\.losses.isEmpty) == [false, true, false, true, false])
    #expect(outcomes[0].losses.count == rows.count && outcomes[0].best != nil)
    let forecast = try #require(report.forecast)
    #expect(forecast.series.map(\.uniqueId) == ["a", "late", "short", "flat"])
    #expect(forecast.skipped.map(\.uniqueId) == ["empty"])
  }

  @Test("has the mean of baselines that validates better than each beside them, and it can be used")
  func combination() async throws {
    var options = Self.options
    var (series, baselines) = (try Self.shop("a", rows: 0..<300), [ComparisonRow]())
    // Not on all series does a mean gain: on one of these it does.
    for seed in UInt64(1)...8 where !baselines.contains(where: { $0.name.contains("+") }) {
      series = try Self.shop("a", rows: 0..<300, seed: seed)
      var level = 0.0
      let steps = Tensor(normal: [300], key: RandomKey(seed: seed + 50)).values
      for row in series.values.indices {
        level = 0.9 * level + 8 * Double(steps[row])
        series.values[row] += level
      }
      baselines = try await compare(
        series, horizon: 3, budget: options.budget, options: options
      ).record.rows.filter { $0.kind == .baseline }
    }
    let mean = try #require(baselines.first { $0.name.contains("+") })
    #expect(mean.status == .ok && baselines.last?.name == mean.name)
    let names = mean.name.split(separator: "+").map(String.init)
    let members = baselines.filter { names.contains($0.name) }
    #expect((2...3).contains(names.count) && members.count == names.count)
    let loss = try #require(mean.validationLoss)
    #expect(baselines.dropLast().allSatisfy { loss < $0.validationLoss ?? .infinity })
    // The pinball loss is convex: the mean's is at most the mean of the members'.
    let losses = members.compactMap(\.loss)
    #expect(try #require(mean.loss) <= losses.reduce(0, +) / Double(losses.count) + 1e-12)
    #expect(mean.message?.hasPrefix("The mean of ") == true)
    // Named, it is the only one of its name, and it is a folder like any other.
    options.models = ["lstm", mean.name]
    let again = try await compare(
      series, horizon: 3, budget: options.budget, options: options
    ).record.rows.filter { $0.name.contains("+") }
    #expect(again.count == 1 && again.first?.validationLoss == mean.validationLoss)
    try withTemporaryFolder { folder in
      let model = Model(
        try Baseline.named(mean.name, lookback: 14),
        task: ForecastTask(horizon: 3, seasonLength: 7, measure: .level), lookback: 14,
        recipe: try FeatureRecipe(
          fitting: SeriesTable([series]), measure: .level, covariates: [],
          split: Split(training: SeriesTable([series]), horizon: 3)),
        target: "sales", history: [series])
      try model.save(to: folder)
      let loaded = try Model(at: folder)
      #expect(loaded.name == mean.name)
      #expect(try loaded.forecast().csv() == model.forecast().csv())
      var stream = try loaded.stream()
      let next = try #require(series.timestamps.last?.date) + 86_400
      #expect(try stream.push(120, at: next).count == 3)
    }
  }

  @Test("rests on losses in the unit of each series, where units differ")
  func scaled() async throws {
    let small = try Self.shop("small", rows: 0..<200, seed: 2)
    func losses(_ unit: Double) async throws -> (name: String, [String: Double]) {
      let table = SeriesTable([small, try Self.shop("large", rows: 0..<200, unit: unit)])
      let record = try await compare(
        table, horizon: 3, budget: .steps(2), options: Self.options
      ).record
      let baselines = record.rows.filter { $0.kind == .baseline }
      return (
        record.task.lossName,
        Dictionary(
          baselines.compactMap { row in row.loss.map { (row.name, $0) } },
          uniquingKeysWith: { one, _ in one })
      )
    }
    let (alike, other, third) = (
      try await losses(1), try await losses(1000), try await losses(8000)
    )
    #expect(alike.name == "mean pinball loss")
    #expect(other.name == "mean scaled pinball loss" && third.name == other.name)
    for (name, loss) in other.1 {
      let again = try #require(third.1[name])
      // Searches end at a tolerance that is not the same in every unit.
      #expect(abs(again - loss) < 1e-3 * loss, "\(name)")
    }
    // Scaled seasonal naive errors are of order one: the seasonal step is the unit.
    #expect((0.05...10).contains(other.1["seasonal-naive"] ?? 0))
  }

  @Test("is the same after an interruption and --resume, which trains what is missing alone")
  func resumed() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/shop.csv"
      try Data(Self.csv([try Self.shop("a", rows: 0..<200)]).utf8).write(to: URL(filePath: path))
      let file = try DataFile(path)
      var options = Self.options
      (options.models, options.seeds, options.budget) = (["lstm", "mamba"], [0, 1], .steps(6))
      let whole = try await file.compare(options, output: folder + "/whole")
      let steps = Mutex(0)
      let asked = options
      let work = Task {
        try await file.compare(asked, output: folder + "/cut") { _ in
          if steps.withLock({
            $0 += 1
            return $0
          }) == 15 {
            withUnsafeCurrentTask { $0?.cancel() }
          }
        }
      }
      await #expect(throws: Interruption(work: "comparison", isKept: true)) { try await work.value }
      #expect(steps.withLock { $0 } < 20)
      steps.withLock { $0 = 0 }
      let cut = try await file.compare(options, output: folder + "/cut", resume: true) { _ in
        steps.withLock { $0 += 1 }
      }
      #expect(cut.rows.map(\.loss) == whole.rows.map(\.loss))
      #expect(cut.verdict == whole.verdict && cut.recommendation == whole.recommendation)
      #expect(steps.withLock { $0 } < 24)
      #expect(!FileManager.default.fileExists(atPath: folder + "/cut/runs"))
      // Runs of other options are an error, and not a row that failed.
      await cutShort(file, options, folder + "/other")
      options.learningRate = 0.1
      let other = options
      await #expect(throws: TrainingError.self) {
        try await file.compare(other, output: folder + "/other", resume: true)
      }
    }
  }

  private func cutShort(
    _ file: DataFile, _ options: ComparisonOptions, _ output: String
  ) async {
    let work = Task {
      try await file.compare(options, output: output) { _ in
        withUnsafeCurrentTask { $0?.cancel() }
      }
    }
    _ = await work.result
  }
}
