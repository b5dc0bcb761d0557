import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import Foundation

/// The mean of the runs of a comparison that validated best, whatever model and seed they are of.
///
/// Two or three of them, as validation says; each counts the same, which is hard to beat (Clemen, 1989,
/// *Combining forecasts: A review and annotated bibliography*; Smith and Wallis, 2009, *A Simple Explanation
/// of the Forecast Combination Puzzle*). It costs what its members cost.
struct SeriesEnsemble {
  /// One run.
  struct Member {
    let model: String
    let run: Contender<Forecaster>.Run
    /// What the search for its model's settings cost; nil where there was none.
    let search: TuningRecord?
  }

  static let mostMembers = 3
  let members: [Member]

  /// Chooses the members; nil where there are fewer than two runs.
  ///
  /// - Parameters:
  ///   - problem: The question, of which the test part is not looked at.
  ///   - contenders: The models with their runs.
  /// - Throws: `CancellationError`, `MetricError`.
  init?(_ problem: SeriesProblem, _ contenders: [Contender<Forecaster>]) throws {
    let runs = contenders.filter { $0.failure == nil }.flatMap { contender in
      contender.runs.map { Member(model: contender.name, run: $0, search: contender.search) }
    }
    func loss(_ member: Member) -> Double { member.run.record.best?.validationLoss ?? .infinity }
    let ranked = runs.enumerated().sorted {
      (loss($0.element), $0.offset) < (loss($1.element), $1.offset)
    }
    let best = ranked.prefix(Self.mostMembers).map(\.element).filter { loss($0).isFinite }
    guard best.count >= 2 else { return nil }
    let losses = try (2...best.count).map { count in
      let mean = try problem.mean(
        of: best.prefix(count).map(\.run.model), at: problem.origins(.validation))
      let score = try problem.score(mean, part: .validation, levels: problem.task.levels)
      return Metrics.mean(problem.units(score))
    }
    let place = losses.indices.min { (losses[$0], $0) < (losses[$1], $1) } ?? 0
    members = Array(best.prefix(place + 2))
  }

  /// Forecasts at some origins: of each the mean of the members'.
  ///
  /// - Throws: `CancellationError`.
  func forecasts(_ problem: SeriesProblem, _ origins: ForecastOrigins) throws -> [[[Double]]] {
    try problem.mean(of: members.map(\.run.model), at: origins)
  }

  /// The row with what its members cost together.
  var row: ComparisonRow {
    var row = ComparisonRow(name: Model.ensembleName, kind: .model)
    let records = members.map(\.run.record)
    // A search is paid for once, whatever is made of its model.
    let searches = Dictionary(members.map { ($0.model, $0.search) }) { first, _ in first }
    let givenUp = searches.values.compactMap { $0?.givenUp }
    row.seconds = records.reduce(0) { $0 + $1.seconds } + givenUp.reduce(0) { $0 + $1.seconds }
    row.steps = records.reduce(0) { $0 + $1.steps } + givenUp.reduce(0) { $0 + $1.steps }
    row.peakBytes = records.map(\.peakBytes).max()
    row.parameters = members.reduce(0) { $0 + $1.run.parameters }
    row.artifactBytes = row.parameters.map { $0 * 4 }
    row.message = "The mean of \(words)."
    return row
  }

  /// The members in words, such as "mamba (seed 0) and lstm (seed 2)".
  var words: String {
    members.map { "\($0.model) (seed \($0.run.seed))" }.formatted(
      .list(type: .and).locale(Locale(identifier: "en")))
  }
}
