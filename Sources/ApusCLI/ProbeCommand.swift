import Apus
import ArgumentParser
import Foundation
import Synchronization

/// `apus probe`: what an architecture can learn at all, on the synthetic tasks of the papers.
struct ProbeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe",
    abstract: "Trains a small model on a task from the papers, prints its accuracy by length.",
    discussion: """
      EXAMPLE: apus probe --task induction --model mamba --length 256 --lengths 256,4096,65536
      EXAMPLE: apus probe --recipe Recipes/induction-mamba.json

      Tasks: induction (say what followed a token the last time), selective-copy (repeat tokens that stood
      among noise), mqar (recall the values of keys) and listops (the value of a nested expression).
      Examples are drawn afresh at every step. Training ends at --steps, at --budget, or when validations
      find no error any more. A recipe is a JSON file of these options; options given beside it win.
      """)

  @Option(help: "A JSON file of options, such as those in Recipes.")
  var recipe: String?
  @Option(help: "induction, selective-copy, mqar or listops.")
  var task: ProbeKind?
  @Option(help: "An architecture; see apus models.")
  var model: String?
  @Option(
    name: .customLong("set"), help: "A key of the model's configuration, as KEY=VALUE; repeatable.")
  var settings: [String] = []
  @Option(help: "Width of the backbone; 64 when left out.")
  var width: Int?
  @Option(help: "Layers of the backbone; 2 when left out.")
  var layers: Int?
  @Option(help: "Look-back of architectures that have one; the longest sequence when left out.")
  var context: Int?
  @Option(help: "Length of training examples.")
  var length: Int?
  @Option(help: "Draw the length of every step between this and --length.")
  var shortest: Int?
  @Option(help: "For how many steps --shortest holds; all when left out.")
  var shortSteps: Int?
  @Option(help: "Token ids.")
  var vocabulary: Int?
  @Option(help: "Tokens to copy, or pairs to recall.")
  var items: Int?
  @Flag(help: "Let mqar hold any token where nothing stands.")
  var randomFill = false
  @Option(help: "Depth of the trees of listops.")
  var depth: Int?
  @Option(help: "Examples of one step.")
  var batch: Int?
  @Option(help: "Optimizer steps at most; 20000 when left out.")
  var steps: Int?
  @Option(help: "Training time at most, such as 90s or 5m.")
  var budget: Duration?
  @Option(help: "The learning rate, constant after --warmup steps.")
  var learningRate: Double?
  @Option(help: "Steps of the learning rate's rise.")
  var warmup: Int?
  @Option(help: "Steps between validations.")
  var validateEvery: Int?
  @Option(help: "Seed of weights and examples.")
  var seed: UInt64?
  @Option(help: "Lengths to judge at, separated by commas.")
  var lengths: String?
  @Option(help: "Examples of every length at most.")
  var examples: Int?
  @Flag(name: .shortAndLong, help: "No progress.")
  var quiet = false
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if recipe == nil, task == nil || model == nil {
      throw ValidationError("Give --task and --model, or --recipe.")
    }
    try requireRange([
      ("--width", width, 8192), ("--layers", layers, 256), ("--length", length, 4_194_304),
      ("--shortest", shortest, 4_194_304), ("--batch", batch, 65536), ("--items", items, 65536),
      ("--vocabulary", vocabulary, 1_048_576),
      ("--depth", depth, 100), ("--validate-every", validateEvery, Int(Int32.max)),
      ("--examples", examples, 1_048_576), ("--context", context, 4_194_304),
    ])
    for (name, value) in [("--steps", steps), ("--warmup", warmup), ("--short-steps", shortSteps)] {
      guard let value, !(0...Int(Int32.max)).contains(value) else { continue }
      throw ValidationError("\(name) is \(value), but it must be in 0...\(Int32.max).")
    }
    if let budget, budget.seconds <= 0 || budget.seconds > 1e7 {
      throw ValidationError("--budget must be above 0 seconds and at most 115 days.")
    }
    if let learningRate, !(learningRate > 0 && learningRate < 1) {
      throw ValidationError("--learning-rate is \(learningRate), but it must be in 0...1.")
    }
    if let bad = settings.first(where: { !$0.contains("=") }) {
      throw ValidationError("--set is '\(bad)', but it must be KEY=VALUE.")
    }
    if let lengths, commaSeparated(lengths).contains(where: { Int($0) == nil }) {
      throw ValidationError("--lengths is '\(lengths)', but it must be numbers between commas.")
    }
  }

  func run() async throws {
    machine.apply()
    let probe = try Probe(try options())
    let printer = Mutex(ProgressPrinter(label: probe.options.model))
    defer { printer.withLock { $0.finish() } }
    let (quiet, json) = (quiet, machine.json)
    let report = try await probe.run { event in
      switch event {
      case .training(let progress): if !quiet { printer.withLock { $0.show(progress) } }
      case .judged(let score):
        printer.withLock { $0.finish() }
        if !quiet, json { remark(Self.line(score)) }
        if !json { print(Self.line(score)) }
      }
    }
    try emit(machine.json ? try jsonText(report) : summary(report))
  }

  /// The recipe, or the task's usual options, with what was given on top.
  private func options() throws -> ProbeOptions {
    var options = try base()
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      options.settings[parts[0].trimmed] = ConfigValue(parts[1].trimmed)
    }
    options.model = model ?? options.model
    options.width = width ?? options.width
    options.layers = layers ?? options.layers
    options.context = context ?? options.context
    options.length = length ?? options.length
    options.shortest = shortest ?? options.shortest
    options.shortSteps = shortSteps ?? options.shortSteps
    options.vocabulary = vocabulary ?? options.vocabulary
    options.items = items ?? options.items
    options.randomFill = randomFill || options.randomFill
    options.depth = depth ?? options.depth
    options.batch = batch ?? options.batch
    options.steps = steps ?? options.steps
    options.seconds = budget?.seconds ?? options.seconds
    options.learningRate = learningRate ?? options.learningRate
    options.warmup = warmup ?? options.warmup
    options.validateEvery = validateEvery ?? options.validateEvery
    options.seed = seed ?? options.seed
    options.examples = examples ?? options.examples
    if let lengths { options.lengths = commaSeparated(lengths).compactMap { Int($0) } }
    return options
  }

  private func base() throws -> ProbeOptions {
    guard let recipe else {
      return ProbeOptions(task ?? .induction, model: model ?? "mamba")
    }
    let options = try ProbeOptions(recipe: Data(Files.contents(of: recipe, limit: 1 << 20)))
    guard task == nil || task == options.task else {
      throw UsageError("--task is not the recipe's; leave one of the two out.")
    }
    return options
  }

  private static func line(_ score: ProbeScore) -> String {
    String(
      format: "length %8d  accuracy %6.2f %%  (%d of %d answers, %d examples, %.1f s)",
      score.length, score.accuracy * 100, score.correct, score.answers, score.examples,
      score.seconds)
  }

  private func summary(_ report: ProbeReport) -> String {
    let training = report.training
    let reason =
      switch training.stopReason {
      case .earlyStop: "validations found no error any more"
      default: "the budget was spent"
      }
    return """
      \(report.options.task.rawValue), \(report.options.model): \(report.parameters) parameters, \
      trained at length \(report.options.length) for \(training.steps) steps in \
      \(String(format: "%.0f", training.seconds)) s (\(reason))
      """
  }
}
