import Apus
package import ApusTensor
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
        trains three architectures, judges them beside honest baselines, and writes report.html.
      """,
    version: ApusVersion.current,
    subcommands: [
      CheckCommand.self, AuditCommand.self, CompareCommand.self, TrainCommand.self,
      ForecastCommand.self,
      StreamCommand.self, BacktestCommand.self, EvaluateCommand.self,
      ComposeCommand.self, ScoreCommand.self, EmbedCommand.self, InspectCommand.self,
      ConvertCommand.self, ProbeCommand.self, BenchCommand.self, CostCommand.self,
      PathwaysCommand.self, RoutesCommand.self, ModelsCommand.self, EnvCommand.self,
    ])

  static func main() async {
    StandardStream.prepare()
    do {
      try requireKnownCommand(CommandLine.arguments.dropFirst())
      var command = try parseAsRoot()
      guard let long = command as? any AsyncParsableCommand else { return try command.run() }
      try await interruptible(long)
    } catch {
      Foundation.exit(report(error))
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
      Printer.messages.note(error)
      throw ExitCode(128 + (watch.signal ?? SIGINT))
    }
  }

  /// Prints what an error says: ours in one sentence, the parser's as it words them.
  ///
  /// - Returns: The status to end with.
  private static func report(_ error: any Error) -> Int32 {
    if let error = error as? any ApusError {
      Printer.messages.note(error)
      return error.exitStatus.rawValue
    }
    let (text, code) = (fullMessage(for: error), exitCode(for: error))
    if text.isEmpty { return code.rawValue }
    guard code.isSuccess else {
      Printer.messages.note(text)
      return code.rawValue
    }
    do {
      try Printer.results.print(text)
      return code.rawValue
    } catch { return report(error) }
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

/// Work that was done and came to nothing.
struct CommandFailure: ApusError {
  let description: String

  init(_ description: String) { self.description = description }

  var exitStatus: ExitStatus { .failure }
}

/// What is wrong with a command line, found after it was parsed.
package struct UsageError: ApusError {
  package let description: String

  package init(_ description: String) { self.description = description }

  package var exitStatus: ExitStatus { .usage }
}
