import ApusTensor
import Foundation
import Testing

@Suite("Errors of Apus")
struct ApusErrorTests {
  @Test("a name typed wrong gets the nearest one, and a strange one gets none")
  func suggestions() {
    let known = ["transformer", "mamba", "mamba2", "lstm"]
    func found(_ name: String) -> String { suggestion(for: name, among: known) }
    #expect(found("mumba") == " Did you mean 'mamba'?")
    #expect(found("trasnformer") == " Did you mean 'transformer'?")
    #expect(found("MAMBA") == " Did you mean 'mamba'?")
    #expect(found("lst") == " Did you mean 'lstm'?")
    #expect(found("oracle").isEmpty && found("").isEmpty)
    #expect(suggestion(for: "x", among: []).isEmpty)
    #expect(found(String(repeating: "m", count: 1_000_000)).isEmpty)
  }

  @Test("every public error of the library says its own exit status")
  func conformance() throws {
    let sources = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "Sources").path
    let files = try #require(FileManager.default.enumerator(atPath: sources))
      .compactMap { $0 as? String }.filter { $0.hasSuffix(".swift") }
    var (declared, conforming) = (Set<String>(), Set<String>())
    for file in files {
      let text = try String(contentsOfFile: sources + "/" + file, encoding: .utf8)
      for match in text.matches(
        of: /public (?:enum|struct) (\w+): (?:[\w, ]*\b)?(?:Error|ApusError)\b/)
      {
        declared.insert(String(match.1))
      }
      for match in text.matches(of: /(?:enum|struct|extension) (\w+): ApusError\b/) {
        conforming.insert(String(match.1))
      }
    }
    #expect(declared.count > 20)
    #expect(
      declared.subtracting(conforming).isEmpty, "\(declared.subtracting(conforming).sorted())")
  }
}
