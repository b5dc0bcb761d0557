import Apus
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
      var command = try parseAsRoot()
      try command.run()
    } catch {
      finish(with: error)
    }
  }

  /// Ends the process: usage errors as the parser words them, ours in one sentence with their code.
  private static func finish(with error: any Error) -> Never {
    if error is ExitCode || "\(type(of: error))".contains("CommandError")
      || error is ValidationError || error is CleanExit
    {
      exit(withError: error)
    }
    FileHandle.standardError.write(Data("apus: \(error)\n".utf8))
    Foundation.exit(exitStatus(of: error))
  }
}
