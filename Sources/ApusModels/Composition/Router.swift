public import ApusTensor
import Foundation

/// Chooses one of M experts for a request: predicts their losses, says its certainty, and falls
/// back to the base expert where it is not.
///
/// A composition of experts routes whole requests to whole models (Prabhakar et al., 2024, *SambaNova
/// SN40L*, arXiv:2405.07518); that a well-tuned nearest-neighbor router matches learned ones is Li, 2025,
/// arXiv:2505.12601.
public struct Router: Codable, Sendable, Equatable {
  /// M.
  public let experts: Int
  /// The expert of least mean loss, taken when the router is unsure.
  public let base: Int
  /// The predictor of losses.
  public let predictor: LossPredictor
  /// Means and deviations that bring features to one scale; empty when vectors are taken as they are.
  let center: [Double]
  let spread: [Double]
  /// The deviation of predicted from true losses, by which margins are judged.
  public let residual: Double
  /// Similarity to the most similar known request below which a request is out of scope.
  public let scope: Double
  /// Uncertainty above which the base expert is taken.
  public let threshold: Double
  /// The known requests, normalized, for their similarity to new ones.
  let known: NearestRequests

  /// The decision about one request, with its reason.
  public struct Decision: Codable, Sendable, Equatable {
    /// Why the expert was taken.
    public enum Reason: String, Codable, Sendable {
      /// Its predicted loss is the least.
      case top
      /// The router is unsure: the base expert.
      case fallback
      /// The request is like none that the router knows: the base expert.
      case outOfScope = "out_of_scope"
    }

    /// The expert's number.
    public var expert: Int
    /// The predicted losses, `[M]`.
    public var losses: [Double]
    /// 0 for sure to 1.
    public var uncertainty: Double
    /// Why.
    public var reason: Reason
  }

  /// Decides about a request.
  ///
  /// - Parameter features: `[r]`, as ``SeriesFeatures`` or ``TextFeatures`` make them.
  /// - Returns: The expert, and why. The lower number among equals.
  public func decide(_ features: [Double]) -> Decision {
    let vector = normalized(features)
    let losses = predictor.losses(vector)
    let best = losses.indices.min { losses[$0] < losses[$1] } ?? base
    if case .constant = predictor {
      return Decision(expert: base, losses: losses, uncertainty: 0, reason: .top)
    }
    let uncertainty = Self.uncertainty(losses, residual: residual)
    var decision = Decision(expert: best, losses: losses, uncertainty: uncertainty, reason: .top)
    if (known.similarities(vector).max() ?? 0) < scope {
      (decision.expert, decision.reason) = (base, .outOfScope)
    } else if uncertainty > threshold {
      (decision.expert, decision.reason) = (base, .fallback)
    }
    return decision
  }

  /// 1 minus the margin between the two least losses in residual deviations, at least 0.
  static func uncertainty(_ losses: [Double], residual: Double) -> Double {
    let sorted = losses.sorted()
    guard sorted.count > 1 else { return 0 }
    guard residual > 0 else { return sorted[0] < sorted[1] ? 0 : 1 }
    return max(0, 1 - (sorted[1] - sorted[0]) / residual)
  }

  private func normalized(_ features: [Double]) -> [Double] {
    Self.normalized(features, center: center, spread: spread)
  }

  /// Brought to one scale, then to length one; a vector of zeros stays.
  private static func normalized(
    _ features: [Double], center: [Double], spread: [Double]
  ) -> [Double] {
    let scaled =
      center.isEmpty
      ? features
      : features.indices.map { ($0 < center.count) ? (features[$0] - center[$0]) / spread[$0] : 0 }
    let length = scaled.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return length > 0 ? scaled.map { $0 / length } : scaled
  }
}

/// Requests with the loss that each expert had on them: what a router learns from.
public struct RoutedExamples: Sendable {
  /// `[n][r]`, not yet normalized.
  public var features: [[Double]]
  /// `[n][M]`.
  public var losses: [[Double]]

  /// Puts the two together.
  ///
  /// - Precondition: They are equally many.
  public init(features: [[Double]] = [], losses: [[Double]] = []) {
    precondition(
      features.count == losses.count,
      "RoutedExamples: \(features.count) features, \(losses.count) losses")
    self.features = features
    self.losses = losses
  }

  /// n.
  public var count: Int { features.count }

  /// Adds a request.
  public mutating func append(features: [Double], losses: [Double]) {
    self.features.append(features)
    self.losses.append(losses)
  }
}

extension Router {
  /// The mean loss over examples of each way to choose.
  public struct Report: Codable, Sendable, Equatable {
    /// Examples judged.
    public var examples = 0
    /// Mean loss of each expert alone, `[M]`.
    public var single: [Double] = []
    /// Mean loss of the router.
    public var routed = 0.0
    /// Mean loss of the best expert of each example in hindsight: a lower bound that includes luck.
    public var hindsight = 0.0
    /// The share sent to the base expert because the router was unsure.
    public var fallback = 0.0
    /// The share sent to each expert, `[M]`.
    public var shares: [Double] = []
    /// The standard error of the mean difference between the router and the best single expert.
    public var standardError = 0.0
  }

  /// Learns from one set of examples and chooses between predictors on another.
  ///
  /// Where no predictor beats the best single expert on the second set, that one is shipped: per-request
  /// routing easily loses to a well-chosen constant.
  /// - Parameters:
  ///   - training: Requests to learn from; at least one.
  ///   - validation: Others, for choices and thresholds; at least one.
  ///   - isScaled: Whether features have scales of their own and are to be brought to one.
  ///   - coverage: The share of known requests that is routed rather than sent to the base.
  public init(
    training: RoutedExamples, validation: RoutedExamples, isScaled: Bool, coverage: Double = 0.9
  ) {
    let experts = training.losses.first?.count ?? 0
    let size = training.features.first?.count ?? 0
    let n = Double(max(training.count, 1))
    let means = (0..<size).map { i in training.features.reduce(0) { $0 + $1[i] } / n }
    let deviations = (0..<size).map { i in
      let squares = training.features.map { ($0[i] - means[i]) * ($0[i] - means[i]) }
      return squares.reduce(0, +) > 1e-24 * n ? (squares.reduce(0, +) / n).squareRoot() : 1
    }
    let (center, spread) = isScaled ? (means, deviations) : ([], [])
    let known = training.features.map { Self.normalized($0, center: center, spread: spread) }
    let asked = validation.features.map { Self.normalized($0, center: center, spread: spread) }
    let single = Self.meanLosses(training.losses + validation.losses, experts: experts)
    let base = single.indices.min { single[$0] < single[$1] } ?? 0
    let nearest = NearestRequests(known, losses: training.losses)
    var candidates: [LossPredictor] = [.nearest(nearest)]
    if size <= 64 { candidates.append(.ridge(RidgeMap(known, losses: training.losses))) }
    let results = candidates.map { predictor in
      Self.mean(
        zip(asked, validation.losses).map { vector, losses in
          let foretold = predictor.losses(vector)
          return losses[foretold.indices.min { foretold[$0] < foretold[$1] } ?? 0]
        })
    }
    let order = results.indices.min { results[$0] < results[$1] } ?? 0
    (self.experts, self.base, self.known) = (experts, base, nearest)
    (self.center, self.spread) = (center, spread)
    guard results[order] < Self.mean(validation.losses.map { $0[base] }) else {
      predictor = .constant(single)
      (residual, scope, threshold) = (0, -1, 1)
      return
    }
    let chosen = candidates[order]
    let foretold = asked.map { chosen.losses($0) }
    let errors = zip(foretold, validation.losses).flatMap { zip($0, $1).map { $0 - $1 } }
    let deviation = Self.mean(errors.map { $0 * $0 }).squareRoot()
    (predictor, residual) = (chosen, deviation)
    // Half of what may be rejected is rejected as unknown, half as undecided.
    let turned = max(0, min(1, 1 - coverage)) / 2
    scope =
      turned > 0 ? Self.quantile(asked.map { nearest.similarities($0).max() ?? 0 }, turned) : -1
    threshold =
      turned > 0
      ? Self.quantile(foretold.map { Self.uncertainty($0, residual: deviation) }, 1 - turned) : 1
  }

  /// Judges the router on requests that it has not seen.
  ///
  /// - Parameter examples: Held out from everything.
  /// - Returns: The mean losses of every way to choose.
  public func report(_ examples: RoutedExamples) -> Report {
    var report = Report()
    report.examples = examples.count
    report.single = Self.meanLosses(examples.losses, experts: experts)
    report.shares = [Double](repeating: 0, count: experts)
    guard examples.count > 0 else { return report }
    let n = Double(examples.count)
    let best = report.single.indices.min { report.single[$0] < report.single[$1] } ?? 0
    var differences: [Double] = []
    for (features, losses) in zip(examples.features, examples.losses) {
      let decision = decide(features)
      report.routed += losses[decision.expert] / n
      report.hindsight += (losses.min() ?? 0) / n
      report.shares[decision.expert] += 1 / n
      if decision.reason != .top { report.fallback += 1 / n }
      differences.append(losses[decision.expert] - losses[best])
    }
    let mean = Self.mean(differences)
    let variance = Self.mean(differences.map { ($0 - mean) * ($0 - mean) })
    report.standardError = (variance / n).squareRoot()
    return report
  }

  /// Throws where a router read from a file does not fit together or the number of experts.
  ///
  /// - Parameters:
  ///   - experts: M.
  ///   - size: r.
  /// - Throws: ``RouterError``.
  public func validate(experts: Int, size: Int) throws {
    let vectors = center.isEmpty || (center.count == size && spread.count == size)
    guard self.experts == experts, (0..<experts).contains(base), vectors,
      spread.allSatisfy({ $0 > 0 }),
      (center + spread + [residual, scope, threshold]).allSatisfy(\.isFinite),
      predictor.isConsistent(experts: experts, size: size),
      known.isConsistent(experts: experts, size: size)
    else { throw RouterError.inconsistent(experts: experts, size: size) }
  }

  private static func mean(_ values: [Double]) -> Double {
    values.reduce(0, +) / Double(max(values.count, 1))
  }

  private static func meanLosses(_ losses: [[Double]], experts: Int) -> [Double] {
    (0..<experts).map { m in mean(losses.map { $0[m] }) }
  }

  private static func quantile(_ values: [Double], _ level: Double) -> Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return 0 }
    return sorted[min(sorted.count - 1, Int(level * Double(sorted.count)))]
  }
}

/// An error of a router.
public enum RouterError: Error, Equatable {
  /// Its arrays do not fit together.
  case inconsistent(experts: Int, size: Int)
}

extension RouterError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .inconsistent(let experts, let size):
      """
      The router does not fit \(experts) experts and \(size) features, or its parts do not fit each \
      other. Compose the experts again.
      """
    }
  }
}
