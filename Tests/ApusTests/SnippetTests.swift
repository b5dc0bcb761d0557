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

      let dates = (0..<300).map { Date(timeIntervalSince1970: 1_700_000_000 + Double($0) * 86_400) }
      let loads = (0..<300).map { _ in Double.random(in: 40...60) }  // your numbers
      let series = try TimeSeries("load", dates: dates, values: loads)
      let report = try await compare(series, horizon: 7, budget: .steps(20))
      print(report.headline)  // "No model beats ets", for example
      for row in try report.best.forecast(levels: [0.1, 0.5, 0.9]).rows {
        print(row.date, row.median, try row.interval(0.8))
      }
      try report.best.save(to: "best")  // a model trained again, or a baseline fitted, on all rows
      var stream = try Model(at: "best").stream()
      let next = try stream.push(57.5, at: dates[299].addingTimeInterval(86_400))
      print(next[0].median)
    }
  }

  @Test("of Sources/Apus/Apus.docc/GettingStarted.md, number 1")
  func runGettingStarted1() async throws {
    try await besideSamples {

      let dates = (0..<300).map { Date(timeIntervalSince1970: 1_700_000_000 + Double($0) * 86_400) }
      let loads = (0..<300).map { _ in Double.random(in: 40...60) }  // your numbers
      let series = try TimeSeries("load", dates: dates, values: loads)
      let report = try await compare(series, horizon: 7, budget: .steps(20))
      print(report.headline)  // "No model beats ets", for example
      for row in try report.best.forecast(levels: [0.1, 0.5, 0.9]).rows {
        print(row.date, row.median, try row.interval(0.8))
      }
      try report.best.save(to: "best")  // a model trained again, or a baseline fitted, on all rows
      var stream = try Model(at: "best").stream()
      let next = try stream.push(57.5, at: dates[299].addingTimeInterval(86_400))
      print(next[0].median)
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
