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
}
