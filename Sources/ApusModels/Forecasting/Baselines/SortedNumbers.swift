/// Numbers in ascending order.
///
/// The bit patterns of doubles, those of negative ones turned around, are in the order of the numbers: the
/// leading 32 bits are sorted by eight at a time, and what is left to do by insertion. Hundreds of numbers are
/// in order in a third of the time that comparisons take.
///
/// - Parameter numbers: Of any sign, none of them not a number.
/// - Returns: The same numbers, the least one first.
package func sortedNumbers(_ numbers: [Double]) -> [Double] {
  guard numbers.count >= 64 else { return numbers.sorted() }
  var keys = numbers.map { number in
    let bits = number.bitPattern
    return bits >> 63 == 0 ? bits | 1 << 63 : ~bits
  }
  var other = keys
  for shift: UInt64 in [32, 40, 48, 56] {
    var ends = [Int](repeating: 0, count: 257)
    for key in keys { ends[Int(truncatingIfNeeded: key >> shift & 0xFF) + 1] += 1 }
    for digit in 1...256 { ends[digit] += ends[digit - 1] }
    for key in keys {
      let digit = Int(truncatingIfNeeded: key >> shift & 0xFF)
      other[ends[digit]] = key
      ends[digit] += 1
    }
    swap(&keys, &other)
  }
  // Numbers that differ in the last bits alone may be many: then comparisons are better after all.
  var moves = 4 * keys.count
  for place in 1..<keys.count where keys[place] < keys[place - 1] {
    let key = keys[place]
    var free = place
    while free > 0, keys[free - 1] > key, moves > 0 {
      keys[free] = keys[free - 1]
      free -= 1
      moves -= 1
    }
    keys[free] = key
    guard moves > 0 else {
      keys.sort()
      break
    }
  }
  return keys.map { Double(bitPattern: $0 >> 63 == 1 ? $0 & ~(1 << 63) : ~$0) }
}
