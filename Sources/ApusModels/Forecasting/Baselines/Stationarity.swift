/// How many times a series has to be differenced, by tests.
package enum Stationarity {
  /// Whether the test of Kwiatkowski, Phillips, Schmidt and Shin, 1992, rejects a stable level at 5 %.
  ///
  /// `Σ S_t² / (n² s²)` with partial sums S and the long-run variance s² of Newey and West at
  /// 3 √n / 13 lags; the critical value is 0.463.
  package static func hasUnitRoot(_ series: [Double]) -> Bool {
    kpss(series.filter(\.isFinite)) > 0.463
  }

  /// The statistic; 0 for a constant.
  package static func kpss(_ values: [Double]) -> Double {
    let n = values.count
    guard n > 2 else { return 0 }
    let mean = values.reduce(0, +) / Double(n)
    let errors = values.map { $0 - mean }
    var (sum, squares) = (0.0, 0.0)
    for error in errors {
      sum += error
      squares += sum * sum
    }
    let lags = Int(3 * Double(n).squareRoot() / 13)
    var longRun = errors.reduce(0) { $0 + $1 * $1 }
    for lag in 1..<max(1, lags + 1) where lag <= lags {
      let product = zip(errors, errors.dropFirst(lag)).reduce(0) { $0 + $1.0 * $1.1 }
      longRun += 2 * (1 - Double(lag) / Double(lags + 1)) * product
    }
    return longRun > 0 ? squares / (Double(n) * longRun) : 0
  }

  /// `y_t - y_{t - lag}`, shorter by the lag.
  package static func difference(_ series: [Double], lag: Int = 1) -> [Double] {
    zip(series.dropFirst(lag), series).map { $0 - $1 }
  }
}
