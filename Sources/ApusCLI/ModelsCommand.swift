import Apus
import ArgumentParser
import TextTable

/// `apus models`: the registry.
struct ModelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "models", abstract: "Lists the architectures.",
    discussion: "EXAMPLE: apus models --json")

  @OptionGroup var machine: MachineOptions

  struct Entry: Encodable {
    let name, modelType, summary, paper: String
    let recurrent: Bool
  }

  func run() throws {
    let entries = Architecture.all.map {
      Entry(
        name: $0.name, modelType: $0.modelTypes.joined(separator: " "), summary: $0.summary,
        paper: $0.paper,
        recurrent: $0.isRecurrent)
    }
    guard !machine.json else { return try Printer.results.print(try jsonText(entries)) }
    let table = TextTable<Entry> {
      [
        Column(title: "name", value: $0.name), Column(title: "model_type", value: $0.modelType),
        Column(title: "cost per token", value: $0.recurrent ? "constant" : "grows"),
        Column(title: "what it is", value: $0.summary), Column(title: "paper", value: $0.paper),
      ]
    }
    try Printer.results.print(table.string(for: entries, style: Style.plain) ?? "")
  }
}
