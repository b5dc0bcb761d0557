import Apus
import ApusTensor
import ArgumentParser
import Foundation

/// `apus pathways`: one model for many tasks.
struct PathwaysCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pathways",
    abstract: "Trains one sparse model for many tasks, and adds tasks that change nothing.",
    discussion: "EXAMPLE: apus pathways train --tasks copy,season,shapes --output many",
    subcommands: [Train.self, Add.self, Measure.self])

  /// The joint phase.
  struct Train: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "train", abstract: "Learns several tasks together.",
      discussion: "EXAMPLE: apus pathways train --tasks copy,season,shapes --output many")

    @Option(help: "Tasks separated by commas: copy, reverse, season, growth, shapes, waves.")
    var tasks = "copy,season,shapes"
    @Option(parsing: .unconditional, help: "Steps, of one batch of each task.")
    var steps = 1500
    @Option(
      parsing: .unconditional,
      help: "How much experts are to tell tasks apart, 0 to 1; 0.01 makes tasks share fewer.")
    var information: Float = 0
    @Option(help: "Seed of weights and examples.")
    var seed: UInt64 = 0
    @Option(help: "The folder for the model.")
    var output: String
    @Flag(name: .shortAndLong, help: "No progress.")
    var quiet = false
    @OptionGroup var machine: MachineOptions

    private struct Made: Encodable {
      let tasks: [String]
      let parameters: Int
      let output: String
    }

    func validate() throws {
      try requireRange([("--steps", steps, 1...Int(Int32.max))])
      guard (0...1).contains(information) else {
        throw ValidationError("--information is \(information), but it must be in 0...1.")
      }
      _ = try exercises(tasks)
    }

    func run() async throws {
      machine.apply()
      try ModelFolder.prepare(output)
      let progress = Progress("pathways", isQuiet: quiet)
      defer { progress.end() }
      let model = try await PathwaysTraining(
        try exercises(tasks), steps: steps, seed: seed, information: information
      ).run { progress.show($0) }
      progress.end()
      try PathwaysFolder.save(model, to: output)
      let made = Made(
        tasks: model.config.tasks.map(\.name),
        parameters: model.parameters.reduce(0) { $0 + $1.shape.count }, output: output)
      try Printer.results.print(
        machine.json
          ? try jsonText(made)
          : "\(counted(made.tasks.count, "task")), \(made.parameters) parameters: \(output)")
    }
  }

  /// A later task.
  struct Add: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "add",
      abstract: "Adds a task from few examples; earlier weights and outputs keep their bits.",
      discussion: "EXAMPLE: apus pathways add reverse --model many --parent copy --examples 200")

    @Argument(help: "The new task.")
    var task: PathwaysExercise
    @Option(help: "The folder of a Pathways model; it gets the new task's file.")
    var model: String
    @Option(help: "The task to begin as a copy of.")
    var parent: PathwaysExercise
    @Option(parsing: .unconditional, help: "Examples to learn from.")
    var examples = 200
    @Option(parsing: .unconditional, help: "Steps.")
    var steps = 400
    @Option(help: "Seed of weights and examples.")
    var seed: UInt64 = 0
    @OptionGroup var machine: MachineOptions

    func validate() throws {
      try requireRange([
        ("--steps", steps, 1...Int(Int32.max)), ("--examples", examples, 1...Int(Int32.max)),
      ])
    }

    func run() async throws {
      machine.apply()
      let added = try await PathwaysAddition(
        task, to: model, parent: parent, examples: examples, steps: steps, seed: seed
      ).run()
      let old = counted(added.earlierTasks, "earlier task")
      try Printer.results.print(
        machine.json
          ? try jsonText(added)
          : "\(added.task): loss \(added.loss) on unseen examples; \(old) unchanged to the bit")
    }
  }

  /// What sharing is worth.
  struct Measure: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "measure",
      abstract:
        "Measures forgetting, and how many examples a new task needs beside one from scratch.",
      discussion: "EXAMPLE: apus pathways measure --output pathways.json")

    @Option(help: "Where the result is written as JSON. Default: standard output.")
    var output: String?
    @Option(parsing: .unconditional, help: "Steps of the joint phase.")
    var jointSteps = 1500
    @Option(parsing: .unconditional, help: "Steps of each later training.")
    var steps = 400
    @Option(help: "Seed of weights and examples.")
    var seed: UInt64 = 0
    @OptionGroup var machine: MachineOptions

    func validate() throws {
      try requireRange([
        ("--steps", steps, 1...Int(Int32.max)), ("--joint-steps", jointSteps, 1...Int(Int32.max)),
      ])
    }

    func run() async throws {
      machine.apply()
      var experiment = PathwaysExperiment()
      (experiment.jointSteps, experiment.steps, experiment.seed) = (jointSteps, steps, seed)
      let found = try await experiment.run { Printer.messages.note("\($0.phase): \($0.detail)") }
      if let output { try write(try found.json() + "\n", to: output) }
      guard !machine.json, output != nil else { return try Printer.results.print(try found.json()) }
      for one in found.added {
        let efficiency = one.sampleEfficiency.map { String(format: "%.1f", $0) } ?? "unknown"
        try Printer.results.print(
          "\(one.task): forgotten \(one.forgotten.count), sample efficiency \(efficiency), "
            + "\(one.newParameters) new parameters")
      }
    }
  }
}

/// A number and its noun, in the plural where it must be.
private func counted(_ count: Int, _ noun: String) -> String {
  "\(count) \(noun)\(count == 1 ? "" : "s")"
}

/// Tasks by their names.
private func exercises(_ text: String) throws -> [PathwaysExercise] {
  try commaSeparated(text).map { name in
    guard let exercise = PathwaysExercise(rawValue: name) else {
      let known = PathwaysExercise.allCases.map(\.rawValue).joined(separator: ", ")
      let hint = suggestion(for: name, among: PathwaysExercise.allCases.map(\.rawValue))
      throw ValidationError("--tasks has '\(name)', but it knows \(known).\(hint)")
    }
    return exercise
  }
}

/// `apus routes`: which experts tasks take.
struct RoutesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "routes",
    abstract: "Shows which experts each task of a Pathways model takes.",
    discussion: """
      EXAMPLE: apus routes --model many

      Prints a map of experts and tasks for every block; with --json counts, shares, entropy, what was \
      taken together, what tasks share, and how many parameters each meets.
      """)

  @Option(help: "The folder of a Pathways model.")
  var model: String
  @Option(parsing: .unconditional, help: "Examples of each task.")
  var examples = 64
  @OptionGroup var machine: MachineOptions

  func validate() throws { try requireRange([("--examples", examples, 1...65536)]) }

  func run() throws {
    machine.apply()
    let loaded = try ModelFolder.open(model).pathways().load()
    let inputs = loaded.config.tasks.enumerated().compactMap { index, task in
      PathwaysExercise(rawValue: task.name).map { exercise in
        (index, exercise.batch(0..<examples, key: RandomKey(seed: 2, stream: 40)).input)
      }
    }
    let statistics = RouteStatistics(loaded, inputs: inputs)
    try Printer.results.print(machine.json ? try jsonText(statistics) : statistics.heatMap())
  }
}
