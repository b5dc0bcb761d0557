import Apus
import ArgumentParser
import Foundation

/// `apus probe`: what an architecture can learn at all, on the synthetic tasks of the papers.
struct ProbeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe",
    abstract: "Trains a small model on a task from the papers, prints its accuracy by length.",
    discussion: """
      EXAMPLE: apus probe --task induction --model mamba --length 256 --lengths 256,4096,65536
      EXAMPLE: apus probe --recipe Recipes/induction-mamba.json

      Tasks: induction (say what followed a token the last time), selective-copy (repeat tokens that stood \
      among noise), mqar (recall the values of keys) and listops (the value of a nested expression). \
      Examples are drawn afresh at every step. Training ends at --steps, at --budget, or when validations \
      find no error any more. A recipe is a JSON file of these options; options given beside it win.
      """)

  /// What a probe does when nothing is said.
  enum Usual: TrainingDefaults {
    static let (context, longestContext) = ("the longest sequence", 4_194_304)
    static let (budget, steps) = ("none", "20000")
    static let (fewestSteps, takesBudgetAndSteps) = (0, true)
    static let (width, layers, learningRate) = ("64", "2", "0.001, constant after --warmup")
  }

  @Option(help: "A JSON file of options, such as those in Recipes. Default: none.")
  var recipe: String?
  @Option(help: "induction, selective-copy, mqar or listops. Default: the recipe's.")
  var task: ProbeKind?
  @Option(help: "An architecture; see apus models. Default: the recipe's.")
  var model: String?
  @Option(
    name: .customLong("set"),
    help: "A key of the model's configuration, as KEY=VALUE; repeatable. Default: none.")
  var settings: [String] = []
  @Option(
    parsing: .unconditional,
    help: "Length of training examples. Default: 256; mqar 64, listops 200.")
  var length: Int?
  @Option(
    parsing: .unconditional,
    help: "Draw the length of every step between this and --length. Default: all have --length.")
  var shortest: Int?
  @Option(
    parsing: .unconditional, help: "For how many steps --shortest holds. Default: all.")
  var shortSteps: Int?
  @Option(
    parsing: .unconditional, help: "Token ids, but for listops. Default: 16; mqar 8192.")
  var vocabulary: Int?
  @Option(
    parsing: .unconditional,
    help: "Tokens that selective-copy copies, or pairs that mqar recalls. Default: 8; mqar 4.")
  var items: Int?
  @Flag(help: "Let mqar hold any token where nothing stands.")
  var randomFill = false
  @Option(
    parsing: .unconditional, help: "Depth of the trees of listops. Default: 6.")
  var depth: Int?
  @Option(
    parsing: .unconditional,
    help: "Examples of one step. Default: induction 8, mqar 128, the others 32.")
  var batch: Int?
  @Option(
    parsing: .unconditional, help: "Steps of the learning rate's rise. Default: 0.")
  var warmup: Int?
  @Option(
    parsing: .unconditional, help: "Steps between validations. Default: 250.")
  var validateEvery: Int?
  @Option(
    help: "Lengths to judge at, separated by commas. Default: some from a quarter of --length on.")
  var lengths: String?
  @Option(
    parsing: .unconditional, help: "Examples of every length at most. Default: 256.")
  var examples: Int?
  @OptionGroup var training: TrainingOptions<Usual>
  @OptionGroup var machine: MachineOptions

  func validate() throws {
    if recipe == nil, task == nil || model == nil {
      throw ValidationError("Give --task and --model, or --recipe.")
    }
    try requireRange([
      ("--length", length, 1...4_194_304), ("--shortest", shortest, 1...4_194_304),
      ("--batch", batch, 1...65536), ("--items", items, 1...65536),
      ("--vocabulary", vocabulary, 1...1_048_576), ("--depth", depth, 1...100),
      ("--validate-every", validateEvery, 1...Int(Int32.max)),
      ("--examples", examples, 1...1_048_576), ("--warmup", warmup, 0...Int(Int32.max)),
      ("--short-steps", shortSteps, 0...Int(Int32.max)),
    ])
    if shortSteps != nil, shortest == nil, recipe == nil {
      throw ValidationError("--short-steps needs --shortest.")
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
    let progress = Progress(probe.options.model, isQuiet: training.quiet)
    defer { progress.end() }
    let showsScores = machine.json && !training.quiet
    let report = try await probe.run { event in
      switch event {
      case .training(let state): progress.show(state)
      case .judged(let score): if showsScores { Printer.messages.note(Self.line(score)) }
      }
    }
    progress.end()
    guard !machine.json else { return try Printer.results.print(try jsonText(report)) }
    let lines = [summary(report)] + report.scores.map(Self.line)
    try Printer.results.print(lines.joined(separator: "\n"))
  }

  /// The recipe, or the task's usual options, with what was given on top.
  private func options() throws -> ProbeOptions {
    var options = try base()
    try refuseWhatIsNotRead(by: options.task)
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      options.settings[parts[0].trimmingCharacters(in: .whitespaces)] = ConfigValue(
        parts[1].trimmingCharacters(in: .whitespaces))
    }
    options.model = model ?? options.model
    options.width = training.width ?? options.width
    options.layers = training.layers ?? options.layers
    options.context = training.context ?? options.context
    options.length = length ?? options.length
    options.shortest = shortest ?? options.shortest
    options.shortSteps = shortSteps ?? options.shortSteps
    options.vocabulary = vocabulary ?? options.vocabulary
    options.items = items ?? options.items
    options.randomFill = randomFill || options.randomFill
    options.depth = depth ?? options.depth
    options.batch = batch ?? options.batch
    options.steps = training.steps ?? options.steps
    options.seconds = training.budget?.seconds ?? options.seconds
    options.learningRate = training.learningRate ?? options.learningRate
    options.warmup = warmup ?? options.warmup
    options.validateEvery = validateEvery ?? options.validateEvery
    options.seed = training.seed ?? options.seed
    options.examples = examples ?? options.examples
    if let lengths { options.lengths = commaSeparated(lengths).compactMap { Int($0) } }
    return options
  }

  private func refuseWhatIsNotRead(by task: ProbeKind) throws {
    for (name, isGiven, readers) in [
      ("--vocabulary", vocabulary != nil, [.induction, .selectiveCopy, .recall]),
      ("--items", items != nil, [.selectiveCopy, .recall]),
      ("--random-fill", randomFill, [.recall]), ("--depth", depth != nil, [.listOps]),
    ] as [(String, Bool, [ProbeKind])] {
      try refuse(
        [(name, isGiven)], unless: readers.contains(task),
        because: "has no meaning for \(task.rawValue). Leave it out.")
    }
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
