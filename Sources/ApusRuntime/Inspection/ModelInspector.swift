import ApusModels
import ApusNN
import ApusTensor
import Foundation

extension ModelInspection {
  /// Looks at a folder, a safetensors file or a `config.json`.
  ///
  /// - Parameter path: What to look at.
  /// - Throws: ``ModelFolderError`` when there is nothing, or what is wrong with a header or with the
  ///   configuration. A model that Apus does not know is no error.
  public init(at path: String) throws {
    let isFolder = Files.isFolder(path)
    guard isFolder || Files.isFile(path) else {
      throw ModelFolderError.missingFile(
        path: path, purpose: "a model, its weights or its configuration")
    }
    self.init(path: path)
    if isFolder {
      tokenizer = Self.tokenizerFiles.filter { Files.isFile("\(path)/\($0)") }
      try describe(ModelFolder.open(path).contents)
    } else if path.lowercased().hasSuffix(".json") {
      let json = try JSONValue(path: path, limit: 1 << 28)
      try describe(
        ModelFolder.Contents(
          config: json, weights: FolderWeights(folder: path, fingerprints: nil)))
    } else {
      try addWeights(
        [(String(path.split(separator: "/").last ?? ""), path)],
        of: FolderWeights(folder: Files.folder(of: path), fingerprints: nil))
      obstacle = "there is no config.json beside the weights"
      finish(nil)
    }
  }

  private init(path: String) {
    self.path = path
    (canRun, config, dtypes) = (false, [:], [:])
    (parameters, bytesOnDisk, float32Bytes, bfloat16Bytes) = (0, 0, 0, 0)
    (shards, tokenizer, tensors) = ([], [], [])
  }

  private static let tokenizerFiles = [
    "tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "merges.txt",
    "tokenizer_config.json", "special_tokens_map.json",
  ]

  /// Adds the headers of files; a file without a path is missing.
  private mutating func addWeights(
    _ files: [(name: String, path: String?)], of weights: FolderWeights
  ) throws {
    for (name, path) in files {
      guard let path else {
        shards.append(Shard(name: name, bytes: nil, tensors: 0))
        continue
      }
      let file = try weights.open(name, at: path)
      shards.append(Shard(name: name, bytes: file.byteCount, tensors: file.entries.count))
      bytesOnDisk += file.byteCount
      for entry in file.entries {
        dtypes[entry.storedType, default: 0] += entry.shape.count
        tensors.append(
          TensorEntry(
            name: entry.name, shape: entry.shape.dimensions, dtype: entry.storedType,
            bytes: entry.range.count, file: name))
      }
    }
  }

  /// What a description makes of it.
  private mutating func describe(_ contents: ModelFolder.Contents) throws {
    var facts: ConfigFacts?
    switch contents {
    case .language(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      facts = try language(folder)
    case .encoder(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      facts = try encoder(folder)
    case .forecaster(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      (modelType, architecture, canRun) = ("apus_forecaster", folder.config.architecture, true)
    case .classifier(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      (modelType, architecture, canRun) = ("apus_classifier", folder.config.architecture, true)
    case .pathways(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      (architecture, canRun) = ("pathways", true)
    case .composition:
      (architecture, canRun) = ("composition", true)
      return finish(nil)
    case .unknown(let folder):
      let weights = FolderWeights(folder: folder.path, fingerprints: nil)
      try addWeights(weights.files(), of: weights)
      facts = try folder.config.map { try ConfigFacts(Data($0.text().utf8)) }
      modelType = facts?.modelType
      obstacle =
        folder.modelType.map { "Apus has no architecture for the model_type '\($0)'" }
        ?? "there is no config.json beside the weights"
    }
    if Files.isFolder(path), shards.isEmpty, canRun {
      (canRun, obstacle) = (false, "the folder has no safetensors")
    } else if let missing = shards.first(where: { $0.bytes == nil }) {
      (canRun, obstacle) = (false, "the shard \(missing.name) is missing")
    }
    config = facts?.summary ?? [:]
    finish(facts)
  }

  /// Of a language model also its state, and its tensors where there are no weights to look at.
  private mutating func language(_ folder: LanguageFolder) throws -> ConfigFacts {
    let json = Data(folder.config.text().utf8)
    var facts = try ConfigFacts(json)
    (modelType, architecture) = (facts.modelType, folder.architecture.name)
    do {
      let model = try LanguageModel(
        folder.architecture, config: folder.architecture.makeConfiguration(json: json),
        in: Scope.describing)
      facts = try facts.completed(by: model.config.json())
      canRun = true
      state = stateSize(model.initialState(batch: 1), facts)
      takeTensors(of: model.parameters)
    } catch let error as ConfigError {
      obstacle = "\(error)"
    } catch let error as CheckpointError {
      obstacle = "\(error)"
    }
    return facts
  }

  private mutating func encoder(_ folder: EncoderFolder) throws -> ConfigFacts {
    let json = Data(folder.config.text().utf8)
    var facts = try ConfigFacts(json)
    (modelType, architecture) = (facts.modelType, BertConfig.modelType)
    do {
      let config = try BertConfig(json: json)
      facts = try facts.completed(by: config.json())
      let names = tensors.map(\.name)
      let parts =
        names.isEmpty
        ? Bert.Parts(isPrefixed: false, hasMaskedLanguageHead: false, hasPooler: true)
        : Bert.parts(ofNames: names)
      let bert = try Bert(config, parts: parts, in: Scope.describing)
      canRun = true
      takeTensors(of: bert.parameters)
    } catch let error as ConfigError {
      obstacle = "\(error)"
    }
    return facts
  }

  private mutating func takeTensors(of parameters: [Parameter]) {
    guard shards.isEmpty else { return }
    tensors = parameters.map { TensorEntry(name: $0.name, shape: $0.shape.dimensions) }
  }

  private func stateSize(_ state: BackboneState, _ facts: ConfigFacts) -> StateSize {
    let growing = state.layers.count { $0 is AttentionState }
    return StateSize(
      fixedBytes: state.byteCount,
      bytesPerToken: growing == 0 ? 0 : facts.keyValueBytes.map { growing * $0 },
      window: growing == 0 ? nil : facts.window)
  }

  private mutating func finish(_ facts: ConfigFacts?) {
    tensors.sort { $0.name < $1.name }
    func count(_ entries: some Sequence<TensorEntry>) -> Int {
      // Whole numbers and masks are no parameters.
      entries.filter { $0.dtype.map { $0.hasPrefix("F") || $0.hasPrefix("BF") } ?? true }
        .reduce(0) { $0 + $1.shape.reduce(1, *) }
    }
    parameters = count(tensors)
    (float32Bytes, bfloat16Bytes) = (4 * parameters, 2 * parameters)
    if let (chosen, all) = facts?.experts {
      // Weights of experts are those with a part of the name that says so.
      let inExperts = count(
        tensors.filter { $0.name.split(separator: ".").contains { $0 == "experts" } })
      activeParameters = parameters - inExperts + inExperts / all * chosen
    } else if canRun {
      activeParameters = parameters
    }
  }
}
