import Foundation

/// Operators of templates.
struct TemplateArithmetic {
  let line: Int
  /// No text or list that a template makes is longer.
  static let longest = 4 << 20

  private func wrong(_ problem: String) -> TemplateError {
    .rendering(line: line, problem: problem)
  }

  /// A text that is not too long.
  static func limited(_ text: String) throws -> TemplateValue {
    guard text.utf8.count <= longest else {
      throw TemplateError.limit(what: "\(longest) bytes in a text")
    }
    return .string(text)
  }

  static func limited(_ items: [TemplateValue]) throws -> TemplateValue {
    guard items.count <= 100_000 else { throw TemplateError.limit(what: "100000 items in a list") }
    return .list(TemplateList(items))
  }

  func combined(
    _ sign: String, _ left: TemplateValue, _ right: TemplateValue
  ) throws -> TemplateValue {
    if sign == "~" { return try Self.limited(left.text + right.text) }
    if sign == "+" {
      if case .string(let one) = left, case .string(let two) = right {
        return try Self.limited(one + two)
      }
      if case .list(let one) = left, case .list(let two) = right {
        return try Self.limited(one.items + two.items)
      }
    }
    if sign == "*" {
      for (thing, count) in [(left, right), (right, left)] {
        guard let times = count.whole else { continue }
        if case .string(let text) = thing {
          let (bytes, overflow) = text.utf8.count.multipliedReportingOverflow(by: max(0, times))
          guard !overflow, bytes <= Self.longest else {
            throw TemplateError.limit(what: "\(Self.longest) bytes in a text")
          }
          return .string(String(repeating: text, count: max(0, times)))
        }
        if case .list(let list) = thing {
          let (many, overflow) = list.items.count.multipliedReportingOverflow(by: max(0, times))
          guard !overflow, many <= 100_000 else {
            throw TemplateError.limit(what: "100000 items in a list")
          }
          return .list(
            TemplateList((0..<max(0, times)).flatMap { _ in list.items }))
        }
      }
    }
    guard let first = left.number, let second = right.number else {
      throw wrong("'\(sign)' does not go with \(left.kind) and \(right.kind)")
    }
    if sign == "/" {
      guard second != 0 else { throw wrong("division by 0") }
      return .float(first / second)
    }
    if let one = left.whole, let two = right.whole { return try whole(sign, one, two) }
    switch sign {
    case "+": return .float(first + second)
    case "-": return .float(first - second)
    case "*": return .float(first * second)
    case "**": return .float(pow(first, second))
    default:
      guard second != 0 else { throw wrong("division by 0") }
      let quotient = (first / second).rounded(.down)
      return .float(sign == "//" ? quotient : first - quotient * second)
    }
  }

  private func whole(_ sign: String, _ one: Int, _ two: Int) throws -> TemplateValue {
    let (value, overflow): (Int, Bool)
    switch sign {
    case "+": (value, overflow) = one.addingReportingOverflow(two)
    case "-": (value, overflow) = one.subtractingReportingOverflow(two)
    case "*": (value, overflow) = one.multipliedReportingOverflow(by: two)
    case "**":
      if two < 0 { return .float(pow(Double(one), Double(two))) }
      var (power, isTooLarge) = (1, false)
      for _ in 0..<min(two, 64) where !isTooLarge {
        (power, isTooLarge) = power.multipliedReportingOverflow(by: one)
      }
      (value, overflow) = (power, isTooLarge || two > 64 && abs(one) > 1)
    default:
      guard two != 0 else { throw wrong("division by 0") }
      let (quotient, isTooLarge) = one.dividedReportingOverflow(by: two)
      let rest = isTooLarge ? 0 : one % two
      // Towards minus infinity, as in Python.
      let moves = rest != 0 && (rest < 0) != (two < 0)
      (value, overflow) =
        sign == "//"
        ? (quotient - (moves ? 1 : 0), isTooLarge)
        : (moves ? rest + two : rest, false)
    }
    guard !overflow else { throw wrong("a number became too large") }
    return .integer(value)
  }

  func holds(_ sign: String, _ left: TemplateValue, _ right: TemplateValue) throws -> Bool {
    switch sign {
    case "==": return left.equals(right)
    case "!=": return !left.equals(right)
    case "in": return try contains(right, left)
    case "not in": return try !contains(right, left)
    case "<", ">=":
      guard let found = left.precedes(right) else { break }
      return (sign == "<") == found
    default:
      guard let found = right.precedes(left) else { break }
      return (sign == ">") == found
    }
    throw wrong("'\(sign)' does not go with \(left.kind) and \(right.kind)")
  }

  func contains(_ whole: TemplateValue, _ part: TemplateValue) throws -> Bool {
    switch whole {
    case .string(let text):
      guard case .string(let wanted) = part else {
        throw wrong("'in' a text wants a text, not \(part.kind)")
      }
      return wanted.isEmpty || text.firstRange(ofBytes: wanted) != nil
    case .list(let list): return list.items.contains { $0.equals(part) }
    case .dictionary(let dictionary): return dictionary[part] != nil
    case .undefined: return false
    default: throw wrong("nothing is in \(whole.kind)")
    }
  }
}

extension String {
  /// Where a text stands in another, by bytes: to a String two spellings of a character are equal.
  func firstRange(ofBytes other: String, from start: Int = 0) -> Range<Int>? {
    let (bytes, wanted) = (Array(utf8), Array(other.utf8))
    guard let first = wanted.first, bytes.count >= wanted.count else { return nil }
    var place = start
    while place + wanted.count <= bytes.count {
      if bytes[place] == first, bytes[place..<place + wanted.count].elementsEqual(wanted) {
        return place..<place + wanted.count
      }
      place += 1
    }
    return nil
  }

  /// The parts between a text, at most so many cuts; all where `most` is negative.
  func parts(between mark: String, most: Int = -1) -> [String] {
    let (bytes, wanted) = (Array(utf8), Array(mark.utf8))
    guard let first = wanted.first else { return [self] }
    var parts: [String] = []
    var (start, place) = (0, 0)
    while place + wanted.count <= bytes.count, most < 0 || parts.count < most {
      if bytes[place] == first, bytes[place..<place + wanted.count].elementsEqual(wanted) {
        parts.append(String(decoding: bytes[start..<place], as: UTF8.self))
        place += wanted.count
        start = place
      } else {
        place += 1
      }
    }
    return parts + [String(decoding: bytes[start...], as: UTF8.self)]
  }

  /// Without white space, or some characters, at its ends.
  func trimmed(_ characters: String?, left: Bool = true, right: Bool = true) -> String {
    let set = characters.map { Set($0.unicodeScalars) }
    func goes(_ scalar: Unicode.Scalar) -> Bool {
      set?.contains(scalar) ?? (scalar.properties.isWhitespace || (28...31).contains(scalar.value))
    }
    var rest = unicodeScalars[...]
    if left { rest = rest.drop(while: goes) }
    while right, let last = rest.last, goes(last) { rest.removeLast() }
    return String(String.UnicodeScalarView(rest))
  }
}
