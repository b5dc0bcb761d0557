import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("apus score")
struct ScoreCommandTests {
  /// The ids of each row without padding; nil where segments matter, which a list of ids has none of.
  private static func rows(_ known: [String: Tensor]) throws -> [[Int32]]? {
    let ids = try #require(known["input_ids"])
    if let types = known["token_type_ids"], types.integers.contains(where: { $0 != 0 }) {
      return nil
    }
    let (batch, time) = (ids.shape[0], ids.shape[1])
    let mask = known["attention_mask"]?.integers ?? Array(repeating: 1, count: batch * time)
    return (0..<batch).map { row in
      (row * time..<(row + 1) * time).filter { mask[$0] != 0 }.map { ids.integers[$0] }
    }
  }

  @Test(
    "writes the logits of every golden fixture", .slow,
    arguments: try goldenFolders() + goldenFolders("/encoders"))
  func golden(fixture: String) throws {
    let known = try Safetensors.load(fixture + "/case.safetensors")
    guard let expected = known["logits"], let rows = try Self.rows(known) else { return }
    let (width, vocabulary) = (expected.shape[1], expected.shape[2])
    let folder = try TemporaryFolder()
    for (row, tokens) in rows.enumerated() {
      let time = tokens.count
      let file = try folder.write("\(tokens)", to: "ids.json")
      let output = folder.path + "/logits.safetensors"
      let result = try apus(
        "score", "--model", fixture, "--tokens", file, "--logits", output, "--json")
      #expect(result.status == 0, "\(result.errors)")
      let written = try SafetensorsFile(path: output)
      #expect(written.entries.map(\.name) == ["logits"])
      let logits = try written.tensor("logits")
      #expect(logits.shape == [time, vocabulary])
      let range = row * width * vocabulary..<(row * width + time) * vocabulary
      expectClose(logits.values, Array(expected.values[range]), absolute: 1e-4, "row \(row)")
      let printed = try #require(
        try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
      #expect(printed["tokens"] as? [Int32] == tokens)
      let scores = try #require(printed["log_probabilities"] as? [Any])
      let isCausal = scores.first is NSNull
      #expect(scores.count == time)
      for t in 0..<time where !(isCausal && t == 0) {
        let start = range.lowerBound + (isCausal ? t - 1 : t) * vocabulary
        let row = expected.values[start..<start + vocabulary].map(Double.init)
        let top = row.max() ?? 0
        let logSum = top + log(row.reduce(0) { $0 + exp($1 - top) })
        let score = try #require(scores[t] as? Double)
        #expect(abs(score - (row[Int(tokens[t])] - logSum)) < 1e-4, "token \(t)")
      }
    }
  }

  @Test("prints a line per token")
  func lines() throws {
    let folder = try TemporaryFolder()
    let fixture = try #require(goldenFolders().first { $0.hasSuffix("/gpt2") })
    let file = try folder.write("[5, 17, 2]", to: "ids.json")
    let result = try apus("score", "--model", fixture, "--tokens", file)
    #expect(result.status == 0 && result.lines.count == 3, "\(result.errors)")
    #expect(result.lines[0] == "0\t5\t" && result.lines[2].hasPrefix("2\t2\t-"))
    #expect(result.errors.contains("perplexity"))
  }

  @Test(
    "says in a sentence what is wrong, and leaves no file",
    arguments: [
      (#"{"ids": [1]}"#, "'[' expected"), ("[1, 2.5]", "fraction found"),
      ("[1, -3]", "negative"), ("[1, \"2\"]", "whole number is expected"), ("[1, 2", "expected"),
      ("[]", "empty array"), ("", "expected"), ("[1, 61]", "ids are 0 to 60"),
      ("[9999999999]", "too large for an id"), ("[99999999999999999999999]", "larger"),
      ("[[1]]", "whole number is expected"), ("[1] 2", "follows"), ("[null]", "expected"),
      ("[" + String(repeating: "1,", count: 32) + "1]", "at most 32"),
      (String(repeating: "[", count: 100_000), "expected"),
    ])
  func badTokens(text: String, part: String) throws {
    let folder = try TemporaryFolder()
    let fixture = try #require(goldenFolders().first { $0.hasSuffix("/gpt2") })
    let file = try folder.write(text, to: "ids.json")
    let output = folder.path + "/logits.safetensors"
    let result = try apus("score", "--model", fixture, "--tokens", file, "--logits", output)
    #expect(result.status == 65 && result.output.isEmpty)
    #expect(result.errors.hasPrefix("apus: ") && result.errors.contains(part), "\(result.errors)")
    #expect(result.errors.split(separator: "\n").count == 1)
    let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(left == ["ids.json"])
  }

  @Test("names the folder, file or key at fault")
  func badFolders() throws {
    let folder = try TemporaryFolder()
    let ids = try folder.write("[1]", to: "ids.json")
    func score(_ model: String, _ tokens: String) throws -> CommandResult {
      try apus("score", "--model", model, "--tokens", tokens)
    }
    let fixture = try #require(goldenFolders().first { $0.hasSuffix("/gpt2") })
    #expect(try score(folder.path + "/none", ids).status == 66)
    #expect(try score(fixture, folder.path + "/none.json").status == 66)
    _ = try folder.write(#"{"model_type": "frobnitz"}"#, to: "config.json")
    let unknown = try score(folder.path, ids)
    #expect(unknown.status == 78 && unknown.errors.contains("'frobnitz'"), "\(unknown.errors)")
    _ = try folder.write(#"{"model_type": "gpt2"}"#, to: "config.json")
    let empty = try score(folder.path, ids)
    #expect(empty.status == 65 && empty.errors.contains("model.safetensors"), "\(empty.errors)")
    _ = try folder.write("[]", to: "config.json")
    #expect(try score(folder.path, ids).status == 78)
  }
}
