// swift-format-ignore-file
// Made by Scripts/snippets from the texts that the tests name: edit those.
import Apus
import ApusTestSupport
import Foundation
import Testing

@Suite("Examples in texts", .serialized, .slow)
struct SnippetTests {
  @Test("of README.md, number 1")
  func runREADME1() async throws {
    try await besideSamples {

      let file = "Samples/sp500.csv"
      let table = try SeriesTable(readingCSVAt: file)
      var options = ComparisonOptions()
      options.models = ["mamba", "lstm"]
      options.budget = .steps(50)
      let source = DataSource(name: file, data: try Data(contentsOf: URL(filePath: file)))
      let report = try await SeriesComparison(table, source: source, options: options).run()
      print(report.headline)  // "No model beats gjr-garch-t", for example
      try renderReport(report.record).write(toFile: "report.html", atomically: true, encoding: .utf8)
    }
  }

}
