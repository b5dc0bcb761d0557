import ApusTensor

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// The bytes of a text file, after the checks that tell text from everything else.
struct SourceFile {
  /// What messages call the file.
  let name: String
  /// Text; a byte order mark is already gone.
  let bytes: [UInt8]
  /// The bytes are no valid UTF-8, so each stands for one Latin-1 character.
  let isLatin1: Bool
  /// What kinds of bytes there are.
  let kinds: TextKinds

  /// Reads a regular file.
  init(path: String, limit: Int) throws(SeriesError) {
    let bytes = try Self.bytes(at: path, limit: limit)
    try self.init(name: path, bytes: bytes, limit: limit)
  }

  /// The bytes of a regular file, whatever they are.
  static func bytes(at path: String, limit: Int) throws(SeriesError) -> [UInt8] {
    do {
      return try Files.contents(of: path, limit: limit)
    } catch {
      throw switch error.code {
      case _ where error.isMissing: .notFound(file: path)
      case EISDIR: .notAFile(file: path, kind: "a folder")
      case ESPIPE: .notAFile(file: path, kind: "a device or pipe")
      case EFBIG: .tooLarge(file: path, limit: limit)
      default: .unreadable(file: path, reason: error.reason)
      }
    }
  }

  /// Takes bytes that are already in memory.
  init(name: String, bytes: [UInt8], limit: Int) throws(SeriesError) {
    guard bytes.count <= limit else { throw .tooLarge(file: name, limit: limit) }
    guard bytes.contains(where: { $0 > 0x20 }) else { throw .empty(file: name) }
    try Self.refusePacked(bytes, name: name)
    try Self.refuseWide(bytes, name: name)
    kinds = TextKinds(bytes)
    if kinds.contains(.control),
      let index = bytes.firstIndex(where: { $0 < 0x09 || ($0 > 0x0D && $0 < 0x20 && $0 != 0x1A) })
    {
      let line = bytes[..<index].count { $0 == 0x0A } + 1
      throw .binary(file: name, line: line, byte: bytes[index])
    }
    self.name = name
    let hasMark = bytes.starts(with: [0xEF, 0xBB, 0xBF])
    self.bytes = hasMark ? Array(bytes.dropFirst(3)) : bytes
    isLatin1 = kinds.contains(.high) && !Self.isUTF8(self.bytes)
    guard self.bytes.contains(where: { $0 > 0x20 }) else { throw .empty(file: name) }
  }

  /// The text of some bytes, in the encoding of the file.
  func text(_ slice: ArraySlice<UInt8>) -> String {
    guard isLatin1 else { return String(decoding: slice, as: UTF8.self) }
    return String(String.UnicodeScalarView(slice.map { Unicode.Scalar($0) }))
  }

  private static func refusePacked(_ bytes: [UInt8], name: String) throws(SeriesError) {
    let formats: [(magic: [UInt8], format: String, advice: String)] = [
      ([0x1F, 0x8B], "gzip", "run gunzip on it first"),
      ([0x42, 0x5A, 0x68], "bzip2", "run bunzip2 on it first"),
      ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "xz", "run unxz on it first"),
      ([0x28, 0xB5, 0x2F, 0xFD], "zstd", "run unzstd on it first"),
      ([0x50, 0x4B, 0x03, 0x04], "zip or Excel", "unpack it or export the sheet as CSV"),
      ([0xD0, 0xCF, 0x11, 0xE0], "old Excel", "export the sheet as CSV"),
      ([0x50, 0x41, 0x52, 0x31], "Parquet", "export it as CSV"),
      ([0x89, 0x48, 0x44, 0x46], "HDF5", "export it as CSV"),
      ([0x93, 0x4E, 0x55, 0x4D], "NumPy", "export it as CSV"),
      (Array("SQLite format 3".utf8), "SQLite", "export the table as CSV"),
      (Array("%PDF".utf8), "PDF", "export the table as CSV"),
      (Array("GGUF".utf8), "GGUF model", "name a data file"),
    ]
    for entry in formats where bytes.starts(with: entry.magic) {
      throw .packed(file: name, format: entry.format, advice: entry.advice)
    }
    let head = bytes.prefix(256).drop { $0 <= 0x20 }.map { lowercaseLetter($0) ?? $0 }
    if head.starts(with: "<!doctype".utf8) || head.starts(with: "<html".utf8) {
      throw .packed(file: name, format: "HTML", advice: "download the file behind the page")
    }
  }

  private static func refuseWide(_ bytes: [UInt8], name: String) throws(SeriesError) {
    if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
      throw .wideEncoding(file: name, encoding: "UTF-16")
    }
    if bytes.starts(with: [0, 0, 0xFE, 0xFF]) {
      throw .wideEncoding(file: name, encoding: "UTF-32")
    }
    // Without a mark: Latin text in UTF-16 has a zero in every other byte.
    let head = bytes.prefix(256)
    guard head.count >= 8 else { return }
    let evenZeros = stride(from: 0, to: head.count, by: 2).count { head[$0] == 0 }
    let oddZeros = stride(from: 1, to: head.count, by: 2).count { head[$0] == 0 }
    let half = head.count / 2
    if (evenZeros > half * 3 / 4 && oddZeros == 0) || (oddZeros > half * 3 / 4 && evenZeros == 0) {
      throw .wideEncoding(file: name, encoding: "UTF-16")
    }
  }

  private static func isUTF8(_ bytes: [UInt8]) -> Bool {
    guard let first = bytes.firstIndex(where: { $0 >= 0x80 }) else { return true }
    // A lead byte cannot lie before `first`, so the rest alone decides.
    return String(validating: bytes[first...], as: UTF8.self) != nil
  }
}
