public import ApusTensor
import Foundation

/// How the weights of a model are written.
public struct WeightFormat: Sendable, Hashable {
  /// The type of every float: `float32`, or `bfloat16` or `float16` at half the size.
  public var dtype = DType.float32
  /// The most bytes of tensors in one file; more are spread over several with an index. A tensor is
  /// never cut. Nil: one file.
  public var largestShard: Int?

  /// Creates the format: one file of 32-bit floats.
  public init(dtype: DType = .float32, largestShard: Int? = nil) {
    self.dtype = dtype
    self.largestShard = largestShard
  }
}

/// Everything that a folder with one model consists of. Its files are replaced together, and each
/// tells which others it belongs to, so that no folder is read as half of two models.
package struct FolderContents {
  let tensors: [String: Tensor]
  let format: WeightFormat
  let config: Data
  let card: FolderCard
  /// Other files, by name and by where they come from.
  var companions: [(name: String, source: String)] = []

  private static let single = "model.safetensors"
  private static let index = "model.safetensors.index.json"

  init(
    _ parameters: [Parameter], format: WeightFormat = WeightFormat(), config: Data, card: FolderCard
  ) {
    self.init(ModelFolder.named(parameters), format: format, config: config, card: card)
  }

  init(
    _ tensors: [String: Tensor], format: WeightFormat = WeightFormat(), config: Data,
    card: FolderCard
  ) {
    self.tensors = tensors
    (self.format, self.config, self.card) = (format, config, card)
  }

  /// Replaces what a folder holds.
  ///
  /// - Parameter path: The folder; made when missing. The model may be mapped from it.
  /// - Throws: ``ModelFolderError/doesNotFit(tensor:value:dtype:)`` or `FileError`; the old files stand.
  func save(to path: String) throws {
    if format.dtype == .float16 { try checkRange() }
    try Files().commit(to: path, removing: Self.holdsWeights) { try write(to: $0) }
  }

  /// Writes all files.
  ///
  /// - Parameters:
  ///   - draft: The folder's new files.
  ///   - folder: The folder in it, with its slash; empty for the folder itself.
  /// - Throws: `FileError`.
  package func write(to draft: FolderDraft, in folder: String = "") throws {
    var card = card
    card.weights = try writeWeights(to: draft, in: folder)
    card.config = try JSONValue(config, name: FolderFiles.config).fingerprint
    try draft.write(folder + FolderFiles.config, config)
    for (name, source) in companions {
      try draft.copy(source, to: folder + name)
    }
    try draft.write(folder + FolderFiles.card, ModelFolder.encoded(card))
  }

  /// Writes `model.safetensors`, or shards and their index.
  private func writeWeights(to draft: FolderDraft, in folder: String) throws -> [String: String] {
    let shards = shards()
    let names = (1...shards.count).map { Self.shardName($0, of: shards.count) }
    var fingerprints: [String: String] = [:]
    for (name, shard) in zip(names, shards) {
      let fingerprint = Safetensors.fingerprint(of: shard, as: format.dtype)
      fingerprints[name] = fingerprint
      try Safetensors.save(
        shard, as: format.dtype, metadata: ["format": "pt", FolderWeights.mark: fingerprint],
        with: { try draft.write($0, $1) }, folder + name)
    }
    guard shards.count > 1 else { return fingerprints }
    let map = zip(names, shards).flatMap { name, shard in shard.keys.map { ($0, name) } }
    let bytes = tensors.values.reduce(0) { $0 + $1.count * format.dtype.size }
    let index = ShardIndex(
      metadata: ["total_size": bytes],
      weight_map: Dictionary(map, uniquingKeysWith: { first, _ in first }))
    try draft.write(folder + Self.index, ModelFolder.encoded(index))
    return fingerprints
  }

  private struct ShardIndex: Encodable {
    let metadata: [String: Int]
    let weight_map: [String: String]
  }

  /// Tensors in the order of their names, a new shard wherever the next would be too much.
  private func shards() -> [[String: Tensor]] {
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
    return count == 1
      ? single : "model-\(padded(number))-of-\(padded(count)).safetensors"
  }

  private static func holdsWeights(_ name: String) -> Bool {
    name == single || name == index
      || (name.hasPrefix("model-") && name.hasSuffix(".safetensors") && name.contains("-of-"))
  }

  private func checkRange() throws {
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      let worst = tensor.values.first { $0.isFinite && abs($0) >= 65520 }
      if let worst {
        throw ModelFolderError.doesNotFit(tensor: name, value: worst, dtype: .float16)
      }
    }
  }
}

extension ModelFolder {
  /// Makes the folder, or checks that it can be written, before hours of work depend on it.
  ///
  /// - Throws: ``ModelFolderError/cannotCreate(path:reason:)``.
  public static func prepare(_ path: String) throws {
    let (files, probe) = (Files(), "\(path)/.tmp-probe-\(Files.process)")
    do {
      try files.makeFolder(path)
      try files.sweep(path)
      try files.write(probe) { _ in }
      try files.remove(probe)
    } catch let error as FileError {
      throw ModelFolderError.cannotCreate(path: path, reason: "\(error)")
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
