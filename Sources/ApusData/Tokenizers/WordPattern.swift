import Foundation

/// How a text is cut into words before pieces are looked for, as published regular expressions say, by hand.
///
/// The expressions look ahead, `\s+(?!\S)`, and are tried in order at every place. All that are known are one
/// form with different options; one that is not known is an error and never taken for a similar one.
struct WordPattern: Sendable, Hashable {
  /// Which of 's 't 're 've 'm 'll 'd stand alone.
  enum Contractions: Sendable { case none, lowercase, anyCase }
  /// How many digits go together.
  enum Digits: Sendable, Hashable { case many, upTo(Int) }

  var contractions = Contractions.lowercase
  /// Whether any symbol or space may begin a word of letters, not a space alone.
  var takesSymbolBeforeLetters = false
  /// Whether combining marks go with letters.
  var marksAreLetters = false
  /// How many digits go together; `many` takes a space before them.
  var digits = Digits.many
  /// What may follow symbols.
  var afterSymbols: Set<Unicode.Scalar> = []
  /// Whether spaces end at the last line break among them.
  var endsAtLineBreak = false

  /// The expression of GPT-2, which byte-level tokenizers have where they name none.
  static let gpt2 = WordPattern()

  /// The one that a regular expression describes; nil for unknown ones.
  init?(expression: String) {
    let loose = expression.replacingOccurrences(
      of: "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])",
      with: "(?i:'s|'t|'re|'ve|'m|'ll|'d)")
    guard let found = Self.known[loose] else { return nil }
    self = found
  }

  private init() {}

  /// The form that Llama 3 and later ones share.
  private init(digits: Digits, marksAreLetters: Bool = false, afterSymbols: Set<Unicode.Scalar>) {
    contractions = .anyCase
    (takesSymbolBeforeLetters, endsAtLineBreak) = (true, true)
    (self.digits, self.marksAreLetters) = (digits, marksAreLetters)
    self.afterSymbols = afterSymbols
  }

  private static let lines: Set<Unicode.Scalar> = ["\r", "\n"]

  private static let known: [String: WordPattern] = [
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: gpt2,
    #"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: gpt2,
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
      WordPattern(digits: .upTo(3), afterSymbols: lines),
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
      WordPattern(digits: .upTo(1), afterSymbols: lines),
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#:
      WordPattern(digits: .upTo(1), marksAreLetters: true, afterSymbols: lines),
  ]

  /// The words of a text, one after the other; together they are the text.
  func words(_ text: ArraySlice<Unicode.Scalar>) -> [ArraySlice<Unicode.Scalar>] {
    let kinds = text.map(ScalarKind.init)
    var words: [ArraySlice<Unicode.Scalar>] = []
    var place = 0
    while place < kinds.count {
      let end = end(ofWordAt: place, text, kinds)
      words.append(text[text.startIndex + place..<text.startIndex + end])
      place = end
    }
    return words
  }

  private func end(
    ofWordAt place: Int, _ text: ArraySlice<Unicode.Scalar>, _ kinds: [ScalarKind]
  ) -> Int {
    let first = text.startIndex
    if let end = endOfContraction(place, text, kinds) { return end }
    func run(from start: Int, while isMember: (ScalarKind) -> Bool) -> Int {
      var end = start
      while end < kinds.count, isMember(kinds[end]) { end += 1 }
      return end
    }
    let isLetter = { (kind: ScalarKind) in kind == .letter || marksAreLetters && kind == .mark }
    let isSpace = text[first + place] == " "
    let beginsWord =
      takesSymbolBeforeLetters
      ? ![.letter, .number, .lineBreak].contains(kinds[place]) : isSpace
    let letters =
      beginsWord && place + 1 < kinds.count && isLetter(kinds[place + 1])
      ? place + 1 : place
    if isLetter(kinds[letters]) { return run(from: letters, while: isLetter) }

    switch digits {
    case .many:
      let start = isSpace ? place + 1 : place
      if start < kinds.count, kinds[start] == .number {
        return run(from: start) { $0 == .number }
      }
    case .upTo(let most):
      if kinds[place] == .number { return min(place + most, run(from: place) { $0 == .number }) }
    }

    let isSymbol = { (kind: ScalarKind) in kind == .symbol || !marksAreLetters && kind == .mark }
    let start = isSpace ? place + 1 : place
    if start < kinds.count, isSymbol(kinds[start]) {
      var end = run(from: start, while: isSymbol)
      while end < kinds.count, afterSymbols.contains(text[first + end]) { end += 1 }
      return end
    }

    let end = run(from: place) { $0 == .space || $0 == .lineBreak }
    if endsAtLineBreak, let last = (place..<end).last(where: { kinds[$0] == .lineBreak }) {
      return last + 1
    }
    // The last space belongs to what follows.
    return end == kinds.count ? end : max(place + 1, end - 1)
  }

  private func endOfContraction(
    _ place: Int, _ text: ArraySlice<Unicode.Scalar>, _ kinds: [ScalarKind]
  ) -> Int? {
    guard contractions != .none, text[text.startIndex + place] == "'" else { return nil }
    func letter(_ ahead: Int) -> Unicode.Scalar? {
      guard place + ahead < kinds.count else { return nil }
      let scalar = text[text.startIndex + place + ahead]
      guard contractions == .anyCase else { return scalar }
      // Without case the long s is an s.
      if scalar == "\u{17F}" { return "s" }
      return (65...90).contains(scalar.value) ? Unicode.Scalar(scalar.value + 32) : scalar
    }
    switch (letter(1), letter(2)) {
    case ("s", _), ("t", _), ("m", _), ("d", _): return place + 2
    case ("r", "e"), ("v", "e"), ("l", "l"): return place + 3
    default: return nil
    }
  }
}

/// What regular expressions tell scalars apart by: `\p{L}`, `\p{M}`, `\p{N}`, `[\r\n]`, `\s`.
enum ScalarKind: UInt8, Sendable {
  case letter, mark, number, lineBreak, space, symbol

  init(_ scalar: Unicode.Scalar) {
    switch scalar.value {
    case 65...90, 97...122: self = .letter
    case 48...57: self = .number
    case 10, 13: self = .lineBreak
    case 9, 11, 12, 32: self = .space
    case ..<128: self = .symbol
    default:
      switch scalar.properties.generalCategory {
      case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
        self = .letter
      case .nonspacingMark, .spacingMark, .enclosingMark: self = .mark
      case .decimalNumber, .letterNumber, .otherNumber: self = .number
      default: self = scalar.properties.isWhitespace ? .space : .symbol
      }
    }
  }
}
