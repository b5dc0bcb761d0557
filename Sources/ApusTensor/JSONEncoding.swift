/// JSON from values of Swift, as a document in memory: every key is there, null where a property is nil,
/// and numbers of a floating type have a point or an exponent, since programs that expect a fraction
/// refuse 1 where they expect 1.0.
extension JSONValue {
  /// Encodes a value.
  ///
  /// - Parameters:
  ///   - value: What is written.
  ///   - keys: How keys are written.
  /// - Throws: `EncodingError` with the path of a number that is infinite or none, and what the type's
  ///   own code throws.
  package init(encoding value: some Encodable, keys: KeyStyle = .asWritten) throws {
    self = try Self.document(of: value, keys: keys).json
  }

  /// Encodes a value, and tells which of its keys may be null.
  ///
  /// - Returns: The JSON, and the paths, joined by points, of properties of an optional type.
  /// - Throws: As ``init(encoding:keys:)``.
  package static func document(
    of value: some Encodable, keys: KeyStyle = .asWritten
  ) throws -> (json: JSONValue, optional: Set<String>) {
    let place = JSONPlace(path: [], keys: keys)
    try place.put(value)
    return (place.json, place.optional)
  }
}

/// One place of a document while it is encoded.
private final class JSONPlace {
  let path: [String]
  let keys: JSONValue.KeyStyle
  private var own = JSONValue.null
  private var members: [(key: String, place: JSONPlace)]?
  private var known: [String: Int] = [:]
  private var elements: [JSONPlace]?
  private var isOptional = false

  init(path: [String], keys: JSONValue.KeyStyle) { (self.path, self.keys) = (path, keys) }

  var json: JSONValue {
    if let members {
      return .object(members.map { JSONValue.Member(key: $0.key, value: $0.place.json) })
    }
    return elements.map { .array($0.map(\.json)) } ?? own
  }

  /// The paths of what may be null, from here on.
  var optional: Set<String> {
    let below = (members?.map(\.place) ?? []) + (elements ?? [])
    return below.reduce(into: isOptional ? [path.joined(separator: ".")] : []) {
      $0.formUnion($1.optional)
    }
  }

  func beginObject() { members = members ?? [] }
  func beginArray() { elements = elements ?? [] }
  var count: Int { elements?.count ?? 0 }

  func member(_ key: some CodingKey, isOptional: Bool = false) -> JSONPlace {
    let name = keys == .snakeCase ? snakeCase(key.stringValue) : key.stringValue
    let place = JSONPlace(path: path + [name], keys: keys)
    place.isOptional = isOptional
    beginObject()
    if let index = known[name] {
      members?[index] = (name, place)
    } else {
      known[name] = known.count
      members?.append((name, place))
    }
    return place
  }

  func element() -> JSONPlace {
    let place = JSONPlace(path: path + ["\(count)"], keys: keys)
    beginArray()
    elements?.append(place)
    return place
  }

  func put<Value: Encodable>(_ value: Value) throws {
    switch value {
    case let value as JSONValue: own = value
    case let value as Bool: own = .bool(value)
    case let value as String: own = .string(value)
    case let value as any FixedWidthInteger: own = .number("\(value)")
    case let value as Double: try put(value, isFinite: value.isFinite)
    case let value as Float: try put(value, isFinite: value.isFinite)
    default: try value.encode(to: JSONEncoding(place: self))
    }
  }

  private func put(_ value: some CustomStringConvertible, isFinite: Bool) throws {
    guard isFinite else {
      throw EncodingError.invalidValue(
        value,
        .init(codingPath: path.map(JSONName.init), debugDescription: "it must be finite"))
    }
    own = .number(value.description)
  }
}

/// A name as a key.
private struct JSONName: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}

private struct JSONEncoding: Encoder {
  let place: JSONPlace
  var codingPath: [any CodingKey] { place.path.map(JSONName.init) }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    place.beginObject()
    return KeyedEncodingContainer(JSONObjectEncoding(place: place))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    place.beginArray()
    return JSONArrayEncoding(place: place)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { self }
}

extension JSONEncoding: SingleValueEncodingContainer {
  func encodeNil() {}
  func encode<Value: Encodable>(_ value: Value) throws { try place.put(value) }
}

/// The members of an object. Properties of an optional type arrive by `encodeIfPresent`.
private struct JSONObjectEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let place: JSONPlace
  var codingPath: [any CodingKey] { place.path.map(JSONName.init) }

  private func put(_ value: (some Encodable)?, _ key: Key) throws {
    let place = place.member(key, isOptional: true)
    if let value { try place.put(value) }
  }

  func encodeNil(forKey key: Key) { _ = place.member(key) }
  func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
    try place.member(key).put(value)
  }
  func encodeIfPresent(_ value: Bool?, forKey key: Key) throws { try put(value, key) }
  func encodeIfPresent(_ value: String?, forKey key: Key) throws { try put(value, key) }
  func encodeIfPresent(_ value: Double?, forKey key: Key) throws { try put(value, key) }
  func encodeIfPresent(_ value: Float?, forKey key: Key) throws { try put(value, key) }
  func encodeIfPresent(_ value: Int?, forKey key: Key) throws { try put(value, key) }
  func encodeIfPresent<Value: Encodable>(_ value: Value?, forKey key: Key) throws {
    try put(value, key)
  }
  func nestedContainer<Nested: CodingKey>(
    keyedBy type: Nested.Type, forKey key: Key
  ) -> KeyedEncodingContainer<Nested> {
    JSONEncoding(place: place.member(key)).container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    JSONEncoding(place: place.member(key)).unkeyedContainer()
  }
  func superEncoder() -> any Encoder { superEncoder(JSONName(stringValue: "super")) }
  func superEncoder(forKey key: Key) -> any Encoder { superEncoder(key) }
  private func superEncoder(_ key: some CodingKey) -> any Encoder {
    JSONEncoding(place: place.member(key))
  }
}

/// The elements of an array, one after the other.
private struct JSONArrayEncoding: UnkeyedEncodingContainer {
  let place: JSONPlace
  var codingPath: [any CodingKey] { place.path.map(JSONName.init) }
  var count: Int { place.count }

  func encodeNil() { _ = place.element() }
  func encode<Value: Encodable>(_ value: Value) throws { try place.element().put(value) }
  func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    JSONEncoding(place: place.element()).container(keyedBy: type)
  }
  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
    JSONEncoding(place: place.element()).unkeyedContainer()
  }
  func superEncoder() -> any Encoder { JSONEncoding(place: place.element()) }
}

/// `hiddenSize` as `hidden_size`.
package func snakeCase(_ name: String) -> String {
  name.reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
}
