public import ApusData
import ApusEvaluation
import ApusModels
import ApusRuntime
import ApusTensor
import Foundation

/// Training one forecaster: from a table to a model folder.
public struct ForecastTraining: Sendable {
  private let table: SeriesTable
  private let source: DataSource
  private let options: ModelTrainingOptions

  /// Creates the job; nothing is done before ``run(output:resume:progress:)``.
  ///
  /// - Parameters:
  ///   - table: The series as read.
  ///   - source: The fingerprint of the file, by which a resumed run knows it.
  ///   - options: Model, budget, horizon and the like.
  public init(_ table: SeriesTable, source: DataSource, options: ModelTrainingOptions) {
    (self.table, self.source, self.options) = (table, source, options)
  }

  /// Sets up what all seeds share: the measure, the split in time, the recipe.
  private func problem() throws -> SeriesProblem {
    var problemOptions = ComparisonOptions()
    (problemOptions.horizon, problemOptions.levels) = (options.horizon, options.levels)
    problemOptions.measure = options.measure
    (problemOptions.covariates, problemOptions.future) = (options.covariates, options.future)
    problemOptions.holidays = options.holidays
    (problemOptions.patch, problemOptions.head) = (options.patch, options.head)
    problemOptions.isConformal = options.isConformal
    problemOptions.context = options.context ?? problemOptions.fitting(table).lookBack
    return try SeriesProblem(table, options: problemOptions)
  }

  /// Sets up a model.
  private func task(
    _ problem: SeriesProblem, _ options: ModelTrainingOptions
  ) throws -> ForecastingTask {
    let context = problem.lookBack
    let size = ComparisonOptions.usualForecaster
    let usual = BackboneSize(
      width: size.width, layers: size.layers, context: max(1, context / max(1, options.patch)))
    let config = ForecasterConfig(
      try options.model.blueprint(usual, width: options.width, layers: options.layers),
      context: context, inputs: problem.recipe.inputs, horizon: options.horizon,
      levels: options.levels, patch: options.patch,
      window: ForecasterConfig.usualWindow(context: context),
      known: problem.recipe.known?.count ?? 0, head: options.head)
    var task = try ForecastingTask(
      config, seed: options.seed, recipe: problem.recipe, frames: problem.frames,
      split: problem.split, batch: options.batch ?? 8, scales: problem.scales)
    struct Identity: Encodable {
      let config: ForecasterConfig
      let recipe: FeatureRecipe
      let target: String
      let batch: Int
    }
    let identity = Identity(
      config: config, recipe: problem.recipe, target: table.targetName, batch: task.batch)
    task.identity = TaskIdentity(
      configuration: String(decoding: try JSONEncoder.tidy.encode(identity), as: UTF8.self),
      dataSHA256: source.sha256)
    return task
  }

  /// Trains, and saves the weights that validated best; of several seeds the mean of all.
  ///
  /// - Parameters:
  ///   - output: The model's folder; the run's checkpoints lie in `checkpoints` under it.
  ///   - resume: Whether to go on from the newest checkpoint there.
  ///   - progress: Called after every step.
  /// - Returns: The record of the run.
  /// - Throws: What is wrong with the data or the options, ``TrainingError``, `ModelFolderError` and
  ///   `FileError`; a folder that cannot be written is found before training. ``Interruption`` when the
  ///   Swift task is cancelled: then a checkpoint stands, and no model is written.
  @concurrent
  public func run(
    output: String, resume: Bool = false,
    progress: @escaping @Sendable (TrainingProgress) async -> Void = { _ in }
  ) async throws -> TrainingSummary {
    let problem = try problem()
    let count = options.seeds
    var own = options
    own.budget = options.budget.shared(by: count)
    var (forecasters, records, search) = ([Forecaster](), [TrainingRecord](), TuningRecord?.none)
    for number in 0..<count {
      func report(_ state: TrainingProgress) async {
        var state = state
        if count > 1 {
          state.share = (Double(number) + state.share) / Double(count)
          state.remainingSeconds = nil
        }
        await progress(state)
      }
      own.seed = options.seed &+ UInt64(number)
      if number == 0, own.candidates > 1 {
        let settled = try await own.settled(
          size: size, training: TrainerOptions.forecaster, output: output, resume: resume,
          progress: report
        ) { try task(problem, $0) }
        (own, search) = (settled.options, settled.search)
        records.append(try own.record(of: settled.record))
        forecasters.append(settled.task.forecaster)
      } else {
        let task = try task(problem, own)
        let trainer = try own.prepared(
          .forecaster(learningRate: own.learningRate), output: output,
          part: count > 1 ? "\(own.seed)" : nil)
        let record = try await trainer.run(task, resume: resume, progress: report)
        records.append(try own.record(of: record))
        forecasters.append(task.forecaster)
      }
    }
    var summary = TrainingSummary(
      task: "forecast",
      model: count > 1 ? Model.ensembleName : options.model.architecture.name,
      parameters: forecasters.flatMap(\.parameters).reduce(0) { $0 + $1.value.count },
      validationLoss: nil, output: output, record: TrainingRecord(together: records))
    (summary.validationLoss, summary.tuning) = (summary.record.best?.validationLoss, search)
    try save(forecasters, problem, &summary)
    return summary
  }

  /// Width and layers where nothing is said, as their options count them.
  private var size: (width: Int, layers: Int) {
    let usual = ComparisonOptions.usualForecaster
    return (usual.width, usual.layers * options.model.architecture.layersPerBlock)
  }

  /// Saves what was trained, and tells what it does on validation.
  private func save(
    _ forecasters: [Forecaster], _ problem: SeriesProblem, _ summary: inout TrainingSummary
  ) throws {
    let levels = options.levels
    let known = try problem.mean(of: forecasters, at: problem.origins(.validation))
    let correction = problem.correction(of: known, levels: levels)
    summary.coverage = try? problem.validationCoverage(of: known, levels: levels)
    if forecasters.count > 1 {
      let score = try? problem.score(known, part: .validation, levels: levels)
      summary.validationLoss = score.flatMap { $0.loss.isFinite ? $0.loss : nil }
    }
    let seen = problem.split.spans.prefix(2).compactMap { $0?.last }.max()
    let members = forecasters.map {
      Model(
        ModelFolder.SavedForecaster(
          forecaster: $0, recipe: problem.recipe, target: table.targetName,
          correction: forecasters.count == 1 ? correction : nil),
        history: table.series, seen: seen)
    }
    let model = members.count == 1 ? members[0] : try Model(mean: members, correction: correction)
    try model.save(to: summary.output)
  }
}
