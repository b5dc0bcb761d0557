import ApusModels
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Conformal correction")
struct ConformalCorrectionTests {
  private static let levels = [0.1, 0.25, 0.5, 0.75, 0.9]

  /// Outcomes at one step, whose forecast is the same from every origin.
  private static func correction(
    _ levels: [Double], _ quantiles: [Double], _ outcomes: [Double], isNonNegative: Bool = false
  ) -> ConformalCorrection {
    ConformalCorrection(
      levels: levels, forecasts: outcomes.map { _ in [quantiles] },
      outcomes: outcomes.map { [$0] }, isNonNegative: isNonNegative)
  }

  @Test("stretches both quantiles of a pair by the score of its rank, and leaves the median")
  func ranks() {
    // Scores of the pair 0.1, 0.9 about the median 10: distances over 2 below and over 4 above.
    let outcomes = [10.4, 9.6, 11.2, 9.2, 12.0, 8.8, 12.8, 8.4, 13.6]
    // 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9; the ⌈10 · 0.8⌉-th is 0.8.
    let found = Self.correction([0.1, 0.5, 0.9], [8, 10, 14], outcomes)
    #expect(found.scores == [9] && found.factors.count == 1)
    for (factor, expected) in zip(found.factors[0], [0.8, 1, 0.8]) {
      #expect(abs(factor - expected) < 1e-12)
    }
    let applied = found.applied(to: [[8, 10, 14], [1, 2, 3]])
    for (quantile, expected) in zip(applied[0], [8.4, 10, 13.2]) {
      #expect(abs(quantile - expected) < 1e-12)
    }
    // A step that nothing is known of is left.
    #expect(applied[1] == [1, 2, 3])
  }

  @Test("corrects a level without its mirror image on its own side")
  func alone() {
    // One-sided scores of 0.8: −0.5, 0, 0.5, 1, 1.5; the ⌈6 · 0.8⌉-th of 5 is the largest.
    let found = Self.correction([0.5, 0.8], [0, 2], [-1, 0, 1, 2, 3])
    #expect(found.factors == [[1, 1.5]])
    // Of 0.3: (c − y) / w with w = 1 is −3 to 1; the ⌈6 · 0.7⌉-th of 5 is 1.
    #expect(Self.correction([0.3, 0.5], [-1, 0], [-1, 0, 1, 2, 3]).factors == [[1, 1]])
    // Below the median nothing came: the quantile moves onto it and not past it.
    #expect(Self.correction([0.3, 0.5], [-1, 0], [1, 2, 3, 4, 5]).factors == [[0, 1]])
  }

  @Test("widens to the largest score where there are too few, and never narrows there")
  func tooFew() {
    // Three scores promise 75 % at most: of the interval of 80 % the factor is the largest.
    #expect(Self.correction([0.1, 0.5, 0.9], [-1, 0, 1], [0.5, -3, 1]).factors == [[3, 1, 3]])
    #expect(Self.correction([0.1, 0.5, 0.9], [-1, 0, 1], [0.5, -0.3, 0]).factors == [[1, 1, 1]])
    #expect(Self.correction([0.1, 0.5, 0.9], [-1, 0, 1], [.nan]).factors == [[1, 1, 1]])
    #expect(Self.correction([0.1, 0.5, 0.9], [0, 0, 0], [1, 2, 3]).factors == [[1, 1, 1]])
    #expect(Self.correction([0.1, 0.5, 0.9], [-1, 0, 1e-9], [5]).factors == [[16, 1, 16]])
  }

  @Test("holds on its own scores at least the share that each interval claims", arguments: 0..<100)
  func holds(seed: Int) {
    var generator = SplitMix(state: UInt64(seed))
    let count = 20 + seed
    let spread = 0.2 + 2 * generator.uniform()
    let forecasts = (0..<count).map { _ -> [[Double]] in
      let center = generator.normal()
      return [[-1.3, -0.7, 0, 0.6, 1.9].map { center + spread * $0 }]
    }
    let outcomes = forecasts.map { [$0[0][2] + generator.normal()] }
    let found = ConformalCorrection(levels: Self.levels, forecasts: forecasts, outcomes: outcomes)
    let corrected = forecasts.map(found.applied)
    for (low, high, share) in [(0, 4, 0.8), (1, 3, 0.5)] {
      let held = zip(corrected, outcomes).count { quantiles, outcome in
        quantiles[0][low] <= outcome[0] + 1e-9 && outcome[0] <= quantiles[0][high] + 1e-9
      }
      #expect(Double(held) >= share * Double(count), "\(seed)")
    }
    for quantiles in corrected {
      #expect(zip(quantiles[0], quantiles[0].dropFirst()).allSatisfy(<=))
    }
  }

  @Test("makes intervals of new outcomes hold what they claim, whatever the forecaster's mistake")
  func covers() {
    var generator = SplitMix(state: 7)
    // Half and three times as wide as the outcomes, by step, and of any size.
    func sample(_ count: Int) -> (forecasts: [[[Double]]], outcomes: [[Double]]) {
      var (forecasts, outcomes) = ([[[Double]]](), [[Double]]())
      for _ in 0..<count {
        let size = exp(2 * generator.normal())
        forecasts.append(
          [0.5, 3].map { wrong in
            [-1.2816, -0.6745, 0, 0.6745, 1.2816].map { size * wrong * $0 }
          })
        outcomes.append((0..<2).map { _ in size * generator.normal() })
      }
      return (forecasts, outcomes)
    }
    let (known, new) = (sample(2000), sample(4000))
    let found = ConformalCorrection(
      levels: Self.levels, forecasts: known.forecasts, outcomes: known.outcomes)
    let corrected = new.forecasts.map(found.applied)
    for step in 0..<2 {
      for (low, high, share) in [(0, 4, 0.8), (1, 3, 0.5)] {
        let held = zip(corrected, new.outcomes).count { quantiles, outcome in
          quantiles[step][low] <= outcome[step] && outcome[step] <= quantiles[step][high]
        }
        // Three deviations of both samples' shares.
        #expect(
          abs(Double(held) / 4000 - share) < 3 * (0.25 * (1.0 / 2000 + 1.0 / 4000)).squareRoot())
      }
      #expect(abs(found.factors[step][0] * [0.5, 3][step] - 1) < 0.1)
    }
  }

  @Test("counts a factor only as far as five stretches of the scores agree")
  func stretches() {
    // Two scores a stretch; the pair 0.3, 0.7 claims a share of 0.4.
    let scores = [0.5, 1.0, 2.0, 1.5, 3.0, 0.5, 2.0, 1.0, 0.2, 2.0]
    let outcomes = scores.enumerated().map { [$0.offset % 2 == 0 ? $0.element : -$0.element] }
    func factor(isShrunk: Bool) -> Double {
      ConformalCorrection(
        levels: [0.3, 0.5, 0.7], forecasts: outcomes.map { _ in [[-1, 0, 1]] }, outcomes: outcomes,
        isShrunk: isShrunk
      ).factors[0][0]
    }
    // Of all, the ⌈11 · 0.4⌉ = fifth of 0.2, 0.5, 0.5, 1, 1, 1.5, 2, 2, 2, 3 is 1: no correction.
    #expect(factor(isShrunk: false) == 1 && factor(isShrunk: true) == 1)
    // All twice as far: 2. Without one stretch, the ⌈9 · 0.4⌉ = fourth is 3, 2, 2, 2, 2: squares of 0.8 in
    // all about their mean, a squared error of 0.64.
    let doubled = ConformalCorrection(
      levels: [0.3, 0.5, 0.7], forecasts: outcomes.map { _ in [[-0.5, 0, 0.5]] },
      outcomes: outcomes, isShrunk: true)
    #expect(abs(doubled.factors[0][0] - 1.36) < 1e-12)
    #expect(doubled.factors[0][1] == 1 && !doubled.isIdentity)
  }

  @Test(
    "leaves a forecaster that is right alone, mends one that is wrong, trusts no single stretch")
  func shrinkage() {
    func factors(_ seed: Int, spread: (Int) -> Double) -> (plain: Double, shrunk: Double) {
      var generator = SplitMix(state: UInt64(seed))
      let outcomes = (0..<200).map { [spread($0) * generator.normal()] }
      let forecasts = outcomes.map { _ in [[-1.2816, -0.6745, 0, 0.6745, 1.2816]] }
      let found = [false, true].map {
        ConformalCorrection(
          levels: Self.levels, forecasts: forecasts, outcomes: outcomes, isShrunk: $0
        ).factors[0][0]
      }
      return (found[0], found[1])
    }
    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    let right = (0..<200).map { factors($0) { _ in 1 } }
    #expect(right.count { $0.shrunk == 1 } > 100)
    #expect(mean(right.map { abs($0.shrunk - 1) }) < 0.6 * mean(right.map { abs($0.plain - 1) }))
    let wrong = (0..<200).map { factors($0) { _ in 2 } }
    #expect(abs(mean(wrong.map(\.shrunk)) - 2) < 0.05)
    // The last fifth is four times as wild as the rest: what it teaches is no property of the forecaster.
    let wild = (0..<200).map { factors($0) { $0 < 160 ? 1 : 4 } }
    #expect(mean(wild.map(\.plain)) > 1.25 && mean(wild.map(\.shrunk)) < 1.1)
  }

  @Test("never lets quantiles cross, and takes none below zero that was not")
  func order() {
    let found = ConformalCorrection(
      levels: Self.levels, forecasts: (0..<40).map { _ in [[1, 4, 5, 6, 9]] },
      // The inner interval is far too narrow, the outer one too wide.
      outcomes: (0..<40).map { [$0 % 2 == 0 ? 2.5 : 7.5] }, isNonNegative: true)
    let applied = found.applied(to: [[1, 4, 5, 6, 9]])[0]
    #expect(zip(applied, applied.dropFirst()).allSatisfy(<=))
    #expect(applied[1] == 2.5 && applied[0] == 2.5 && applied[4] == 7.5)
    let wide = Self.correction(
      [0.1, 0.5, 0.9], [1, 2, 3], Array(repeating: 5, count: 20), isNonNegative: true)
    #expect(wide.factors == [[3, 1, 3]])
    #expect(wide.applied(to: [[1, 2, 3]]) == [[0, 2, 5]])
    #expect(wide.applied(to: [[-1, 2, 3]]) == [[-1, 2, 5]])
  }

  @Test("takes the center between levels where none is one half, and other levels between its own")
  func otherLevels() {
    let found = Self.correction([0.2, 0.8], [0, 4], [2, 3, 1, 6, -2, 2, 4, 0, 5, 2])
    // Distances from 2 over 2: 0, 0, 0, 0.5, 0.5, 1, 1, 1.5, 2, 2; the ⌈11 · 0.6⌉-th is 1.
    #expect(found.factors == [[1, 1]])
    var three = Self.correction(
      [0.1, 0.5, 0.9], [8, 10, 14], [10, 18, 10, 18, 10, 18, 10, 18, 18])
    #expect(three.factors == [[2, 1, 2]])
    three = three.at([0.05, 0.1, 0.3, 0.5, 0.7, 0.95])
    for (factor, expected) in zip(three.factors[0], [2, 2, 1.5, 1, 1.5, 2]) {
      #expect(abs(factor - expected) < 1e-12)
    }
    #expect(three.fits(horizon: 1, levels: [0.05, 0.1, 0.3, 0.5, 0.7, 0.95]))
  }

  @Test("keeps its bits in JSON, and tells one of other sizes")
  func stored() throws {
    let found = Self.correction(
      Self.levels, [1, 4, 5, 6, 9], (0..<30).map { 5 + sin(Double($0)) * 3 })
    let data = try JSONEncoder().encode(found)
    #expect(try JSONDecoder().decode(ConformalCorrection.self, from: data) == found)
    #expect(found.fits(horizon: 1, levels: Self.levels))
    #expect(!found.fits(horizon: 2, levels: Self.levels))
    #expect(!found.fits(horizon: 1, levels: [0.1, 0.5, 0.9]))
  }
}
