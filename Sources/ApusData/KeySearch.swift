/// Finds the columns that tell rows of one time apart: those that name a series.
struct KeySearch {
  private let layout: CSVLayout
  private let facts: [ColumnFacts]
  /// Rows whose times stand in the sample whole.
  private let rows: [Int]
  /// One hash of the time per row of the sample.
  private let times: [UInt64]
  private let timeCount: Int

  /// A set of columns that names series.
  struct Keys {
    var columns: [Int] = []
    /// Rows of the sample that still repeat an earlier one.
    var repeats = 0
    /// The share of the times that a series has, on average.
    var balance = 1.0
  }

  /// Rows that are looked at, whole times taken together.
  private static let sampleRows = 8_000

  init(_ layout: CSVLayout, facts: [ColumnFacts], stamps: [Timestamp?]) {
    self.layout = layout
    self.facts = facts
    func hash(_ stamp: Timestamp) -> UInt64 {
      Self.mix(UInt64(bitPattern: stamp.secondsSinceEpoch) ^ UInt64(stamp.nanosecond) << 32)
    }
    let dated = stamps.indices.filter { stamps[$0] != nil }
    let share = UInt64(max(1, dated.count / Self.sampleRows))
    var (rows, times) = ([Int](), [UInt64]())
    for row in dated {
      guard let stamp = stamps[row] else { continue }
      let hash = hash(stamp)
      if hash % share == 0 {
        rows.append(row)
        times.append(hash)
      }
    }
    (self.rows, self.times) = (rows, times)
    timeCount = Set(times).count
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  private func hashes(_ column: Int) -> [UInt64] {
    rows.map { row in
      var hash: UInt64 = 0xCBF2_9CE4_8422_2325
      for byte in layout.cell(row, column) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      return Self.mix(hash)
    }
  }

  /// The keys, and what is left of the repetition.
  ///
  /// - Parameters:
  ///   - fixed: Columns that name series already.
  ///   - excluded: Columns of the time, and targets that a person named.
  /// - Returns: The smallest set that tells nearly all rows apart and whose series last; nil for none.
  func keys(fixed: [Int] = [], excluding excluded: Set<Int>) -> Keys? {
    let start = fixed.map(hashes)
    let base = rows.indices.map { index in
      start.reduce(times[index]) { Self.mix($0 &* 31 &+ $1[index]) }
    }
    let baseKeys = rows.indices.map { index in
      start.reduce(UInt64(1)) { Self.mix($0 &* 31 &+ $1[index]) }
    }
    let none = measured([], base, baseKeys)
    if isResolved(none.repeats) { return none }
    let candidates = candidates(excluding: excluded.union(fixed))
    var best: (keys: Keys, order: [Double])?
    for columns in Self.subsets(candidates.map(\.column), upTo: 3) {
      let chosen = columns.compactMap { column in candidates.first { $0.column == column } }
      // Columns that a person does not call a name come last, however few do.
      let isOdd = chosen.contains { $0.kind == 2 } ? 1.0 : 0.0
      if let best, [isOdd, Double(columns.count)].lexicographicallyPrecedes(best.order) == false,
        isOdd > best.order[0] || Double(columns.count) > best.order[1]
      {
        continue
      }
      var (seen, names) = (base, baseKeys)
      for one in chosen {
        for index in rows.indices {
          seen[index] = Self.mix(seen[index] &* 31 &+ one.hashes[index])
          names[index] = Self.mix(names[index] &* 31 &+ one.hashes[index])
        }
      }
      let found = measured(columns, seen, names)
      guard isResolved(found.repeats), found.balance >= 0.05 || isOdd == 0 && found.balance >= 0.02
      else { continue }
      let kind = Double(chosen.map(\.rank).max() ?? 0)
      let order = [isOdd, Double(columns.count), kind, -found.balance]
      if best.map({ order.lexicographicallyPrecedes($0.order) }) ?? true { best = (found, order) }
    }
    return best?.keys
  }

  private func isResolved(_ repeats: Int) -> Bool {
    repeats <= 1 || repeats * 100 <= rows.count
  }

  private func measured(_ columns: [Int], _ seen: [UInt64], _ names: [UInt64]) -> Keys {
    let distinct = Set(seen).count
    let series = max(1, Set(names).count)
    return Keys(
      columns: columns, repeats: rows.count - distinct,
      balance: Double(distinct) / Double(max(1, timeCount)) / Double(series))
  }

  private struct Candidate {
    let column: Int
    let hashes: [UInt64]
    /// 0 for a usual name of series, 1 for text, 2 for whole numbers.
    let kind: Int
    /// Of two equal ones the more usual name goes first.
    let rank: Int
  }

  private func candidates(excluding excluded: Set<Int>) -> [Candidate] {
    var found: [Candidate] = []
    for column in layout.names.indices where !excluded.contains(column) {
      let name = layout.names[column]
      let rank = ColumnNames.seriesRank(name)
      if facts[column].isNumeric {
        guard facts[column].isInteger, !facts[column].isCounter,
          rank != nil || ColumnNames.targetRank(name) == nil,
          rank != nil || TimeParts.role(named: name) == nil,
          PriceColumn(columnName: name) == nil
        else { continue }
      }
      let hashes = hashes(column)
      let distinct = Set(hashes).count
      guard distinct > 1, distinct * 2 <= rows.count else { continue }
      let kind = rank != nil ? 0 : facts[column].isNumeric ? 2 : 1
      found.append(
        Candidate(column: column, hashes: hashes, kind: kind, rank: rank ?? 100 + kind))
    }
    found.sort { ($0.kind, $0.rank, $0.column) < ($1.kind, $1.rank, $1.column) }
    return Array(found.prefix(12))
  }

  /// All sets of one column, then of two, and so on.
  private static func subsets(_ columns: [Int], upTo size: Int) -> [[Int]] {
    var (result, last) = ([[Int]](), [[Int]]([[]]))
    for _ in 0..<size {
      last = last.flatMap { set -> [[Int]] in
        let start = set.last.flatMap { columns.firstIndex(of: $0) }.map { $0 + 1 } ?? 0
        return columns[start...].map { set + [$0] }
      }
      result += last
    }
    return result
  }
}
