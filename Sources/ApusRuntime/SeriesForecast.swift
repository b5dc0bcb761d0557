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
      return unscaled(
        all[base..<base + width], location: frame.locations[row], scale: frame.scales[row],
        season: frame.seasons[row], config
      ) { frame.shift(row + $0) }
    }
  }
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
