import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
public import ApusTensor

extension Contender<Forecaster> {
  /// The scores of every seed: the models forecast one after the other, on all threads each, and are scored
  /// side by side.
  func scores(_ problem: SeriesProblem) throws -> [CorrectedScores] {
    let found = try runs.map { run in
      (
        levels: run.model.config.levels,
        validation: try problem.forecasts(of: run.model, at: problem.origins(.validation)),
        test: try problem.forecasts(of: run.model, at: problem.origins(.test))
      )
    }
    return try sideBySide(found.count) { run in
      try CorrectedScores(problem, levels: found[run].levels) { part in
        (part == .test ? found[run].test : found[run].validation, nil)
      }
    }
  }

  /// The median and the slowest hundredth of single forecasts, in milliseconds.
  func latency(_ problem: SeriesProblem) -> (p50: Double, p99: Double)? {
    guard let run = runs.first, let series = problem.table.series.first else { return nil }
    var stream = ForecastStream(run.model, recipe: problem.recipe, series: series.id)
    let columns = problem.recipe.covariates.map { series.covariate(named: $0) ?? [] }
    let times = (0..<min(series.count, 300)).map { row in
      let start = ContinuousClock.now
      _ = try? stream.push(
        series.values[row], covariates: columns.map { $0[row] }, at: series.timestamps[row])
      return (ContinuousClock.now - start).seconds * 1e3
    }.sorted()
    guard !times.isEmpty else { return nil }
    return (times[times.count / 2], times[min(times.count - 1, times.count * 99 / 100)])
  }
}

/// An error of a comparison as a whole.
public enum ComparisonError: Error, Equatable {
  /// Neither a model nor a baseline could be judged.
  case nothingToRecommend
  /// The part has no origin to judge by.
  case nothingToJudge(part: String)
}

extension ComparisonError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .nothingToRecommend:
      "Neither a model nor a baseline could be fitted and judged. Give more data."
    case .nothingToJudge(let part):
      "The \(part) part of the data has no window with a target. Give more data or a shorter horizon."
    }
  }
}
