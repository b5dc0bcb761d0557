/// Reads a safetensors file without copying it: tensors are views of the mapped, read-only file.
///
/// The format: 8 bytes with the length of the header, little-endian; the header, a JSON object from
/// tensor names to type, shape and place; the data. https://huggingface.co/docs/safetensors
public struct SafetensorsFile: Sendable {
  /// The position of a tensor in the file.
  public struct Entry: Sendable {
    /// The tensor's name.
    public let name: String
    /// The type as the file writes it, such as "BF16". More types exist than Apus reads.
    public let storedType: String
    /// The sizes.
    public let shape: Shape
    /// The bytes, counted from the start of the data.
    public let range: Range<Int>
  }

  /// A header longer than this is rejected, as the reference implementation does.
  public static let maximumHeaderBytes = 100_000_000

  /// The path as it was given.
  public let path: String
  /// The free-form part of the header.
  public let metadata: [String: String]
  /// All tensors, in the order of their bytes.
  public let entries: [Entry]
  private let indices: [String: Int]
  /// Bytes of the whole file.
  public var byteCount: Int { file.bytes.count }
  private let file: MappedFile
  private let dataStart: Int

  /// Maps a file and checks its header whole: afterwards every entry lies inside the file.
  ///
  /// - Throws: ``SafetensorsError`` or ``FileError``.
  public init(path: String) throws {
    try refuseForeignFormat(path)
    let file = try MappedFile(path)
    let total = file.bytes.count
    guard total >= 8 else {
      throw SafetensorsError.truncated(path: path, found: total, expected: 10)
    }
    let announced = UInt64(littleEndian: file.bytes.loadUnaligned(as: UInt64.self))
    guard let length = Int(exactly: announced), length <= Self.maximumHeaderBytes else {
      throw SafetensorsError.headerTooLong(
        path: path, found: announced, limit: Self.maximumHeaderBytes)
    }
    guard length <= total - 8 else {
      throw SafetensorsError.truncated(path: path, found: total, expected: 8 + length)
    }
    let header = UnsafeRawBufferPointer(rebasing: file.bytes[8..<8 + length])
    let (entries, metadata) = try SafetensorsHeader.parse(
      header, dataBytes: total - 8 - length, path: path)
    self.path = path
    self.file = file
    self.entries = entries
    self.metadata = metadata
    dataStart = 8 + length
    indices = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.name, $0) })
  }

  /// The tensor of this name.
  ///
  /// F32, BF16, F16 and I32 are views of the file where their bytes are aligned, copies elsewhere;
  /// I64 is copied to I32.
  /// - Throws: ``SafetensorsError`` when there is none, or its type or numbers are not understood.
  public func tensor(_ name: String) throws -> Tensor {
    guard let index = indices[name] else {
      throw SafetensorsError.missingTensor(path: path, tensor: name)
    }
    let entry = entries[index]
    let range = entry.range.lowerBound + dataStart..<entry.range.upperBound + dataStart
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
    if entry.storedType == "I64" { return try narrowed(entry, bytes) }
    guard let dtype = DType(rawValue: entry.storedType) else {
      throw SafetensorsError.unsupportedType(path: path, tensor: name, found: entry.storedType)
    }
    guard let address = bytes.baseAddress, !bytes.isEmpty else {
      return Tensor(uninitialized: entry.shape, dtype: dtype)
    }
    guard Int(bitPattern: address) % dtype.size == 0 else {
      let copy = try room(entry, dtype)
      copy.storage.pointer.copyMemory(from: address, byteCount: bytes.count)
      return Tensor(copy)
    }
    return Tensor(
      TensorValue(
        shape: entry.shape, dtype: dtype,
        storage: Storage(
          mapped: UnsafeMutableRawPointer(mutating: address), byteCount: bytes.count, owner: file)))
  }

  private func narrowed(_ entry: Entry, _ bytes: UnsafeRawBufferPointer) throws -> Tensor {
    let result = try room(entry, .int32)
    try withPointers(result.ints.out) { numbers in
      for index in 0..<entry.shape.count {
        let wide = Int64(
          littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self))
        guard let value = Int32(exactly: wide) else {
          throw SafetensorsError.integerOutOfRange(
            path: path, tensor: entry.name, index: index, found: wide)
        }
        numbers[index] = value
      }
    }
    return Tensor(result)
  }

  private func room(_ entry: Entry, _ dtype: DType) throws -> TensorValue {
    guard let room = TensorValue(room: entry.shape, dtype: dtype) else {
      throw SafetensorsError.noMemory(path: path, tensor: entry.name, bytes: entry.range.count)
    }
    return room
  }
}

/// Reading and writing whole sets of tensors.
public enum Safetensors {
  /// Reads a file, or the folder of a model: its `model.safetensors`, or the shards that its
  /// `model.safetensors.index.json` names.
  ///
  /// - Parameters:
  ///   - path: The file or folder.
  ///   - isWanted: Which names to read. Default: all. Others may be of any type.
  /// - Returns: The tensors by name, mostly views of the mapped files.
  /// - Throws: ``SafetensorsError`` or ``FileError``.
  public static func load(
    _ path: String, where isWanted: (String) -> Bool = { _ in true }
  ) throws -> [String: Tensor] {
    guard Files.isFolder(path) else {
      return try tensors(of: SafetensorsFile(path: path), where: isWanted)
    }
    let single = path + "/model.safetensors"
    if Files.isFile(single) {
      return try tensors(of: SafetensorsFile(path: single), where: isWanted)
    }
    let index = path + "/model.safetensors.index.json"
    if Files.isFile(index) { return try SafetensorsIndex(path: index).load(where: isWanted) }
    for name in ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "model.pt"]
    where Files.isFile("\(path)/\(name)") {
      throw SafetensorsError.refusedFormat(path: "\(path)/\(name)", found: "PyTorch or Keras")
    }
    throw SafetensorsError.noWeights(path: path)
  }

  /// The files with the weights of a folder by name, and their paths; a path is nil where a shard that
  /// the index names is missing or may not be read. Empty when the folder has no weights.
  ///
  /// - Throws: ``SafetensorsError`` when the index is wrong.
  package static func files(of folder: String) throws -> [(name: String, path: String?)] {
    let (single, index) = ("model.safetensors", folder + "/model.safetensors.index.json")
    if Files.isFile("\(folder)/\(single)") { return [(single, "\(folder)/\(single)")] }
    return Files.isFile(index) ? try SafetensorsIndex(path: index).files() : []
  }

  private static func tensors(
    of file: SafetensorsFile, where isWanted: (String) -> Bool
  ) throws -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for entry in file.entries where isWanted(entry.name) {
      result[entry.name] = try file.tensor(entry.name)
    }
    return result
  }
}

/// Refuses files whose name promises a pickle or another format that is not read here.
private func refuseForeignFormat(_ path: String) throws {
  let name = path.split(separator: "/").last ?? ""
  guard let point = name.lastIndex(of: ".") else { return }
  switch name[name.index(after: point)...].lowercased() {
  case "bin", "pt", "pth", "ckpt":
    throw SafetensorsError.refusedFormat(path: path, found: "PyTorch")
  case "pkl", "pickle", "joblib":
    throw SafetensorsError.refusedFormat(path: path, found: "Python pickle")
  case "h5", "hdf5", "keras": throw SafetensorsError.refusedFormat(path: path, found: "Keras")
  case "npz", "npy": throw SafetensorsError.refusedFormat(path: path, found: "NumPy")
  case "onnx": throw SafetensorsError.refusedFormat(path: path, found: "ONNX")
  case "msgpack": throw SafetensorsError.refusedFormat(path: path, found: "Flax")
  default: return
  }
}
