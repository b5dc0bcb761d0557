public import ApusData
import ApusModels
import ApusTensor

/// A pretrained forecaster on disk as it was published; its weights are not loaded yet.
public struct PretrainedFolder: Sendable {
  /// The folder.
  public var path: String { weights.folder }
  /// What people call the model, such as "TiRex".
  public var family: String { kind.family }
  let config: JSONValue
  let weights: FolderWeights
  let kind: any PretrainedConfig.Type

  /// Nil where a configuration is not of such a model.
  init?(config: JSONValue, weights: FolderWeights) {
    guard let kind = PretrainedFamily.of(config) else { return nil }
    (self.config, self.weights, self.kind) = (config, weights, kind)
  }

  /// Loads the model.
  ///
  /// - Parameter name: What tables call it.
  /// - Returns: The model as a baseline.
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  func load(named name: String) throws -> Baseline {
    Baseline(name, try PretrainedWeights(config, checkpoint: weights.load(), at: path))
  }

  /// The model with a question about a table. Nothing is fitted to it but how its rows are read.
  ///
  /// - Parameters:
  ///   - question: What is asked.
  ///   - table: The rows as read, not yet measured.
  /// - Returns: The model, with the rows of the table.
  /// - Throws: ``ModelFolderError``, `MeasureError`, ``RecipeError``, or what is wrong with the model.
  func model(asked question: PretrainedQuestion, of table: SeriesTable) throws -> Model {
    let measure = question.measure ?? Measure.inferred(for: table).measure
    let measured = try table.measured(as: measure)
    let recipe = try FeatureRecipe(
      fitting: measured, measure: measure, covariates: [],
      split: Split(training: measured, horizon: question.horizon))
    let task = ForecastTask(
      horizon: question.horizon, levels: question.levels,
      seasonLength: measure == .level ? measured.cadence.seasonLength : 1,
      measure: ForecastTask.Kind(measure))
    return Model(
      try load(named: family.lowercased()), task: task, lookback: 1, recipe: recipe,
      target: table.targetName, history: table.series)
  }
}

/// What a pretrained forecaster is asked, whose folder says nothing about it.
public struct PretrainedQuestion: Sendable, Hashable {
  /// Rows ahead, P. Default: 5.
  public var horizon = 5
  /// What is forecast. Default: what suits the table.
  public var measure: Measure?
  /// Quantile levels, ascending. Default: 0.05, 0.1 to 0.9, 0.95.
  public var levels = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]

  /// All defaults.
  public init() {}
}
