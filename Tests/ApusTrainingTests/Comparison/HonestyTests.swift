import ApusData
import ApusEvaluation
import ApusTensor
import ApusTraining
import ApusTestSupport
import Foundation
import Testing

@Suite("Comparison, where nothing can be known")
struct HonestyTests {
  /// A random walk of the given seed: the best forecast is the last value, whatever a model says.
  private func walk(_ seed: UInt64, count: Int) -> SeriesTable {
    let steps = Tensor(normal: [count], key: RandomKey(seed: seed, stream: 5)).values
    var level = 100.0
    let values = steps.map { step -> Double in
      level += Double(step)
      return level
    }
    return SeriesTable([TimeSeries(id: "walk", values: values)])
  }

  private func options(models: [String], steps: Int) -> ComparisonOptions {
    var options = ComparisonOptions()
    options.models = models
    options.budget = .steps(steps)
    options.seeds = [0]
    options.measure = .level
    options.horizon = 3
    options.context = 16
    options.width = 8
    options.layers = 1
    return options
  }

  @Test("it recommends a model on at most 5 of 100 random walks", .slow)
  func randomWalks() async throws {
    let source = DataSource(name: "walk", data: Data())
    var recommended: [UInt64] = []
    for seed in UInt64(0)..<100 {
      let comparison = try await SeriesComparison(
        walk(seed, count: 400), source: source, options: options(models: [], steps: 8)
      ).run()
      if comparison.record.verdict.recommended != nil { recommended.append(seed) }
    }
    #expect(recommended.count <= 5, "recommended on the walks of seeds \(recommended)")
  }

  @Test("it keeps baselines and failures in the table and opens the test part once")
  func table() async throws {
    let record = try await SeriesComparison(
      walk(7, count: 300), source: DataSource(name: "walk", data: Data("x".utf8)),
      options: options(models: ["mamba", "lstm"], steps: 3)
    ).run().record
    #expect(record.rows.filter { $0.kind == .model }.map(\.name) == ["mamba", "lstm"])
    #expect(record.rows.contains { $0.kind == .baseline && $0.name == "naive" && $0.loss != nil })
    #expect(record.openings.count == 1)
    #expect(record.split.map(\.use) == [.train, .validation, .test])
    let again = try ComparisonRecord(json: record.json())
    #expect(again == record)
    #expect(try renderReport(record).contains("walk"))
  }

  @Test("it gives the same losses at one thread and at two, and on every run")
  func reproducible() async throws {
    func losses(threads: Int) async throws -> [Double?] {
      Machine.setThreads(threads)
      defer { Machine.setThreads(0) }
      return try await SeriesComparison(
        walk(3, count: 300), source: DataSource(name: "walk", data: Data()),
        options: options(models: [], steps: 4)
      ).run().record.rows.map(\.loss)
    }
    let one = try await losses(threads: 1)
    #expect(try await losses(threads: 2) == one)
    #expect(try await losses(threads: 1) == one)
  }

  @Test("it refuses data that cannot be judged, in one sentence")
  func tooShort() async {
    await #expect(throws: (any Error).self) {
      try await SeriesComparison(
        walk(1, count: 12), source: DataSource(name: "walk", data: Data()),
        options: options(models: ["lstm"], steps: 1)
      ).run()
    }
  }
}
