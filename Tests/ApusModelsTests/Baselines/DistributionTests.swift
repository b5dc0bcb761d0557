import ApusModels
import Testing

@Suite("Distributions")
struct DistributionTests {
  struct Fixture: Decodable {
    let logGamma, beta, normal, normalQuantile, t, tQuantile: [[Double]]
    enum CodingKeys: String, CodingKey {
      case logGamma = "log_gamma"
      case beta, normal, t
      case normalQuantile = "normal_quantile"
      case tQuantile = "t_quantile"
    }
  }
  let golden: Fixture

  init() throws { golden = try fixture("distributions", as: Fixture.self) }

  /// Relative to the larger of the value and `floor`.
  func isClose(_ found: Double, _ expected: Double, floor: Double = 1e-300) -> Bool {
    abs(found - expected) <= 1e-10 * max(abs(expected), floor)
  }

  @Test("agree with forty digits of mpmath")
  func agree() {
    for row in golden.logGamma {
      #expect(isClose(logGamma(row[0]), row[1], floor: 1e-2), "log-gamma \(row)")
    }
    for row in golden.beta {
      #expect(isClose(regularizedBeta(row[0], row[1], row[2]), row[3]), "beta \(row)")
    }
    for row in golden.normal { #expect(isClose(Normal.cumulative(row[0]), row[1]), "\(row)") }
    for row in golden.normalQuantile {
      #expect(isClose(Normal.quantile(row[0]), row[1]), "normal quantile \(row)")
    }
    for row in golden.t {
      let found = StudentT(degreesOfFreedom: row[1]).cumulative(row[0])
      #expect(isClose(found, row[2]), "t \(row) \(found)")
    }
    for row in golden.tQuantile {
      let found = StudentT(degreesOfFreedom: row[1]).quantile(row[0])
      #expect(isClose(found, row[2]), "t quantile \(row) \(found)")
    }
  }

  @Test("know their edges")
  func edges() {
    #expect(logGamma(0) == .infinity && logGamma(-1).isNaN)
    #expect(Normal.quantile(0) == -.infinity && Normal.quantile(1) == .infinity)
    #expect(Normal.quantile(0.5).magnitude < 1e-15 && Normal.quantile(-0.1).isNaN)
    let t = StudentT(degreesOfFreedom: 4)
    #expect(t.quantile(0.5) == 0 && t.quantile(1) == .infinity && t.quantile(.nan).isNaN)
    #expect(t.cumulative(.infinity) == 1 && t.cumulative(-.infinity) == 0)
    #expect(StudentT(degreesOfFreedom: .infinity).cumulative(1) == Normal.cumulative(1))
    let found: Double = inverseRegularizedBeta(regularizedBeta(0.3, 5, 9), 5, 9)
    #expect(abs(found - 0.3) < 1e-12)
  }

  @Test("rank a sample as definition 7 says")
  func empirical() {
    #expect(quantile(ofSorted: [1, 2, 4], at: 0.25) == 1.5)
    #expect(quantile(ofSorted: [1, 2, 4], at: 0.9) == 2 + 0.8 * 2)
    #expect(quantile(ofSorted: [7], at: 0.1) == 7)
    #expect(quantile(ofSorted: [], at: 0.1).isNaN)
  }
}
