import Apus
import ArgumentParser
import Foundation

/// What every command takes.
struct MachineOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: "Threads for the kernels; 0 takes all cores. No result depends on it.")
  var threads = 0

  @Flag(help: "Print the result as JSON.")
  var json = false

  func validate() throws {
    guard threads >= 0 else {
      throw ValidationError("--threads is \(threads), but it must be 0 (all cores) or more.")
    }
  }

  /// Puts the options into force.
  func apply() { Machine.setThreads(threads) }
}

/// Prints to standard error, where progress and remarks go.
func remark(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }

/// JSON to be read by people too, with sorted keys.
func jsonText(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.keyEncodingStrategy = .convertToSnakeCase
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}

/// One line of JSON with sorted keys.
func jsonLine(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.keyEncodingStrategy = .convertToSnakeCase
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}
