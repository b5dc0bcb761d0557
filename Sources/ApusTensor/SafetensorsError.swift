/// An error of a safetensors file or folder.
public enum SafetensorsError: Error, Equatable {
  /// The file is shorter than its own header says, or has none.
  case truncated(path: String, found: Int, expected: Int)
  /// The header claims more bytes than are allowed.
  case headerTooLong(path: String, found: UInt64, limit: Int)
  /// The header is not the JSON that the format asks for.
  case malformedHeader(path: String, problem: String, offset: Int)
  /// The bytes of a tensor are not where the format allows.
  case badOffsets(path: String, tensor: String, begin: Int, end: Int, expected: String)
  /// A tensor's bytes are not as many as its shape and type ask for.
  case sizeMismatch(
    path: String, tensor: String, dtype: String, shape: [Int], found: Int, expected: Int?)
  /// The tensors do not fill the file.
  case unusedBytes(path: String, found: Int, expected: Int)
  /// The file has no tensor of this name.
  case missingTensor(path: String, tensor: String)
  /// A type that Apus does not read or write.
  case unsupportedType(path: String, tensor: String, found: String)
  /// A 64-bit integer that 32 bits cannot hold.
  case integerOutOfRange(path: String, tensor: String, index: Int, found: Int64)
  /// A file of a format that can run code when it is read, or that Apus does not read.
  case refusedFormat(path: String, found: String)
  /// A folder without weights.
  case noWeights(path: String)
  /// The index of a folder sends a tensor somewhere it must not.
  case badShard(path: String, tensor: String, shard: String, problem: String)
  /// A tensor cannot have this name.
  case badName(path: String, tensor: String)
  /// A tensor that has to be copied finds no memory.
  case noMemory(path: String, tensor: String, bytes: Int)
}

extension SafetensorsError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .truncated(let path, let found, let expected):
      """
      '\(path)' has \(found) bytes, but a safetensors file with its header has at least \
      \(expected). It was cut off or is no safetensors file: fetch or save it again.
      """
    case .headerTooLong(let path, let found, let limit):
      """
      '\(path)' announces a header of \(found) bytes; at most \(limit) are allowed. \
      It is damaged or no safetensors file.
      """
    case .malformedHeader(let path, let problem, let offset):
      """
      The JSON of '\(path)' is wrong at byte \(offset): \(problem). \
      The file is damaged or no safetensors file: fetch or save it again.
      """
    case .badOffsets(let path, let tensor, let begin, let end, let expected):
      """
      Tensor \(Self.shown(tensor)) of '\(path)' lies at bytes \(begin) to \(end), but \(expected). \
      The file is damaged: fetch or save it again.
      """
    case .sizeMismatch(let path, let tensor, let dtype, let shape, let found, let expected):
      """
      Tensor \(Self.shown(tensor)) of '\(path)' has \(found) bytes, but \(dtype) of shape \
      \(shape.prefix(8)) asks for \(expected.map { "\($0)" } ?? "more than any memory has"). \
      The file is damaged: fetch or save it again.
      """
    case .unusedBytes(let path, let found, let expected):
      """
      '\(path)' holds \(found) bytes of data, but its tensors fill \(expected). \
      The file is damaged: fetch or save it again.
      """
    case .missingTensor(let path, let tensor):
      "'\(path)' has no tensor \(Self.shown(tensor)). Check that it belongs to this model."
    case .unsupportedType(let path, let tensor, let found):
      """
      Tensor \(Self.shown(tensor)) of '\(path)' is of type \(found.prefix(40)); \
      F32, BF16, F16, I32 and I64 are understood. Convert it before.
      """
    case .integerOutOfRange(let path, let tensor, let index, let found):
      """
      Element \(index) of tensor \(Self.shown(tensor)) of '\(path)' is \(found), \
      which 32 bits cannot hold. Apus reads 64-bit integers as 32-bit ones.
      """
    case .refusedFormat(let path, let found):
      """
      '\(path)' is a \(found) file. Apus reads safetensors only, because pickles and their kin can \
      run code: convert it with the safetensors package, or fetch the model.safetensors of the model.
      """
    case .noWeights(let path):
      """
      '\(path)' holds neither model.safetensors nor model.safetensors.index.json. \
      Give the folder of a model, or a safetensors file.
      """
    case .badShard(let path, let tensor, let shard, let problem):
      """
      '\(path)' sends tensor \(Self.shown(tensor)) to \(Self.shown(shard)), but \(problem). \
      Shards are safetensors files that lie beside their index.
      """
    case .badName(let path, let tensor):
      "No tensor of '\(path)' can be called \(Self.shown(tensor)). Choose another name."
    case .noMemory(let path, let tensor, let bytes):
      "There is no memory for the \(bytes) bytes of tensor \(Self.shown(tensor)) of '\(path)'."
    }
  }

  /// A name from an untrusted file, fit for a message.
  private static func shown(_ name: String) -> String {
    let clean = String(
      String.UnicodeScalarView(name.unicodeScalars.prefix(120).map { $0.value < 32 ? "?" : $0 }))
    return "'\(clean)'" + (name.unicodeScalars.count > 120 ? "…" : "")
  }
}
