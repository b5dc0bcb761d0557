import Foundation

/// A value of a template, with the meaning that Python gives it.
indirect enum TemplateValue {
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case float(Double)
  case string(String)
  case list(TemplateList)
  case dictionary(TemplateDictionary)
  case function(TemplateFunction)

  /// What a test of truth says.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .float(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let list): !list.items.isEmpty
    case .dictionary(let dictionary): !dictionary.keys.isEmpty
    case .function: true
    }
  }

  /// The number, where this is one.
  var number: Double? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): Double(value)
    case .float(let value): value
    default: nil
    }
  }

  /// The whole number, where this is one.
  var whole: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): value
    default: nil
    }
  }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }

  /// What kind of value it is, as messages say.
  var kind: String {
    switch self {
    case .undefined(let name): "undefined '\(name)'"
    case .none: "none"
    case .bool: "a truth value"
    case .integer, .float: "a number"
    case .string: "a text"
    case .list: "a list"
    case .dictionary: "a mapping"
    case .function: "a function"
    }
  }

  /// The text that a template prints.
  var text: String {
    switch self {
    case .undefined: ""
    case .string(let text): text
    default: representation
    }
  }

  /// How Python writes it within a list. What is too long or too deep to be printed is broken off, as lists may
  /// hold themselves.
  var representation: String {
    var text = ""
    write(to: &text, depth: 0)
    return text
  }

  private static let (longest, deepest) = ((1 << 20) + 1, 64)

  private func write(to text: inout String, depth: Int) {
    guard text.utf8.count < Self.longest else { return }
    guard depth <= Self.deepest else { return text += "..." }
    switch self {
    case .undefined: text += "Undefined"
    case .none: text += "None"
    case .bool(let value): text += value ? "True" : "False"
    case .integer(let value): text += "\(value)"
    case .float(let value): text += Self.text(of: value)
    case .string(let own): text += Self.quoted(own)
    case .function: text += "<function>"
    case .list(let list):
      text += list.isTuple ? "(" : "["
      for (place, item) in list.items.enumerated() where text.utf8.count < Self.longest {
        if place > 0 { text += ", " }
        item.write(to: &text, depth: depth + 1)
      }
      text += list.isTuple ? (list.items.count == 1 ? ",)" : ")") : "]"
    case .dictionary(let dictionary):
      text += "{"
      for (place, pair) in dictionary.pairs.enumerated() where text.utf8.count < Self.longest {
        if place > 0 { text += ", " }
        pair.0.write(to: &text, depth: depth + 1)
        text += ": "
        pair.1.write(to: &text, depth: depth + 1)
      }
      text += "}"
    }
  }

  private static func text(of value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value > 0 ? "inf" : "-inf" }
    let text = "\(value)"
    // Python has two digits of exponent at least.
    guard let mark = text.firstIndex(of: "e") else { return text }
    var (mantissa, exponent) = (String(text[..<mark]), String(text[text.index(after: mark)...]))
    if mantissa.hasSuffix(".0") { mantissa.removeLast(2) }
    let isNegative = exponent.hasPrefix("-")
    exponent = exponent.filter(\.isNumber)
    if exponent.count < 2 { exponent = "0" + exponent }
    return "\(mantissa)e\(isNegative ? "-" : "+")\(exponent)"
  }

  private static func quoted(_ text: String) -> String {
    let mark: Unicode.Scalar = text.contains("'") && !text.contains("\"") ? "\"" : "'"
    var result = String(mark)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\\": result += "\\\\"
      case mark: result += "\\" + String(mark)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + String(mark)
  }

  /// Whether two are equal, as Python compares them; what is too large to be compared is not.
  func equals(_ other: TemplateValue) -> Bool {
    var rest = 100_000
    return equals(other, &rest, depth: 0)
  }

  private func equals(_ other: TemplateValue, _ rest: inout Int, depth: Int) -> Bool {
    rest -= 1
    guard rest > 0, depth <= Self.deepest else { return false }
    if let one = number, let two = other.number { return one == two }
    switch (self, other) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let one), .string(let two)): return one.utf8.elementsEqual(two.utf8)
    case (.list(let one), .list(let two)):
      guard one !== two else { return true }
      guard one.items.count == two.items.count else { return false }
      for (a, b) in zip(one.items, two.items) {
        guard a.equals(b, &rest, depth: depth + 1) else { return false }
      }
      return true
    case (.dictionary(let one), .dictionary(let two)):
      guard one !== two else { return true }
      guard one.keys.count == two.keys.count else { return false }
      for (key, value) in one.pairs {
        guard let found = two[key], value.equals(found, &rest, depth: depth + 1) else {
          return false
        }
      }
      return true
    default: return false
    }
  }

  /// What orders two; nil where they cannot be compared.
  func precedes(_ other: TemplateValue, depth: Int = 0) -> Bool? {
    if let one = number, let two = other.number { return one < two }
    switch (self, other) {
    case (.string(let one), .string(let two)):
      return one.unicodeScalars.lexicographicallyPrecedes(two.unicodeScalars)
    case (.list(let one), .list(let two)):
      guard depth <= Self.deepest else { return nil }
      for (a, b) in zip(one.items, two.items) where !a.equals(b) {
        return a.precedes(b, depth: depth + 1)
      }
      return one.items.count < two.items.count
    default: return nil
    }
  }
}

/// A list: one thing under however many names.
final class TemplateList {
  var items: [TemplateValue]
  let isTuple: Bool

  init(_ items: [TemplateValue], isTuple: Bool = false) {
    (self.items, self.isTuple) = (items, isTuple)
  }
}

/// A mapping in the order of its making.
final class TemplateDictionary {
  private(set) var keys: [TemplateValue] = []
  private var values: [String: TemplateValue] = [:]

  init(_ pairs: [(TemplateValue, TemplateValue)] = []) {
    for (key, value) in pairs { self[key] = value }
  }

  var pairs: [(TemplateValue, TemplateValue)] {
    keys.map { ($0, values[Self.name($0)] ?? .none) }
  }

  subscript(key: TemplateValue) -> TemplateValue? {
    get { values[Self.name(key)] }
    set {
      let name = Self.name(key)
      if values[name] == nil, newValue != nil { keys.append(key) }
      values[name] = newValue
    }
  }

  subscript(key: String) -> TemplateValue? {
    get { self[.string(key)] }
    set { self[.string(key)] = newValue }
  }

  /// 1, 1.0 and True are one key.
  private static func name(_ key: TemplateValue) -> String {
    if let number = key.number { return "n\(number)" }
    if case .string(let text) = key { return "s" + text }
    return "o" + key.representation
  }
}

/// What can be called.
struct TemplateFunction {
  let call: (TemplateArguments) throws -> TemplateValue
}

/// What a call brings.
struct TemplateArguments {
  var plain: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []

  /// An argument by place or name; nil where it was not given.
  func value(_ place: Int, _ name: String) -> TemplateValue? {
    if place < plain.count { return plain[place] }
    return named.first { $0.name == name }?.value
  }
}

/// What is wrong with a template, or with what it was given.
public enum TemplateError: Error, Equatable {
  /// The template is not one, or uses what is not known.
  case syntax(line: Int, problem: String)
  /// Rendering came to something that cannot be.
  case rendering(line: Int, problem: String)
  /// The template itself says no, by `raise_exception`.
  case refused(message: String)
  /// It takes too many steps, is too deep or too long.
  case limit(what: String)
}
