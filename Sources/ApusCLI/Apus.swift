import Apus
import ApusTensor
import ArgumentParser
import Foundation

/// The command. Parses, calls one library function, prints.
@main
struct ApusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus",
    abstract: "Compares, trains and runs sequence models on ordinary machines.",
    discussion: """
      EXAMPLE: apus compare prices.csv --target close --budget 20s
        trains every architecture for 20 seconds, judges them beside honest baselines, and writes
        report.html.
      """,
    version: ApusVersion.current,
    subcommands: [
      CompareCommand.self, TrainCommand.self, ForecastCommand.self, StreamCommand.self,
      ComposeCommand.self, ScoreCommand.self, EmbedCommand.self, InspectCommand.self,
      ConvertCommand.self, ProbeCommand.self, BenchCommand.self, CostCommand.self,
      PathwaysCommand.self, RoutesCommand.self, ModelsCommand.self, EnvCommand.self,
    ])

  static func main() {
    do {
      try requireKnownCommand(CommandLine.arguments.dropFirst())
      var command = try parseAsRoot()
      try command.run()
    } catch let error as any ApusError {
      FileHandle.standardError.write(Data("apus: \(error)\n".utf8))
      Foundation.exit(error.exitStatus.rawValue)
    } catch {
      exit(withError: error)
    }
  }

  /// Refuses a name that is none of a command, with the nearest one.
  private static func requireKnownCommand(_ words: some Sequence<String>) throws {
    var command: any ParsableCommand.Type = self
    var path = "apus"
    for word in words {
      let commands = command.configuration.subcommands
      if commands.isEmpty || word.hasPrefix("-") || word == "help" { return }
      guard let next = commands.first(where: { $0.configuration.commandName == word }) else {
        let known = commands.compactMap { $0.configuration.commandName }
        let hint = suggestion(for: word, among: known)
        throw UsageError("There is no command '\(path) \(word)'.\(hint) See \(path) --help.")
      }
      (command, path) = (next, "\(path) \(word)")
    }
  }
}

/// What is wrong with a command line, found after it was parsed.
struct UsageError: ApusError {
  let description: String

  init(_ description: String) { self.description = description }

  var exitStatus: ExitStatus { .usage }
}
