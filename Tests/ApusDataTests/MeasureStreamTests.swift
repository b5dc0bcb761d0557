import ApusData
import Testing

@Suite("Measures row by row")
struct MeasureStreamTests {
  /// A bar with holes, zeros and a negative price.
  private static func bar(rows: Int, seed: UInt64) -> TimeSeries {
    var random = SeededRandom(seed: seed)
    var price = 100.0
    var columns = ["Open", "High", "Low", "Close", "Volume", "Rate"].map {
      Covariate(name: $0, values: [])
    }
    var values: [Double] = []
    for row in 0..<rows {
      price *= 1 + 0.02 * random.normal()
      let cells = [
        price, price * 1.02, price * 0.99, price, 1e6 * random.uniform(), random.normal(),
      ]
      for (index, cell) in cells.enumerated() {
        columns[index].values.append(random.below(20) == 0 ? .nan : cell)
      }
      values.append(random.below(10) == 0 ? .nan : price)
      if row == rows / 2 { columns[1].values[row] = columns[2].values[row] }
    }
    if rows > 150 { values[130] = -1 }
    let stamps = (0..<rows).map { Timestamp(secondsSinceEpoch: Int64($0) * 86_400) }
    return TimeSeries(id: "s", timestamps: stamps, values: values, covariates: columns)
  }

  @Test("equals the whole series at once, to the bit", arguments: Measure.allCases, [3, 17, 301])
  func equalsBatch(measure: Measure, rows: Int) throws {
    let series = Self.bar(rows: rows, seed: 7)
    let batch = try measure.apply(to: series)
    var stream = MeasureStream(measure, covariates: series.covariates.map(\.name))
    #expect(stream.covariateNames == batch.covariates.map(\.name))
    var row = 0
    for index in 0..<series.count {
      let cells = series.covariates.map { $0.values[index] }
      guard let measured = stream.push(series.values[index], covariates: cells) else {
        #expect(index == 0 && measure != .level)
        continue
      }
      #expect(measured.value.bitPattern == batch.values[row].bitPattern)
      #expect(
        measured.covariates.map(\.bitPattern)
          == batch.covariates.map { $0.values[row].bitPattern })
      row += 1
    }
    #expect(row == batch.count)
  }

  @Test("names columns as the whole series does, and drops the close")
  func names() {
    #expect(Measure.returns.covariateName("High") == "ln(High/close)")
    #expect(Measure.returns.covariateName("Close") == nil)
    #expect(Measure.volatility.covariateName("vol") == "ln(1+vol)")
    #expect(Measure.level.covariateName("Close") == "Close")
    #expect(Measure.volatility.needs(column: "low") && !Measure.returns.needs(column: "low"))
  }
}
