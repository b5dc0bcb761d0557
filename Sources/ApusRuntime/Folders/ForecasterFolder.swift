import ApusData
public import ApusModels
import ApusNN
import ApusTensor
import Foundation

/// A forecaster on disk: what it is made for and how it reads rows; its weights are not loaded yet.
public struct ForecasterFolder: Sendable {
  /// The folder.
  public var path: String { weights.folder }
  /// What the model was made for, with the whole configuration of its backbone.
  public let config: ForecasterConfig
  /// How a file is read and how its rows become the model's input.
  public let recipe: FeatureRecipe
  /// The column it forecasts; empty when there was one only.
  public let target: String
  /// The last rows that it was trained on; none in folders that do not keep them.
  let history: [TimeSeries]
  /// The time of the last row that its weights were fitted to or chosen by; nil where it is not told.
  let seen: Timestamp?
  /// What validation taught about its quantiles; nil where they are as they come.
  let correction: ConformalCorrection?
  let weights: FolderWeights

  init(_ card: FolderCard?, weights: FolderWeights) throws {
    guard let card, let config = card.forecaster, let recipe = card.recipe else {
      throw ModelFolderError.damaged(
        path: weights.folder + "/" + FolderFiles.card,
        reason: "it has no forecaster or no recipe")
    }
    guard recipe.inputs == config.inputs else {
      throw ModelFolderError.damaged(
        path: weights.folder + "/" + FolderFiles.card,
        reason: "the recipe makes \(recipe.inputs) inputs, the model reads \(config.inputs)")
    }
    guard (recipe.kind == .count) == config.head.isOfCounts else {
      throw ModelFolderError.damaged(
        path: weights.folder + "/" + FolderFiles.card,
        reason:
          "the recipe sees values as \(recipe.kind.rawValue), the head is \(config.head.name)")
    }
    guard recipe.known?.count ?? 0 == config.known else {
      throw ModelFolderError.damaged(
        path: weights.folder + "/" + FolderFiles.card,
        reason:
          "the recipe knows \(recipe.known?.count ?? 0) numbers ahead, the model reads \(config.known)"
      )
    }
    (self.config, self.recipe, target) = (config, recipe, card.target ?? "")
    history = try (card.history ?? []).map { try $0.series(in: weights.folder) }
    seen = card.seen.map { Timestamp(secondsSinceEpoch: $0) }
    correction = try card.correction(
      horizon: config.horizon, levels: config.levels, in: weights.folder)
    self.weights = weights
  }

  /// Loads the model.
  ///
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public func load() throws -> ModelFolder.SavedForecaster {
    ModelFolder.SavedForecaster(
      forecaster: try Forecaster(config, in: Scope(checkpoint: try weights.load())),
      recipe: recipe, target: target, correction: correction)
  }
}

extension ModelFolder {
  /// A forecaster with all that its forecasts need.
  public struct SavedForecaster {
    /// The model.
    public let forecaster: Forecaster
    /// How rows become its input.
    public let recipe: FeatureRecipe
    /// The column it forecasts; empty when there was one only.
    public let target: String
    /// What validation taught about its quantiles; nil where they are as they come.
    public let correction: ConformalCorrection?

    /// Puts the parts together.
    public init(
      forecaster: Forecaster, recipe: FeatureRecipe, target: String,
      correction: ConformalCorrection? = nil
    ) {
      self.forecaster = forecaster
      self.recipe = recipe
      self.target = target
      self.correction = correction
    }
  }

  /// Saves a forecaster; its files are replaced together.
  ///
  /// - Parameters:
  ///   - forecaster: The model.
  ///   - recipe: How rows become its input.
  ///   - target: The column it forecasts.
  ///   - path: The folder; made when missing.
  /// - Throws: `FileError`; what stood there before stands.
  public static func save(
    _ forecaster: Forecaster, recipe: FeatureRecipe, target: String, to path: String
  ) throws {
    try Model(
      SavedForecaster(forecaster: forecaster, recipe: recipe, target: target), history: []
    ).save(to: path)
  }
}
