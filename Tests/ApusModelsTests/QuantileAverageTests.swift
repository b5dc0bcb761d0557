import ApusModels
import ApusTestSupport
import Testing

@Suite("Mean of quantiles")
struct QuantileAverageTests {
  @Test("is that of each level at each step")
  func values() {
    let mean = averageQuantiles(
      [[[0, 1, 4], [2, 2, 2]], [[2, 5, 6], [-2, 0, 2]]], weights: [0.25, 0.75])
    #expect(mean == [[1.5, 4, 5.5], [-1, 0.5, 2]])
    // Of one member it is its own, to the bit.
    let own = [[0.1, 0.2, -0.0]]
    #expect(averageQuantiles([own], weights: [1])[0].map(\.bitPattern) == own[0].map(\.bitPattern))
  }

  @Test("never crosses where no member does", arguments: 0..<100)
  func order(seed: Int) {
    var generator = SplitMix(state: UInt64(seed))
    let members = (0..<3).map { _ in [(0..<9).map { _ in generator.normal() }.sorted()] }
    let mean = averageQuantiles(members, weights: [0.5, 0.2, 0.3])[0]
    #expect(zip(mean, mean.dropFirst()).allSatisfy { $0 <= $1 + 1e-12 })
  }
}
