/// Any JSON, read strictly by ``JSONScanner``: for files whose shape is known only when they are
/// read, such as tokenizers, and for files that are written again as they were.
package enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// As it was written: 1.0 is not 1 to every program. Python's `Infinity` and `NaN` pass too.
  case number(String)
  case string(String)
  case array([JSONValue])
  /// In the order of the file. Keys differ in their bytes, not only in what they look like.
  case object([Member])

  /// A key and its value.
  package struct Member: Sendable, Equatable {
    package let key: String
    package let value: JSONValue

    /// Puts the two together.
    package init(key: String, value: JSONValue) {
      self.key = key
      self.value = value
    }
  }

  /// Reads JSON in memory.
  ///
  /// - Parameters:
  ///   - bytes: The text.
  ///   - name: What messages call it.
  /// - Throws: ``JSONFileError``.
  package init(_ bytes: some Sequence<UInt8>, name: String) throws {
    self = try Array(bytes).withUnsafeBytes { try Self.read($0, path: name) }
  }

  /// Reads a file of at most `limit` bytes.
  ///
  /// - Throws: ``JSONFileError`` or ``FileError``.
  package init(path: String, limit: Int) throws {
    let file = try MappedFile(path)
    guard file.bytes.count <= limit else {
      throw JSONFileError.tooLarge(path: path, found: file.bytes.count, limit: limit)
    }
    self = try Self.read(file.bytes, path: path)
  }

  private static func read(_ bytes: UnsafeRawBufferPointer, path: String) throws -> JSONValue {
    var scanner = JSONScanner(bytes)
    do {
      let value = try scanner.value(depth: 1)
      try scanner.expectEnd()
      return value
    } catch let failure as JSONScanner.Failure {
      throw JSONFileError.malformed(
        path: path, problem: failure.problem, offset: failure.offset)
    }
  }

  /// The value of a key; nil where there is none, or this is no object.
  package subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key.utf8.elementsEqual(key.utf8) }?.value
  }

  /// The text, where this is one.
  package var string: String? { if case .string(let text) = self { text } else { nil } }
  /// The truth value, where this is one.
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The number, where this is a whole one.
  package var integer: Int? {
    guard case .number(let text) = self else { return nil }
    return Int(text) ?? Double(text).flatMap { Int(exactly: $0) }
  }
  /// The elements, where this is an array.
  package var elements: [JSONValue]? { if case .array(let all) = self { all } else { nil } }
  /// The members, where this is an object.
  package var members: [Member]? { if case .object(let all) = self { all } else { nil } }

  /// This object with `value` for `key`, in its place or at the end.
  package func setting(_ key: String, to value: JSONValue) -> JSONValue {
    var members = members ?? []
    let member = Member(key: key, value: value)
    if let place = members.firstIndex(where: { $0.key.utf8.elementsEqual(key.utf8) }) {
      members[place] = member
    } else {
      members.append(member)
    }
    return .object(members)
  }

  /// The JSON, a member a line.
  package func text(indent: String = "") -> String {
    let inner = indent + "  "
    switch self {
    case .null: return "null"
    case .bool(let value): return "\(value)"
    case .number(let text): return text
    case .string(let text): return jsonString(text)
    case .array(let elements):
      guard !elements.isEmpty else { return "[]" }
      let lines = elements.map { inner + $0.text(indent: inner) }
      return "[\n" + lines.joined(separator: ",\n") + "\n\(indent)]"
    case .object(let members):
      guard !members.isEmpty else { return "{}" }
      let lines = members.map { "\(inner)\(jsonString($0.key)): \($0.value.text(indent: inner))" }
      return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
    }
  }
}

extension JSONScanner {
  fileprivate mutating func value(depth: Int) throws -> JSONValue {
    guard depth <= Self.maximumDepth else {
      throw failure("more than \(Self.maximumDepth) levels of nesting")
    }
    values += 1
    guard values <= Self.maximumValues else {
      throw failure("more than \(Self.maximumValues) values")
    }
    skipSpace()
    switch next {
    case UInt8(ascii: "{"): return .object(try members(depth: depth))
    case UInt8(ascii: "["):
      var elements: [JSONValue] = []
      try array { elements.append(try $0.value(depth: depth + 1)) }
      return .array(elements)
    case UInt8(ascii: "\""): return .string(try string())
    default:
      switch try skipWord(allowing: ["Infinity", "-Infinity", "NaN"]) {
      case "null": return .null
      case "true": return .bool(true)
      case "false": return .bool(false)
      case let word: return .number(word)
      }
    }
  }

  private mutating func members(depth: Int) throws -> [JSONValue.Member] {
    try expect("{")
    var members: [JSONValue.Member] = []
    guard !take("}") else { return members }
    var keys: Set<[UInt8]> = []
    repeat {
      skipSpace()
      let key = try string()
      guard keys.insert(Array(key.utf8)).inserted else {
        throw failure("the key '\(key.prefix(200))' comes twice")
      }
      try expect(":")
      members.append(JSONValue.Member(key: key, value: try value(depth: depth + 1)))
    } while take(",")
    try expect("}")
    return members
  }
}

/// An error of a JSON file.
public enum JSONFileError: Error, Equatable {
  /// It has more bytes than are read.
  case tooLarge(path: String, found: Int, limit: Int)
  /// It is not JSON.
  case malformed(path: String, problem: String, offset: Int)
  /// A key has a value that cannot be.
  case wrongValue(path: String, key: String, problem: String)
}

extension JSONFileError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .tooLarge(let path, let found, let limit):
      "'\(path)' has \(found) bytes; at most \(limit) are read. It is not the file it should be."
    case .malformed(let path, let problem, let offset):
      "The JSON of '\(path)' is wrong at byte \(offset): \(problem). Fetch or save it again."
    case .wrongValue(let path, let key, let problem):
      "The key '\(key)' of '\(path)' cannot be read: \(problem). Fetch or save the file again."
    }
  }
}
