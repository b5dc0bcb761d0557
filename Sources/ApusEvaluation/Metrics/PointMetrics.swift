import Foundation

extension Metrics {
  /// Mean absolute error.
  public static func mae(_ values: [Double], forecasts: [Double]) throws -> Double {
    try check("MAE", forecasts.count, values.count)
    return mean(zip(values, forecasts).map { abs($0 - $1) })
  }

  /// Mean squared error.
  public static func mse(_ values: [Double], forecasts: [Double]) throws -> Double {
    try check("MSE", forecasts.count, values.count)
    return mean(zip(values, forecasts).map { ($0 - $1) * ($0 - $1) })
  }

  /// Root mean squared error.
  public static func rmse(_ values: [Double], forecasts: [Double]) throws -> Double {
    try mse(values, forecasts: forecasts).squareRoot()
  }

  /// Symmetric mean absolute percentage error of the M4 competition: `200/P Σ |y-f| / (|y|+|f|)`.
  ///
  /// In percent, 0 to 200. A step where value and forecast are both 0 counts as no error.
  public static func smape(_ values: [Double], forecasts: [Double]) throws -> Double {
    try check("sMAPE", forecasts.count, values.count)
    return mean(
      zip(values, forecasts).map { value, forecast in
        let size = abs(value) + abs(forecast)
        return size == 0 ? 0 : 200 * abs(value - forecast) / size
      })
  }

  /// QLIKE for variances: `RV/h - ln(RV/h) - 1`, the mean over all steps.
  ///
  /// With squared error the only common loss that ranks rightly on a noisy proxy: Patton, 2011,
  /// *Volatility forecast comparison using imperfect volatility proxies*. Values and forecasts are
  /// variances, not deviations, and must be positive.
  public static func qlike(_ values: [Double], forecasts: [Double]) throws -> Double {
    try check("QLIKE", forecasts.count, values.count)
    return mean(try zip(values, forecasts).map { try qlike($0, forecast: $1) })
  }

  /// QLIKE of one variance.
  public static func qlike(_ value: Double, forecast: Double) throws -> Double {
    guard forecast > 0 else {
      throw MetricError.undefined(metric: "QLIKE", what: "a variance forecast of", found: forecast)
    }
    guard value > 0 else {
      throw MetricError.undefined(metric: "QLIKE", what: "a realized variance of", found: value)
    }
    let ratio = value / forecast
    return ratio - log(ratio) - 1
  }

  /// Out-of-sample R²: `1 - Σ (y - f)² / Σ (y - b)²` against the forecasts of a benchmark.
  ///
  /// Higher is better, 0 is the benchmark. Campbell and Thompson, 2008. Not defined where the
  /// benchmark makes no error.
  ///
  /// - Parameters:
  ///   - values: What happened.
  ///   - forecasts: What was said.
  ///   - benchmark: For returns zeros, for volatility for example the 22-day mean.
  /// - Returns: A number up to 1.
  /// - Throws: ``MetricError`` when arrays do not belong together or the score is not defined.
  public static func outOfSampleR2(
    _ values: [Double], forecasts: [Double], benchmark: [Double]
  ) throws -> Double {
    let bar = try mse(values, forecasts: benchmark)
    guard bar > 0 else {
      throw MetricError.undefined(metric: "R²", what: "a benchmark error of", found: bar)
    }
    return try 1 - mse(values, forecasts: forecasts) / bar
  }
}
