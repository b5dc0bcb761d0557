import Foundation
import Testing

@Suite("Command that compares")
struct CompareCommandTests {
  @Test("every model that fails stays a row, and the command fails when no other is left")
  func failures() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(priceTable(rows: 260), to: "prices.csv")
    func compare(_ models: String, output: String) throws -> CommandResult {
      // Rotary positions need an even head size, and a width of 3 makes one head of 3.
      try apus(
        "compare", data, "--target", "close", "--models", models, "--width", "3", "--steps", "2",
        "--seeds", "1", "--context", "8", "--horizon", "1", "--quiet", "--output",
        folder.path + "/" + output)
    }
    let alone = try compare("transformer", output: "one")
    #expect(alone.status == 1 && alone.errors.contains("every model failed"), "\(alone.errors)")
    #expect(FileManager.default.fileExists(atPath: folder.path + "/one/report.html"))
    let both = try compare("transformer,lstm", output: "two")
    #expect(both.status == 0, "\(both.errors)")
    let json = try Data(
      contentsOf: URL(fileURLWithPath: folder.path + "/two/leaderboard.json"))
    let board = try #require(try JSONSerialization.jsonObject(with: json) as? [String: Any])
    let rows = try #require(board["rows"] as? [[String: Any]])
    let status = Dictionary(
      uniqueKeysWithValues: rows.map { ($0["name"] as? String ?? "", $0["status"] as? String) })
    #expect(status["transformer"] == "failed" && status["lstm"] == "ok")
  }

  @Test("patches train, and must fill the context")
  func patches() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(priceTable(rows: 260), to: "prices.csv")
    func compare(_ patch: String) throws -> CommandResult {
      try apus(
        "compare", data, "--target", "close", "--models", "mamba", "--steps", "4", "--seeds", "1",
        "--context", "16", "--width", "8", "--patch", patch, "--json", "--quiet", "--output",
        folder.path + "/out")
    }
    let refused = try compare("5")
    #expect(refused.status == 78 && refused.errors.contains("divide the context, 16"))
    let found = try compare("4")
    #expect(found.status == 0 && found.output.contains(#""name" : "mamba""#), "\(found.errors)")
  }

  @Test(
    "an option of series is not taken for a text and ignored", arguments: ["compare", "train"],
    [["--patch", "4"], ["--horizon", "3"], ["--target", "x"], ["--day-first"]])
  func seriesOptions(command: String, option: [String]) throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("To be or not to be.", to: "text.txt")
    let rest = command == "train" ? ["--model", "mamba", "--data", text] : [text]
    let result = try apus([command] + rest + option + ["--output", folder.path + "/out"])
    #expect(result.status == 64 && result.errors.contains("\(option[0]) is for series"))
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
  }

  @Test(
    "a number below what is allowed is named",
    arguments: [
      ["--threads", "-1"], ["--budget", "-3s"], ["--steps", "-2"], ["--horizon", "-1"],
      ["--learning-rate", "-0.1"],
    ])
  func negativeNumbers(option: [String]) throws {
    let result = try apus(["compare", "none.csv"] + option)
    #expect(result.status == 64)
    #expect(result.errors.contains(option[0]) && !result.errors.contains("Missing"))
  }
}
