public import ApusTensor
package import Foundation

/// A chat template: Jinja as published models bring it, rendered by rules of its own within limits.
///
///     let template = try ChatTemplate(text)
///     let prompt = try template.render(messages: messages, addsGenerationPrompt: true)
///
/// 100,000 steps, 1 MiB of output, 64 levels. Of the outside it sees its messages, tools and options alone. What is
/// not known is an error that names the line, never another template.
public struct ChatTemplate: Sendable {
  /// The template as it was read.
  public let text: String

  /// Reads a template.
  ///
  /// - Parameter text: Jinja.
  /// - Throws: ``TemplateError``.
  public init(_ text: String) throws {
    self.text = text
    _ = try TemplateParser.nodes(text)
  }

  /// Renders a conversation.
  ///
  /// - Parameters:
  ///   - values: What the template sees by name, a JSON object: `messages`, `tools`, `add_generation_prompt`,
  ///     `bos_token` and the like.
  ///   - date: What `strftime_now` tells. Default: now.
  /// - Returns: The text of the conversation.
  /// - Throws: ``TemplateError``.
  package func render(_ values: JSONValue, date: Date = .now) throws -> String {
    let top = (values.members ?? []).map { ($0.key, TemplateValue($0.value)) }
    return try TemplateRenderer.render(
      TemplateParser.nodes(text), Dictionary(top) { $1 }, globals: Self.globals(date))
  }

  private static func globals(_ date: Date) -> [String: TemplateValue] {
    func function(
      _ call: @escaping (TemplateArguments) throws -> TemplateValue
    ) -> TemplateValue { .function(TemplateFunction(call: call)) }
    return [
      "raise_exception": function { given in
        throw TemplateError.refused(message: given.plain.first?.text ?? "")
      },
      "strftime_now": function { given in
        .string(try time(date, given.plain.first?.text ?? ""))
      },
      "namespace": function { given in .dictionary(dictionary(given)) },
      "dict": function { given in .dictionary(dictionary(given)) },
      "range": function(range),
    ]
  }

  private static func dictionary(_ given: TemplateArguments) -> TemplateDictionary {
    let made = TemplateDictionary()
    if case .dictionary(let other)? = given.plain.first {
      for (key, value) in other.pairs { made[key] = value }
    }
    for (name, value) in given.named { made[name] = value }
    return made
  }

  private static func range(_ given: TemplateArguments) throws -> TemplateValue {
    let bounds = given.plain.compactMap(\.whole)
    guard bounds.count == given.plain.count, (1...3).contains(bounds.count),
      bounds.allSatisfy({ abs(max($0, -.max)) <= 1 << 40 })
    else {
      throw TemplateError.rendering(line: 0, problem: "'range' wants one to three whole numbers")
    }
    let (start, end) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
    let step = bounds.count == 3 ? bounds[2] : 1
    guard step != 0 else {
      throw TemplateError.rendering(line: 0, problem: "'range' has the step 0")
    }
    guard (end - start) / step < 100_000 else {
      throw TemplateError.limit(what: "100000 items in a list")
    }
    return .list(TemplateList(stride(from: start, to: end, by: step).map { .integer($0) }))
  }

  /// `strftime`, in UTC and English.
  private static func time(_ date: Date, _ format: String) throws -> String {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = .gmt
    let parts = calendar.dateComponents(
      [.year, .month, .day, .hour, .minute, .second, .weekday, .dayOfYear], from: date)
    func padded(_ value: Int?, _ width: Int = 2) -> String {
      let digits = "\(value ?? 0)"
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    let months = [
      "January", "February", "March", "April", "May", "June", "July", "August", "September",
      "October", "November", "December",
    ]
    let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
    let (month, day) = (months[((parts.month ?? 1) - 1) % 12], days[((parts.weekday ?? 1) - 1) % 7])
    var (result, isSign, plain) = ("", false, false)
    for character in format {
      guard isSign else {
        if character == "%" { isSign = true } else { result.append(character) }
        continue
      }
      if character == "-" {
        plain = true
        continue
      }
      func number(_ value: Int?, _ width: Int = 2) -> String {
        plain ? "\(value ?? 0)" : padded(value, width)
      }
      switch character {
      case "Y": result += "\(parts.year ?? 0)"
      case "y": result += number((parts.year ?? 0) % 100)
      case "m": result += number(parts.month)
      case "d": result += number(parts.day)
      case "H": result += number(parts.hour)
      case "I": result += number(((parts.hour ?? 0) + 11) % 12 + 1)
      case "M": result += number(parts.minute)
      case "S": result += number(parts.second)
      case "j": result += number(parts.dayOfYear, 3)
      case "p": result += (parts.hour ?? 0) < 12 ? "AM" : "PM"
      case "B": result += month
      case "b": result += String(month.prefix(3))
      case "A": result += day
      case "a": result += String(day.prefix(3))
      case "%": result += "%"
      default:
        throw TemplateError.rendering(
          line: 0, problem: "'strftime_now' does not know '%\(character)'")
      }
      (isSign, plain) = (false, false)
    }
    return result
  }
}

extension TemplateValue {
  /// A value of JSON.
  init(_ json: JSONValue) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .number(let text): self = Int(text).map { .integer($0) } ?? .float(Double(text) ?? .nan)
    case .string(let text): self = .string(text)
    case .array(let elements): self = .list(TemplateList(elements.map { TemplateValue($0) }))
    case .object(let members):
      self = .dictionary(
        TemplateDictionary(members.map { (.string($0.key), TemplateValue($0.value)) }))
    }
  }
}

extension TemplateError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .syntax(let line, let problem):
      "Line \(line) of the chat template: \(problem). Give another template."
    case .rendering(let line, let problem):
      "Line \(line) of the chat template could not be rendered: \(problem). Check the messages, or give another template."
    case .refused(let message): "The chat template refuses these messages: \(message)"
    case .limit(let what): "The chat template goes beyond \(what). Give another template."
    }
  }
}
