/// Cuts a template into text and the tokens between marks.
///
/// White space as Hugging Face's templates have it: a line break behind a block goes, and so do spaces before a
/// block that begins a line; a minus sign takes all white space on its side.
struct TemplateLexer {
  enum Token: Equatable {
    case name(String), string(String), integer(Int), float(Double), sign(String)
  }

  /// A part of the template.
  enum Part {
    case text(String)
    case output([Token], line: Int)
    case block([Token], line: Int)
  }

  private let source: [Unicode.Scalar]
  private var place = 0
  private var line = 1

  init(_ text: String) {
    // Jinja reads every line break as a line feed, and drops one at the end.
    var scalars = Array(text.unicodeScalars)
    if scalars.contains("\r") {
      let joined = text.unicodeScalars.split(separator: "\r", omittingEmptySubsequences: false)
      scalars = Array(joined[0])
      for piece in joined.dropFirst() {
        scalars += ["\n"] + (piece.first == "\n" ? piece.dropFirst() : piece)
      }
    }
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
  }

  private func has(_ text: String, at place: Int) -> Bool {
    let wanted = Array(text.unicodeScalars)
    return place + wanted.count <= source.count
      && source[place..<place + wanted.count].elementsEqual(wanted)
  }

  static func parts(_ text: String) throws -> [Part] {
    var lexer = TemplateLexer(text)
    return try lexer.parts()
  }

  private mutating func parts() throws -> [Part] {
    var parts: [Part] = []
    var text: [Unicode.Scalar] = []
    /// Where the text begins that may lose spaces before a block.
    func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace }
    while place < source.count {
      guard has("{{", at: place) || has("{%", at: place) || has("{#", at: place) else {
        if source[place] == "\n" { line += 1 }
        text.append(source[place])
        place += 1
        continue
      }
      let kind = source[place + 1]
      let mark: Unicode.Scalar? = place + 2 < source.count ? source[place + 2] : nil
      if mark == "-" {
        while let last = text.last, isSpace(last) { text.removeLast() }
      } else if kind != "{", mark != "+" {
        // Spaces before a block that begins its line go.
        var end = text.count
        while end > 0, text[end - 1] == " " || text[end - 1] == "\t" { end -= 1 }
        let beginsLine = end > 0 ? text[end - 1] == "\n" : parts.isEmpty || lastEndsLine
        if beginsLine { text.removeLast(text.count - end) }
      }
      if !text.isEmpty { parts.append(.text(String(String.UnicodeScalarView(text)))) }
      text = []
      let start = line
      place += mark == "-" || mark == "+" ? 3 : 2
      let tokens: [Token]
      if kind == "#" {
        try skipComment()
        tokens = []
      } else {
        tokens = try self.tokens(until: kind == "{" ? "}}" : "%}")
      }
      let takesAll = place > 0 && source[place - 1] == "-"
      let keeps = place > 0 && source[place - 1] == "+"
      place += 2
      if kind == "%", case .name("raw")? = tokens.first {
        text += try raw()
        lastEndsLine = false
        if place < source.count, source[place] == "\n" {
          line += 1
          place += 1
          lastEndsLine = true
        }
        continue
      }
      lastEndsLine = false
      if takesAll {
        while place < source.count, isSpace(source[place]) {
          if source[place] == "\n" {
            line += 1
            lastEndsLine = true
          }
          place += 1
        }
      } else if kind != "{", !keeps, place < source.count, source[place] == "\n" {
        line += 1
        place += 1
        lastEndsLine = true
      }
      if kind == "{" { parts.append(.output(tokens, line: start)) }
      if kind == "%" { parts.append(.block(tokens, line: start)) }
    }
    if !text.isEmpty { parts.append(.text(String(String.UnicodeScalarView(text)))) }
    return parts
  }

  /// Whether what was taken away behind the last mark ended a line.
  private var lastEndsLine = false

  private mutating func skipComment() throws {
    let start = line
    while place < source.count {
      if has("#}", at: place) || has("-#}", at: place) || has("+#}", at: place) {
        if source[place] != "#" { place += 1 }
        return
      }
      if source[place] == "\n" { line += 1 }
      place += 1
    }
    throw TemplateError.syntax(line: start, problem: "a comment has no end '#}'")
  }

  private mutating func raw() throws -> [Unicode.Scalar] {
    let (start, begin) = (line, place)
    while place < source.count {
      if has("{%", at: place) {
        let end = place
        place += 2
        if place < source.count, source[place] == "-" || source[place] == "+" { place += 1 }
        if let tokens = try? tokens(until: "%}"), tokens == [.name("endraw")] {
          place += 2
          return Array(source[begin..<end])
        }
        place = end + 2
        continue
      }
      if source[place] == "\n" { line += 1 }
      place += 1
    }
    throw TemplateError.syntax(line: start, problem: "'raw' has no 'endraw'")
  }

  // MARK: Tokens

  private static let signs = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[",
    "]", "{", "}", ",", ".", ":", "|",
  ]

  /// Tokens up to an end, before which `place` is left; a sign of white space lies before it.
  private mutating func tokens(until end: String) throws -> [Token] {
    let start = line
    var tokens: [Token] = []
    var open = 0
    while place < source.count {
      let scalar = source[place]
      if scalar.properties.isWhitespace {
        if scalar == "\n" { line += 1 }
        place += 1
        continue
      }
      if open == 0 {
        if has(end, at: place) { return tokens }
        if scalar == "-" || scalar == "+", has(end, at: place + 1) {
          place += 1
          return tokens
        }
      }
      if scalar == "'" || scalar == "\"" {
        tokens.append(.string(try string(scalar)))
      } else if ("0"..."9").contains(scalar) {
        tokens.append(try number())
      } else if scalar == "_" || scalar.properties.isXIDStart {
        let begin = place
        while place < source.count, source[place] == "_" || source[place].properties.isXIDContinue {
          place += 1
        }
        tokens.append(.name(String(String.UnicodeScalarView(source[begin..<place]))))
      } else if let sign = Self.signs.first(where: { has($0, at: place) }) {
        if ["(", "[", "{"].contains(sign) { open += 1 }
        if [")", "]", "}"].contains(sign) { open -= 1 }
        guard open >= 0 else {
          throw TemplateError.syntax(line: line, problem: "'\(sign)' closes nothing")
        }
        tokens.append(.sign(sign))
        place += sign.count
      } else {
        throw TemplateError.syntax(line: line, problem: "'\(String(scalar))' means nothing here")
      }
    }
    throw TemplateError.syntax(line: start, problem: "there is no end '\(end)'")
  }

  private mutating func number() throws -> Token {
    let begin = place
    func digits(_ place: inout Int) {
      while place < source.count, ("0"..."9").contains(source[place]) || source[place] == "_" {
        place += 1
      }
    }
    digits(&place)
    var isWhole = true
    if place + 1 < source.count, source[place] == ".", ("0"..."9").contains(source[place + 1]) {
      isWhole = false
      place += 1
      digits(&place)
    }
    if place < source.count, source[place] == "e" || source[place] == "E" {
      var end = place + 1
      if end < source.count, source[end] == "+" || source[end] == "-" { end += 1 }
      if end < source.count, ("0"..."9").contains(source[end]) {
        isWhole = false
        place = end
        digits(&place)
      }
    }
    let text = String(String.UnicodeScalarView(source[begin..<place].filter { $0 != "_" }))
    if isWhole, let value = Int(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else {
      throw TemplateError.syntax(line: line, problem: "\(text) is no number that can be held")
    }
    return .float(value)
  }

  private mutating func string(_ mark: Unicode.Scalar) throws -> String {
    let start = line
    var text = String.UnicodeScalarView()
    place += 1
    while place < source.count {
      let scalar = source[place]
      place += 1
      if scalar == mark { return String(text) }
      if scalar == "\n" { line += 1 }
      guard scalar == "\\", place < source.count else {
        text.append(scalar)
        continue
      }
      let escaped = source[place]
      place += 1
      switch escaped {
      case "n": text.append("\n")
      case "t": text.append("\t")
      case "r": text.append("\r")
      case "b": text.append("\u{8}")
      case "f": text.append("\u{C}")
      case "v": text.append("\u{B}")
      case "a": text.append("\u{7}")
      case "0": text.append("\0")
      case "\\", "'", "\"": text.append(escaped)
      case "\n": line += 1
      case "x": text.append(try code(2))
      case "u": text.append(try code(4))
      case "U": text.append(try code(8))
      default:
        text.append("\\")
        text.append(escaped)
      }
    }
    throw TemplateError.syntax(line: start, problem: "a text has no end")
  }

  private mutating func code(_ digits: Int) throws -> Unicode.Scalar {
    let end = min(place + digits, source.count)
    let text = String(String.UnicodeScalarView(source[place..<end]))
    guard text.unicodeScalars.count == digits, let value = UInt32(text, radix: 16),
      let scalar = Unicode.Scalar(value)
    else { throw TemplateError.syntax(line: line, problem: "'\\\(text)' is no character") }
    place = end
    return scalar
  }
}
