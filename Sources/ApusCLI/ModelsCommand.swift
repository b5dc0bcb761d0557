import Apus
import ArgumentParser
import TextTable

/// `apus models`: the registry.
struct ModelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "models", abstract: "Lists the architectures and the baselines.",
    discussion: """
      EXAMPLE: apus models --json

      Architectures are trained; baselines are fitted at once, and forecast series alone. Both can be \
      named in --models of apus compare and in --model of apus train and apus backtest, and so can the \
      mean of several baselines, such as ols+nlinear, and the folder of a pretrained forecaster: its config.json and safetensors as published. apus forecast \
      asks such a folder at once.
      """)

  @OptionGroup var machine: MachineOptions

  struct Entry: Encodable {
    let name, kind, modelType, summary, paper: String
    let recurrent: Bool
  }

  func run() throws {
    let architectures = Architecture.all.map {
      Entry(
        name: $0.name, kind: "model", modelType: $0.modelTypes.joined(separator: " "),
        summary: $0.summary, paper: $0.paper, recurrent: $0.isRecurrent)
    }
    let baselines = Baseline.catalog.map {
      Entry(
        name: $0.name, kind: "baseline", modelType: "", summary: $0.summary, paper: "",
        recurrent: true)
    }
    let pretrained = Baseline.pretrainedFamilies.map {
      Entry(
        name: $0.name, kind: "pretrained", modelType: $0.modelType, summary: $0.summary,
        paper: $0.paper, recurrent: $0.isRecurrent)
    }
    guard !machine.json else {
      return try Printer.results.print(try jsonText(architectures + baselines + pretrained))
    }
    let models = TextTable<Entry> {
      [
        Column(title: "architecture", value: $0.name),
        Column(title: "model_type", value: $0.modelType),
        Column(title: "cost per token", value: $0.recurrent ? "constant" : "grows"),
        Column(title: "what it is", value: $0.summary), Column(title: "paper", value: $0.paper),
      ]
    }
    let others = TextTable<Entry> {
      [Column(title: "baseline", value: $0.name), Column(title: "what it is", value: $0.summary)]
    }
    let folders = TextTable<Entry> {
      [
        Column(title: "pretrained", value: $0.name),
        Column(title: "cost per row", value: $0.recurrent ? "constant" : "a context"),
        Column(title: "what it is", value: $0.summary), Column(title: "paper", value: $0.paper),
      ]
    }
    try Printer.results.print(
      [
        models.string(for: architectures, style: Style.plain) ?? "",
        others.string(for: baselines, style: Style.plain) ?? "",
        folders.string(for: pretrained, style: Style.plain) ?? "",
      ].joined(separator: "\n"))
  }
}
