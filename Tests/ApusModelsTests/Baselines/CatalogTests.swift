import ApusModels
import ApusTestSupport
import Foundation
import Testing

@Suite("Catalog of baselines")
struct CatalogTests {
  /// What every entry is asked with.
  func task(_ name: String) -> ForecastTask {
    ForecastTask(
      horizon: 5, levels: [0.1, 0.5, 0.9], seasonLength: 4,
      measure: name.contains("har") ? .volatility : .level)
  }

  @Test("makes each baseline by its name")
  func names() throws {
    #expect(Set(Baseline.catalog.map(\.name)).count == Baseline.catalog.count)
    for entry in Baseline.catalog {
      let baseline = try Baseline.named(entry.name, lookback: 8)
      #expect(baseline.name.hasPrefix(entry.name))
      #expect(try Baseline.named(baseline.name, lookback: 8).name == baseline.name)
      #expect(!entry.summary.isEmpty && !entry.summary.hasSuffix("."))
    }
    for name in ["window-mean-20", "historical-60", "mstl-24-168", "mstl"] {
      #expect(try Baseline.named(name, lookback: 8).name == name)
    }
    for name in ["window-mean-0", "historical-3", "mstl-1", "mstl-168-24", "ets-5", "etss", ""] {
      #expect(throws: BaselineError.unknown(name: name, known: Baseline.catalog.map(\.name))) {
        try Baseline.named(name, lookback: 8)
      }
    }
    for measure in ForecastTask.Kind.allCases {
      let task = ForecastTask(horizon: 2, seasonLength: 7, measure: measure)
      for baseline in Baseline.standard(for: task, lookback: 8, isIntermittent: true) {
        #expect(try Baseline.named(baseline.name, lookback: 8).name == baseline.name)
      }
    }
  }

  @Test(
    "answers or refuses on series with nothing in them", arguments: Baseline.catalog.map(\.name))
  func emptySeries(name: String) throws {
    let nothing = [Double](repeating: .nan, count: 120)
    let constant = [Double](repeating: 7, count: 120)
    let line = (0..<120).map(Double.init)
    let season = (0..<120).map { Double([3, 1, 4, 2][$0 % 4]) }
    let rare = (0..<120).map { $0 == 50 ? 1.0 : 0 }
    let alone = nothing.enumerated().map { $0.offset == 60 ? 5.0 : $0.element }
    for series in [[], [1], [.nan], nothing, alone, constant, line, season, rare] {
      var baseline = try Baseline.named(name, lookback: 8)
      do {
        try baseline.fit(series, task: task(name))
        let found = try #require(
          try baseline.forecasts(series, origins: [series.count], task: task(name)).first)
        for row in found.quantiles {
          let isOrderly = row.allSatisfy(\.isFinite) && row == row.sorted()
          #expect(isOrderly, "\(series.prefix(3))")
        }
        #expect(found.mean.allSatisfy { $0.isFinite })
      } catch is BaselineError {
        let present = series.count { $0.isFinite }
        // A single positive value is no volatility.
        #expect(present < 2 || name.contains("har"), "\(series.prefix(3))")
      }
    }
  }

  @Test(
    "forecasts an exact season without error",
    arguments: ["seasonal-naive", "climatology", "ets", "auto-theta", "arima", "mstl"])
  func exactSeason(name: String) throws {
    let series = (0..<160).map { Double([30, 10, 40, 20][$0 % 4]) }
    var baseline = try Baseline.named(name, lookback: 8)
    try baseline.fit(Array(series[..<150]), task: task(name))
    let found = try baseline.mean(series[..<150], task: task(name))
    for (found, expected) in zip(found, series[150...]) { #expect(abs(found - expected) < 0.02) }
  }

  @Test("a climatology equals the example worked by hand")
  func climatology() throws {
    // Places of a season of three: 1, 4, 10 have the mean 5; 2, 8 the mean 5; 3, 9 the mean 6.
    let series: [Double] = [1, 2, 3, 4, .nan, .nan, 10, 8, 9, 5, 5, 6, 5, 5, 6]
    let task = ForecastTask(horizon: 4, levels: [0.5], seasonLength: 3, measure: .level)
    var baseline = Baseline.climatology
    try baseline.fit(series, task: task)
    #expect(try baseline.mean(series[..<9], task: task) == [5, 5, 6, 5])
  }
}

@Suite("Baselines for several seasons, regimes and long seasons")
struct SeasonalBaselineTests {
  func noise(_ count: Int, seed: UInt64) -> [Double] {
    var generator = SplitMix(state: seed)
    return (0..<count).map { _ in generator.normal() }
  }

  /// The root mean squared error of whole forecasts from every seventh origin of the rest.
  func error(_ baseline: Baseline, _ series: [Double], from split: Int, task: ForecastTask) throws
    -> Double
  {
    var baseline = baseline
    try baseline.fit(Array(series[..<split]), task: task)
    let origins = Array(stride(from: split, through: series.count - task.horizon, by: 7))
    let forecasts = try baseline.forecasts(series, origins: origins, task: task)
    var (sum, count) = (0.0, 0.0)
    for (origin, forecast) in zip(origins, forecasts) {
      for (step, mean) in forecast.mean.enumerated() {
        sum += (series[origin + step] - mean) * (series[origin + step] - mean)
        count += 1
      }
    }
    return (sum / count).squareRoot()
  }

  @Test("find a week beside a day, and carry both on")
  func twoSeasons() throws {
    let noise = noise(900, seed: 3)
    let series = noise.enumerated().map { index, noise in
      let day = 10 * sin(2 * .pi * Double(index) / 24)
      return 100 + day + ((index / 24) % 7 > 4 ? -15 : 0) + noise
    }
    let task = ForecastTask(horizon: 48, levels: [0.5], seasonLength: 24, measure: .level)
    var rule = MultiSeasonal()
    try rule.learn(Array(series[..<700]), task: task)
    #expect(rule.seasons.map(\.count) == [24, 168])
    // The noise itself has the deviation 1.
    #expect(try error(.multiSeasonal(), series, from: 700, task: task) < 1.3)
    #expect(try error(.seasonalLinear(lookback: 24), series, from: 700, task: task) < 4)
    #expect(try error(.multiSeasonal([24]), series, from: 700, task: task) > 4)
  }

  @Test("a season over 24 becomes harmonics beside an autoregression")
  func longSeason() throws {
    let noise = noise(700, seed: 9)
    var past = 0.0
    let rest = noise.map { noise in
      past = 0.6 * past + noise
      return past
    }
    let season = rest.indices.map { index in
      let turn = 2 * Double.pi * Double(index) / 52
      return 50 + 8 * sin(turn) + 4 * cos(3 * turn)
    }
    let series = zip(season, rest).map(+)
    let task = ForecastTask(horizon: 26, levels: [0.5], seasonLength: 52, measure: .level)
    var rule = ARIMA()
    try rule.learn(Array(series[..<520]), task: task)
    // Two harmonics and perhaps a false one; ten cycles of this noise leave each of their six numbers
    // a standard error of √(2 · 6.25 / 520) = 0.155, their sum √6 / √2 as much: 0.27.
    for (found, expected) in zip(rule.means, season) {
      #expect(abs(found - (expected - 50)) < 4 * 0.27, "\(found) \(expected)")
    }
    #expect(rule.model.order.d == 0)
    let found = try error(.arima, series, from: 520, task: task)
    let before = try error(.seasonalNaive, series, from: 520, task: task)
    #expect(found < 0.85 * before, "\(found), seasonal naive \(before)")
  }

  @Test("ARIMA finds the process that made the series, holes and all")
  func process() throws {
    let noise = noise(1200, seed: 21)
    var (past, before) = (0.0, 0.0)
    var series = noise.map { noise in
      let value = 1.2 * past - 0.5 * before + noise
      (before, past) = (past, value)
      return 20 + value
    }
    for index in stride(from: 11, to: series.count, by: 37) { series[index] = .nan }
    var rule = ARIMA()
    let task = ForecastTask(horizon: 1, levels: [0.5], measure: .level)
    try rule.learn(series, task: task)
    #expect(rule.model.order.d == 0 && abs(rule.model.mean - 20) < 0.3)
    #expect(abs(rule.model.variance - 1) < 0.1)
    let present = series.indices.filter { $0 > 900 && series[$0].isFinite }
    let forecasts = try rule.predict(series, origins: present, task: task)
    let squares = zip(present, forecasts).map { pow(series[$0] - $1.mean[0], 2) }
    #expect(abs(squares.reduce(0, +) / Double(squares.count) - 1) < 0.2)
  }

  @Test("trees see a threshold that no line sees")
  func threshold() throws {
    let noise = noise(2000, seed: 31)
    var past = 0.0
    let series = noise.map { noise in
      past = (past > 0 ? -1.5 : 0.9) * past + 2 + 0.3 * noise
      return past
    }
    let task = ForecastTask(horizon: 1, levels: [0.5], measure: .returns)
    let trees = try error(.boostedTrees(lookback: 4), series, from: 1500, task: task)
    let line = try error(.linear(lookback: 4), series, from: 1500, task: task)
    #expect(trees < 0.4 && trees < 0.8 * line, "\(trees) \(line)")
  }
}
