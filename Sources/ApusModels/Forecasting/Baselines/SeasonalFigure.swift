/// What each place in a season adds to, or multiplies, the level: classical decomposition.
///
/// The mean deviation, or ratio, from the centered mean over one season; missing values do not
/// count. Deviations sum to 0, ratios have the mean 1. A place that was never seen gets 0, or 1.
/// Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd edition, section 3.4.
///
/// - Parameters:
///   - series: The values, of which the first belongs to place 0.
///   - m: Values in one season; 1 gives the figure of no season.
///   - isRatio: Whether the season multiplies; the values must then be positive.
/// - Returns: The figure, `[m]`.
func seasonalFigure(of series: [Double], length m: Int, isRatio: Bool = false) -> [Double] {
  let neutral = isRatio ? 1.0 : 0
  guard m > 1 else { return [neutral] }
  let trend = centeredMeans(of: series, length: m)
  var (totals, counts) = ([Double](repeating: 0, count: m), [Double](repeating: 0, count: m))
  for index in series.indices where series[index].isFinite && trend[index].isFinite {
    totals[index % m] += isRatio ? series[index] / trend[index] : series[index] - trend[index]
    counts[index % m] += 1
  }
  let means = zip(totals, counts).map { $1 > 0 ? $0 / $1 : neutral }
  let center = means.reduce(0, +) / Double(m)
  guard isRatio else { return means.map { $0 - center } }
  return center > 0 ? means.map { $0 / center } : means.map { _ in 1 }
}

/// The mean over one season around each value; NaN where the season does not fit in.
///
/// An even season has no middle: the mean of two windows, one value apart, has.
func centeredMeans(of series: [Double], length m: Int) -> [Double] {
  let sums = RunningSums(series)
  let half = m / 2
  var means = [Double](repeating: .nan, count: series.count)
  guard series.count >= 2 * half + 1 else { return means }
  for index in half..<(series.count - half) {
    let early = sums.mean((index - half)..<(index - half + m))
    let late = sums.mean((index + half + 1 - m)..<(index + half + 1))
    guard let early, let late else { continue }
    means[index] = 0.5 * (early + late)
  }
  return means
}
