import ApusTestSupport
import Foundation
import Testing

@Suite("apus embed and apus inspect")
struct EncoderCommandTests {
  static func json(_ text: String) throws -> Any {
    try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
  }

  /// A copy of an encoder's fixture with a vocabulary, so that it takes text.
  static func model(in folder: TemporaryFolder) throws -> String {
    let fixture = try #require(goldenFolders("/encoders").first { $0.hasSuffix("/minilm") })
    let model = folder.path + "/model"
    try FileManager.default.copyItem(atPath: fixture, toPath: model)
    let pieces =
      [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "swifts", "sleep", "##s", "on", "the", "wing",
        ".",
      ]
    try Data((pieces.joined(separator: "\n") + "\n").utf8)
      .write(to: URL(filePath: model + "/vocab.txt"))
    return model
  }

  @Test("a line in, a vector out, in order and whatever the batch")
  func embed() throws {
    let folder = try TemporaryFolder()
    let model = try Self.model(in: folder)
    let lines = ["Swifts sleep on the wing.", "", "the wing", "Swifts sleep on the wing."]
    let result = try apus("embed", "--model", model, input: lines.joined(separator: "\n") + "\n")
    #expect(result.status == 0, "\(result.errors)")
    let vectors = try #require(try Self.json(result.output) as? [[Double]])
    #expect(vectors.count == 4 && vectors.allSatisfy { $0.count == 20 })
    #expect(vectors[0] == vectors[3] && vectors[0] != vectors[2])
    for vector in vectors { #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5) }
    let one = try apus("embed", "--model", model, "--json", input: "the wing")
    let object = try #require(try Self.json(one.output) as? [String: Any])
    #expect(object["tokens"] as? [Int] == [4] && object["dimensions"] as? Int == 20)
    let alone = try #require((object["embeddings"] as? [[Double]])?.first)
    for (a, b) in zip(alone, vectors[2]) { #expect(abs(a - b) < 1e-6) }
    let none = try apus("embed", "--model", model)
    #expect(none.status == 0 && none.output == "[]\n")
  }

  @Test("what is no sentence encoder is refused with the code for it")
  func refused() throws {
    let folder = try TemporaryFolder()
    let fixture = try #require(goldenFolders("/encoders").first { $0.hasSuffix("/minilm") })
    let bare = try apus("embed", "--model", fixture, input: "x")
    #expect(bare.status == 66 && bare.errors.contains("tokenizer.json or vocab.txt"))
    let ids = try folder.write("[1]", to: "ids.json")
    let headless = try apus("score", "--model", fixture, "--tokens", ids)
    #expect(headless.status == 65 && headless.errors.contains("apus embed"), "\(headless.errors)")
    let language = try #require(goldenFolders().first { $0.hasSuffix("/gpt2") })
    #expect(try apus("embed", "--model", language, input: "x").status == 65)
    #expect(try apus("embed", "--model", "none", input: "x").status == 66)
  }

  @Test("inspect tells a folder, a file and a configuration apart")
  func inspect() throws {
    let fixture = try #require(goldenFolders().first { $0.hasSuffix("/mamba") })
    let folder = try apus("inspect", fixture, "--tensors")
    #expect(folder.status == 0 && folder.output.contains("architecture: mamba"))
    #expect(folder.output.contains("backbone.embeddings.weight\t[37, 20]\tF32\t2960"))
    let file = try apus("inspect", fixture + "/model.safetensors", "--json")
    let found = try #require(try Self.json(file.output) as? [String: Any])
    #expect(found["can_run"] as? Bool == false)
    #expect((found["parameters"] as? Int ?? 0) > 0)
    let config = try apus("inspect", fixture + "/config.json", "--json")
    let again = try #require(try Self.json(config.output) as? [String: Any])
    #expect(again["parameters"] as? Int == found["parameters"] as? Int)
    #expect(again["can_run"] as? Bool == true)
    #expect(try apus("inspect", "none").status == 66)
  }
}
