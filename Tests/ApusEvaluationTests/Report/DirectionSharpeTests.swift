import ApusEvaluation
import Testing

@Suite("Sharpe ratio of a direction")
struct DirectionSharpeTests {
  private static let returns = [
    0.01, -0.02, 0.015, 0.003, -0.004, 0.02, -0.01, 0.007, 0.012, -0.003,
  ]

  /// Expected values by SciPy 1.17.1 from the formulas of Bailey and López de Prado.
  @Test(
    "is deflated by every run that was tried",
    arguments: [(1, 0.7544549757034374), (12, 0.1898834941981748)])
  func deflated(trials: Int, expected: Double) throws {
    let found = try #require(DirectionSharpe("lstm", returns: Self.returns, trials: trials))
    #expect(abs(found.ratio - 0.2438675165715322) < 1e-12)
    #expect(abs(found.probability - expected) < 1e-9)
    #expect(found.rows == 10 && found.trials == trials)
    #expect(found.sentence.contains(trials == 1 ? "the one run" : "the best of 12 runs"))
    #expect(found.sentence.contains("probability of \(trials == 1 ? 75 : 19)"))
  }

  @Test("is none where there is nothing to measure")
  func none() {
    #expect(DirectionSharpe("lstm", returns: [0.1, 0.2], trials: 3) == nil)
    #expect(DirectionSharpe("lstm", returns: [0, 0, 0, 0], trials: 3) == nil)
  }
}
