/// WordPiece as BERT has it: words are cut into the longest known pieces, from the left.
///
/// Schuster and Nakajima, 2012, *Japanese and Korean Voice Search*; Devlin et al., 2018,
/// arXiv:1810.04805. A text is cleaned, split at spaces and punctuation, and each word cut; a word
/// that cannot be cut, or has more than ``maximumCharacters``, becomes the unknown token.
public struct WordPieceTokenizer: Sendable {
  /// The cleaning of text before it is split.
  public struct Normalization: Sendable, Hashable {
    /// Drop control characters and make every kind of white space a space.
    public var cleansText = true
    /// Set spaces around Chinese characters.
    public var separatesIdeographs = true
    /// Decompose (NFD) and drop combining marks; what ``lowercases`` says when nil.
    public var stripsAccents: Bool?
    /// Lower case.
    public var lowercases = true

    /// Creates the cleaning of the uncased release.
    public init() {}
  }

  /// A token that is found in the raw text before anything else, such as `[MASK]`.
  public struct AddedToken: Sendable, Hashable {
    var content: String
    var id: Int32
    var isSpecial = true
    var isWholeWord = false
    var takesSpaceBefore = false
    var takesSpaceAfter = false
    var isNormalized = false
  }

  /// The cleaning of text.
  public let normalization: Normalization
  /// Every piece by its id; nil where an id is not used.
  public let pieces: [String?]
  /// The id of what cannot be cut.
  public let unknownID: Int32
  /// The ids before and after a text.
  public let (startID, endID): (Int32, Int32)
  /// A longer word is unknown.
  public let maximumCharacters: Int
  let added: [AddedToken]
  private let continuation: [UInt8]
  /// Bytes of the longest piece: nothing longer need be looked up.
  private let longest: Int
  /// By UTF-8: two spellings of one character are two pieces.
  private let ids: [[UInt8]: Int32]

  /// Puts a tokenizer together.
  ///
  /// - Throws: ``TokenizerError`` when a piece comes twice or a special one is missing.
  init(
    vocabulary: [(piece: String, id: Int)], added: [AddedToken], unknown: String = "[UNK]",
    start: String = "[CLS]", end: String = "[SEP]", continuation: String = "##",
    maximumCharacters: Int = 100, normalization: Normalization, path: String
  ) throws {
    var ids: [[UInt8]: Int32] = [:]
    var pieces: [String?] = []
    for (piece, id) in vocabulary + added.map({ ($0.content, Int($0.id)) }) {
      guard id >= 0, id < 1 << 20 else {
        throw TokenizerError.badVocabulary(path: path, problem: "'\(piece)' has the id \(id)")
      }
      let bytes = Array(piece.utf8)
      if let other = ids[bytes], other != Int32(id) {
        throw TokenizerError.badVocabulary(
          path: path, problem: "'\(piece)' has the ids \(other) and \(id)")
      }
      while pieces.count <= id { pieces.append(nil) }
      if let other = pieces[id], !other.utf8.elementsEqual(bytes) {
        throw TokenizerError.badVocabulary(
          path: path, problem: "the id \(id) belongs to '\(other)' and to '\(piece)'")
      }
      ids[bytes] = Int32(id)
      pieces[id] = piece
    }
    func id(of name: String) throws -> Int32 {
      guard let id = ids[Array(name.utf8)] else {
        throw TokenizerError.badVocabulary(path: path, problem: "it has no '\(name)'")
      }
      return id
    }
    guard (1...Self.longestWord).contains(maximumCharacters) else {
      throw TokenizerError.badVocabulary(
        path: path,
        problem: "a word has up to \(maximumCharacters) characters, not 1 to \(Self.longestWord)")
    }
    longest = ids.keys.map(\.count).max() ?? 0
    unknownID = try id(of: unknown)
    (startID, endID) = (try id(of: start), try id(of: end))
    (self.ids, self.pieces, self.normalization) = (ids, pieces, normalization)
    self.added = added.filter { !$0.content.isEmpty }
      .sorted { ($1.content.utf8.count, $0.id) < ($0.content.utf8.count, $1.id) }
    self.continuation = Array(continuation.utf8)
    self.maximumCharacters = maximumCharacters
  }

  /// Number of ids, gaps included.
  public var vocabularySize: Int { pieces.count }

  /// The ids of a text between those of start and end.
  ///
  /// - Parameters:
  ///   - text: The text.
  ///   - maximum: The most ids; what does not fit is left out, start and end are not. Nil: all.
  /// - Returns: One id per piece.
  public func encode(_ text: String, maximum: Int? = nil) -> [Int32] {
    let inner = pieceIDs(text)
    let room = maximum.map { max(0, $0 - 2) } ?? inner.count
    return [startID] + inner.prefix(room) + [endID]
  }

  /// The ids of a text alone.
  public func pieceIDs(_ text: String) -> [Int32] {
    var result: [Int32] = []
    let scalars = Array(text.unicodeScalars)
    for part in AddedTokenSearch(added.filter { !$0.isNormalized }).split(scalars[...]) {
      switch part {
      case .token(let id): result.append(id)
      case .text(let slice):
        let normal = normalized(slice)
        for part in AddedTokenSearch(added.filter(\.isNormalized)).split(normal[...]) {
          switch part {
          case .token(let id): result.append(id)
          case .text(let slice): for word in words(slice) { append(word, to: &result) }
          }
        }
      }
    }
    return result
  }

  /// The text of ids: pieces of a word joined, words apart. Special tokens are left out.
  public func decode(_ tokens: some Sequence<Int32>) -> String {
    let special = Set(added.filter(\.isSpecial).map(\.id) + [startID, endID])
    var result = ""
    let prefix = String(decoding: continuation, as: UTF8.self)
    for token in tokens where !special.contains(token) {
      let index = Int(token)
      let piece = pieces.indices.contains(index) ? pieces[index] ?? "\u{FFFD}" : "\u{FFFD}"
      if piece.hasPrefix(prefix), piece.count > prefix.count {
        result += piece.dropFirst(prefix.count)
      } else {
        result += (result.isEmpty ? "" : " ") + piece
      }
    }
    return result
  }

  /// Cuts one word, the longest piece first.
  private func append(_ word: ArraySlice<Unicode.Scalar>, to result: inout [Int32]) {
    var bytes: [UInt8] = []
    guard word.count <= maximumCharacters else { return result.append(unknownID) }
    for scalar in word { bytes.append(contentsOf: UTF8.encode(scalar) ?? Self.replacement) }
    if let whole = ids[bytes] { return result.append(whole) }
    var found: [Int32] = []
    var start = 0
    while start < bytes.count {
      var end = min(bytes.count, start + longest)
      while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end -= 1 }
      var id: Int32?
      while end > start {
        let piece = (start > 0 ? continuation : []) + bytes[start..<end]
        id = ids[piece]
        if id != nil { break }
        repeat { end -= 1 } while end > start && bytes[end] & 0xC0 == 0x80
      }
      guard let id else { return result.append(unknownID) }
      found.append(id)
      start = end
    }
    result += found
  }

  /// The published ones know words of 100 characters; the cost of a word grows as the square of this.
  private static let longestWord = 10_000
  private static let replacement = UTF8.encodedReplacementCharacter
}
