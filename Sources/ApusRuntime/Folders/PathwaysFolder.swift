public import ApusModels
import ApusNN
import ApusTensor

/// A `Pathways` model on disk: `trunk.safetensors`, `bank.safetensors`, `task-NAME.safetensors` for each
/// task, and `pathways.json`; its weights are not loaded yet.
///
/// A task's file holds its own tensors alone, so that adding one writes one, and removing one leaves the
/// others' bits.
public struct PathwaysFolder: Sendable {
  static let file = "pathways.json"

  /// The shape of the model and its tasks.
  public let config: PathwaysConfig
  let weights: FolderWeights

  /// What `pathways.json` says beside the configuration's keys.
  private struct Card: Codable {
    var format = ModelFolder.format
    var weights: [String: String]?

    enum CodingKeys: String, CodingKey { case format, weights }
    init() {}
    init(from decoder: any Decoder) throws {
      let keys = try decoder.container(keyedBy: CodingKeys.self)
      weights = try keys.decodeIfPresent([String: String].self, forKey: .weights)
    }
  }

  /// Both in one object.
  private struct Document: Encodable {
    let config: PathwaysConfig
    let card: Card
    func encode(to encoder: any Encoder) throws {
      try config.encode(to: encoder)
      try card.encode(to: encoder)
    }
  }

  init(_ json: JSONValue, in files: FolderFiles) throws {
    config = try files.decoded(json, as: PathwaysConfig.self, from: Self.file)
    try config.validate()
    let known = try files.decoded(json, as: Card.self, from: Self.file).weights
    let names = Self.parts(of: config).map(\.file)
    guard known.map({ Set($0.keys) == Set(names) }) ?? true else {
      throw ModelFolderError.damaged(
        path: "\(files.path)/\(Self.file)", reason: "its tasks are not those of its weights")
    }
    weights = FolderWeights(folder: files.path, fingerprints: known)
  }

  /// Loads the model.
  ///
  /// - Throws: ``ModelFolderError``, or what is wrong with configuration or weights.
  public func load() throws -> Pathways {
    var tensors: [String: Tensor] = [:]
    for (name, _) in Self.parts(of: config) {
      let file = try weights.open(name, at: Files.place(of: name, in: weights.folder))
      for entry in file.entries { tensors[entry.name] = try file.tensor(entry.name) }
    }
    return try Pathways(config, in: Scope(checkpoint: tensors))
  }

  /// The files of weights, and how the names of their tensors begin.
  private static func parts(of config: PathwaysConfig) -> [(file: String, prefix: String)] {
    [("trunk.safetensors", "trunk."), ("bank.safetensors", "bank.")]
      + config.tasks.map { ("task-\($0.name).safetensors", "tasks.\($0.name).") }
  }

  /// Saves a model; its files are replaced together, those that keep their bits not at all.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - path: The folder; made when missing.
  /// - Throws: `FileError`; what stood there before stands.
  public static func save(_ model: Pathways, to path: String) throws {
    let parts = parts(of: model.config)
    let (old, names) = (try? ModelFolder.open(path).pathways(), Set(parts.map(\.file)))
    try Files().commit(
      to: path,
      removing: { $0.hasPrefix("task-") && $0.hasSuffix(".safetensors") && !names.contains($0) },
      { draft in
        var card = Card()
        for (name, prefix) in parts {
          let own = ModelFolder.named(model.parameters.filter { $0.name.hasPrefix(prefix) })
          let fingerprint = Safetensors.fingerprint(of: own)
          card.weights = (card.weights ?? [:]).merging([name: fingerprint]) { $1 }
          if old?.weights.holds(name, fingerprint) == true { continue }
          try Safetensors.save(
            own, metadata: ["format": "pt", FolderWeights.mark: fingerprint],
            with: { try draft.write($0, $1) }, name)
        }
        try draft.write(
          file, try ModelFolder.encoded(Document(config: model.config, card: card)))
      })
  }
}
