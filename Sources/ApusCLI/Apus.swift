import Apus
import ApusTensor
import ArgumentParser
import Foundation

/// The command. Parses, calls one library function, prints.
@main
struct ApusCommand: AsyncParsableCommand {
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

  static func main() async {
    do {
      try requireKnownCommand(CommandLine.arguments.dropFirst())
      var command = try parseAsRoot()
      guard let long = command as? any AsyncParsableCommand else { return try command.run() }
      try await interruptible(long)
    } catch let error as any ApusError {
      FileHandle.standardError.write(Data("apus: \(error)\n".utf8))
      Foundation.exit(error.exitStatus.rawValue)
    } catch {
      exit(withError: error)
    }
  }

  /// Runs long work in a task that Ctrl-C and its kin cancel.
  private static func interruptible(_ command: sending any AsyncParsableCommand) async throws {
    let work = Task {
      var command = command
      try await command.run()
    }
    let watch = SignalWatch { work.cancel() }
    do { try await work.value } catch let error as Interruption {
      remark("apus: \(error)")
      throw ExitCode(128 + (watch.signal ?? SIGINT))
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
