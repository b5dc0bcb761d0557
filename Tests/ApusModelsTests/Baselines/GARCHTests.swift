import ApusModels
import Foundation
import Testing

@Suite("GARCH")
struct GARCHTests {
  struct Fixture: Decodable {
    struct Fit: Decodable {
      let mu, omega, alpha, gamma, beta, nu: Double
      let logLikelihood: Double
      let varianceAhead: [Double]
      enum CodingKeys: String, CodingKey {
        case mu, omega, alpha, gamma, beta, nu
        case logLikelihood = "log_likelihood"
        case varianceAhead = "variance_ahead"
      }
    }
    let ticks: [Int]
    let garch, gjr, egarch: Fit
  }

  @Test(
    "finds the maximum that Python's arch finds",
    arguments: [
      GARCH.Dynamics.symmetric, .leverage, .exponential,
    ])
  func agreesWithArch(dynamics: GARCH.Dynamics) throws {
    let golden = try fixture("garch", as: Fixture.self)
    let expected =
      switch dynamics {
      case .symmetric: golden.garch
      case .leverage: golden.gjr
      case .exponential: golden.egarch
      }
    let returns = golden.ticks.map { Double($0) / 1e4 }
    var rule = GARCH(dynamics)
    let task = ForecastTask(horizon: 5, levels: [0.05, 0.5])
    try rule.learn(returns, task: task)

    let p = rule.parameters
    // arch stops where its gradient is small; ours may stand a little higher, never lower.
    #expect(rule.logLikelihood > expected.logLikelihood - 1e-4)
    #expect(rule.logLikelihood < expected.logLikelihood + 1e-2)
    #expect(abs(p.mean - expected.mu) < 1e-3)
    #expect(abs(p.omega - expected.omega) < 2e-3)
    #expect(abs(p.alpha - expected.alpha) < 3e-3)
    #expect(abs(p.gamma - expected.gamma) < 3e-3)
    #expect(abs(p.beta - expected.beta) < 3e-3)
    #expect(abs(p.degreesOfFreedom - expected.nu) < 0.05)

    let forecast = try #require(
      rule.predict(returns, origins: [returns.count], task: task).first)
    let t = StudentT(degreesOfFreedom: p.degreesOfFreedom)
    let unit = t.quantile(0.05) * ((p.degreesOfFreedom - 2) / p.degreesOfFreedom).squareRoot()
    for (step, variance) in expected.varianceAhead.enumerated() {
      let found = pow((forecast.quantiles[step][0] - p.mean) / unit, 2)
      #expect(abs(found - variance) < 5e-3 * variance, "step \(step + 1)")
      #expect(abs(forecast.quantiles[step][1] - p.mean) < 1e-12)
    }
  }

  @Test("adds variances up for a level")
  func level() throws {
    let returns = clusteredReturns(800, seed: 3)
    var sum = 0.0
    let level = returns.map { value in
      sum += value
      return sum
    }
    var (ofReturns, ofLevel) = (Baseline.garch, Baseline.garch)
    let levels = [0.1, 0.5, 0.9]
    let task = ForecastTask(horizon: 3, levels: levels)
    let cumulated = ForecastTask(horizon: 3, levels: levels, measure: .level)
    // The level starts one value earlier, so that its first difference is the first return.
    try ofReturns.fit(returns, task: task)
    try ofLevel.fit([0] + level, task: cumulated)
    let single = try ofReturns.forecast(returns[...], task: task)
    let path = try ofLevel.forecast(([0] + level)[...], task: cumulated)
    func width(_ row: [Double]) -> Double { row[2] - row[0] }
    var squares = 0.0
    for step in 0..<3 {
      squares += width(single[step]) * width(single[step])
      #expect(abs(width(path[step]) / squares.squareRoot() - 1) < 1e-3)
    }
  }
}
