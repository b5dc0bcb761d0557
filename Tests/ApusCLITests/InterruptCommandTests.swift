import Foundation
import Testing

@Suite("Command that is interrupted")
struct InterruptCommandTests {
  @Test("says what ended, and ends with 128 and the signal", arguments: [SIGINT, SIGTERM])
  func pathways(signal: Int32) throws {
    let folder = try TemporaryFolder()
    let result = try apus(
      [
        "pathways", "train", "--tasks", "shapes", "--steps", "1000000", "--output",
        folder.path + "/many",
      ], signal: signal)
    #expect(result.status == 128 + signal, "\(result.errors)")
    #expect(result.errors.contains("apus: The training was interrupted; nothing was written."))
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/many/pathways.json"))
  }

  @Test("says which checkpoint stands, and goes on from it")
  func train() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(priceTable(rows: 260), to: "prices.csv")
    func train(_ more: [String], signal: Int32?) throws -> CommandResult {
      try apus(
        [
          "train", "--model", "lstm", "--data", data, "--target", "close", "--width", "8",
          "--steps", "1000000", "--output", folder.path + "/model",
        ] + more, signal: signal)
    }
    for more in [[], ["--resume"]] {
      let result = try train(more, signal: SIGINT)
      #expect(result.status == 130, "\(result.errors)")
      #expect(result.errors.contains("apus: The training was interrupted at step "))
      #expect(FileManager.default.fileExists(atPath: folder.path + "/model/checkpoints/LATEST"))
    }
  }
}
