import Foundation
import Testing

@Suite("apus probe")
struct ProbeCommandTests {
  @Test("prints accuracy by length, and all of it as JSON")
  func accuracy() throws {
    let arguments = [
      "probe", "--task", "induction", "--model", "lstm", "--width", "8", "--layers", "1", "--steps",
      "2", "--length", "16", "--lengths", "8,32", "--examples", "5", "--quiet",
    ]
    let text = try apus(arguments)
    #expect(text.status == 0 && text.errors.isEmpty, "\(text.errors)")
    #expect(text.lines.count == 3)
    #expect(text.lines[0].hasPrefix("induction, lstm: "))
    #expect(text.lines[1].hasPrefix("length        8  accuracy"))
    #expect(text.lines[2].hasPrefix("length       32  accuracy"))
    let json = try apus(arguments + ["--json"])
    let report = try #require(
      try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    let scores = try #require(report["scores"] as? [[String: Any]])
    #expect(scores.map { $0["length"] as? Int } == [8, 32])
    #expect(scores.allSatisfy { $0["answers"] as? Int == 5 })
    #expect(report["machine"] != nil && report["training"] != nil)
    let folder = try TemporaryFolder()
    let options = try JSONSerialization.data(withJSONObject: try #require(report["options"]))
    let recipe = try folder.write(String(decoding: options, as: UTF8.self), to: "recipe.json")
    let again = try apus("probe", "--recipe", recipe, "--json", "--quiet")
    let second = try #require(
      try JSONSerialization.jsonObject(with: Data(again.output.utf8)) as? [String: Any])
    let repeated = try #require(second["scores"] as? [[String: Any]])
    #expect(
      repeated.map { $0["correct"] as? Int } == scores.map { $0["correct"] as? Int },
      "a report's options are the recipe that makes it again")
  }

  @Test("says what is wrong, and with which status")
  func mistakes() throws {
    let nothing = try apus("probe")
    #expect(nothing.status == 64 && nothing.errors.contains("--task and --model, or --recipe"))
    let missing = try apus("probe", "--recipe", "/nowhere/recipe.json")
    #expect(missing.status == 66 && missing.errors.contains("'/nowhere/recipe.json'"))
    let folder = try TemporaryFolder()
    let recipe = try folder.write(
      #"{"task": "mqar", "model": "mamba", "widht": 3}"#, to: "recipe.json")
    let unknown = try apus("probe", "--recipe", recipe)
    #expect(unknown.status == 64 && unknown.errors.contains("'widht' means nothing"))
    let short = try apus("probe", "--task", "mqar", "--model", "lstm", "--length", "9")
    #expect(short.status == 64 && short.errors.contains("4 pairs and their questions take 16"))
    let model = try apus("probe", "--task", "mqar", "--model", "oracle")
    #expect(model.status == 78 && model.errors.contains("No architecture is called 'oracle'"))
    let key = try apus(
      "probe", "--task", "mqar", "--model", "mamba", "--set", "selectivity=false")
    #expect(key.status == 78 && key.errors.contains("no key 'selectivity'"))
    let value = try apus("probe", "--task", "mqar", "--model", "mamba", "--set", "selective")
    #expect(value.status == 64 && value.errors.contains("KEY=VALUE"))
  }
}
