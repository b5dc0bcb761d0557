/// Renders the nodes of a template, within limits.
struct TemplateRenderer {
  /// What a template may use at most.
  private static let (mostSteps, mostBytes, deepest) = (100_000, 1 << 20, 64)
  /// Expressions within each other, macros among them.
  private static let deepestExpression = 600

  private var scopes: [[String: TemplateValue]]
  private var output = ""
  private var bytes = 0
  private var steps = 0
  private var depth = 0
  private var line = 1
  private let globals: [String: TemplateValue]

  init(_ values: [String: TemplateValue], globals: [String: TemplateValue]) {
    (scopes, self.globals) = ([values], globals)
  }

  /// What a run of nodes came to.
  private enum Flow { case on, leave, proceed }

  static func render(
    _ nodes: [TemplateNode], _ values: [String: TemplateValue],
    globals: [String: TemplateValue]
  ) throws -> String {
    var renderer = TemplateRenderer(values, globals: globals)
    _ = try renderer.run(nodes)
    return renderer.output
  }

  private func wrong(_ problem: String) -> TemplateError {
    .rendering(line: line, problem: problem)
  }

  private mutating func step() throws {
    steps += 1
    guard steps <= Self.mostSteps else {
      throw TemplateError.limit(what: "\(Self.mostSteps) steps")
    }
  }

  /// A long text is not gone through for nothing.
  private mutating func weighed(_ value: TemplateValue) throws -> TemplateValue {
    if case .string(let text) = value { steps += text.utf8.count / 4_096 }
    if case .list(let list) = value { steps += list.items.count / 64 }
    return value
  }

  private mutating func print(_ text: String) throws {
    bytes += text.utf8.count
    guard bytes <= Self.mostBytes else {
      throw TemplateError.limit(what: "\(Self.mostBytes) bytes")
    }
    output += text
  }

  private mutating func run(_ nodes: [TemplateNode]) throws -> Flow {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepest else { throw TemplateError.limit(what: "\(Self.deepest) levels") }
    for node in nodes {
      try step()
      line = node.line
      let flow = try run(node)
      if flow != .on { return flow }
    }
    return .on
  }

  private mutating func run(_ node: TemplateNode) throws -> Flow {
    switch node.kind {
    case .text(let text): try print(text)
    case .output(let expression): try print(try value(expression).text)
    case .group(let inner): return try run(inner)
    case .leave: return .leave
    case .proceed: return .proceed
    case .condition(let branches, let other):
      for (test, nodes) in branches where try value(test).isTrue { return try run(nodes) }
      return try run(other)
    case .loop(let names, let over, let test, let nodes, let other):
      return try loop(names, try value(over), test, nodes, other)
    case .set(let targets, let expression):
      let found = try value(expression)
      if targets.count == 1 {
        try assign(found, to: targets[0])
      } else {
        for (target, one) in zip(targets, try unpacked(found, targets.count)) {
          try assign(one, to: target)
        }
      }
    case .capture(let target, let inner):
      try assign(.string(try captured { try $0.run(inner) }), to: target)
    case .macro(let name, let parameters, let inner):
      scopes[scopes.count - 1][name] = .function(
        TemplateFunction { _ in throw TemplateError.rendering(line: 0, problem: name) })
      macros[name] = (parameters, inner)
    }
    return .on
  }

  /// Macros by name; they see what stands at the top of the template and their arguments.
  private var macros: [String: ([(name: String, value: TemplateExpression?)], [TemplateNode])] = [:]

  private mutating func captured(
    _ body: (inout TemplateRenderer) throws -> Flow
  ) throws -> String {
    let before = output
    output = ""
    defer { output = before }
    _ = try body(&self)
    return output
  }

  private mutating func assign(_ value: TemplateValue, to target: TemplateNode.Target) throws {
    guard let attribute = target.attribute else {
      scopes[scopes.count - 1][target.name] = value
      return
    }
    guard case .dictionary(let space) = lookup(target.name) else {
      throw wrong("'\(target.name)' is no namespace")
    }
    space[attribute] = value
  }

  private func unpacked(_ value: TemplateValue, _ count: Int) throws -> [TemplateValue] {
    guard case .list(let list) = value, list.items.count == count else {
      throw wrong("\(count) values are expected, not \(value.kind)")
    }
    return list.items
  }

  private mutating func loop(
    _ names: [String], _ over: TemplateValue, _ test: TemplateExpression?,
    _ nodes: [TemplateNode], _ other: [TemplateNode]
  ) throws -> Flow {
    var items = try Self.items(of: over, line)
    scopes.append([:])
    defer { scopes.removeLast() }
    func bind(_ item: TemplateValue, _ renderer: inout TemplateRenderer) throws {
      let parts = names.count == 1 ? [item] : try renderer.unpacked(item, names.count)
      for (name, part) in zip(names, parts) {
        renderer.scopes[renderer.scopes.count - 1][name] = part
      }
    }
    if let test {
      var kept: [TemplateValue] = []
      for item in items {
        try step()
        try bind(item, &self)
        if try value(test).isTrue { kept.append(item) }
      }
      items = kept
    }
    guard !items.isEmpty else { return try run(other) }
    for (number, item) in items.enumerated() {
      try step()
      scopes[scopes.count - 1] = ["loop": Self.loopValue(items, number)]
      try bind(item, &self)
      if try run(nodes) == .leave { break }
    }
    return .on
  }

  private static func loopValue(_ items: [TemplateValue], _ number: Int) -> TemplateValue {
    let count = items.count
    let loop = TemplateDictionary([
      (.string("index"), .integer(number + 1)), (.string("index0"), .integer(number)),
      (.string("revindex"), .integer(count - number)),
      (.string("revindex0"), .integer(count - number - 1)),
      (.string("first"), .bool(number == 0)), (.string("last"), .bool(number == count - 1)),
      (.string("length"), .integer(count)),
      (.string("previtem"), number > 0 ? items[number - 1] : .undefined("loop.previtem")),
      (.string("nextitem"), number + 1 < count ? items[number + 1] : .undefined("loop.nextitem")),
    ])
    loop["cycle"] = .function(
      TemplateFunction { arguments in
        guard !arguments.plain.isEmpty else { return .undefined("cycle") }
        return arguments.plain[number % arguments.plain.count]
      })
    return .dictionary(loop)
  }

  /// What a loop, a filter or a test of membership goes through.
  static func items(of value: TemplateValue, _ line: Int) throws -> [TemplateValue] {
    switch value {
    case .list(let list): return list.items
    case .dictionary(let dictionary): return dictionary.keys
    case .string(let text): return text.unicodeScalars.map { .string(String($0)) }
    case .undefined: return []
    default: throw TemplateError.rendering(line: line, problem: "\(value.kind) has no items")
    }
  }

  private func lookup(_ name: String) -> TemplateValue {
    for scope in scopes.reversed() { if let found = scope[name] { return found } }
    return globals[name] ?? .undefined(name)
  }

  // MARK: Values

  private mutating func value(_ expression: TemplateExpression) throws -> TemplateValue {
    try step()
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepestExpression else {
      throw TemplateError.limit(what: "\(Self.deepest) levels")
    }
    switch expression {
    case .constant(let value): return value
    case .name(let name): return lookup(name)
    case .list(let items, let isTuple):
      return .list(TemplateList(try items.map { try value($0) }, isTuple: isTuple))
    case .dictionary(let pairs):
      return .dictionary(TemplateDictionary(try pairs.map { (try value($0), try value($1)) }))
    case .attribute(let owner, let name): return try attribute(name, of: try value(owner))
    case .item(let owner, let key): return try item(try value(key), of: try value(owner))
    case .slice(let owner, let from, let to, let by):
      return try slice(
        try weighed(value(owner)), try from.map { try value($0) }, try to.map { try value($0) },
        try by.map { try value($0) })
    case .call(let callee, let call): return try self.call(callee, call)
    case .filter(let owner, let name, let call):
      let given = try weighed(value(owner))
      return try TemplateFilters(line: line).apply(name, to: given, try arguments(call))
    case .test(let owner, let name, let call, let isNegated):
      let given = try weighed(value(owner))
      let found = try TemplateFilters(line: line).test(name, given, try arguments(call))
      return .bool(found != isNegated)
    case .unary(let sign, let operand):
      let given = try value(operand)
      if sign == "not" { return .bool(!given.isTrue) }
      if let whole = given.whole { return .integer(sign == "-" ? 0 &- whole : whole) }
      guard let number = given.number else {
        throw wrong("'\(sign)' wants a number, not \(given.kind)")
      }
      return .float(sign == "-" ? -number : number)
    case .binary(let sign, let left, let right):
      let first = try weighed(value(left))
      if sign == "and" { return first.isTrue ? try value(right) : first }
      if sign == "or" { return first.isTrue ? first : try value(right) }
      return try TemplateArithmetic(line: line).combined(
        sign, first, try weighed(value(right)))
    case .comparison(let first, let rest):
      var left = try weighed(value(first))
      for (sign, next) in rest {
        let right = try weighed(value(next))
        guard try TemplateArithmetic(line: line).holds(sign, left, right) else {
          return .bool(false)
        }
        left = right
      }
      return .bool(true)
    case .choice(let chosen, let test, let other):
      if try value(test).isTrue { return try value(chosen) }
      return try other.map { try value($0) } ?? .undefined("the other branch")
    }
  }

  private mutating func arguments(_ call: TemplateCall) throws -> TemplateArguments {
    TemplateArguments(
      plain: try call.plain.map { try value($0) },
      named: try call.named.map { ($0.name, try value($0.value)) })
  }

  private mutating func call(
    _ callee: TemplateExpression, _ call: TemplateCall
  ) throws -> TemplateValue {
    if case .name(let name) = callee, let macro = macros[name] {
      return try self.call(name, macro, try arguments(call))
    }
    if case .attribute(let owner, let name) = callee {
      let object = try weighed(value(owner))
      if case .dictionary(let dictionary) = object, case .function(let own)? = dictionary[name] {
        return try own.call(try arguments(call))
      }
      return try TemplateMethods(line: line).call(name, of: object, try arguments(call))
    }
    guard case .function(let function) = try value(callee) else {
      throw wrong("\(try value(callee).kind) cannot be called")
    }
    return try function.call(try arguments(call))
  }

  private mutating func call(
    _ name: String, _ macro: ([(name: String, value: TemplateExpression?)], [TemplateNode]),
    _ given: TemplateArguments
  ) throws -> TemplateValue {
    let (parameters, nodes) = macro
    guard given.plain.count <= parameters.count,
      given.named.allSatisfy({ one in parameters.contains { $0.name == one.name } })
    else { throw wrong("'\(name)' has no such argument") }
    var scope: [String: TemplateValue] = [:]
    for (place, parameter) in parameters.enumerated() {
      scope[parameter.name] =
        try given.value(place, parameter.name) ?? parameter.value.map { try value($0) }
        ?? .undefined(parameter.name)
    }
    let (outer, at) = (scopes, line)
    scopes = [outer[0], scope]
    defer { (scopes, line) = (outer, at) }
    return .string(try captured { try $0.run(nodes) })
  }

  private func attribute(_ name: String, of owner: TemplateValue) throws -> TemplateValue {
    switch owner {
    case .dictionary(let dictionary): return dictionary[name] ?? .undefined(name)
    case .undefined(let own): throw wrong("'\(own)' is undefined, and so has no '\(name)'")
    default: return .undefined(name)
    }
  }

  private func item(_ key: TemplateValue, of owner: TemplateValue) throws -> TemplateValue {
    switch owner {
    case .dictionary(let dictionary): return dictionary[key] ?? .undefined(key.text)
    case .undefined(let own): throw wrong("'\(own)' is undefined, and so has no '\(key.text)'")
    case .list, .string:
      guard let place = key.whole else { return .undefined(key.text) }
      let items = try Self.items(of: owner, line)
      let index = place < 0 ? place + items.count : place
      return items.indices.contains(index) ? items[index] : .undefined("\(place)")
    default: return .undefined(key.text)
    }
  }

  private func slice(
    _ owner: TemplateValue, _ from: TemplateValue?, _ to: TemplateValue?, _ by: TemplateValue?
  ) throws -> TemplateValue {
    func whole(_ value: TemplateValue?) throws -> Int? {
      guard let value else { return nil }
      if case .none = value { return nil }
      guard let whole = value.whole else {
        throw wrong("a slice wants whole numbers, not \(value.kind)")
      }
      return whole
    }
    let scalars: [Unicode.Scalar]
    var items: [TemplateValue] = []
    switch owner {
    case .list(let list): (scalars, items) = ([], list.items)
    case .string(let text): scalars = Array(text.unicodeScalars)
    default: throw wrong("\(owner.kind) cannot be cut")
    }
    let (step, count) = (try whole(by) ?? 1, max(items.count, scalars.count))
    guard step != 0 else { throw wrong("a slice has the step 0") }
    func place(_ value: Int?, _ standard: Int) -> Int {
      guard let value else { return standard }
      let index = value < 0 ? value + count : value
      return step > 0 ? min(max(index, 0), count) : min(max(index, -1), count - 1)
    }
    let start = place(try whole(from), step > 0 ? 0 : count - 1)
    let end = place(try whole(to), step > 0 ? count : -1)
    let places = stride(from: start, to: end, by: step)
    if case .string = owner {
      return .string(String(String.UnicodeScalarView(places.map { scalars[$0] })))
    }
    return .list(TemplateList(places.map { items[$0] }))
  }
}
