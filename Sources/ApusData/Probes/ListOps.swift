public import ApusTensor

/// ListOps: the value of a nested expression such as `[MAX 2 9 [MIN 4 7 ] 0 ]`, a digit.
///
/// Nangia and Bowman, 2018, *ListOps*, arXiv:1804.06028, with the settings of Tay et al., 2020, *Long
/// Range Arena*, arXiv:2011.04006: up to 10 arguments, depth 10, lengths between 500 and 2,000. Trees are
/// drawn until one has a length inside the bounds; doubles are not looked for, as they practically never
/// happen at such lengths.
public struct ListOps: ProbeGenerator {
  /// What an expression may hold besides digits, under the ids that follow them.
  public enum Symbol: Int32, CaseIterable, Sendable {
    /// The least of its arguments.
    case minimum = 11
    /// The greatest of its arguments.
    case maximum
    /// The median of its arguments.
    case median
    /// The sum of its arguments modulo 10.
    case sumModulo
    /// The closing bracket.
    case close
  }

  /// Ids: 0 fills, `1...10` are the digits 0 to 9, then come the operators and the closing bracket.
  public var vocabulary: Int { 16 }
  public var classes: Int? { 10 }
  /// Lengths are above this share of the length asked for: a quarter, as 500 is of 2,000.
  public let minimumShare: Double
  /// A node at this depth is a digit; the root has depth 1.
  public let depth: Int
  static let tries = 100_000
  /// Symbols that may be drawn for one example: deep trees grow without end.
  static let symbols = 1 << 28

  /// Creates the task; the small one has depth 6, lengths below 200 and a share of a tenth.
  ///
  /// - Throws: ``ProbeError/invalid(name:value:rule:)``.
  public init(depth: Int = 10, minimumShare: Double = 0.25) throws {
    try require((2...100).contains(depth), "depth", depth, "it must be in 2...100")
    precondition(minimumShare >= 0 && minimumShare < 1, "ListOps: a share of \(minimumShare)")
    self.depth = depth
    self.minimumShare = minimumShare
  }

  /// An expression of more than `minimumShare · length` and fewer than `length` symbols.
  public func example(_ index: Int, length: Int, key: RandomKey) throws -> ProbeExample {
    try require(length >= 6, "length", length, "the shortest operation has 4 symbols")
    var generator = PhiloxGenerator(key.derived(UInt64(index)))
    let least = Int(minimumShare * Double(length))
    var drawn = 0
    for _ in 0..<Self.tries where drawn < Self.symbols {
      guard let (tokens, value) = tree(below: length, using: &generator) else {
        drawn += length
        continue
      }
      drawn += tokens.count
      guard tokens.count > least else { continue }
      return ProbeExample(tokens: tokens, places: [tokens.count - 1], answers: [Int32(value)])
    }
    throw ProbeError.noExamples(length: length, tries: Self.tries)
  }

  /// One root; nil when it has `limit` symbols or more.
  package func tree(
    below limit: Int, using generator: inout PhiloxGenerator
  ) -> (tokens: [Int32], value: Int)? {
    var tokens: [Int32] = []
    guard let value = node(1, &tokens, limit, &generator), tokens.count < limit else { return nil }
    return (tokens, value)
  }

  /// Appends a node and returns its value; nil as soon as there are `limit` symbols.
  private func node(
    _ level: Int, _ tokens: inout [Int32], _ limit: Int, _ generator: inout PhiloxGenerator
  ) -> Int? {
    if tokens.count >= limit { return nil }
    guard level < depth, Double.random(in: 0..<1, using: &generator) <= 0.25 else {
      let digit = Int.random(in: 0...9, using: &generator)
      tokens.append(Int32(digit + 1))
      return digit
    }
    let arguments = Int.random(in: 2...10, using: &generator)
    let operators: [Symbol] = [.minimum, .maximum, .median, .sumModulo]
    let chosen = operators[Int.random(in: 0..<4, using: &generator)]
    tokens.append(chosen.rawValue)
    var values: [Int] = []
    for _ in 0..<arguments {
      guard let value = node(level + 1, &tokens, limit, &generator) else { return nil }
      values.append(value)
    }
    tokens.append(Symbol.close.rawValue)
    return Self.value(chosen, of: values)
  }

  /// What an operator makes of its arguments: `MED` is the whole part of the median, `SM` the sum
  /// modulo 10.
  static func value(_ symbol: Symbol, of values: [Int]) -> Int {
    switch symbol {
    case .minimum: return values.min() ?? 0
    case .maximum: return values.max() ?? 0
    case .sumModulo: return values.reduce(0, +) % 10
    case .median:
      let sorted = values.sorted()
      let middle = sorted.count / 2
      guard let upper = sorted.indices.contains(middle) ? sorted[middle] : nil else { return 0 }
      return sorted.count % 2 == 1 ? upper : (sorted[middle - 1] + upper) / 2
    case .close: return values.last ?? 0
    }
  }

  /// The value of an expression, by reading it; nil when it is none. The inverse of the generator's
  /// work, for tests and for users' own expressions.
  public static func value(of tokens: [Int32]) -> Int? {
    var open: [(symbol: Symbol, values: [Int])] = []
    for (place, token) in tokens.enumerated() {
      var found: Int
      if (1...10).contains(token) {
        found = Int(token) - 1
      } else if let symbol = Symbol(rawValue: token), symbol != .close {
        open.append((symbol, []))
        continue
      } else if token == Symbol.close.rawValue, let last = open.popLast(), !last.values.isEmpty {
        found = value(last.symbol, of: last.values)
      } else {
        return nil
      }
      guard !open.isEmpty else { return place == tokens.count - 1 ? found : nil }
      open[open.count - 1].values.append(found)
    }
    return nil
  }
}
