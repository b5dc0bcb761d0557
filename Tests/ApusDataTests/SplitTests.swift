import ApusData
import Testing

@Suite("Split")
struct SplitTests {
  @Test("gives validation and test a horizon each, where a share of few rows would not")
  func shortSeries() throws {
    let thirty = SeriesTable([TimeSeries(id: "a", values: (0..<30).map(Double.init))])
    let split = try Split(thirty, horizon: 5)
    #expect(split.rows[0] == [0..<19, 19..<24, 24..<30])
    #expect(split.origins(.test, series: 0, lookBack: 1).count == 2)
    // Enough rows: the shares as they are.
    let hundred = SeriesTable([TimeSeries(id: "a", values: (0..<100).map(Double.init))])
    #expect(try Split(hundred, horizon: 5).rows[0] == [0..<70, 70..<80, 80..<100])
    let twelve = SeriesTable([TimeSeries(id: "a", values: (0..<12).map(Double.init))])
    #expect(throws: SplitError.self) { try Split(twelve, horizon: 5) }
  }

  @Test("keeps every training target before every later target, over a hundred seeds")
  func purges() throws {
    for seed in 0..<100 {
      var random = SeededRandom(seed: UInt64(seed))
      let horizon = 1 + random.below(9)
      let lookBack = 1 + random.below(30)
      // A panel whose series start, end and pause where they like.
      let series = (0..<3).map { number in
        let days = (0..<(200 + random.below(200))).filter { _ in random.uniform() < 0.9 }
        return TimeSeries(
          id: "\(number)",
          timestamps: days.map { Timestamp(secondsSinceEpoch: Int64($0) * 86_400) },
          values: days.map { _ in random.normal() })
      }
      let table = SeriesTable(series)
      let split = try Split(table, horizon: horizon, embargo: random.below(3))
      try split.check()
      var last = [Timestamp](repeating: Timestamp(secondsSinceEpoch: .min), count: 3)
      var first = [Timestamp](repeating: Timestamp(secondsSinceEpoch: .max), count: 3)
      for (index, part) in Split.Part.allCases.enumerated() {
        for number in series.indices {
          for origin in split.origins(part, series: number, lookBack: lookBack) {
            #expect(origin + 1 - lookBack >= 0)
            let stamps = series[number].timestamps
            last[index] = max(last[index], stamps[origin + horizon])
            first[index] = min(first[index], stamps[origin + 1])
          }
        }
      }
      #expect(last[0] < first[1] && last[1] < first[2], "seed \(seed)")
    }
  }

  @Test("counts the windows of the published ETT protocol", arguments: [(96, 2_785), (720, 2_161)])
  func countsETT(horizon: Int, expected: Int) throws {
    let hours = (0..<14_400).map { Timestamp(secondsSinceEpoch: Int64($0) * 3_600) }
    let table = SeriesTable([
      TimeSeries(id: "h", timestamps: hours, values: hours.map { _ in 0 })
    ])
    let split = try Split(
      table, sizes: .counts(train: 8_640, validation: 2_880, test: 2_880), horizon: horizon)
    let test = split.origins(.test, series: 0, lookBack: 96)
    #expect(test.count == expected && test.first == 11_519)
    let train = split.origins(.train, series: 0, lookBack: 96)
    #expect(train.count == 8_640 - 96 - horizon + 1 && train.last == 8_640 - 1 - horizon)
  }

  @Test(
    "follows the count formula", arguments: [(1, 1), (4, 1), (1, 12), (4, 12)])
  func followsFormula(horizon: Int, lookBack: Int) throws {
    let table = SeriesTable([TimeSeries(id: "s", values: Array(repeating: 1, count: 97))])
    let split = try Split(
      table, sizes: .counts(train: 60, validation: 17, test: 20), horizon: horizon)
    let train = split.origins(.train, series: 0, lookBack: lookBack)
    #expect(train.count == 60 - lookBack - horizon + 1)
    #expect(split.origins(.test, series: 0, lookBack: lookBack).count == 20 - horizon + 1)
  }

  @Test("refuses what cannot be split, in words")
  func refuses() {
    let table = SeriesTable([TimeSeries(id: "s", values: [1, 2, 3])])
    #expect(throws: SplitError.tooShort(part: .validation, rows: 1, needed: 2)) {
      try Split(table, horizon: 2)
    }
    #expect(throws: SplitError.badHorizon(0, embargo: 0)) { try Split(table, horizon: 0) }
    #expect(throws: SplitError.self) {
      try Split(table, sizes: .fractions(train: .nan, test: 0.1), horizon: 1)
    }
    #expect(throws: SplitError.self) {
      try Split(table, sizes: .counts(train: .max, validation: .max, test: 1), horizon: 1)
    }
  }

  @Test("leaves nothing of a part that a longer embargo covers")
  func longEmbargo() {
    let table = SeriesTable([TimeSeries(id: "s", values: Array(repeating: 1, count: 40))])
    #expect(throws: SplitError.tooShort(part: .validation, rows: 0, needed: 2)) {
      try Split(table, horizon: 2, embargo: .max)
    }
    #expect(throws: SplitError.self) { try Split(table, horizon: .max) }
  }
}
