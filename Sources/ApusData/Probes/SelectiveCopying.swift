public import ApusTensor

/// Selective copying: repeat M tokens that stood at random places among noise, in their order.
///
/// The places differ between examples, so that a map whose weights do not depend on the tokens cannot
/// tell them from noise. Jing et al., 2019, *Gated Orthogonal Recurrent Units*, arXiv:1706.02761, in
/// the form of Gu and Dao, 2023, arXiv:2312.00752, section 4.1.1.
public struct SelectiveCopying: ProbeGenerator {
  /// A: noise is 0, tokens to copy are `1...A − 2`, the marker that asks for one is `A − 1`.
  public let vocabulary: Int
  /// M.
  public let items: Int

  /// Creates the task; the paper has 16 tokens and 16 items.
  ///
  /// - Throws: ``ProbeError/invalid(name:value:rule:)``.
  public init(vocabulary: Int = 16, items: Int = 16) throws {
    try require(
      (4...1_048_576).contains(vocabulary), "vocabulary", vocabulary, "it must be in 4...1048576")
    try require((1...65536).contains(items), "items", items, "it must be in 1...65536")
    self.vocabulary = vocabulary
    self.items = items
  }

  /// An example of `length` tokens of noise, M tokens among them, and M markers at the end.
  public func example(_ index: Int, length: Int, key: RandomKey) throws -> ProbeExample {
    try require(length >= 0, "length", length, "there cannot be fewer than 0 tokens of noise")
    var generator = PhiloxGenerator(key.derived(UInt64(index)))
    let marker = Int32(vocabulary - 1)
    let copied = (0..<items).map { _ in Int32.random(in: 1..<marker, using: &generator) }
    let places = distinct(items, in: 0..<length + items, using: &generator).sorted()
    var tokens = [Int32](repeating: 0, count: length + items)
    for (place, token) in zip(places, copied) { tokens[place] = token }
    let first = tokens.count
    tokens += [Int32](repeating: marker, count: items)
    return ProbeExample(
      tokens: tokens, places: Array(first..<first + items), answers: copied)
  }
}
