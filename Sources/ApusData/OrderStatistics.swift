/// Numbers of which some are wanted by their place in the sorted order, found without sorting all.
///
/// The bit patterns of doubles, those of negative ones turned around, are in the order of the numbers: the
/// leading sixteen bits, counted, tell which numbers can stand at a place, the next sixteen which of these.
package struct OrderStatistics {
  /// Whole numbers in the order of the doubles.
  private let keys: [UInt64]
  /// Keys by their leading bits; empty where there are few keys, which are sorted.
  private let counts: [Int]

  /// Number of numbers.
  package var count: Int { keys.count }

  private static let radixBits: UInt64 = 16
  /// More numbers are cheaper to count than to sort.
  private static let fewKeys = 1 << 14

  /// Counts them.
  ///
  /// - Parameter numbers: Of any sign; not-a-number stands beyond the infinities.
  package init(_ numbers: some Collection<Double>) {
    var keys = numbers.map { number in
      let bits = number.bitPattern
      return bits >> 63 == 0 ? bits | 1 << 63 : ~bits
    }
    let areFew = keys.count <= Self.fewKeys
    if areFew { keys.sort() }
    self.keys = keys
    counts = areFew ? [] : Self.counted(keys, shift: 64 - Self.radixBits)
  }

  /// The number that stands at a place, from 0, once all are sorted.
  package subscript(place: Int) -> Double {
    guard !counts.isEmpty else { return Self.number(keys[place]) }
    var (members, counts, place, shift) = (keys, counts, place, 64 - Self.radixBits)
    while true {
      var part = 0
      while place >= counts[part] {
        place -= counts[part]
        part += 1
      }
      members = members.filter { Int(truncatingIfNeeded: $0 >> shift) & 0xFFFF == part }
      guard members.count > 4_096, shift > 0 else { break }
      shift -= Self.radixBits
      counts = Self.counted(members, shift: shift)
    }
    members.sort()
    return Self.number(members[place])
  }

  private static func number(_ key: UInt64) -> Double {
    Double(bitPattern: key >> 63 == 1 ? key & ~(1 << 63) : ~key)
  }

  private static func counted(_ keys: [UInt64], shift: UInt64) -> [Int] {
    var counts = [Int](repeating: 0, count: 1 << Int(radixBits))
    for key in keys { counts[Int(truncatingIfNeeded: key >> shift) & 0xFFFF] += 1 }
    return counts
  }
}
