/// A tokenizer of pieces of words, as published models bring it: normalizer, cutting into words, pieces, the
/// tokens around a text and the way back.
///
///     let tokenizer = try SubwordTokenizer(folder: "model")
///     let ids = tokenizer.encode("Wie geht's?")
///     print(tokenizer.decode(ids))
public struct SubwordTokenizer: Sendable {
  typealias AddedToken = WordPieceTokenizer.AddedToken

  /// How words become pieces.
  enum Model: Sendable {
    case bytePairs(BytePairs)
    case unigram(Unigram)
  }

  /// What the model does beside joining pairs.
  struct Rules: Sendable {
    /// Whether pieces stand for bytes by the alphabet of GPT-2.
    var isByteLevel = false
    /// Whether a character without a piece becomes one `<0x..>` for each of its bytes.
    var hasByteFallback = false
    /// Whether a word that is a piece is one, whatever pairs say.
    var ignoresMerges = false
    /// Whether unknown characters that follow each other are one.
    var fusesUnknown = false
    var unknown: Int32?
    /// What pieces behind the first of a word begin with, and the last one ends with.
    var (prefix, suffix) = ("", "")
  }

  let model: Model
  let rules: Rules
  /// What each id stands for; nil where an id is not used.
  let pieces: [[UInt8]?]
  private let ids: [[UInt8]: Int32]
  private let singles: [Int32]
  private let fallback: [Int32]
  let added: [AddedToken]
  let normalizer: TextNormalizer?
  let cuts: [PreTokenizer]
  /// The ids before and after a text.
  public let (before, after): ([Int32], [Int32])
  let reading: TokenReading
  /// Whether words come as letters of bytes.
  private let hasLetters: Bool
  private let early, late: AddedTokenSearch
  private let plainEarly, plainLate: AddedTokenSearch

  init(
    model: Model, rules: Rules, pieces: [[UInt8]?], added: [AddedToken],
    normalizer: TextNormalizer?, cuts: [PreTokenizer], before: [Int32], after: [Int32],
    reading: TokenReading
  ) {
    (self.model, self.rules, self.pieces, self.added) = (model, rules, pieces, added)
    (self.normalizer, self.cuts, self.reading) = (normalizer, cuts, reading)
    (self.before, self.after) = (before, after)
    hasLetters = cuts.contains { if case .byteLetters = $0 { true } else { false } }
    var ids: [[UInt8]: Int32] = [:]
    for (id, piece) in pieces.enumerated() {
      if let piece, ids[piece] == nil { ids[piece] = Int32(truncatingIfNeeded: id) }
    }
    self.ids = ids
    singles = (0..<256).map { ids[[UInt8($0)]] ?? -1 }
    fallback = (0..<256).map { byte in
      ids[Array(Self.byteName(UInt8(byte)).utf8)] ?? -1
    }
    let longestFirst = added.filter { !$0.content.isEmpty }
      .sorted { ($1.content.utf8.count, $0.id) < ($0.content.utf8.count, $1.id) }
    early = AddedTokenSearch(longestFirst.filter { !$0.isNormalized })
    late = AddedTokenSearch(longestFirst.filter(\.isNormalized))
    plainEarly = AddedTokenSearch(longestFirst.filter { !$0.isNormalized && !$0.isSpecial })
    plainLate = AddedTokenSearch(longestFirst.filter { $0.isNormalized && !$0.isSpecial })
  }

  /// Number of ids, gaps included.
  public var vocabularySize: Int { pieces.count }

  /// The id of a token by its text, such as "<|im_end|>"; nil where there is none.
  public func id(of token: String) -> Int32? {
    added.first { $0.content.utf8.elementsEqual(token.utf8) }?.id ?? ids[Array(token.utf8)]
  }

  /// The ids of a text.
  ///
  /// - Parameters:
  ///   - text: The text.
  ///   - addsSpecialTokens: Whether the tokens around a text are put around it. Default: yes.
  ///   - findsSpecialTokens: Whether special tokens in the text are what they stand for, as in a rendered
  ///     template, or text like any other, as in what a user wrote. Default: text.
  /// - Returns: One id for each piece.
  public func encode(
    _ text: String, addsSpecialTokens: Bool = true, findsSpecialTokens: Bool = false
  ) -> [Int32] {
    var result = addsSpecialTokens ? before : []
    var known = [[UInt8]: [Int32]]()
    let scalars = Array(text.unicodeScalars)
    var isFirst = true
    for part in (findsSpecialTokens ? early : plainEarly).split(scalars[...]) {
      switch part {
      case .token(let id): result.append(id)
      case .text(let slice):
        let normal = normalizer.map { Array($0(Self.string(slice)).unicodeScalars)[...] } ?? slice
        for part in (findsSpecialTokens ? late : plainLate).split(normal) {
          switch part {
          case .token(let id): result.append(id)
          case .text(let slice):
            append(PreTokenizer.Piece(text: slice, isFirst: isFirst), to: &result, &known)
          }
          isFirst = false
        }
      }
      isFirst = false
    }
    return addsSpecialTokens ? result + after : result
  }

  private func append(
    _ piece: PreTokenizer.Piece, to result: inout [Int32], _ known: inout [[UInt8]: [Int32]]
  ) {
    let words = cuts.reduce([piece]) { words, cut in words.flatMap { cut($0) } }
    for word in words where !word.text.isEmpty {
      let bytes =
        hasLetters ? ByteAlphabet.bytes(of: word.text) ?? [] : Self.bytes(word.text)
      if let ids = known[bytes] {
        result += ids
        continue
      }
      let found = ids(ofWord: bytes)
      if bytes.count < Self.longestKept, known.count < Self.mostKept { known[bytes] = found }
      result += found
    }
  }

  /// Words are found again within a text; longer ones hardly are.
  private static let (longestKept, mostKept) = (64, 1 << 16)

  private func ids(ofWord bytes: [UInt8]) -> [Int32] {
    switch model {
    case .unigram(let unigram):
      return unigram.pieces(bytes).flatMap { id, range in
        id == rules.unknown ? unknown(bytes[range]) : [id]
      }
    case .bytePairs(let pairs):
      if rules.ignoresMerges, let id = ids[bytes] { return [id] }
      var symbols = rules.isByteLevel ? bytes.map { singles[Int($0)] } : characters(bytes)
      symbols.removeAll { $0 < 0 }
      pairs.join(&symbols)
      return symbols
    }
  }

  /// The symbols of the characters of a word.
  private func characters(_ bytes: [UInt8]) -> [Int32] {
    var symbols: [Int32] = []
    var (place, wasUnknown) = (0, false)
    while place < bytes.count {
      var end = place + 1
      while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
      var name = Array(bytes[place..<end])
      if place > 0 { name = Array(rules.prefix.utf8) + name }
      if end == bytes.count { name += rules.suffix.utf8 }
      if let id = ids[name] {
        symbols.append(id)
        wasUnknown = false
      } else {
        let found = unknown(bytes[place..<end])
        let isUnknown = found.count == 1 && found.first == rules.unknown
        if !(isUnknown && wasUnknown && rules.fusesUnknown) { symbols += found }
        wasUnknown = isUnknown
      }
      place = end
    }
    return symbols
  }

  /// The ids of what no piece holds: its bytes where all of them have one, else the unknown token.
  private func unknown(_ bytes: ArraySlice<UInt8>) -> [Int32] {
    let own = bytes.map { fallback[Int($0)] }
    if rules.hasByteFallback, own.allSatisfy({ $0 >= 0 }) { return own }
    return rules.unknown.map { [$0] } ?? []
  }

  static func byteName(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x\(digits.count == 1 ? "0" : "")\(digits)>"
  }

  private static func bytes(_ text: ArraySlice<Unicode.Scalar>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count + 8)
    for scalar in text {
      if scalar.isASCII {
        bytes.append(UInt8(truncatingIfNeeded: scalar.value))
      } else {
        bytes += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
      }
    }
    return bytes
  }

  private static func string(_ text: ArraySlice<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: text)
    return String(view)
  }
}
