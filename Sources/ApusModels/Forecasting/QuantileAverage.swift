/// The mean of several forecasts of the same steps, level by level.
///
/// Averaging quantiles keeps the shape of the members' distributions, which averaging probabilities widens:
/// Vincent, 1912; Ratcliff, 1979, *Group reaction time distributions and an analysis of distribution
/// statistics*; Lichtendahl, Grushka-Cockayne and Winkler, 2013, *Is It Better to Average Probabilities or
/// Quantiles?*. Where no member's quantiles cross, those of the mean do not.
///
/// - Parameters:
///   - forecasts: Of each of N members `[P][Q]`, at least one.
///   - weights: One for each member, from 0 up, which sum to 1.
/// - Returns: `[P][Q]`; of a single member its own, to the bit.
package func averageQuantiles(_ forecasts: [[[Double]]], weights: [Double]) -> [[Double]] {
  precondition(
    !forecasts.isEmpty && forecasts.count == weights.count,
    "averageQuantiles: \(forecasts.count) forecasts and \(weights.count) weights")
  guard forecasts.count > 1 else { return forecasts[0] }
  var mean = forecasts[0].map { $0.map { weights[0] * $0 } }
  for (forecast, weight) in zip(forecasts, weights).dropFirst() {
    for (step, quantiles) in forecast.enumerated() {
      for (place, quantile) in quantiles.enumerated() { mean[step][place] += weight * quantile }
    }
  }
  return mean
}
