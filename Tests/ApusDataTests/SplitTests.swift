import ApusData
import Testing

@Suite("Split and windows")
struct SplitTests {
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
        for window in WindowIndex(split: split, part: part, lookBack: lookBack) {
          let stamps = series[window.series].timestamps
          let targets = window.targets(horizon: horizon)
          #expect(window.inputs(lookBack: lookBack).lowerBound >= 0)
          last[index] = max(last[index], stamps[targets.upperBound - 1])
          first[index] = min(first[index], stamps[targets.lowerBound])
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
    let test = WindowIndex(split: split, part: .test, lookBack: 96)
    #expect(test.count == expected)
    #expect(test.first?.origin == 11_519)
    let train = WindowIndex(split: split, part: .train, lookBack: 96)
    #expect(train.count == 8_640 - 96 - horizon + 1)
    #expect(train.last?.origin == 8_640 - 1 - horizon)
  }

  @Test("drops no window for the batch size", arguments: [1, 7, 32, 1_000])
  func dropsNothing(size: Int) throws {
    let table = SeriesTable([TimeSeries(id: "s", values: Array(repeating: 1, count: 100))])
    let split = try Split(table, horizon: 3)
    let windows = WindowIndex(split: split, part: .train, lookBack: 5)
    #expect(windows.count == 70 - 5 - 3 + 1)
    #expect(windows.batches(of: size).flatMap { Array($0) } == Array(windows.indices))
  }

  @Test(
    "follows the count formula with a stride", arguments: [1, 2, 3, 7],
    [(1, 1), (4, 1), (1, 12), (4, 12)])
  func followsFormula(stride: Int, sizes: (Int, Int)) throws {
    let (horizon, lookBack) = sizes
    let table = SeriesTable([TimeSeries(id: "s", values: Array(repeating: 1, count: 97))])
    let split = try Split(
      table, sizes: .counts(train: 60, validation: 17, test: 20), horizon: horizon)
    let train = WindowIndex(split: split, part: .train, lookBack: lookBack, stride: stride)
    #expect(train.count == (60 - lookBack - horizon) / stride + 1)
    let test = WindowIndex(split: split, part: .test, lookBack: lookBack, stride: stride)
    #expect(test.count == (20 - horizon) / stride + 1)
  }

  @Test("leaves out windows with a missing target and counts them")
  func skipsMissing() throws {
    var values = Array(repeating: 1.0, count: 50)
    values[10] = .nan
    let table = SeriesTable([TimeSeries(id: "s", values: values)])
    let split = try Split(table, horizon: 2)
    let windows = WindowIndex(split: split, part: .train, lookBack: 3, skippingMissingIn: table)
    #expect(windows.skipped == 2)
    #expect(!windows.contains { $0.targets(horizon: 2).contains(10) })
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
