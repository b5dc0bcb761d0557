public import ApusData
public import ApusModels
public import ApusRuntime
public import ApusTensor
import Foundation

/// Making a composition: what each expert loses on requests that none was trained on, and a router that
/// learns from it.
public struct Composing {
  /// The composition, not yet saved.
  public let composition: Composition
  /// How the router did, beside each expert alone, on requests held out from everything.
  public let summary: ComposingSummary

  /// Composes forecasters.
  ///
  /// An example is a block of L rows of a series: the router sees the L rows before it, and an expert's loss
  /// is its mean pinball loss over the block, times two, over the mean step of those rows. Series are split
  /// into those to learn from, to choose by and to judge by where there are ten or more; with fewer each is
  /// split in time.
  /// - Parameters:
  ///   - experts: Folders of forecasters with one measure, horizon, context and set of levels.
  ///   - table: Rows that no expert was trained on.
  ///   - output: The composition's folder.
  ///   - coverage: The share of requests that is routed rather than sent to the base expert.
  /// - Throws: ``ComposingError``, and what is wrong with a folder or the data.
  public init(
    forecasters experts: [String], table: SeriesTable, output: String, coverage: Double = 0.9
  ) throws {
    guard !experts.isEmpty else { throw ComposingError.noExperts }
    let first = try ModelFolder.forecaster(at: experts[0])
    let lookBack = first.forecaster.config.size.context
    let measured = try table.measured(as: first.recipe.measure)
    let blocks = SeriesBlocks(
      measured, lookBack: lookBack, horizon: first.forecaster.config.horizon)
    guard blocks.all.count >= 10 else {
      throw ComposingError.tooFew(found: blocks.all.count, unit: "blocks of \(lookBack) rows")
    }
    var losses = [[Double]](repeating: [], count: blocks.all.count)
    var expertSeconds = 0.0
    for path in experts {
      let saved = try ModelFolder.forecaster(at: path)
      try Self.check(saved, path: path, against: first, path: experts[0])
      let start = ContinuousClock.now
      let own = try blocks.losses(of: saved, in: measured)
      expertSeconds += (ContinuousClock.now - start).seconds
      for index in own.indices { losses[index].append(own[index]) }
    }
    var examples = [RoutedExamples](repeating: RoutedExamples(), count: 3)
    for (block, loss) in zip(blocks.all, losses) where loss.allSatisfy(\.isFinite) {
      let values = measured.series[block.series].values[block.start - lookBack..<block.start]
      examples[block.part].append(features: SeriesFeatures.vector(values), losses: loss)
    }
    let router = try Self.router(examples, isScaled: true, coverage: coverage)
    let overhead = Self.seconds(of: examples[2]) { router.decide($0) }
    let perBlock = expertSeconds / Double(experts.count * blocks.all.count)
    let report = router.report(examples[2])
    composition = Composition(
      task: .forecast, experts: try Self.entries(experts, output: output), router: router,
      lookBack: lookBack, report: report, folder: output)
    summary = ComposingSummary(
      composition: composition, report: report, routerSeconds: overhead, expertSeconds: perBlock)
  }

  /// Composes language models.
  ///
  /// An example is a passage: the router sees its first half, and an expert's loss is its mean over the
  /// second half in nats per byte, which does not depend on how it cuts text into tokens.
  /// - Parameters:
  ///   - experts: Folders of language models with their tokenizers.
  ///   - text: Text that no expert was trained on.
  ///   - passage: Characters of a passage.
  ///   - output: The composition's folder.
  ///   - coverage: The share of requests that is routed rather than sent to the base expert.
  /// - Throws: ``ComposingError``, and what is wrong with a folder or the data.
  public init(
    languageModels experts: [String], text: String, passage: Int = 512, output: String,
    coverage: Double = 0.9
  ) throws {
    guard !experts.isEmpty else { throw ComposingError.noExperts }
    let passages = TextPassages(text, length: passage)
    guard passages.all.count >= 10 else {
      throw ComposingError.tooFew(
        found: passages.all.count, unit: "passages of \(passage) characters")
    }
    var losses = [[Double]](repeating: [], count: passages.all.count)
    var expertSeconds = 0.0
    for path in experts {
      let saved = try ModelFolder.languageModel(at: path)
      guard let tokenizer = saved.tokenizer else {
        throw ComposingError.noTokenizer(path: path)
      }
      let start = ContinuousClock.now
      for (index, one) in passages.all.enumerated() {
        losses[index].append(try one.loss(of: saved.model, tokenizer: tokenizer))
      }
      expertSeconds += (ContinuousClock.now - start).seconds
    }
    let texts = passages.all.enumerated().filter { $0.offset % 5 < 3 }.map(\.element.request)
    let features = TextFeatures(fitting: texts)
    var examples = [RoutedExamples](repeating: RoutedExamples(), count: 3)
    for (index, one) in passages.all.enumerated() where losses[index].allSatisfy(\.isFinite) {
      let part = [0, 0, 0, 1, 2][index % 5]
      examples[part].append(features: features.vector(one.request), losses: losses[index])
    }
    let router = try Self.router(examples, isScaled: false, coverage: coverage)
    let requests = passages.all.suffix(50).map(\.request)
    let begin = ContinuousClock.now
    for request in requests { _ = router.decide(features.vector(request)) }
    let overhead = (ContinuousClock.now - begin).seconds / Double(requests.count)
    let report = router.report(examples[2])
    composition = Composition(
      task: .language, experts: try Self.entries(experts, output: output), router: router,
      text: features, report: report, folder: output)
    summary = ComposingSummary(
      composition: composition, report: report, routerSeconds: overhead,
      expertSeconds: expertSeconds / Double(experts.count * passages.all.count))
  }

  private static func router(
    _ examples: [RoutedExamples], isScaled: Bool, coverage: Double
  ) throws -> Router {
    guard examples.allSatisfy({ $0.count > 0 }) else {
      throw ComposingError.tooFew(
        found: examples.map(\.count).min() ?? 0, unit: "examples in one of the three parts")
    }
    return Router(
      training: examples[0], validation: examples[1], isScaled: isScaled, coverage: coverage)
  }

  /// Seconds of one decision with what it rests on, best of three rounds.
  private static func seconds(
    of examples: RoutedExamples, decide: ([Double]) -> Router.Decision
  ) -> Double {
    (0..<3).map { _ in
      let start = ContinuousClock.now
      for features in examples.features { _ = decide(features) }
      return (ContinuousClock.now - start).seconds / Double(max(examples.count, 1))
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
      ("context", "\(one.size.context)", "\(other.size.context)"),
    ] where found != expected {
      throw ComposingError.mismatch(
        key: key, path: path, found: found, other: firstPath, expected: expected)
    }
  }

  /// The experts as `coe.json` lists them: their folders as seen from the composition's.
  private static func entries(
    _ experts: [String], output: String
  ) throws -> [Composition.Expert] {
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

/// What composing found, as `apus compose --json` prints it.
public struct ComposingSummary: Codable, Sendable {
  /// Names of the experts.
  public var experts: [String]
  /// How losses are foretold.
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

/// What can be wrong with what is to be composed.
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

  /// What was found, what was expected, what to do.
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
