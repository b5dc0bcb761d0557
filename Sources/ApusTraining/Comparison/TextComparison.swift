public import ApusData
public import ApusEvaluation
public import ApusModels
import ApusTensor
import Foundation

/// What a comparison on a text found.
public struct TextReport {
  /// Everything that was found, ready to be drawn.
  public let record: ComparisonRecord
  /// The model that validation chose; nil when none survived.
  public let winner: LanguageModel?

  /// The answer in one line, such as "No model beats 4-gram".
  public var headline: String { record.headline }
}

/// The main job on text: every architecture and counts of short contexts on the same characters under
/// one budget.
///
/// Half of the held-out text, its first, is validation; the rest is test and opened once.
public struct TextComparison: Sendable {
  private let corpus: TextCorpus
  private let source: DataSource
  private let options: ComparisonOptions
  /// The folder of the runs' checkpoints, from which they go on; none are kept when nil.
  var runs: String?
  /// The file that every training run is logged in; none when nil.
  var trials: String?

  /// Creates the job; nothing is done before ``run(progress:)``.
  ///
  /// - Parameters:
  ///   - corpus: The text as tokens.
  ///   - source: The name of the data and its fingerprint, for the record.
  ///   - options: Models, budget, context and the like; the horizon is ignored.
  public init(_ corpus: TextCorpus, source: DataSource, options: ComparisonOptions) {
    (self.corpus, self.source, self.options) = (corpus, source, options)
  }

  /// Runs the comparison.
  ///
  /// - Parameter progress: Called after every step while models train, and awaited.
  /// - Returns: The finding.
  /// - Throws: What is wrong with the data or the options. A model that fails is a row, not an error.
  ///   ``Interruption`` when the Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> TextReport {
    try await Interruption.naming("comparison", isKept: runs != nil) {
      try await compared(progress)
    }
  }

  private func compared(
    _ progress: @escaping (WorkProgress) async -> Void
  ) async throws -> TextReport {
    if let name = options.namedBaselines.first {
      throw ConfigError.invalid(
        key: "models", value: name, rule: "it forecasts series, and a text is compared")
    }
    let began = Date.now
    let held = corpus.validation
    let border = held.count / 2
    guard border > options.tokens else {
      throw TrainingDataError.tooShort(found: held.count, needed: 2 * options.tokens + 2)
    }
    let (validation, test) = (Array(held[..<border]), Array(held[border...]))
    let problem = TextProblem(
      vocabulary: corpus.tokenizer.vocabularySize, train: corpus.train, validation: validation,
      test: test)
    let log = try TrialLog(trials)
    let contenders = try await contenders(problem, log: log, progress: progress)
    let judged = try TextJudgement(problem, contenders: contenders, options: options)
    var record = judged.record(corpus: corpus, source: source, options: options)
    try log.judge(record.rows, seeds: options.seeds)
    record.trials = log.count
    record.reproduction.startedAt = began.timeIntervalSince1970
    record.reproduction.seconds = Date.now.timeIntervalSince(began)
    return TextReport(record: record, winner: judged.winner)
  }

  private func contenders(
    _ problem: TextProblem, log: TrialLog, progress: @escaping (WorkProgress) async -> Void
  ) async throws -> [Contender<LanguageModel>] {
    let size = LanguageTraining.usual
    let job = ContenderJob<LanguageModel>(
      options: options, usual: size,
      training: { .languageModel(learningRate: $0.learningRate) }, runs: runs, log: log
    ) { choice, own, seed in
      let usual = BackboneSize(
        width: size.width, layers: size.layers, context: own.tokens,
        vocabulary: problem.vocabulary)
      let blueprint = try own.blueprint(choice, usual: usual)
      let model = try LanguageModel(blueprint, key: RandomKey(seed: seed))
      var task = try LanguageTask(
        model, training: problem.train, validation: problem.validation,
        batch: max(1, 4096 / own.tokens), context: own.tokens)
      task.identity = TaskIdentity(
        configuration: String(decoding: try blueprint.json(), as: UTF8.self)
          + " context \(own.tokens)", dataSHA256: source.sha256)
      return (model, task)
    }
    return try await Contender.trained(job, progress: progress)
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

/// What a comparison of texts found.
struct TextJudgement {
  let judgement: Judgement
  let winner: LanguageModel?
  private let windows: Int

  /// Tokens next to each other depend on each other: means over blocks of this many are what the tests
  /// and intervals count.
  private static let block = 256

  init(_ problem: TextProblem, contenders: [Contender<LanguageModel>], options: ComparisonOptions)
    throws
  {
    windows = problem.test.count - 1
    let judgement = try Judgement(overlap: 1, seed: options.seeds.first ?? 0) {
      try contenders.map { try Self.entry($0, problem, context: options.tokens) }
        + (1...6).compactMap { try Self.entry(order: $0, problem) }
    }
    self.judgement = judgement
    let chosen = judgement.verdict.model
    winner = contenders.first { $0.name == chosen }?.bestRun?.model
  }

  private static func entry(
    _ contender: Contender<LanguageModel>, _ problem: TextProblem, context: Int
  ) throws -> JudgedEntry {
    try JudgedEntry(contender.row()) { entry in
      let validation = try contender.losses(problem.validation, context: context)
      let test = try contender.losses(problem.test, context: context)
      let losses = test.map(Metrics.mean)
      (entry.row.loss, entry.row.lossBySeed) = (Metrics.mean(losses), losses)
      entry.row.validationLoss = Metrics.mean(validation.map(Metrics.mean))
      entry.row.lossBySteps = byPosition(meanByWindow(test), context: context)
      entry.validationLosses = blocks(meanByWindow(validation))
      entry.testLosses = blocks(meanByWindow(test))
    }
  }

  /// Counts of contexts of one length; nil where the text has none so long.
  private static func entry(order: Int, _ problem: TextProblem) throws -> JudgedEntry? {
    let start = ContinuousClock.now
    let gram = NGram(problem.train, order: order, vocabulary: problem.vocabulary)
    guard gram.order == order else { return nil }
    var row = ComparisonRow(name: "\(order)-gram", kind: .baseline)
    row.seconds = (ContinuousClock.now - start).seconds
    return try JudgedEntry(row) { entry in
      let validation = Array(gram.losses(problem.validation).dropFirst())
      let test = Array(gram.losses(problem.test).dropFirst())
      (entry.row.loss, entry.row.validationLoss) = (Metrics.mean(test), Metrics.mean(validation))
      (entry.validationLosses, entry.testLosses) = (blocks(validation), blocks(test))
    }
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
      .text, of: source, rows: corpus.train.count + corpus.validation.count,
      target: "next character", lossName: "mean cross-entropy", options: options)
    task.lossUnit = "nats per character"
    task.stepName = "character"
    var record = judgement.record(task, source: source, options: options, windows: windows)
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
    return record
  }
}
