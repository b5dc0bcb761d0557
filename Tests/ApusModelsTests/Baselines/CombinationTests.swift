import ApusModels
import ApusTestSupport
import Foundation
import Testing

@Suite("The mean of baselines")
struct CombinationTests {
  private static let task = ForecastTask(
    horizon: 5, levels: [0.1, 0.5, 0.9], seasonLength: 4, measure: .level)

  private static let series = (0..<160).map { row -> Double in
    let season: [Double] = [3, 1, 4, 2]
    return season[row % 4] + 0.05 * Double(row) + sin(Double(row * row))
  }

  @Test("is that of their quantiles and point forecasts, fitted alone or together, at any origin")
  func mean() throws {
    let names = ["seasonal-naive", "ols", "ets"]
    var members = try names.map { try Baseline.named($0, lookback: 8) }
    var mean = try Baseline.named("seasonal-naive+ols+ets", lookback: 8)
    #expect(mean.name == "seasonal-naive+ols+ets")
    let history = Array(Self.series[..<120])
    #expect(throws: BaselineError.notFitted(model: mean.name)) {
      try mean.forecast(history[...], task: Self.task)
    }
    try mean.fit(history, task: Self.task)
    for place in members.indices { try members[place].fit(history, task: Self.task) }
    let origins = [120, 133, 160, 41]
    let found = try mean.forecasts(Self.series, origins: origins, task: Self.task)
    let own = try members.map { try $0.forecasts(Self.series, origins: origins, task: Self.task) }
    for place in origins.indices {
      for step in 0..<5 {
        let point = own.reduce(0) { $0 + $1[place].mean[step] } / 3
        #expect(abs(found[place].mean[step] - point) < 1e-12)
        for level in 0..<3 {
          let quantile = own.reduce(0) { $0 + $1[place].quantiles[step][level] } / 3
          #expect(abs(found[place].quantiles[step][level] - quantile) < 1e-12)
        }
      }
    }
    // Members that are fitted already need not be fitted again.
    #expect(
      try Baseline.combination(members).forecasts(Self.series, origins: origins, task: Self.task)
        == found)
    // A stream says what a batch says, to the bit.
    var stream = try mean.stream(Self.task)
    for value in Self.series[..<133] { stream.push(value) }
    #expect(try stream.forecast() == found[1])
  }

  @Test("has a name that is read as it was written, and nothing else is one")
  func names() throws {
    for name in ["ols+nlinear", "mstl-4-8+naive", "window-mean-20+window-mean-5+ets"] {
      #expect(try Baseline.named(name, lookback: 8).name == name)
    }
    let many = (1...9).map { "window-mean-\($0)" }.joined(separator: "+")
    for name in ["ols+", "+ols", "ols++ets", "ols+ols", "ols+lstm", "+", "ols + ets", many] {
      #expect(throws: BaselineError.unknown(name: name, known: Baseline.catalog.map(\.name))) {
        try Baseline.named(name, lookback: 8)
      }
    }
  }

  @Test("is too short where a member is, by that member's name")
  func tooShort() throws {
    var mean = try Baseline.named("naive+boosted-trees", lookback: 8)
    do {
      try mean.fit(Array(Self.series[..<30]), task: Self.task)
      Issue.record("thirty values are too few for trees")
    } catch BaselineError.historyTooShort(let model, _, _) {
      #expect(model == "boosted-trees")
    }
  }
}
