import ApusTestSupport
import Foundation
import Testing

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

@Suite("What is no input")
struct InputCommandTests {
  @Test("a pipe, a folder or a device in the place of a file is refused at once")
  func special() throws {
    let folder = try TemporaryFolder()
    let gpt2 = try #require(goldenFolders().first { $0.hasSuffix("/gpt2") })
    #expect(mkfifo(folder.path + "/pipe", 0o600) == 0)
    for file in [folder.path + "/pipe", folder.path, "/dev/zero"] {
      for arguments in [
        ["probe", "--recipe", file], ["bench", "train", "--config", file],
        ["score", "--model", gpt2, "--tokens", file],
        ["compare", file, "--output", folder.path + "/c"],
        ["train", "--model", "lstm", "--data", file, "--output", folder.path + "/out"],
        [
          "train", "--model", "lstm", "--data", file, "--kind", "text", "--output",
          folder.path + "/o",
        ],
      ] {
        let result = try apus(arguments)
        #expect([65, 73].contains(result.status), "\(arguments): \(result.errors)")
        #expect(result.output.isEmpty && result.errors.hasSuffix(".\n"), "\(result.errors)")
      }
    }
  }

  @Test("a line of three megabytes is told, and none of it kept")
  func longLine() throws {
    let folder = try TemporaryFolder()
    let model = try EncoderCommandTests.model(in: folder)
    let long = String(repeating: "wing ", count: 600_000)
    let embedded = try apus("embed", "--model", model, input: "the wing\n\(long)\n")
    #expect(embedded.status == 65 && embedded.errors.contains("line 2"), "\(embedded.errors)")
    let forecaster = RegressionTests.folder + "/forecast-plain/model"
    let days = ["2018-01-01,100,5", long, "2018-01-02,101,5", "2018-01-03,102,5"]
    let rows = (["date,close,volume"] + days).joined(separator: "\n")
    let streamed = try apus("stream", "--model", forecaster, input: rows)
    #expect(streamed.status == 0 && streamed.lines.count == 3, "\(streamed.errors)")
    #expect(streamed.errors.contains("line 3: found more than 1048576 bytes"))
  }

  @Test("vectors of many lines are those of one line each")
  func manyLines() throws {
    let folder = try TemporaryFolder()
    let model = try EncoderCommandTests.model(in: folder)
    let lines = (0..<5000).map { ["the wing", "swifts sleep", ""][$0 % 3] }
    let text = try apus(
      "embed", "--model", model, "--json", input: lines.joined(separator: "\n") + "\n")
    let object = try #require(try EncoderCommandTests.json(text.output) as? [String: Any])
    let vectors = try #require(object["embeddings"] as? [[Double]])
    #expect(vectors.count == 5000 && object["tokens"] as? [Int] == lines.map { $0.isEmpty ? 2 : 4 })
    #expect(vectors[4098] == vectors[0] && vectors[4999] == vectors[1])
  }

  @Test("names are guarded in CSV unless asked otherwise, and never in JSON")
  func formulas() throws {
    let folder = try TemporaryFolder()
    let table = priceTable(rows: 30).split(separator: "\n")
    let named = ["=1+1", "b"].flatMap { id in table.dropFirst().map { "\(id),\($0)" } }
    let rows = (["id,\(table[0])"] + named).joined(separator: "\n")
    let data = try folder.write(rows, to: "prices.csv")
    let model = RegressionTests.folder + "/forecast-plain/model"
    func forecast(_ more: String...) throws -> String {
      let result = try apus(["forecast", "--model", model, "--data", data] + more)
      #expect(result.status == 0, "\(result.errors)")
      return result.output
    }
    #expect(try forecast().contains("\n'=1+1,2018"))
    #expect(try forecast("--no-formula-guard").contains("\n=1+1,2018"))
    #expect(try forecast("--json").contains("\"=1+1\""))
  }
}
