/// Values of Swift from ``JSONValue``: the only way from JSON to a type, so that a file is parsed once,
/// strictly, and what is wrong with it is reported with the key.
extension JSONValue {
  /// How keys of a file become names of properties.
  package enum KeyStyle: Sendable {
    /// `hiddenSize` is `hiddenSize`.
    case asWritten
    /// `hidden_size` is `hiddenSize`.
    case snakeCase
  }

  /// Decodes a value from JSON in memory.
  ///
  /// - Parameters:
  ///   - type: What is expected.
  ///   - bytes: The text.
  ///   - name: What messages call it.
  ///   - keys: How keys are written.
  /// - Returns: The value.
  /// - Throws: ``JSONFileError``, and what the type's own initializer throws.
  package static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: some Sequence<UInt8>, name: String, keys: KeyStyle = .asWritten
  ) throws -> Value {
    try JSONValue(bytes, name: name).decoded(as: type, path: name, keys: keys)
  }

  /// Decodes a value from a file of at most `limit` bytes.
  ///
  /// - Throws: ``JSONFileError``, ``FileError``, and what the type's own initializer throws.
  package static func decode<Value: Decodable>(
    _ type: Value.Type, at path: String, limit: Int, keys: KeyStyle = .asWritten
  ) throws -> Value {
    try JSONValue(path: path, limit: limit).decoded(as: type, path: path, keys: keys)
  }

  /// This JSON as a value of a type.
  ///
  /// - Parameters:
  ///   - type: What is expected.
  ///   - path: What messages call the file.
  ///   - keys: How keys are written.
  /// - Returns: The value.
  /// - Throws: ``JSONFileError/wrongValue(path:key:problem:)``, and what the type's own initializer
  ///   throws.
  package func decoded<Value: Decodable>(
    as type: Value.Type, path: String, keys: KeyStyle = .asWritten
  ) throws -> Value {
    do {
      return try JSONDecoding(value: self, codingPath: [], keys: keys).decode(type)
    } catch let error as DecodingError {
      throw JSONFileError.wrongValue(path: path, error)
    }
  }
}

extension JSONFileError {
  /// What a decoder found wrong, with the key.
  fileprivate static func wrongValue(path: String, _ error: DecodingError) -> JSONFileError {
    let (keys, problem): ([any CodingKey], String) =
      switch error {
      case .typeMismatch(_, let context), .valueNotFound(_, let context),
        .dataCorrupted(let context):
        (context.codingPath, context.debugDescription)
      case .keyNotFound(let key, let context): (context.codingPath + [key], "it is missing")
      @unknown default: ([], "it cannot be read")
      }
    let key = keys.reduce("") { text, key in
      key.intValue.map { "\(text)[\($0)]" }
        ?? (text.isEmpty ? key.stringValue : "\(text).\(key.stringValue)")
    }
    return .wrongValue(path: path, key: key, problem: problem)
  }
}

/// One place of a document while it is decoded.
private struct JSONDecoding: Decoder {
  let value: JSONValue
  let codingPath: [any CodingKey]
  let keys: JSONValue.KeyStyle
  /// Keys of an object are names of properties, and not those of a dictionary.
  var hasNames = true
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard let members = value.members else { throw mismatch([String: JSONValue].self, "an object") }
    return KeyedDecodingContainer(JSONObjectDecoding(members, of: self))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard let elements = value.elements else { throw mismatch([JSONValue].self, "an array") }
    return JSONArrayDecoding(decoding: self, elements: elements)
  }

  func singleValueContainer() throws -> any SingleValueDecodingContainer { self }

  func below(_ value: JSONValue, _ key: any CodingKey) -> JSONDecoding {
    JSONDecoding(value: value, codingPath: codingPath + [key], keys: keys)
  }

  func mismatch(_ type: Any.Type, _ expected: String) -> DecodingError {
    let problem = "found \(value.kind), expected \(expected)"
    return .typeMismatch(type, .init(codingPath: codingPath, debugDescription: problem))
  }

  private var number: String? { if case .number(let text) = value { text } else { nil } }

  private func floating<Float: BinaryFloatingPoint & LosslessStringConvertible>(
    _ type: Float.Type
  ) throws -> Float {
    // The words of Python, and one that transformers writes in their place.
    let word = number ?? value["__float__"]?.string
    guard let word, let result = Float(word) else { throw mismatch(type, "a number") }
    guard result.isFinite || word.hasSuffix("Infinity") || word == "NaN" else {
      throw mismatch(type, "a number that the type \(type) holds")
    }
    return result
  }

  private func integer<Integer: FixedWidthInteger>(_ type: Integer.Type) throws -> Integer {
    guard let number else { throw mismatch(type, "a whole number") }
    if let exact = Integer(number) { return exact }
    guard let exact = Double(number).flatMap({ Integer(exactly: $0) }) else {
      throw mismatch(type, "a whole number of \(Integer.min) to \(Integer.max)")
    }
    return exact
  }
}

extension JSONDecoding: SingleValueDecodingContainer {
  func decodeNil() -> Bool { value == .null }
  func decode(_ type: Bool.Type) throws -> Bool {
    guard let result = value.bool else { throw mismatch(type, "true or false") }
    return result
  }
  func decode(_ type: String.Type) throws -> String {
    guard let result = value.string else { throw mismatch(type, "a text") }
    return result
  }
  func decode(_ type: Double.Type) throws -> Double { try floating(type) }
  func decode(_ type: Float.Type) throws -> Float { try floating(type) }
  func decode(_ type: Int.Type) throws -> Int { try integer(type) }
  func decode(_ type: Int8.Type) throws -> Int8 { try integer(type) }
  func decode(_ type: Int16.Type) throws -> Int16 { try integer(type) }
  func decode(_ type: Int32.Type) throws -> Int32 { try integer(type) }
  func decode(_ type: Int64.Type) throws -> Int64 { try integer(type) }
  func decode(_ type: UInt.Type) throws -> UInt { try integer(type) }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try integer(type) }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try integer(type) }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try integer(type) }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try integer(type) }

  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    var place = self
    place.hasNames = !(type is any StringKeyed.Type)
    return try Value(from: place)
  }
}

private protocol StringKeyed {}
extension Dictionary: StringKeyed where Key == String {}

/// The members of an object.
private struct JSONObjectDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
  private let decoding: JSONDecoding
  private let members: [String: JSONValue]
  var codingPath: [any CodingKey] { decoding.codingPath }
  var allKeys: [Key] { members.keys.compactMap { Key(stringValue: $0) } }

  init(_ members: [JSONValue.Member], of decoding: JSONDecoding) {
    self.decoding = decoding
    let named = members.map { member in
      (
        decoding.keys == .snakeCase && decoding.hasNames ? camelCase(member.key) : member.key,
        member.value
      )
    }
    self.members = Dictionary(named, uniquingKeysWith: { first, _ in first })
  }

  private func below(_ key: Key) throws -> JSONDecoding {
    guard let value = members[key.stringValue] else {
      throw DecodingError.keyNotFound(
        key, .init(codingPath: codingPath, debugDescription: "it is missing"))
    }
    return decoding.below(value, key)
  }

  func contains(_ key: Key) -> Bool { members[key.stringValue] != nil }
  func decodeNil(forKey key: Key) throws -> Bool { try below(key).decodeNil() }
  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
    try below(key).decode(type)
  }
  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) throws -> KeyedDecodingContainer<Nested> { try below(key).container(keyedBy: type) }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
    try below(key).unkeyedContainer()
  }
  func superDecoder() throws -> any Decoder { decoding }
  func superDecoder(forKey key: Key) throws -> any Decoder { try below(key) }
}

/// The elements of an array, one after the other.
private struct JSONArrayDecoding: UnkeyedDecodingContainer {
  let decoding: JSONDecoding
  let elements: [JSONValue]
  private(set) var currentIndex = 0
  var codingPath: [any CodingKey] { decoding.codingPath }
  var count: Int? { elements.count }
  var isAtEnd: Bool { currentIndex == elements.count }

  init(decoding: JSONDecoding, elements: [JSONValue]) {
    (self.decoding, self.elements) = (decoding, elements)
  }

  private struct Index: CodingKey {
    let intValue: Int?
    var stringValue: String { "\(intValue ?? 0)" }
    init?(stringValue: String) { nil }
    init(intValue: Int) { self.intValue = intValue }
  }

  private func current() throws -> JSONDecoding {
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        JSONValue.self,
        .init(codingPath: codingPath, debugDescription: "it has \(elements.count) elements only"))
    }
    return decoding.below(elements[currentIndex], Index(intValue: currentIndex))
  }

  private mutating func taking<Result>(_ body: (JSONDecoding) throws -> Result) throws -> Result {
    let result = try body(current())
    currentIndex += 1
    return result
  }

  mutating func decodeNil() throws -> Bool {
    guard try current().decodeNil() else { return false }
    currentIndex += 1
    return true
  }
  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
    try taking { try $0.decode(type) }
  }
  mutating func nestedContainer<Key: CodingKey>(
    keyedBy type: Key.Type
  ) throws -> KeyedDecodingContainer<Key> { try taking { try $0.container(keyedBy: type) } }
  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try taking { try $0.unkeyedContainer() }
  }
  mutating func superDecoder() throws -> any Decoder { try taking { $0 } }
}

/// `hidden_size` as `hiddenSize`; underscores at both ends stay.
private func camelCase(_ key: String) -> String {
  let start = key.prefix { $0 == "_" }
  let words = key.dropFirst(start.count).split(separator: "_")
  guard let first = words.first, words.count > 1 else { return key }
  let end = String(key.reversed().prefix { $0 == "_" })
  return start + first
    + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    + end
}

extension JSONValue: Decodable {
  /// Keeps a part of a file as it is.
  package init(from decoder: any Decoder) throws {
    guard let decoding = decoder as? JSONDecoding else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "it is read by JSONValue alone"))
    }
    self = decoding.value
  }

  /// What it is, in a word.
  fileprivate var kind: String {
    switch self {
    case .null: "null"
    case .bool(let value): "\(value)"
    case .number(let text): text.count > 40 ? "a long number" : text
    case .string(let text): "'\(text.prefix(40))'"
    case .array(let elements): "an array of \(elements.count)"
    case .object: "an object"
    }
  }
}
