import ApusModels
import ApusTestSupport
import Foundation
import Testing

@Suite("Linear map")
struct LinearMapTests {
  @Test("finds the recursion that made the series", arguments: [true, false])
  func exact(isRelative: Bool) throws {
    // y_t = y_{t-1} - y_{t-2} + 2 runs through a cycle of six around 2.
    var series = [1.0, 5]
    while series.count < 120 {
      series.append(series[series.count - 1] - series[series.count - 2] + 2)
    }
    let task = ForecastTask(horizon: 4, levels: [0.1, 0.9], measure: .level)
    var rule = LinearMap(lookback: 7, isRelative: isRelative)
    try rule.learn(Array(series[..<100]), task: task)
    #expect(rule.ridge == 0)
    for forecast in try rule.predict(series, origins: [100, 103, 111], task: task).enumerated() {
      let origin = [100, 103, 111][forecast.offset]
      for step in 0..<4 {
        #expect(abs(forecast.element.mean[step] - series[origin + step]) < 1e-8)
        #expect(abs(forecast.element.quantiles[step][1] - series[origin + step]) < 1e-8)
      }
    }
  }

  @Test("equals the regression worked by hand")
  func byHand() throws {
    // One input, one output, no ridge: the slope of y_{t+1} on y_t.
    let series: [Double] = [1, 3, 2, 5, 4, 4, 7, 5, 6, 8, 9, 7, 8, 10, 9, 11, 12, 10, 13, 12]
    var rule = LinearMap(lookback: 1, isRelative: false, ridges: [0])
    let task = ForecastTask(horizon: 1, levels: [0.5], measure: .level)
    try rule.learn(series, task: task)
    let pairs = Array(zip(series, series.dropFirst()))
    let n = Double(pairs.count)
    let (x, y) = (pairs.reduce(0) { $0 + $1.0 } / n, pairs.reduce(0) { $0 + $1.1 } / n)
    let slope =
      pairs.reduce(0) { $0 + ($1.0 - x) * ($1.1 - y) }
      / pairs.reduce(0) { $0 + ($1.0 - x) * ($1.0 - x) }
    let forecast = try #require(try rule.predict(series, origins: [20], task: task).first)
    #expect(abs(forecast.mean[0] - (y + slope * (12 - x))) < 1e-10)
  }

  @Test("shares one map between series, and shrinks to the mean on noise")
  func shared() throws {
    var generator = SplitMix(state: 21)
    let noise = (0..<2000).map { _ in generator.normal() }
    let task = ForecastTask(horizon: 3, levels: [0.5])
    var rule = LinearMap(lookback: 20, isRelative: false)
    try rule.estimate([Array(noise[..<1000]), Array(noise[1000...])], task: task)
    #expect(rule.ridge >= 1)
    let anchor = rule.anchors(of: noise, task: task)
    #expect(abs(anchor(2000, 1).mean) < 0.25)
  }

  @Test("is not disturbed by a few gaps")
  func gaps() throws {
    var series = [1.0, 5]
    while series.count < 300 {
      series.append(series[series.count - 1] - series[series.count - 2] + 2)
    }
    var gappy = series
    gappy[150] = .nan
    let task = ForecastTask(horizon: 2, levels: [0.5], measure: .level)
    var rule = LinearMap(lookback: 6, isRelative: false)
    try rule.learn(gappy, task: task)
    let forecast = try #require(try rule.predict(series, origins: [280], task: task).first)
    #expect(abs(forecast.mean[0] - series[280]) < 0.3)
  }
}

@Suite("HAR")
struct HARTests {
  /// A volatility that follows the logarithmic HAR equation with shocks of size `noise`.
  func volatility(_ count: Int, noise: Double) -> [Double] {
    var generator = SplitMix(state: 33)
    var logs = (0..<22).map { _ in 0.3 * generator.normal() }
    while logs.count < count {
      let values = logs.map(exp)
      let week = log(values.suffix(5).reduce(0, +) / 5)
      let month = log(values.suffix(22).reduce(0, +) / 22)
      let last = logs[logs.count - 1]
      logs.append(-0.02 + 0.4 * last + 0.3 * week + 0.25 * month + noise * generator.normal())
    }
    return logs.map(exp)
  }

  @Test("finds the equation that made the series")
  func recovers() throws {
    let series = volatility(3000, noise: 0.3)
    let task = ForecastTask(horizon: 1, levels: [0.5], measure: .volatility)
    var rule = HAR(isLogarithmic: true)
    try rule.learn(Array(series[..<2500]), task: task)
    let anchor = rule.anchors(of: series, task: task)
    var worst = 0.0
    for origin in 2500..<3000 {
      let week = log(series[(origin - 5)..<origin].reduce(0, +) / 5)
      let month = log(series[(origin - 22)..<origin].reduce(0, +) / 22)
      let truth = -0.02 + 0.4 * log(series[origin - 1]) + 0.3 * week + 0.25 * month
      let found = anchor(origin, 1)
      worst = max(worst, abs(log(found.scale) - truth))
      #expect(abs(log(found.mean / found.scale) - 0.045) < 0.004)  // s²/2
    }
    #expect(worst < 0.1)
  }

  @Test("keeps levels inside what was seen")
  func insanity() throws {
    var series = volatility(400, noise: 0.3)
    series[399] = 1e4
    let task = ForecastTask(horizon: 1, levels: [0.5], measure: .volatility)
    var rule = HAR(isLogarithmic: false)
    try rule.learn(Array(series[..<380]), task: task)
    let anchor = rule.anchors(of: series, task: task)
    #expect(anchor(400, 1).mean <= 1e4 && anchor(390, 1).mean > 0)
  }

  @Test("refuses returns and too short a history")
  func refusals() {
    var baseline = Baseline.logHAR
    #expect(throws: BaselineError.notApplicable(model: "log-har", measure: .returns)) {
      try baseline.fit([1, 2, 3], task: ForecastTask(horizon: 1))
    }
    #expect(throws: BaselineError.historyTooShort(model: "log-har", found: 40, needed: 52)) {
      let short = [Double](repeating: 1, count: 40)
      try baseline.fit(short, task: ForecastTask(horizon: 1, measure: .volatility))
    }
  }
}
