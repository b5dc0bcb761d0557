import Foundation

/// A line of a comment that says where the figures of the next block come from:
///
///     a token costs # and # microseconds = lengths.json tasks.train[name=lstm].points[length=1024|65536].microseconds
///
/// Left stands a piece of the block, in which `#` stands for a number and `@` for a name; right a
/// ``ResultPath`` to as many values. Where the piece is found more than once, the values are those of
/// all places in order. Line breaks count as spaces; numbers written out are labels, not compared.
struct FigureClaim {
  let pattern: String
  let source: ResultPath

  /// Reads a line of a comment.
  init(_ line: String) throws {
    let sides = line.split(separator: " = ", maxSplits: 1)
    guard sides.count == 2 else {
      throw ResultPath.Failure(description: "'\(line)' has no ' = ' between text and source")
    }
    pattern = String(sides[0])
    source = try ResultPath(String(sides[1]))
  }

  /// What is wrong with a block, and where its figures are.
  struct Finding {
    var mistakes: [String] = []
    /// Where the figures are.
    var figures: [Range<String.Index>] = []
    /// What should stand at each of them.
    var expected: [String] = []
    /// Where the whole pieces are.
    var covered: [Range<String.Index>] = []
  }

  /// Compares the figures of a block with the values of the result.
  func check(_ text: String) throws -> Finding {
    let matches = text.matches(of: try regex())
    let captured = matches.flatMap { $0.output.dropFirst().compactMap(\.range) }
    let values = try source.values()
    guard captured.count == values.count else {
      return Finding(mistakes: [
        "'\(pattern)': \(captured.count) figures in \(matches.count) places, \(values.count) values"
      ])
    }
    var finding = Finding(figures: captured, covered: matches.map(\.range))
    for (place, value) in zip(captured, values) {
      let found = String(text[place])
      let expected = Self.format(value, like: found)
      finding.expected.append(expected)
      if found != expected {
        finding.mistakes.append("'\(pattern)': \(found) instead of \(expected)")
      }
    }
    return finding
  }

  /// A value with as many decimals as a figure has, and commas between its thousands.
  static func format(_ value: ResultPath.Value, like figure: String) -> String {
    guard case .number(let number) = value else { return value.text }
    let decimals = figure.split(separator: ".").dropFirst().first?.count ?? 0
    let digits = String(format: "%.\(decimals)f", number)
    let whole = Array(digits.prefix { $0 != "." })
    let groups = stride(from: whole.count % 3, through: whole.count, by: 3).map { end in
      String(whole[max(0, end - 3)..<end])
    }
    return groups.filter { !$0.isEmpty }.joined(separator: ",") + digits.dropFirst(whole.count)
  }

  private func regex() throws -> Regex<AnyRegexOutput> {
    let escaped = NSRegularExpression.escapedPattern(for: pattern)
    return try Regex(
      escaped.replacing("\\ ", with: " ").replacing(" ", with: #"\s+"#)
        .replacing("#", with: #"([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)"#)
        .replacing("@", with: #"([\w-][\w .-]*[\w-])"#))
  }
}

/// The figures of a text.
enum Figures {
  /// Where a text has numbers that are not part of a name, of code, of a link or of a citation.
  static func places(in text: String) -> [Range<String.Index>] {
    let word =
      /`[^`]*`|\[[^\]]*\]\([^)]*\)|S&P 500|Zen \d|(?:19|20)\d\d\b|[A-Za-z][\w.:\/-]*|([0-9]+(?:,[0-9]{3})*(?:\.[0-9]+)?)/
    return text.matches(of: word).filter { $0.1 != nil }.map(\.range)
  }

  /// Whether a text says what was measured: a figure before a unit of time, rate, memory or share.
  static func areMeasured(in text: String) -> Bool {
    let unit =
      /\s*(%|[µmn]s\b|\w*seconds\b|tokens\/s|tok\/s|GFLOP|GB\b|MB\b|megabytes|thousandths|nats)/
    return places(in: text).contains { text[$0.upperBound...].prefixMatch(of: unit) != nil }
  }
}
