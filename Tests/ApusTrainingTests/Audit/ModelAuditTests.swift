import ApusData
import ApusEvaluation
import ApusModels
import ApusNN
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

import ApusTraining

@Suite("Model audit")
struct ModelAuditTests {
  /// A walk.
  private static let series: TimeSeries = {
    var generator = SplitMix(state: 5)
    var level = 50.0
    return TimeSeries(
      id: "levels",
      values: (0..<200).map { _ in
        level += generator.normal()
        return level
      })
  }()

  @Test("baselines forecast from rows up to their origin", arguments: ["naive", "ets", "ols"])
  func baselines(name: String) throws {
    let task = ForecastTask(horizon: 3, levels: [0.1, 0.5, 0.9], measure: .level)
    let table = SeriesTable([Self.series])
    let recipe = try FeatureRecipe(
      fitting: table, measure: .level, covariates: [], split: Split(training: table, horizon: 3))
    let model = Model(
      try Baseline.named(name, lookback: 16), task: task, lookback: 16, recipe: recipe,
      target: "value", history: [Self.series])
    let report = try ModelAudit(model, table: table).report()
    #expect(!report.hasLeak, "\(report.checks)")
    #expect(report.check(.causality)?.status == .passed)
    let few = try ModelAudit(model, table: SeriesTable([Self.series.slice(0..<5)])).report()
    #expect(few.check(.causality)?.status == .notMade)
  }

  private static let registered: Result<Void, any Error> = Result {
    try Architecture.register(.glancing)
  }

  @Test("a causal backbone passes, and one that looks ahead is found", arguments: [false, true])
  func backbones(looksAhead: Bool) throws {
    try Self.registered.get()
    let table = SeriesTable([Self.series])
    let split = Split(training: table, horizon: 2)
    let recipe = try FeatureRecipe(fitting: table, measure: .level, covariates: [], split: split)
    let config = try ForecasterConfig(
      .named(looksAhead ? "glancing" : "lstm"),
      size: BackboneSize(width: 8, layers: 1, context: 16), inputs: recipe.inputs, horizon: 2,
      levels: [0.1, 0.5, 0.9])
    let forecaster = try Forecaster(config, key: RandomKey(seed: 3))
    for parameter in forecaster.parameters where parameter.name == "head.weight" {
      parameter.set(Tensor(normal: parameter.shape, deviation: 0.5, key: RandomKey(seed: 4)))
    }
    let model = Model(
      ModelFolder.SavedForecaster(forecaster: forecaster, recipe: recipe, target: "value"),
      history: [Self.series], seen: Self.series.timestamps[150])
    let report = try ModelAudit(model, table: table).report()
    #expect(report.hasLeak == looksAhead, "\(report.checks)")
    #expect(report.check(.causality)?.status == (looksAhead ? .leak : .passed))
    #expect(report.check(.windowNormalization)?.status == .passed)
    let judged = ModelAudit(model, table: table, testFrom: Self.series.timestamps[120])
    #expect(try judged.report().check(.shuffledSplit)?.status == .leak)
  }
}

/// An architecture that is not causal: each token sees the next one.
private struct GlancingConfig: BackboneConfig {
  static let modelType = "glancing"
  /// Token ids, V.
  var vocabSize = 256
  /// Width, D.
  var hiddenSize = 8
  /// Layers.
  var numHiddenLayers = 1

  static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary), ("hidden_size", hiddenSize, 4096),
      ("num_hidden_layers", numHiddenLayers, 256))
  }

  var facts: ModelFacts { ModelFacts(self, total: .vectors(hiddenSize)) }

  var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, backbonePath: "model", embeddingName: "embed_tokens", isTied: true)
  }

  func makeBackbone(in scope: Scope) throws -> any Backbone { try Glancing(self, in: scope) }
}

private struct Glancing: DecoderBackbone {
  let stack: DecoderStack

  init(_ config: GlancingConfig, in scope: Scope) throws {
    let width = config.hiddenSize
    stack = DecoderStack(
      width: width,
      blocks: [
        .mixerOnly(try RMSNorm(width, epsilon: 1e-5, in: scope["inner"]), Mixer())
      ], norm: try RMSNorm(width, epsilon: 1e-5, in: scope["norm"]))
  }

  struct Mixer: SequenceMixer {
    func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
      let last = x.shape[1] - 1
      guard last > 0 else { return x }
      return Tensor(
        concatenating: (0...last).map { time in
          let next = min(time + 1, last)
          return x[times: next..<next + 1]
        }
      ).reshaped(x.shape)
    }

    func callAsFunction(_ x: Tensor, at places: Places, state: inout State) -> Tensor { x }

    func initialState(batch: Int) -> State { State(batch: batch) }
  }

  struct State: LayerState {
    var batch: Int
    var byteCount: Int { 0 }

    init(batch: Int) { self.batch = batch }
    init(joining states: [State]) { batch = states.reduce(0) { $0 + $1.batch } }
    func rows(_ rows: [Int]) -> State { State(batch: rows.count) }
  }
}

extension Architecture {
  fileprivate static let glancing = Architecture(
    name: "glancing", summary: "Sees the next token", paper: "none", isRecurrent: true,
    layersPerBlock: 1
  ) { size in
    var config = GlancingConfig()
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    config.vocabSize = size.vocabulary
    return config
  }
}
