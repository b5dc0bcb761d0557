import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Composing experts", .steadyMachine)
struct ComposingTests {
  private static let rows = 220

  /// Series of one regime: a season of 8 rows, or a wandering level.
  private func table(_ regimes: [Int], seed: UInt64) -> SeriesTable {
    var generator = PhiloxGenerator(RandomKey(seed: seed))
    return SeriesTable(
      regimes.enumerated().map { number, regime in
        var level = 0.0
        let values = (0..<Self.rows).map { t -> Double in
          level += Double.random(in: -1...1, using: &generator)
          let noise = Double.random(in: -0.1...0.1, using: &generator)
          return regime == 0 ? 3 * sin(2 * .pi * Double(t + number) / 8) + noise : level
        }
        return TimeSeries(id: "s\(number)", values: values)
      })
  }

  private func train(_ table: SeriesTable, to folder: String, horizon: Int = 2) async throws {
    var options = ModelTrainingOptions(.architecture(try Architecture.named("lstm")))
    options.budget = .steps(250)
    (options.context, options.width, options.layers) = (16, 16, 1)
    (options.horizon, options.measure, options.levels) = (horizon, .level, [0.1, 0.5, 0.9])
    options.learningRate = 0.01
    let source = DataSource(name: "memory", data: Data())
    _ = try await ForecastTraining(table, source: source, options: options).run(output: folder)
  }

  @Test("on a mixture of regimes it is at least as good as the best single expert", .slow)
  func mixture() async throws {
    try await withTemporaryFolder { folder in
      try await train(table([0, 0, 0, 0, 0, 0], seed: 1), to: folder + "/season")
      try await train(table([1, 1, 1, 1, 1, 1], seed: 2), to: folder + "/walk")
      let mixture = table((0..<40).map { $0 % 2 }, seed: 3)
      let made = try await Composing(
        experts: [folder + "/season", folder + "/walk"], requests: .series(mixture),
        output: folder + "/panel"
      ).run()
      let report = made.summary.report
      let best = try #require(report.single.min())
      #expect(report.routed < best, "\(report)")
      #expect(report.routed >= report.hindsight)
      try made.composition.save()
      let panel = try ModelFolder.open(folder + "/panel").composition()
      let forecast = try FutureForecast(panel, table: mixture)
      let right = forecast.series.enumerated().count { number, one in
        one.expert == (number % 2 == 0 ? "season" : "walk")
      }
      #expect(right >= 34, "\(right) of 40")
    }
  }

  @Test("experts that answer different questions are refused by name")
  func mismatch() async throws {
    try await withTemporaryFolder { folder in
      try await train(table([0, 0], seed: 1), to: folder + "/two")
      try await train(table([0, 0], seed: 1), to: folder + "/three", horizon: 3)
      await #expect(
        throws: ComposingError.mismatch(
          key: "horizon", path: folder + "/three", found: "3", other: folder + "/two",
          expected: "2")
      ) {
        try await Composing(
          experts: [folder + "/two", folder + "/three"],
          requests: .series(table([0, 1], seed: 4)), output: folder + "/panel"
        ).run()
      }
      await #expect(throws: ComposingError.noExperts) {
        try await Composing(
          experts: [], requests: .series(table([0], seed: 4)), output: folder + "/panel"
        ).run()
      }
    }
  }

  @Test("language models are chosen by what is asked")
  func texts() async throws {
    try await withTemporaryFolder { folder in
      let sea = String(
        repeating: "the ship sails the sea and the storm breaks the mast. ", count: 60)
      let bread = String(
        repeating: "warm bread is baked of flour, salt and yeast at dawn! ", count: 60)
      for (name, text) in [("sea", sea), ("bread", bread)] {
        var options = ModelTrainingOptions(.architecture(try Architecture.named("lstm")))
        options.budget = .steps(60)
        (options.context, options.width, options.layers) = (32, 24, 1)
        options.learningRate = 0.02
        // One alphabet for both.
        let all = try #require(try? TextCorpus(Array((text + sea + bread).utf8), unit: .bytes))
        let own = try TextCorpus(Array(text.utf8), unit: .bytes)
        #expect(all.tokenizer == own.tokenizer)
        let source = DataSource(name: "memory", data: Data())
        _ = try await LanguageTraining(own, source: source, options: options).run(
          output: folder + "/" + name)
      }
      let mixed = (0..<40).map { $0 % 2 == 0 ? sea.prefix(270) : bread.prefix(270) }.joined()
      let made = try await Composing(
        experts: [folder + "/sea", folder + "/bread"], requests: .text(mixed, passage: 270),
        output: folder + "/panel"
      ).run()
      #expect(made.summary.report.routed < (made.summary.report.single.min() ?? 0))
      let decision = made.composition.decide(text: String(sea.prefix(135)))
      #expect(made.composition.experts[decision.expert].name == "sea")
    }
  }
}
