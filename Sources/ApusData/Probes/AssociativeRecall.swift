import Foundation
public import ApusTensor

/// Multi-query associative recall (MQAR): pairs of keys and values, then keys whose values are asked.
///
/// Arora et al., 2023, *Zoology: Measuring and Improving Recall in Efficient Language Models*,
/// arXiv:2312.04927, with the authors' power law of the gaps; random fillers as in Dao and Gu, 2024,
/// *Transformers are SSMs*, arXiv:2405.21060.
public struct AssociativeRecall: ProbeGenerator {
  /// V: keys are `1..<V / 2`, values `V / 2..<V`; 0 fills where nothing stands.
  public let vocabulary: Int
  /// n.
  public let pairs: Int
  /// Whether places where nothing stands hold any token instead of 0, as in Mamba-2's paper.
  public let fillsAtRandom: Bool
  /// a: the gap before a key is asked is g with a probability in proportion to `(g + 1)^(a − 1)`.
  static let power = 0.01

  /// Creates the task; the paper has a vocabulary of 8,192 and 4 to 64 pairs.
  ///
  /// - Throws: ``ProbeError/invalid(name:value:rule:)``.
  public init(vocabulary: Int = 8192, pairs: Int = 4, fillsAtRandom: Bool = false) throws {
    try require(
      (4...1_048_576).contains(vocabulary), "vocabulary", vocabulary, "it must be in 4...1048576")
    try require(
      pairs >= 1 && pairs <= vocabulary / 2 - 1, "pairs", pairs,
      "a vocabulary of \(vocabulary) has \(vocabulary / 2 - 1) keys")
    self.vocabulary = vocabulary
    self.pairs = pairs
    self.fillsAtRandom = fillsAtRandom
  }

  /// An example of `length` tokens: the pairs, then every key once.
  public func example(_ index: Int, length: Int, key: RandomKey) throws -> ProbeExample {
    let space = (length - 2 * pairs) / 2
    try require(
      space >= pairs, "length", length,
      "\(pairs) pairs and their questions take \(4 * pairs) tokens")
    var generator = PhiloxGenerator(key.derived(UInt64(index)))
    let keys = distinct(pairs, in: 1..<vocabulary / 2, using: &generator)
    let values = distinct(pairs, in: vocabulary / 2..<vocabulary, using: &generator)
    var tokens = [Int32](repeating: 0, count: length)
    for (pair, (key, value)) in zip(keys, values).enumerated() {
      tokens[2 * pair] = Int32(key)
      tokens[2 * pair + 1] = Int32(value)
    }
    let gaps = Self.gaps(pairs, below: space, using: &generator)
    var asked: [(place: Int, answer: Int32)] = []
    for (pair, gap) in gaps.enumerated() {
      let place = 2 * pairs + 2 * gap
      tokens[place] = Int32(keys[pair])
      asked.append((place, Int32(values[pair])))
    }
    if fillsAtRandom {
      for place in tokens.indices where tokens[place] == 0 {
        tokens[place] = Int32.random(in: 0..<Int32(vocabulary), using: &generator)
      }
    }
    asked.sort { $0.place < $1.place }
    return ProbeExample(
      tokens: tokens, places: asked.map(\.place), answers: asked.map(\.answer))
  }

  /// `count` different gaps, drawn one after the other by their weights.
  ///
  /// The order of exponential clocks whose rates are the weights. Efraimidis and Spirakis, 2006,
  /// *Weighted Random Sampling with a Reservoir*.
  package static func gaps(
    _ count: Int, below space: Int, using generator: inout PhiloxGenerator
  ) -> [Int] {
    let clocks = (0..<space).map { gap in
      -log(1 - Double.random(in: 0..<1, using: &generator)) / pow(Double(gap + 1), power - 1)
    }
    return Array(clocks.indices.sorted { (clocks[$0], $0) < (clocks[$1], $1) }.prefix(count))
  }
}
