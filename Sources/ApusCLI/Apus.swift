import ArgumentParser

@main
struct ApusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus", abstract: "Compares, trains, runs and serves sequence models.")
}
