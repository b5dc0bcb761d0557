import ApusTensor
import Foundation
import Synchronization

/// What the command prints to: one for results, one for messages.
///
/// Names in files and arguments reach the terminal through it alone, and cannot steer it. It never ends
/// the process: what standard output cannot take is an error with a sentence and a status, a pipe that
/// nobody reads any more is none, and a message that cannot be shown is left out.
package final class Printer: Sendable {
  /// Standard output.
  package static let results = Printer(.output)
  /// Standard error.
  package static let messages = Printer(.errors)

  /// Whether a person looks at it, so that a line can be written anew.
  package let isTerminal: Bool
  private let usesStyle: Bool
  private let write: @Sendable (String) throws -> Void
  private let state = Mutex(State())

  private struct State {
    /// Whether a line stands that is to be written anew.
    var hasLine = false
    /// Whether nobody reads any more.
    var isClosed = false
  }

  /// Whether nobody reads any more, so that what is to come need not be made.
  package var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Bold text and rewritten lines are for terminals only, and not where `NO_COLOR` is set
  /// (https://no-color.org) or `TERM` is "dumb".
  private convenience init(_ stream: StandardStream) {
    let environment = ProcessInfo.processInfo.environment
    let isTerminal = stream.isTerminal && environment["TERM"] != "dumb"
    self.init(
      isTerminal: isTerminal, usesStyle: isTerminal && environment["NO_COLOR"]?.isEmpty ?? true
    ) { try stream.write(Array($0.utf8)) }
  }

  /// Creates a printer that writes anywhere.
  package init(
    isTerminal: Bool, usesStyle: Bool, write: @escaping @Sendable (String) throws -> Void
  ) {
    (self.isTerminal, self.usesStyle, self.write) = (isTerminal, usesStyle, write)
  }

  /// Prints a text and `end`, which ends its line.
  ///
  /// - Throws: `FileError` when it cannot be written, as on a full disk.
  package func print(_ text: String, isBold: Bool = false, end: String = "\n") throws {
    let text = text.harmless
    try put((isBold && usesStyle ? "\u{1B}[1m\(text)\u{1B}[0m" : text) + end, isLine: false)
  }

  /// Prints data for another program: unchanged, except on a terminal.
  ///
  /// - Throws: `FileError`.
  package func print(data: String) throws {
    try put((isTerminal ? data.harmless : data) + "\n", isLine: false)
  }

  /// Prints whole lines of data, with their ends, for another program: unchanged, except on a terminal.
  ///
  /// - Throws: `FileError`.
  package func print(lines: [UInt8]) throws {
    guard !lines.isEmpty else { return }
    guard isTerminal else { return try put(String(decoding: lines, as: UTF8.self), isLine: false) }
    try put(String(decoding: lines, as: UTF8.self).harmless, isLine: false)
  }

  /// Prints a message, if anybody can see it.
  package func note(_ text: String) { try? print(text) }

  /// Prints the sentence of an error in one line, if anybody can see it.
  package func note(_ error: any Error) { note("apus: \("\(error)".replacing("\n", with: "\\n"))") }

  /// Shows a line that the next one takes the place of; on what is no terminal, a line like others.
  package func rewrite(_ label: String, _ line: String) {
    let label = usesStyle && !label.isEmpty ? "\u{1B}[1m\(label.harmless)\u{1B}[0m" : label.harmless
    let text = label + line.harmless
    try? put(isTerminal ? text : text + "\n", isLine: isTerminal)
  }

  /// Takes away the line that is written anew, if there is one.
  package func endLine() {
    if state.withLock({ $0.hasLine }) { try? put("", isLine: false) }
  }

  private func put(_ text: String, isLine: Bool) throws {
    try state.withLock { state in
      guard !state.isClosed else { return }
      let start = state.hasLine || isLine ? "\r\u{1B}[K" : ""
      state.hasLine = isLine
      do { try write(start + text) } catch let error as FileError where error.isClosed {
        state.isClosed = true
      }
    }
  }
}

extension String {
  /// The text without what steers a terminal or turns the direction of writing: control characters of
  /// both sets but for tabs and line feeds, separators of lines and paragraphs, and marks of direction
  /// become `\u001b` and the like, as JSON writes them too.
  package var harmless: String {
    guard unicodeScalars.contains(where: \.isHarmful) else { return self }
    var result = String.UnicodeScalarView()
    for scalar in unicodeScalars {
      if scalar.isHarmful {
        let digits = String(scalar.value, radix: 16)
        result += "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".unicodeScalars
      } else {
        result.append(scalar)
      }
    }
    return String(result)
  }
}

extension Unicode.Scalar {
  fileprivate var isHarmful: Bool {
    switch value {
    case 0x09, 0x0A: false
    case 0..<0x20, 0x7F..<0xA0, 0x61C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}
