public import ApusData
public import ApusEvaluation
public import ApusModels
import ApusTensor
import Foundation

/// The main job on text: every architecture and counts of short contexts on the same characters under
/// one budget.
///
/// Half of the held-out text, its first, is validation; the rest is test and opened once.
public struct TextComparison {
  /// Everything that was found, ready to be drawn.
  public let record: ComparisonRecord
  /// The model that validation chose; nil when none survived.
  public let winner: LanguageModel?

  /// Runs the comparison.
  ///
  /// - Parameters:
  ///   - corpus: The text as tokens.
  ///   - source: The name of the data and its fingerprint, for the record.
  ///   - options: Models, budget, context and the like; the horizon has no meaning.
  ///   - progress: Called often while models train.
  /// - Throws: What is wrong with the data or the options. A model that fails is a row, not an error.
  public init(
    _ corpus: TextCorpus, source: DataSource, options: ComparisonOptions,
    progress: @escaping (ComparisonProgress) -> Void
  ) throws {
    let began = Date.now
    let held = corpus.validation
    let border = held.count / 2
    guard border > options.context else {
      throw TrainingDataError.tooShort(found: held.count, needed: 2 * options.context + 2)
    }
    let (validation, test) = (Array(held[..<border]), Array(held[border...]))
    let problem = TextProblem(
      vocabulary: corpus.tokenizer.vocabularySize, train: corpus.train, validation: validation,
      test: test)
    let contenders = try Self.contenders(problem, options: options, progress: progress)
    let judged = try TextJudgement(problem, contenders: contenders, options: options)
    var record = judged.record(corpus: corpus, source: source, options: options)
    record.reproduction.startedAt = began.timeIntervalSince1970
    record.reproduction.seconds = Date.now.timeIntervalSince(began)
    self.record = record
    winner = judged.winner
  }

  private static func contenders(
    _ problem: TextProblem, options: ComparisonOptions, progress: (ComparisonProgress) -> Void
  ) throws -> [Contender<LanguageModel>] {
    try Contender.trained(
      options, training: .languageModel(learningRate: options.learningRate),
      make: { architecture, seed in
        let size = BackboneSize(
          width: options.width ?? 128,
          layers: architecture.layersPerBlock * (options.layers ?? 4), context: options.context,
          vocabulary: problem.vocabulary)
        let model = try LanguageModel(
          architecture, config: try architecture.makeConfiguration(size: size),
          key: RandomKey(seed: seed))
        let task = try LanguageTask(
          model, training: problem.train, validation: problem.validation,
          batch: max(1, 4096 / options.context), context: options.context)
        return (model, task)
      }, progress: progress)
  }
}

/// What all contenders share.
struct TextProblem {
  let vocabulary: Int
  let train: [Int32]
  let validation: [Int32]
  let test: [Int32]
}

extension Contender<LanguageModel> {
  /// The loss of each token of a part, by seed.
  func losses(_ tokens: [Int32], context: Int) throws -> [[Double]] {
    try runs.map { run in
      try LanguageTask(
        run.model, training: tokens, validation: tokens, batch: 1, context: context
      ).losses()
    }
  }
}

/// The opening of the test part of a text, and what it says.
struct TextJudgement {
  let rows: [ComparisonRow]
  let selection: ModelSelection
  let winner: LanguageModel?
  let openedAt: Double
  let scored: Int

  /// Tokens next to each other depend on each other: means over blocks of this many are what the tests
  /// and intervals count.
  private static let block = 256

  init(_ problem: TextProblem, contenders: [Contender<LanguageModel>], options: ComparisonOptions)
    throws
  {
    openedAt = Date.now.timeIntervalSince1970
    scored = problem.test.count - 1
    var (rows, candidates) = ([ComparisonRow](), [ModelSelection.Candidate]())
    for contender in contenders {
      let (row, candidate) = Self.judge(contender, problem, context: options.context)
      rows.append(row)
      candidates.append(candidate)
    }
    for order in 1...6 {
      let start = ContinuousClock.now
      let gram = NGram(problem.train, order: order, vocabulary: problem.vocabulary)
      guard gram.order == order else { break }
      var row = ComparisonRow(name: "\(order)-gram", kind: .baseline)
      row.seconds = (ContinuousClock.now - start).seconds
      let validation = Array(gram.losses(problem.validation).dropFirst())
      let test = Array(gram.losses(problem.test).dropFirst())
      (row.loss, row.validationLoss) = (Metrics.mean(test), Metrics.mean(validation))
      rows.append(row)
      candidates.append(
        ModelSelection.Candidate(
          name: row.name, isBaseline: true, validationLosses: Self.blocks(validation),
          testLosses: Self.blocks(test)))
    }
    var generator = PhiloxGenerator(RandomKey(seed: options.seeds.first ?? 0, stream: 77))
    let selection: ModelSelection
    do {
      selection = try ModelSelection(candidates, using: &generator)
    } catch let error as MetricError {
      throw ComparisonError.noBaseline(reason: "\(error)")
    }
    self.selection = selection
    let standings = Dictionary(
      selection.standings.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    self.rows = rows.map { row in
      var row = row
      let standing = standings[row.name]
      (row.skill, row.interval) = (standing?.skill, standing?.interval)
      row.pValue = standing?.adjustedPValue
      return row
    }
    winner =
      contenders.first { $0.architecture.name == selection.bestModel }?.bestRun?.model
  }

  private static func judge(
    _ contender: Contender<LanguageModel>, _ problem: TextProblem, context: Int
  ) -> (ComparisonRow, ModelSelection.Candidate) {
    var row = contender.row()
    var candidate = ModelSelection.Candidate(
      name: row.name, isBaseline: false, validationLosses: [], testLosses: [])
    guard contender.failure == nil else { return (row, candidate) }
    do {
      let validation = try contender.losses(problem.validation, context: context)
      let test = try contender.losses(problem.test, context: context)
      row.loss = Metrics.mean(test.map(Metrics.mean))
      row.validationLoss = Metrics.mean(validation.map(Metrics.mean))
      candidate.validationLosses = blocks(mean(validation))
      candidate.testLosses = blocks(mean(test))
      row.lossBySteps = byPosition(mean(test), context: context)
    } catch {
      (row.status, row.message) = (.failed, "\(error)")
    }
    return (row, candidate)
  }

  private static func mean(_ runs: [[Double]]) -> [Double] {
    guard let first = runs.first else { return [] }
    return first.indices.map { index in Metrics.mean(runs.map { $0[index] }) }
  }

  private static func blocks(_ losses: [Double]) -> [Double] {
    stride(from: 0, to: losses.count, by: block).map {
      Metrics.mean(Array(losses[$0..<min($0 + block, losses.count)]))
    }
  }

  /// The mean loss at positions 1, 2, 4, … of the context.
  private static func byPosition(_ losses: [Double], context: Int) -> [StepLoss] {
    var points: [StepLoss] = []
    var low = 0
    while low < context {
      let high = min(max(2 * low, 1), context)
      let own = losses.indices.filter { (low..<high).contains($0 % context) }.map { losses[$0] }
      if !own.isEmpty { points.append(StepLoss(step: low + 1, loss: Metrics.mean(own))) }
      low = high
    }
    return points
  }

  /// Everything found, as the report draws it.
  func record(
    corpus: TextCorpus, source: DataSource, options: ComparisonOptions
  ) -> ComparisonRecord {
    var task = ComparisonTask(
      kind: .text, data: source.name, rows: corpus.train.count + corpus.validation.count,
      target: "next character", lossName: "mean cross-entropy", context: options.context,
      budgetUnit: options.budget.unit, budgetAmount: options.budget.amount, seeds: options.seeds,
      threads: Machine.threads, isa: Machine.instructionSet)
    task.lossUnit = "nats per character"
    task.stepName = "character"
    task.testWindows = scored
    let bar = selection.bestBaseline
    let machine = MachineDescription.current
    var block = Reproduction(
      command: options.command, seed: options.seeds.first ?? 0,
      versions: [
        .init(name: "apus", version: machine.apus), .init(name: "kernels", version: machine.isa),
      ])
    block.dataSha256 = source.sha256
    block.dataBytes = source.bytes
    block.machine = "\(machine.processor), \(machine.cores) cores, \(machine.system)"
    let best = selection.standings.first { [name = selection.bestModel] in $0.name == name }
    let headline =
      selection.recommended.map { "\($0) beats \(bar) by \(percent(best?.skill ?? 0))" }
      ?? "No model beats \(bar)"
    var record = ComparisonRecord(
      task: task, headline: headline,
      explanation: "Validation chose \(selection.bestModel ?? "no model") and \(bar). "
        + "On the test part, opened once, their losses are "
        + "\(shortNumber(best?.testLoss ?? .nan)) and "
        + "\(shortNumber(selection.standings.first { $0.name == bar }?.testLoss ?? .nan)) nats per character; "
        + "models see at most \(options.context) characters, whose first ones have little before them.",
      rows: rows, reproduction: block)
    record.chosen = selection.bestModel
    let (train, held) = (corpus.train.count, corpus.validation.count)
    func part(_ use: SplitPart.Use, _ rows: Range<Int>) -> SplitPart {
      SplitPart(
        use: use, rows: rows.lowerBound...rows.upperBound - 1,
        times: Double(rows.lowerBound)...Double(rows.upperBound - 1))
    }
    record.split = [
      part(.train, 0..<train), part(.validation, train..<train + held / 2),
      part(.test, train + held / 2..<train + held),
    ]
    record.openings = [
      TestOpening(
        at: openedAt,
        purpose: "final scores of \(rows.count { $0.kind == .model }) models and "
          + "\(rows.count { $0.kind == .baseline }) baselines", windows: scored)
    ]
    return record
  }
}
