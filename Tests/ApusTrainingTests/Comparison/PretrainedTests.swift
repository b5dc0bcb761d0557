import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Pretrained forecasters in comparisons", .steadyMachine)
struct PretrainedTests {
  private static func series() throws -> TimeSeries {
    let start = Date(timeIntervalSince1970: 1_640_995_200)
    return try TimeSeries(
      "shop", dates: (0..<160).map { start + Double($0) * 86_400 },
      values: (0..<160).map { (row: Int) -> Double in
        100 + 20 * Double(row % 7) + 0.1 * Double(row * row % 13)
      })
  }

  private static func folder() throws -> String {
    try #require(goldenFolders("/pretrained").first { $0.hasSuffix("chronos-bolt") })
  }

  @Test("stand in the table under their path, untrained")
  func table() async throws {
    let path = try Self.folder()
    var options = ComparisonOptions()
    (options.models, options.seeds, options.measure) = ([path, "lstm"], [0], .level)
    (options.context, options.width, options.layers) = (14, 8, 1)
    let report = try await compare(
      Self.series(), horizon: 3, budget: .steps(2), options: options)
    let row = try #require(report.record.rows.first { $0.name == path })
    #expect(row.kind == .baseline && row.status == .ok)
    #expect(try #require(row.loss).isFinite)
  }

  @Test("are backtested, saved with their question, and forecast from there")
  func saved() async throws {
    let path = try Self.folder()
    var options = BacktestOptions()
    (options.training.horizon, options.training.measure) = (2, .level)
    options.training.context = 8
    let choice = try ForecasterChoice(path)
    #expect(choice.name == path)
    let result = try await Backtest(
      SeriesTable([Self.series()]), choices: [choice], options: options
    ).run()
    #expect(result.summaries.first?.model == path && !result.table.rows.isEmpty)
    try withTemporaryFolder { folder in
      let format = Date.ISO8601FormatStyle(timeZone: .gmt).year().month().day()
      let series = try Self.series()
      let rows = zip(series.timestamps, series.values).map {
        "\($0.date.formatted(format)),\($1)"
      }
      let csv = folder + "/shop.csv"
      try Data(("date,sales\n" + rows.joined(separator: "\n")).utf8)
        .write(to: URL(filePath: csv))
      var question = ComparisonOptions()
      (question.horizon, question.measure, question.context) = (4, .level, 8)
      let fitted = try DataFile(csv).fit(
        baseline: path, options: question, output: folder + "/out")
      #expect(fitted.validationLoss?.isFinite == true)
      let again = try Model(at: folder + "/out")
      #expect(again.name == path)
      #expect(try again.forecast().csv() == fitted.model.forecast().csv())
      var stream = try again.stream()
      let next = try stream.push(120, at: series.timestamps[159].date + 86_400)
      #expect(next.count == 4 && next.allSatisfy { $0.median.isFinite })
    }
  }

  /// Copies a folder of the fixtures, so that it can be taken away.
  private static func copy(_ name: String, to place: String) throws {
    let source = try #require(goldenFolders("/pretrained").first { $0.hasSuffix("/" + name) })
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    for file in ["config.json", "model.safetensors"] {
      try FileManager.default.copyItem(atPath: source + "/" + file, toPath: place + "/" + file)
    }
  }

  private static func write(_ series: TimeSeries, to path: String) throws {
    let format = Date.ISO8601FormatStyle(timeZone: .gmt).year().month().day()
    let rows = zip(series.timestamps, series.values).map {
      "\($0.date.formatted(format)),\($1)"
    }
    try Data(("date,sales\n" + rows.joined(separator: "\n")).utf8).write(to: URL(filePath: path))
  }

  @Test(
    "keep their weights in the folder that is saved",
    arguments: ["chronos-bolt", "chronos-2", "tirex", "flowstate"])
  func ownWeights(name: String) throws {
    try withTemporaryFolder { folder in
      let (published, csv, out) = (folder + "/published", folder + "/shop.csv", folder + "/out")
      try Self.copy(name, to: published)
      try Self.write(Self.series(), to: csv)
      var question = ComparisonOptions()
      (question.horizon, question.measure, question.context) = (9, .level, 8)
      let fitted = try DataFile(csv).fit(baseline: published, options: question, output: out)
      let expected = try fitted.model.forecast().csv()
      try FileManager.default.removeItem(atPath: published)
      #expect(try Model(at: out).forecast().csv() == expected)
      // Once more, over itself.
      try Model(at: out).save(to: out)
      #expect(try Model(at: out).forecast().csv() == expected)
      let moved = folder + "/moved"
      try FileManager.default.moveItem(atPath: out, toPath: moved)
      #expect(try Model(at: moved).forecast().csv() == expected)
      guard case .saved = try ForecasterChoice(moved) else {
        Issue.record("\(moved) is not seen as saved")
        return
      }
      var tensors = try Safetensors.load(moved)
      let first = try #require(tensors.keys.min())
      tensors[first] = Tensor(zeros: try #require(tensors[first]).shape)
      try Safetensors.save(tensors, to: moved + "/model.safetensors")
      #expect(throws: ModelFolderError.mixed(path: moved, file: "model.safetensors")) {
        try Model(at: moved)
      }
    }
  }

  @Test(
    "answer as they were published",
    arguments: [("chronos-bolt", "Chronos-Bolt"), ("tirex", "TiRex"), ("flowstate", "FlowState")])
  func published(name: String, family: String) throws {
    try withTemporaryFolder { folder in
      let (place, csv) = (folder + "/weights", folder + "/shop.csv")
      try Self.copy(name, to: place)
      try Self.write(Self.series(), to: csv)
      var question = PretrainedQuestion()
      (question.horizon, question.measure) = (6, .level)
      let forecast = try FutureForecast(
        ModelFolder.open(place), readingCSVAt: csv, question: question)
      #expect(forecast.model == family.lowercased() && forecast.rows.count == 6)
      var baseline = try Baseline.pretrained(at: place)
      // Days of a shop have a season of seven, which FlowState reads.
      let task = ForecastTask(
        horizon: 6, levels: question.levels, seasonLength: 7, measure: .level)
      try baseline.fit([], task: task)
      let values = try Self.series().values
      let expected = try baseline.forecasts(values, origins: [values.count], task: task)[0]
      #expect(forecast.series[0].quantiles == expected.quantiles)
      #expect(
        throws: ModelFolderError.notAsked(path: place, family: family),
        performing: { try Model(at: place) })
      let facts = try ModelInspection(at: place)
      #expect(facts.canRun && facts.architecture == family && facts.parameters > 1000)
      #expect(facts.obstacle == nil && !facts.config.isEmpty && facts.shards.count == 1)
      try Data(#"{"model_type": "tirex", "train_ctx_len": 1e300}"#.utf8)
        .write(to: URL(filePath: place + "/config.json"))
      let broken = try ModelInspection(at: place)
      #expect(!broken.canRun && broken.obstacle != nil)
      #expect(throws: (any Error).self) {
        try FutureForecast(ModelFolder.open(place), readingCSVAt: csv)
      }
    }
  }
}
