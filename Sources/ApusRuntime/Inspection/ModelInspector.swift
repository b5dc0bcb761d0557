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
    var facts: LayerFacts?
    switch contents {
    case .language(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      facts = try language(folder)
    case .encoder(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      try encoder(folder)
    case .forecaster(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      (modelType, architecture, canRun) = (
        "apus_forecaster", folder.config.backbone.architecture.name, true
      )
    case .classifier(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      (modelType, architecture, canRun) = (
        "apus_classifier", folder.config.backbone.architecture.name, true
      )
    case .pathways(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      (architecture, canRun) = ("pathways", true)
    case .baseline(let folder):
      guard let pretrained = folder.pretrained else {
        (modelType, architecture, canRun) = ("apus_baseline", folder.name, true)
        return finish(nil)
      }
      try describe(pretrained)
    case .pretrained(let folder): try describe(folder)
    case .ensemble(let folder):
      try addWeights(folder.weights.files(), of: folder.weights)
      (modelType, canRun) = ("apus_ensemble", true)
      let names = folder.names.map { "\($0.weight) \($0.name)" }
      architecture = "ensemble of " + names.joined(separator: ", ")
      if !folder.members.members.contains(where: \.hasWeights) { return finish(nil) }
    case .composition:
      (architecture, canRun) = ("composition", true)
      return finish(nil)
    case .unknown(let folder):
      let weights = FolderWeights(folder: folder.path, fingerprints: nil)
      try addWeights(weights.files(), of: weights)
      if let keys = folder.config {
        guard keys.members != nil else {
          throw ConfigError.notAnObject(reason: "the outermost value is something else")
        }
        (modelType, config) = (keys["model_type"]?.string, wholeNumbers(keys))
      }
      obstacle =
        folder.modelType.map { "Apus has no architecture for the model_type '\($0)'" }
        ?? "there is no config.json beside the weights"
    }
    if Files.isFolder(path), shards.isEmpty, canRun {
      (canRun, obstacle) = (false, "the folder has no safetensors")
    } else if let missing = shards.first(where: { $0.bytes == nil }) {
      (canRun, obstacle) = (false, "the shard \(missing.name) is missing")
    }
    finish(facts)
  }

  /// Of a language model also its state, and its tensors where there are no weights to look at.
  ///
  /// - Returns: Its facts, embedding and head with them; nil when it cannot be made.
  private mutating func language(_ folder: LanguageFolder) throws -> LayerFacts? {
    (modelType, architecture) = (folder.config["model_type"]?.string, folder.architecture.name)
    config = wholeNumbers(folder.config)
    return try describing {
      let blueprint = try folder.architecture.configured(folder.config)
      let model = try LanguageModel(blueprint, in: Scope.describing)
      $0.config = wholeNumbers(try blueprint.config.document())
      $0.state = StateSize(blueprint.facts.total)
      $0.takeTensors(of: model.parameters)
      return blueprint.languageTotal
    }
  }

  private mutating func encoder(_ folder: EncoderFolder) throws {
    (modelType, architecture) = (BertConfig.modelType, BertConfig.modelType)
    config = wholeNumbers(folder.config)
    _ = try describing {
      let found = try BertConfig(folder.config)
      $0.config = wholeNumbers(try found.document())
      let names = $0.tensors.map(\.name)
      let parts =
        names.isEmpty
        ? Bert.Parts(isPrefixed: false, hasMaskedLanguageHead: false, hasPooler: true)
        : Bert.parts(ofNames: names)
      $0.takeTensors(of: try Bert(found, parts: parts, in: Scope.describing).parameters)
      return nil
    }
  }

  private mutating func describe(_ folder: PretrainedFolder) throws {
    try addWeights(folder.weights.files(), of: folder.weights)
    (modelType, architecture) = (folder.config["model_type"]?.string, folder.family)
    config = wholeNumbers(folder.config)
    for member in folder.config.members ?? [] {
      config.merge(wholeNumbers(member.value)) { own, _ in own }
    }
    _ = try describing {
      let found = try folder.kind.init(folder.config)
      // Shapes without memory tell whether the weights fit.
      let shapes = $0.tensors.compactMap { entry in
        Tensor(placeholder: Shape(entry.shape)).map { (entry.name, $0) }
      }
      if !shapes.isEmpty {
        _ = try found.makeModel(
          checkpoint: Dictionary(shapes, uniquingKeysWith: { first, _ in first }))
      }
      return nil
    }
  }

  /// What `body` finds out; a model that cannot be is no error, but what stands in its way is kept.
  private mutating func describing(
    _ body: (inout ModelInspection) throws -> LayerFacts?
  ) throws -> LayerFacts? {
    do {
      let facts = try body(&self)
      canRun = true
      return facts
    } catch let error as ConfigError {
      obstacle = "\(error)"
    } catch let error as CheckpointError {
      obstacle = "\(error)"
    }
    return nil
  }

  private mutating func takeTensors(of parameters: [Parameter]) {
    guard shards.isEmpty else { return }
    tensors = parameters.map { TensorEntry(name: $0.name, shape: $0.shape.dimensions) }
  }

  private mutating func finish(_ facts: LayerFacts?) {
    tensors.sort { $0.name < $1.name }
    func count(_ entries: some Sequence<TensorEntry>) -> Int {
      // Whole numbers and masks are no parameters.
      entries.filter { $0.dtype.map { $0.hasPrefix("F") || $0.hasPrefix("BF") } ?? true }
        .reduce(0) { $0 + $1.shape.reduce(1, *) }
    }
    parameters = count(tensors)
    (float32Bytes, bfloat16Bytes) = (4 * parameters, 2 * parameters)
    if canRun { activeParameters = parameters - (facts?.idle ?? 0) }
  }
}

/// The keys of a configuration that are whole numbers.
private func wholeNumbers(_ keys: JSONValue) -> [String: Int] {
  let numbers = (keys.members ?? []).compactMap { member in
    member.value.integer.map { (member.key, $0) }
  }
  return Dictionary(numbers, uniquingKeysWith: { first, _ in first })
}

extension ModelInspection.StateSize {
  /// What the layers of a model remember.
  fileprivate init(_ facts: LayerFacts) {
    let bounds = facts.bytesPerToken.keys.map(\.bound)
    fixedBytes = facts.fixedBytes
    bytesPerToken = facts.bytesPerToken.values.reduce(0, +)
    window = bounds.contains(nil) ? nil : bounds.compactMap(\.self).max()
  }
}
