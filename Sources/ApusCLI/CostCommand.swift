import Apus
import ApusTensor
import ArgumentParser
import Foundation

/// `apus lengths`: what a token costs as sequences grow.
struct CostCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lengths",
    abstract: "Measures what a token costs as sequences grow, for every architecture.",
    discussion: """
      EXAMPLE: apus lengths --models transformer,mamba --lengths 1024,4096,16384 --output cost

      Models of one width and about one cost at short lengths are trained on, read, and continued after \
      sequences of each length, one at a time. Writes OUTPUT.json and OUTPUT.svg. A length is left out \
      where a shorter one lets expect more than --limit.
      """)

  @Option(help: "all, or names separated by commas; see apus models.")
  var models = "all"
  @Option(parsing: .unconditional, help: "Lengths in tokens, separated by commas.")
  var lengths = "1024,2048,4096,8192,16384,32768,65536"
  @Option(help: "train, prefill or decode, or several separated by commas.")
  var tasks = "train,prefill,decode"
  @Option(parsing: .unconditional, help: "Width of the backbones.")
  var width = 256
  @Option(parsing: .unconditional, help: "Blocks of the backbones; Mamba gets two layers for each.")
  var layers = 4
  @Option(parsing: .unconditional, help: "The longest that a run may be expected to take.")
  var limit = TimeSpan(seconds: 60)
  @Option(help: "Where to write: OUTPUT.json and OUTPUT.svg. Default: JSON to standard output.")
  var output: String?
  @Flag(help: "Keep what OUTPUT.json has of other models and tasks.")
  var update = false
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    guard !update || output != nil else {
      throw ValidationError("--update needs --output, the measurement to be updated.")
    }
    try requireRange([("--width", width, 1...8192), ("--layers", layers, 1...256)])
    guard limit.seconds > 0 else {
      throw ValidationError("--limit must be above 0 seconds.")
    }
    _ = try measurement()
  }

  private func measurement() throws -> CostMeasurement {
    var measurement = CostMeasurement()
    (measurement.width, measurement.blocks) = (width, layers)
    measurement.limitSeconds = limit.seconds
    if models != "all" { measurement.models = commaSeparated(models) }
    measurement.lengths = try commaSeparated(lengths).map { text in
      guard let length = Int(text), (1...4_194_304).contains(length) else {
        throw ValidationError("--lengths has '\(text)', but lengths are in 1...4194304.")
      }
      return length
    }
    measurement.tasks = try commaSeparated(tasks).map { text in
      guard let task = CostByLength.Task(rawValue: text) else {
        throw ValidationError("--tasks has '\(text)', but it knows train, prefill and decode.")
      }
      return task
    }
    return measurement
  }

  func run() async throws {
    machine.apply()
    // What cannot be joined shows before the measurement.
    let earlier = update ? try read((output ?? "") + ".json") : nil
    var cost = try await measurement().run { Printer.messages.note("\($0.phase): \($0.detail)") }
    if let earlier { cost = try cost.joined(with: earlier) }
    if let output {
      try write(try cost.json() + "\n", to: output + ".json")
      try write(cost.chart(), to: output + ".svg")
    }
    try Printer.results.print(
      machine.json || output == nil ? try cost.json() : "\(output ?? "").svg")
  }

  private func read(_ path: String) throws -> Data {
    guard Files.isFile(path) else {
      throw UsageError("--update finds no file '\(path)'. Leave --update out to make it.")
    }
    return Data(try Files.contents(of: path, limit: 16 << 20))
  }
}
