/// An expression of a template.
indirect enum TemplateExpression {
  case constant(TemplateValue)
  case name(String)
  case list([TemplateExpression], isTuple: Bool)
  case dictionary([(TemplateExpression, TemplateExpression)])
  case attribute(TemplateExpression, String)
  case item(TemplateExpression, TemplateExpression)
  case slice(TemplateExpression, TemplateExpression?, TemplateExpression?, TemplateExpression?)
  case call(TemplateExpression, TemplateCall)
  case filter(TemplateExpression, String, TemplateCall)
  case test(TemplateExpression, String, TemplateCall, isNegated: Bool)
  case unary(String, TemplateExpression)
  case binary(String, TemplateExpression, TemplateExpression)
  /// A chain such as `a < b <= c`.
  case comparison(TemplateExpression, [(String, TemplateExpression)])
  case choice(TemplateExpression, if: TemplateExpression, else: TemplateExpression?)
}

/// What a call is given.
struct TemplateCall {
  var plain: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []
}

/// A statement of a template, with its line.
struct TemplateNode {
  indirect enum Kind {
    case text(String)
    case output(TemplateExpression)
    case condition([(TemplateExpression, [TemplateNode])], else: [TemplateNode])
    case loop(
      [String], over: TemplateExpression, if: TemplateExpression?, [TemplateNode],
      else: [TemplateNode])
    case set([Target], TemplateExpression)
    case capture(Target, [TemplateNode])
    case macro(String, [(name: String, value: TemplateExpression?)], [TemplateNode])
    case group([TemplateNode])
    case leave
    case proceed
  }

  /// What a value is given to: a name, or an attribute of a namespace.
  struct Target {
    let name: String
    var attribute: String?
  }

  let kind: Kind
  let line: Int
}

/// Reads a template.
struct TemplateParser {
  typealias Token = TemplateLexer.Token

  private let parts: [TemplateLexer.Part]
  private var part = 0
  private var tokens: [Token] = []
  private var place = 0
  private var line = 1
  private var depth = 0
  private static let deepest = 64
  /// Operators of the block at hand: each may hang below the one before.
  private var operators = 0
  private static let mostOperators = 500

  static func nodes(_ text: String) throws -> [TemplateNode] {
    var parser = TemplateParser(parts: try TemplateLexer.parts(text))
    return try parser.body(until: []).nodes
  }

  private init(parts: [TemplateLexer.Part]) { self.parts = parts }

  private func wrong(_ problem: String) -> TemplateError { .syntax(line: line, problem: problem) }

  // MARK: Statements

  /// Nodes up to a block of one of some names, of which the first word is taken.
  private mutating func body(until ends: Set<String>) throws -> (nodes: [TemplateNode], end: String)
  {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else { throw TemplateError.limit(what: "\(Self.deepest) levels") }
    var nodes: [TemplateNode] = []
    let start = line
    while part < parts.count {
      let current = parts[part]
      part += 1
      switch current {
      case .text(let text): nodes.append(TemplateNode(kind: .text(text), line: line))
      case .output(let own, let at):
        (tokens, place, line, operators) = (own, 0, at, 0)
        let value = try tuple()
        try expectEnd()
        nodes.append(TemplateNode(kind: .output(value), line: at))
      case .block(let own, let at):
        (tokens, place, line, operators) = (own, 0, at, 0)
        guard case .name(let word)? = next() else { throw wrong("a block begins with a name") }
        if ends.contains(word) { return (nodes, word) }
        nodes.append(TemplateNode(kind: try statement(word), line: at))
      }
    }
    guard ends.isEmpty else {
      line = start
      throw wrong("a block has no '\(ends.sorted().joined(separator: "' or '"))'")
    }
    return (nodes, "")
  }

  private mutating func statement(_ word: String) throws -> TemplateNode.Kind {
    switch word {
    case "if": return try condition()
    case "for": return try loop()
    case "set": return try set()
    case "macro": return try macro()
    case "generation":
      try expectEnd()
      let inner = try body(until: ["endgeneration"]).nodes
      try expectEnd()
      return .group(inner)
    case "break", "continue":
      try expectEnd()
      return word == "break" ? .leave : .proceed
    default: throw wrong("the block '\(word)' is not known")
    }
  }

  private mutating func condition() throws -> TemplateNode.Kind {
    var branches: [(TemplateExpression, [TemplateNode])] = []
    while true {
      let test = try tuple()
      try expectEnd()
      let (nodes, end) = try body(until: ["elif", "else", "endif"])
      branches.append((test, nodes))
      if end == "elif" { continue }
      try expectEnd()
      guard end == "else" else { return .condition(branches, else: []) }
      let other = try body(until: ["endif"]).nodes
      try expectEnd()
      return .condition(branches, else: other)
    }
  }

  private mutating func loop() throws -> TemplateNode.Kind {
    var names: [String] = []
    let hasParenthesis = take("(")
    repeat {
      guard case .name(let name)? = next() else { throw wrong("'for' has no name") }
      names.append(name)
    } while take(",")
    if hasParenthesis { try expect(")") }
    guard takeName("in") else { throw wrong("'for' has no 'in'") }
    let over = try tuple(isCondition: false)
    let test = takeName("if") ? try expression() : nil
    if takeName("recursive") { throw wrong("recursive loops are not known") }
    try expectEnd()
    let (nodes, end) = try body(until: ["else", "endfor"])
    try expectEnd()
    var other: [TemplateNode] = []
    if end == "else" {
      other = try body(until: ["endfor"]).nodes
      try expectEnd()
    }
    return .loop(names, over: over, if: test, nodes, else: other)
  }

  private mutating func set() throws -> TemplateNode.Kind {
    var targets: [TemplateNode.Target] = []
    repeat {
      guard case .name(let name)? = next() else { throw wrong("'set' has no name") }
      var target = TemplateNode.Target(name: name)
      if take(".") {
        guard case .name(let attribute)? = next() else { throw wrong("'set' has no attribute") }
        target.attribute = attribute
      }
      targets.append(target)
    } while take(",")
    if take("=") {
      let value = try tuple()
      try expectEnd()
      return .set(targets, value)
    }
    try expectEnd()
    guard targets.count == 1 else { throw wrong("'set' has no value") }
    let inner = try body(until: ["endset"]).nodes
    try expectEnd()
    return .capture(targets[0], inner)
  }

  private mutating func macro() throws -> TemplateNode.Kind {
    guard case .name(let name)? = next() else { throw wrong("'macro' has no name") }
    try expect("(")
    var parameters: [(name: String, value: TemplateExpression?)] = []
    while !take(")") {
      if !parameters.isEmpty {
        try expect(",")
        if take(")") { break }
      }
      guard case .name(let parameter)? = next() else { throw wrong("a parameter has no name") }
      parameters.append((parameter, take("=") ? try expression() : nil))
    }
    try expectEnd()
    let inner = try body(until: ["endmacro"]).nodes
    if case .name? = peek { place += 1 }
    try expectEnd()
    return .macro(name, parameters, inner)
  }

  // MARK: Tokens

  private var peek: Token? { place < tokens.count ? tokens[place] : nil }

  private mutating func next() -> Token? {
    defer { place += 1 }
    return peek
  }

  private mutating func take(_ sign: String) -> Bool {
    guard peek == .sign(sign) else { return false }
    place += 1
    return true
  }

  private mutating func takeName(_ name: String) -> Bool {
    guard peek == .name(name) else { return false }
    place += 1
    return true
  }

  private mutating func expect(_ sign: String) throws {
    guard take(sign) else { throw wrong("'\(sign)' is expected before \(Self.text(peek))") }
  }

  private func expectEnd() throws {
    guard place >= tokens.count else { throw wrong("\(Self.text(peek)) is not expected there") }
  }

  private static func text(_ token: Token?) -> String {
    switch token {
    case .name(let text)?, .sign(let text)?: "'\(text)'"
    case .string(let text)?: "the text '\(text)'"
    case .integer(let value)?: "\(value)"
    case .float(let value)?: "\(value)"
    case nil: "the end"
    }
  }

  private mutating func count() throws {
    operators += 1
    guard operators <= Self.mostOperators else {
      throw TemplateError.limit(what: "\(Self.mostOperators) operators in a block")
    }
  }

  // MARK: Expressions

  /// One expression, or several with commas between.
  private mutating func tuple(isCondition: Bool = true) throws -> TemplateExpression {
    let first = try isCondition ? expression() : disjunction()
    guard peek == .sign(",") else { return first }
    var items = [first]
    while take(",") {
      guard let token = peek, token != .sign(")"), token != .sign("=") else { break }
      items.append(try isCondition ? expression() : disjunction())
    }
    return .list(items, isTuple: true)
  }

  private mutating func expression() throws -> TemplateExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else { throw TemplateError.limit(what: "\(Self.deepest) levels") }
    var value = try disjunction()
    while takeName("if") {
      try count()
      let test = try disjunction()
      value = .choice(value, if: test, else: takeName("else") ? try expression() : nil)
    }
    return value
  }

  private mutating func disjunction() throws -> TemplateExpression {
    var left = try conjunction()
    while takeName("or") {
      try count()
      left = .binary("or", left, try conjunction())
    }
    return left
  }

  private mutating func conjunction() throws -> TemplateExpression {
    var left = try negation()
    while takeName("and") {
      try count()
      left = .binary("and", left, try negation())
    }
    return left
  }

  private mutating func negation() throws -> TemplateExpression {
    guard takeName("not") else { return try comparison() }
    try count()
    return .unary("not", try negation())
  }

  private mutating func comparison() throws -> TemplateExpression {
    let first = try sum()
    var rest: [(String, TemplateExpression)] = []
    while true {
      if let sign = ["==", "!=", "<=", ">=", "<", ">"].first(where: { peek == .sign($0) }) {
        place += 1
        rest.append((sign, try sum()))
      } else if takeName("in") {
        rest.append(("in", try sum()))
      } else if peek == .name("not"), place + 1 < tokens.count, tokens[place + 1] == .name("in") {
        place += 2
        rest.append(("not in", try sum()))
      } else {
        return rest.isEmpty ? first : .comparison(first, rest)
      }
    }
  }

  private mutating func sum() throws -> TemplateExpression {
    var left = try concatenation()
    while true {
      try count()
      if take("+") {
        left = .binary("+", left, try concatenation())
      } else if take("-") {
        left = .binary("-", left, try concatenation())
      } else {
        return left
      }
    }
  }

  private mutating func concatenation() throws -> TemplateExpression {
    var left = try product()
    while take("~") {
      try count()
      left = .binary("~", left, try product())
    }
    return left
  }

  private mutating func product() throws -> TemplateExpression {
    var left = try power()
    while let sign = ["*", "//", "/", "%"].first(where: { peek == .sign($0) }) {
      place += 1
      try count()
      left = .binary(sign, left, try power())
    }
    return left
  }

  private mutating func power() throws -> TemplateExpression {
    var left = try unary()
    while take("**") {
      try count()
      left = .binary("**", left, try unary())
    }
    return left
  }

  private mutating func unary(hasFilters: Bool = true) throws -> TemplateExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else { throw TemplateError.limit(what: "\(Self.deepest) levels") }
    var value: TemplateExpression
    if take("-") {
      value = .unary("-", try unary(hasFilters: false))
    } else if take("+") {
      value = .unary("+", try unary(hasFilters: false))
    } else {
      value = try primary()
    }
    value = try postfix(value)
    while hasFilters {
      try count()
      if take("|") {
        guard case .name(let name)? = next() else { throw wrong("a filter has no name") }
        value = .filter(value, name, take("(") ? try arguments() : TemplateCall())
      } else if takeName("is") {
        value = try test(of: value)
      } else if peek == .sign("(") {
        place += 1
        value = .call(value, try arguments())
      } else {
        break
      }
    }
    return value
  }

  private mutating func test(of value: TemplateExpression) throws -> TemplateExpression {
    let isNegated = takeName("not")
    guard case .name(let name)? = next() else { throw wrong("a test has no name") }
    var call = TemplateCall()
    switch peek {
    case .sign("(")?:
      place += 1
      call = try arguments()
    case .name(let word)? where !["else", "or", "and", "is", "if", "in", "not"].contains(word):
      call.plain = [try postfix(primary())]
    case .string?, .integer?, .float?, .sign("[")?, .sign("{")?:
      call.plain = [try postfix(primary())]
    default: break
    }
    return .test(value, name, call, isNegated: isNegated)
  }

  private mutating func postfix(_ start: TemplateExpression) throws -> TemplateExpression {
    var value = start
    while true {
      try count()
      if take(".") {
        switch next() {
        case .name(let name)?: value = .attribute(value, name)
        case .integer(let number)?: value = .item(value, .constant(.integer(number)))
        default: throw wrong("'.' has no name behind it")
        }
      } else if take("[") {
        value = try item(of: value)
      } else if take("(") {
        value = .call(value, try arguments())
      } else {
        return value
      }
    }
  }

  private mutating func item(of value: TemplateExpression) throws -> TemplateExpression {
    func isEnd() -> Bool { peek == .sign(":") || peek == .sign("]") }
    let first = isEnd() ? nil : try expression()
    guard take(":") else {
      try expect("]")
      guard let first else { throw wrong("'[]' asks for nothing") }
      return .item(value, first)
    }
    let second = isEnd() ? nil : try expression()
    let third = take(":") && !isEnd() ? try expression() : nil
    try expect("]")
    return .slice(value, first, second, third)
  }

  /// Behind the opening parenthesis.
  private mutating func arguments() throws -> TemplateCall {
    var call = TemplateCall()
    var isFirst = true
    while !take(")") {
      if !isFirst {
        try expect(",")
        if take(")") { break }
      }
      isFirst = false
      if case .name(let name)? = peek, place + 1 < tokens.count, tokens[place + 1] == .sign("=") {
        place += 2
        call.named.append((name, try expression()))
      } else {
        guard call.named.isEmpty else {
          throw wrong("an argument without a name follows named ones")
        }
        call.plain.append(try expression())
      }
    }
    return call
  }

  private mutating func primary() throws -> TemplateExpression {
    switch next() {
    case .name(let name)?:
      switch name {
      case "true", "True": return .constant(.bool(true))
      case "false", "False": return .constant(.bool(false))
      case "none", "None": return .constant(.none)
      default: return .name(name)
      }
    case .string(var text)?:
      while case .string(let more)? = peek {
        text += more
        place += 1
      }
      return .constant(.string(text))
    case .integer(let value)?: return .constant(.integer(value))
    case .float(let value)?: return .constant(.float(value))
    case .sign("(")?:
      if take(")") { return .list([], isTuple: true) }
      let value = try tuple()
      try expect(")")
      return value
    case .sign("[")?:
      return .list(try items(until: "]") { try $0.expression() }, isTuple: false)
    case .sign("{")?:
      return .dictionary(
        try items(until: "}") { parser in
          let key = try parser.expression()
          try parser.expect(":")
          return (key, try parser.expression())
        })
    case let token: throw wrong("\(Self.text(token)) is not expected there")
    }
  }

  private mutating func items<Item>(
    until end: String, _ item: (inout TemplateParser) throws -> Item
  ) throws -> [Item] {
    var items: [Item] = []
    while !take(end) {
      if !items.isEmpty {
        try expect(",")
        if take(end) { break }
      }
      items.append(try item(&self))
    }
    return items
  }
}
