import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime

// How forecasters of one problem are corrected by what validation says about their quantiles.
extension SeriesProblem {
  /// Forecasts of a trained model.
  ///
  /// - Parameters:
  ///   - forecaster: The model, which reads rows as `recipe` makes them.
  ///   - origins: Where it forecasts from.
  /// - Returns: Of each origin `[P][Q]`, in units of the measure, not corrected.
  /// - Throws: `CancellationError`.
  func forecasts(
    of forecaster: Forecaster, at origins: ForecastOrigins
  ) throws -> [[[Double]]] {
    let forecasts = Array(
      try SeriesForecast.quantiles(
        of: forecaster, frames: frames, after: origins.ranges.map { origins.all[$0].map(\.row) }
      ).joined())
    guard measure == .volatility else { return forecasts }
    return forecasts.map { $0.map { $0.map { max(0, $0) } } }  // a variance is never negative
  }

  /// The mean of the forecasts of trained models, each of which counts the same.
  ///
  /// - Throws: `CancellationError`.
  func mean(of forecasters: [Forecaster], at origins: ForecastOrigins) throws -> [[[Double]]] {
    Self.mean(of: try forecasters.map { try forecasts(of: $0, at: origins) })
  }

  /// The mean of forecasts from the same origins, `[origins][P][Q]` each.
  static func mean(of forecasts: [[[[Double]]]]) -> [[[Double]]] {
    let weights = [Double](repeating: 1 / Double(forecasts.count), count: forecasts.count)
    return forecasts[0].indices.map { origin in
      averageQuantiles(forecasts.map { $0[origin] }, weights: weights)
    }
  }

  /// What came after each of some origins, `[P]`.
  private func outcomes(of origins: some Collection<ForecastOrigins.Origin>) -> [[Double]] {
    origins.map { Array(table.series[$0.series].values[$0.row + 1...$0.row + split.horizon]) }
  }

  /// The correction that validation teaches; nil where none is asked for, or none is needed.
  ///
  /// - Parameters:
  ///   - forecasts: Of each origin of the validation part `[P][Q]`, not corrected.
  ///   - levels: The Q levels.
  /// - Returns: The correction of forecasts of the same forecaster.
  func correction(of forecasts: [[[Double]]], levels: [Double]) -> ConformalCorrection? {
    guard isConformal else { return nil }
    let found = correction(of: forecasts, at: origins(.validation).all[...], levels: levels)
    return found.isIdentity ? nil : found
  }

  private func correction(
    of forecasts: [[[Double]]], at origins: some Collection<ForecastOrigins.Origin>,
    levels: [Double]
  ) -> ConformalCorrection {
    ConformalCorrection(
      levels: levels, forecasts: forecasts, outcomes: outcomes(of: origins),
      isNonNegative: isNonNegative, isShrunk: true)
  }

  /// The score of forecasts.
  ///
  /// - Parameters:
  ///   - forecasts: Of each origin of the part `[P][Q]`.
  ///   - means: `[P]` of each; the means of the quantiles when nil.
  ///   - part: Validation or test.
  ///   - levels: The Q levels.
  /// - Returns: All that is read off them.
  /// - Throws: `MetricError`.
  func score(
    _ forecasts: [[[Double]]], means: [[Double]]? = nil, part: Split.Part, levels: [Double]
  ) throws -> ForecastScore {
    try ForecastScore(
      quantiles: forecasts, means: means, origins: origins(part), table: table, split: split,
      levels: levels, measure: measure, scales: scales)
  }

  /// Coverage of forecasts from some origins: the central intervals, widest first.
  ///
  /// - Parameters:
  ///   - forecasts: Of each origin `[P][Q]`.
  ///   - origins: The origins.
  ///   - levels: The Q levels.
  /// - Returns: What each interval held.
  /// - Throws: `MetricError`.
  func coverage(
    of forecasts: [[[Double]]], at origins: [ForecastOrigins.Origin], levels: [Double]
  ) throws -> [IntervalCoverage] {
    let pairs = zip(forecasts, outcomes(of: origins)).flatMap { quantiles, values in
      zip(quantiles, values).filter { $0.1.isFinite }
    }
    return try IntervalCoverage.all(
      pairs.map(\.1), quantiles: pairs.map(\.0), levels: levels)
  }

  /// Coverage on the validation part: with a correction, each half of its dates has that of the other half,
  /// without the dates whose targets both share.
  ///
  /// - Parameters:
  ///   - forecasts: Of each origin of the validation part `[P][Q]`, not corrected.
  ///   - levels: The Q levels.
  /// - Returns: The central intervals, widest first; empty where halves are too short to tell.
  /// - Throws: `MetricError`.
  func validationCoverage(
    of forecasts: [[[Double]]], levels: [Double]
  ) throws -> [IntervalCoverage] {
    let origins = origins(.validation)
    func coverage(
      _ forecasts: [[[Double]]], _ places: [Int]
    ) throws -> [IntervalCoverage] {
      try self.coverage(
        of: places.map { forecasts[$0] }, at: places.map { origins.all[$0] }, levels: levels)
    }
    guard isConformal else { return try coverage(forecasts, Array(origins.all.indices)) }
    let border = origins.dates / 2
    let shared = (split.horizon + originStride - 1) / originStride
    let early = origins.all.indices.filter { origins.all[$0].date <= border - shared }
    let late = origins.all.indices.filter { origins.all[$0].date >= border }
    guard !early.isEmpty, !late.isEmpty else { return [] }
    var corrected = forecasts
    for (places, others) in [(early, late), (late, early)] {
      let correction = correction(
        of: others.map { forecasts[$0] }, at: others.map { origins.all[$0] }, levels: levels)
      for place in places { corrected[place] = correction.applied(to: forecasts[place]) }
    }
    return try coverage(corrected, early + late)
      .beside(uncorrected: try coverage(forecasts, early + late))
  }
}

/// Forecasts of one forecaster on validation and test, scored; on test before and after its correction.
struct CorrectedScores {
  /// Of quantiles as they come: choices are made by them.
  let validation: ForecastScore
  /// Of what is used: corrected where the problem asks for it.
  let test: ForecastScore
  /// Central intervals on test, with what they held before the correction where there is one.
  let intervals: [IntervalCoverage]
  let correction: ConformalCorrection?

  /// Scores forecasts.
  ///
  /// - Parameters:
  ///   - problem: The question.
  ///   - levels: The Q levels.
  ///   - forecasts: Quantiles at the origins of a part, and means where the forecaster has its own. Test is
  ///     asked for after validation.
  /// - Throws: `MetricError`, and what `forecasts` throws.
  init(
    _ problem: SeriesProblem, levels: [Double],
    forecasts: (Split.Part) throws -> (quantiles: [[[Double]]], means: [[Double]]?)
  ) throws {
    let known = try forecasts(.validation)
    validation = try problem.score(
      known.quantiles, means: known.means, part: .validation, levels: levels)
    correction = problem.correction(of: known.quantiles, levels: levels)
    let asked = try forecasts(.test)
    let used = correction.map { asked.quantiles.map($0.applied) } ?? asked.quantiles
    test = try problem.score(used, means: asked.means, part: .test, levels: levels)
    guard correction != nil else {
      intervals = test.intervals
      return
    }
    intervals = test.intervals.beside(
      uncorrected: try problem.coverage(
        of: asked.quantiles, at: problem.origins(.test).all, levels: levels))
  }
}
