import Apus
import ArgumentParser
import Foundation

/// `apus env`: versions, CPU, instruction sets.
struct EnvCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "env", abstract: "Shows versions, processor and instruction sets.",
    discussion: "EXAMPLE: apus env --json")

  @OptionGroup var machine: MachineOptions

  func run() throws {
    machine.apply()
    let environment = MachineDescription.current
    let lines = environment.lines.map { "\($0.0): \($0.1)" }
    try Printer.results.print(
      machine.json ? try jsonText(environment) : lines.joined(separator: "\n"))
  }
}
