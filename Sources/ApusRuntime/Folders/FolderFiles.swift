import ApusData
import ApusModels
import ApusTensor

/// The files of a model's folder, wherever a commit has them; each of JSON is read once, by one reader.
struct FolderFiles {
  static let config = "config.json"
  static let card = "apus.json"
  /// The folder.
  let path: String

  init(_ path: String) { self.path = path }

  /// The path of a file.
  func place(_ name: String) -> String { Files.place(of: name, in: path) }

  /// The JSON of a file; nil when there is no such file.
  ///
  /// - Throws: `JSONFileError` or `FileError`.
  func json(_ name: String) throws -> JSONValue? {
    let place = place(name)
    guard Files.isFile(place) else { return nil }
    return try JSONValue(path: place, limit: 1 << 28)
  }

  /// What `apus.json` says; nil for a published folder.
  func card() throws -> FolderCard? {
    try json(Self.card).map { try decoded($0, as: FolderCard.self, from: Self.card) }
  }

  /// A file of ours as a value, where its layout is known.
  ///
  /// - Throws: ``ModelFolderError/newerFormat(path:found:known:)``, `JSONFileError`.
  func decoded<Value: Decodable>(
    _ json: JSONValue, as type: Value.Type, from name: String
  ) throws -> Value {
    if let format = json["format"]?.integer, format > ModelFolder.newestFormat {
      throw ModelFolderError.newerFormat(
        path: "\(path)/\(name)", found: format, known: ModelFolder.newestFormat)
    }
    return try json.decoded(as: type, path: "\(path)/\(name)")
  }
}

/// What `apus.json` says.
struct FolderCard: Codable {
  /// What a model was made for.
  enum Task: String, Codable { case forecast, classify, language, encode }

  /// Nil where a file does not say: format 1.
  var format: Int? = ModelFolder.format
  var task: Task
  var forecaster: ForecasterConfig?
  var baseline: BaselineCard?
  var ensemble: MemberCards?
  /// What validation taught about the quantiles of a forecaster.
  var correction: ConformalCorrection?
  /// The last rows that a forecaster was fitted to.
  var history: [StoredSeries]?
  /// The time of the last row that its weights were fitted to or chosen by, in seconds since 1970.
  var seen: Int64?
  var classifier: ClassifierConfig?
  var recipe: FeatureRecipe?
  var tokenizer: TextTokenizer?
  /// The column that is forecast.
  var target: String?
  /// The fingerprint of the values in `config.json`; nil in folders of format 1.
  var config: String?
  /// The fingerprint of each file of weights, which carries it in its header; nil in folders of format 1.
  var weights: [String: String]?

  init(_ task: Task) { self.task = task }

  /// Takes in the correction of a forecaster. A program that knows nothing of it would forecast other
  /// numbers, and has to find a newer format.
  mutating func take(_ correction: ConformalCorrection?) {
    guard let correction else { return }
    (self.correction, format) = (correction, ModelFolder.newestFormat)
  }

  /// Takes in a forecaster, of which older programs know but the head of quantiles.
  mutating func take(_ config: ForecasterConfig) {
    forecaster = config
    if config.head != .quantiles { format = ModelFolder.newestFormat }
  }

  /// Takes in the members of an ensemble, which only newer programs know.
  mutating func take(_ members: MemberCards) {
    (ensemble, format) = (members, ModelFolder.newestFormat)
  }

  /// The correction, checked against what is forecast.
  ///
  /// - Throws: ``ModelFolderError/damaged(path:reason:)``.
  func correction(
    horizon: Int, levels: [Double], in path: String
  ) throws -> ConformalCorrection? {
    guard let correction else { return nil }
    guard correction.fits(horizon: horizon, levels: levels) else {
      throw ModelFolderError.damaged(
        path: path + "/" + FolderFiles.card,
        reason: "its correction is not one of such steps and levels")
    }
    return correction
  }

  /// Throws when the folder has the `config.json` of another model.
  func check(_ found: JSONValue?, in path: String) throws {
    guard let config, found?.fingerprint != config else { return }
    throw ModelFolderError.mixed(path: path, file: FolderFiles.config)
  }
}

/// The weights of a folder, not yet read.
struct FolderWeights: Sendable {
  /// Where a file of weights carries its own fingerprint.
  static let mark = "apus.fingerprint"
  /// The folder.
  let folder: String
  /// By file name; nil where the folder does not say, as published ones.
  let fingerprints: [String: String]?

  /// The files by name; a path is nil where one is missing.
  ///
  /// - Throws: `SafetensorsError` for an index that is wrong, ``ModelFolderError`` for a list that is.
  func files() throws -> [(name: String, path: String?)] {
    guard let fingerprints else { return try Safetensors.files(of: folder) }
    return try fingerprints.keys.sorted().map { name in
      guard name.hasSuffix(".safetensors"), !name.contains("/"), !name.utf8.contains(0) else {
        throw ModelFolderError.damaged(
          path: "\(folder)/\(FolderFiles.card)", reason: "'\(name)' is no file of weights")
      }
      let place = Files.place(of: name, in: folder)
      return (name, Files.isFile(place) ? place : nil)
    }
  }

  /// Whether a file is in its place, whole as far as its size tells, with these bits.
  func holds(_ name: String, _ fingerprint: String) -> Bool {
    let path = Files.place(of: name, in: folder)
    return fingerprints?[name] == fingerprint && (try? open(name, at: path)) != nil
  }

  /// Opens a file, and throws when it is that of another model.
  func open(_ name: String, at path: String) throws -> SafetensorsFile {
    let file = try SafetensorsFile(path: path)
    if let expected = fingerprints?[name], file.metadata[Self.mark] != expected {
      throw ModelFolderError.mixed(path: folder, file: name)
    }
    return file
  }

  /// Reads the tensors, mostly as views of the mapped files.
  func load(where isWanted: (String) -> Bool = { _ in true }) throws -> [String: Tensor] {
    guard fingerprints != nil else { return try Safetensors.load(folder, where: isWanted) }
    var tensors: [String: Tensor] = [:]
    for (name, path) in try files() {
      guard let path else {
        throw ModelFolderError.missingFile(
          path: "\(folder)/\(name)", purpose: "weights of the model")
      }
      let file = try open(name, at: path)
      for entry in file.entries where isWanted(entry.name) {
        tensors[entry.name] = try file.tensor(entry.name)
      }
    }
    return tensors
  }
}

extension JSONValue {
  /// The digest of the values, whatever the order of keys and the white space.
  var fingerprint: String { Fingerprint.hexadecimal(of: ordered.text().utf8) }

  private var ordered: JSONValue {
    switch self {
    case .array(let elements): .array(elements.map(\.ordered))
    case .object(let members):
      .object(
        members.map { Member(key: $0.key, value: $0.value.ordered) }.sorted { $0.key < $1.key })
    default: self
    }
  }
}
