import ApusData
public import ApusModels
import ApusTensor

/// Quantile forecasts of a series from many origins.
///
/// A forecaster reads at least its look-back L and less than 2 L rows: its memory starts anew at every
/// row whose number divides by L, one block ahead of the rows that are forecast from. A forecast thus
/// depends on the rows before it and on nothing else, neither on what follows nor on how many
/// forecasts are asked for, to the bit; ``ForecastStream`` does the same step by step.
public struct SeriesForecast: Sendable {
  /// The quantile levels, Q.
  public let levels: [Double]
  /// Steps ahead, P.
  public let horizon: Int
  /// For each row asked for, `[P][Q]` in units of the measure.
  public let quantiles: [[[Double]]]

  /// Forecasts after each row of `rows`.
  ///
  /// - Parameters:
  ///   - forecaster: The model.
  ///   - frame: The series as the model sees it.
  ///   - rows: Origins: the last row that each forecast may read.
  public init(_ forecaster: Forecaster, frame: SeriesFrame, rows: Range<Int>) {
    let config = forecaster.config
    (levels, horizon) = (config.levels, config.horizon)
    let lookBack = config.context
    var quantiles: [[[Double]]] = []
    quantiles.reserveCapacity(rows.count)
    var next = rows.lowerBound
    while next < rows.upperBound {
      let block = next / lookBack
      let end = min((block + 1) * lookBack, rows.upperBound)
      quantiles += Self.block(forecaster, frame: frame, number: block, rows: next..<end)
      next = end
    }
    self.quantiles = quantiles
  }

  /// Rows of one block: the block before it is read first, and both have their full length always.
  private static func block(
    _ forecaster: Forecaster, frame: SeriesFrame, number: Int, rows: Range<Int>
  ) -> [[[Double]]] {
    let config = forecaster.config
    let (lookBack, width) = (config.context, config.horizon * config.levels.count)
    let start = (number - 1) * lookBack
    let input = Tensor(
      frame.rows(start..<start + 2 * lookBack, for: config),
      [1, 2 * lookBack, forecaster.rowWidth])
    let all = forecaster.quantiles(input, last: lookBack).values
    return rows.map { row in
      let base = (row - start - lookBack) * width
      return unscaled(all[base..<base + width], frame, row, config)
    }
  }

  /// Rows of a pass over blocks of several series.
  private static let rowsAtOnce = 4096

  /// Forecasts after some rows of many series, blocks of several of them in one pass of the model. They are
  /// those of each series alone but for rounding.
  ///
  /// - Parameters:
  ///   - forecaster: The model.
  ///   - frames: The series as the model sees them.
  ///   - rows: Origins of each series, ascending.
  /// - Returns: Of each series and each of its origins `[P][Q]` in units of the measure.
  /// - Throws: `CancellationError`.
  package static func quantiles(
    of forecaster: Forecaster, frames: [SeriesFrame], after rows: [[Int]]
  ) throws -> [[[[Double]]]] {
    let config = forecaster.config
    let (lookBack, width) = (config.context, config.horizon * config.levels.count)
    var blocks: [(series: Int, number: Int, rows: ArraySlice<Int>)] = []
    for (series, rows) in rows.enumerated() {
      var rest = rows[...]
      while let first = rest.first {
        let number = first / lookBack
        blocks.append((series, number, rest.prefix { $0 / lookBack == number }))
        rest = rest.dropFirst(blocks[blocks.count - 1].rows.count)
      }
    }
    var quantiles = [[[[Double]]]](repeating: [], count: frames.count)
    let atOnce = max(1, rowsAtOnce / (2 * lookBack))
    for start in stride(from: 0, to: blocks.count, by: atOnce) {
      try Task.checkCancellation()
      let part = blocks[start..<min(start + atOnce, blocks.count)]
      var (input, asked) = ([Float](), [Int]())
      for (place, block) in part.enumerated() {
        let first = (block.number - 1) * lookBack
        input += frames[block.series].rows(first..<first + 2 * lookBack, for: config)
        asked += block.rows.map { place * 2 * lookBack + $0 - first }
      }
      var all = forecaster.quantiles(
        Tensor(input, [part.count, 2 * lookBack, forecaster.rowWidth]), after: asked
      ).values[...]
      for block in part {
        for row in block.rows {
          quantiles[block.series].append(
            unscaled(all.prefix(width), frames[block.series], row, config))
          all = all.dropFirst(width)
        }
      }
    }
    return quantiles
  }
}

/// Normalized quantiles of the forecast after a row, in units of the measure.
private func unscaled(
  _ quantiles: ArraySlice<Float>, _ frame: SeriesFrame, _ row: Int, _ config: ForecasterConfig
) -> [[Double]] {
  unscaled(
    quantiles, location: frame.locations[row], scale: frame.scales[row],
    season: frame.seasons[row], config
  ) { frame.shift(row + $0) }
}

/// Normalized quantiles, `P · Q` of them, in units of the measure, whole where they are of counts; `shift` says
/// what known inputs do so many steps ahead.
func unscaled(
  _ quantiles: some Collection<Float>, location: Double, scale: Double, season: SeasonPlace,
  _ config: ForecasterConfig, shift: (Int) -> Shift
) -> [[Double]] {
  let isOfCounts = config.head.isOfCounts
  let all = quantiles.map { quantile -> Double in
    let value = location + scale * Double(quantile)
    return isOfCounts ? value.rounded() : value
  }
  let width = all.count / config.horizon
  return (0..<config.horizon).map { step in
    let (offset, shift) = (season.offset(ahead: step + 1), shift(step + 1))
    return all[step * width..<(step + 1) * width].map { shift.applied(to: $0 + offset) }
  }
}
