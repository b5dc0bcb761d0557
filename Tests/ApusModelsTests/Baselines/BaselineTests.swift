import ApusModels
import ApusTestSupport
import Foundation
import Testing

/// The laws that every baseline keeps.
@Suite("Baselines")
struct BaselineTests {
  static let kinds = ForecastTask.Kind.allCases

  func task(_ kind: ForecastTask.Kind, horizon: Int = 7) -> ForecastTask {
    ForecastTask(horizon: horizon, levels: [0.05, 0.5, 0.95], seasonLength: 5, measure: kind)
  }

  func values(_ kind: ForecastTask.Kind, _ count: Int = 700, seed: UInt64 = 11) -> [Double] {
    series(count, seed: seed).first { $0.kind == kind.rawValue }?.values ?? []
  }

  @Test("do not see the future", arguments: kinds)
  func futureMutation(kind: ForecastTask.Kind) throws {
    let (series, task) = (values(kind), task(kind))
    for var baseline in Baseline.standard(for: task, lookback: 10, isIntermittent: true) {
      try baseline.fit(Array(series[..<500]), task: task)
      let before = try baseline.forecasts(series, origins: [500, 550], task: task)
      var other = series
      for index in 550..<series.count { other[index] = 1e3 + Double(index) }
      let after = try baseline.forecasts(other, origins: [500, 550], task: task)
      #expect(before == after, "\(baseline.name)")
      let quantiles = try baseline.forecast(series[..<550], task: task)
      let mean = try baseline.mean(series[..<550], task: task)
      #expect(quantiles == before[1].quantiles && mean == before[1].mean, "\(baseline.name)")
    }
  }

  @Test("scale with the series", arguments: kinds, [1e-6, 37, 1e5])
  func equivariance(kind: ForecastTask.Kind, factor: Double) throws {
    let (series, task) = (values(kind, 300), task(kind))
    for baseline in Baseline.standard(for: task, lookback: 10, isIntermittent: true) {
      var (plain, scaled) = (baseline, baseline)
      try plain.fit(Array(series[..<250]), task: task)
      try scaled.fit(series[..<250].map { $0 * factor }, task: task)
      let origins = [250, 300]
      let before = try plain.forecasts(series, origins: origins, task: task)
      let after = try scaled.forecasts(series.map { $0 * factor }, origins: origins, task: task)
      let spread = before[0].quantiles[0][2] - before[0].quantiles[0][0]
      for (first, second) in zip(before, after) {
        for (a, b) in zip(first.quantiles.joined(), second.quantiles.joined()) {
          #expect(abs(a * factor - b) < 1e-4 * spread * factor, "\(baseline.name)")
        }
        for (a, b) in zip(first.mean, second.mean) {
          #expect(abs(a * factor - b) < 1e-4 * spread * factor, "\(baseline.name)")
        }
      }
    }
  }

  @Test("stay finite and in order on odd series", arguments: kinds)
  func oddSeries(kind: ForecastTask.Kind) throws {
    let task = task(kind)
    let ordinary = values(kind, 300)
    let withGaps = ordinary.enumerated().map { $0.offset % 7 == 3 ? Double.nan : $0.element }
    let late = [Double](repeating: .nan, count: 20) + ordinary
    let constant = [Double](repeating: 3, count: 300)
    let zeros = [Double](repeating: 0, count: 300)
    let stuck = ordinary.enumerated().map { (100..<200).contains($0.offset) ? 0 : $0.element }
    let huge = ordinary.map { $0 * 1e100 }
    let tiny = ordinary.map { $0 * 1e-100 }
    for series in [withGaps, late, constant, zeros, stuck, huge, tiny] {
      for var baseline in Baseline.standard(for: task, lookback: 10, isIntermittent: true) {
        do {
          try baseline.fit(Array(series[..<250]), task: task)
          let origins = [250, 251, 299, series.count]
          for forecast in try baseline.forecasts(series, origins: origins, task: task) {
            #expect(forecast.quantiles.count == 7 && forecast.mean.count == 7)
            for row in forecast.quantiles {
              let isOrderly = row.allSatisfy(\.isFinite) && row == row.sorted()
              #expect(isOrderly, "\(baseline.name)")
              if kind == .volatility { #expect(row[0] >= 0, "\(baseline.name)") }
            }
          }
        } catch BaselineError.historyTooShort {
        }
      }
    }
  }

  @Test("answer or throw for every short history", arguments: kinds)
  func shortHistories(kind: ForecastTask.Kind) throws {
    let task = task(kind)
    for count in Array(0...30) + [60] {
      let history = values(kind, 60).prefix(count)
      for var baseline in Baseline.standard(for: task, lookback: 10, isIntermittent: true) {
        do {
          try baseline.fit(Array(history), task: task)
          let forecast = try baseline.forecast(history[...], task: task)
          let isFinite = forecast.joined().allSatisfy(\.isFinite)
          #expect(isFinite, "\(baseline.name) at \(count)")
        } catch is BaselineError {
        }
      }
    }
  }

  @Test("cover what they promise", arguments: kinds)
  func coverage(kind: ForecastTask.Kind) throws {
    let series = values(kind, 6000, seed: 5)
    let task = ForecastTask(
      horizon: 2, levels: [0.05, 0.25, 0.75, 0.95], seasonLength: 1, measure: kind)
    let origins = Array(3000..<5998)
    // A drift or a regression of the level extrapolates the path of training, by design.
    let extrapolating = kind == .level ? ["drift", "ols"] : []
    for var baseline in Baseline.standard(for: task, lookback: 10)
    where !extrapolating.contains(baseline.name) {
      try baseline.fit(Array(series[..<3000]), task: task)
      let forecasts = try baseline.forecasts(series, origins: origins, task: task)
      for step in 0..<2 {
        for (index, level) in task.levels.enumerated() {
          let below = zip(origins, forecasts).count { origin, forecast in
            series[origin + step] <= forecast.quantiles[step][index]
          }
          let share = Double(below) / Double(origins.count)
          // Sizes come in clusters of about 20, so that 3000 origins are worth 150.
          #expect(
            abs(share - level) < 0.04, "\(baseline.name) step \(step) level \(level) \(share)")
        }
      }
    }
  }

  @Test("say what is wrong with a request")
  func refusals() throws {
    var baseline = Baseline.naive
    let task = ForecastTask(horizon: 2)
    let history = (0..<50).map { Double($0 % 7) }
    #expect(throws: BaselineError.notFitted(model: "naive")) {
      try baseline.forecast(history[...], task: task)
    }
    #expect(throws: BaselineError.historyTooShort(model: "naive", found: 0, needed: 9)) {
      try baseline.fit([], task: task)
    }
    try baseline.fit(history, task: task)
    #expect(throws: BaselineError.horizonTooLong(model: "naive", asked: 3, fitted: 2)) {
      try baseline.forecast(history[...], task: ForecastTask(horizon: 3))
    }
    #expect(throws: BaselineError.originOutside(origin: 51, count: 50)) {
      try baseline.forecasts(history, origins: [51], task: task)
    }
    #expect(throws: BaselineError.originOutside(origin: 0, count: 0)) {
      try baseline.forecast([], task: task)
    }
    #expect(throws: BaselineError.nothingBeforeOrigin(model: "naive", origin: 1)) {
      try baseline.forecast([.nan], task: task)
    }
    #expect(throws: BaselineError.self) {
      try baseline.fit(history, task: ForecastTask(horizon: 0))
    }
    #expect(throws: BaselineError.self) {
      try baseline.fit(history, task: ForecastTask(horizon: 1, levels: [0.5, 0.5]))
    }
    var garch = Baseline.garch
    #expect(throws: BaselineError.notApplicable(model: "garch-t", measure: .volatility)) {
      try garch.fit(history, task: ForecastTask(horizon: 1, measure: .volatility))
    }
  }
}

@Suite("Naive baselines")
struct NaiveTests {
  /// 1, 2, …, 12 with a zigzag of 0, 0.5; a season of 2.
  let history: [Double] = [1, 2.5, 3, 4.5, 5, 6.5, 7, 8.5, 9, 10.5, 11, 12.5]
  let task = ForecastTask(horizon: 3, levels: [0.5], seasonLength: 2, measure: .level)

  @Test("equal the example worked by hand")
  func byHand() throws {
    let drift = 11.5 / 11
    // The last values are 11 and 12.5; the first is 1, eleven steps back.
    let cases: [(Baseline, [Double])] = [
      (.naive, [12.5, 12.5, 12.5]),
      (.seasonalNaive, [11, 12.5, 11]),
      (.drift, [12.5 + drift, 12.5 + 2 * drift, 12.5 + 3 * drift]),
      (.mean, [6.75, 6.75, 6.75]),
      (.windowMean(2), [11.75, 11.75, 11.75]),
    ]
    for (each, values) in cases {
      var baseline = each
      try baseline.fit(history, task: task)
      let found = try baseline.mean(history[...], task: task)
      for (a, b) in zip(found, values) { #expect(abs(a - b) < 1e-12, "\(baseline.name)") }
    }
  }

  @Test("have the point as their median, and training residuals about it")
  func residuals() throws {
    // One-step changes alternate 1.5 (6 times) and 0.5 (5 times); two-step changes are all 2. Their medians
    // are the drift's business.
    var naive = Baseline.naive
    let task = ForecastTask(horizon: 2, levels: [0.25, 0.5, 0.8], measure: .level)
    try naive.fit(history, task: task)
    let forecast = try naive.forecast(history[...], task: task)
    #expect(forecast == [[11.5, 12.5, 12.5], [12.5, 12.5, 12.5]])
  }
}

@Suite("Baselines on a live series")
struct BaselineStreamTests {
  @Test("forecast after each row what a batch forecasts there, to the bit, holes and all")
  func equalsBatch() throws {
    for (kind, values) in series(240, seed: 4) {
      let measure = try #require(ForecastTask.Kind(rawValue: kind))
      let task = ForecastTask(horizon: 3, seasonLength: 5, measure: measure)
      var holed = values
      for row in stride(from: 17, to: holed.count, by: 23) { holed[row] = .nan }
      for var baseline in Baseline.standard(for: task, lookback: 12, isIntermittent: true) + [
        .mean, .windowMean(7),
      ] {
        try baseline.fit(holed, task: task)
        let origins = Array(40...holed.count)
        let batch = try baseline.forecasts(holed, origins: origins, task: task)
        var stream = try baseline.stream(task)
        for (row, value) in holed.enumerated() {
          stream.push(value)
          guard row + 1 >= 40 else { continue }
          #expect(try stream.forecast() == batch[row - 39], "\(baseline.name) after row \(row)")
        }
      }
    }
  }

  @Test("say that they know nothing yet")
  func nothing() throws {
    var naive = Baseline.naive
    let task = ForecastTask(horizon: 1, measure: .level)
    #expect(throws: BaselineError.notFitted(model: "naive")) { try naive.stream(task) }
    try naive.fit((0..<20).map { Double($0 % 3) }, task: task)
    var stream = try naive.stream(task)
    stream.push(.nan)
    #expect(throws: BaselineError.nothingBeforeOrigin(model: "naive", origin: 1)) {
      try stream.forecast()
    }
    stream.push(2)
    #expect(try stream.forecast().mean == [2])
  }
}

@Suite("Historical quantiles")
struct HistoricalQuantilesTests {
  @Test("rank what was seen before the origin")
  func byHand() throws {
    let values: [Double] = [5, 1, 4, 2, 3, 9, 7, 8, 6, 0, 100]
    let task = ForecastTask(horizon: 1, levels: [0.5])
    var all = Baseline.historicalQuantiles
    var rolling = Baseline.rollingQuantiles(8)
    try all.fit(values, task: task)
    try rolling.fit(values, task: task)
    // First ten: 0...9, median 4.5; the last eight of them: 0, 2, 3, 4, 6, 7, 8, 9.
    #expect(try all.forecast(values[..<10], task: task) == [[4.5]])
    #expect(try rolling.forecast(values[..<10], task: task) == [[5]])
    #expect(try all.mean(values[..<10], task: task) == [4.5])
    let many = try rolling.forecasts(values, origins: [11, 10, 9], task: task)
    for (origin, forecast) in zip([11, 10, 9], many) {
      let single = try rolling.forecast(values[..<origin], task: task)
      #expect(single == forecast.quantiles)
    }
  }
}

@Suite("Exponentially weighted baselines")
struct ExponentiallyWeightedTests {
  @Test("choose the decay that made the series")
  func decay() throws {
    // Where the level moves by a fifth of each surprise, smoothing with 0.8 is the best forecast.
    var generator = SplitMix(state: 8)
    var level = 1.0
    let volatility = (0..<4000).map { _ in
      let surprise = 0.6 * (generator.uniform() - 0.5)
      let value = level * (1 + surprise)
      level *= 1 + 0.2 * surprise
      return value
    }
    var rule = ExponentiallyWeighted(decay: nil)
    try rule.learn(volatility, task: ForecastTask(horizon: 1, measure: .volatility))
    #expect(abs(rule.decay - 0.8) < 0.025, "\(rule.decay)")
  }

  @Test("follow the recursion worked by hand")
  func byHand() throws {
    // Volatility 1 twenty times, then 2: the mean has settled at 1, then moves half way.
    let values = [Double](repeating: 1, count: 20) + [2]
    var baseline = Baseline("ewma", ExponentiallyWeighted(decay: 0.5))
    let task = ForecastTask(horizon: 2, levels: [0.5], measure: .volatility)
    try baseline.fit(values, task: task)
    #expect(try baseline.mean(values[...], task: task) == [1.5, 1.5])
  }
}
