import Apus
import ArgumentParser
import Foundation

/// `apus inspect`: what a folder or file holds.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Shows what a model's folder, a safetensors file or a config.json holds.",
    discussion: """
      EXAMPLE: apus inspect Mixtral-8x7B --tensors

      Reads headers and never weights, so it works on models that no memory holds. Of a config.json \
      alone it tells the size that the model would have.
      """)

  @Argument(help: "A folder, a .safetensors file or a config.json.")
  var path: String
  @Flag(help: "List every tensor with shape, type and bytes.")
  var tensors = false
  @OptionGroup var machine: MachineOptions

  func run() throws {
    var found = try ModelInspection(at: path)
    let table = found.tensors
    if machine.json {
      if !tensors { found.tensors = [] }
      return try Printer.results.print(try jsonText(found))
    }
    try Printer.results.print(lines(found).joined(separator: "\n"))
    guard tensors else { return }
    try Printer.results.print(
      table.map { entry in
        [
          entry.name, "\(entry.shape)", entry.dtype ?? "",
          entry.bytes.map { "\($0)" } ?? "",
        ].joined(separator: "\t")
      }.joined(separator: "\n"))
  }

  private func lines(_ found: ModelInspection) -> [String] {
    var lines = [found.path]
    func add(_ name: String, _ value: String?) {
      if let value, !value.isEmpty { lines.append("  \(name): \(value)") }
    }
    add("model_type", found.modelType)
    add("architecture", found.architecture)
    add("runs", found.canRun ? "yes" : "no, \(found.obstacle ?? "for an unknown reason")")
    add(
      "config",
      found.config.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        .joined(separator: ", "))
    let active = found.activeParameters.map { $0 == found.parameters ? "" : ", \($0) per token" }
    add("parameters", "\(found.parameters)\(active ?? "")")
    add(
      "stored as",
      found.dtypes.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        .joined(separator: ", "))
    add("on disk", found.shards.isEmpty ? nil : size(found.bytesOnDisk))
    add(
      "memory", "\(size(found.float32Bytes)) in float32, \(size(found.bfloat16Bytes)) in bfloat16")
    add("state of a sequence", found.state.map(text))
    add("files", found.shards.count > 1 ? "\(found.shards.count) shards" : found.shards.first?.name)
    for shard in found.shards where shard.bytes == nil { add("missing", shard.name) }
    add("tokenizer", found.tokenizer.joined(separator: ", "))
    add("tensors", "\(found.tensors.count)")
    return lines
  }

  private func text(_ state: ModelInspection.StateSize) -> String {
    var parts: [String] = []
    if state.fixedBytes > 0 { parts.append("\(size(state.fixedBytes)) fixed") }
    if state.bytesPerToken > 0 {
      let bound = state.window.map { " up to \($0) tokens" } ?? ""
      parts.append("\(size(state.bytesPerToken)) per token\(bound)")
    }
    return parts.isEmpty ? "none" : parts.joined(separator: " and ")
  }

  private func size(_ bytes: Int) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    var (value, unit) = (Double(bytes), 0)
    while value >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return unit == 0 ? "\(bytes) bytes" : String(format: "%.1f %@", value, units[unit])
  }
}
