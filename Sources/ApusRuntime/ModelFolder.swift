import ApusData
public import ApusModels
import ApusNN
public import ApusTensor
import Foundation

/// A model on disk: `config.json`, `model.safetensors`, and `apus.json` for what only Apus knows.
///
/// A language model's folder is laid out as published ones are, so that other tools read it.
public enum ModelFolder {
  /// What `apus.json` says.
  struct Card: Codable {
    var format = 1
    var task: String
    var forecaster: ForecasterConfig?
    var classifier: ClassifierConfig?
    var recipe: FeatureRecipe?
    var tokenizer: TextTokenizer?
    /// The last row that training or choosing has seen, for users of the model.
    var target: String?
  }

  /// A forecaster with all that its forecasts need.
  public struct SavedForecaster {
    /// The model.
    public let forecaster: Forecaster
    /// How rows become its input.
    public let recipe: FeatureRecipe
    /// The column it forecasts; empty when there was one only.
    public let target: String

    /// Puts the parts together.
    public init(forecaster: Forecaster, recipe: FeatureRecipe, target: String) {
      self.forecaster = forecaster
      self.recipe = recipe
      self.target = target
    }
  }

  /// Makes the folder, or checks that it can be written, before hours of work depend on it.
  ///
  /// - Throws: ``ModelFolderError/cannotCreate(path:reason:)``.
  public static func prepare(_ path: String) throws {
    try makeFolder(path)
    let probe = path + "/.probe"
    try write(Data(), to: probe)
    try? FileManager.default.removeItem(atPath: probe)
  }

  /// Saves a forecaster. Each file is replaced whole, `apus.json` last.
  ///
  /// - Parameters:
  ///   - forecaster: The model.
  ///   - recipe: How rows become its input.
  ///   - target: The column it forecasts.
  ///   - path: The folder; made when missing.
  /// - Throws: ``ModelFolderError`` or what the file system says.
  public static func save(
    _ forecaster: Forecaster, recipe: FeatureRecipe, target: String, to path: String
  ) throws {
    try makeFolder(path)
    try Safetensors.save(named(forecaster.parameters), to: path + "/model.safetensors")
    let config = [
      "model_type": "apus_forecaster", "architecture": forecaster.config.architecture,
    ]
    try write(encoded(config), to: path + "/config.json")
    let card = Card(
      task: "forecast", forecaster: forecaster.config, recipe: recipe, target: target)
    try write(encoded(card), to: path + "/apus.json")
  }

  /// Loads a forecaster.
  ///
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public static func forecaster(at path: String) throws -> SavedForecaster {
    let card = try card(at: path)
    guard card.task == "forecast", let config = card.forecaster, let recipe = card.recipe else {
      throw ModelFolderError.wrongTask(path: path, found: card.task, expected: "forecast")
    }
    guard recipe.inputs == config.inputs else {
      throw ModelFolderError.damaged(
        path: path + "/apus.json",
        reason: "the recipe makes \(recipe.inputs) inputs, the model reads \(config.inputs)")
    }
    let weights = try Safetensors.load(path)
    let forecaster = try Forecaster(config, in: Scope(checkpoint: weights))
    return SavedForecaster(
      forecaster: forecaster, recipe: recipe, target: card.target ?? "")
  }

  /// How rows become the input of the forecaster in a folder, without its weights.
  static func recipe(at path: String) throws -> FeatureRecipe {
    let card = try card(at: path)
    guard card.task == "forecast", let recipe = card.recipe else {
      throw ModelFolderError.wrongTask(path: path, found: card.task, expected: "forecast")
    }
    return recipe
  }

  /// The tokenizer in a folder, without its weights; nil where it is not ours.
  static func tokenizer(at path: String) throws -> TextTokenizer? {
    Files.isFile(path + "/apus.json") ? try card(at: path).tokenizer : nil
  }

  /// What a folder of ours holds: `forecast`, `classify` or `language`.
  public static func task(of path: String) throws -> String { try card(at: path).task }

  // MARK: Files

  static func card(at path: String) throws -> Card {
    let file = path + "/apus.json"
    let data = try read(file, purpose: "what the model was made for")
    do {
      return try JSONDecoder().decode(Card.self, from: data)
    } catch {
      throw ModelFolderError.damaged(path: file, reason: "it is not what Apus writes")
    }
  }

  static func read(_ file: String, purpose: String) throws -> Data {
    guard let data = FileManager.default.contents(atPath: file) else {
      throw ModelFolderError.missingFile(path: file, purpose: purpose)
    }
    return data
  }

  static func makeFolder(_ path: String) throws {
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ModelFolderError.cannotCreate(path: path, reason: error.localizedDescription)
    }
  }

  static func write(_ data: Data, to path: String) throws {
    do {
      try data.write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      throw ModelFolderError.cannotCreate(path: path, reason: error.localizedDescription)
    }
  }

  static func encoded(_ value: some Encodable) throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return try encoder.encode(value)
  }

  static func named(_ parameters: [Parameter]) -> [String: Tensor] {
    Dictionary(
      parameters.map { ($0.name, $0.value.detached()) }, uniquingKeysWith: { first, _ in first })
  }
}

/// What can be wrong with a model's folder.
public enum ModelFolderError: Error, Equatable {
  /// A file is missing.
  case missingFile(path: String, purpose: String)
  /// A file is not what it should be.
  case damaged(path: String, reason: String)
  /// The model was made for something else.
  case wrongTask(path: String, found: String, expected: String)
  /// A weight is too large for the type it is to be saved in.
  case doesNotFit(tensor: String, value: Float, dtype: DType)
  /// The folder or a file in it cannot be written.
  case cannotCreate(path: String, reason: String)

  /// Whether the input is not there at all.
  public var isMissing: Bool {
    if case .missingFile = self { true } else { false }
  }
}

extension ModelFolderError: ApusError {
  public var exitStatus: ExitStatus {
    switch self {
    case .missingFile: .missingInput
    case .damaged, .wrongTask, .doesNotFit: .badData
    case .cannotCreate: .cannotCreate
    }
  }

  /// What was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .missingFile(let path, let purpose):
      "There is no file '\(path)', which should hold \(purpose). Check the path."
    case .damaged(let path, let reason):
      "The file '\(path)' is damaged: \(reason). Save the model again."
    case .wrongTask(let path, let found, let expected):
      "The model in '\(path)' was made for '\(found)', but this needs '\(expected)'. Choose another."
    case .doesNotFit(let tensor, let value, let dtype):
      """
      Tensor '\(tensor)' has the element \(value), which \(dtype.rawValue) cannot hold. \
      Save in BF16 or F32.
      """
    case .cannotCreate(let path, let reason):
      "'\(path)' cannot be written: \(reason)"
    }
  }
}
