import ApusData
import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Sample paths")
struct SamplePathsTests {
  private static func noise(_ count: Int, seed: UInt64) -> [Double] {
    Tensor(normal: [count], key: RandomKey(seed: seed)).values.map(Double.init)
  }

  private static func model(
    _ name: String, _ series: [TimeSeries], measure: Measure = .level, horizon: Int = 4,
    levels: [Double] = [0.05, 0.25, 0.5, 0.75, 0.95]
  ) throws -> (Model, SeriesTable) {
    let table = SeriesTable(series)
    let measured = try table.measured(as: measure)
    let recipe = try FeatureRecipe(
      fitting: measured, measure: measure, covariates: [],
      split: Split(training: measured, horizon: horizon))
    let task = ForecastTask(
      horizon: horizon, levels: levels, measure: ForecastTask.Kind(measure))
    let model = Model(
      try Baseline.named(name, lookback: 8), task: task, lookback: 8, recipe: recipe,
      target: "y", history: series)
    return (model, table)
  }

  private static func correlation(_ x: [Double], _ y: [Double]) -> Double {
    let (a, b) = (x.reduce(0, +) / Double(x.count), y.reduce(0, +) / Double(y.count))
    var (xy, xx, yy) = (0.0, 0.0, 0.0)
    for (one, other) in zip(x, y) {
      xy += (one - a) * (other - b)
      xx += (one - a) * (one - a)
      yy += (other - b) * (other - b)
    }
    return xy / (xx * yy).squareRoot()
  }

  /// The share of the values that lie at or below a bound.
  private static func share(_ values: [Double], below bound: Double) -> Double {
    Double(values.count { $0 <= bound }) / Double(values.count)
  }

  @Test(
    "of a random walk go on from step to step: steps are as forecast, and correlate by √(h / k)")
  func walk() throws {
    var level = 100.0
    let values = Self.noise(700, seed: 3).map { step in
      level += step
      return level
    }
    let (model, table) = try Self.model("naive", [TimeSeries(id: "a", values: values)])
    let drawn = try SamplePaths(model, table: table, count: 4000, seed: 1)
    let forecast = try model.forecast(after: table).series[0].quantiles
    let paths = drawn.series[0].paths
    #expect(paths.count == 4000 && paths.allSatisfy { $0.count == 4 } && drawn.origins == 512)
    for step in 0..<4 {
      for (place, level) in model.levels.enumerated() {
        let found = Self.share(paths.map { $0[step] }, below: forecast[step][place])
        // Three deviations of a share of 4,000 draws.
        let bound: Double = 3 * (level * (1 - level) / 4000).squareRoot()
        #expect(abs(found - level) < bound, "step \(step), level \(level)")
      }
    }
    for (early, late) in [(0, 1), (0, 3), (1, 3)] {
      let found = Self.correlation(paths.map { $0[early] }, paths.map { $0[late] })
      let expected = (Double(early + 1) / Double(late + 1)).squareRoot()
      #expect(abs(found - expected) < 0.08, "\(early), \(late): \(found)")
    }
    // The same seed, the same bits; another seed, other draws.
    let again = try SamplePaths(model, table: table, count: 4000, seed: 1)
    #expect(again.series[0].paths == paths)
    #expect(
      try SamplePaths(model, table: table, count: 40, seed: 1).series[0].paths
        == Array(paths[..<40]))
    #expect(
      try SamplePaths(model, table: table, count: 40, seed: 2).series[0].paths
        != Array(paths[..<40]))
  }

  @Test("of independent noise are independent, and sums over the steps are as wide as they are")
  func sums() throws {
    let values = Self.noise(700, seed: 4).map { 50 + 2 * $0 }
    let (model, table) = try Self.model("climatology", [TimeSeries(id: "a", values: values)])
    let drawn = try SamplePaths(model, table: table, count: 4000).series[0]
    let paths = drawn.paths
    #expect(abs(Self.correlation(paths.map { $0[0] }, paths.map { $0[3] })) < 0.15)
    // Four independent draws of deviation 2 have one of 4 together: 90 % within 1.645 of it.
    let (low, high) = (drawn.sum[0], drawn.sum[4])
    #expect(abs((high - low) - 2 * 1.645 * 4) < 1.3 && abs(drawn.sum[2] - 200) < 1)
    let sums = paths.map { $0.reduce(0, +) }
    #expect(abs(Self.share(sums, below: low) - 0.05) < 0.001)
  }

  @Test("of returns lead from the last price to levels, and a series has paths of its own")
  func prices() throws {
    let series = (0..<2).map { number in
      var level = 4.0
      let values = Self.noise(300, seed: UInt64(7 + number)).map { step in
        level += 0.01 * step
        return exp(level)
      }
      return TimeSeries(id: "s\(number)", values: values)
    }
    let (model, table) = try Self.model("garch-t", series, measure: .returns)
    let drawn = try SamplePaths(model, table: table, count: 20, seed: 9)
    #expect(drawn.series[0].paths != drawn.series[1].paths)
    for (one, raw) in zip(drawn.series, series) {
      let (levels, last) = (try #require(one.levels), try #require(raw.values.last))
      for (path, prices) in zip(one.paths, levels) {
        for step in path.indices {
          let expected = last * exp(path[...step].reduce(0, +))
          #expect(abs(prices[step] - expected) < 1e-9 * expected)
        }
      }
    }
    let lines = drawn.csv().split(separator: "\n")
    #expect(lines[0] == "unique_id,path,ds,garch-t,level" && lines.count == 1 + 2 * 20 * 4)
    #expect(drawn.notes.count == 2 && drawn.notes[0].contains("of series 's0' is in 90 % of paths"))
  }

  @Test("never fall below zero where the data do not, and are refused where too little is known")
  func limits() throws {
    let counts = Self.noise(200, seed: 8).map { max(0, ($0 - 0.5).rounded()) }
    let (model, table) = try Self.model("climatology", [TimeSeries(id: "a", values: counts)])
    let paths = try SamplePaths(model, table: table, count: 500).series[0].paths
    #expect(paths.allSatisfy { $0.allSatisfy { $0 >= 0 } })
    let short = TimeSeries(id: "a", values: Self.noise(20, seed: 8))
    let (small, rows) = try Self.model("naive", [short])
    #expect(throws: PathError.self) { try SamplePaths(small, table: rows, count: 3) }
    let (single, one) = try Self.model("naive", [short], horizon: 1)
    #expect(try SamplePaths(single, table: one, count: 3).series[0].paths.count == 3)
  }

  @Test("are drawn of trained models and ensembles alike, as their folder is read")
  func folders() throws {
    let series = try StreamTests.prices(200)
    let plain = try StreamTests.model("lstm", measure: .level, context: 8)
    let trained = Model(plain, history: [series])
    let table = SeriesTable([series], targetName: "close")
    let alone = try SamplePaths(trained, table: table, count: 8, seed: 3)
    let mean = try SamplePaths(
      Model(mean: [trained, trained]), table: table, count: 8, seed: 3)
    #expect(alone.origins > 100 && mean.model == "ensemble")
    for (one, other) in zip(alone.series[0].paths.joined(), mean.series[0].paths.joined()) {
      #expect(abs(one - other) < 1e-6 * max(1, abs(one)))
    }
  }
}
