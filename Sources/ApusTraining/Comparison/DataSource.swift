import Crypto
public import Foundation

/// Where data came from, and its fingerprint.
public struct DataSource: Codable, Sendable, Equatable {
  /// The file's name, without its folder.
  public var name: String
  /// SHA-256 of its bytes, in hexadecimal.
  public var sha256: String
  /// Its size.
  public var bytes: Int

  /// Names bytes that are in memory.
  public init(name: String, data: some DataProtocol) {
    self.name = name
    bytes = data.count
    var hash = SHA256()
    for region in data.regions { hash.update(data: Data(region)) }
    sha256 = hash.finalize().map { String(format: "%02x", $0) }.joined()
  }
}
