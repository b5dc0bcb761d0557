/// A piece of HTML or SVG that is safe to place in the page.
///
/// The only ways to make one are ``text(_:)``, which escapes, and ``element(_:_:_:)``, whose names
/// are literals of the program and whose values are escaped. So no string from outside, be it a
/// column named `<script>`, reaches the page as anything but text.
package struct Markup: Sendable, Equatable {
  /// The markup itself.
  package let source: String

  private init(source: String) {
    self.source = source
  }

  /// Nothing.
  package static let empty = Markup(source: "")

  /// `string` as text.
  ///
  /// Works on scalars, not on characters: a quote followed by a combining mark is another
  /// character than a quote, yet a browser still reads the quote.
  package static func text(_ string: String) -> Markup {
    var source = ""
    source.reserveCapacity(string.utf8.count)
    for scalar in string.unicodeScalars {
      switch scalar {
      case "<": source += "&lt;"
      case ">": source += "&gt;"
      case "&": source += "&amp;"
      case "\"": source += "&quot;"
      case "'": source += "&#39;"
      case "\t", "\n": source.unicodeScalars.append(scalar)
      default:
        // Control characters have no place in a page, and NUL confuses parsers.
        let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
        source.unicodeScalars.append(isControl ? "\u{FFFD}" : scalar)
      }
    }
    return Markup(source: source)
  }

  /// An element with its attributes and content.
  package static func element(
    _ name: StaticString, _ attributes: KeyValuePairs<StaticString, String> = [:],
    _ content: [Markup] = []
  ) -> Markup {
    var source = "<\(name)"
    for (key, value) in attributes { source += " \(key)=\"\(text(value).source)\"" }
    source += ">" + content.joined().source + "</\(name)>"
    return Markup(source: source)
  }
}

extension [Markup] {
  /// One piece after the other.
  package func joined() -> Markup {
    var whole = Markup.empty
    for piece in self { whole = whole + piece }
    return whole
  }
}

extension Markup {
  static func + (first: Markup, second: Markup) -> Markup {
    Markup(source: first.source + second.source)
  }
}
