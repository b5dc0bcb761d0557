import ApusTestSupport
import Foundation
import Testing

@Suite("The audit command")
struct AuditCommandTests {
  /// A walk with a column of it some rows earlier, or later.
  private static func table(_ shift: Int, split: (Int) -> String = { _ in "" }) -> String {
    var generator = SplitMix(state: 3)
    var level = 0.0
    let walk = (0..<120).map { _ in
      level += generator.normal()
      return level
    }
    var lines = ["date,y,f,split"]
    for row in 10..<110 {
      let day = "2024-\(row / 28 + 1)-\(row % 28 + 1)"
      lines.append("\(day),\(walk[row]),\(walk[row - shift]),\(split(row))")
    }
    return lines.joined(separator: "\n")
  }

  private struct Report: Decodable {
    struct Check: Decodable {
      struct Finding: Decodable {
        let column, time: String?
        let evidence, advice: String
      }
      let kind, status, detail: String
      let findings: [Finding]
    }
    let checks: [Check]
  }

  @Test("a leak ends with 2 and is told with column and time; its clean twin ends with 0")
  func statuses() throws {
    let folder = try TemporaryFolder()
    let leak = try folder.write(Self.table(-1), to: "leak.csv")
    let clean = try folder.write(Self.table(1), to: "clean.csv")
    let found = try apus("audit", leak, "--target", "y")
    #expect(found.status == 2 && found.errors.isEmpty, "\(found.errors)")
    #expect(found.output.hasPrefix("1 leak found; 10 of 13 checks could not be made\n"))
    #expect(found.output.contains("f, 2024-01-11, line 2: Every value is y 1 row later"))
    let passed = try apus("audit", clean, "--target", "y")
    #expect(passed.status == 0 && passed.output.hasPrefix("No leak found;"))

    let json = try apus("audit", leak, "--target", "y", "--json")
    let report = try JSONDecoder().decode(Report.self, from: Data(json.output.utf8))
    let check = try #require(report.checks.first { $0.status == "leak" })
    #expect(json.status == 2 && check.kind == "shifted_target")
    #expect(check.findings[0].column == "f" && check.findings[0].time == "2024-01-11")
  }

  @Test("a model is tried on its own rows, or on those given")
  func model() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(Self.table(1), to: "clean.csv")
    let model = folder.path + "/ets"
    let trained = try apus(
      "train", "--model", "ets", "--data", data, "--target", "y", "--output", model, "-q")
    #expect(trained.status == 0, "\(trained.errors)")
    for words in [["audit", "--model", model], ["audit", data, "--model", model]] {
      let result = try apus(words)
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.output.contains("forecasts are the same to the bit, whatever comes later"))
    }
  }

  @Test("what makes no sense is refused in a sentence")
  func refusals() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(Self.table(1) { $0 < 80 ? "train" : "tset" }, to: "odd.csv")
    let cases: [(words: [String], status: Int32, text: String)] = [
      (["audit"], 64, "give DATA, or --model DIR"),
      (["audit", "--horizon", "3"], 64, "is about the rows of DATA"),
      (["audit", data, "--target", "y", "--split", "split"], 65, "found 'tset' in column 'split'"),
      (
        ["audit", data, "--target", "y", "--test-from", "soon"], 64, "expected a time such as 2024"
      ),
      (["audit", data, "--target", "y", "--future", "x"], 65, "found no column 'x'"),
      (["audit", data, "--target", "y", "--cut", "2024-02-01"], 64, "Give that too"),
      (["audit", data, "--split", "a", "--splits", "b"], 64, "not both"),
      (["audit", folder.path + "/none.csv"], 66, "there is no such file"),
    ]
    for (words, status, text) in cases {
      let result = try apus(words)
      #expect(result.status == status, "\(words): \(result.status) \(result.errors)")
      #expect(result.errors.contains(text), "\(words): \(result.errors)")
      #expect(result.output.isEmpty)
    }
  }
}
