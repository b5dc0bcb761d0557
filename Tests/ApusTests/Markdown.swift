import Foundation

/// The files of the repository that this test belongs to.
enum Repository {
  /// The top folder.
  static let folder = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  /// The text of the file at `path`, counted from the top folder.
  static func text(_ path: String) throws -> String {
    try String(contentsOf: folder.appending(path: path), encoding: .utf8)
  }

  /// The names of the files in a folder that end in `suffix`, as paths from the top, sorted.
  static func files(in path: String, suffix: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: path).path())
      .filter { $0.hasSuffix(suffix) }.sorted().map { "\(path)/\($0)" }
  }
}

/// A Markdown text, cut into blocks.
struct Markdown {
  /// Lines that belong together.
  struct Block: Equatable {
    /// What the lines are.
    enum Kind: Equatable {
      /// A paragraph, a list or a table.
      case text
      case heading
      /// A comment of HTML, which readers do not see.
      case comment
      /// Between fences, or indented; the language is empty where none is named.
      case code(language: String)
    }
    let kind: Kind
    /// The lines, without fences, and without the marks of a heading or a comment.
    let text: String
    /// The number of the first line, from 1.
    let line: Int
    /// The titles above, outermost first.
    let headings: [String]
  }

  /// The blocks, in order.
  let blocks: [Block]

  /// Cuts a text into blocks.
  init(_ text: String) {
    var cutter = Cutter()
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      cutter.take(String(line))
    }
    cutter.end()
    blocks = cutter.blocks
  }
}

/// Takes the lines of a text one by one.
private struct Cutter {
  private(set) var blocks: [Markdown.Block] = []
  private var headings: [String] = []
  private var kind = Markdown.Block.Kind.text
  private var isFenced = false
  private var lines: [String] = []
  private var first = 0
  private var number = 0

  mutating func take(_ line: String) {
    number += 1
    if isFenced {
      if line.hasPrefix("```") { end() } else { append(line) }
    } else if kind == .comment {
      append(line)
      if line.contains("-->") { end() }
    } else {
      open(line)
    }
  }

  mutating func end() {
    defer { (kind, isFenced, lines) = (.text, false, []) }
    guard !lines.isEmpty else { return }
    var text = lines.joined(separator: "\n")
    if kind == .comment {
      text = text.replacing("<!--", with: "").replacing("-->", with: "")
        .trimmingCharacters(in: .whitespacesAndNewlines)
    }
    blocks.append(.init(kind: kind, text: text, line: first, headings: headings))
  }

  /// A line that is inside neither fences nor a comment.
  private mutating func open(_ line: String) {
    if line.hasPrefix("```") {
      end()
      (kind, isFenced) = (.code(language: String(line.dropFirst(3))), true)
    } else if line.hasPrefix("<!--") {
      end()
      kind = .comment
      append(line)
      if line.contains("-->") { end() }
    } else if let title = line.wholeMatch(of: /(#+) +(.*)/) {
      end()
      headings = headings.prefix(title.1.count - 1) + [String(title.2)]
      kind = .heading
      append(String(title.2))
      end()
    } else if line.allSatisfy(\.isWhitespace) {
      end()
    } else {
      if lines.isEmpty, line.hasPrefix("    ") { kind = .code(language: "") }
      append(line)
    }
  }

  private mutating func append(_ line: String) {
    if lines.isEmpty { first = number }
    lines.append(line)
  }
}
