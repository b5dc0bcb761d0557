/// Walks through JSON from an untrusted file, strictly: RFC 8259 and nothing beside, no number
/// larger than an `Int`, no nesting deeper than ``maximumDepth``. The caller says what must come.
///
/// Foundation's reader keeps the last of two equal keys and recurses as deep as the file asks.
package struct JSONScanner {
  /// How deep arrays and objects may nest.
  package static let maximumDepth = 64
  /// How many values, those inside others counted too, are kept of one text.
  package static let maximumValues = 1 << 22

  /// What was wrong, and at which byte.
  package struct Failure: Error {
    /// What was found or expected.
    package let problem: String
    /// The offset in bytes from the start.
    package let offset: Int
  }

  private let bytes: UnsafeRawBufferPointer
  package private(set) var offset = 0
  /// Values kept so far.
  var values = 0

  /// Starts at the first byte. `bytes` must outlive the scanner.
  package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// A failure at the present place.
  package func failure(_ problem: String) -> Failure { Failure(problem: problem, offset: offset) }

  var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      offset += 1
    }
  }

  /// Takes `character` after any white space; false, and nothing taken, when another follows.
  package mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard next == UInt8(ascii: character) else { return false }
    offset += 1
    return true
  }

  /// Takes `character`, which must come.
  package mutating func expect(_ character: Unicode.Scalar) throws {
    guard take(character) else {
      throw failure("'\(character)' expected, \(next.map(Self.shown) ?? "the end") found")
    }
  }

  /// Nothing but white space may follow.
  package mutating func expectEnd() throws {
    skipSpace()
    guard next == nil else { throw failure("something follows the end of the JSON value") }
  }

  /// Takes an object, calling `member` behind each key and its colon.
  ///
  /// Two equal keys are rejected.
  package mutating func object(
    _ member: (_ key: String, _ scanner: inout JSONScanner) throws -> Void
  ) throws {
    try expect("{")
    guard !take("}") else { return }
    var keys: Set<String> = []
    repeat {
      skipSpace()
      let start = offset
      let key = try string()
      guard keys.insert(key).inserted else {
        throw Failure(problem: "the key '\(key.prefix(200))' comes twice", offset: start)
      }
      try expect(":")
      try member(key, &self)
    } while take(",")
    try expect("}")
  }

  /// Takes an array, calling `element` at each element.
  package mutating func array(_ element: (inout JSONScanner) throws -> Void) throws {
    try expect("[")
    guard !take("]") else { return }
    repeat { try element(&self) } while take(",")
    try expect("]")
  }

  /// Takes a whole number that is not negative.
  package mutating func count() throws -> Int {
    skipSpace()
    let start = offset
    var value = 0
    while let byte = next, byte >= 0x30, byte <= 0x39 {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(Int(byte - 0x30))
      guard !overflow, !carry else {
        throw Failure(problem: "a number is larger than any memory", offset: start)
      }
      value = sum
      offset += 1
    }
    if offset == start {
      throw failure(
        next == UInt8(ascii: "-") ? "a number is negative" : "a whole number is expected")
    }
    guard offset == start + 1 || bytes[start] != 0x30 else {
      throw Failure(problem: "a number starts with a zero", offset: start)
    }
    if let byte = next, byte == 0x2E || byte | 0x20 == 0x65 {  // . e E
      throw Failure(problem: "a whole number is expected, a fraction found", offset: start)
    }
    return value
  }

  /// Takes a string.
  package mutating func string() throws -> String {
    try expect("\"")
    let start = offset
    var escaped: [UInt8]?  // filled from the first escape on
    while let byte = next {
      switch byte {
      case 0x22:  // "
        let range = start..<offset
        let text: String?
        if let escaped {
          text = String(validating: escaped, as: UTF8.self)
        } else {
          text = String(validating: bytes[range], as: UTF8.self)
        }
        guard let text else { throw Failure(problem: "a string is not UTF-8", offset: start) }
        offset += 1
        return text
      case 0x5C:  // backslash
        var buffer = escaped ?? Array(bytes[start..<offset])
        offset += 1
        try escape(into: &buffer)
        escaped = buffer
      case ..<0x20:
        throw failure("a string holds a control character")
      default:
        if escaped != nil { escaped?.append(byte) }
        offset += 1
      }
    }
    throw Failure(problem: "a string does not end", offset: start)
  }

  private mutating func escape(into text: inout [UInt8]) throws {
    guard let byte = next else { throw failure("a string does not end") }
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      var code = try hexadecimal()
      if code >> 10 == 0x36 {  // the first half of a surrogate pair
        guard next == 0x5C, offset + 1 < bytes.count, bytes[offset + 1] == UInt8(ascii: "u") else {
          throw failure("half a surrogate pair")
        }
        offset += 2
        let low = try hexadecimal()
        guard low >> 10 == 0x37 else { throw failure("half a surrogate pair") }
        code = 0x10000 + (code & 0x3FF) << 10 + low & 0x3FF
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("half a surrogate pair") }
      text.append(contentsOf: Array(String(Character(scalar)).utf8))
    default: throw failure("an unknown escape in a string")
    }
  }

  private mutating func hexadecimal() throws -> UInt32 {
    guard offset + 4 <= bytes.count else { throw failure("a string does not end") }
    var value: UInt32 = 0
    for byte in bytes[offset..<offset + 4] {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("four hexadecimal digits are expected")
      }
      value = value << 4 | UInt32(digit)
    }
    offset += 4
    return value
  }

  /// Takes any value and forgets it.
  package mutating func skip() throws { try skip(depth: 1) }

  private mutating func skip(depth: Int) throws {
    guard depth <= Self.maximumDepth else {
      throw failure("more than \(Self.maximumDepth) levels of nesting")
    }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): try object { try $1.skip(depth: depth + 1) }
    case UInt8(ascii: "["): try array { try $0.skip(depth: depth + 1) }
    case UInt8(ascii: "\""): _ = try string()
    default: try skipWord()
    }
  }

  /// Takes a number, `true`, `false`, `null`, or one of the words that are let through beside them.
  @discardableResult
  mutating func skipWord(allowing more: [String] = []) throws -> String {
    let start = offset
    while let byte = next, Self.isWord(byte) { offset += 1 }
    let word = String(decoding: bytes[start..<offset], as: UTF8.self)
    guard (["true", "false", "null"] + more).contains(word) || Double(word)?.isFinite == true
    else {
      throw Failure(problem: "a value is expected", offset: start)
    }
    return word
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2B, 0x2D, 0x2E: true
    default: false
    }
  }

  private static func shown(_ byte: UInt8) -> String {
    (0x21..<0x7F).contains(byte) ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)"
  }
}

/// `text` as a JSON string, quotes included.
package func jsonString(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case "\u{0}"..<"\u{20}":
      let hex = String(scalar.value, radix: 16)
      result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}
