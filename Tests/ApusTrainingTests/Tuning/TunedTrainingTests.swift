import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

@Suite("Searches for learning rate and size", .steadyMachine)
struct TunedTrainingTests {
  private static func walk(rows: Int = 160) -> TimeSeries {
    var level = 50.0
    return TimeSeries(
      id: "a",
      values: Tensor(normal: [rows], key: RandomKey(seed: 7)).values.map { step in
        level += Double(step)
        return level
      })
  }

  private static var options: ComparisonOptions {
    var options = ComparisonOptions()
    (options.models, options.seeds, options.measure) = (["lstm"], [3, 4], .level)
    (options.context, options.layers, options.horizon) = (12, 1, 2)
    (options.budget, options.candidates) = (.steps(40), 4)
    return options
  }

  private static func trials(_ folder: String) throws -> [Trial] {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try String(contentsOfFile: folder + "/trials.jsonl", encoding: .utf8)
      .split(separator: "\n").map { try decoder.decode(Trial.self, from: Data($0.utf8)) }
  }

  @Test("spend the budget of a model's first seed, are logged, resumed and told")
  func comparison() async throws {
    try await withTemporaryFolder { folder in
      let file = DataFile(SeriesTable([Self.walk()]))
      let work = Task {
        try await file.compare(Self.options, output: folder) { state in
          if state.phase == "lstm, settings, round 2" { withUnsafeCurrentTask { $0?.cancel() } }
        }
      }
      _ = await work.result
      #expect(try Self.trials(folder).count == 4)
      let record = try await file.compare(Self.options, output: folder, resume: true)
      let whole = try await file.compare(Self.options, output: folder + "/whole")
      let row = try #require(record.rows.first { $0.name == "lstm" })
      let other = try #require(whole.rows.first { $0.name == "lstm" })
      let tuning = try #require(row.tuning)
      #expect(row.loss == other.loss && tuning.kept == other.tuning?.kept)
      #expect(tuning.candidates.map(\.losses) == other.tuning?.candidates.map(\.losses))
      // 4, 2 and 1 candidates cost 2 trainings of the winner, which has half the budget.
      let kept = try #require(tuning.kept)
      #expect(tuning.candidates[kept].steps == 20)
      let steps: Int = tuning.candidates.reduce(0) { $0 + $1.steps }
      #expect(steps == 40)
      #expect(row.steps == (40 + 20) / 2 && row.lossBySeed?.count == 2)
      // Width and rate are searched for, layers are given.
      #expect(tuning.candidates.allSatisfy { $0.layers == 1 })
      #expect(Set(tuning.candidates.map(\.width)) == [32, 64, 128])
      let trials = try Self.trials(folder)
      #expect(record.trials == TrialCount(here: 5, logged: 5) && trials.count == 5)
      #expect(trials.compactMap(\.rungs).map(\.count).sorted() == [1, 1, 2, 3])
      #expect(trials.compactMap(\.testLoss) == row.lossBySeed)
      let judged = trials.filter { $0.testLoss != nil }
      let rate = "\(tuning.candidates[kept].learningRate)"
      #expect(judged.map(\.seed) == [3, 4])
      #expect(judged.allSatisfy { $0.settings["learning_rate"] == rate })
      #expect(record.protocolSentences.contains { $0.hasPrefix("Of 4 learning rates and sizes") })
    }
  }

  @Test("stay within the budget of apus train, and what is saved has the size that was kept")
  func training() async throws {
    try await withTemporaryFolder { folder in
      let file = DataFile(SeriesTable([Self.walk()]))
      var options = ModelTrainingOptions(try ModelChoice("mamba"))
      (options.context, options.horizon, options.measure) = (8, 2, .level)
      (options.width, options.seeds, options.candidates) = (8, 2, 3)
      options.budget = .steps(70)
      let summary = try await file.train(options, output: folder + "/m")
      let tuning = try #require(summary.tuning)
      let kept = tuning.candidates[try #require(tuning.kept)]
      // Mamba's layers have no feed-forward, so that usually there are four.
      let layers: Set<Int> = Set(tuning.candidates.compactMap(\.layers))
      #expect(layers.isSubset(of: [2, 4, 8]))
      #expect(kept.steps == 20 && summary.record.steps == 40)
      #expect(tuning.givenUp.steps == 15)
      let model = try Model(at: folder + "/m")
      #expect(model.members.map(\.name) == ["mamba", "mamba"])
      // The same settings, given by hand, make the same forecaster.
      options.learningRate = kept.learningRate
      (options.layers, options.candidates, options.seeds) = (kept.layers, 1, 1)
      options.budget = .steps(20)
      let alone = try await file.train(options, output: folder + "/one")
      #expect(2 * alone.parameters == summary.parameters)
      options.candidates = 2
      await #expect(throws: TuningError.nothingToSearch) {
        try await file.train(options, output: folder + "/none")
      }
    }
  }
}
