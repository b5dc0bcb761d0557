/// How a normalized text is cut before pieces are looked for: the pre-tokenizers of a `tokenizer.json`.
enum PreTokenizer: Sendable {
  /// Words of a pattern, each alone.
  case words(WordPattern)
  /// A space is put before a text that does not begin with one.
  case spaceBefore
  /// Bytes become the letters of GPT-2's alphabet, which is what the cuts behind this one see.
  case byteLetters
  /// Digits, each alone or runs of them.
  case digits(single: Bool)
  /// Punctuation.
  case punctuation(SplitBehavior)
  /// A fixed text.
  case text([Unicode.Scalar], SplitBehavior)
  /// Runs of three ASCII digits, as Falcon has them.
  case threeDigits
  /// At white space, which goes.
  case spaces
  /// `\w+|[^\w\s]+`, without the white space between.
  case wordsAndSymbols
  /// Spaces become a symbol that begins the word behind it.
  case metaspace(Unicode.Scalar, Scheme, splits: Bool)

  /// Where a metaspace is put before a text that has none.
  enum Scheme: String, Sendable { case always, first, never }

  /// A piece of text, and whether the whole text begins with it.
  struct Piece {
    var text: ArraySlice<Unicode.Scalar>
    var isFirst: Bool
  }

  /// Cuts a piece further.
  func callAsFunction(_ piece: Piece) -> [Piece] {
    let text = piece.text
    switch self {
    case .words(let pattern): return Self.pieces(pattern.words(text), piece)
    case .spaceBefore:
      return [text.first == " " ? piece : Piece(text: [" "] + text, isFirst: piece.isFirst)]
    case .byteLetters:
      return [Piece(text: ByteAlphabet.letters(of: text)[...], isFirst: piece.isFirst)]
    case .digits(let single):
      return Self.pieces(
        Self.split(text, single ? .isolated : .contiguous) { ScalarKind($0) == .number }, piece)
    case .punctuation(let behavior):
      return Self.pieces(Self.split(text, behavior, where: \.isPunctuation), piece)
    case .text(let pattern, let behavior):
      return Self.pieces(Self.split(text, pattern, behavior), piece)
    case .threeDigits: return Self.pieces(Self.threes(text), piece)
    case .spaces:
      return Self.pieces(Self.split(text, .removed) { $0.properties.isWhitespace }, piece)
    case .wordsAndSymbols:
      let words = Self.split(text, .removed) { $0.properties.isWhitespace }
      return Self.pieces(words.flatMap(Self.wordsAndSymbols), piece)
    case .metaspace(let symbol, let scheme, let splits):
      return Self.metaspace(piece, symbol, scheme, splits)
    }
  }

  private static func pieces(_ parts: [ArraySlice<Unicode.Scalar>], _ whole: Piece) -> [Piece] {
    parts.enumerated().map { number, part in
      Piece(
        text: part,
        isFirst: whole.isFirst && number == 0 && part.startIndex == whole.text.startIndex)
    }
  }

  private static func metaspace(
    _ piece: Piece, _ symbol: Unicode.Scalar, _ scheme: Scheme, _ splits: Bool
  ) -> [Piece] {
    var text = piece.text.map { $0 == " " ? symbol : $0 }
    if scheme == .always || scheme == .first && piece.isFirst, text.first != symbol {
      text.insert(symbol, at: 0)
    }
    guard splits else { return [Piece(text: text[...], isFirst: piece.isFirst)] }
    let parts = split(text[...], .mergedWithNext) { $0 == symbol }
    return parts.enumerated().map { Piece(text: $1, isFirst: piece.isFirst && $0 == 0) }
  }
}

/// What becomes of what a text is split at.
enum SplitBehavior: String, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"
}

extension PreTokenizer {
  typealias Slice = ArraySlice<Unicode.Scalar>

  /// Splits at single scalars.
  static func split(
    _ text: Slice, _ behavior: SplitBehavior, where isMark: (Unicode.Scalar) -> Bool
  ) -> [Slice] {
    joined(
      text, text.indices.filter { isMark(text[$0]) }.map { $0..<$0 + 1 }, behavior)
  }

  /// Splits at a text.
  static func split(_ text: Slice, _ pattern: [Unicode.Scalar], _ behavior: SplitBehavior)
    -> [Slice]
  {
    guard !pattern.isEmpty else { return [text] }
    var found: [Range<Int>] = []
    var place = text.startIndex
    while place + pattern.count <= text.endIndex {
      if text[place..<place + pattern.count].elementsEqual(pattern) {
        found.append(place..<place + pattern.count)
        place += pattern.count
      } else {
        place += 1
      }
    }
    return joined(text, found, behavior)
  }

  /// The parts of a text with marks in it.
  private static func joined(
    _ text: Slice, _ marks: [Range<Int>], _ behavior: SplitBehavior
  ) -> [Slice] {
    var parts: [(range: Range<Int>, isMark: Bool)] = []
    var start = text.startIndex
    for mark in marks {
      if start < mark.lowerBound { parts.append((start..<mark.lowerBound, false)) }
      parts.append((mark, true))
      start = mark.upperBound
    }
    if start < text.endIndex { parts.append((start..<text.endIndex, false)) }
    var ranges: [Range<Int>] = []
    for (place, part) in parts.enumerated() {
      let before = place > 0 ? parts[place - 1] : nil
      let joins =
        switch behavior {
        case .removed, .isolated: false
        case .mergedWithPrevious: part.isMark && before?.isMark == false
        case .mergedWithNext: !part.isMark && before?.isMark == true
        case .contiguous: part.isMark && before?.isMark == true
        }
      if behavior == .removed, part.isMark { continue }
      if joins, let last = ranges.last {
        ranges[ranges.count - 1] = last.lowerBound..<part.range.upperBound
      } else {
        ranges.append(part.range)
      }
    }
    return ranges.map { text[$0] }
  }

  /// `[0-9][0-9][0-9]`, each alone.
  fileprivate static func threes(_ text: Slice) -> [Slice] {
    var found: [Range<Int>] = []
    var place = text.startIndex
    while place + 3 <= text.endIndex {
      if text[place..<place + 3].allSatisfy({ (48...57).contains($0.value) }) {
        found.append(place..<place + 3)
        place += 3
      } else {
        place += 1
      }
    }
    return joined(text, found, .isolated)
  }

  fileprivate static func wordsAndSymbols(_ text: Slice) -> [Slice] {
    var parts: [Slice] = []
    var start = text.startIndex
    for place in text.indices.dropFirst() where isWord(text[place]) != isWord(text[place - 1]) {
      parts.append(text[start..<place])
      start = place
    }
    return start < text.endIndex ? parts + [text[start...]] : parts
  }

  /// `\w`.
  private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    let properties = scalar.properties
    return properties.isAlphabetic || properties.isJoinControl
      || [.decimalNumber, .connectorPunctuation, .nonspacingMark, .spacingMark, .enclosingMark]
        .contains(properties.generalCategory)
  }
}
