public import ApusTensor

/// One example of a synthetic task: tokens, and what has to be said at some of them.
public struct ProbeExample: Sendable, Equatable {
  /// Token ids.
  public var tokens: [Int32]
  /// The positions of the questions, ascending.
  public var places: [Int]
  /// The answer at each position: a token, or the class of the whole example.
  public var answers: [Int32]

  /// Puts the parts together.
  public init(tokens: [Int32], places: [Int], answers: [Int32]) {
    self.tokens = tokens
    self.places = places
    self.answers = answers
  }
}

/// Makes the examples of a synthetic task, at any length.
///
/// Example number `index` depends on the key, the length and the index alone, so that examples need
/// no storage, and a resumed run sees what an unbroken one would have seen.
public protocol ProbeGenerator: Sendable {
  /// Token ids are below this.
  var vocabulary: Int { get }

  /// The number of classes where a whole example has one answer; nil where tokens are answered.
  var classes: Int? { get }

  /// Makes one example.
  ///
  /// - Parameters:
  ///   - index: Which example.
  ///   - length: What the task calls its length.
  ///   - key: Which set, such as training or test.
  /// - Returns: The example.
  /// - Throws: ``ProbeError`` when there are no examples of this length.
  func example(_ index: Int, length: Int, key: RandomKey) throws -> ProbeExample
}

extension ProbeGenerator {
  public var classes: Int? { nil }
}

/// An error of a synthetic task.
public enum ProbeError: Error, Equatable {
  /// A value makes no task.
  case invalid(name: String, value: Int, rule: String)
  /// Chance made no example of this length.
  case noExamples(length: Int, tries: Int)
}

extension ProbeError: ApusError {
  public var exitStatus: ExitStatus { .usage }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .invalid(let name, let value, let rule):
      "The \(name) is \(value), but \(rule). Change one of the two."
    case .noExamples(let length, let tries):
      "In \(tries) tries chance made no example of length \(length). Choose another length or depth."
    }
  }
}

/// Throws unless `condition` holds.
func require(_ condition: Bool, _ name: String, _ value: Int, _ rule: String) throws {
  guard condition else { throw ProbeError.invalid(name: name, value: value, rule: rule) }
}

/// `count` different numbers of a range, each order of them as likely as any other.
///
/// The head of a Fisher-Yates shuffle that notes only what it has moved.
package func distinct(
  _ count: Int, in range: Range<Int>, using generator: inout PhiloxGenerator
) -> [Int] {
  precondition(count <= range.count, "distinct: \(count) of \(range)")
  var moved: [Int: Int] = [:]
  return (0..<count).map { place in
    let other = Int.random(in: place..<range.count, using: &generator)
    let found = moved[other] ?? other
    moved[other] = moved[place] ?? place
    return range.lowerBound + found
  }
}
