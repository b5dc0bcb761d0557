import ApusModels

/// How candidates compare with the best baseline, and which model is recommended over it, when
/// validation chooses and the test part is opened once.
///
/// The best model is the one with the smallest mean validation loss. The bar is the baseline with the
/// smallest mean test loss: hindsight may favor the bar, never the model. The model is recommended
/// over it only if the test part confirms it twice: the block-bootstrap
/// interval of its skill lies above 0, and its Diebold-Mariano p-value, corrected after Holm for
/// all models tried, is below the level.
///
/// Where it is not, the simplest baseline is used that lies within one standard error of the bar: of many
/// baselines the one that came out best by chance is often an intricate one.
public struct ModelSelection: Sendable, Hashable, Codable {
  /// One entry of a comparison.
  public struct Candidate: Sendable, Hashable, Codable {
    /// The name in the table.
    public var name: String
    /// Whether it is a bar to clear rather than something to recommend.
    public var isBaseline: Bool
    /// Losses at the validation origins, in time order.
    public var validationLosses: [Double]
    /// Losses at the test origins, in time order.
    public var testLosses: [Double]

    /// Creates an entry. A loss that is not finite, or no losses at all, mark a failure.
    public init(
      name: String, isBaseline: Bool, validationLosses: [Double], testLosses: [Double]
    ) {
      self.name = name
      self.isBaseline = isBaseline
      self.validationLosses = validationLosses
      self.testLosses = testLosses
    }

    var hasFailed: Bool {
      validationLosses.isEmpty || testLosses.isEmpty
        || !validationLosses.allSatisfy(\.isFinite) || !testLosses.allSatisfy(\.isFinite)
    }
  }

  /// The comparison of one candidate with the best baseline on the test part.
  public struct Standing: Sendable, Hashable, Codable {
    /// The name in the table.
    public let name: String
    /// Whether it is a baseline.
    public let isBaseline: Bool
    /// Whether it has no losses to judge; it stays in the table.
    public let hasFailed: Bool
    /// Mean validation loss; nil after a failure.
    public let validationLoss: Double?
    /// Mean test loss; nil after a failure.
    public let testLoss: Double?
    /// `1 - loss / loss of the best baseline` on the test part; nil where the latter is 0.
    public let skill: Double?
    /// The block-bootstrap interval of the skill; nil for the best baseline itself, and where there
    /// are too few windows.
    public let interval: ClosedRange<Double>?
    /// The two-sided p-value against the best baseline, before correction; nil likewise.
    public let pValue: Double?
    /// The p-value after Holm, over all models tried; nil for baselines.
    public let adjustedPValue: Double?
  }

  /// All candidates, by validation loss; failures come last.
  public let standings: [Standing]
  /// Which model is recommended, or none, and why.
  public let verdict: Verdict

  /// Judges the candidates.
  ///
  /// - Parameters:
  ///   - candidates: Models and baselines of different names, scored at the same origins; baselines from the
  ///     simplest on.
  ///   - overlap: How many successive origins share some target: ⌈horizon / stride⌉.
  ///   - wanders: Whether series wander like prices: then a baseline goes before a simpler one only where it is
  ///     better by the test that models have to pass, corrected for how many baselines were tried. Default: no.
  ///   - bootstrap: How intervals are drawn. The chance of naming any model wrongly that is accepted
  ///     is 1 - its confidence.
  ///   - generator: The source of randomness.
  /// - Throws: ``MetricError`` when origins differ in number.
  public init(
    _ candidates: [Candidate], overlap: Int = 1, wanders: Bool = false,
    bootstrap: BlockBootstrap = BlockBootstrap(),
    using generator: inout some RandomNumberGenerator
  ) throws {
    let alive = candidates.filter { !$0.hasFailed }
    for candidate in alive {
      let title = "Losses of \(candidate.name)"
      try check(title, candidate.testLosses.count, alive[0].testLosses.count)
      try check(title, candidate.validationLosses.count, alive[0].validationLosses.count)
    }
    let ranked = alive.sorted {
      Metrics.mean($0.validationLosses) < Metrics.mean($1.validationLosses)
    }
    let baseline = ranked.filter(\.isBaseline).min {
      Metrics.mean($0.testLosses) < Metrics.mean($1.testLosses)
    }
    let models = candidates.filter { !$0.isBaseline }
    // A failure was tried as well: it counts in the correction.
    let adjusted = holm(models.map { Self.test(baseline, $0, overlap)?.pValue ?? .nan })
    var standings: [Standing] = []
    for candidate in ranked {
      let interval = try baseline.flatMap { baseline in
        candidate.testLosses.count < 2
          ? nil
          : try bootstrap.skillInterval(
            losses: candidate.testLosses, benchmark: baseline.testLosses, overlap: overlap,
            using: &generator)
      }
      let place = models.firstIndex { $0.name == candidate.name }
      standings.append(
        Standing(
          candidate, against: baseline, interval, Self.test(baseline, candidate, overlap),
          place.map { adjusted[$0] }))
    }
    self.standings = standings + candidates.filter(\.hasFailed).map { Standing(failed: $0) }
    let baselines = alive.filter(\.isBaseline)
    let reach =
      wanders
      ? -normalQuantile((1 - bootstrap.confidence) / Double(max(1, baselines.count - 1))) : 1
    var verdict = Self.verdict(
      standings.first { !$0.isBaseline }, over: standings.first { $0.name == baseline?.name },
      simplest: Self.simplest(baselines, beside: baseline, overlap, reach: reach),
      models: models.count, windows: alive.first?.testLosses.count ?? 0, overlap: overlap,
      confidence: bootstrap.confidence)
    verdict.standardErrors = reach
    self.verdict = verdict
  }

  private static func verdict(
    _ best: Standing?, over bar: Standing?, simplest: String?, models: Int, windows: Int,
    overlap: Int, confidence: Double
  ) -> Verdict {
    let independent = windows / max(1, overlap)
    let reason: Verdict.Reason =
      if let best, let bar, let loss = best.validationLoss, let barLoss = bar.validationLoss {
        if bar.testLoss == 0 {
          .perfectBaseline
        } else if let interval = best.interval, let p = best.adjustedPValue, !p.isNaN {
          if interval.upperBound < 0 {
            .worse
          } else if interval.lowerBound <= 0 {
            .intervalIncludesZero
          } else if p >= 1 - confidence {
            .notSignificant
          } else {
            loss >= barLoss
              ? .worseOnValidation
              : independent < Verdict.fewestIndependentWindows ? .tooFewWindows : .confirmed
          }
        } else {
          .tooFewWindows
        }
      } else {
        bar == nil ? .everyBaselineFailed : .everyModelFailed
      }
    return Verdict(
      reason: reason, model: best?.name, baseline: bar?.name, simplest: simplest,
      effect: best?.skill,
      interval: best?.interval, confidence: confidence, pValue: best?.adjustedPValue,
      uncorrectedPValue: best?.pValue, models: models, windows: windows,
      independentWindows: independent)
  }

  /// The first of some baselines whose mean loss on validation and test is at most so many standard errors
  /// above that of the bar; with one, the rule by which trees are pruned (Breiman, Friedman, Olshen and Stone,
  /// 1984).
  private static func simplest(
    _ baselines: [Candidate], beside bar: Candidate?, _ overlap: Int, reach: Double
  ) -> String? {
    guard let bar else { return nil }
    let losses = bar.validationLosses + bar.testLosses
    return baselines.first { other in
      let own = other.validationLosses + other.testLosses
      guard other.name != bar.name else { return true }
      return test(own, losses, overlap).map { $0.statistic <= reach } ?? false
    }?.name
  }

  /// The test of a candidate against the bar on the test part; nil where one of the two has failed or there
  /// are too few origins.
  private static func test(_ baseline: Candidate?, _ other: Candidate, _ overlap: Int)
    -> DieboldMariano?
  {
    guard let baseline, !other.hasFailed else { return nil }
    return test(baseline.testLosses, other.testLosses, overlap)
  }

  /// Diebold and Mariano's test with twice the lags of the overlap, to hold its level; nil where there are
  /// too few origins.
  private static func test(_ first: [Double], _ second: [Double], _ overlap: Int)
    -> DieboldMariano?
  {
    guard let rule = try? DieboldMariano(first, second, horizon: overlap) else { return nil }
    let lags = max(rule.lags, min(2 * (overlap - 1), first.count / 4))
    return try? DieboldMariano(first, second, horizon: overlap, lags: lags)
  }
}

extension ModelSelection.Standing {
  fileprivate init(
    _ candidate: ModelSelection.Candidate, against baseline: ModelSelection.Candidate?,
    _ interval: ClosedRange<Double>?, _ test: DieboldMariano?, _ adjusted: Double?
  ) {
    let isBar = candidate.name == baseline?.name
    let loss = Metrics.mean(candidate.testLosses)
    let bar = baseline.map { Metrics.mean($0.testLosses) } ?? 0
    self.init(
      name: candidate.name, isBaseline: candidate.isBaseline, hasFailed: false,
      validationLoss: Metrics.mean(candidate.validationLosses), testLoss: loss,
      skill: bar == 0 ? nil : loss == bar ? 0 : 1 - loss / bar,
      interval: isBar || bar == 0 ? nil : interval,
      pValue: isBar ? nil : test?.pValue, adjustedPValue: adjusted)
  }

  fileprivate init(failed candidate: ModelSelection.Candidate) {
    self.init(
      name: candidate.name, isBaseline: candidate.isBaseline, hasFailed: true,
      validationLoss: nil, testLoss: nil, skill: nil, interval: nil, pValue: nil,
      adjustedPValue: nil)
  }
}
