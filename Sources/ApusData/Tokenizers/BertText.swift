import Foundation

/// What BERT does to a text before it cuts words.
extension WordPieceTokenizer {
  /// The text cleaned as ``normalization`` says.
  func normalized(_ text: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
    var scalars: [Unicode.Scalar] = []
    scalars.reserveCapacity(text.count)
    for scalar in text {
      if normalization.cleansText {
        if Self.isDropped(scalar) { continue }
        if scalar.properties.isWhitespace {
          scalars.append(" ")
          continue
        }
      }
      if normalization.separatesIdeographs, Self.isIdeograph(scalar) {
        scalars += [" ", scalar, " "]
      } else {
        scalars.append(scalar)
      }
    }
    if normalization.stripsAccents ?? normalization.lowercases {
      scalars = Self.withoutAccents(scalars)
    }
    guard normalization.lowercases else { return scalars }
    return scalars.flatMap { scalar in
      scalar.isASCII
        ? [Self.lowercased(ascii: scalar)]
        : Array(scalar.properties.lowercaseMapping.unicodeScalars)
    }
  }

  /// Splits at white space, which goes, and at punctuation, of which each mark is a word.
  func words(_ text: ArraySlice<Unicode.Scalar>) -> [ArraySlice<Unicode.Scalar>] {
    var words: [ArraySlice<Unicode.Scalar>] = []
    var start = text.startIndex
    for index in text.indices {
      let isSpace = text[index].properties.isWhitespace
      guard isSpace || text[index].isPunctuation else { continue }
      if start < index { words.append(text[start..<index]) }
      if !isSpace { words.append(text[index...index]) }
      start = index + 1
    }
    if start < text.endIndex { words.append(text[start...]) }
    return words
  }

  private static func lowercased(ascii scalar: Unicode.Scalar) -> Unicode.Scalar {
    (65...90).contains(scalar.value) ? Unicode.Scalar(UInt8(scalar.value + 32)) : scalar
  }

  private static func withoutAccents(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
    guard scalars.contains(where: { !$0.isASCII }) else { return scalars }
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view).decomposedStringWithCanonicalMapping.unicodeScalars
      .filter { $0.properties.generalCategory != .nonspacingMark }
  }

  private static func isDropped(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "\0", "\u{FFFD}": true
    case "\t", "\n", "\r": false
    default:
      switch scalar.properties.generalCategory {
      case .control, .format, .surrogate, .privateUse: true
      default: false
      }
    }
  }

  private static func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F,
      0x2B740...0x2B81F, 0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }
}

extension Unicode.Scalar {
  /// Whether tokenizers cut at it: ASCII signs, and what Unicode calls punctuation.
  var isPunctuation: Bool {
    switch value {
    case 33...47, 58...64, 91...96, 123...126: return true
    case ..<128: return false
    default: break
    }
    switch properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      return true
    default: return false
    }
  }
}

/// Finds added tokens in a text: the leftmost, and of those the longest.
struct AddedTokenSearch {
  /// A stretch of text, or a token found between two.
  enum Part {
    case text(ArraySlice<Unicode.Scalar>)
    case token(Int32)
  }

  private let byFirst: [Unicode.Scalar: [(content: [Unicode.Scalar], token: AddedToken)]]
  typealias AddedToken = WordPieceTokenizer.AddedToken

  /// Takes tokens, the longest first.
  init(_ tokens: [AddedToken]) {
    var byFirst: [Unicode.Scalar: [([Unicode.Scalar], AddedToken)]] = [:]
    for token in tokens {
      let content = Array(token.content.unicodeScalars)
      if let first = content.first { byFirst[first, default: []].append((content, token)) }
    }
    self.byFirst = byFirst
  }

  /// Splits a text at the tokens in it.
  func split(_ text: ArraySlice<Unicode.Scalar>) -> [Part] {
    guard !byFirst.isEmpty else { return [.text(text)] }
    var parts: [Part] = []
    var (start, index) = (text.startIndex, text.startIndex)
    while index < text.endIndex {
      guard let (end, token) = match(text, at: index) else {
        index += 1
        continue
      }
      var (from, to) = (index, end)
      if token.takesSpaceBefore {
        while from > start, text[from - 1].properties.isWhitespace { from -= 1 }
      }
      if token.takesSpaceAfter {
        while to < text.endIndex, text[to].properties.isWhitespace { to += 1 }
      }
      if start < from { parts.append(.text(text[start..<from])) }
      parts.append(.token(token.id))
      (start, index) = (to, to)
    }
    if start < text.endIndex { parts.append(.text(text[start...])) }
    return parts
  }

  private func match(
    _ text: ArraySlice<Unicode.Scalar>, at index: Int
  ) -> (end: Int, token: AddedToken)? {
    for (content, token) in byFirst[text[index]] ?? [] {
      let end = index + content.count
      guard end <= text.endIndex, text[index..<end].elementsEqual(content) else { continue }
      if token.isWholeWord {
        let before = index > text.startIndex && Self.isWord(text[index - 1])
        let after = end < text.endIndex && Self.isWord(text[end])
        if before || after { continue }
      }
      return (end, token)
    }
    return nil
  }

  private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
  }
}
