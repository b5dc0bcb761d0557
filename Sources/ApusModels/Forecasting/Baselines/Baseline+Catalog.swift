extension Baseline {
  /// The last value.
  public static var naive: Baseline { Baseline("naive", Naive(.last)) }
  /// The value one season earlier; the naive forecast where the season is 1.
  public static var seasonalNaive: Baseline { Baseline("seasonal-naive", Naive(.season)) }
  /// The line through the first and the last value.
  public static var drift: Baseline { Baseline("drift", Naive(.drift)) }
  /// The mean of everything so far.
  public static var mean: Baseline { Baseline("mean", Naive(.mean(count: nil))) }
  /// The mean of the last `count` values, at least 1.
  public static func windowMean(_ count: Int) -> Baseline {
    Baseline("window-mean-\(max(1, count))", Naive(.mean(count: max(1, count))))
  }
  /// Quantiles of everything so far.
  public static var historicalQuantiles: Baseline {
    Baseline("historical", HistoricalQuantiles(window: nil))
  }
  /// Quantiles of the last `window` values, at least 8.
  public static func rollingQuantiles(_ window: Int = 250) -> Baseline {
    Baseline("historical-\(max(8, window))", HistoricalQuantiles(window: max(8, window)))
  }
  /// Residuals scaled by an exponentially weighted size with the decay of RiskMetrics, λ = 0.94.
  public static var exponentiallyWeighted: Baseline {
    Baseline("ewma-0.94", ExponentiallyWeighted(decay: 0.94))
  }
  /// The same with λ chosen in training.
  public static var fittedExponentiallyWeighted: Baseline {
    Baseline("ewma-fitted", ExponentiallyWeighted(decay: nil))
  }
  /// GARCH(1,1) with Student t innovations; returns and levels only.
  public static var garch: Baseline { Baseline("garch-t", GARCH(hasLeverage: false)) }
  /// The same with leverage, after Glosten, Jagannathan and Runkle.
  public static var gjrGarch: Baseline { Baseline("gjr-garch-t", GARCH(hasLeverage: true)) }

  /// Volatility on its last day, week and month, in levels; volatilities only.
  public static var har: Baseline { Baseline("har", HAR(isLogarithmic: false)) }
  /// The same in logarithms, the bar of realized volatility.
  public static var logHAR: Baseline { Baseline("log-har", HAR(isLogarithmic: true)) }
  /// The closed-form linear map of the last `lookback` values, with a ridge chosen in training.
  public static func linear(lookback: Int) -> Baseline {
    Baseline("ols", LinearMap(lookback: lookback, isRelative: false))
  }
  /// The same relative to the last value: the closed form of NLinear.
  public static func relativeLinear(lookback: Int) -> Baseline {
    Baseline("nlinear", LinearMap(lookback: lookback, isRelative: true))
  }

  /// Exponential smoothing with a damped trend and, where there is one, an additive season.
  public static var exponentialSmoothing: Baseline { Baseline("ets", ExponentialSmoothing()) }
  /// Simple exponential smoothing with half the trend of a straight line.
  public static var theta: Baseline { Baseline("theta", Theta()) }

  /// The baseline of a name.
  ///
  /// - Parameters:
  ///   - name: As ``name`` gives it, such as "garch-t" or "window-mean-20".
  ///   - lookback: How many values the linear baselines read, L.
  /// - Returns: An unfitted baseline.
  /// - Throws: ``BaselineError/unknown(name:known:)``.
  public static func named(_ name: String, lookback: Int) throws -> Baseline {
    let all = [
      naive, seasonalNaive, drift, mean, historicalQuantiles, exponentiallyWeighted,
      fittedExponentiallyWeighted, garch, gjrGarch, har, logHAR, linear(lookback: lookback),
      relativeLinear(lookback: lookback), exponentialSmoothing, theta,
    ]
    if let found = all.first(where: { $0.name == name }) { return found }
    let count = name.split(separator: "-").last.flatMap { Int($0) } ?? 0
    let sized = [windowMean(min(count, 1 << 24)), rollingQuantiles(min(count, 1 << 24))]
    if let found = sized.first(where: { $0.name == name }) { return found }
    throw BaselineError.unknown(name: name, known: all.map(\.name))
  }

  /// All baselines that suit `task`, for a comparison table.
  ///
  /// - Parameters:
  ///   - task: What is asked.
  ///   - lookback: How many values the linear baselines read, L; as many as the competing models.
  /// - Returns: Unfitted baselines, the naive one first.
  public static func standard(for task: ForecastTask, lookback: Int) -> [Baseline] {
    var list = [naive]
    if task.seasonLength > 1 { list.append(seasonalNaive) }
    switch task.measure {
    case .returns:
      list += [
        historicalQuantiles, rollingQuantiles(), exponentiallyWeighted,
        fittedExponentiallyWeighted, garch, gjrGarch, linear(lookback: lookback),
      ]
    case .volatility:
      list += [
        historicalQuantiles, exponentiallyWeighted, fittedExponentiallyWeighted, har, logHAR,
        linear(lookback: lookback),
      ]
    case .level:
      list += [
        drift, exponentialSmoothing, theta, exponentiallyWeighted, garch,
        linear(lookback: lookback),
        relativeLinear(lookback: lookback),
      ]
    }
    return list
  }
}
