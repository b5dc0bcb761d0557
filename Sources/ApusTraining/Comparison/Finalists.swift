import ApusData
import ApusEvaluation
import ApusModels

/// The chosen model and the best baseline with what they forecast on the test part: what drawings, the
/// nested test and the checks of errors are made of.
struct Finalists {
  /// One of the two.
  struct Finalist {
    let name: String
    let levels: [Double]
    /// Of each origin, of the first run: `[origins][P][Q]`.
    let quantiles: [[[Double]]]
    /// Means of each run, or once of a baseline: `[runs][origins][P]`.
    let means: [[[Double]]]
  }

  let problem: SeriesProblem
  let origins: ForecastOrigins
  let model, baseline: Finalist?

  /// Forecasts once more; what fails here has failed before, and is left out.
  ///
  /// - Parameters:
  ///   - problem: The series.
  ///   - model: The chosen model: of each run the forecasters whose mean is taken, mostly one.
  ///   - baseline: The best baseline.
  ///   - corrections: What stretches the quantiles of each by name, of every seed.
  /// - Throws: `CancellationError` alone.
  init(
    _ problem: SeriesProblem, model: (name: String, runs: [[Forecaster]])?,
    baseline: SeriesBaseline?,
    corrections: [String: [ConformalCorrection?]]
  ) throws {
    let origins = problem.origins(.test)
    (self.problem, self.origins) = (problem, origins)
    func corrected(_ quantiles: [[[Double]]], of name: String, run: Int = 0) -> [[[Double]]] {
      guard let all = corrections[name], all.indices.contains(run), let correction = all[run] else {
        return quantiles
      }
      return quantiles.map { correction.applied(to: $0) }
    }
    self.model = try Self.unlessCancelled {
      try model.map { model in
        var first: [[[Double]]] = []
        let means = try model.runs.enumerated().map { number, run in
          let found = try corrected(
            problem.mean(of: run, at: origins), of: model.name, run: number)
          if number == 0 { first = found }
          return found.map { $0.map(Metrics.mean) }
        }
        return Finalist(
          name: model.name, levels: model.runs.first?.first?.config.levels ?? [],
          quantiles: first, means: means)
      }
    }
    self.baseline = try Self.unlessCancelled {
      try baseline.map { baseline in
        let found = try baseline.forecasts(problem, origins)
        return Finalist(
          name: baseline.name, levels: baseline.task.levels,
          quantiles: corrected(found.quantiles, of: baseline.name),
          means: [found.means])
      }
    }
  }

  private static func unlessCancelled(_ body: () throws -> Finalist?) throws -> Finalist? {
    do { return try body() } catch let error as CancellationError { throw error } catch {
      return nil
    }
  }

  /// What errors of a series are divided by.
  private func unit(_ series: Int) -> Double { problem.scales?[series] ?? 1 }

  // MARK: Tests

  /// Clark and West's test, where the model contains the baseline: of each date the mean over series,
  /// steps and seeds.
  func nestedTest(lookback: Int) -> NestedTest? {
    guard let model, let baseline, let smaller = baseline.means.first,
      Baseline.isLinearMap(
        baseline.name, lookback: lookback, season: problem.task.seasonLength)
    else { return nil }
    var sums = [(sum: Double, count: Int)](repeating: (0, 0), count: origins.dates)
    for (index, origin) in origins.all.enumerated() {
      let (targets, unit) = (problem.table.series[origin.series].values, unit(origin.series))
      for step in 0..<problem.split.horizon {
        let target = targets[origin.row + 1 + step]
        guard target.isFinite else { continue }
        for run in model.means {
          sums[origin.date].sum +=
            ClarkWest.difference(
              target / unit, nested: smaller[index][step] / unit, larger: run[index][step] / unit)
          sums[origin.date].count += 1
        }
      }
    }
    let differences = sums.filter { $0.count > 0 }.map { $0.sum / Double($0.count) }
    guard let test = try? ClarkWest(differences: differences, horizon: problem.overlap) else {
      return nil
    }
    return NestedTest(
      model: model.name, baseline: baseline.name, statistic: test.statistic, pValue: test.pValue)
  }

  /// What the direction of the model's forecasts of the next row was worth: of each date the mean over series,
  /// by the mean over seeds.
  func direction(trials: Int) -> DirectionSharpe? {
    guard problem.measure == .returns, let model, problem.split.horizon > 0 else { return nil }
    var sums = [(sum: Double, count: Int)](repeating: (0, 0), count: origins.dates)
    for (index, origin) in origins.all.enumerated() {
      let value = problem.table.series[origin.series].values[origin.row + 1]
      let expected = model.means.reduce(0) { $0 + $1[index][0] }
      guard value.isFinite, expected.isFinite else { continue }
      sums[origin.date].sum += expected > 0 ? value : expected < 0 ? -value : 0
      sums[origin.date].count += 1
    }
    return DirectionSharpe(
      model.name,
      returns: sums.filter { $0.count > 0 }.map { $0.sum / Double($0.count) }, trials: trials)
  }

  /// What the errors of one step ahead still hold, of medians: of each date the mean over series.
  func residuals(of name: String?) -> ResidualChecks? {
    let finalist = [model, baseline].compactMap(\.self).first { $0.name == name }
    guard let finalist, let middle = finalist.middle, problem.split.horizon > 0,
      finalist.quantiles.count == origins.all.count
    else { return nil }
    var sums = [(sum: Double, count: Int, time: Double)](
      repeating: (0, 0, 0), count: origins.dates)
    for (index, origin) in origins.all.enumerated() {
      let series = problem.table.series[origin.series]
      let error = series.values[origin.row + 1] - finalist.quantiles[index][0][middle]
      guard error.isFinite else { continue }
      sums[origin.date].sum += error / unit(origin.series)
      sums[origin.date].count += 1
      sums[origin.date].time = problem.time(origin.row + 1, of: series)
    }
    return try? ResidualChecks(
      name: finalist.name,
      errors: sums.filter { $0.count > 0 }.map {
        SeriesPoint(time: $0.time, value: $0.sum / Double($0.count))
      }, season: problem.task.seasonLength)
  }

  // MARK: Examples

  /// Origins evenly spread over the test part of one series.
  ///
  /// - Parameters:
  ///   - number: The series.
  ///   - count: How many.
  /// - Returns: The forecasts; none where the series has fewer origins.
  func examples(series number: Int, count: Int) -> [ForecastExample] {
    let own = Array(origins.ranges[number])
    guard own.count >= count else { return [] }
    return (0..<count).map { example(own[(2 * $0 + 1) * own.count / (2 * count)]) }
  }

  private func example(_ index: Int) -> ForecastExample {
    let origin = origins.all[index]
    let (series, row) = (problem.table.series[origin.series], origin.row)
    func point(_ row: Int) -> SeriesPoint {
      SeriesPoint(time: problem.time(row, of: series), value: series.values[row])
    }
    let fans = [model, baseline].compactMap(\.self).map {
      ForecastFan(name: $0.name, levels: $0.levels, quantiles: $0.quantiles[index])
    }
    var example = ForecastExample(
      history: (max(0, row - 40)...row).map(point).filter(\.value.isFinite),
      actual: (row + 1...row + problem.split.horizon).map(point), fans: fans)
    if problem.table.series.count > 1 { example.series = series.id }
    return example
  }
}

extension Finalists.Finalist {
  /// Where the median is among the levels.
  fileprivate var middle: Int? {
    levels.indices.min { abs(levels[$0] - 0.5) < abs(levels[$1] - 0.5) }
  }
}
