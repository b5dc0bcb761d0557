import ApusTestSupport
import Foundation
import Testing

/// Folders that `Scripts/fuzz` once found the command to stumble over, with what it was asked to do.
@Suite("What fuzzing found")
struct RegressionTests {
  struct Case: Decodable {
    let arguments: [String]
    let input: String
    /// The status it has to end with; nil where any good one will do.
    let status: Int32?
  }

  static let folder =
    URL(filePath: #filePath).deletingLastPathComponent().path
    + "/Fixtures/regressions"
  static let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()

  @Test("there is something to run") func isFound() { #expect(!Self.names.isEmpty) }

  @Test("ends with an answer or a sentence", arguments: names)
  func endsWell(name: String) throws {
    let folder = try TemporaryFolder()
    let place = folder.path + "/case"
    try FileManager.default.copyItem(atPath: Self.folder + "/" + name, toPath: place)
    let data = try Data(contentsOf: URL(filePath: place + "/case.json"))
    let wanted = try JSONDecoder().decode(Case.self, from: data)
    let result = try apus(wanted.arguments, input: wanted.input, in: place)
    // A signal's number is none of these.
    #expect([0, 1, 2, 64, 65, 66, 73, 74, 78].contains(result.status), "\(result.errors)")
    if let status = wanted.status { #expect(result.status == status, "\(result.errors)") }
    guard result.status != 0 else {
      let words = result.output.lowercased().split { !$0.isLetter }
      #expect(!words.contains("nan") && !words.contains("inf"))
      return
    }
    let last = result.errors.split(separator: "\n").last ?? ""
    #expect(last.hasSuffix(".") || result.errors.contains("Usage:"), "\(result.errors)")
    for word in ["Fatal error", "DecodingError", "EncodingError", "Optional("] {
      #expect(!result.errors.contains(word))
    }
  }
}
