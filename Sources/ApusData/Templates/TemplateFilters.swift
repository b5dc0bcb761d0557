import Foundation

/// Filters and tests of templates.
struct TemplateFilters {
  let line: Int

  private func wrong(_ problem: String) -> TemplateError {
    .rendering(line: line, problem: problem)
  }

  private func items(_ value: TemplateValue) throws -> [TemplateValue] {
    try TemplateRenderer.items(of: value, line)
  }

  func apply(
    _ name: String, to value: TemplateValue, _ given: TemplateArguments
  ) throws -> TemplateValue {
    switch name {
    case "tojson": return try TemplateJSON(given, line: line).text(of: value)
    case "default", "d":
      let other = given.value(0, "default_value") ?? .string("")
      let takesFalse = given.value(1, "boolean")?.isTrue ?? false
      return value.isUndefined || takesFalse && !value.isTrue ? other : value
    case "trim": return .string(value.text.trimmed(given.value(0, "chars")?.text))
    case "length", "count": return .integer(try length(value))
    case "string": return .string(value.text)
    case "safe", "e", "escape": return name == "safe" ? value : try escaped(value)
    case "lower": return .string(value.text.lowercased())
    case "upper": return .string(value.text.uppercased())
    case "capitalize", "title":
      return try TemplateMethods(line: line).call(
        name, of: .string(value.text), TemplateArguments())
    case "replace":
      guard given.plain.count >= 2 else { throw wrong("'replace' wants two texts") }
      return try TemplateMethods(line: line).call(
        "replace", of: .string(value.text),
        TemplateArguments(
          plain: given.plain.prefix(2).map { .string($0.text) } + given.plain.dropFirst(2)))
    case "join":
      let attribute = given.value(1, "attribute")
      let parts = try items(value).map { item in
        try attribute.map { try get($0, of: item) } ?? item
      }
      return try TemplateArithmetic.limited(
        parts.map(\.text).joined(separator: given.value(0, "d")?.text ?? ""))
    case "first", "last":
      let all = try items(value)
      return (name == "first" ? all.first : all.last) ?? .undefined("the \(name) item")
    case "list": return .list(TemplateList(try items(value)))
    case "items":
      if value.isUndefined { return .list(TemplateList([])) }
      return try TemplateMethods(line: line).call("items", of: value, TemplateArguments())
    case "reverse":
      let all = Array(try items(value).reversed())
      if case .string = value { return .string(all.map(\.text).joined()) }
      return .list(TemplateList(all))
    case "unique":
      var kept: [TemplateValue] = []
      guard try items(value).count <= 1_000 else {
        throw TemplateError.limit(what: "1000 items of which each is one")
      }
      for item in try items(value) where !kept.contains(where: { $0.equals(item) }) {
        kept.append(item)
      }
      return .list(TemplateList(kept))
    case "sort": return .list(TemplateList(try sorted(try items(value), given)))
    case "dictsort": return try dictionarySorted(value, given)
    case "map": return .list(TemplateList(try mapped(value, given)))
    case "select", "reject", "selectattr", "rejectattr":
      return .list(TemplateList(try chosen(name, value, given)))
    case "int": return try whole(value, given.value(0, "default") ?? .integer(0))
    case "float":
      if let number = value.number { return .float(number) }
      if case .string(let text) = value, let number = Double(text.trimmed(nil)) {
        return .float(number)
      }
      return given.value(0, "default") ?? .float(0)
    case "abs":
      if let whole = value.whole { return .integer(whole == .min ? .max : abs(whole)) }
      guard let number = value.number else {
        throw wrong("'abs' wants a number, not \(value.kind)")
      }
      return .float(abs(number))
    case "sum":
      return try items(value).reduce(.integer(0)) {
        try TemplateArithmetic(line: line).combined("+", $0, $1)
      }
    case "min", "max":
      var best: TemplateValue?
      for item in try items(value) {
        guard let other = best else {
          best = item
          continue
        }
        if try name == "min" ? order(item, other) : order(other, item) { best = item }
      }
      return best ?? .undefined("the \(name) item")
    case "indent": return try indented(value, given)
    default: throw wrong("the filter '\(name)' is not known")
    }
  }

  private func length(_ value: TemplateValue) throws -> Int {
    switch value {
    case .string(let text): text.unicodeScalars.count
    case .list(let list): list.items.count
    case .dictionary(let dictionary): dictionary.keys.count
    case .undefined: 0
    default: throw wrong("\(value.kind) has no length")
    }
  }

  private func escaped(_ value: TemplateValue) throws -> TemplateValue {
    var text = value.text
    for (sign, name) in [
      ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ("\"", "&#34;"),
    ] {
      text = text.parts(between: sign).joined(separator: name)
    }
    return try TemplateArithmetic.limited(text)
  }

  private func order(_ one: TemplateValue, _ two: TemplateValue) throws -> Bool {
    guard let found = one.precedes(two) else {
      throw wrong("\(one.kind) and \(two.kind) have no order")
    }
    return found
  }

  private func key(_ value: TemplateValue, _ isExact: Bool) -> TemplateValue {
    if !isExact, case .string(let text) = value { return .string(text.lowercased()) }
    return value
  }

  private func sorted(
    _ items: [TemplateValue], _ given: TemplateArguments
  ) throws -> [TemplateValue] {
    let (reverses, isExact) = (
      given.value(0, "reverse")?.isTrue ?? false, given.value(1, "case_sensitive")?.isTrue ?? false
    )
    let attribute = given.value(2, "attribute")
    let keyed = try items.map { item in
      (key: key(try attribute.map { try get($0, of: item) } ?? item, isExact), item: item)
    }
    // Stable, in both directions.
    let order = try keyed.enumerated().sorted { one, two in
      if one.element.key.equals(two.element.key) { return one.offset < two.offset }
      return try reverses
        ? self.order(two.element.key, one.element.key)
        : self.order(one.element.key, two.element.key)
    }
    return order.map(\.element.item)
  }

  private func dictionarySorted(
    _ value: TemplateValue, _ given: TemplateArguments
  ) throws -> TemplateValue {
    guard case .dictionary(let dictionary) = value else {
      throw wrong("'dictsort' wants a mapping, not \(value.kind)")
    }
    let isExact = given.value(0, "case_sensitive")?.isTrue ?? false
    let byValue = given.value(1, "by")?.text == "value"
    let reverses = given.value(2, "reverse")?.isTrue ?? false
    let pairs = try dictionary.pairs.enumerated().sorted { one, two in
      let (a, b) = (
        key(byValue ? one.element.1 : one.element.0, isExact),
        key(byValue ? two.element.1 : two.element.0, isExact)
      )
      if a.equals(b) { return one.offset < two.offset }
      return try reverses ? order(b, a) : order(a, b)
    }
    return .list(
      TemplateList(pairs.map { .list(TemplateList([$0.element.0, $0.element.1], isTuple: true)) }))
  }

  /// A member of an item, "a.b" of one within.
  private func get(_ path: TemplateValue, of item: TemplateValue) throws -> TemplateValue {
    var found = item
    for name in path.text.parts(between: ".") {
      switch found {
      case .dictionary(let dictionary): found = dictionary[name] ?? .undefined(name)
      case .list(let list):
        guard let place = Int(name), list.items.indices.contains(place) else {
          return .undefined(name)
        }
        found = list.items[place]
      default: return .undefined(name)
      }
    }
    return found
  }

  private func mapped(_ value: TemplateValue, _ given: TemplateArguments) throws -> [TemplateValue]
  {
    if let attribute = given.named.first(where: { $0.name == "attribute" })?.value {
      let other = given.named.first { $0.name == "default" }?.value
      return try items(value).map { item in
        let found = try get(attribute, of: item)
        return found.isUndefined ? other ?? found : found
      }
    }
    guard let name = given.plain.first?.text else {
      throw wrong("'map' wants a filter or an attribute")
    }
    let rest = TemplateArguments(plain: Array(given.plain.dropFirst()), named: given.named)
    return try items(value).map { try apply(name, to: $0, rest) }
  }

  private func chosen(
    _ name: String, _ value: TemplateValue, _ given: TemplateArguments
  ) throws -> [TemplateValue] {
    let byMember = name.hasSuffix("attr")
    guard !byMember || !given.plain.isEmpty else { throw wrong("'\(name)' wants an attribute") }
    let rest = byMember ? Array(given.plain.dropFirst()) : given.plain
    return try items(value).filter { item in
      let tested = byMember ? try get(given.plain[0], of: item) : item
      let holds =
        try rest.first.map {
          try test($0.text, tested, TemplateArguments(plain: Array(rest.dropFirst())))
        } ?? tested.isTrue
      return holds != name.hasPrefix("reject")
    }
  }

  private func whole(_ value: TemplateValue, _ other: TemplateValue) throws -> TemplateValue {
    if let whole = value.whole { return .integer(whole) }
    let number: Double?
    switch value {
    case .float(let own): number = own
    case .string(let text):
      let trimmed = text.trimmed(nil)
      if let whole = Int(trimmed) { return .integer(whole) }
      number = Double(trimmed)
    default: number = nil
    }
    return number.flatMap { Int(exactly: $0.rounded(.towardZero)) }.map { .integer($0) } ?? other
  }

  private func indented(_ value: TemplateValue, _ given: TemplateArguments) throws -> TemplateValue
  {
    let width = given.value(0, "width") ?? .integer(4)
    let space: String
    if case .string(let text) = width {
      space = text
    } else {
      space = String(repeating: " ", count: min(max(0, width.whole ?? 4), 1_000))
    }
    let (indentsFirst, indentsBlank) = (
      given.value(1, "first")?.isTrue ?? false, given.value(2, "blank")?.isTrue ?? false
    )
    let lines = value.text.parts(between: "\n")
    return try TemplateArithmetic.limited(
      lines.enumerated().map { number, line in
        (number == 0 ? indentsFirst : indentsBlank || !line.isEmpty) ? space + line : line
      }.joined(separator: "\n"))
  }

  // MARK: Tests

  func test(_ name: String, _ value: TemplateValue, _ given: TemplateArguments) throws -> Bool {
    let other = given.plain.first
    func compared(_ sign: String) throws -> Bool {
      guard let other else { throw wrong("the test '\(name)' wants a value") }
      return try TemplateArithmetic(line: line).holds(sign, value, other)
    }
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none":
      guard case .none = value else { return false }
      return true
    case "string":
      guard case .string = value else { return false }
      return true
    case "mapping":
      guard case .dictionary = value else { return false }
      return true
    case "boolean":
      guard case .bool = value else { return false }
      return true
    case "true":
      guard case .bool(true) = value else { return false }
      return true
    case "false":
      guard case .bool(false) = value else { return false }
      return true
    case "integer":
      guard case .integer = value else { return false }
      return true
    case "float":
      guard case .float = value else { return false }
      return true
    case "number": return value.number != nil
    case "callable":
      guard case .function = value else { return false }
      return true
    case "iterable", "sequence":
      switch value {
      case .string, .list, .dictionary: return true
      case .undefined: return name == "iterable"
      default: return false
      }
    case "eq", "equalto", "==": return try compared("==")
    case "sameas": return try compared("==")
    case "ne", "!=": return try compared("!=")
    case "lt", "lessthan", "<": return try compared("<")
    case "le", "<=": return try compared("<=")
    case "gt", "greaterthan", ">": return try compared(">")
    case "ge", ">=": return try compared(">=")
    case "in": return try compared("in")
    case "lower":
      return value.text == value.text.lowercased() && value.text != value.text.uppercased()
    case "upper":
      return value.text == value.text.uppercased() && value.text != value.text.lowercased()
    case "odd", "even", "divisibleby":
      guard let whole = value.whole else { throw wrong("the test '\(name)' wants a whole number") }
      let by = name == "divisibleby" ? other?.whole ?? 0 : 2
      guard by != 0 else { throw wrong("division by 0") }
      return by == -1 || (whole % by == 0) == (name != "odd")
    default: throw wrong("the test '\(name)' is not known")
    }
  }
}

/// JSON as Python's `json.dumps` writes it.
struct TemplateJSON {
  private let indent: Int?
  private let (comma, colon): (String, String)
  private let (sorts, isASCII): (Bool, Bool)
  private let line: Int

  init(_ given: TemplateArguments, line: Int) throws {
    self.line = line
    indent = given.value(0, "indent").flatMap(\.whole).map { min(max($0, 0), 64) }
    let separators = given.named.first { $0.name == "separators" }?.value
    if case .list(let pair)? = separators, pair.items.count == 2 {
      (comma, colon) = (pair.items[0].text, pair.items[1].text)
    } else {
      (comma, colon) = (indent == nil ? ", " : ",", ": ")
    }
    sorts = given.named.first { $0.name == "sort_keys" }?.value.isTrue ?? false
    isASCII = given.named.first { $0.name == "ensure_ascii" }?.value.isTrue ?? false
  }

  func text(of value: TemplateValue) throws -> TemplateValue {
    var rest = TemplateArithmetic.longest
    return try TemplateArithmetic.limited(try written(value, 0, &rest))
  }

  /// `rest` is what may still be written: lists may hold one thing many times.
  private func written(_ value: TemplateValue, _ depth: Int, _ rest: inout Int) throws -> String {
    guard depth <= 64 else { throw TemplateError.limit(what: "64 levels") }
    let text = try plain(value, depth, &rest)
    rest -= text.utf8.count
    guard rest > 0 else {
      throw TemplateError.limit(what: "\(TemplateArithmetic.longest) bytes in a text")
    }
    return text
  }

  private func plain(_ value: TemplateValue, _ depth: Int, _ rest: inout Int) throws -> String {
    switch value {
    case .none: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .integer(let value): return "\(value)"
    case .float(let value):
      return value.isNaN
        ? "NaN"
        : value.isInfinite
          ? value > 0 ? "Infinity" : "-Infinity"
          : TemplateValue.float(value).text
    case .string(let text): return quoted(text)
    case .list(let list):
      var parts: [String] = []
      for item in list.items { parts.append(try written(item, depth + 1, &rest)) }
      return group("[", parts, "]", depth)
    case .dictionary(let dictionary):
      var pairs = dictionary.pairs
      if sorts { pairs.sort { $0.0.precedes($1.0) ?? false } }
      var parts: [String] = []
      for (key, value) in pairs {
        parts.append(quoted(self.key(key)) + colon + (try written(value, depth + 1, &rest)))
      }
      return group("{", parts, "}", depth)
    default:
      throw TemplateError.rendering(line: line, problem: "\(value.kind) cannot be JSON")
    }
  }

  private func key(_ value: TemplateValue) -> String {
    switch value {
    case .bool(let value): value ? "true" : "false"
    case .none: "null"
    default: value.text
    }
  }

  private func group(_ open: String, _ parts: [String], _ close: String, _ depth: Int) -> String {
    guard let indent, !parts.isEmpty else { return open + parts.joined(separator: comma) + close }
    let (inner, outer) = (
      "\n" + String(repeating: " ", count: indent * (depth + 1)),
      "\n" + String(repeating: " ", count: indent * depth)
    )
    return open + inner + parts.joined(separator: comma + inner) + outer + close
  }

  private func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{8}": result += "\\b"
      case "\u{C}": result += "\\f"
      default:
        if scalar.value < 32 || isASCII && scalar.value > 126 {
          for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
            let digits = String(unit, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
          }
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}
