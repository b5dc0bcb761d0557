import ApusEvaluation
import ApusTestSupport
import Testing

@Suite("Model selection")
struct ModelSelectionTests {
  typealias Candidate = ModelSelection.Candidate

  /// Absolute errors of several forecasters of the same values.
  func candidates(
    seed: UInt64, models: Int, count: Int = 400, horizon: Int = 1, error: (Int) -> Double,
    value: (inout SplitMix) -> Double
  ) -> [Candidate] {
    var generator = SplitMix(state: seed)
    let values = (0..<(2 * count + horizon)).map { _ in value(&generator) }
    return (0...models).map { place in
      let errors = values.map { abs($0 + error(place) * generator.normal()) }
      let losses = (0..<(2 * count)).map { errors[$0..<($0 + horizon)].reduce(0, +) }
      return Candidate(
        name: place == 0 ? "naive" : "model-\(place)", isBaseline: place == 0,
        validationLosses: Array(losses[..<count]), testLosses: Array(losses[count...]))
    }
  }

  @Test("recommends none of ten equal models in 95 of 100 random walks", .slow)
  func randomWalks() throws {
    // Five changes of a random walk ahead, from every origin; every model adds as much noise to the
    // naive forecast as the baseline carries itself, so that none is better, but some look better.
    var wrong: [UInt64] = []
    for seed in UInt64(1)...100 {
      let entries = candidates(seed: seed, models: 10, horizon: 5, error: { _ in 0.3 }) {
        $0.normal()
      }
      var generator = SplitMix(state: seed &+ 1000)
      let selection = try ModelSelection(
        entries, overlap: 5, bootstrap: BlockBootstrap(resamples: 300), using: &generator)
      if selection.verdict.recommended != nil { wrong.append(seed) }
    }
    #expect(wrong.count <= 5, "wrong at seeds \(wrong)")
  }

  @Test("recommends none of ten noisy models on heavy-tailed noise", .slow)
  func heavyTails() throws {
    var wrong: [UInt64] = []
    for seed in UInt64(1)...100 {
      let entries = candidates(seed: seed, models: 10, count: 250, error: { 0.01 * Double($0) }) {
        $0.normal() / max(0.05, abs($0.normal())).squareRoot()
      }
      var generator = SplitMix(state: seed &+ 1000)
      let selection = try ModelSelection(
        entries, bootstrap: BlockBootstrap(resamples: 300), using: &generator)
      if selection.verdict.recommended != nil { wrong.append(seed) }
    }
    #expect(wrong.count <= 5, "wrong at seeds \(wrong)")
  }

  @Test("recommends a model that is really better")
  func betterModel() throws {
    let entries = candidates(seed: 2, models: 3, error: { $0 == 2 ? 0.1 : 1 }) { $0.normal() }
    var generator = SplitMix(state: 1)
    let selection = try ModelSelection(entries, using: &generator)
    #expect(selection.verdict.recommended == "model-2" && selection.verdict.reason == .confirmed)
    #expect(selection.verdict.headline.hasPrefix("model-2 beats naive by "))
    let best = try #require(selection.standings.first)
    #expect(best.name == "model-2" && (best.skill ?? 0) > 0.1)
    #expect((best.interval?.lowerBound ?? 0) > 0 && (best.adjustedPValue ?? 1) < 0.05)
  }

  @Test("chooses on validation even where the test part would choose otherwise")
  func validationChooses() throws {
    let noise = (0..<60).map { 0.1 * Double(($0 * 7) % 5) }
    func entry(_ name: String, _ isBaseline: Bool, _ validation: Double, _ test: Double)
      -> Candidate
    {
      Candidate(
        name: name, isBaseline: isBaseline, validationLosses: noise.map { $0 + validation },
        testLosses: noise.map { test * (1 + $0) })
    }
    let entries = [
      entry("naive", true, 2, 3), entry("drift", true, 1, 2),
      entry("lucky", false, 0.9, 0.1), entry("chosen", false, 0.8, 1.9),
      Candidate(name: "diverged", isBaseline: false, validationLosses: [.nan], testLosses: []),
    ]
    var generator = SplitMix(state: 1)
    let selection = try ModelSelection(entries, using: &generator)
    #expect(selection.verdict.baseline == "drift" && selection.verdict.model == "chosen")
    #expect(selection.standings.map(\.name) == ["chosen", "lucky", "drift", "naive", "diverged"])
    #expect(selection.standings.last?.hasFailed == true)
    #expect(selection.verdict.recommended == "chosen")
    // Hindsight may favor the bar: a baseline that validation did not choose can be it.
    var hindsight = entries
    hindsight[0] = entry("naive", true, 2, 1)
    let strict = try ModelSelection(hindsight, using: &generator)
    #expect(strict.verdict.baseline == "naive" && strict.verdict.recommended == nil)
    // Worse than the baseline on validation: not recommended, whatever the test part says.
    var late = entries
    late[2] = entry("lucky", false, 1.5, 0.1)
    late.remove(at: 3)
    let other = try ModelSelection(late, using: &generator)
    #expect(other.verdict.reason == .worseOnValidation)
    #expect(other.verdict.headline == "No model beats drift")
  }

  @Test("uses the simplest baseline that lies within one standard error of the best")
  func simplest() throws {
    var generator = SplitMix(state: 5)
    let noise = (0..<200).map { _ in 3 + abs(generator.normal()) }
    func entry(_ name: String, isBaseline: Bool = true, more: (Int) -> Double) -> Candidate {
      let losses = noise.indices.map { noise[$0] + more($0) }
      return Candidate(
        name: name, isBaseline: isBaseline, validationLosses: Array(losses[..<100]),
        testLosses: Array(losses[100...]))
    }
    func used(_ entries: [Candidate]) throws -> Verdict {
      try ModelSelection(entries, using: &generator).verdict
    }
    // Differences of 1, 1, -1, -1 in turn have autocovariances 1, 0, -1, 0, 1, 0 at lags 0 to 5, so that a
    // mean of 200 has the error (1 - 2 · 4/6 + 2 · 2/6)^½ / 200^½ = 0.041 by the rule of five lags.
    func swings(_ place: Int) -> Double { place % 4 < 2 ? 1 : -1 }
    let naive = entry("naive") { 0.03 + swings($0) }
    let drift = entry("drift") { 0.05 + swings($0) }
    let (theta, trees) = (entry("theta") { _ in 0.5 }, entry("trees") { _ in 0 })
    let model = entry("mamba", isBaseline: false) { _ in 9 }
    let found = try used([naive, theta, trees, model])
    #expect(found.baseline == "trees" && found.simplest == "naive" && found.use == "naive")
    #expect(found.recommended == nil)
    #expect(
      found.explanation().hasSuffix(
        "Use naive, which is simpler than trees and within one standard error of it."))
    // Series that wander are forecast simply until the opposite is shown: here by two standard errors, where
    // 1.96 are asked for of two other baselines.
    let near = entry("naive") { 0.07 + swings($0) }
    let (usual, wandering) = (
      try ModelSelection([near, theta, trees, model], using: &generator).verdict,
      try ModelSelection([near, theta, trees, model], wanders: true, using: &generator).verdict
    )
    #expect(usual.use == "trees" && usual.standardErrors == 1)
    #expect(wandering.use == "naive" && abs(wandering.standardErrors - 1.959964) < 1e-5)
    #expect(
      wandering.explanation().hasSuffix(
        "Use naive, which is simpler than trees and within 2.0 standard errors of it, as series that "
          + "wander like prices are best forecast simply until the opposite is shown."))
    let clear = entry("naive") { 0.12 + swings($0) }
    #expect(
      try ModelSelection([clear, theta, trees, model], wanders: true, using: &generator).verdict.use
        == "trees")
    // Half a loss more in every window is no chance, and the order is what simple means.
    #expect(try used([theta, trees, naive]).use == "trees")
    #expect(try used([theta, naive, trees]).use == "naive")
    #expect(try used([drift, trees]).use == "trees")
    #expect(try used([trees]).explanation() == "No model was compared. Use trees.")
  }
}
