import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import Foundation

/// The opening of the test part, and what it says.
struct SeriesJudgement {
  let problem: SeriesProblem
  let selection: ModelSelection
  let rows: [ComparisonRow]
  let examples: [ForecastExample]
  let openedAt: Double
  let testOrigins: ForecastOrigins
  /// The chosen model's best run.
  let winner: (forecaster: Forecaster, name: String)?

  init(
    _ problem: SeriesProblem, contenders: [Contender<Forecaster>],
    baselines: inout [SeriesBaseline],
    options: ComparisonOptions
  ) throws {
    self.problem = problem
    testOrigins = problem.origins(.test)
    var (rows, candidates) = ([ComparisonRow](), [ModelSelection.Candidate]())
    openedAt = Date.now.timeIntervalSince1970
    for contender in contenders {
      let (row, candidate) = Self.judge(contender, problem)
      rows.append(row)
      candidates.append(candidate)
    }
    for baseline in baselines {
      let (row, candidate) = Self.judge(baseline, problem)
      rows.append(row)
      candidates.append(candidate)
    }
    var generator = PhiloxGenerator(RandomKey(seed: options.seeds.first ?? 0, stream: 77))
    let selection: ModelSelection
    do {
      selection = try ModelSelection(
        candidates, overlap: problem.split.horizon, using: &generator)
    } catch let error as MetricError {
      throw ComparisonError.noBaseline(reason: "\(error)")
    }
    self.selection = selection
    let standings = Dictionary(
      selection.standings.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    self.rows = rows.map { row in
      var row = row
      let standing = standings[row.name]
      row.skill = standing?.skill
      row.interval = standing?.interval
      row.pValue = standing?.adjustedPValue
      return row
    }
    let best = contenders.first { $0.architecture.name == selection.bestModel }
    winner = best.flatMap { contender in
      contender.bestRun.map { ($0.model, contender.architecture.name) }
    }
    let bar = baselines.first { $0.name == selection.bestBaseline }
    examples = Self.examples(problem, contender: best, baseline: bar, origins: testOrigins)
  }

  /// The mean over seeds at each date, so that no lucky seed is shown.
  private static func judge(
    _ contender: Contender<Forecaster>, _ problem: SeriesProblem
  ) -> (ComparisonRow, ModelSelection.Candidate) {
    var row = contender.row()
    guard contender.failure == nil else { return (row, failed(row.name, isBaseline: false)) }
    do {
      let validation = try contender.scores(problem, part: .validation)
      let test = try contender.scores(problem, part: .test)
      guard let first = test.first else { return (row, failed(row.name, isBaseline: false)) }
      row.loss = Metrics.mean(test.map(\.loss))
      row.lossDeviation = test.count > 1 ? deviation(test.map(\.loss)) : nil
      row.validationLoss = Metrics.mean(validation.map(\.loss))
      fill(&row, from: first)
      if let latency = contender.latency(problem) {
        (row.millisecondsP50, row.millisecondsP99) = (latency.p50, latency.p99)
      }
      let candidate = ModelSelection.Candidate(
        name: row.name, isBaseline: false, validationLosses: meanByDate(validation),
        testLosses: meanByDate(test))
      return (row, candidate)
    } catch {
      (row.status, row.message) = (.failed, "\(error)")
      return (row, failed(row.name, isBaseline: false))
    }
  }

  private static func judge(
    _ baseline: SeriesBaseline, _ problem: SeriesProblem
  ) -> (ComparisonRow, ModelSelection.Candidate) {
    var row = ComparisonRow(name: baseline.name, kind: .baseline)
    row.seconds = baseline.seconds
    do {
      if let failure = baseline.failure { throw ComparisonError.noBaseline(reason: failure) }
      let validation = try baseline.score(problem, part: .validation)
      let test = try baseline.score(problem, part: .test)
      row.loss = test.loss
      row.validationLoss = validation.loss
      row.millisecondsP50 = baseline.latency(problem)
      fill(&row, from: test)
      return (
        row,
        ModelSelection.Candidate(
          name: row.name, isBaseline: true, validationLosses: validation.losses,
          testLosses: test.losses)
      )
    } catch {
      (row.status, row.message) = (.failed, baseline.failure ?? "\(error)")
      return (row, failed(row.name, isBaseline: true))
    }
  }

  private static func fill(_ row: inout ComparisonRow, from score: ForecastScore) {
    row.coverageError = score.coverageError
    row.calibration = score.calibration
    row.lossBySteps = score.lossBySteps
    row.pit = score.pit
    row.metrics = score.metrics
  }

  private static func failed(_ name: String, isBaseline: Bool) -> ModelSelection.Candidate {
    ModelSelection.Candidate(
      name: name, isBaseline: isBaseline, validationLosses: [], testLosses: [])
  }

  private static func meanByDate(_ scores: [ForecastScore]) -> [Double] {
    guard let first = scores.first else { return [] }
    return first.losses.indices.map { date in Metrics.mean(scores.map { $0.losses[date] }) }
  }

  private static func deviation(_ values: [Double]) -> Double {
    let mean = Metrics.mean(values)
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return (squares / Double(values.count - 1)).squareRoot()
  }

  /// Six origins, evenly spread over the test part of the first series.
  private static func examples(
    _ problem: SeriesProblem, contender: Contender<Forecaster>?, baseline: SeriesBaseline?,
    origins: ForecastOrigins
  ) -> [ForecastExample] {
    let own = origins.all.indices.filter { origins.all[$0].series == 0 }
    guard let series = problem.table.series.first, own.count >= 6 else { return [] }
    let learned = contender.flatMap { contender in
      contender.runs.first.map { contender.forecasts($0, problem, origins) }
    }
    let classical = try? baseline?.forecasts(problem, origins).quantiles
    let levels = contender?.runs.first?.model.config.levels ?? baseline?.task.levels ?? []
    func point(_ row: Int) -> SeriesPoint {
      SeriesPoint(
        time: Double(series.timestamps[row].secondsSinceEpoch), value: series.values[row])
    }
    return (0..<6).map { number in
      let index = own[(2 * number + 1) * own.count / 12]
      let row = origins.all[index].row
      var fans: [ForecastFan] = []
      if let contender, let learned {
        fans.append(
          ForecastFan(
            name: contender.architecture.name, levels: levels, quantiles: learned[index]))
      }
      if let baseline, let classical {
        fans.append(ForecastFan(name: baseline.name, levels: levels, quantiles: classical[index]))
      }
      return ForecastExample(
        history: (max(0, row - 40)...row).map(point).filter(\.value.isFinite),
        actual: (row + 1...row + problem.split.horizon).map(point), fans: fans)
    }
  }
}
