import ApusEvaluation
import ApusTestSupport
import Foundation
import Testing

@Suite("Diebold-Mariano")
struct DieboldMarianoTests {
  @Test("equals the example worked by hand")
  func byHand() throws {
    // d = 1, -1, 2, 0: mean 1/2, deviations ½, -3/2, 3/2, -½. T = 4 asks for q = 2 lags:
    // g0 = 5/4, g1 = (-3/4 - 9/4 - 3/4)/4 = -15/16, g2 = (3/4 + 3/4)/4 = 3/8.
    // V = 5/4 - 2 (2/3) 15/16 + 2 (1/3) 3/8 = 1/4. HLN for h = 1: √(3/4).
    let test = try DieboldMariano([1, 0, 2, 1], [0, 1, 0, 1])
    #expect(test.lags == 2 && test.count == 4)
    #expect(isClose(test.meanDifference, 0.5))
    let statistic = 0.5 / (0.25 / 4).squareRoot() * 0.75.squareRoot()
    #expect(isClose(test.statistic, statistic))
    // Student t with 3 degrees of freedom at √3: tail 1/6 - √3/(2π) · ½ ... in closed form:
    // F(x) = ½ + (atan(u) + u/(1 + u²)) / π with u = x/√3 = 1.
    let tail = 0.5 - (Double.pi / 4 + 0.5) / Double.pi
    #expect(isClose(test.pValue, 2 * tail) && isClose(test.pValueSecondBetter, tail))
    let swapped = try DieboldMariano([0, 1, 0, 1], [1, 0, 2, 1])
    #expect(isClose(swapped.statistic, -statistic) && isClose(swapped.pValueSecondBetter, 1 - tail))
  }

  @Test("knows ties, certainty and too little")
  func edges() throws {
    #expect(try DieboldMariano([1, 2, 3], [1, 2, 3]).pValue == 1)
    #expect(try DieboldMariano([2, 2, 2], [1, 1, 1]).pValueSecondBetter == 0)
    #expect(throws: MetricError.self) { try DieboldMariano([1, 2], [1, 2]) }
    #expect(throws: MetricError.self) {
      try DieboldMariano([1, 2, 3, 4], [2, 1, 1, 1], horizon: 4)
    }
    #expect(throws: MetricError.self) { try DieboldMariano([1, 2, .nan], [1, 1, 1]) }
  }

  @Test(
    "rejects a true hypothesis about as often as it says", arguments: [(1, 30...80), (5, 30...115)])
  func size(horizon: Int, expected: ClosedRange<Int>) throws {
    var generator = SplitMix(state: 99)
    var rejections = 0
    for _ in 0..<1000 {
      let noise = (0..<(400 + horizon)).map { _ in generator.normal() }
      // Sums of `horizon` neighbors overlap as forecasts over a horizon do; the test is known to
      // reject too often then, which is why a recommendation wants more than this test.
      let losses = (0..<400).map { noise[$0..<($0 + horizon)].reduce(0, +) }
      let zeros = losses.map { _ in 0.0 }
      let test = try DieboldMariano(losses, zeros, horizon: horizon)
      if test.pValue < 0.05 { rejections += 1 }
    }
    #expect(expected.contains(rejections), "\(rejections) of 1000")
  }

  @Test("Holm: the example worked by hand")
  func holmByHand() {
    let found = holm([0.01, 0.04, 0.03, 0.2])
    for (a, b) in zip(found, [0.04, 0.09, 0.09, 0.2]) { #expect(isClose(a, b)) }
    #expect(holm([]).isEmpty && holm([0.7, 0.9]) == [1, 1])
    let withFailure = holm([.nan, 0.02])
    #expect(withFailure[0].isNaN && withFailure[1] == 0.04)
  }
}

@Suite("Block bootstrap")
struct BlockBootstrapTests {
  @Test(
    "covers the mean of dependent values", arguments: [BlockBootstrap.Form.moving, .stationary])
  func coverage(form: BlockBootstrap.Form) throws {
    var generator = SplitMix(state: 4)
    let bootstrap = BlockBootstrap(form: form, blockLength: 20, resamples: 400)
    var (covered, plain) = (0, 0)
    for _ in 0..<200 {
      var state = 0.0
      let values = (0..<500).map { _ in
        state = 0.5 * state + generator.normal()
        return state
      }
      if try bootstrap.meanInterval(of: values, using: &generator).contains(0) { covered += 1 }
      let single = BlockBootstrap(form: form, blockLength: 1, resamples: 400)
      if try single.meanInterval(of: values, using: &generator).contains(0) { plain += 1 }
    }
    #expect((176...198).contains(covered), "\(covered) of 200")
    #expect(plain < 166, "drawing single values should be too sure of itself: \(plain)")
  }

  @Test("gives the same interval for the same seed, and knows its edges")
  func edges() throws {
    let bootstrap = BlockBootstrap()
    var (first, second) = (SplitMix(state: 1), SplitMix(state: 1))
    let values = (0..<50).map { sin(Double($0)) }
    #expect(
      try bootstrap.meanInterval(of: values, using: &first)
        == bootstrap.meanInterval(of: values, using: &second))
    #expect(try bootstrap.meanInterval(of: [3, 3, 3], using: &first) == 3...3)
    // Losses of exactly 3/4 of the benchmark have a skill of 1/4 in every resample.
    let skill = try bootstrap.skillInterval(
      losses: [3, 6, 12], benchmark: [4, 8, 16], using: &first)
    #expect(skill == 0.25...0.25)
    // A benchmark without loss in most resamples leaves nothing to divide by, and is no trap.
    let perfect = try bootstrap.skillInterval(
      losses: [1, 1, 1, 1], benchmark: [0, 0, 0, 1e-300], using: &first)
    #expect(perfect.lowerBound == -.infinity && perfect.upperBound < -1e299)
    #expect(throws: MetricError.self) { try bootstrap.meanInterval(of: [1], using: &first) }
    #expect(throws: MetricError.self) { try bootstrap.meanInterval(of: [1, .nan], using: &first) }
  }
}
