import ApusEvaluation
import ApusTestSupport
import Foundation
import Testing

@Suite("Clark-West")
struct ClarkWestTests {
  @Test("equals the example worked by hand")
  func byHand() throws {
    // e1² = 1, 1, 4, 0; e2² = ¼, ¼, 1, ¼, as much as the square of the forecast: f = 1, 1, 4, 0 with
    // the mean 3/2 and the variance 9/4: 3/2 over √(9/16) is 2.
    let test = try ClarkWest([1, -1, 2, 0], nested: [0, 0, 0, 0], larger: [0.5, -0.5, 1, 0.5])
    #expect(isClose(test.meanDifference, 1.5) && isClose(test.statistic, 2) && test.lags == 0)
    #expect(abs(test.pValue - 0.022750131948179) < 1e-12)
  }

  @Test("does not punish a larger model for what it has to estimate")
  func size() throws {
    var generator = SplitMix(state: 12)
    var (rejections, unadjusted) = (0, 0)
    for _ in 0..<500 {
      let values = (0..<200).map { _ in generator.normal() }
      // The larger model forecasts the mean of all values before.
      var (sum, larger) = (0.0, [Double]())
      for (index, value) in values.enumerated() {
        larger.append(index > 0 ? sum / Double(index) : 0)
        sum += value
      }
      let zeros = [Double](repeating: 0, count: 180)
      let (late, means) = (Array(values[20...]), Array(larger[20...]))
      if try ClarkWest(late, nested: zeros, larger: means).pValue < 0.05 { rejections += 1 }
      let plain = try DieboldMariano(
        late.map { $0 * $0 }, zip(late, means).map { ($0 - $1) * ($0 - $1) })
      if plain.pValueSecondBetter < 0.05 { unadjusted += 1 }
    }
    // 5 percent of 500 are 25, give or take 5; the adjusted test is known to stay a little below.
    #expect((8...40).contains(rejections), "\(rejections)")
    #expect(unadjusted < rejections, "\(unadjusted)")
  }

  @Test("needs paired, finite numbers")
  func edges() {
    #expect(throws: MetricError.self) { try ClarkWest([1, 2], nested: [0, 0], larger: [1, 1]) }
    #expect(throws: MetricError.self) {
      try ClarkWest([1, 2, .nan], nested: [0, 0, 0], larger: [1, 1, 1])
    }
  }
}

@Suite("Model confidence set")
struct ModelConfidenceSetTests {
  @Test("equals the example worked by hand")
  func byHand() throws {
    // Losses 0, 4 against 0, 0: half the difference of the means is 1. Single draws of two give the
    // mean 0, 2, 2, 4, so that half the difference strays by -1, 0, 0, 1 with the variance ½, and is as
    // far as √2 deviations in half of the resamples.
    var generator = SplitMix(state: 4)
    let bootstrap = BlockBootstrap(form: .moving, blockLength: 1, resamples: 4000)
    let set = try ModelConfidenceSet(
      losses: [[0, 4], [0, 0]], bootstrap: bootstrap, using: &generator)
    #expect(set.pValues[1] == 1 && abs(set.pValues[0] - 0.5) < 0.03, "\(set.pValues)")
    #expect(set.members() == [0, 1] && set.members(confidence: 0.4) == [1])
  }

  @Test("leaves out what is worse, keeps what is the same")
  func members() throws {
    var generator = SplitMix(state: 5)
    let noise = (0..<200).map { _ in 1 + abs(generator.normal()) }
    let other = (0..<200).map { _ in 1 + abs(generator.normal()) }
    let losses = [noise, noise, other, other.map { $0 + 1 }, noise.map { $0 * 2 }]
    let set = try ModelConfidenceSet(losses: losses, using: &generator)
    #expect(set.members() == [0, 1, 2], "\(set.pValues)")
    #expect(set.pValues[3] < 0.01 && set.pValues[4] < 0.01)
    let alone = try ModelConfidenceSet(losses: [noise], using: &generator)
    #expect(alone.pValues == [1])
    #expect(throws: MetricError.self) {
      try ModelConfidenceSet(losses: [[1, 2], [1]], using: &generator)
    }
    #expect(throws: MetricError.self) {
      try ModelConfidenceSet(losses: [[1, .nan], [1, 2]], using: &generator)
    }
  }

  @Test("keeps the best model as often as it says")
  func coverage() throws {
    var generator = SplitMix(state: 6)
    var kept = 0
    for _ in 0..<200 {
      let losses = (0..<4).map { model in
        (0..<60).map { _ in generator.normal() + (model == 0 ? 0 : 0.1) }
      }
      let set = try ModelConfidenceSet(
        losses: losses, bootstrap: BlockBootstrap(resamples: 200), using: &generator)
      if set.members(confidence: 0.9).contains(0) { kept += 1 }
    }
    #expect(kept >= 176, "\(kept) of 200")
  }
}

@Suite("Deflated Sharpe ratio")
struct DeflatedSharpeTests {
  @Test("equals the example of Bailey and López de Prado")
  func publishedExample() {
    // Five years of 250 days, an annual ratio of 2.5 as the best of 100 trials of variance 1/2, skewness
    // -3 and kurtosis 10: SR* is 0.1132 a day, and the ratio is real with 0.9004.
    let day = 1 / 250.0.squareRoot()
    let best = DeflatedSharpe.expectedMaximum(trials: 100, variance: 0.5 / 250)
    #expect(abs(best - 0.1132) < 5e-5, "\(best)")
    let found = DeflatedSharpe.probability(
      above: best, ratio: 2.5 * day, skewness: -3, kurtosis: 10, count: 1250)
    #expect(abs(found - 0.9004) < 5e-5, "\(found)")
    #expect(DeflatedSharpe.expectedMaximum(trials: 1, variance: 1) == 0)
  }

  @Test("measures returns as worked by hand")
  func byHand() throws {
    // 0, 0, 0, 4: mean 1, deviations -1 three times and 3: variance 12/3 with T - 1; central moments
    // 3, 6, 21, so that skewness is 6 / 3^1.5 and kurtosis 21/9.
    let found = try DeflatedSharpe(returns: [0, 0, 0, 4])
    #expect(isClose(found.ratio, 0.5) && isClose(found.kurtosis, 21.0 / 9))
    #expect(isClose(found.skewness, 6 / 3.0.squareRoot() / 3))
    #expect(found.probability == found.probability(above: 0))
    let tried = try DeflatedSharpe(returns: [0, 0, 0, 4], trials: 20, trialVariance: 0.1)
    #expect(tried.probability < found.probability)
    #expect(throws: MetricError.self) { try DeflatedSharpe(returns: [1, 1, 1]) }
    #expect(throws: MetricError.self) { try DeflatedSharpe(returns: [1, 2, 3], trials: 0) }
  }
}

@Suite("Mincer-Zarnowitz")
struct MincerZarnowitzTests {
  @Test("equals the example worked by hand")
  func byHand() throws {
    // Deviations of forecasts -3/2, -1/2, 1/2, 3/2 with the sum of squares 5, products 4: b = 4/5,
    // a = 1/2, errors -0.3, 0.9, -0.9, 0.3. White: the level has the variance 1.8/16, the slope
    // 0.81/25, and they do not covary. The level is right, the slope is 0.2 off: 0.04 / 0.0324.
    let found = try MincerZarnowitz([1, 3, 2, 4], forecasts: [1, 2, 3, 4])
    #expect(isClose(found.slope, 0.8) && isClose(found.intercept, 0.5))
    #expect(isClose(found.rSquared, 0.64) && isClose(found.slopeError, 0.18))
    #expect(isClose(found.interceptError, (0.1125 + 6.25 * 0.0324).squareRoot()))
    #expect(isClose(found.statistic, 0.04 / 0.0324))
    #expect(isClose(found.pValue, exp(-0.02 / 0.0324)))
  }

  @Test("accepts a right forecast about as often as it says, and rejects one twice as large")
  func size() throws {
    var generator = SplitMix(state: 7)
    var rejections = 0
    for _ in 0..<300 {
      let forecasts = (0..<200).map { _ in generator.normal() }
      let values = forecasts.map { $0 + generator.normal() }
      if try MincerZarnowitz(values, forecasts: forecasts).pValue < 0.05 { rejections += 1 }
      #expect(try MincerZarnowitz(values, forecasts: forecasts.map { 2 * $0 }).pValue < 0.01)
    }
    #expect((5...30).contains(rejections), "\(rejections) of 300")
    #expect(throws: MetricError.self) {
      try MincerZarnowitz([1, 2, 3, 4], forecasts: [1, 1, 1, 1])
    }
  }
}

@Suite("RankIC")
struct RankICTests {
  @Test("equals the example worked by hand")
  func byHand() throws {
    // Two of four ranks swapped: 1 - 6 · 2 / (4 · 15) = 0.8. A tie and a missing score: ranks 1½, 1½, 3
    // against 2, 1, 3: 3/2 over √(3/2 · 2). The last date does not order anything.
    let found = try RankIC(
      scores: [[1, 2, 3, 4], [1, 1, 2, .nan], [5, 5, 5, 5]],
      outcomes: [[10, 30, 20, 40], [5, 3, 9, 1], [1, 2, 3, 4]])
    let (first, second) = (0.8, 1.5 / 3.0.squareRoot())
    #expect(isClose(found.coefficients[0], first) && isClose(found.coefficients[1], second))
    #expect(found.coefficients.count == 2 && isClose(found.mean, (first + second) / 2))
    // Two dates: the deviation is half the difference times √2, the standard error half of it.
    #expect(isClose(found.ratio, found.mean / ((second - first) / 2.0.squareRoot())))
    #expect(isClose(found.statistic, found.mean / ((second - first) / 2 / 2.0.squareRoot())))
    #expect(throws: MetricError.self) { try RankIC(scores: [[1, 2]], outcomes: [[1, 2]]) }
    #expect(throws: MetricError.self) { try RankIC(scores: [[1, 2]], outcomes: [[1]]) }
  }
}

@Suite("Skill over tasks")
struct TaskSkillTests {
  let errors: [(name: String, errors: [Double?])] = [
    ("base", [2, 4]), ("a", [1, 4]), ("b", [nil, 8]),
  ]

  @Test("equals the example worked by hand")
  func byHand() throws {
    var generator = SplitMix(state: 8)
    let rows = try TaskSkill(errors: errors, baseline: "base", using: &generator).rows
    #expect(rows.map(\.name) == ["base", "a", "b"] && rows.map(\.failures) == [0, 0, 1])
    // Ratios ½, 1 and 1, 2: b failed in the first task and has the baseline's error there.
    for (row, skill) in zip(rows, [0, 1 - 0.5.squareRoot(), 1 - 2.0.squareRoot()]) {
      #expect(isClose(row.skill, skill) && row.skillInterval.contains(row.skill))
    }
    // a beats b twice, the baseline once and ties once; b ties with the baseline once.
    for (row, rate) in zip(rows, [0.5, 0.875, 0.125]) {
      #expect(isClose(row.winRate, rate) && row.winInterval.contains(row.winRate))
    }
    // Resamples of two tasks: twice the first, twice the second, or both.
    #expect(rows[1].skillInterval == 0...0.5)
  }

  @Test("clips ratios, and wants a baseline")
  func edges() throws {
    var generator = SplitMix(state: 9)
    let rows = try TaskSkill(
      errors: [("base", [1, 0]), ("perfect", [0, 0]), ("awful", [1e9, 1])], baseline: "base",
      using: &generator
    ).rows
    #expect(isClose(rows[1].skill, 1 - 0.1) && isClose(rows[2].skill, 1 - 100))
    #expect(throws: MetricError.self) {
      try TaskSkill(errors: errors, baseline: "none", using: &generator)
    }
    #expect(throws: MetricError.self) {
      try TaskSkill(errors: errors, baseline: "b", using: &generator)
    }
    #expect(throws: MetricError.self) {
      try TaskSkill(errors: [("base", [1]), ("a", [-1])], baseline: "base", using: &generator)
    }
  }
}
