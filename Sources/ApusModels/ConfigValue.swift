package import ApusTensor

/// A value of one key of a configuration, as JSON has it.
public enum ConfigValue: Sendable, Hashable {
  /// None, where a key may have none, and else its default.
  case null
  /// True or false.
  case bool(Bool)
  /// A whole number.
  case integer(Int)
  /// A fraction.
  case number(Double)
  /// A text.
  case text(String)
  /// A list.
  case array([ConfigValue])
  /// The keys of a part, of which those that are not named stay as they are.
  case object([String: ConfigValue])

  /// Reads what a person types: a number, `true`, `false`, or else a text.
  public init(_ text: String) {
    if let flag = Bool(text) {
      self = .bool(flag)
    } else if let integer = Int(text) {
      self = .integer(integer)
    } else if let number = Double(text), number.isFinite {
      self = .number(number)
    } else {
      self = .text(text)
    }
  }

  /// Reads a document.
  package init(_ json: JSONValue) {
    switch json {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .number(let text): self = Int(text).map(Self.integer) ?? .number(Double(text) ?? .nan)
    case .string(let text): self = .text(text)
    case .array(let elements): self = .array(elements.map(Self.init))
    case .object(let members):
      let pairs = members.map { ($0.key, ConfigValue($0.value)) }
      self = .object(Dictionary(pairs, uniquingKeysWith: { first, _ in first }))
    }
  }

  /// The value as a document.
  package var json: JSONValue {
    switch self {
    case .null: .null
    case .bool(let value): .bool(value)
    case .integer(let value): .number("\(value)")
    case .number(let value): .number(Self.word(value))
    case .text(let value): .string(value)
    case .array(let values): .array(values.map(\.json))
    case .object(let values): .object(values)
    }
  }
}

extension ConfigValue {
  /// A number as JSON has it, or the words of Python for what JSON has none for.
  private static func word(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    return value.isFinite ? "\(value)" : value < 0 ? "-Infinity" : "Infinity"
  }
}

extension JSONValue {
  /// An object of the keys of a configuration, in alphabetical order.
  package static func object(_ values: [String: ConfigValue]) -> JSONValue {
    .object(values.sorted { $0.key < $1.key }.map { Member(key: $0.key, value: $0.value.json) })
  }
}

extension ConfigValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByStringLiteral, ExpressibleByNilLiteral
{
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(stringLiteral value: String) { self = .text(value) }
  public init(nilLiteral: ()) { self = .null }
}

extension ConfigValue: ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
  public init(arrayLiteral elements: ConfigValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, ConfigValue)...) {
    self = .object(Dictionary(elements, uniquingKeysWith: { $1 }))
  }
}

extension ConfigValue: Codable {
  /// Reads whichever kind stands there.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let values = try? container.decode([ConfigValue].self) {
      self = .array(values)
    } else if let values = try? container.decode([String: ConfigValue].self) {
      self = .object(values)
    } else {
      self = .text(try container.decode(String.self))
    }
  }

  /// Writes the value by itself.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .text(let value): try container.encode(value)
    case .array(let values): try container.encode(values)
    case .object(let values): try container.encode(values)
    }
  }
}
