extension Baseline {
  /// Whether the point forecasts of a baseline are a linear map of the last values, which a ``Forecaster``
  /// that sees them contains: it starts from such a map.
  ///
  /// - Parameters:
  ///   - name: The baseline.
  ///   - lookback: How many values the forecaster sees, L.
  ///   - season: Rows in a season.
  /// - Returns: True of naive and linear baselines whose values are among them.
  package static func isLinearMap(_ name: String, lookback: Int, season: Int) -> Bool {
    switch name {
    case "naive", "ols", "nlinear": return true
    case "seasonal-naive": return season <= lookback
    default:
      guard name.hasPrefix("window-mean-") else { return false }
      return Int(name.dropFirst("window-mean-".count)).map { $0 <= lookback } ?? false
    }
  }
}
