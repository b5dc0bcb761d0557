import Foundation

/// What is done to a text before it is cut: the normalizers of a `tokenizer.json`.
enum TextNormalizer: Sendable {
  case form(Form)
  case lowercase
  case stripAccents
  case strip(left: Bool, right: Bool)
  case replace(String, by: String)
  case prepend(String)
  case sequence([TextNormalizer])

  /// The normalization forms of Unicode.
  enum Form: String, Sendable { case NFC, NFD, NFKC, NFKD }

  /// The text normalized.
  func callAsFunction(_ text: String) -> String {
    switch self {
    case .form(.NFC): text.precomposedStringWithCanonicalMapping
    case .form(.NFD): text.decomposedStringWithCanonicalMapping
    case .form(.NFKC): text.precomposedStringWithCompatibilityMapping
    case .form(.NFKD): text.decomposedStringWithCompatibilityMapping
    case .lowercase:
      // Scalar by scalar: a final sigma is not seen.
      Self.mapped(text) { $0.properties.lowercaseMapping.unicodeScalars.map(\.self) }
    case .stripAccents:
      Self.mapped(text) { $0.properties.generalCategory == .nonspacingMark ? [] : [$0] }
    case .strip(let left, let right): Self.stripped(text, left: left, right: right)
    case .replace(let found, let other): Self.replaced(text, found, by: other)
    case .prepend(let start): text.isEmpty ? text : start + text
    case .sequence(let all): all.reduce(text) { $1($0) }
    }
  }

  private static func mapped(
    _ text: String, _ change: (Unicode.Scalar) -> [Unicode.Scalar]
  ) -> String {
    var scalars = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { scalars.append(contentsOf: change(scalar)) }
    return String(scalars)
  }

  private static func stripped(_ text: String, left: Bool, right: Bool) -> String {
    var rest = text.unicodeScalars[...]
    if left { rest = rest.drop { $0.properties.isWhitespace } }
    while right, let last = rest.last, last.properties.isWhitespace { rest.removeLast() }
    return String(String.UnicodeScalarView(rest))
  }

  /// By bytes: to a String two spellings of a character are equal.
  private static func replaced(_ text: String, _ found: String, by other: String) -> String {
    let (bytes, pattern) = (Array(text.utf8), Array(found.utf8))
    guard !pattern.isEmpty, bytes.count >= pattern.count else { return text }
    var result: [UInt8] = []
    var place = 0
    while place < bytes.count {
      if bytes[place] == pattern[0], place + pattern.count <= bytes.count,
        bytes[place..<place + pattern.count].elementsEqual(pattern)
      {
        result += other.utf8
        place += pattern.count
      } else {
        result.append(bytes[place])
        place += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
