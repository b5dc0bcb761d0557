public import ApusData
import ApusModels
public import ApusRuntime
import ApusTensor
import Foundation

/// Training one forecaster: from a table to a model folder.
public struct ForecastTraining {
  /// The model with its recipe; its weights are fresh until ``run(output:resume:interruption:progress:)``.
  public let model: ModelFolder.SavedForecaster
  private let task: ForecastingTask
  private let options: ModelTrainingOptions

  /// Sets everything up: the measure, the split in time, the recipe, the model.
  ///
  /// - Parameters:
  ///   - table: The series as read.
  ///   - source: The fingerprint of the file, by which a resumed run knows it.
  ///   - options: Model, budget, horizon and the like.
  /// - Throws: What is wrong with the data or the options.
  public init(_ table: SeriesTable, source: DataSource, options: ModelTrainingOptions) throws {
    var problemOptions = ComparisonOptions()
    problemOptions.horizon = options.horizon
    problemOptions.measure = options.measure
    problemOptions.covariates = options.covariates
    let problem = try SeriesProblem(table, options: problemOptions)
    let config = ForecasterConfig(
      architecture: try options.model.architecture().name,
      size: try options.size(width: 64, layers: 2, context: options.context ?? 64),
      inputs: problem.recipe.inputs, horizon: options.horizon, levels: options.levels,
      patch: options.patch)
    let forecaster = try Forecaster(config, key: RandomKey(seed: options.seed))
    var task = try ForecastingTask(
      forecaster, frames: problem.frames, split: problem.split, batch: options.batch ?? 8)
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
    self.task = task
    self.options = options
    model = ModelFolder.SavedForecaster(
      forecaster: forecaster, recipe: problem.recipe, target: table.targetName)
  }

  /// Trains, and saves the weights that validated best.
  ///
  /// - Parameters:
  ///   - output: The model's folder; the run's checkpoints lie in `checkpoints` under it.
  ///   - resume: Whether to go on from the newest checkpoint there.
  ///   - interruption: What may end the run early; then its checkpoint stands and no model is written.
  ///   - progress: Called after every step.
  /// - Returns: What was done.
  /// - Throws: ``TrainingError``, `ModelFolderError` and `FileError`; a folder that cannot be written is
  ///   found before training.
  public func run(
    output: String, resume: Bool = false, interruption: Interruption? = nil,
    progress: (TrainingProgress) -> Void = { _ in }
  ) throws -> TrainingSummary {
    try options.train(
      task, as: ("forecast", model.forecaster.config.architecture),
      with: .forecaster(learningRate: options.learningRate), output: output, resume: resume,
      interruption: interruption, progress: progress
    ) { _ in
      try ModelFolder.save(
        model.forecaster, recipe: model.recipe, target: model.target, to: output)
    }
  }
}
