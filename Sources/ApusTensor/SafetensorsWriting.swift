extension Safetensors {
  /// Writes tensors to a file, replacing it as a whole: a crash leaves the old file or the new one,
  /// and tensors that are views of the old file stay intact, even when they are what is written.
  ///
  /// - Parameters:
  ///   - tensors: By name; order does not matter, equal tensors make equal files.
  ///   - path: The file.
  ///   - dtype: What floats are converted to, one tensor at a time; nil leaves them as they are.
  ///   - metadata: Free-form; "format" is what some readers of PyTorch look for.
  /// - Throws: ``FileError``, or ``SafetensorsError/badName(path:tensor:)``.
  public static func save(
    _ tensors: [String: Tensor], to path: String, as dtype: DType? = nil,
    metadata: [String: String] = ["format": "pt"]
  ) throws {
    try save(tensors, as: dtype, metadata: metadata, with: Files().replace, path)
  }

  /// The same by a given way of making a file.
  package static func save(
    _ tensors: [String: Tensor], as dtype: DType? = nil,
    metadata: [String: String] = ["format": "pt"],
    with make: (String, (FileWriter) throws -> Void) throws -> Void, _ path: String
  ) throws {
    guard tensors["__metadata__"] == nil else {
      throw SafetensorsError.badName(path: path, tensor: "__metadata__")
    }
    let ordered = ordered(tensors, as: dtype)
    let header = SafetensorsHeader.text(
      ordered.map { ($0.name, $0.dtype, $0.tensor.shape) }, metadata: metadata)
    try make(path) { writer in
      try write(header, to: writer)
      for (_, dtype, tensor) in ordered {
        try tensor.converted(to: dtype).withBytes { try writer.write($0) }
      }
    }
  }

  /// A digest of tensors as they are saved: of their names, types, shapes and bytes.
  package static func fingerprint(of tensors: [String: Tensor], as dtype: DType? = nil) -> String {
    let ordered = ordered(tensors, as: dtype)
    var fingerprint = Fingerprint()
    SafetensorsHeader.text(ordered.map { ($0.name, $0.dtype, $0.tensor.shape) }, metadata: [:])
      .withUnsafeBytes { fingerprint.update($0) }
    for (_, dtype, tensor) in ordered {
      tensor.converted(to: dtype).withBytes { fingerprint.update($0) }
    }
    return fingerprint.hexadecimal
  }

  /// Tensors as they lie in a file, with the types they have there: the widest first, so that everything
  /// is aligned.
  private static func ordered(
    _ tensors: [String: Tensor], as dtype: DType?
  ) -> [(name: String, dtype: DType, tensor: Tensor)] {
    tensors.map { name, tensor in
      (name, tensor.dtype == .int32 ? .int32 : dtype ?? tensor.dtype, tensor)
    }
    .sorted { ($1.1.size, $0.0) < ($0.1.size, $1.0) }
  }

  /// Writes one tensor of floats whose rows are made block by block, so that it never stands in
  /// memory whole. The file appears when all is written, and not at all when `body` throws.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - shape: Its shape.
  ///   - path: The file; replaced as a whole.
  ///   - body: Makes the blocks in order and hands them to its argument. Together they must have as
  ///     many elements as the shape.
  /// - Throws: ``FileError``, or what `body` throws.
  public static func save(
    _ name: String, _ shape: Shape, to path: String,
    blocks body: (_ append: (Tensor) throws -> Void) throws -> Void
  ) throws {
    let header = SafetensorsHeader.text([(name, .float32, shape)], metadata: ["format": "pt"])
    try Files().replace(path) { writer in
      try write(header, to: writer)
      var count = 0
      try body { block in
        try block.converted(to: .float32).withBytes { try writer.write($0) }
        count += block.count
      }
      precondition(count == shape.count, "\(count) elements do not fill a tensor of \(shape)")
    }
  }

  private static func write(_ header: [UInt8], to writer: FileWriter) throws {
    try writer.write(withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) })
    try writer.write(header)
  }
}
