public import ApusData
public import ApusEvaluation
public import ApusModels
import ApusRuntime
import Foundation

/// How a comparison is to be made. The defaults suit one daily series and a laptop.
public struct ComparisonOptions: Sendable {
  /// Architectures by name, or paths of `config.json`s, which are taken whole, and baselines by name, which
  /// join the usual ones; the architectures of `Architecture.standard` when empty.
  public var models: [String] = []
  /// Rows ahead, P.
  public var horizon = 5
  /// Rows that a forecaster reads, L, or tokens of a text; where nil, 64 rows, fewer where the longest
  /// series is short, or 256 tokens.
  public var context: Int?
  /// Rows that make one token of a forecaster.
  public var patch = 1
  /// What models say of each step ahead, and by which loss they learn. Default: quantiles.
  public var head = ForecastHead.quantiles
  /// Quantile levels.
  public var levels = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
  /// The budget of each training run: the same for all.
  public var budget = Budget.seconds(20)
  /// The seeds; every model is trained once with each.
  public var seeds: [UInt64] = [0, 1, 2]
  /// The quantity to forecast; inferred from the data when nil.
  public var measure: Measure?
  /// Columns to read beside the target; only models read them, so baselines are at a disadvantage.
  public var covariates: [String] = []
  /// Columns that are known ahead, such as a promotion: models and baselines read those of the rows that they
  /// forecast.
  public var future: [String] = []
  /// Holidays, known ahead of every row. Default: none.
  public var holidays: Holidays?
  /// Whether quantiles are corrected by what validation says about them; see `ConformalCorrection`.
  public var isConformal = true
  /// Whether the mean of the best runs is judged as a model of its own, "ensemble".
  public var hasEnsemble = false
  /// How the rows are split.
  public var sizes = Split.usual
  /// Rows left out between the parts.
  public var embargo = 0
  /// Width of the backbones.
  public var width: Int?
  /// Layers of the backbones; recurrent ones without a feed-forward get twice as many.
  public var layers: Int?
  /// The peak of the learning rate; each architecture's usual one when nil.
  public var learningRate: Double?
  /// How many learning rates and sizes are tried of each model, within the budget of its first seed; see
  /// ``SuccessiveHalving``. Those that are given are not searched for. Default: 1, the usual ones.
  public var candidates = 1
  /// The command that reproduces the comparison.
  public var command = "apus compare"

  /// The commands that go on from what is recommended, which report and console show. Default: none.
  public var next: @Sendable (RecommendedUse) -> [NextStep] = { _ in [] }

  /// Creates the default.
  public init() {}

  /// The baselines among ``models``.
  var namedBaselines: [String] { models.filter(ForecasterChoice.isBaseline) }

  /// The architectures that ``models`` names.
  ///
  /// - Throws: `ConfigError` for an unknown name, for a configuration that does not hold, and where two
  ///   models would have one name; `ModelFolderError` for a file that is not there.
  public func choices() throws -> [ModelChoice] {
    guard !models.isEmpty else { return Architecture.standard.map(ModelChoice.architecture) }
    let choices = try models.filter { !ForecasterChoice.isBaseline($0) }
      .map { try ModelChoice($0) }
    for (index, choice) in choices.enumerated()
    where choices[..<index].contains(where: { $0.name == choice.name }) {
      throw ConfigError.invalid(
        key: "models", value: choice.name, rule: "two of one name cannot be told apart")
    }
    return choices
  }

  /// L of series.
  var lookBack: Int { context ?? Self.longestLookBack }

  /// L of a text.
  var tokens: Int { context ?? 256 }

  /// L of series where nothing is said, if they are long enough.
  private static let longestLookBack = 64

  /// The same options with a look-back that suits a table: a quarter of the training rows of its longest
  /// series at most, in whole patches, so that there are windows to learn from.
  func fitting(_ table: SeriesTable) -> ComparisonOptions {
    guard context == nil else { return self }
    var options = self
    let rows = table.series.map(\.count).max() ?? 0
    let patch = max(1, patch)
    let found = min(Self.longestLookBack, max(8, rows * 7 / 40))
    options.context = max(patch, found / patch * patch)
    return options
  }

  /// Width and layers of a forecaster's backbone where nothing is said.
  static let usualForecaster = (width: 64, layers: 2)

  /// The size of a forecaster's backbone where nothing is said.
  var usualSize: BackboneSize {
    BackboneSize(
      width: width ?? Self.usualForecaster.width, layers: layers ?? Self.usualForecaster.layers,
      context: max(1, lookBack / max(1, patch)))
  }

  /// The forecaster of a model.
  ///
  /// - Parameters:
  ///   - choice: The model.
  ///   - recipe: How its rows are made.
  /// - Returns: Its configuration.
  /// - Throws: `ConfigError`.
  func forecaster(_ choice: ModelChoice, recipe: FeatureRecipe) throws -> ForecasterConfig {
    ForecasterConfig(
      try blueprint(choice, usual: usualSize), context: lookBack, inputs: recipe.inputs,
      horizon: horizon, levels: levels, patch: patch,
      window: ForecasterConfig.usualWindow(context: lookBack), known: recipe.known?.count ?? 0,
      head: head)
  }

  /// The backbone of a model, of which a person's sizes go first.
  ///
  /// - Parameters:
  ///   - choice: The model.
  ///   - usual: The size of an architecture without a configuration, blocks counted as layers.
  /// - Returns: The architecture with its configuration.
  /// - Throws: `ConfigError`.
  func blueprint(_ choice: ModelChoice, usual: BackboneSize) throws -> Blueprint {
    try choice.blueprint(
      usual, width: width, layers: layers.map { $0 * choice.architecture.layersPerBlock })
  }
}

/// What has to be known about a recommended forecaster to go on with it.
public struct RecommendedUse: Sendable, Equatable {
  /// Its name in the table.
  public var name: String
  /// Whether it is a trained model and not a baseline.
  public var isModel: Bool
  /// The models whose mean it is, in the order of the ensemble; of any other forecaster itself.
  public var members: [String]
  /// The learning rate and size that were found for it; nil where they were not searched for.
  public var settings: TuningRecord.Candidate?
  /// The best baseline.
  public var baseline: String?
  /// Why a stream cannot read the rows of the file, as the part of a sentence; nil where it can.
  public var streamObstacle: String?
}

/// Where work of several parts stands.
public struct WorkProgress: Sendable {
  /// What is being done, such as "mamba, seed 1 of 3".
  public var phase: String
  /// The share of all that is done, 0 to 1.
  public var share: Double
  /// About how many seconds remain; nil where that is not known.
  public var secondsLeft: Double?
  /// A number worth showing, such as the validation loss.
  public var detail = ""

  package init(phase: String, share: Double, secondsLeft: Double? = nil, detail: String = "") {
    (self.phase, self.share) = (phase, share)
    (self.secondsLeft, self.detail) = (secondsLeft, detail)
  }
}

extension TrainingProgress {
  /// The losses in a few words.
  var losses: String {
    var parts: [String] = []
    if let loss { parts.append("loss \(shortNumber(loss))") }
    if let validationLoss { parts.append("validation \(shortNumber(validationLoss))") }
    parts.append("\(Int(unitsPerSecond)) \(unit)/s")
    return parts.joined(separator: ", ")
  }
}

extension Budget {
  /// "seconds" or "steps": what ends a run first.
  var unit: String { seconds != nil ? "seconds" : "steps" }
  /// How many of them.
  var amount: Double { seconds ?? Double(steps ?? 0) }
}

/// A number with four significant digits.
func shortNumber(_ value: Double) -> String { String(format: "%.4g", value) }
