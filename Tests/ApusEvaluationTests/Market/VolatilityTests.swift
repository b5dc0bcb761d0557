import ApusData
import ApusTestSupport
import Foundation
import Testing

import ApusEvaluation

@Suite("Volatility benchmark")
struct VolatilityTests {
  /// Variances whose logarithm follows that of the day, week and month, and falls of a price.
  private static func series(_ count: Int, leverage: Double = 0) -> (TimeSeries, [Double]) {
    var generator = SplitMix(state: 9)
    var (logs, price, prices) = ([Double](repeating: -9, count: 22), 100.0, [Double]())
    for _ in 0..<count {
      let (day, week) = (logs[logs.count - 1], logs.suffix(5).reduce(0, +) / 5)
      let month = logs.suffix(22).reduce(0, +) / 22
      let deviation = exp(day / 2)
      let change = deviation * generator.normal()
      price *= exp(change)
      prices.append(price)
      logs.append(
        -0.9 + 0.35 * day + 0.35 * week + 0.2 * month - leverage * min(change, 0) / deviation
          + 0.4 * generator.normal())
    }
    // The price moves within the day whose variance is known; the next day's follows from it.
    let values = logs[21..<21 + count].map { exp($0) }
    let times = (0..<count).map { Timestamp(secondsSinceEpoch: Int64($0) * 86_400) }
    return (TimeSeries(id: "rv", timestamps: times, values: values), prices)
  }

  @Test("a regression whose rows come and go is that of its rows")
  func regression() throws {
    var generator = SplitMix(state: 2)
    let rows = (0..<60).map { _ in [generator.normal(), generator.normal()] }
    let outputs = rows.map { 3 + 2 * $0[0] - $0[1] + 0.1 * generator.normal() }
    var (all, late) = (MomentRegression(inputs: 2), MomentRegression(inputs: 2))
    for (x, y) in zip(rows, outputs) { all.add(x, y) }
    for (x, y) in zip(rows.prefix(20), outputs) { all.remove(x, y) }
    for (x, y) in zip(rows.dropFirst(20), outputs.dropFirst(20)) { late.add(x, y) }
    let (one, other) = (try #require(all.solved()), try #require(late.solved()))
    for (a, b) in zip(one.weights, other.weights) { #expect(abs(a - b) < 1e-10) }
    #expect(abs(one.weights[0] - 3) < 0.1 && abs(one.weights[1] - 2) < 0.1)
    let errors = zip(rows, outputs).dropFirst(20).map { x, y in
      y - other.weights[0] - other.weights[1] * x[0] - other.weights[2] * x[1]
    }
    let variance = errors.reduce(0) { $0 + $1 * $1 } / 37
    #expect(abs(other.variance - variance) < 1e-10)
  }

  @Test("the regression in logarithms wins where it is true, and with leverage where that is")
  func order() throws {
    let (series, prices) = Self.series(1_500, leverage: 0.5)
    var options = VolatilityOptions()
    options.horizons = [1, 5]
    let report = try VolatilityBenchmark(series, price: prices, options: options).report()
    for horizon in [1, 5] {
      let scores = report.scores.filter { $0.horizon == horizon }
      #expect(scores[0].model == "log-har-leverage", "\(scores)")
      #expect(scores.count == 5 && scores[0].isInBestSet)
      #expect(scores.map(\.qlike) == scores.map(\.qlike).sorted())
      let naive = try #require(scores.first { $0.model == "naive" })
      #expect(naive.pValue == nil && !naive.isInBestSet)
      let (best, last) = (
        try #require(scores[0].mincerZarnowitz), try #require(naive.mincerZarnowitz)
      )
      #expect(abs(best.slope - 1) < abs(last.slope - 1) && best.rSquared > last.rSquared)
    }
  }

  @Test("the last variance, by hand")
  func naive() throws {
    let (series, _) = Self.series(400)
    var options = VolatilityOptions()
    (options.horizons, options.fitRows) = ([1], 100)
    options.from = series.timestamps[300]
    let report = try VolatilityBenchmark(series, options: options).report()
    let score = try #require(report.scores.first { $0.model == "naive" })
    let losses = (300..<400).map { row -> Double in
      let ratio = series.values[row] / series.values[row - 1]
      return ratio - log(ratio) - 1
    }
    #expect(score.count == 100 && abs(score.qlike - losses.reduce(0, +) / 100) < 1e-12)
    #expect(report.first == series.timestamps[300] && report.last == series.timestamps[399])
  }

  @Test("what comes later changes no forecast before it")
  func causality() throws {
    let (series, prices) = Self.series(500)
    var changed = series
    for row in 450..<500 { changed.values[row] *= Double(row % 7 + 2) }
    var options = VolatilityOptions()
    options.horizons = [1]
    let one = try VolatilityBenchmark(
      series.slice(0..<450), price: Array(prices[..<450]), options: options
    ).report()
    let other = try VolatilityBenchmark(
      changed.slice(0..<450), price: Array(prices[..<450]), options: options
    ).report()
    #expect(one.scores == other.scores)
  }

  @Test("what is no variance, and too few rows, are told")
  func errors() throws {
    let (series, _) = Self.series(120)
    var negative = series
    for row in 0..<10 { negative.values[row] = -1 }
    #expect(throws: VolatilityError.notPositive(series: "rv", found: 10, rows: 120)) {
      try VolatilityBenchmark(negative)
    }
    var options = VolatilityOptions()
    (options.horizons, options.fitRows) = ([1], 500)
    #expect(throws: VolatilityError.nothingJudged(series: "rv", rows: 120, horizon: 1)) {
      try VolatilityBenchmark(series, options: options).report()
    }
    #expect(throws: VolatilityError.noPrice(asked: "close", known: [])) {
      try VolatilityReport(SeriesTable([series]), price: "close", options: VolatilityOptions())
    }
  }
}
