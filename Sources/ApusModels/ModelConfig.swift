public import ApusTensor
public import Foundation

/// The hyperparameters of a model: facts, stored as the published `config.json` has them.
///
/// A property is the published key in camel case (`num_hidden_layers` is `numHiddenLayers`), and
/// every property has a default.
public protocol ModelConfig: Codable, Sendable {
  /// The published `model_type`. A configuration that several types share keeps which one it is in
  /// a property `modelType`.
  static var modelType: String { get }
  /// All defaults.
  init()
  /// All defaults of a `model_type`, for a configuration that several types share; those of
  /// ``init()`` unless it says otherwise.
  static func defaults(for modelType: String) -> Self
  /// Throws ``ConfigError`` naming the key, its value and the rule broken.
  func validate() throws
}

/// What can be wrong with a configuration.
public enum ConfigError: Error, Equatable {
  /// The text is no JSON object.
  case notAnObject(reason: String)
  /// A key that a person gave is unknown.
  case unknownKey(String, known: [String])
  /// A value has the wrong type.
  case wrongType(key: String, reason: String)
  /// A value breaks a rule.
  case invalid(key: String, value: String, rule: String)
  /// No model of this type is known.
  case unknownModelType(String, known: [String])
}

extension ConfigError: ApusError {
  public var exitStatus: ExitStatus { .configuration }

  /// What was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .notAnObject(let reason):
      "The configuration is no JSON object (\(reason)). Expected the content of a config.json."
    case .unknownKey(let key, let known):
      """
      The configuration has no key '\(key)'.\(suggestion(for: key, among: known)) \
      Known keys: \(known.joined(separator: ", ")).
      """
    case .wrongType(let key, let reason):
      "The configuration's '\(key)' cannot be read: \(reason). Give a value of the right type."
    case .invalid(let key, let value, let rule):
      "The configuration's '\(key)' is \(value), but \(rule). Change one of the two."
    case .unknownModelType(let type, let known):
      """
      No architecture is called '\(type)'.\(suggestion(for: type, among: known)) \
      Known ones: \(known.joined(separator: ", ")).
      """
    }
  }
}

extension ModelConfig {
  public static func defaults(for modelType: String) -> Self { Self() }

  /// Reads a configuration: defaults first, then `json`, then `overrides`, decoded once, validated.
  ///
  /// A null in a file says "none" where there may be none, and "the default" elsewhere.
  /// - Parameters:
  ///   - json: A published file, whose unknown keys pass; nil for none.
  ///   - overrides: Keys from a person; unknown ones are refused.
  /// - Throws: ``ConfigError``.
  public init(json: Data?, overrides: [String: any Sendable] = [:]) throws {
    let object = try json.map(Self.object) ?? [:]
    let type = overrides["model_type"] as? String ?? object["model_type"] as? String
    let defaults = type.map(Self.defaults(for:)) ?? Self()
    var merged = try Self.encoded(defaults)
    let known = merged.keys.sorted()
    let optional = Self.optionalKeys
    for (key, value) in object where !(value is NSNull) || optional.contains(key) {
      merged[key] = value is NSNull ? value : joined(merged[key], value)
    }
    for (key, value) in overrides {
      guard known.contains(key) else { throw ConfigError.unknownKey(key, known: known) }
      guard JSONSerialization.isValidJSONObject([key: value]) else {
        throw ConfigError.wrongType(key: key, reason: "'\(value)' cannot be written as JSON")
      }
      try Self.requireKnownParts(of: key, value)
      merged[key] = joined(merged[key], value)
    }
    merged = merged.filter { !($0.value is NSNull) }
    do {
      self = try Self.decoded(merged)
    } catch let error as DecodingError {
      throw Self.configError(error, in: merged)
    }
    try validate()
  }

  /// The configuration as `config.json`, with its `model_type`.
  public func json() throws -> Data {
    var object = Self.written(try Self.tree(self), as: self)
    let type = object["model_type"]?.string ?? Self.modelType
    object = object.setting("model_type", to: .string(type))
    // A null is written where leaving the key out would say something else.
    let defaults = try Self.tree(Self.defaults(for: type))
    let members = (object.members ?? []).filter { $0.value != .null || defaults[$0.key] != .null }
    return Data(JSONValue.object(members.sorted { $0.key < $1.key }).text().utf8)
  }

  /// `json` with a point in every number of a floating type: the encoder writes 1.0 as 1, which other
  /// programs refuse where they expect a fraction.
  private static func written(_ json: JSONValue, as value: Any) -> JSONValue {
    let mirror = Mirror(reflecting: value)
    if mirror.displayStyle == .optional {
      return mirror.children.first.map { written(json, as: $0.value) } ?? json
    }
    switch json {
    case .number(let text) where value is Double || value is Float:
      return text.allSatisfy { $0.isNumber || $0 == "-" } ? .number(text + ".0") : json
    case .array(let elements) where elements.count == mirror.children.count:
      return .array(zip(elements, mirror.children).map { written($0, as: $1.value) })
    case .object(let members):
      let parts = Dictionary(
        mirror.children.map { ($0.label.map(published) ?? "", $0.value) },
        uniquingKeysWith: { first, _ in first })
      return .object(
        members.map { member in
          JSONValue.Member(
            key: member.key,
            value: parts[member.key].map { written(member.value, as: $0) } ?? member.value)
        })
    default: return json
    }
  }

  /// Every key with its value, null where there is none.
  private static func encoded(_ config: Self) throws -> [String: Any] {
    try object(try encodedData(config))
  }

  private static func tree(_ config: Self) throws -> JSONValue {
    try JSONValue(try encodedData(config), name: "configuration")
  }

  private static func encodedData(_ config: Self) throws -> Data {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys]
    return try encoder.encode(AllKeys(config))
  }

  /// The keys that may have no value.
  private static var optionalKeys: Set<String> {
    Set(
      Mirror(reflecting: Self()).children.compactMap { child in
        Mirror(reflecting: child.value).displayStyle == .optional
          ? child.label.map(published) : nil
      })
  }

  private static func object(_ data: Data) throws -> [String: Any] {
    do {
      guard let object = try PublishedJSON.value(data) as? [String: Any] else {
        throw ConfigError.notAnObject(reason: "the outermost value is something else")
      }
      return object
    } catch let error as ConfigError {
      throw error
    } catch {
      throw ConfigError.notAnObject(reason: "the text is not valid JSON")
    }
  }

  /// Throws when `value` is an object with keys that the part `key` of the configuration lacks.
  private static func requireKnownParts(of key: String, _ value: Any) throws {
    guard
      let given = value as? [String: Any],
      let part = Mirror(reflecting: Self()).children.first(where: { $0.label.map(published) == key }
      ),
      case let mirror = Mirror(reflecting: part.value), mirror.displayStyle == .struct
    else { return }
    let known = mirror.children.compactMap(\.label).map(published).sorted()
    for name in given.keys.sorted() where !known.contains(name) {
      throw ConfigError.unknownKey("\(key).\(name)", known: known.map { "\(key).\($0)" })
    }
  }

  private static func decoded(_ object: [String: Any]) throws -> Self {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Self.self, from: JSONSerialization.data(withJSONObject: object))
  }

  private static func configError(_ error: DecodingError, in object: [String: Any]) -> ConfigError {
    switch error {
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
      let key = context.codingPath.first.map { published($0.stringValue) } ?? culprit(in: object)
      return .wrongType(key: key, reason: context.debugDescription)
    case .keyNotFound(let key, let context):
      return .wrongType(key: published(key.stringValue), reason: context.debugDescription)
    @unknown default:
      return .notAnObject(reason: "the decoder gave up")
    }
  }

  /// A property's name as published files write it.
  private static func published(_ property: String) -> String {
    property.reduce("") { $0 + ($1.isUppercase ? "_" + $1.lowercased() : String($1)) }
  }

  /// The key to blame where the decoder names none, as it does when a number does not fit: the one
  /// that cannot be read though all others are left at values that can.
  private static func culprit(in object: [String: Any]) -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    guard let data = try? encoder.encode(Self()), let defaults = try? Self.object(data) else {
      return ""
    }
    return object.keys.sorted().first { key in
      (try? decoded(defaults.merging([key: object[key] as Any]) { $1 })) == nil
    } ?? ""
  }

  /// Throws unless `condition` holds.
  func require(
    _ condition: Bool, _ key: String, _ value: some Any, _ rule: String
  ) throws {
    guard condition else {
      throw ConfigError.invalid(key: key, value: "\(value)", rule: rule)
    }
  }
}

/// `given` in the place of `base`; of two objects, key by key.
private func joined(_ base: Any?, _ given: Any) -> Any {
  guard let base = base as? [String: Any], let given = given as? [String: Any] else { return given }
  return base.merging(given) { joined($0, $1) }
}

/// Encodes a configuration with its nil properties as null, so that every known key shows.
private struct AllKeys<Config: ModelConfig>: Encodable {
  let config: Config
  init(_ config: Config) { self.config = config }

  func encode(to encoder: any Encoder) throws {
    try config.encode(to: encoder)
    var container = encoder.container(keyedBy: Key.self)
    for child in Mirror(reflecting: config).children {
      guard let label = child.label else { continue }
      let mirror = Mirror(reflecting: child.value)
      guard mirror.displayStyle == .optional, mirror.children.isEmpty else { continue }
      try container.encodeNil(forKey: Key(stringValue: label))
    }
  }

  struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
}
