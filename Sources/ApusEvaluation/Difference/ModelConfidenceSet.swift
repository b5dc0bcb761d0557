import Foundation

/// The models that cannot be told from the best one: the model confidence set.
///
/// As long as the hypothesis that all models left lose equally much is rejected, the one that is worst
/// against their mean goes. The statistic is the largest `t_i = (L_i - L̄) / √Var(L_i - L̄)`, its
/// distribution and the variances come from a block bootstrap of the losses of all models together.
/// Hansen, Lunde and Nason, 2011, *The Model Confidence Set*, section 3.1.2, T_max.
public struct ModelConfidenceSet: Sendable, Hashable, Codable {
  /// The p-value of each model, in the order given: the largest of the tests up to its removal. A model
  /// is in the set of confidence 1 - α where it is α or more; the best has 1.
  public let pValues: [Double]

  /// The models in the set, as indices in the order given.
  ///
  /// - Parameter confidence: The probability that the best model is in it. Default: 0.9.
  /// - Returns: Ascending indices; never empty.
  public func members(confidence: Double = 0.9) -> [Int] {
    pValues.indices.filter { pValues[$0] >= 1 - confidence || pValues[$0] == 1 }
  }

  /// Finds the p-values of all models.
  ///
  /// - Parameters:
  ///   - losses: `[models][T]`, at the same origins in time order; at least one model.
  ///   - overlap: How many successive origins share some target.
  ///   - bootstrap: How resamples are drawn; its confidence is not used.
  ///   - generator: The source of randomness.
  /// - Throws: ``MetricError`` when numbers of origins differ, are below 2, or a loss is not finite.
  public init(
    losses: [[Double]], overlap: Int = 1, bootstrap: BlockBootstrap = BlockBootstrap(),
    using generator: inout some RandomNumberGenerator
  ) throws {
    let title = "The model confidence set"
    try check(title, losses.count, losses.count)
    for row in losses { try check(title, row.count, losses[0].count, needed: 2) }
    let means = losses.map { Metrics.mean($0) }
    // `[resamples][models]`: what each resample's mean differs from the mean.
    let draws = try bootstrap.meanDraws(of: losses, overlap: overlap, using: &generator)
      .map { draw in zip(draw, means).map { $0 - $1 } }
    var alive = Array(losses.indices)
    var (pValues, largest) = ([Double](repeating: 1, count: losses.count), 0.0)
    while alive.count > 1 {
      let (p, worst) = Self.test(means, draws, alive)
      largest = max(largest, p)
      pValues[worst] = largest
      alive.removeAll { $0 == worst }
    }
    self.pValues = pValues
  }

  /// The p-value of equal losses among `alive`, and the model that speaks most against it.
  private static func test(_ means: [Double], _ draws: [[Double]], _ alive: [Int]) -> (
    p: Double, worst: Int
  ) {
    func relative(_ row: [Double]) -> [Double] {
      let center = alive.reduce(0) { $0 + row[$1] } / Double(alive.count)
      return alive.map { row[$0] - center }
    }
    let differences = relative(means)
    let resampled = draws.map(relative)
    let deviations = alive.indices.map { index in
      (resampled.reduce(0) { $0 + $1[index] * $1[index] } / Double(resampled.count)).squareRoot()
    }
    func statistic(_ difference: Double, _ index: Int) -> Double {
      // Without any variance an equal mean is a tie, and another one leaves no doubt.
      deviations[index] > 0
        ? difference / deviations[index]
        : difference == 0 ? 0 : difference > 0 ? .infinity : -.infinity
    }
    let found = alive.indices.map { statistic(differences[$0], $0) }
    let worst = found.indices.max { found[$0] < found[$1] } ?? 0
    let beyond = resampled.count { row in
      let largest = alive.indices.reduce(-Double.infinity) { max($0, statistic(row[$1], $1)) }
      return largest >= found[worst]
    }
    return (Double(beyond) / Double(resampled.count), alive[worst])
  }
}
