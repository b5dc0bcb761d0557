import Foundation
import Testing

@Suite("Output that cannot be written")
struct OutputTests {
  /// Runs a shell command in which `apus` is the executable; the text is what standard error, where it
  /// goes to the shell's, and standard output hold.
  private func shell(_ script: String) throws -> (status: Int32, text: String) {
    let folder = try TemporaryFolder()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-c", "apus() { \"$APUS\" \"$@\"; }; " + script]
    process.environment = ProcessInfo.processInfo.environment.merging(["APUS": executable.path]) {
      $1
    }
    process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
    let pipe = Pipe()
    (process.standardOutput, process.standardError) = (pipe, pipe)
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    return (process.terminationStatus, String(decoding: data, as: UTF8.self))
  }

  @Test(
    "a full standard output ends with 74 and a sentence",
    .enabled(if: FileManager.default.fileExists(atPath: "/dev/full")),
    arguments: [
      "models", "env --json", "--help", "train --help", "--version",
      "--generate-completion-script bash",
    ])
  func full(command: String) throws {
    let result = try shell("apus \(command) > /dev/full")
    #expect(result.status == 74)
    #expect(result.text.hasPrefix("apus: Cannot write 'standard output': "), "\(result.text)")
    #expect(result.text.split(separator: "\n").count == 1)
  }

  @Test("a pipe that nobody reads ends a command quietly, with its own status")
  func brokenPipe() throws {
    #expect(try shell("set -o pipefail; apus models | true") == (0, ""))
    #expect(try shell("set -o pipefail; apus --help | true") == (0, ""))
    let first = try shell("set -o pipefail; apus models --json | head -c 1")
    #expect(first.status == 0 && first.text == "[")
  }

  @Test(
    "a standard error that cannot be written ends nothing",
    arguments: ["2>/dev/full", "2>&-", "2> >(true)"])
  func errors(redirection: String) throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(priceTable(rows: 200), to: "prices.csv")
    let result = try shell(
      "apus train --model lstm --data \(data) --target close --steps 3 --context 16 --width 8 "
        + "--output model \(redirection) && ls model")
    #expect(result.status == 0 && result.text.contains("model.safetensors"), "\(result.text)")
    #expect(try shell("apus inspect none \(redirection)").status == 66)
    #expect(try shell("apus --frobnicate \(redirection)").status == 64)
  }

  @Test("closed streams are not taken by files that are opened later")
  func closed() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(priceTable(rows: 200), to: "prices.csv")
    let train =
      "apus train --model lstm --data \(data) --target close --steps 2 --context 16 --width 8"
    let result = try shell(
      "\(train) --output a > log 2>&1; \(train) --output b >&- 2>&- <&-; echo $?; cmp a/model.safetensors b/model.safetensors && echo same"
    )
    #expect(result.text == "74\nsame\n", "\(result.text)")
  }

  @Test("names from files and arguments cannot steer the terminal")
  func controlCharacters() throws {
    let folder = try TemporaryFolder()
    let evil = "\u{1B}[31m\u{9B}2J\u{202E}\u{7}"
    let missing = try apus("inspect", "none\(evil)\nname")
    #expect(missing.status == 66 && missing.errors.split(separator: "\n").count == 1)
    let column = try folder.write(
      "date,\(evil)\n" + (1...30).map { "2018-01-\($0 < 10 ? "0" : "")\($0),\($0)\n" }.joined(),
      to: "a.csv")
    let table = try apus("compare", column, "--target", "x\(evil)", "--output", folder.path + "/o")
    #expect(table.status == 65)
    let header = #"{"a\u001b[31m":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
    var bytes = Data(withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) })
    bytes += Data(header.utf8) + Data(count: 4)
    try bytes.write(to: URL(fileURLWithPath: folder.path + "/a.safetensors"))
    let tensors = try apus("inspect", folder.path + "/a.safetensors", "--tensors")
    #expect(tensors.status == 0 && tensors.output.contains("a\\u001b[31m"), "\(tensors)")
    let option = try apus("models", "--\(evil)")
    for text in [missing.errors, table.errors, tensors.output, option.errors] {
      #expect(!text.isEmpty)
      #expect(
        !text.unicodeScalars.contains { ["\u{1B}", "\u{9B}", "\u{202E}", "\u{7}"].contains($0) })
    }
  }

  @Test("quiet hides progress, and no damaged checkpoint")
  func damagedCheckpoint() throws {
    let folder = try TemporaryFolder()
    let data = try folder.write(priceTable(rows: 200), to: "prices.csv")
    let model = folder.path + "/model"
    func train(_ more: String...) throws -> CommandResult {
      try apus(
        [
          "train", "--model", "lstm", "--data", data, "--target", "close", "--steps", "4",
          "--context",
          "16", "--width", "8", "--output", model, "-q",
        ] + more)
    }
    let first = try train()
    #expect(first.status == 0 && first.errors.isEmpty, "\(first.errors)")
    let checkpoints = model + "/checkpoints"
    let newest = try #require(
      try FileManager.default.contentsOfDirectory(atPath: checkpoints).filter {
        $0.hasPrefix("ckpt-")
      }
      .max { (Int($0.dropFirst(5)) ?? 0) < (Int($1.dropFirst(5)) ?? 0) })
    let file = checkpoints + "/\(newest)/model.safetensors"
    let handle = try #require(FileHandle(forWritingAtPath: file))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data([1]))
    try handle.close()
    let again = try train("--resume")
    #expect(again.errors.contains("damaged"), "status \(again.status): \(again.errors)")
  }
}
