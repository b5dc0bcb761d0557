public import ApusData
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

  /// Sets everything up: the measure, the split in time, the recipe, the model.
  private func task() throws -> (task: ForecastingTask, problem: SeriesProblem) {
    var problemOptions = ComparisonOptions()
    problemOptions.horizon = options.horizon
    problemOptions.measure = options.measure
    (problemOptions.covariates, problemOptions.future) = (options.covariates, options.future)
    problemOptions.holidays = options.holidays
    problemOptions.patch = options.patch
    problemOptions.isConformal = options.isConformal
    let context = options.context ?? problemOptions.fitting(table).lookBack
    problemOptions.context = context
    let problem = try SeriesProblem(table, options: problemOptions)
    let usual = BackboneSize(
      width: 64, layers: 2, context: max(1, context / max(1, options.patch)))
    let config = ForecasterConfig(
      try options.model.blueprint(usual, width: options.width, layers: options.layers),
      context: context, inputs: problem.recipe.inputs, horizon: options.horizon,
      levels: options.levels, patch: options.patch,
      window: ForecasterConfig.usualWindow(context: context),
      known: problem.recipe.known?.count ?? 0)
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
    return (task, problem)
  }

  /// Trains, and saves the weights that validated best.
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
    let (task, problem) = try task()
    return try await options.train(
      task, as: ("forecast", task.forecaster.config.backbone.architecture.name),
      with: .forecaster(learningRate: options.learningRate), output: output, resume: resume,
      progress: progress
    ) { summary in
      let levels = task.forecaster.config.levels
      let known = try problem.forecasts(of: task.forecaster, at: problem.origins(.validation))
      summary.coverage = try? problem.validationCoverage(of: known, levels: levels)
      let saved = ModelFolder.SavedForecaster(
        forecaster: task.forecaster, recipe: problem.recipe, target: table.targetName,
        correction: problem.correction(of: known, levels: levels))
      let seen = task.split.spans.prefix(2).compactMap { $0?.last }.max()
      try Model(saved, history: table.series, seen: seen).save(to: output)
    }
  }
}
