public import ApusTensor

/// Induction heads: after a token that stood once before, say what followed it then.
///
/// T ordinary tokens, one of which is replaced by the trigger; the trigger again at the end; the
/// answer there is the token after the first trigger. Olsson et al., 2022, *In-context Learning and
/// Induction Heads*, arXiv:2209.11895, in the form of Gu and Dao, 2023, arXiv:2312.00752, section 4.1.2.
public struct InductionHeads: ProbeGenerator {
  /// A: ordinary tokens are `0..<A − 1`, the trigger is `A − 1`.
  public let vocabulary: Int

  /// Creates the task; the papers have 16 tokens.
  ///
  /// - Throws: ``ProbeError/invalid(name:value:rule:)`` for fewer than 3 tokens.
  public init(vocabulary: Int = 16) throws {
    try require(
      (3...1_048_576).contains(vocabulary), "vocabulary", vocabulary, "it must be in 3...1048576")
    self.vocabulary = vocabulary
  }

  /// An example of `length` + 1 tokens.
  public func example(_ index: Int, length: Int, key: RandomKey) throws -> ProbeExample {
    try require(length >= 3, "length", length, "one trigger and its answer need at least 3 tokens")
    var generator = PhiloxGenerator(key.derived(UInt64(index)))
    let trigger = Int32(vocabulary - 1)
    var tokens = (0..<length).map { _ in Int32.random(in: 0..<trigger, using: &generator) }
    let place = Int.random(in: 0..<length - 2, using: &generator)
    tokens[place] = trigger
    let answer = tokens[place + 1]
    tokens.append(trigger)
    return ProbeExample(tokens: tokens, places: [length], answers: [answer])
  }
}
