/// How pieces become a text again: the decoders of a `tokenizer.json` in one form.
struct TokenReading: Sendable {
  /// What stands for a space in pieces; nil where nothing does.
  var space: Unicode.Scalar?
  /// Whether `<0x..>` is a byte.
  var hasByteFallback = false
  /// Whether the space that a text is begun with goes.
  var dropsFirstSpace = false
}

/// Ids to text, one after the other: text is given out as soon as its characters are whole.
///
///     var reader = tokenizer.reader()
///     for id in ids { print(reader.push(id), terminator: "") }
///     print(reader.rest())
public struct TokenReader: Sendable {
  private let tokenizer: SubwordTokenizer
  private let skipsSpecialTokens: Bool
  private let special: Set<Int32>
  /// Bytes of a character that is not whole yet.
  private var open: [UInt8] = []
  /// Bytes that came as `<0x..>`, of which a broken one spoils all.
  private var isBegun = false

  fileprivate init(_ tokenizer: SubwordTokenizer, skipsSpecialTokens: Bool) {
    (self.tokenizer, self.skipsSpecialTokens) = (tokenizer, skipsSpecialTokens)
    special = Set(tokenizer.added.filter(\.isSpecial).map(\.id))
  }

  /// Takes the next id.
  ///
  /// - Parameter id: A token; one that is no id is U+FFFD.
  /// - Returns: The text that is certain now; empty where a character is not whole yet.
  public mutating func push(_ id: Int32) -> String {
    if skipsSpecialTokens, special.contains(id) { return "" }
    var bytes = tokenizer.bytes(of: id)
    if !isBegun, tokenizer.reading.dropsFirstSpace, bytes.first == 32 { bytes.removeFirst() }
    isBegun = true
    open += bytes
    let whole = open.count - Self.unfinished(open)
    defer { open.removeFirst(whole) }
    return String(decoding: open[..<whole], as: UTF8.self)
  }

  /// What is left when no more ids come: U+FFFD for a character that never became whole.
  public mutating func rest() -> String {
    defer { open = [] }
    return String(decoding: open, as: UTF8.self)
  }

  /// How many bytes at the end may still become a character.
  private static func unfinished(_ bytes: [UInt8]) -> Int {
    for back in 1...3 where back <= bytes.count {
      let byte = bytes[bytes.count - back]
      if byte & 0xC0 == 0x80 { continue }
      let width = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
      return width > back ? back : 0
    }
    return 0
  }
}

extension SubwordTokenizer {
  /// Reads ids one by one.
  ///
  /// - Parameter skipsSpecialTokens: Whether special tokens are left out. Default: yes.
  /// - Returns: A reader before the first id.
  public func reader(skipsSpecialTokens: Bool = true) -> TokenReader {
    TokenReader(self, skipsSpecialTokens: skipsSpecialTokens)
  }

  /// The text of ids.
  ///
  /// - Parameters:
  ///   - tokens: Ids; one that is none is U+FFFD.
  ///   - skipsSpecialTokens: Whether special tokens are left out. Default: yes.
  /// - Returns: The text.
  public func decode(
    _ tokens: some Sequence<Int32>, skipsSpecialTokens: Bool = true
  ) -> String {
    var reader = reader(skipsSpecialTokens: skipsSpecialTokens)
    var text = ""
    for token in tokens { text += reader.push(token) }
    return text + reader.rest()
  }

  /// The bytes that a token stands for.
  fileprivate func bytes(of id: Int32) -> [UInt8] {
    guard pieces.indices.contains(Int(id)), let piece = pieces[Int(id)] else {
      return Array("\u{FFFD}".utf8)
    }
    if reading.hasByteFallback, let byte = Self.byte(named: piece) { return [byte] }
    guard let space = reading.space, let mark = UTF8.encode(space).map(Array.init) else {
      return piece
    }
    var bytes: [UInt8] = []
    var place = 0
    while place < piece.count {
      if piece[place...].starts(with: mark) {
        bytes.append(32)
        place += mark.count
      } else {
        bytes.append(piece[place])
        place += 1
      }
    }
    return bytes
  }

  private static func byte(named piece: [UInt8]) -> UInt8? {
    guard piece.count == 6, piece.starts(with: "<0x".utf8), piece[5] == UInt8(ascii: ">") else {
      return nil
    }
    return UInt8(String(decoding: piece[3..<5], as: UTF8.self), radix: 16)
  }
}
