/// Who is recommended, when validation chooses and the test part is opened once.
///
/// The best model is the one with the smallest mean validation loss. The bar is the baseline with the
/// smallest mean test loss: hindsight may favor the bar, never the model. The model is recommended
/// over it only if the test part confirms it twice: the block-bootstrap
/// interval of its skill lies above 0, and its Diebold-Mariano p-value, corrected after Holm for
/// all models tried, is below the level.
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

  /// How one candidate stands against the best baseline on the test part.
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
    /// `1 - loss / loss of the best baseline` on the test part.
    public let skill: Double?
    /// The block-bootstrap interval of the skill; nil for the best baseline itself.
    public let interval: ClosedRange<Double>?
    /// The two-sided p-value against the best baseline, before correction.
    public let pValue: Double?
    /// The p-value after Holm, over all models tried; nil for baselines.
    public let adjustedPValue: Double?
  }

  /// All candidates, by validation loss; failures come last.
  public let standings: [Standing]
  /// The baseline with the smallest test loss.
  public let bestBaseline: String
  /// The model with the smallest validation loss; nil when none survived.
  public let bestModel: String?
  /// The model worth its effort; nil when no model beats the best baseline.
  public let recommended: String?

  /// One sentence for the top of a report.
  public var headline: String {
    recommended.map { "\($0) beats \(bestBaseline)" } ?? "no model beats \(bestBaseline)"
  }

  /// Judges the candidates.
  ///
  /// - Parameters:
  ///   - candidates: Models and baselines of different names, scored at the same origins. At least
  ///     one baseline must have survived.
  ///   - overlap: How many successive origins share some target: ⌈horizon / stride⌉.
  ///   - level: The chance of naming any model wrongly that is accepted.
  ///   - bootstrap: How intervals are drawn.
  ///   - generator: Where chance comes from.
  /// - Throws: ``MetricError`` when no baseline survived or when origins differ in number.
  public init(
    _ candidates: [Candidate], overlap: Int = 1, level: Double = 0.05,
    bootstrap: BlockBootstrap = BlockBootstrap(), using generator: inout some RandomNumberGenerator
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
    let bars = ranked.filter(\.isBaseline)
    guard
      let baseline = bars.min(by: { Metrics.mean($0.testLosses) < Metrics.mean($1.testLosses) })
    else {
      throw MetricError.tooFew(metric: "Surviving baselines", found: 0, needed: 1)
    }
    bestBaseline = baseline.name
    bestModel = ranked.first { !$0.isBaseline }?.name

    let models = candidates.filter { !$0.isBaseline }
    let tests = try models.map { model in
      model.hasFailed
        ? nil
        : try Self.test(baseline, model, overlap)
    }
    let adjusted = holm(tests.map { $0?.pValue ?? .nan })  // a failure was tried as well
    var standings: [Standing] = []
    for candidate in ranked {
      let test = try Self.test(baseline, candidate, overlap)
      let interval = try bootstrap.skillInterval(
        losses: candidate.testLosses, benchmark: baseline.testLosses, overlap: overlap,
        using: &generator)
      let place = models.firstIndex { $0.name == candidate.name }
      standings.append(
        Standing(candidate, against: baseline, interval, test, place.map { adjusted[$0] }))
    }
    standings += candidates.filter(\.hasFailed).map { Standing(failed: $0) }
    self.standings = standings

    let best = standings.first { !$0.isBaseline && !$0.hasFailed }
    let isConfirmed =
      best.map { ($0.interval?.lowerBound ?? -1) > 0 && ($0.adjustedPValue ?? 1) < level } ?? false
    let clearsValidation =
      (best?.validationLoss ?? .infinity) < Metrics.mean(baseline.validationLosses)
    recommended = isConfirmed && clearsValidation ? best?.name : nil
  }

  /// Diebold and Mariano's test with twice the lags of the overlap, to hold its level.
  private static func test(_ baseline: Candidate, _ other: Candidate, _ overlap: Int) throws
    -> DieboldMariano
  {
    let (first, second) = (baseline.testLosses, other.testLosses)
    let rule = try DieboldMariano(first, second, horizon: overlap)
    let lags = max(rule.lags, min(2 * (overlap - 1), first.count / 4))
    return try DieboldMariano(first, second, horizon: overlap, lags: lags)
  }
}

extension ModelSelection.Standing {
  fileprivate init(
    _ candidate: ModelSelection.Candidate, against baseline: ModelSelection.Candidate,
    _ interval: ClosedRange<Double>, _ test: DieboldMariano, _ adjusted: Double?
  ) {
    let isBar = candidate.name == baseline.name
    let (loss, bar) = (Metrics.mean(candidate.testLosses), Metrics.mean(baseline.testLosses))
    self.init(
      name: candidate.name, isBaseline: candidate.isBaseline, hasFailed: false,
      validationLoss: Metrics.mean(candidate.validationLosses), testLoss: loss,
      skill: loss == bar ? 0 : 1 - loss / bar,
      interval: isBar ? nil : interval,
      pValue: isBar ? nil : test.pValue, adjustedPValue: adjusted)
  }

  fileprivate init(failed candidate: ModelSelection.Candidate) {
    self.init(
      name: candidate.name, isBaseline: candidate.isBaseline, hasFailed: true,
      validationLoss: nil, testLoss: nil, skill: nil, interval: nil, pValue: nil,
      adjustedPValue: nil)
  }
}
