/// The JSON at the start of a safetensors file.
enum SafetensorsHeader {
  typealias Entry = SafetensorsFile.Entry

  /// Bytes of one element of every type that the format knows, so that layouts can be checked even
  /// where a type is not read. Types narrower than a byte are left out: they are rejected.
  private static let sizes = [
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "I16": 2, "U16": 2,
    "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
  ]

  /// Parses and checks a header.
  ///
  /// - Parameters:
  ///   - bytes: The header.
  ///   - dataBytes: How many bytes of data follow it.
  ///   - path: For messages.
  /// - Returns: The tensors in the order of their bytes, and the free-form part.
  /// - Throws: ``SafetensorsError``.
  static func parse(
    _ bytes: UnsafeRawBufferPointer, dataBytes: Int, path: String
  ) throws -> (entries: [Entry], metadata: [String: String]) {
    var entries: [Entry] = []
    var metadata: [String: String] = [:]
    do {
      var scanner = JSONScanner(bytes)
      guard bytes.first == UInt8(ascii: "{") else {
        throw scanner.failure("a header starts with '{'")
      }
      try scanner.object { name, scanner in
        if name == "__metadata__" {
          try scanner.object { metadata[$0] = try $1.string() }
        } else {
          entries.append(try entry(name, &scanner, path))
        }
      }
      try scanner.expectEnd()
    } catch let failure as JSONScanner.Failure {
      throw SafetensorsError.malformedHeader(
        path: path, problem: failure.problem, offset: 8 + failure.offset)
    }
    entries.sort {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    try checkLayout(entries, dataBytes: dataBytes, path: path)
    return (entries, metadata)
  }

  private static func entry(
    _ name: String, _ scanner: inout JSONScanner, _ path: String
  ) throws -> Entry {
    var (dtype, shape, offsets): (String?, [Int]?, [Int]?)
    let start = scanner
    try scanner.object { key, scanner in
      switch key {
      case "dtype": dtype = try scanner.string()
      case "shape": shape = try numbers(&scanner)
      case "data_offsets": offsets = try numbers(&scanner)
      default: throw scanner.failure("unknown key '\(key.prefix(40))' of a tensor")
      }
    }
    guard let dtype, let shape, let offsets, offsets.count == 2 else {
      throw start.failure(
        "tensor '\(name.prefix(120))' needs dtype, shape and two data_offsets")
    }
    let (begin, end) = (offsets[0], offsets[1])
    guard begin <= end else {
      throw SafetensorsError.badOffsets(
        path: path, tensor: name, begin: begin, end: end,
        expected: "a tensor ends after it begins")
    }
    guard let size = sizes[dtype] else {
      throw SafetensorsError.unsupportedType(path: path, tensor: name, found: dtype)
    }
    let expected = byteCount(shape, size)
    guard let expected, expected == end - begin else {
      throw SafetensorsError.sizeMismatch(
        path: path, tensor: name, dtype: dtype, shape: shape, found: end - begin,
        expected: expected)
    }
    return Entry(name: name, storedType: dtype, shape: Shape(shape), range: begin..<end)
  }

  private static func numbers(_ scanner: inout JSONScanner) throws -> [Int] {
    var result: [Int] = []
    try scanner.array { result.append(try $0.count()) }
    return result
  }

  /// Nil when it is more than an `Int` holds, even were the zeros among the sizes ones: no product of
  /// some of the sizes may overflow later.
  private static func byteCount(_ shape: [Int], _ size: Int) -> Int? {
    var product = size
    for dimension in shape where dimension > 0 {
      let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
      guard !overflow else { return nil }
      product = next
    }
    return shape.contains(0) ? 0 : product
  }

  /// Every byte of data belongs to one tensor.
  private static func checkLayout(_ entries: [Entry], dataBytes: Int, path: String) throws {
    var expected = 0
    for entry in entries {
      let range = entry.range
      func bad(_ expectation: String) -> SafetensorsError {
        .badOffsets(
          path: path, tensor: entry.name, begin: range.lowerBound, end: range.upperBound,
          expected: expectation)
      }
      guard range.upperBound <= dataBytes else { throw bad("the data ends at \(dataBytes)") }
      guard range.lowerBound == expected else {
        throw bad("the tensor before it ends at \(expected)")
      }
      expected = range.upperBound
    }
    guard expected == dataBytes else {
      throw SafetensorsError.unusedBytes(path: path, found: dataBytes, expected: expected)
    }
  }

  /// The header for tensors in the order of their bytes, padded so that the data is aligned.
  static func text(
    _ tensors: [(name: String, dtype: DType, shape: Shape)], metadata: [String: String]
  ) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }
      let list = pairs.map { "\(jsonString($0.key)):\(jsonString($0.value))" }
      members.append("\"__metadata__\":{\(list.joined(separator: ","))}")
    }
    var offset = 0
    for (name, dtype, shape) in tensors {
      let end = offset + shape.count * dtype.size
      let shape = shape.dimensions.map(String.init).joined(separator: ",")
      members.append(
        """
        \(jsonString(name)):{"dtype":"\(dtype.rawValue)","shape":[\(shape)],\
        "data_offsets":[\(offset),\(end)]}
        """)
      offset = end
    }
    var bytes = Array("{\(members.joined(separator: ","))}".utf8)
    bytes += Array(repeating: UInt8(ascii: " "), count: (8 - bytes.count % 8) % 8)
    return bytes
  }
}

/// The `model.safetensors.index.json` of a model in several files.
struct SafetensorsIndex {
  private let path: String
  private let shards: [String: String]  // file name by tensor name

  /// Reads an index and checks where it points: nowhere but to files beside it.
  init(path: String) throws {
    self.path = path
    let file = try MappedFile(path)
    guard file.bytes.count <= SafetensorsFile.maximumHeaderBytes else {
      throw SafetensorsError.headerTooLong(
        path: path, found: UInt64(file.bytes.count), limit: SafetensorsFile.maximumHeaderBytes)
    }
    var shards: [String: String]?
    do {
      var scanner = JSONScanner(file.bytes)
      try scanner.object { key, scanner in
        guard key == "weight_map" else { return try scanner.skip() }
        var map: [String: String] = [:]
        try scanner.object { map[$0] = try $1.string() }
        shards = map
      }
      try scanner.expectEnd()
      guard shards != nil else { throw scanner.failure("there is no weight_map") }
    } catch let failure as JSONScanner.Failure {
      throw SafetensorsError.malformedHeader(
        path: path, problem: failure.problem, offset: failure.offset)
    }
    self.shards = shards ?? [:]
  }

  /// The files that the index names, in order; checked only for being there and where they lie.
  func files() -> [(name: String, path: String?)] {
    let first = Dictionary(shards.map { ($1, $0) }, uniquingKeysWith: min)
    return first.sorted { $0.key < $1.key }.map { shard, tensor in
      (shard, try? checked(shard, of: tensor))
    }
  }

  /// Reads the tensors that are wanted.
  func load(where isWanted: (String) -> Bool) throws -> [String: Tensor] {
    var files: [String: SafetensorsFile] = [:]
    var result: [String: Tensor] = [:]
    for (tensor, shard) in shards.sorted(by: { $0.key < $1.key }) where isWanted(tensor) {
      let file = try files[shard] ?? SafetensorsFile(path: checked(shard, of: tensor))
      files[shard] = file
      result[tensor] = try file.tensor(tensor)
    }
    return result
  }

  /// The path of a shard that the index may name.
  private func checked(_ shard: String, of tensor: String) throws -> String {
    func bad(_ problem: String) -> SafetensorsError {
      .badShard(path: path, tensor: tensor, shard: shard, problem: problem)
    }
    guard shard.utf8.count <= 255 else { throw bad("a file name has at most 255 bytes") }
    guard shard.unicodeScalars.allSatisfy({ $0.value >= 32 && $0 != "/" && $0 != "\\" }) else {
      throw bad("this is no plain file name")
    }
    guard shard.hasSuffix(".safetensors") else { throw bad("its name does not end .safetensors") }
    let folder = Files.folder(of: path)
    let full = folder + "/" + shard
    guard Files.isFile(full) else { throw bad("there is no such file: a shard is missing") }
    guard Files.isPart(full, of: folder) else { throw bad("it is a link that leaves the folder") }
    return full
  }
}
