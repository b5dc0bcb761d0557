public import ApusData
public import ApusModels
public import ApusTensor
public import Foundation

/// A language model with what its folder says beside the weights.
public struct SavedLanguageModel {
  /// The model.
  public let model: LanguageModel
  /// The tokenizer of a text that Apus was trained on; nil for published folders, which bring their
  /// own files.
  public let tokenizer: TextTokenizer?
  /// The `config.json` as it was found, with the keys that only other programs read.
  public let publishedConfig: Data

  /// Puts the parts together.
  public init(model: LanguageModel, tokenizer: TextTokenizer?, publishedConfig: Data) {
    self.model = model
    self.tokenizer = tokenizer
    self.publishedConfig = publishedConfig
  }
}

/// How the weights of a model are written.
public struct WeightFormat: Sendable, Hashable {
  /// The type of every float: `float32`, or `bfloat16` or `float16` at half the size.
  public var dtype = DType.float32
  /// The most bytes of tensors in one file; more are spread over several with an index. A tensor is
  /// never cut. Nil: one file.
  public var largestShard: Int?

  /// Creates the format: one file of float32 by default.
  public init(dtype: DType = .float32, largestShard: Int? = nil) {
    self.dtype = dtype
    self.largestShard = largestShard
  }
}

extension ModelFolder {
  /// Loads a language model: one of ours, with its tokenizer, or any published folder.
  ///
  /// Weights in float32 stay in the file, mapped read-only; others are converted to it.
  ///
  /// - Parameter path: The folder.
  /// - Returns: The model with its surroundings.
  /// - Throws: ``ModelFolderError``, or what is wrong with its configuration or weights.
  public static func languageModel(at path: String) throws -> SavedLanguageModel {
    let json = try read(path + "/config.json", purpose: "the model's configuration")
    let hasCard = FileManager.default.fileExists(atPath: path + "/apus.json")
    let card = hasCard ? try card(at: path) : nil
    if let card, card.task != "language" {
      throw ModelFolderError.wrongTask(path: path, found: card.task, expected: "language")
    }
    if PublishedConfig.modelType(json) == BertConfig.modelType {
      throw ModelFolderError.wrongTask(path: path, found: "encode", expected: "language")
    }
    let (architecture, config) = try Architecture.reading(json: json)
    // Masks and the like may be of types that nothing else needs.
    let ignored = architecture.languageLayout(of: config)?.ignoredSuffixes ?? []
    let weights = try Safetensors.load(path) { name in
      !ignored.contains { name.hasSuffix($0) }
    }
    return SavedLanguageModel(
      model: try LanguageModel(architecture, config: config, checkpoint: weights),
      tokenizer: card?.tokenizer, publishedConfig: json)
  }

  /// Saves a language model and, when given, its tokenizer, as published folders are laid out.
  ///
  /// A file that exists is replaced whole, and what is mapped from it stays intact; so a model may be
  /// saved to where it was loaded from.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - tokenizer: Goes into `apus.json`.
  ///   - publishedConfig: The `config.json` that the model came from, whose other keys are kept, so
  ///     that other programs read the folder the same way.
  ///   - format: Type and files of the weights.
  ///   - path: The folder; made when missing.
  /// - Throws: ``ModelFolderError`` or what the file system says.
  public static func save(
    _ model: LanguageModel, tokenizer: TextTokenizer?, publishedConfig: Data? = nil,
    format: WeightFormat = WeightFormat(), to path: String
  ) throws {
    let config = try PublishedConfig.merged(model, over: publishedConfig, dtype: format.dtype)
    try makeFolder(path)
    try saveWeights(named(model.parameters), format: format, to: path)
    try write(config, to: path + "/config.json")
    try write(
      encoded(Card(task: "language", tokenizer: tokenizer)), to: path + "/apus.json")
  }

  /// Writes `model.safetensors`, or shards and their index, and removes what either replaces.
  static func saveWeights(
    _ tensors: [String: Tensor], format: WeightFormat, to path: String
  ) throws {
    if format.dtype == .float16 { try checkRange(tensors) }
    let single = "model.safetensors"
    let index = "model.safetensors.index.json"
    let shards = shards(of: tensors, format: format)
    let old = try FileManager.default.contentsOfDirectory(atPath: path)
      .filter { $0 == single || $0 == index || isShard($0) }
    guard shards.count > 1 else {
      try Safetensors.save(tensors, to: "\(path)/\(single)", as: format.dtype)
      return try remove(old.filter { $0 != single }, in: path)
    }
    let names = (1...shards.count).map { shardName($0, of: shards.count) }
    // All under other names first: until the last is written the old model stays whole.
    for (name, shard) in zip(names, shards) {
      try Safetensors.save(
        shard, to: "\(path)/.new-\(name)", as: format.dtype)
    }
    let files = Files()
    for name in names { try files.rename("\(path)/.new-\(name)", to: "\(path)/\(name)") }
    let map = zip(names, shards).flatMap { name, shard in shard.keys.map { ($0, name) } }
    let bytes = tensors.values.reduce(0) { $0 + $1.count * format.dtype.size }
    try write(
      encoded(
        ShardIndex(
          metadata: ["total_size": bytes],
          weight_map: Dictionary(map, uniquingKeysWith: { first, _ in first }))),
      to: "\(path)/\(index)")
    try files.syncFolder(path)
    try remove(old.filter { $0 != index && !names.contains($0) }, in: path)
  }

  private struct ShardIndex: Encodable {
    let metadata: [String: Int]
    let weight_map: [String: String]
  }

  /// Tensors in the order of their names, a new shard wherever the next would be too much.
  private static func shards(
    of tensors: [String: Tensor], format: WeightFormat
  ) -> [[String: Tensor]] {
    guard let limit = format.largestShard else { return [tensors] }
    var (shards, bytes) = ([[String: Tensor]](), 0)
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      let size = tensor.count * format.dtype.size
      if shards.isEmpty || bytes + size > limit {
        shards.append([:])
        bytes = 0
      }
      shards[shards.count - 1][name] = tensor
      bytes += size
    }
    return shards
  }

  private static func shardName(_ number: Int, of count: Int) -> String {
    func padded(_ value: Int) -> String {
      let digits = String(value)
      return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
    return "model-\(padded(number))-of-\(padded(count)).safetensors"
  }

  private static func isShard(_ name: String) -> Bool {
    name.hasPrefix("model-") && name.hasSuffix(".safetensors") && name.contains("-of-")
  }

  private static func remove(_ names: [String], in path: String) throws {
    for name in names { try Files().remove("\(path)/\(name)") }
  }

  private static func checkRange(_ tensors: [String: Tensor]) throws {
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      let worst = tensor.values.first { $0.isFinite && abs($0) >= 65520 }
      if let worst {
        throw ModelFolderError.doesNotFit(tensor: name, value: worst, dtype: .float16)
      }
    }
  }
}
