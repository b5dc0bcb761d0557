import ApusEvaluation
import Foundation
import Testing

@Suite("Checks of residuals")
struct ResidualChecksTests {
  private func points(_ values: [Double]) -> [SeriesPoint] {
    values.enumerated().map { SeriesPoint(time: Double($0), value: $1) }
  }

  @Test("the chi-squared distribution has its published quantiles, and stays a probability")
  func chiSquared() {
    // Abramowitz and Stegun, table 26.8: the values that are exceeded with these probabilities.
    for (value, degrees, tail) in [
      (3.84146, 1, 0.05), (5.99146, 2, 0.05), (7.81473, 3, 0.05), (18.3070, 10, 0.05),
      (23.2093, 10, 0.01), (24.9958, 15, 0.05), (63.6907, 40, 0.01), (0.0157908, 1, 0.9),
    ] { expectNear(ChiSquared.upperTail(value, degrees: degrees), tail, within: 1e-6) }
    // With two degrees of freedom it is exponential.
    expectNear(ChiSquared.upperTail(7, degrees: 2), exp(-3.5), within: 1e-15)
    #expect(ChiSquared.upperTail(0, degrees: 3) == 1)
    #expect(ChiSquared.upperTail(1e6, degrees: 7) == 0)
    #expect(ChiSquared.upperTail(300, degrees: 300) > 0.4)
    #expect(
      ChiSquared.upperTail(.nan, degrees: 3).isNaN && ChiSquared.upperTail(1, degrees: 0).isNaN)
  }

  @Test("Ljung and Box's statistic, bias and spread are those worked by hand")
  func byHand() throws {
    // Alternating errors around 1: r_1 = -9/10, r_2 = 8/10 of ten values.
    let found = try ResidualChecks(
      name: "ets", errors: points([3, -1, 3, -1, 3, -1, 3, -1, 3, -1]))
    let correlation = try #require(found.autocorrelation)
    expectNear(correlation.correlations[0], -0.9, within: 1e-12)
    expectNear(correlation.correlations[1], 0.8, within: 1e-12)
    #expect(correlation.correlations.count == 2)
    expectNear(correlation.statistic, 10 * 12 * (0.81 / 9 + 0.64 / 8), within: 1e-9)
    expectNear(correlation.pValue, exp(-correlation.statistic / 2), within: 1e-12)
    expectNear(found.bias.mean, 1, within: 1e-12)
    expectNear(found.meanAbsolute, 2, within: 1e-12)
    // Lags ⌈4 · 0.1^(2/9)⌉ = 3: g = 4, -3.6, 3.2, -2.8, so V = 4 + 2 (-2.7 + 1.6 - 0.7) = 0.4.
    let error = (0.4 / 10).squareRoot()
    expectNear(found.bias.interval.upperBound - 1, 2.2621572 * error, within: 1e-6)
    #expect(found.bias.pValue < 0.001)
    // Three of the first third are 3, 1, 3; three of the last 1, 3, 1.
    expectNear(found.spread.first, 7.0 / 3, within: 1e-12)
    expectNear(found.spread.last, 5.0 / 3, within: 1e-12)
  }

  @Test("errors without structure pass in about 19 of 20 series, others are found")
  func power() throws {
    var draw = Draw(state: 3)
    var rejected = (bias: 0, dependence: 0, spread: 0)
    for _ in 0..<400 {
      let checks = try ResidualChecks(
        name: "a", errors: points((0..<120).map { _ in draw.normal() }))
      if checks.bias.pValue < 0.05 { rejected.bias += 1 }
      if checks.autocorrelation?.pValue ?? 1 < 0.05 { rejected.dependence += 1 }
      if checks.spread.pValue < 0.05 { rejected.spread += 1 }
    }
    // Two standard deviations of 400 draws at 5 percent are 9; Newey and West's tests reject a little more.
    #expect((8...40).contains(rejected.bias), "\(rejected)")
    #expect((8...32).contains(rejected.dependence), "\(rejected)")
    #expect((8...44).contains(rejected.spread), "\(rejected)")
    var last = 0.0
    let moved = (0..<300).map { row -> Double in
      last = 0.5 * last + draw.normal()
      return (0.4 + last) * (1 + Double(row) / 100)
    }
    let checks = try ResidualChecks(name: "ols", errors: points(moved))
    #expect(checks.bias.pValue < 0.05 && checks.spread.pValue < 0.001)
    #expect((checks.autocorrelation?.pValue ?? 1) < 0.001)
    let text = checks.sentences(ofMany: false).joined(separator: " ")
    #expect(text.contains("Forecasts are too low: ") && text.contains("Errors grow: "))
    #expect(text.contains("p < 0.001): something is left to learn."))
  }

  @Test("seasons set the lags, constant errors have none, and nine are too few")
  func edges() throws {
    let wave = (0..<200).map { sin(2 * .pi * Double($0) / 12) }
    #expect(
      try ResidualChecks(name: "a", errors: points(wave), season: 12).autocorrelation?
        .correlations.count == 24)
    let flat = try ResidualChecks(
      name: "a", errors: points(Array(repeating: 0, count: 12) + [.nan]))
    #expect(flat.count == 12 && flat.autocorrelation == nil)
    #expect(flat.bias.pValue == 1 && flat.spread.pValue == 1)
    #expect(flat.sentences(ofMany: true)[0].contains("12 dates"))
    let still = try ResidualChecks(name: "a", errors: points(Array(repeating: 2, count: 20)))
    #expect(still.bias.pValue == 0 && still.spread.pValue == 1)
    #expect(throws: MetricError.self) {
      try ResidualChecks(name: "a", errors: points(Array(repeating: 1, count: 9)))
    }
  }
}

/// Whether two numbers are as near as asked.
func expectNear(
  _ found: Double, _ expected: Double, within tolerance: Double,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(
    abs(found - expected) <= tolerance, "\(found), expected \(expected)",
    sourceLocation: sourceLocation)
}
