import ApusModels
import ApusTestSupport
import Foundation
import Testing

@Suite("Exponential smoothing and Theta")
struct SmoothingTests {
  let season: [Double] = [3, -1, 4, -6]

  @Test("carry a season and a trend on", arguments: [Baseline.exponentialSmoothing, .theta])
  func seasonal(baseline: Baseline) throws {
    var generator = SplitMix(state: 17)
    let series: [Double] = (0..<400).map { index in
      let trend = 100 + 0.02 * Double(index)
      return trend + season[index % 4] + 0.05 * generator.normal()
    }
    var baseline = baseline
    let task = ForecastTask(horizon: 6, levels: [0.1, 0.5, 0.9], seasonLength: 4, measure: .level)
    try baseline.fit(Array(series[..<300]), task: task)
    for (origin, forecast) in zip(
      [300, 333, 390],
      try baseline.forecasts(series, origins: [300, 333, 390], task: task))
    {
      for step in 0..<6 {
        #expect(abs(forecast.mean[step] - series[origin + step]) < 0.35, "\(baseline.name)")
      }
    }
  }

  @Test("a season of factors stays bounded where values turn to nothing behind the training part")
  func boundedFactors() throws {
    var generator = SplitMix(state: 23)
    // A season that grows with the level while parameters are chosen; then zeros, values below and a return.
    let series: [Double] = (0..<900).map { index in
      let factor = 1 + 0.8 * sin(Double(index % 24) / 24 * 2 * .pi)
      let level = 3 * (1 + Double(min(index, 500)) / 150)
      let size = level * factor * exp(0.05 * generator.normal())
      return switch index {
      case 500..<600: 0
      case 600..<700: -0.2 * size
      default: size
      }
    }
    let task = ForecastTask(
      horizon: 24, levels: [0.1, 0.5, 0.9], seasonLength: 24, measure: .level)
    var rule = ExponentialSmoothing()
    try rule.learn(Array(series[..<480]), task: task)
    #expect(rule.fit.form.season == .multiplicative)
    let forecasts = try rule.predict(series, origins: Array(480..<876), task: task)
    let largest = forecasts.flatMap(\.mean).map(abs).max() ?? .infinity
    #expect(largest < 270, "\(largest), where no value is beyond 27")
    let last = try #require(forecasts.last)
    #expect(last.mean.allSatisfy { (-3...40).contains($0) }, "\(last.mean)")
  }

  @Test("Theta equals the example worked by hand")
  func thetaByHand() throws {
    // A straight line 0, 1, 2, … of slope 1: its error is least at the largest α, 0.99. The level
    // lags behind the last value by (1 - α) / α; half the line is added, and steps rise by half.
    let series = (0..<20).map(Double.init)
    var rule = Theta()
    let task = ForecastTask(horizon: 2, levels: [0.5], measure: .level)
    try rule.learn(series, task: task)
    let model = rule.model
    #expect(abs(model.line.slope - 1) < 1e-12 && abs(model.line.intercept + 1) < 1e-12)
    #expect(abs(model.smoothing - 0.99) < 1e-3 && model.share == 0.5 && rule.season == [0])
    let forecast = try #require(rule.predict(series, origins: [20], task: task).first)
    let rest = 1 - model.smoothing
    let level = 19 - rest / model.smoothing
    #expect(abs(forecast.mean[0] - (level + 0.5 / model.smoothing)) < 1e-9)
    #expect(abs(forecast.mean[1] - forecast.mean[0] - 0.5) < 1e-9)
  }

  @Test("Theta takes an exact season off, as factors where it can", arguments: [10.0, 0.5])
  func decomposition(level: Double) throws {
    let series = (0..<40).map { season[$0 % 4] + level }
    var rule = Theta()
    try rule.learn(
      series, task: ForecastTask(horizon: 1, levels: [0.5], seasonLength: 4, measure: .level))
    #expect(rule.isRatio == (level == 10))
    for (found, place) in zip(rule.season, season) {
      #expect(abs(found - (rule.isRatio ? (place + level) / level : place)) < 1e-12)
    }
  }

  @Test("smoothing finds how fast the level moves")
  func level() throws {
    // A random walk seen through noise of its own size is best smoothed with α = 0.618.
    var generator = SplitMix(state: 5)
    var level = 0.0
    let series = (0..<3000).map { _ in
      level += generator.normal()
      return level + generator.normal()
    }
    var rule = Theta()
    let task = ForecastTask(horizon: 1, levels: [0.5], measure: .level)
    try rule.learn(series, task: task)
    #expect(abs(rule.model.smoothing - 0.618) < 0.05, "\(rule.model.smoothing)")
  }
}
