/// A value of one key of a configuration, as JSON has it.
public enum ConfigValue: Sendable, Hashable {
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
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

  /// The value by itself.
  public var plain: any Sendable {
    switch self {
    case .bool(let value): value
    case .integer(let value): value
    case .number(let value): value
    case .text(let value): value
    case .object(let values): values.mapValues(\.plain)
    }
  }
}

extension ConfigValue: Codable {
  /// Reads whichever kind stands there.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
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
    case .bool(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .text(let value): try container.encode(value)
    case .object(let values): try container.encode(values)
    }
  }
}
