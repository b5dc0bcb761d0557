import ApusData
import ApusEvaluation
import ApusModels
import ApusTensor

/// Chooses baselines whose mean validates better than each of them.
///
/// The best one is joined by the one beside which the mean of quantiles gains most, and so on while it gains:
/// the best three alone are often three of a kind (Caruana, Niculescu-Mizil, Crew and Ksikes, 2004, *Ensemble
/// Selection from Libraries of Models*). Each counts the same.
struct SeriesCombination {
  /// Among how many of the best ones members are looked for, and how many there are at most.
  private static let (mostCandidates, mostMembers) = (6, 3)

  private let problem: SeriesProblem
  /// Of each candidate the forecasts at the origins of validation, `[origins][P][Q]`.
  private let forecasts: [[[[Double]]]]
  /// The mean of what was chosen; nil where a single one validates best.
  private(set) var mean: SeriesBaseline?

  /// Looks at the validation part alone.
  ///
  /// - Parameters:
  ///   - problem: The question.
  ///   - baselines: Fitted ones.
  ///   - losses: Of each on validation; nil where it has failed.
  /// - Throws: `CancellationError`, `MetricError`, and what forecasting throws.
  init(_ problem: SeriesProblem, _ baselines: [SeriesBaseline], losses: [Double?]) throws {
    var alive: [(baseline: SeriesBaseline, loss: Double, place: Int)] = []
    for (place, (baseline, loss)) in zip(baselines, losses).enumerated() {
      guard let loss, loss.isFinite, Baseline.members(of: baseline.name).count == 1 else {
        continue
      }
      alive.append((baseline, loss, place))
    }
    alive.sort { ($0.loss, $0.place) < ($1.loss, $1.place) }
    let candidates = alive.prefix(Self.mostCandidates).map(\.baseline)
    self.problem = problem
    forecasts = try sideBySide(candidates.count) { place in
      try candidates[place].forecasts(problem, problem.origins(.validation)).quantiles
    }
    guard var best = alive.first?.loss else { return }
    var members = [0]
    while members.count < Self.mostMembers {
      try Task.checkCancellation()
      let others = candidates.indices.filter { !members.contains($0) }
      let (this, chosen) = (self, members)
      let found = try sideBySide(others.count) { try this.loss(of: chosen + [others[$0]]) }
      guard let place = found.indices.min(by: { found[$0] < found[$1] }), found[place] < best else {
        break
      }
      best = found[place]
      members.append(others[place])
    }
    if members.count > 1 { mean = SeriesBaseline(meanOf: members.map { candidates[$0] }) }
  }

  /// The loss of the mean of some candidates on validation.
  private func loss(of members: [Int]) throws -> Double {
    let mean = SeriesProblem.mean(of: members.map { forecasts[$0] })
    let score = try problem.score(mean, part: .validation, levels: problem.task.levels)
    return Metrics.mean(problem.units(score))
  }
}
