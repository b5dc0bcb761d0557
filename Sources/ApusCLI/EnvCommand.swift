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
    guard !machine.json else { return print(try jsonText(environment)) }
    for (name, value) in environment.lines { print("\(name): \(value)") }
  }
}
