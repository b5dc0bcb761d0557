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
    let isConfig = !isFolder && path.lowercased().hasSuffix(".json")
    let configPath = isFolder ? path + "/config.json" : path
    if isFolder {
      tokenizer = Self.tokenizerFiles.filter { Files.isFile("\(path)/\($0)") }
      try addWeights(Safetensors.files(of: path))
    } else if !isConfig {
      try addWeights([(String(path.split(separator: "/").last ?? ""), path)])
    }
    guard isConfig || (isFolder && Files.isFile(configPath)) else {
      guard !shards.isEmpty else {
        throw ModelFolderError.missingFile(path: configPath, purpose: "the model's configuration")
      }
      obstacle = "there is no config.json beside the weights"
      finish(nil)
      return
    }
    let json = try ModelFolder.read(configPath, purpose: "the model's configuration")
    var facts = try ConfigFacts(json)
    modelType = facts.modelType
    try describe(json, &facts, folder: isFolder ? path : nil)
    if isFolder, shards.isEmpty, canRun {
      (canRun, obstacle) = (false, "the folder has no safetensors")
    } else if let missing = shards.first(where: { $0.bytes == nil }) {
      (canRun, obstacle) = (false, "the shard \(missing.name) is missing")
    }
    config = facts.summary
    finish(facts)
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
  private mutating func addWeights(_ files: [(name: String, path: String?)]) throws {
    for (name, path) in files {
      guard let path else {
        shards.append(Shard(name: name, bytes: nil, tensors: 0))
        continue
      }
      let file = try SafetensorsFile(path: path)
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

  /// What the configuration makes of it: of a model that Apus knows also its state, and its tensors
  /// where there are no weights to look at.
  private mutating func describe(
    _ json: Data, _ facts: inout ConfigFacts, folder: String?
  ) throws {
    if let type = modelType, let known = try? Architecture.named(type) {
      architecture = known.name
      do {
        let model = try LanguageModel(
          known, config: known.makeConfiguration(json: json), in: Scope.describing)
        facts = try facts.completed(by: model.config.json())
        canRun = true
        state = stateSize(model.initialState(batch: 1), facts)
        takeTensors(of: model.parameters)
        return
      } catch let error as ConfigError {
        obstacle = "\(error)"
      } catch let error as CheckpointError {
        obstacle = "\(error)"
      }
      return
    } else if modelType == BertConfig.modelType {
      architecture = BertConfig.modelType
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
      return
    }
    if let folder, let card = try? ModelFolder.card(at: folder), let forecaster = card.forecaster {
      (architecture, canRun) = (forecaster.architecture, true)
      return
    }
    obstacle = "Apus has no architecture for the model_type '\(modelType ?? "")'"
  }

  private mutating func takeTensors(of parameters: [Parameter]) {
    guard shards.isEmpty else { return }
    tensors = parameters.map { TensorEntry(name: $0.name, shape: $0.shape.dimensions) }
  }

  private func stateSize(_ state: BackboneState, _ facts: ConfigFacts) -> StateSize {
    let growing = state.layers.count { if case .attention = $0 { true } else { false } }
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
