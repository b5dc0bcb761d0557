/// Byte pair encoding: of all neighboring symbols of a word the pair of the least rank becomes one, until no pair
/// has a rank.
///
/// Sennrich, Haddow and Birch, 2016, *Neural Machine Translation of Rare Words with Subword Units*,
/// arXiv:1508.07909. Of two pairs of one rank the left one goes first. A word of n symbols costs n log n,
/// however long it is.
struct BytePairs: Sendable {
  private let merges: PairTable
  /// Words up to here are searched through; longer ones have a queue.
  private static let fewSymbols = 32

  /// - Parameter merges: Ids of a left and a right symbol and of what they become, the first rank first.
  init(_ merges: [(left: Int32, right: Int32, result: Int32)]) {
    self.merges = PairTable(merges)
  }

  /// Joins symbols as far as there are ranks.
  func join(_ symbols: inout [Int32]) {
    if symbols.count <= Self.fewSymbols { search(&symbols) } else { queue(&symbols) }
  }

  private func search(_ symbols: inout [Int32]) {
    while symbols.count > 1 {
      var best: (rank: Int32, result: Int32, place: Int)?
      for place in 0..<symbols.count - 1 {
        guard let found = merges[symbols[place], symbols[place + 1]] else { continue }
        if found.rank < best?.rank ?? .max { best = (found.rank, found.result, place) }
      }
      guard let best else { return }
      symbols[best.place] = best.result
      symbols.remove(at: best.place + 1)
    }
  }

  private struct Candidate {
    let rank, result: Int32
    let place: Int

    /// Whether it goes before another.
    func precedes(_ other: Candidate) -> Bool { (rank, place) < (other.rank, other.place) }
  }

  private func queue(_ symbols: inout [Int32]) {
    let count = symbols.count
    // A symbol that has been joined to the one before it is -1.
    var next = Array(1...count)
    var previous = Array(-1..<count - 1)
    var heap: [Candidate] = []
    func offer(_ place: Int, _ symbols: [Int32], _ next: [Int], _ heap: inout [Candidate]) {
      guard place >= 0, next[place] < count,
        let found = merges[symbols[place], symbols[next[place]]]
      else { return }
      Self.push(Candidate(rank: found.rank, result: found.result, place: place), onto: &heap)
    }
    for place in 0..<count { offer(place, symbols, next, &heap) }
    while let best = Self.pop(from: &heap) {
      let (place, right) = (best.place, next[best.place])
      // What it was made of may have been joined to others since.
      guard symbols[place] >= 0, right < count,
        let found = merges[symbols[place], symbols[right]], found.result == best.result,
        found.rank == best.rank
      else { continue }
      (symbols[place], symbols[right]) = (best.result, -1)
      next[place] = next[right]
      if next[right] < count { previous[next[right]] = place }
      offer(previous[place], symbols, next, &heap)
      offer(place, symbols, next, &heap)
    }
    symbols.removeAll { $0 < 0 }
  }

  private static func push(_ one: Candidate, onto heap: inout [Candidate]) {
    heap.append(one)
    var place = heap.count - 1
    while place > 0, heap[place].precedes(heap[(place - 1) / 2]) {
      heap.swapAt(place, (place - 1) / 2)
      place = (place - 1) / 2
    }
  }

  private static func pop(from heap: inout [Candidate]) -> Candidate? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var place = 0
    while true {
      var least = place
      for child in [2 * place + 1, 2 * place + 2]
      where child < heap.count && heap[child].precedes(heap[least]) { least = child }
      guard least != place else { return first }
      heap.swapAt(place, least)
      place = least
    }
  }
}

/// What pairs of ids become, in a table of open addresses: looked up once for every pair of every word.
struct PairTable: Sendable {
  private var keys: [UInt64]
  private var values: [(rank: Int32, result: Int32)]
  private let mask: Int
  private static let empty = UInt64.max

  init(_ merges: [(left: Int32, right: Int32, result: Int32)]) {
    var size = 16
    while size < 2 * merges.count { size *= 2 }
    mask = size - 1
    keys = [UInt64](repeating: Self.empty, count: size)
    values = [(rank: Int32, result: Int32)](repeating: (0, 0), count: size)
    for (rank, merge) in merges.enumerated() {
      let key = Self.key(merge.left, merge.right)
      var place = slot(key)
      while keys[place] != Self.empty, keys[place] != key { place = (place + 1) & mask }
      // Where a pair comes twice the later rank counts, as in the reference.
      (keys[place], values[place]) = (key, (Int32(truncatingIfNeeded: rank), merge.result))
    }
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  private func slot(_ key: UInt64) -> Int {
    Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
  }

  subscript(left: Int32, right: Int32) -> (rank: Int32, result: Int32)? {
    let key = Self.key(left, right)
    var place = slot(key)
    while true {
      if keys[place] == key { return values[place] }
      if keys[place] == Self.empty { return nil }
      place = (place + 1) & mask
    }
  }
}
