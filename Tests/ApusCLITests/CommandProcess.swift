import Foundation

/// What a run of the built executable left behind.
struct CommandResult {
  let status: Int32
  let output: String
  let errors: String

  /// Lines of the output.
  var lines: [Substring] { output.split(separator: "\n") }
}

/// The executable lies beside the tests.
let executable: URL = {
  let tests = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
  var folder = tests.deletingLastPathComponent()
  while folder.path != "/", !FileManager.default.isExecutableFile(atPath: folder.path + "/apus") {
    folder.deleteLastPathComponent()
  }
  return folder.appendingPathComponent("apus")
}()

/// Runs `apus` to its end.
func apus(_ arguments: String..., input: String = "") throws -> CommandResult {
  try apus(arguments, input: input)
}

/// Runs `apus` to its end, in a folder of its own where one is given; where a signal is given, it is sent
/// once the command has written to standard error.
func apus(
  _ arguments: [String], input: String = "", in place: String? = nil, signal: Int32? = nil
) throws -> CommandResult {
  try run(executable.path, arguments, input: input, in: place, signal: signal)
}

/// Runs a program to its end, as above.
func run(
  _ program: String, _ arguments: [String], input: String = "", in place: String? = nil,
  signal: Int32? = nil
) throws -> CommandResult {
  let folder = try TemporaryFolder()
  let process = Process()
  process.executableURL = URL(filePath: program)
  process.arguments = arguments
  if let place { process.currentDirectoryURL = URL(filePath: place) }
  process.environment = ProcessInfo.processInfo.environment.merging(["NO_COLOR": "1"]) { $1 }
  // Files rather than pipes: none of them can fill up.
  let names = ["in", "out", "err"].map { folder.path + "/" + $0 }
  for name in names {
    _ = FileManager.default.createFile(
      atPath: name, contents: Data(name == names[0] ? input.utf8 : "".utf8))
  }
  process.standardInput = FileHandle(forReadingAtPath: names[0])
  process.standardOutput = FileHandle(forWritingAtPath: names[1])
  process.standardError = FileHandle(forWritingAtPath: names[2])
  func text(_ name: String) -> String {
    String(decoding: FileManager.default.contents(atPath: name) ?? Data(), as: UTF8.self)
  }
  try process.run()
  if let signal {
    for _ in 0..<6000 where text(names[2]).isEmpty && process.isRunning { usleep(10_000) }
    kill(process.processIdentifier, signal)
  }
  process.waitUntilExit()
  return CommandResult(
    status: process.terminationStatus, output: text(names[1]), errors: text(names[2]))
}

/// A folder that goes away with the value.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/apus-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file and returns its path.
  func write(_ text: String, to name: String) throws -> String {
    let file = path + "/" + name
    try Data(text.utf8).write(to: URL(fileURLWithPath: file))
    return file
  }
}

/// Business-day prices that wander without chance.
func priceTable(rows: Int) -> String {
  var lines = ["date,open,close,volume"]
  var (day, price) = (0, 100.0)
  for row in 0..<rows {
    price *= 1 + 0.01 * sin(Double(row * row % 97))
    let date = Date(timeIntervalSince1970: 1_514_764_800 + Double(day) * 86_400)
    let stamp = date.formatted(.iso8601.year().month().day())
    lines.append("\(stamp),\(price - 1),\(price),\(1000 + row % 13)")
    day += row % 5 == 4 ? 3 : 1
  }
  return lines.joined(separator: "\n") + "\n"
}
