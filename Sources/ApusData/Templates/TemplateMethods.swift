/// Methods of texts, lists and mappings.
struct TemplateMethods {
  let line: Int

  private func wrong(_ problem: String) -> TemplateError {
    .rendering(line: line, problem: problem)
  }

  func call(
    _ name: String, of owner: TemplateValue, _ given: TemplateArguments
  ) throws -> TemplateValue {
    switch owner {
    case .string(let text):
      if let found = try call(name, text, given) { return found }
    case .dictionary(let dictionary):
      if let found = call(name, dictionary, given) { return found }
    case .list(let list):
      if let found = try call(name, list, given) { return found }
    case .undefined(let own): throw wrong("'\(own)' is undefined, and so has no '\(name)'")
    default: break
    }
    throw wrong("\(owner.kind) has no method '\(name)'")
  }

  private func call(
    _ name: String, _ text: String, _ given: TemplateArguments
  ) throws -> TemplateValue? {
    func argument(_ place: Int) throws -> String {
      guard place < given.plain.count, case .string(let text) = given.plain[place] else {
        throw wrong("'\(name)' wants a text")
      }
      return text
    }
    func begins(_ isEnd: Bool) throws -> TemplateValue {
      let wanted: [TemplateValue]
      if case .list(let list)? = given.plain.first {
        wanted = list.items
      } else {
        wanted = [.string(try argument(0))]
      }
      return .bool(
        wanted.contains { one in
          let (own, part) = (Array(text.utf8), Array(one.text.utf8))
          return isEnd ? own.suffix(part.count).elementsEqual(part) : own.starts(with: part)
        })
    }
    let trims = given.plain.first.flatMap { value -> String? in
      if case .string(let text) = value { text } else { nil }
    }
    switch name {
    case "strip": return .string(text.trimmed(trims))
    case "lstrip": return .string(text.trimmed(trims, right: false))
    case "rstrip": return .string(text.trimmed(trims, left: false))
    case "startswith": return try begins(false)
    case "endswith": return try begins(true)
    case "upper": return .string(text.uppercased())
    case "lower": return .string(text.lowercased())
    case "title": return .string(Self.titled(text))
    case "capitalize":
      let first = String(String.UnicodeScalarView(text.unicodeScalars.prefix(1)))
      let rest = String(String.UnicodeScalarView(text.unicodeScalars.dropFirst()))
      return .string(first.uppercased() + rest.lowercased())
    case "replace":
      let (old, new) = (try argument(0), try argument(1))
      let most = given.value(2, "count")?.whole ?? -1
      guard !old.isEmpty else { throw wrong("'replace' wants a text that is not empty") }
      return try TemplateArithmetic.limited(
        text.parts(between: old, most: most).joined(separator: new))
    case "split", "rsplit":
      let most = given.value(1, "maxsplit")?.whole ?? -1
      guard let mark = given.value(0, "sep"), case .string(let separator) = mark else {
        return try TemplateArithmetic.limited(Self.words(text, most).map { .string($0) })
      }
      guard !separator.isEmpty else { throw wrong("'split' wants a text that is not empty") }
      var parts = text.parts(between: separator, most: name == "split" ? most : -1)
      if name == "rsplit", most >= 0, parts.count > most + 1 {
        let head = parts.count - most
        parts = [parts[..<head].joined(separator: separator)] + parts[head...]
      }
      return try TemplateArithmetic.limited(parts.map { .string($0) })
    case "splitlines":
      var lines = text.parts(between: "\r\n").joined(separator: "\n").parts(between: "\n")
      if lines.last?.isEmpty == true { lines.removeLast() }
      return try TemplateArithmetic.limited(lines.map { .string($0) })
    case "join":
      let items = try given.plain.first.map { try TemplateRenderer.items(of: $0, line) } ?? []
      return try TemplateArithmetic.limited(items.map(\.text).joined(separator: text))
    case "find":
      guard let range = text.firstRange(ofBytes: try argument(0)) else {
        return .integer(try argument(0).isEmpty ? 0 : -1)
      }
      return .integer(
        String(decoding: Array(text.utf8)[..<range.lowerBound], as: UTF8.self).unicodeScalars.count)
    case "count": return .integer(text.parts(between: try argument(0)).count - 1)
    case "isdigit":
      return .bool(
        !text.isEmpty && text.unicodeScalars.allSatisfy { $0.properties.numericType == .decimal })
    case "isspace":
      return .bool(!text.isEmpty && text.unicodeScalars.allSatisfy(\.properties.isWhitespace))
    default: return nil
    }
  }

  /// Upper case behind what is no letter, lower case behind letters.
  private static func titled(_ text: String) -> String {
    var (result, isInside) = ("", false)
    for scalar in text.unicodeScalars {
      let one = String(scalar)
      result += isInside ? one.lowercased() : scalar.properties.titlecaseMapping
      isInside = scalar.properties.isCased || scalar.properties.isAlphabetic
    }
    return result
  }

  /// The words between white space.
  private static func words(_ text: String, _ most: Int) -> [String] {
    var words: [String] = []
    var rest = text.unicodeScalars[...]
    func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace }
    while true {
      rest = rest.drop(while: isSpace)
      guard !rest.isEmpty else { return words }
      if most >= 0, words.count == most {
        return words + [String(String.UnicodeScalarView(rest)).trimmed(nil, left: false)]
      }
      let word = rest.prefix { !isSpace($0) }
      words.append(String(String.UnicodeScalarView(word)))
      rest = rest.dropFirst(word.count)
    }
  }

  private func call(
    _ name: String, _ dictionary: TemplateDictionary, _ given: TemplateArguments
  ) -> TemplateValue? {
    switch name {
    case "items":
      return .list(
        TemplateList(dictionary.pairs.map { .list(TemplateList([$0.0, $0.1], isTuple: true)) }))
    case "keys": return .list(TemplateList(dictionary.keys))
    case "values": return .list(TemplateList(dictionary.pairs.map(\.1)))
    case "get":
      return given.value(0, "key").flatMap { dictionary[$0] } ?? given.value(1, "default")
        ?? TemplateValue.none
    default: return nil
    }
  }

  private func call(
    _ name: String, _ list: TemplateList, _ given: TemplateArguments
  ) throws -> TemplateValue? {
    switch name {
    case "append":
      guard !list.isTuple, let item = given.plain.first else { return nil }
      guard list.items.count < 100_000 else {
        throw TemplateError.limit(what: "100000 items in a list")
      }
      list.items.append(item)
      return TemplateValue.none
    case "index":
      guard let item = given.plain.first,
        let place = list.items.firstIndex(where: { $0.equals(item) })
      else { throw wrong("the list does not hold it") }
      return .integer(place)
    case "count":
      return .integer(given.plain.first.map { item in list.items.count { $0.equals(item) } } ?? 0)
    default: return nil
    }
  }
}
