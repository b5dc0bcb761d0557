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

  @Test("of Sources/ApusModels/ApusModels.docc/ApusModels.md, number 1")
  func runApusModels1() async throws {
    try await besideSamples {

      let size = BackboneSize(width: 32, layers: 2, context: 64, vocabulary: 50)
      let mamba = try Architecture.named("mamba").configured(size: size)
      let model = try LanguageModel(mamba, key: RandomKey(seed: 0))
      var state = model.initialState(batch: 1)
      let logits = model.logits(Tensor([7, 3, 1] as [Int32], [1, 3]), state: &state)  // [1, 3, 50]
      print(logits.shape, state.byteCount)
    }
  }

  @Test("of Sources/ApusTensor/ApusTensor.docc/ApusTensor.md, number 1")
  func runApusTensor1() async throws {
    try await besideSamples {

      let weights = Tensor([1, 2, 3] as [Float], [3]).tracked()
      let loss = (weights * weights).mean()
      loss.backward()
      print(weights.gradient?.values ?? [])  // 2/3, 4/3, 2
    }
  }

}
