import ApusCLI
import ApusTensor
import Foundation
import Synchronization
import Testing

@Suite("Printer")
struct PrinterTests {
  /// What a printer wrote.
  final class Written: Sendable {
    let text = Mutex("")

    func printer(isTerminal: Bool, usesStyle: Bool? = nil) -> Printer {
      Printer(isTerminal: isTerminal, usesStyle: usesStyle ?? isTerminal) { text in
        self.text.withLock { $0 += text }
      }
    }

    func take() -> String {
      text.withLock { text in
        defer { text = "" }
        return text
      }
    }
  }

  @Test("text cannot steer a terminal or turn its direction, and stays what it was otherwise")
  func harmless() {
    #expect("plain ümläut 日本 🎉\ttab\nline".harmless == "plain ümläut 日本 🎉\ttab\nline")
    #expect(
      "\u{1B}[31mred\u{7}\r\u{0}\u{7F}".harmless == "\\u001b[31mred\\u0007\\u000d\\u0000\\u007f")
    #expect("\u{9B}2J\u{85}".harmless == "\\u009b2J\\u0085")
    #expect(
      "a\u{202E}txt.exe\u{2066}\u{200F}\u{61C}".harmless == "a\\u202etxt.exe\\u2066\\u200f\\u061c")
    for value in UInt32(0)...0x2100 {
      guard let scalar = Unicode.Scalar(value) else { continue }
      let shown = String(scalar).harmless.unicodeScalars
      let mayPass =
        ![.control, .lineSeparator, .paragraphSeparator].contains(scalar.properties.generalCategory)
        && !(scalar.properties.isBidiControl)
      #expect(shown.elementsEqual([scalar]) == (mayPass || value == 9 || value == 10), "\(value)")
    }
  }

  @Test("JSON with such characters stays JSON of the same value")
  func json() throws {
    let names = ["\u{1B}[2J", "a\u{202E}b", "\u{9B}", "\"\\\n", "\u{7F}"]
    let text = String(decoding: try JSONEncoder().encode(names), as: UTF8.self).harmless
    #expect(!text.unicodeScalars.contains { $0.value < 32 || (127..<160).contains($0.value) })
    #expect(try JSONDecoder().decode([String].self, from: Data(text.utf8)) == names)
  }

  @Test("styles and rewritten lines are for terminals")
  func terminals() throws {
    let written = Written()
    let terminal = written.printer(isTerminal: true)
    try terminal.print("a\u{1B}b", isBold: true)
    #expect(written.take() == "\u{1B}[1ma\\u001bb\u{1B}[0m\n")
    terminal.rewrite("mamba", " 1 %")
    terminal.rewrite("mamba", " 2 %")
    terminal.note("damaged")
    #expect(
      written.take()
        == "\r\u{1B}[K\u{1B}[1mmamba\u{1B}[0m 1 %\r\u{1B}[K\u{1B}[1mmamba\u{1B}[0m 2 %\r\u{1B}[Kdamaged\n"
    )
    terminal.endLine()
    #expect(written.take().isEmpty)
    terminal.rewrite("", "4 %")
    terminal.endLine()
    #expect(written.take() == "\r\u{1B}[K4 %\r\u{1B}[K")
    let file = written.printer(isTerminal: false)
    try file.print("a", isBold: true)
    try file.print(data: "id\u{1B},1")
    file.rewrite("mamba", " 1 %")
    file.endLine()
    #expect(written.take() == "a\nid\u{1B},1\nmamba 1 %\n")
    try written.printer(isTerminal: true).print(data: "id\u{1B},1")
    #expect(written.take() == "id\\u001b,1\n")
  }

  @Test("an error is one line, whatever names it holds")
  func errors() {
    let written = Written()
    written.printer(isTerminal: false).note(UsageError("'a\nb\u{1B}' is wrong."))
    #expect(written.take() == "apus: 'a\\nb\\u001b' is wrong.\n")
  }

  @Test(
    "a pipe that nobody reads closes the printer, a full disk is an error, a message is neither")
  func failures() throws {
    let tries = Mutex(0)
    let closed = Printer(isTerminal: false, usesStyle: false) { _ in
      tries.withLock { $0 += 1 }
      throw FileError("write", "standard output", code: EPIPE)
    }
    #expect(!closed.isClosed)
    try closed.print("a")
    try closed.print("b")
    #expect(closed.isClosed && tries.withLock { $0 } == 1)
    let full = Printer(isTerminal: false, usesStyle: false) { _ in
      throw FileError("write", "standard output", code: ENOSPC)
    }
    #expect(throws: FileError("write", "standard output", code: ENOSPC)) { try full.print("a") }
    full.note("not seen")
    full.rewrite("not", "seen")
    #expect(!full.isClosed)
  }
}
