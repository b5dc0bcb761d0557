public import ApusTensor
public import Foundation

/// The hyperparameters of a model: facts, stored as the published `config.json` has them.
///
/// A property is the published key in camel case (`num_hidden_layers` is `numHiddenLayers`), and
/// every property has a default.
public protocol ModelConfig: CheckedConfig, Codable, Sendable {
  /// The published `model_type`. A configuration that several types share keeps which one it is in
  /// a property `modelType`.
  static var modelType: String { get }
  /// All defaults.
  init()
  /// All defaults of a `model_type`, for a configuration that several types share; those of
  /// ``init()`` unless it says otherwise.
  static func defaults(for modelType: String) -> Self
}

/// An error of a configuration.
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
  /// The sizes together ask for more numbers than memory holds.
  case tooLarge(parameters: Int, most: Int)
}

extension ConfigError: ApusError {
  public var exitStatus: ExitStatus { .configuration }

  /// A sentence: what was found, what was expected, what to do.
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
    case .tooLarge(let parameters, let most):
      "The sizes of the configuration make \(parameters == .max ? "over 9e18" : "\(parameters)") "
        + "parameters, but at most \(most) can be held here. Make layers, widths or experts fewer."
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
  ///   - overrides: Keys from a person; unknown ones are rejected.
  /// - Throws: ``ConfigError``.
  public init(json: Data?, overrides: [String: ConfigValue] = [:]) throws {
    try self.init(
      json.map { try JSONValue(config: $0) } ?? .object([]), overrides: .object(overrides))
  }

  /// The same of documents that are read already.
  package init(_ file: JSONValue, overrides: JSONValue = .object([])) throws {
    let type = (overrides["model_type"] ?? file["model_type"])?.string
    let (defaults, optional) = try JSONValue.document(
      of: type.map(Self.defaults(for:)) ?? Self(), keys: .snakeCase)
    let merged = defaults.overlaid(by: file, optional).overlaid(by: overrides, optional)
    do {
      self = try merged.decoded(as: Self.self, path: "config.json", keys: .snakeCase)
    } catch JSONFileError.wrongValue(_, let key, let problem) {
      throw ConfigError.wrongType(key: snakeCase(key), reason: problem)
    }
    try Self.requireKnown(overrides, among: try document())
    try validate()
  }

  /// The configuration as `config.json`, with its `model_type`.
  public func json() throws -> Data {
    let object = try document()
    let type = object["model_type"]?.string ?? Self.modelType
    // A null is written where leaving the key out would say something else.
    let written = object.leavingOut(try Self.defaults(for: type).document())
    let members = (written.members ?? []).sorted { $0.key < $1.key }
    return Data(JSONValue.object(members).text().utf8)
  }

  /// Every key with its value, null where there is none, and the `model_type`.
  package func document() throws -> JSONValue {
    do {
      let object = try JSONValue(encoding: self, keys: .snakeCase)
      guard object["model_type"] == nil else { return object }
      return object.setting("model_type", to: .string(Self.modelType))
    } catch EncodingError.invalidValue(let value, let context) {
      let key = context.codingPath.map(\.stringValue).joined(separator: ".")
      throw ConfigError.invalid(key: key, value: "\(value)", rule: context.debugDescription)
    }
  }

  private static func requireKnown(
    _ given: JSONValue, among known: JSONValue, path: String = ""
  ) throws {
    guard let members = known.members else { return }
    for member in given.members ?? [] {
      guard let own = known[member.key] else {
        throw ConfigError.unknownKey(
          path + member.key, known: members.map { path + $0.key }.sorted())
      }
      try requireKnown(member.value, among: own, path: path + member.key + ".")
    }
  }
}

extension JSONValue {
  /// Reads a `config.json`.
  ///
  /// - Throws: ``ConfigError/notAnObject(reason:)``.
  package init(config data: Data) throws {
    do {
      self = try JSONValue(data, name: "config.json")
    } catch let error as JSONFileError {
      throw ConfigError.notAnObject(reason: "\(error)")
    }
    guard members != nil else {
      throw ConfigError.notAnObject(reason: "the outermost value is something else")
    }
  }

  /// `given` in the place of this; of two objects, key by key. A null says "none" where the path is
  /// among `optional`, and nothing elsewhere.
  fileprivate func overlaid(
    by given: JSONValue, _ optional: Set<String>, path: String = ""
  ) -> JSONValue {
    guard members != nil, let added = given.members else { return given }
    return added.reduce(self) { result, member in
      let name = path + member.key
      if member.value == .null, !optional.contains(name) { return result }
      let own = result[member.key] ?? .null
      return result.setting(
        member.key, to: own.overlaid(by: member.value, optional, path: name + "."))
    }
  }

  /// This object without the nulls that are nulls in `defaults` as well.
  fileprivate func leavingOut(_ defaults: JSONValue) -> JSONValue {
    guard let members else { return self }
    return .object(
      members.compactMap { member in
        let usual = defaults[member.key] ?? .null
        guard member.value != .null || usual != .null else { return nil }
        return Member(key: member.key, value: member.value.leavingOut(usual))
      })
  }
}
