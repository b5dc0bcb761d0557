public import ApusData
public import ApusModels
public import ApusRuntime
public import ApusTensor
import Foundation

/// Making a composition: what each expert loses on requests that none was trained on, and a router that
/// learns from it.
public struct Composing: Sendable {
  /// What the router learns from: data that no expert was trained on.
  public enum Requests: Sendable {
    /// Rows for forecasters.
    ///
    /// An example is a block of L rows of a series: the router sees the L rows before it, and an expert's
    /// loss is its mean pinball loss over the block, times two, over the mean step of those rows. Series
    /// are split into those to learn from, to choose by and to judge by where there are ten or more; with
    /// fewer each is split in time.
    case series(SeriesTable)
    /// A text for language models with their tokenizers, cut into passages of so many characters.
    ///
    /// An example is a passage: the router sees its first half, and an expert's loss is its mean over the
    /// second half in nats per byte, which does not depend on how it cuts text into tokens.
    case text(String, passage: Int)

    /// Reads a file as the experts need it: forecasters rows with their target, language models a text.
    ///
    /// - Parameters:
    ///   - path: A CSV of series, or a text.
    ///   - experts: Folders of the experts; the first decides.
    ///   - reading: What is known about the columns of series. Default: nothing.
    ///   - passage: Characters of a passage of a text. Default: 512.
    /// - Throws: ``ComposingError/noExperts``, and what is wrong with the file or the first folder.
    public init(
      readingFileAt path: String, forExperts experts: [String],
      reading: SeriesOptions = SeriesOptions(), passage: Int = 512
    ) throws {
      guard let first = experts.first else { throw ComposingError.noExperts }
      if case .forecaster(let saved) = try ModelFolder.open(first).contents {
        self = .series(
          try SeriesTable(readingCSVAt: path, options: reading.completed(by: saved)))
      } else {
        let corpus = try TextCorpus(readingAt: path, unit: .bytes)
        self = .text(
          corpus.tokenizer.decode(corpus.train + corpus.validation), passage: passage)
      }
    }
  }

  private let experts: [String]
  private let requests: Requests
  private let output: String
  private let coverage: Double

  /// Creates the job; nothing is done before ``run(progress:)``.
  ///
  /// - Parameters:
  ///   - experts: Folders of trained models: forecasters with one measure, horizon, context and set of
  ///     levels, or language models.
  ///   - requests: What the router learns from.
  ///   - output: The composition's folder.
  ///   - coverage: The share of requests that is routed rather than sent to the base expert.
  public init(experts: [String], requests: Requests, output: String, coverage: Double = 0.9) {
    (self.experts, self.requests, self.output) = (experts, requests, output)
    self.coverage = coverage
  }

  /// Composes.
  ///
  /// - Parameter progress: Called after every example of every expert, and awaited.
  /// - Returns: The composition, not yet saved, and how its router did, beside each expert alone, on
  ///   requests held out from everything.
  /// - Throws: ``ComposingError``, and what is wrong with a folder or the data. ``Interruption`` when the
  ///   Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> (composition: Composition, summary: ComposingSummary) {
    try await Interruption.naming("composing") {
      guard let first = experts.first else { throw ComposingError.noExperts }
      try ModelFolder.prepare(output)
      switch requests {
      case .series(let table): return try await forecasters(first, table, progress)
      case .text(let text, let passage):
        return try await languageModels(TextPassages(text, length: passage), passage, progress)
      }
    }
  }

  private func forecasters(
    _ firstPath: String, _ table: SeriesTable, _ progress: (WorkProgress) async -> Void
  ) async throws -> (Composition, ComposingSummary) {
    let first = try ModelFolder.open(firstPath).forecaster().load()
    let lookBack = first.forecaster.config.context
    let measured = try table.measured(as: first.recipe.measure)
    let blocks = SeriesBlocks(
      measured, lookBack: lookBack, horizon: first.forecaster.config.horizon)
    guard blocks.all.count >= 10 else {
      throw ComposingError.tooFew(found: blocks.all.count, unit: "blocks of \(lookBack) rows")
    }
    let judged = try await losses(on: blocks.all, progress) { path in
      let saved = try ModelFolder.open(path).forecaster().load()
      try Self.check(saved, path: path, against: first, path: firstPath)
      let frames = try saved.recipe.frames(measured.series)
      return { blocks.loss(of: saved.forecaster, on: $0, in: frames[$0.series]) }
    }
    var examples = [RoutedExamples](repeating: RoutedExamples(), count: 3)
    for (block, loss) in zip(blocks.all, judged.losses) where loss.allSatisfy(\.isFinite) {
      let values = measured.series[block.series].values[block.start - lookBack..<block.start]
      examples[block.part].append(features: SeriesFeatures.vector(values), losses: loss)
    }
    let router = try router(examples, isScaled: true)
    let report = router.report(examples[2])
    let composition = Composition(
      task: .forecast, experts: try entries(), router: router, lookBack: lookBack,
      report: report, folder: output)
    let summary = ComposingSummary(
      composition: composition, report: report,
      routerSeconds: Self.seconds(of: examples[2].features) { _ = router.decide($0) },
      expertSeconds: judged.seconds)
    return (composition, summary)
  }

  private func languageModels(
    _ passages: TextPassages, _ length: Int, _ progress: (WorkProgress) async -> Void
  ) async throws -> (Composition, ComposingSummary) {
    guard passages.all.count >= 10 else {
      throw ComposingError.tooFew(
        found: passages.all.count, unit: "passages of \(length) characters")
    }
    let judged = try await losses(on: passages.all, progress) { path in
      let saved = try ModelFolder.open(path).language().load()
      guard let tokenizer = saved.tokenizer else {
        throw ComposingError.noTokenizer(path: path)
      }
      return { try $0.loss(of: saved.model, tokenizer: tokenizer) }
    }
    let texts = passages.all.enumerated().filter { $0.offset % 5 < 3 }.map(\.element.request)
    let features = TextFeatures(fitting: texts)
    var examples = [RoutedExamples](repeating: RoutedExamples(), count: 3)
    for (index, one) in passages.all.enumerated() where judged.losses[index].allSatisfy(\.isFinite)
    {
      let part = [0, 0, 0, 1, 2][index % 5]
      examples[part].append(features: features.vector(one.request), losses: judged.losses[index])
    }
    let router = try router(examples, isScaled: false)
    let report = router.report(examples[2])
    let composition = Composition(
      task: .language, experts: try entries(), router: router, text: features, report: report,
      folder: output)
    let summary = ComposingSummary(
      composition: composition, report: report,
      routerSeconds: Self.seconds(of: passages.all.suffix(50).map(\.request)) {
        _ = router.decide(features.vector($0))
      }, expertSeconds: judged.seconds)
    return (composition, summary)
  }

  /// What every expert loses on every example, one expert in memory at a time, and the seconds that one
  /// takes for one.
  private func losses<Example>(
    on examples: [Example], _ progress: (WorkProgress) async -> Void,
    loading load: (_ path: String) throws -> (Example) throws -> Double
  ) async throws -> (losses: [[Double]], seconds: Double) {
    var losses = [[Double]](repeating: [], count: examples.count)
    var seconds = 0.0
    for (number, path) in experts.enumerated() {
      let loss = try load(path)
      let name = URL(fileURLWithPath: path).lastPathComponent
      for (index, example) in examples.enumerated() {
        try Task.checkCancellation()
        let start = ContinuousClock.now
        losses[index].append(try loss(example))
        seconds += (ContinuousClock.now - start).seconds
        let done = number * examples.count + index + 1
        await progress(
          WorkProgress(
            phase: "losses of \(name)", share: Double(done) / Double(losses.count * experts.count)))
        await Task.yield()
      }
    }
    return (losses, seconds / Double(max(experts.count * examples.count, 1)))
  }

  private func router(_ examples: [RoutedExamples], isScaled: Bool) throws -> Router {
    guard examples.allSatisfy({ $0.count > 0 }) else {
      throw ComposingError.tooFew(
        found: examples.map(\.count).min() ?? 0, unit: "examples in one of the three parts")
    }
    return Router(
      training: examples[0], validation: examples[1], isScaled: isScaled, coverage: coverage)
  }

  /// Seconds of one decision with what it rests on, best of three rounds.
  private static func seconds<Request>(
    of requests: [Request], decide: (Request) -> Void
  ) -> Double {
    (0..<3).map { _ in
      let start = ContinuousClock.now
      for request in requests { decide(request) }
      return (ContinuousClock.now - start).seconds / Double(max(requests.count, 1))
    }.min() ?? 0
  }

  private static func check(
    _ saved: ModelFolder.SavedForecaster, path: String,
    against first: ModelFolder.SavedForecaster, path firstPath: String
  ) throws {
    let (one, other) = (saved.forecaster.config, first.forecaster.config)
    for (key, found, expected) in [
      ("measure", "\(saved.recipe.measure)", "\(first.recipe.measure)"),
      ("horizon", "\(one.horizon)", "\(other.horizon)"),
      ("levels", "\(one.levels)", "\(other.levels)"),
      ("context", "\(one.context)", "\(other.context)"),
    ] where found != expected {
      throw ComposingError.mismatch(
        key: key, path: path, found: found, other: firstPath, expected: expected)
    }
  }

  /// The experts as `coe.json` lists them: their folders as seen from the composition's.
  private func entries() throws -> [Composition.Expert] {
    let home = URL(fileURLWithPath: output).standardizedFileURL.pathComponents
    return try experts.map { path in
      let parts = URL(fileURLWithPath: path).standardizedFileURL.pathComponents
      let common = zip(home, parts).prefix { $0 == $1 }.count
      let up = [String](repeating: "..", count: home.count - common)
      let bytes = try Safetensors.load(path).values.reduce(0) { $0 + $1.count * 4 }
      return Composition.Expert(
        name: parts.last ?? path, path: (up + parts[common...]).joined(separator: "/"),
        bytes: bytes)
    }
  }
}

/// The results of composing, as `apus compose --json` prints it.
public struct ComposingSummary: Codable, Sendable {
  /// Names of the experts.
  public var experts: [String]
  /// The predictor of losses.
  public var predictor: String
  /// The expert that is taken when the router is unsure.
  public var base: String
  /// Mean losses on held-out requests.
  public var report: Router.Report
  /// Of one decision, features included for texts.
  public var routerSeconds: Double
  /// Of one expert on one example.
  public var expertSeconds: Double

  init(
    composition: Composition, report: Router.Report, routerSeconds: Double, expertSeconds: Double
  ) {
    experts = composition.experts.map(\.name)
    predictor = composition.router.predictor.name
    base = composition.experts[composition.router.base].name
    (self.report, self.routerSeconds, self.expertSeconds) = (report, routerSeconds, expertSeconds)
  }

  /// The router's time over an expert's.
  public var overhead: Double { expertSeconds > 0 ? routerSeconds / expertSeconds : 0 }
}

/// An error of the parts of a composition.
public enum ComposingError: Error, Equatable {
  /// There are none.
  case noExperts
  /// There is too little to learn a router from.
  case tooFew(found: Int, unit: String)
  /// Two experts do not answer the same question.
  case mismatch(key: String, path: String, found: String, other: String, expected: String)
  /// A language model without a tokenizer cannot read text.
  case noTokenizer(path: String)
}

extension ComposingError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .noExperts: "There are no experts. Name the folders of at least one."
    case .tooFew(let found, let unit):
      "The data has \(found) \(unit), but a router learns from at least 10. Give more data."
    case .mismatch(let key, let path, let found, let other, let expected):
      """
      The \(key) of '\(path)' is \(found), but that of '\(other)' is \(expected). \
      Experts must answer the same question; train one of them again.
      """
    case .noTokenizer(let path):
      "The model in '\(path)' has no tokenizer of ours. Compose models made by apus train."
    }
  }
}
