import ApusTensor
import Crypto
public import Foundation

/// SHA-256 in hexadecimal: how checkpoints know their files, and runs their data.
public enum Digest {
  /// The digest of bytes in memory.
  public static func sha256(of data: Data) -> String { hexadecimal(SHA256.hash(data: data)) }

  /// The digest of a file.
  ///
  /// - Throws: `FileError`.
  public static func sha256(ofFile path: String) throws -> String { try sizeAndSHA256(path).1 }

  static func sizeAndSHA256(_ path: String) throws -> (Int, String) {
    let file = try MappedFile(path)
    var hash = SHA256()
    unsafe hash.update(bufferPointer: file.bytes)
    return unsafe (file.bytes.count, hexadecimal(hash.finalize()))
  }

  private static func hexadecimal(_ digest: SHA256.Digest) -> String {
    digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }
}
