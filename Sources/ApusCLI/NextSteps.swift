import Apus
import ApusEvaluation
import Foundation

// What `apus compare` prints to be copied: the same file and options with what is recommended.
extension CompareCommand {
  /// The commands that go on from what a comparison of a file recommends.
  func nextSteps(for data: String) -> @Sendable (RecommendedUse) -> [NextStep] {
    let typed = TypedOptions(words: Array(CommandLine.arguments.dropFirst()))
    let (folder, named) = ("\(output)/winner", commaSeparated(models))
    return { use in
      let columns = typed.only(TypedOptions.columns)
      let known = typed.only(["--future-data"])
      let forecast =
        ["forecast", "--model", folder, "--data", data] + columns
        + typed.only(TypedOptions.rows) + known
      let stream = ["stream", "--model", folder] + columns + known
      let grows = "of a file that grows, pipe tail -n +1 -f \(shellWord(data)) into it"
      return [
        NextStep(
          title: "Forecast", command: command(forecast),
          note: "the rows after the last one, also when the file has grown"),
        Self.backtest(use, folder: folder, named: named, data: data, typed),
        NextStep(
          title: "Stream",
          command: use.streamObstacle.map { _ in nil }
            ?? "\(command(stream)) < \(shellWord(data))",
          note: use.streamObstacle.map { "not of this file: \($0)" }
            ?? "rows in, forecasts out; \(grows)"),
      ]
    }
  }

  /// The backtest: a baseline of its folder is fitted before each origin anyway, while a model's folder
  /// has seen all rows, so that its architecture is trained again; of an ensemble those of its members are, each
  /// alone.
  private static func backtest(
    _ use: RecommendedUse, folder: String, named: [String], data: String, _ typed: TypedOptions
  ) -> NextStep {
    let bar = use.isModel ? use.baseline : use.name == "naive" ? nil : "naive"
    var own: [String] = []
    for member in use.isModel ? use.members : [folder] where !own.contains(member) {
      own.append(member)
    }
    let models = own.map { one in named.first { (try? ModelChoice($0))?.name == one } ?? one }
    let options = TypedOptions.columns + TypedOptions.rows + TypedOptions.known
    let names = own.formatted(.list(type: .and).locale(Locale(identifier: "en")))
    let note =
      switch (use.isModel, own.count) {
      case (true, 2...):
        "\(names) are trained, each alone, on the rows before those that they forecast"
      case (true, _): "\(names) is trained on the rows before those that it forecasts"
      case (false, _): "\(use.name) is fitted on the rows before those that it forecasts"
      }
    return NextStep(
      title: "Backtest",
      command: command(
        ["backtest", "--model", (models + [bar].compactMap(\.self)).joined(separator: ",")]
          + ["--data", data]
          + typed.only(options + (use.isModel ? TypedOptions.training : []))
          + typed.found(use.settings)),
      note: note)
  }
}

/// A command of this program, ready to be copied.
private func command(_ words: [String]) -> String {
  ([CommandLine.arguments[0]] + words).map(shellWord).joined(separator: " ")
}

/// Options as they were typed, for a command that takes some of them too.
struct TypedOptions: Sendable {
  /// The words behind the name of the command.
  let words: [String]

  /// What columns of a table are.
  static let columns = [
    "--target", "--id", "--time", "--day-first", "--no-day-first", "--decimal", "--missing",
    "--locale",
  ]
  /// How rows stand in their file.
  static let rows = ["--header", "--duplicates", "--freq"]
  /// What a forecaster of a folder does not tell to one beside it.
  static let known = ["--season", "--levels", "--future", "--holidays"]
  /// What a model is asked, and how it is trained.
  static let training = [
    "--horizon", "--measure", "--covariates", "--static", "--patch", "--head", "--context",
    "--budget",
    "--steps", "--width", "--layers", "--learning-rate", "--seed",
  ]
  private static let flags: Set = ["--day-first", "--no-day-first"]

  /// The options for settings that were found, but for those that were typed.
  func found(_ settings: TuningRecord.Candidate?) -> [String] {
    guard let settings else { return [] }
    let all: [(name: String, value: String?)] = [
      ("--learning-rate", "\(settings.learningRate)"),
      ("--width", settings.width.map { "\($0)" }), ("--layers", settings.layers.map { "\($0)" }),
    ]
    return all.flatMap { name, value in
      value.map { only([name]).isEmpty ? [name, $0] : [] } ?? []
    }
  }

  /// Those with the given names, and their values.
  func only(_ names: [String]) -> [String] {
    var (result, rest) = ([String](), words[...])
    while let word = rest.popFirst() {
      guard names.contains(String(word.prefix { $0 != "=" })) else { continue }
      result.append(word)
      if !word.contains("="), !Self.flags.contains(word), let value = rest.popFirst() {
        result.append(value)
      }
    }
    return result
  }
}
