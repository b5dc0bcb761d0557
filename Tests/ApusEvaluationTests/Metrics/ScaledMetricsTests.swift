import ApusEvaluation
import Foundation
import Testing

@Suite("Scaled metrics")
struct ScaledMetricsTests {
  /// Changes of 2, -1, 4: their mean size is 7/3, their mean square 7.
  let training: [Double] = [1, 3, 2, 6]

  @Test("RMSSE: the example worked by hand")
  func rmsse() throws {
    // Errors 1 and -2: mean square 5/2.
    let found = try Metrics.rmsse([5, 8], forecasts: [4, 10], training: training)
    #expect(isClose(found, (2.5 / 7).squareRoot()))
    // Over two steps the changes are 1 and 3: mean square 5.
    let season = try Metrics.rmsse(
      [5, 8], forecasts: [4, 10], training: training, seasonLength: 2)
    #expect(isClose(season, 0.5.squareRoot()))
  }

  @Test("scaled quantile loss: the example worked by hand, and MASE for the median")
  func scaledQuantileLoss() throws {
    // 5 against 4, 5, 8 loses 0.1, 0, 0.3; 1 against 1, 1, 1 nothing: mean 0.4 / 6.
    let found = try Metrics.scaledQuantileLoss(
      [5, 1], quantiles: [[4, 5, 8], [1, 1, 1]], levels: [0.1, 0.5, 0.9], training: training)
    #expect(isClose(found, 2 * (0.4 / 6) / (7.0 / 3)))
    let median = try Metrics.scaledQuantileLoss(
      [5, 8], quantiles: [[4], [10]], levels: [0.5], training: training)
    #expect(isClose(median, try Metrics.mase([5, 8], forecasts: [4, 10], training: training)))
  }

  @Test("MSIS: the example worked by hand")
  func msis() throws {
    // 4...6 holds 5 and costs 2; 9...10 misses 8 by 1 and costs 1 + 20.
    let found = try Metrics.msis(
      [5, 8], lower: [4, 9], upper: [6, 10], confidence: 0.9, training: training)
    #expect(isClose(found, 11.5 / (7.0 / 3)))
    let missing = try Metrics.msis([.nan], lower: [1], upper: [2], training: training)
    #expect(missing.isNaN)
    #expect(throws: MetricError.self) {
      try Metrics.msis([1], lower: [1], upper: [2], confidence: 1, training: training)
    }
  }

  @Test("OWA: the example worked by hand")
  func owa() throws {
    #expect(isClose(try Metrics.owa(smape: 12, mase: 0.8, benchmark: (10, 1)), 1))
    #expect(throws: MetricError.self) { try Metrics.owa(smape: 1, mase: 1, benchmark: (0, 1)) }
  }

  @Test("need a season that changes and fits in")
  func edges() {
    #expect(throws: MetricError.self) {
      try Metrics.rmsse([1], forecasts: [1], training: [2, 2, 2])
    }
    #expect(throws: MetricError.self) {
      try Metrics.rmsse([1], forecasts: [1], training: [2, 3], seasonLength: 2)
    }
    #expect(throws: MetricError.self) {
      try Metrics.scaledQuantileLoss([1], quantiles: [[1]], levels: [0.5], training: [])
    }
  }
}
