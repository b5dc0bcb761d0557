/// A short digest of bytes that tells files apart which were not written together. It is fast enough for
/// weights of any size; it does not withstand forgers, who could write a whole folder just as well.
///
/// Yann Collet, *xxHash fast digest algorithm*, the 64-bit variant with seed 0.
package struct Fingerprint {
  private var lanes: [UInt64]
  private var rest: [UInt8] = []
  private var count: UInt64 = 0

  private static let primes: [UInt64] = [
    0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x85EB_CA77_C2B2_AE63,
    0x27D4_EB2F_1656_67C5,
  ]

  /// Starts before the first byte.
  package init() {
    let p = Self.primes
    lanes = [p[0] &+ p[1], p[1], 0, 0 &- p[0]]
  }

  /// The digest of bytes in memory.
  package static func hexadecimal(of bytes: some Sequence<UInt8>) -> String {
    var fingerprint = Fingerprint()
    Array(bytes).withUnsafeBytes { fingerprint.update($0) }
    return fingerprint.hexadecimal
  }

  /// Takes in the numbers of a tensor.
  package mutating func update(_ tensor: Tensor) {
    tensor.withBytes { update(UnsafeRawBufferPointer($0)) }
  }

  /// Takes in a text, in UTF-8.
  package mutating func update(_ text: String) { Array(text.utf8).withUnsafeBytes { update($0) } }

  /// Takes in further bytes.
  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    count &+= UInt64(bytes.count)
    var start = 0
    if !rest.isEmpty {
      start = min(32 - rest.count, bytes.count)
      rest += bytes[0..<start]
      guard rest.count == 32 else { return }
      rest.withUnsafeBytes { take($0, 0..<1) }
      rest = []
    }
    let blocks = (bytes.count - start) / 32
    take(UnsafeRawBufferPointer(rebasing: bytes[start...]), 0..<blocks)
    rest = Array(bytes[(start + blocks * 32)...])
  }

  private mutating func take(_ bytes: UnsafeRawBufferPointer, _ blocks: Range<Int>) {
    var (a, b, c, d) = (lanes[0], lanes[1], lanes[2], lanes[3])
    for block in blocks {
      func word(_ index: Int) -> UInt64 {
        UInt64(
          littleEndian: bytes.loadUnaligned(
            fromByteOffset: block * 32 + index * 8, as: UInt64.self))
      }
      (a, b) = (Self.round(a, word(0)), Self.round(b, word(1)))
      (c, d) = (Self.round(c, word(2)), Self.round(d, word(3)))
    }
    lanes = [a, b, c, d]
  }

  @inline(__always)
  private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotated(lane &+ word &* 0xC2B2_AE3D_27D4_EB4F, 31) &* 0x9E37_79B1_85EB_CA87
  }

  @inline(__always)
  private static func rotated(_ value: UInt64, _ bits: UInt64) -> UInt64 {
    value << bits | value >> (64 - bits)
  }

  /// Sixteen digits of all bytes so far.
  package var hexadecimal: String {
    let p = Self.primes
    var hash = p[4]
    if count >= 32 {
      hash = zip(lanes, [1, 7, 12, 18] as [UInt64]).reduce(0) { $0 &+ Self.rotated($1.0, $1.1) }
      for lane in lanes { hash = (hash ^ Self.round(0, lane)) &* p[0] &+ p[3] }
    }
    hash &+= count
    var bytes = rest[...]
    func little(_ size: Int) -> UInt64 {
      bytes.prefix(size).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    while bytes.count >= 8 {
      hash = Self.rotated(hash ^ Self.round(0, little(8)), 27) &* p[0] &+ p[3]
      bytes = bytes.dropFirst(8)
    }
    if bytes.count >= 4 {
      hash = Self.rotated(hash ^ little(4) &* p[0], 23) &* p[1] &+ p[2]
      bytes = bytes.dropFirst(4)
    }
    for byte in bytes { hash = Self.rotated(hash ^ UInt64(byte) &* p[4], 11) &* p[0] }
    hash = (hash ^ hash >> 33) &* p[1]
    hash = (hash ^ hash >> 29) &* p[2]
    hash ^= hash >> 32
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
