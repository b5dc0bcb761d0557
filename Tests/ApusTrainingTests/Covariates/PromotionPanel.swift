import ApusData
import ApusTestSupport
import Foundation

/// Monthly products whose sales a promotion lifts, known for the rows ahead too.
enum PromotionPanel {
  static let start = Date(timeIntervalSince1970: 1_546_300_800)  // 2019

  /// The month of a row.
  static func month(_ row: Int) -> Date {
    Timestamp(year: 2019 + row / 12, month: row % 12 + 1, day: 1)?.date ?? start
  }

  /// Products with a value in each of `rows` months and six months ahead of them; a promotion adds the share
  /// `lift` of the value.
  static func table(
    products: Int = 20, rows: Int = 60, lift: Double = 0.4, seed: UInt64 = 1
  ) throws -> SeriesTable {
    var generator = SplitMix(state: seed)
    var table = SeriesTable(
      try (0..<products).map { number in
        let (level, share) = (exp(5 + generator.normal()), 0.05 + 0.2 * generator.uniform())
        let phase = 2 * Double.pi * generator.uniform()
        var (drift, values, promotion, noise) = (0.0, [Double](), [Double](), [Double]())
        for row in 0..<rows + 6 {
          drift += 0.02 * generator.normal()
          let isPromoted = generator.uniform() < 0.25
          promotion.append(isPromoted ? 1 : 0)
          noise.append(generator.uniform())
          let season = share * sin(Double(row) * .pi / 6 + phase)
          values.append(
            level * exp(drift + season + 0.1 * generator.normal()) * (isPromoted ? 1 + lift : 1))
        }
        var series = try TimeSeries(
          "product \(number)", dates: (0..<rows).map(month), values: Array(values.prefix(rows)))
        series.covariates = [
          Covariate(name: "promotion", values: Array(promotion.prefix(rows))),
          Covariate(name: "noise", values: Array(noise.prefix(rows))),
        ]
        series.future = try KnownFuture(
          dates: (rows..<rows + 6).map(month),
          covariates: [
            Covariate(name: "promotion", values: Array(promotion.suffix(6))),
            Covariate(name: "noise", values: Array(noise.suffix(6))),
          ])
        return series
      }, targetName: "units")
    table.cadence = Cadence(.months(1))
    return table
  }
}
