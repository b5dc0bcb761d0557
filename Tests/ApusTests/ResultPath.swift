import Foundation

/// Where a figure stands in a committed result: a file of `Benchmarks/Results` and a path in it.
///
///     lengths.json width, tasks.train[name=mamba].points[length=1024|65536].microseconds
///     compare-sp500.json rows[name=lstm].loss * 1000
///
/// Keys are separated by points. Brackets after the key of an array take its elements whose member
/// has one of the values, in the order of the values, or the elements of these numbers, from 0. The
/// factor, if any, follows ` * ` or ` / `.
struct ResultPath {
  /// What can be wrong with a path.
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  let file: String
  let paths: [String]

  /// Reads the words after the sign of equality.
  init(_ text: String) throws {
    guard let space = text.firstIndex(of: " ") else {
      throw Failure(description: "'\(text)' names a file, but no path in it")
    }
    file = String(text[..<space])
    paths = text[text.index(after: space)...].split(separator: ", ").map(String.init)
  }

  /// The values at all paths, in order: numbers and words.
  func values() throws -> [Value] {
    let data = try Data(
      contentsOf: Repository.folder.appending(path: "Benchmarks/Results/\(file)"))
    let root = try JSONSerialization.jsonObject(with: data)
    return try paths.flatMap { try Self.values(at: $0, in: root) }
  }

  /// One value of a result.
  enum Value: Equatable {
    case number(Double)
    case word(String)

    var text: String {
      switch self {
      case .number(let number): "\(number)"
      case .word(let word): word
      }
    }
  }

  /// The values at one path.
  static func values(at path: String, in root: Any) throws -> [Value] {
    guard let parts = path.wholeMatch(of: /(\S+)(?: ([*\/]) (\S+))?/) else {
      throw Failure(description: "'\(path)' is no path")
    }
    let factor = parts.3.flatMap { Double($0) } ?? 1
    let found = try steps(of: String(parts.1)).reduce([root]) { here, step in
      try here.flatMap { try follow(step, from: $0) }
    }
    return try found.map { value in
      switch value {
      case let word as String: .word(word)
      case let number as NSNumber:
        .number(parts.2 == "/" ? number.doubleValue / factor : number.doubleValue * factor)
      default: throw Failure(description: "\(path) is no single value")
      }
    }
  }

  /// Cuts at the points outside brackets.
  private static func steps(of path: String) -> [String] {
    path.matches(of: /[^.\[\]]+(?:\[[^\]]*\])?/).map { String($0.0) }
  }

  private static func follow(_ step: String, from place: Any) throws -> [Any] {
    guard let parts = step.wholeMatch(of: /([^\[]+)(?:\[(?:([^=]+)=)?(.*)\])?/),
      let next = (place as? [String: Any])?[String(parts.1)]
    else { throw Failure(description: "there is no '\(step)'") }
    guard let wanted = parts.3 else { return [next] }
    guard let elements = next as? [[String: Any]] else {
      throw Failure(description: "'\(parts.1)' is no array of objects")
    }
    return try wanted.split(separator: "|").map { value in
      let matching = elements.enumerated().filter { index, element in
        parts.2.map { "\(element[String($0)] ?? "")" == value } ?? ("\(index)" == value)
      }.map(\.element)
      guard let only = matching.first, matching.count == 1 else {
        throw Failure(description: "\(matching.count) elements of '\(parts.1)' have \(value)")
      }
      return only
    }
  }
}
