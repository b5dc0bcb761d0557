extension Baseline {
  /// The last value.
  public static var naive: Baseline { Baseline("naive", Naive(.last)) }
  /// The value one season earlier; the naive forecast where the season is 1.
  public static var seasonalNaive: Baseline { Baseline("seasonal-naive", Naive(.season)) }
  /// The line through the first and the last value.
  public static var drift: Baseline { Baseline("drift", Naive(.drift)) }
  /// The mean of everything so far.
  public static var mean: Baseline { Baseline("mean", Naive(.mean(count: nil))) }
  /// The mean of everything so far at the same place in the season.
  public static var climatology: Baseline { Baseline("climatology", Naive(.slot)) }
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
  public static var garch: Baseline { Baseline("garch-t", GARCH(.symmetric)) }
  /// The same with leverage, after Glosten, Jagannathan and Runkle.
  public static var gjrGarch: Baseline { Baseline("gjr-garch-t", GARCH(.leverage)) }
  /// The same of the logarithm of the variance, after Nelson.
  public static var exponentialGarch: Baseline { Baseline("egarch-t", GARCH(.exponential)) }

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
  /// A ridge autoregression on the last `lookback` values (48 at most) and those one, two and seven
  /// seasons ago, around the mean of each place in the season.
  public static func seasonalLinear(lookback: Int) -> Baseline {
    Baseline("seasonal-ridge", SeasonalRegression(lookback: lookback))
  }
  /// Gradient-boosted trees on the last `lookback` values (24 at most), seasonal lags and the place in
  /// the season.
  public static func boostedTrees(lookback: Int) -> Baseline {
    Baseline("boosted-trees", TreeForecast(lookback: lookback))
  }

  /// Exponential smoothing whose errors, trend and season are chosen by AICc.
  public static var exponentialSmoothing: Baseline { Baseline("ets", ExponentialSmoothing()) }
  /// Simple exponential smoothing with half the trend of a straight line.
  public static var theta: Baseline { Baseline("theta", Theta()) }
  /// Theta whose share of the line is chosen.
  public static var optimizedTheta: Baseline { theta("optimized-theta", [(true, false)]) }
  /// Theta whose line follows the values.
  public static var dynamicTheta: Baseline { theta("dynamic-theta", [(false, true)]) }
  /// Theta whose line follows the values and whose share of it is chosen.
  public static var dynamicOptimizedTheta: Baseline {
    theta("dynamic-optimized-theta", [(true, true)])
  }
  /// The one of the four that errs least in training.
  public static var autoTheta: Baseline {
    theta("auto-theta", [(false, false), (true, false), (false, true), (true, true)])
  }
  /// Seasonal ARIMA whose order is chosen by AICc.
  public static var arima: Baseline { Baseline("arima", ARIMA()) }
  /// Several seasons taken off by local regressions, and exponential smoothing of the rest.
  ///
  /// - Parameter seasons: Lengths of the seasons; without any the task and the series decide.
  /// - Returns: An unfitted baseline, "mstl" or such as "mstl-24-168".
  public static func multiSeasonal(_ seasons: [Int] = []) -> Baseline {
    let lengths = Set(seasons).filter { (2...1_000_000).contains($0) }.sorted()
    return Baseline(
      (["mstl"] + lengths.map(String.init)).joined(separator: "-"),
      MultiSeasonal(lengths: lengths))
  }
  /// Smoothed sizes over smoothed intervals, for demand that comes now and then.
  public static var croston: Baseline { Baseline("croston", Intermittent(.croston)) }
  /// Croston's method without its bias, after Syntetos and Boylan.
  public static var syntetosBoylan: Baseline {
    Baseline("croston-sba", Intermittent(.syntetosBoylan))
  }
  /// Smoothed sizes times a smoothed probability of demand.
  public static var teunterSyntetosBabai: Baseline {
    Baseline("tsb", Intermittent(.teunterSyntetosBabai))
  }

  private static func theta(_ name: String, _ forms: [(isOptimized: Bool, isDynamic: Bool)])
    -> Baseline
  {
    Baseline(
      name, Theta(forms.map { .init(isOptimized: $0.isOptimized, isDynamic: $0.isDynamic) }))
  }
}

extension Baseline {
  /// A baseline that can be named, and what it does in one line.
  public struct Entry: Sendable {
    /// The name, such as "garch-t"; with a number of choice at its end where `takesNumbers`.
    public let name: String
    /// What it does, a phrase without a period.
    public let summary: String
    /// Whether numbers may follow the name, as in "window-mean-20" or "mstl-24-168".
    public let takesNumbers: Bool
    /// Makes it; the numbers after the name, and how many values linear ones read.
    fileprivate let make: @Sendable (_ numbers: [Int], _ lookback: Int) -> Baseline

    fileprivate init(
      _ name: String, _ summary: String, takesNumbers: Bool = false,
      _ make: @escaping @Sendable (_ numbers: [Int], _ lookback: Int) -> Baseline
    ) {
      (self.name, self.summary, self.takesNumbers) = (name, summary, takesNumbers)
      self.make = make
    }
  }

  /// All baselines that have a name, the simplest first.
  public static let catalog: [Entry] = [
    Entry("naive", "the last value") { _, _ in .naive },
    Entry("seasonal-naive", "the value one season earlier") { _, _ in .seasonalNaive },
    Entry("drift", "the line through the first and the last value") { _, _ in .drift },
    Entry("mean", "the mean of everything so far") { _, _ in .mean },
    Entry("window-mean", "the mean of the last values, window-mean-20 of 20", takesNumbers: true) {
      numbers, lookback in .windowMean(numbers.first ?? lookback)
    },
    Entry("climatology", "the mean of everything so far at the same place in the season") { _, _ in
      .climatology
    },
    Entry("historical", "quantiles of everything so far, or of the last values", takesNumbers: true)
    {
      numbers, _ in numbers.first.map { .rollingQuantiles($0) } ?? .historicalQuantiles
    },
    Entry("ewma-0.94", "residuals scaled by their exponentially weighted size, λ = 0.94") { _, _ in
      .exponentiallyWeighted
    },
    Entry("ewma-fitted", "the same with λ chosen in training") { _, _ in
      .fittedExponentiallyWeighted
    },
    Entry("garch-t", "GARCH(1,1) with Student t innovations") { _, _ in .garch },
    Entry("gjr-garch-t", "GARCH with leverage (Glosten, Jagannathan, Runkle)") { _, _ in .gjrGarch
    },
    Entry("egarch-t", "GARCH of the logarithm of the variance (Nelson)") { _, _ in
      .exponentialGarch
    },
    Entry("har", "volatility on its last day, week and month") { _, _ in .har },
    Entry("log-har", "the same in logarithms") { _, _ in .logHAR },
    Entry("ols", "least squares on the last values, with a ridge chosen in training") {
      _, lookback in .linear(lookback: lookback)
    },
    Entry("nlinear", "the same relative to the last value") { _, lookback in
      .relativeLinear(lookback: lookback)
    },
    Entry("seasonal-ridge", "a ridge autoregression with seasonal lags around the climatology") {
      _, lookback in .seasonalLinear(lookback: lookback)
    },
    Entry("boosted-trees", "gradient-boosted trees on lags and the place in the season") {
      _, lookback in .boostedTrees(lookback: lookback)
    },
    Entry("ets", "exponential smoothing: error, trend and season chosen by AICc") { _, _ in
      .exponentialSmoothing
    },
    Entry("theta", "simple exponential smoothing with half the trend of a straight line") { _, _ in
      .theta
    },
    Entry("optimized-theta", "Theta whose share of the line is chosen") { _, _ in .optimizedTheta },
    Entry("dynamic-theta", "Theta whose line follows the values") { _, _ in .dynamicTheta },
    Entry("dynamic-optimized-theta", "Theta whose line follows the values, its share chosen") {
      _, _ in .dynamicOptimizedTheta
    },
    Entry("auto-theta", "the one of the four that errs least in training") { _, _ in .autoTheta },
    Entry("arima", "seasonal ARIMA, its order chosen by AICc") { _, _ in .arima },
    Entry(
      "mstl", "several seasons taken off, then exponential smoothing; mstl-24-168 names them",
      takesNumbers: true
    ) { numbers, _ in .multiSeasonal(numbers) },
    Entry("croston", "smoothed sizes over smoothed intervals of intermittent demand") { _, _ in
      .croston
    },
    Entry("croston-sba", "Croston's method without its bias (Syntetos, Boylan)") { _, _ in
      .syntetosBoylan
    },
    Entry("tsb", "smoothed sizes times a smoothed probability of demand") { _, _ in
      .teunterSyntetosBabai
    },
  ]

  /// The baseline of a name.
  ///
  /// - Parameters:
  ///   - name: As ``name`` gives it, such as "garch-t" or "window-mean-20", up to eight of them with plus
  ///     signs between for their mean, as in "ols+nlinear", or the path of a folder with a pretrained
  ///     forecaster.
  ///   - lookback: How many values the linear baselines read, L.
  /// - Returns: An unfitted baseline.
  /// - Throws: ``BaselineError/unknown(name:known:)``, or what is wrong with the folder.
  public static func named(_ name: String, lookback: Int) throws -> Baseline {
    if let found = catalogued(name, lookback: lookback) { return found }
    guard try isPretrained(at: name) else {
      throw BaselineError.unknown(name: name, known: catalog.map(\.name))
    }
    return try pretrained(at: name)
  }

  /// The baseline of a name of ``catalog``, or of several with plus signs between; nil for other names.
  package static func catalogued(_ name: String, lookback: Int) -> Baseline? {
    let names = members(of: name)
    guard names.count > 1 else { return single(name, lookback: lookback) }
    let found = names.compactMap { single($0, lookback: lookback) }
    let isOfOnes = found.count == names.count && Set(names).count == names.count
    return isOfOnes && names.count <= mostMembers ? combination(found) : nil
  }

  private static func single(_ name: String, lookback: Int) -> Baseline? {
    for entry in catalog {
      if name == entry.name { return entry.make([], lookback) }
      guard entry.takesNumbers, name.hasPrefix(entry.name + "-") else { continue }
      let words = name.dropFirst(entry.name.count + 1).split(
        separator: "-", omittingEmptySubsequences: false)
      let numbers = words.compactMap { Int($0) }.filter { (1...(1 << 24)).contains($0) }
      guard numbers.count == words.count else { continue }
      // A number that a rule rounds or leaves out is not what was asked for.
      let found = entry.make(numbers, lookback)
      if found.name == name { return found }
    }
    return nil
  }

  /// All baselines that suit `task`, for a comparison table.
  ///
  /// - Parameters:
  ///   - task: What is asked.
  ///   - lookback: How many values the linear baselines read, L; as many as the competing models.
  ///   - isIntermittent: Whether most values are 0, so that the methods for demand that comes now and
  ///     then belong into the table. Default: false.
  /// - Returns: Unfitted baselines, the naive one first.
  public static func standard(
    for task: ForecastTask, lookback: Int, isIntermittent: Bool = false
  ) -> [Baseline] {
    var list = [naive]
    if task.seasonLength > 1 { list += [seasonalNaive, climatology] }
    switch task.measure {
    case .returns:
      list += [
        historicalQuantiles, rollingQuantiles(), exponentiallyWeighted,
        fittedExponentiallyWeighted, garch, gjrGarch, exponentialGarch, linear(lookback: lookback),
      ]
    case .volatility:
      list += [
        windowMean(22), historicalQuantiles, exponentiallyWeighted, fittedExponentiallyWeighted,
        har,
        logHAR, linear(lookback: lookback),
      ]
    case .level:
      list += [
        drift, windowMean(max(task.seasonLength, 5)), exponentialSmoothing, theta, autoTheta, arima,
        exponentiallyWeighted, garch, linear(lookback: lookback),
        relativeLinear(lookback: lookback),
      ]
      if task.seasonLength > 1 { list.append(multiSeasonal()) }
    }
    if task.seasonLength > 1 { list.append(seasonalLinear(lookback: lookback)) }
    list.append(boostedTrees(lookback: lookback))
    if isIntermittent { list += [croston, syntetosBoylan, teunterSyntetosBabai] }
    return list
  }
}
