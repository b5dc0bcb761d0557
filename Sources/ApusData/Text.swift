/// The unit of a token of plain text.
public enum TextUnit: String, Codable, Sendable, CaseIterable {
  /// A Unicode scalar, what most languages call a character.
  case characters
  /// A byte of UTF-8.
  case bytes
}

/// One token per Unicode scalar, with a vocabulary from the training part.
///
/// Ids rise with the scalars' code points from 0; the last id, `vocabularySize - 1`, stands for every scalar
/// that the training part does not have.
public struct CharacterTokenizer: Sendable, Equatable {
  /// The known scalars; the position of each is its id.
  public let symbols: [Unicode.Scalar]
  private let ids: [Unicode.Scalar: Int32]

  /// Collects the vocabulary of a training text.
  public init(fitting text: String) {
    self.init(symbols: Set(text.unicodeScalars).sorted())
  }

  private init(symbols: [Unicode.Scalar]) {
    self.symbols = symbols
    ids = Dictionary(
      symbols.enumerated().map { ($1, Int32(truncatingIfNeeded: $0)) },
      uniquingKeysWith: { first, _ in first })
  }

  /// Known scalars and one for the unknown.
  public var vocabularySize: Int { symbols.count + 1 }

  /// The id of scalars outside the vocabulary.
  public var unknownID: Int32 { Int32(truncatingIfNeeded: symbols.count) }

  /// One id per scalar.
  public func encode(_ text: String) -> [Int32] {
    text.unicodeScalars.map { ids[$0] ?? unknownID }
  }

  /// The text of ids; U+FFFD for the unknown one and for numbers that are no ids.
  public func decode(_ tokens: some Sequence<Int32>) -> String {
    var scalars = String.UnicodeScalarView()
    for token in tokens {
      scalars.append(symbols.indices.contains(Int(token)) ? symbols[Int(token)] : "\u{FFFD}")
    }
    return String(scalars)
  }
}

extension CharacterTokenizer: Codable {
  private enum CodingKeys: String, CodingKey { case symbols }

  /// Decodes the vocabulary; rejects a symbol that occurs twice.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    let symbols = Array(try container.decode(String.self, forKey: .symbols).unicodeScalars)
    guard Set(symbols).count == symbols.count else {
      throw DecodingError.dataCorruptedError(
        forKey: .symbols, in: container, debugDescription: "a symbol occurs twice")
    }
    self.init(symbols: symbols)
  }

  /// Encodes the vocabulary as one string.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    var view = String.UnicodeScalarView()
    view.append(contentsOf: symbols)
    try container.encode(String(view), forKey: .symbols)
  }
}

/// One token per byte of UTF-8; every text has ids, none is unknown.
public struct ByteTokenizer: Codable, Sendable, Equatable {
  /// Creates the tokenizer; there is nothing to fit.
  public init() {}

  /// 256.
  public var vocabularySize: Int { 256 }

  /// One id per byte.
  public func encode(_ text: String) -> [Int32] { text.utf8.map(Int32.init) }

  /// The text of bytes; U+FFFD where they are no UTF-8 and for numbers that are no bytes.
  public func decode(_ tokens: some Sequence<Int32>) -> String {
    // 0xFF occurs in no UTF-8, so it decodes to U+FFFD.
    String(decoding: tokens.map { UInt8(exactly: $0) ?? 0xFF }, as: UTF8.self)
  }
}

/// The tokenizer of a plain text.
public enum TextTokenizer: Codable, Sendable, Equatable {
  /// Unicode scalars.
  case characters(CharacterTokenizer)
  /// Bytes.
  case bytes(ByteTokenizer)

  /// Fits the tokenizer of a unit on a training text.
  public init(_ unit: TextUnit, fitting text: String) {
    switch unit {
    case .characters: self = .characters(CharacterTokenizer(fitting: text))
    case .bytes: self = .bytes(ByteTokenizer())
    }
  }

  /// Number of ids.
  public var vocabularySize: Int {
    switch self {
    case .characters(let tokenizer): tokenizer.vocabularySize
    case .bytes(let tokenizer): tokenizer.vocabularySize
    }
  }

  /// The ids of a text.
  public func encode(_ text: String) -> [Int32] {
    switch self {
    case .characters(let tokenizer): tokenizer.encode(text)
    case .bytes(let tokenizer): tokenizer.encode(text)
    }
  }

  /// The text of ids.
  public func decode(_ tokens: some Sequence<Int32>) -> String {
    switch self {
    case .characters(let tokenizer): tokenizer.decode(tokens)
    case .bytes(let tokenizer): tokenizer.decode(tokens)
    }
  }
}
