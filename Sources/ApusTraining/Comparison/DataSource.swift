public import ApusData
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

  /// Names series that are in memory: the fingerprint is of their times and numbers.
  public init(_ table: SeriesTable) {
    var bytes = Data()
    for one in table.series {
      bytes.append(contentsOf: one.id.utf8)
      for (stamp, value) in zip(one.timestamps, one.values) {
        for word in [UInt64(bitPattern: stamp.secondsSinceEpoch), value.bitPattern] {
          bytes.append(contentsOf: (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) })
        }
      }
    }
    self.init(name: table.series.first?.id ?? "memory", data: bytes)
  }

  /// Names bytes that are in memory.
  public init(name: String, data: some DataProtocol) {
    self.name = name
    bytes = data.count
    var hash = SHA256()
    for region in data.regions { hash.update(data: Data(region)) }
    sha256 = hash.finalize().map { String(format: "%02x", $0) }.joined()
  }
}
