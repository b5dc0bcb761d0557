import Foundation

/// The bar for language models on small texts: counts of short contexts, interpolated.
///
/// Witten and Bell, 1991, *The zero-frequency problem*: a context seen n times with u distinct
/// successors gives the weight n / (n + u) to its own counts and the rest to the context shorter by
/// one; below single tokens stands the uniform distribution.
public struct NGram: Sendable {
  /// The number of tokens of a count, the predicted one included.
  public let order: Int
  /// Token ids are `0..<vocabulary`.
  public let vocabulary: Int
  /// For each context length the counts by context and token, and by context alone.
  private var counts: [[UInt64: UInt32]]
  private var contexts: [[UInt64: (total: UInt32, distinct: UInt32)]]
  private let bits: UInt64

  /// Counts `tokens`.
  ///
  /// - Parameters:
  ///   - tokens: Ids in `0..<vocabulary`; others end the model's knowledge and are skipped.
  ///   - order: 1 or more; contexts of `order − 1` tokens must fit in 64 bits with the token.
  ///   - vocabulary: How many ids there are.
  public init(_ tokens: [Int32], order: Int, vocabulary: Int) {
    let bits = UInt64(max(1, Int(log2(Double(max(vocabulary - 1, 1)))) + 1))
    let order = max(1, min(order, Int(64 / bits)))
    self.order = order
    self.vocabulary = vocabulary
    self.bits = bits
    counts = Array(repeating: [:], count: order)
    contexts = Array(repeating: [:], count: order)
    for length in 0..<order {
      var (pairs, heads) = (counts[length], contexts[length])
      let mask = length == 0 ? 0 : ~UInt64(0) >> (64 - bits * UInt64(length))
      var context: UInt64 = 0
      for (position, token) in tokens.enumerated() {
        if position >= length {
          let seen = context & mask
          let before = pairs.updateValue(
            (pairs[seen << bits | UInt64(token)] ?? 0) + 1, forKey: seen << bits | UInt64(token))
          let head = heads[seen] ?? (0, 0)
          heads[seen] = (head.total + 1, head.distinct + (before == nil ? 1 : 0))
        }
        context = context << bits | UInt64(token)
      }
      (counts[length], contexts[length]) = (pairs, heads)
    }
  }

  /// The probability of `token` after `context`, of which the last `order − 1` tokens count.
  public func probability(of token: Int32, after context: ArraySlice<Int32>) -> Double {
    var probability = 1 / Double(max(vocabulary, 1))
    for length in 0...min(order - 1, context.count) {
      let key = context.suffix(length).reduce(UInt64(0)) { $0 << bits | UInt64($1) }
      guard let head = contexts[length][key] else { break }
      let own = Double(counts[length][key << bits | UInt64(token)] ?? 0)
      let (total, distinct) = (Double(head.total), Double(head.distinct))
      probability = (own + distinct * probability) / (total + distinct)
    }
    return probability
  }

  /// The loss of each token of `tokens` given those before it, in nats.
  public func losses(_ tokens: [Int32]) -> [Double] {
    tokens.indices.map { position in
      -log(
        probability(
          of: tokens[position], after: tokens[max(0, position - order + 1)..<position]))
    }
  }
}
