import ApusData
import ApusTensor
import Foundation
import Testing

@Suite("Measures and scaling of columns")
struct MeasureTests {
  private let bar = TimeSeries(
    id: "s", timestamps: (0..<4).map { Timestamp(secondsSinceEpoch: $0 * 86_400) },
    values: [100, 110, .nan, 121],
    covariates: [
      Covariate(name: "High", values: [105, 120, .nan, 121]),
      Covariate(name: "Low", values: [95, 100, .nan, 121]),
      Covariate(name: "Volume", values: [1, 0, .nan, 9]),
    ])

  @Test("sees that levels wander like prices, where there are enough rows to see it")
  func wandering() throws {
    func wanders(_ count: Int, _ value: (inout Double, Double) -> Double) throws -> Bool {
      let noise = Tensor(normal: [count], key: RandomKey(seed: 6)).values
      var level = 100.0
      let series = TimeSeries(
        id: "s", timestamps: (0..<count).map { Timestamp(secondsSinceEpoch: Int64($0) * 86_400) },
        values: noise.map { value(&level, Double($0)) })
      let table = SeriesTable([series])
      return table.wandersLikePrices(before: try Split(table, horizon: 5))
    }
    func walk(_ level: inout Double, _ noise: Double) -> Double {
      level += 0.5 * noise
      return level
    }
    #expect(try wanders(600, walk))
    // The rows before the test part count: fewer than 200 steps there say nothing.
    #expect(try !wanders(150, walk))
    // What returns to its mean does not wander.
    #expect(try !wanders(600) { _, noise in 100 + noise })
    #expect(
      try !wanders(600) { level, noise in
        level = 100 + 0.3 * (level - 100) + noise
        return level
      })
  }

  @Test("turns prices into logarithmic returns across a missing value")
  func returns() throws {
    let series = try Measure.returns.apply(to: bar)
    #expect(series.timestamps == Array(bar.timestamps.dropFirst()))
    #expect(series.values[0] == log(1.1) && series.values[1].isNaN)
    #expect(abs(series.values[2] - log(1.1)) < 1e-15)
    #expect(series.covariate(named: "ln(1+Volume)")?[0] == 0)
    #expect(series.covariate(named: "ln(High/close)")?[0] == log(120.0 / 110))
  }

  @Test("takes Parkinson's range where a bar has one and the squared return elsewhere")
  func volatility() throws {
    let values = try Measure.volatility.apply(to: bar).values
    #expect(abs(values[0] - log(1.2) * log(1.2) / (4 * log(2))) < 1e-16)
    #expect(values[1].isNaN)
    #expect(abs(values[2] - log(1.1) * log(1.1)) < 1e-15)
  }

  @Test("leaves levels alone and refuses logarithms of what is not positive")
  func guardsSigns() throws {
    #expect(try Measure.level.apply(to: bar).count == 4)
    let swinging = TimeSeries(id: "w", values: [1, -1, 1, -1])
    #expect(throws: MeasureError.notPositive(series: "w", measure: .returns, found: 2, rows: 4)) {
      try Measure.returns.apply(to: swinging)
    }
    #expect(throws: MeasureError.self) {
      try Measure.returns.apply(to: TimeSeries(id: "e", values: []))
    }
    #expect(Measure.inferred(for: SeriesTable([swinging])).measure == .level)
    #expect(Measure.inferred(for: SeriesTable([bar], targetName: "close")).measure == .returns)
  }

  @Test("never looks ahead", arguments: Measure.allCases)
  func ignoresTheFuture(measure: Measure) throws {
    for seed in 0..<100 {
      var random = SeededRandom(seed: UInt64(seed))
      var series = TimeSeries(id: "s", values: (0..<30).map { _ in exp(random.normal()) })
      series.covariates = [
        Covariate(name: "high", values: series.values.map { $0 * 1.1 }),
        Covariate(name: "low", values: series.values.map { $0 * 0.9 }),
      ]
      let cut = 2 + random.below(27)
      let before = try measure.apply(to: series)
      for row in cut..<30 {
        series.values[row] *= 7
        for column in 0..<2 { series.covariates[column].values[row] *= 7 }
      }
      let after = try measure.apply(to: series)
      let end = before.rows(before: series.timestamps[cut])
      #expect(before.slice(0..<end) == after.slice(0..<end), "seed \(seed)")
    }
  }

  @Test("standardizes by training rows alone, constant columns included")
  func standardizes() throws {
    let scaler = StandardScaler(fitting: [[1, 2, 3, .nan], [5, 5, 5], [], [0.1, 0.1, 0.1]])
    #expect(scaler.means == [2, 5, 0, 0.1])
    #expect(abs(scaler.deviations[0] - (2.0 / 3).squareRoot()) < 1e-15)
    #expect(Array(scaler.deviations[1...]) == [1, 1, 1])
    #expect(scaler.scaled(.nan, column: 0) == 0)
    #expect(abs(scaler.scaled(7, column: 0) - 5 / scaler.deviations[0]) < 1e-15)
    #expect(try roundTrip(scaler) == scaler)
  }
}
