import ApusEvaluation
import Foundation
import Testing

/// Whether two numbers agree to eleven digits.
func isClose(_ found: Double, _ expected: Double) -> Bool {
  abs(found - expected) <= 1e-11 * max(1, abs(expected))
}

@Suite("Quantile metrics")
struct QuantileMetricsTests {
  let levels = [0.1, 0.5, 0.9]

  @Test("pinball: the example worked by hand")
  func pinball() throws {
    // 5 against 4, 5, 8: 0.1 · 1, 0, 0.1 · 3.
    let found = try Metrics.pinball(5, quantiles: [4, 5, 8], levels: levels)
    #expect(isClose(found, 0.4 / 3))
    let all = try Metrics.pinball(
      [5, 1], quantiles: [[4, 5, 8], [1, 1, 1]], levels: levels)
    #expect(isClose(all, 0.2 / 3))
    #expect(isClose(Metrics.pinball(3, quantile: 5, level: 0.9), 0.2))
  }

  @Test("weighted quantile loss: the example worked by hand")
  func weighted() throws {
    // Losses of the two values: 0.4 and 0; 2 · 0.4 / (3 levels · (5 + 1)).
    let found = try Metrics.weightedQuantileLoss(
      [5, -1], quantiles: [[4, 5, 8], [-1, -1, -1]], levels: levels)
    #expect(isClose(found, 0.8 / 18))
    #expect(throws: MetricError.self) {
      try Metrics.weightedQuantileLoss([0], quantiles: [[0, 0, 0]], levels: levels)
    }
  }

  @Test("CRPS from draws: the example worked by hand")
  func crpsFromSamples() throws {
    // |x - y| = 1, 0, 2: mean 1. Pairs 1, 3, 2, each twice, over 2 · 3 · 2: 1.
    #expect(isClose(try Metrics.crps(1, samples: [3, 0, 1]), 0))
    // |x - y| = 4, 1, 3, 5 against 1, 6, 2: mean 8/3; pairs 5, 1, 4, twice, over 12: 5/3.
    #expect(isClose(try Metrics.crps(5, samples: [1, 6, 2]), 1))
    #expect(throws: MetricError.self) { try Metrics.crps(1, samples: [1]) }
  }

  @Test("Gaussian CRPS: at the mean it is (√2 - 1) / √π deviations")
  func gaussianCRPS() throws {
    let expected = 3 * (2.0.squareRoot() - 1) / Double.pi.squareRoot()
    #expect(isClose(try Metrics.gaussianCRPS(2, mean: 2, deviation: 3), expected))
    #expect(try Metrics.gaussianCRPS(2, mean: 5, deviation: 0) == 3)
    #expect(throws: MetricError.self) { try Metrics.gaussianCRPS(2, mean: 5, deviation: -1) }
  }

  @Test("the forms of the CRPS agree on a normal distribution")
  func forms() throws {
    let levels = (0..<2000).map { (Double($0) + 0.5) / 2000 }
    // Quantiles of a logistic distribution have a closed form; its CRPS at 0 is 2 ln 2 - 1.
    let quantiles = levels.map { log($0 / (1 - $0)) }
    let found = try Metrics.crps(0, quantiles: quantiles, levels: levels)
    #expect(abs(found - (2 * log(2.0) - 1)) < 1e-3)
    #expect(abs(try Metrics.crps(0, samples: quantiles) - found) < 2e-3)
  }

  @Test("PIT: the example worked by hand")
  func pit() throws {
    // Below all: 0.05. Between 4 and 5, a half: 0.3. On two equal quantiles: 0.7. Above all: 0.95.
    let counts = try Metrics.pitHistogram(
      [0, 4.5, 5, 99], quantiles: [[4, 5, 8], [4, 5, 8], [4, 5, 5], [4, 5, 8]], levels: levels,
      bins: 5)
    #expect(counts == [1, 1, 0, 1, 1])
  }

  @Test("refuse what does not belong together")
  func mismatch() {
    #expect(throws: MetricError.lengthMismatch(metric: "Pinball loss", found: 2, expected: 3)) {
      try Metrics.pinball(1, quantiles: [1, 2], levels: levels)
    }
    #expect(throws: MetricError.tooFew(metric: "MAE", found: 0, needed: 1)) {
      try Metrics.mae([], forecasts: [])
    }
  }
}

@Suite("Point metrics")
struct PointMetricsTests {
  let values = [1.0, 2, 4], forecasts = [2.0, 2, 1]

  @Test("equal the examples worked by hand")
  func byHand() throws {
    #expect(isClose(try Metrics.mae(values, forecasts: forecasts), 4.0 / 3))
    #expect(isClose(try Metrics.mse(values, forecasts: forecasts), 10.0 / 3))
    #expect(isClose(try Metrics.rmse(values, forecasts: forecasts), (10.0 / 3).squareRoot()))
    // Training changes of season 2: 1, 3, 2, mean 2; one-step changes: 2, 1, 2, 4, mean 9/4.
    let training: [Double] = [1, 3, 2, 0, 4]
    let season = try Metrics.mase(values, forecasts: forecasts, training: training, seasonLength: 2)
    #expect(isClose(season, 4.0 / 6))
    let step = try Metrics.mase(values, forecasts: forecasts, training: training)
    #expect(isClose(step, 16.0 / 27))
    // 200/3 (1/3 + 0 + 3/5).
    #expect(isClose(try Metrics.smape(values, forecasts: forecasts), 200.0 / 3 * 14 / 15))
    #expect(try Metrics.smape([0], forecasts: [0]) == 0)
    // RV/h = 1/2, 1, 4: 1/2 + ln 2 - 1, 0, 4 - ln 4 - 1.
    let qlike = (log(2.0) - 0.5 + 3 - log(4.0)) / 3
    #expect(isClose(try Metrics.qlike(values, forecasts: forecasts), qlike))
    // Errors 10 against zeros' 21.
    let r2 = try Metrics.outOfSampleR2(values, forecasts: forecasts, benchmark: [0, 0, 0])
    #expect(isClose(r2, 1 - 10.0 / 21))
  }

  @Test("throw where they are not defined")
  func undefined() {
    #expect(throws: MetricError.self) { try Metrics.qlike([1], forecasts: [0]) }
    #expect(throws: MetricError.self) { try Metrics.qlike([0], forecasts: [1]) }
    #expect(throws: MetricError.self) {
      try Metrics.mase([1], forecasts: [1], training: [2, 2, 2])
    }
    #expect(throws: MetricError.self) {
      try Metrics.mase([1], forecasts: [1], training: [2, 3], seasonLength: 2)
    }
    #expect(throws: MetricError.self) {
      try Metrics.outOfSampleR2([1], forecasts: [0], benchmark: [1])
    }
  }
}

@Suite("Shares and their bands")
struct ProportionTests {
  @Test("equal the examples worked by hand")
  func byHand() throws {
    let share = try Proportion(successes: 8, of: 10)
    // Wilson at 95 %, 8 of 10: 0.4901 to 0.9433.
    let interval = share.interval()
    #expect(abs(interval.lowerBound - 0.490162) < 1e-6)
    #expect(abs(interval.upperBound - 0.943318) < 1e-6)
    // Exact: 2 (45 + 10 + 1) / 1024.
    #expect(isClose(share.pValue(), 112.0 / 1024))
    #expect(isClose(try Proportion(successes: 0, of: 4).pValue(), 2.0 / 16))
    #expect(try Proportion(successes: 2, of: 4).pValue() == 1)
    // 252 days: 0.5 ± 1.96 · 0.5 / √252 = ± 0.0617.
    let year = try Proportion(successes: 130, of: 252).band(around: 0.5)
    #expect(abs(year.upperBound - 0.561733) < 1e-5)
    #expect(throws: MetricError.self) { try Proportion(successes: 0, of: 0) }
    #expect(throws: MetricError.self) { try Proportion(successes: 3, of: 2) }
  }

  @Test("count what lies inside and the right signs")
  func counts() throws {
    let inside = try Metrics.coverage([1, 2, 3, 4], lower: [0, 2, 4, 0], upper: [2, 3, 5, 3])
    #expect(inside.successes == 2 && inside.count == 4)
    let byLevel = try Metrics.coverage(
      [1, 2], quantiles: [[0, 1], [3, 4]], levels: [0.2, 0.8])
    #expect(byLevel.map(\.successes) == [1, 2])
    // A value of 0 has no direction; a forecast of 0 misses.
    let direction = try Metrics.direction([1, -1, 0, 2, -3], forecasts: [1e-300, -2, 5, 0, 1])
    #expect(direction.successes == 2 && direction.count == 4)
    #expect(throws: MetricError.self) { try Metrics.direction([0], forecasts: [1]) }
  }
}
