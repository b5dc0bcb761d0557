import ApusEvaluation
import ApusTestSupport
import Foundation
import Testing

@Suite("Verdict")
struct VerdictTests {
  typealias Candidate = ModelSelection.Candidate

  /// Judges one model against one baseline with these losses.
  private func verdict(
    _ model: [Double], over baseline: [Double], models: Int = 1, validation: Double = 1,
    overlap: Int = 1
  ) throws -> Verdict {
    var candidates = [
      Candidate(
        name: "naive", isBaseline: true, validationLosses: [2, 2], testLosses: baseline),
      Candidate(
        name: "mamba", isBaseline: false, validationLosses: [validation, validation],
        testLosses: model),
    ]
    for number in 1..<models {
      candidates.append(
        Candidate(
          name: "failed \(number)", isBaseline: false, validationLosses: [], testLosses: []))
    }
    var generator = SplitMix(state: 3)
    return try ModelSelection(candidates, overlap: overlap, using: &generator).verdict
  }

  /// Numbers around `level` without a trend.
  private func losses(_ level: Double, count: Int = 60, spread: Double = 0.1) -> [Double] {
    (0..<count).map { level * (1 + spread * sin(Double($0 * $0))) }
  }

  @Test("a model that is better everywhere is recommended")
  func confirmed() throws {
    let found = try verdict(losses(0.5), over: losses(1))
    #expect(found.reason == .confirmed && found.recommended == "mamba")
    #expect(found.headline == "mamba beats naive by 50 %")
    #expect(
      found.explanation() == """
        mamba is the only neural model; naive is the strongest baseline. On the test part, opened once, \
        mamba's error is 50 % lower than naive's (95 % interval: 50 % lower). The interval \
        excludes zero, and the Diebold–Mariano test agrees (p < 0.001).
        """)
  }

  @Test("a baseline without any error ends with no model, no percentage and a reason")
  func perfectBaseline() throws {
    let zeros = [Double](repeating: 0, count: 40)
    for losses in [losses(1, count: 40), zeros] {
      let found = try verdict(losses, over: zeros)
      #expect(found.reason == .perfectBaseline && found.recommended == nil)
      #expect(found.headline == "No model beats naive" && found.effect == nil)
      #expect(found.explanation().hasSuffix("exactly, so no model can be better: use naive."))
      #expect(!found.explanation().contains("%"))
    }
    // Exact in nearly all windows: the skill of most resamples is -∞.
    let nearly = try verdict(losses(1, count: 40), over: [1e-200] + zeros.dropFirst())
    #expect(nearly.reason == .worse && nearly.effect ?? 0 < -1e200)
    #expect(nearly.explanation().contains("more than 1000 times as high as naive's"))
    #expect(nearly.explanation().count < 400)
  }

  @Test("too few windows, failures and NaN give a verdict with a reason")
  func tooLittle() throws {
    let one = try verdict([1], over: [2])
    #expect(one.reason == .tooFewWindows && one.windows == 1)
    #expect(
      one.explanation().hasSuffix(
        "has 1 window, too few to tell a difference from chance: use naive."))
    let two = try verdict([1, 1], over: [2, 2])
    #expect(two.reason == .tooFewWindows && two.explanation().contains("has 2 windows"))
    #expect(
      try verdict(losses(0.5, count: 5), over: losses(1, count: 5), overlap: 5).reason
        == .tooFewWindows)
    // Better everywhere, but 45 windows of five rows ahead are nine: no recommendation.
    let overlapping = try verdict(
      losses(0.5, count: 45), over: losses(1, count: 45), overlap: 5)
    #expect(overlapping.reason == .tooFewWindows && overlapping.independentWindows == 9)
    #expect(
      overlapping.explanation().hasSuffix(
        "The test part has 45 windows, of which 9 share no target; at least 10 are needed to tell a "
          + "difference from chance: use naive."))
    #expect(
      try verdict(losses(0.5, count: 50), over: losses(1, count: 50), overlap: 5).reason
        == .confirmed)
    let failed = try verdict([.nan, 1, 1], over: [2, 2, 2])
    #expect(failed.reason == .everyModelFailed && failed.headline == "No model beats naive")
    #expect(
      failed.explanation()
        == "Every model failed; the table says why. naive is the best of the baselines.")
    let bare = try verdict([1, 1, 1], over: [.infinity, 1, 1])
    #expect(bare.reason == .everyBaselineFailed && bare.recommended == nil)
    #expect(bare.headline == "No verdict: every baseline failed")
    let nothing = try verdict([], over: [])
    #expect(nothing.reason == .everyBaselineFailed && nothing.windows == 0)
  }

  @Test("a constant series, where all losses are equal, is a tie")
  func constant() throws {
    let found = try verdict([2, 2, 2, 2], over: [2, 2, 2, 2])
    #expect(found.reason == .intervalIncludesZero && found.effect == 0)
    #expect(
      found.explanation().contains(
        "mamba's error is equal to naive's (95 % interval: equal)"))
  }

  @Test("a worse model is told with the right direction and without minus signs")
  func worse() throws {
    let found = try verdict(losses(1.52, spread: 0.3), over: losses(1).reversed())
    #expect(found.reason == .worse)
    let text = found.explanation()
    #expect(
      text.contains("mamba's error is 5")
        && text.contains(" % higher than naive's (95 % interval: "))
    #expect(text.contains(" % higher)") && !text.contains("-") && text.hasSuffix("Use naive."))
    let much = try verdict(losses(30), over: losses(1))
    #expect(
      much.explanation().contains(
        "30 times as high as naive's (95 % interval: 30 times as high)"))
  }

  @Test("it says why interval and test disagree")
  func disagreement() throws {
    var verdict = Verdict(
      reason: .notSignificant, model: "mamba", baseline: "ets", effect: 0.034,
      interval: 0.011...0.06, pValue: 0.28, uncorrectedPValue: 0.016, models: 17, windows: 900)
    #expect(
      verdict.explanation() == """
        Of the neural models, mamba did best on the validation period; ets (exponential smoothing of \
        level, trend and season) is the strongest baseline. On the test part, opened once, mamba's error is 3.4 % lower than ets's (95 % interval: 1.1 % to 6.0 % lower). \
        The interval excludes zero, but the test counts all 17 models tried, which the interval does \
        not (p = 0.28; p = 0.016 for this model alone): use ets.
        """)
    (verdict.uncorrectedPValue, verdict.windows) = (0.28, 9)
    #expect(
      verdict.explanation().contains(
        "The interval excludes zero, but the test has too few windows (p = 0.28): use ets."))
    (verdict.reason, verdict.interval, verdict.pValue) = (
      .intervalIncludesZero, -0.004...0.06, 0.03
    )
    #expect(
      verdict.explanation().contains(
        "(95 % interval: 0.40 % higher to 6.0 % lower). The interval includes zero"))
    #expect(verdict.explanation().contains("The test alone sees a difference (p = 0.030)"))
    verdict.pValue = 0.4
    #expect(
      verdict.explanation().hasSuffix(
        "The interval includes zero, so the difference may be chance: use ets."))
    (verdict.reason, verdict.effect, verdict.interval) = (.worse, -0.52, -0.64 ... -0.38)
    #expect(
      verdict.explanation(loss: "loss").contains(
        "mamba's loss is 52 % higher than ets's (95 % interval: 38 % to 64 % higher)."))
    #expect(
      verdict.explanation().hasSuffix("too few windows (p = 0.40). Use ets."))
  }

  @Test("it survives JSON, whatever the reason", arguments: Verdict.Reason.allCases)
  func json(reason: Verdict.Reason) throws {
    let verdict = Verdict(
      reason: reason, model: "a", baseline: nil, interval: -1...1, models: 2, windows: 3)
    let data = try JSONEncoder().encode(verdict)
    #expect(try JSONDecoder().decode(Verdict.self, from: data) == verdict)
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(object.count == 16)
    #expect((object["recommended"] as? String == "a") == (reason == .confirmed))
  }
}
