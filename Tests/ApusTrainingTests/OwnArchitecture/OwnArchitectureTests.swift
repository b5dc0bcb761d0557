import ApusData
import ApusModels
import ApusNN
import ApusRuntime
import ApusTensor
import ApusTestSupport
import ApusTraining
import Foundation
import Testing

/// A new architecture is one file and one line: ``MinGRU`` and `register`. Nothing else knows of it.
@Suite("An architecture from outside")
struct OwnArchitectureTests {
  private static let registered: Result<Void, any Error> = Result {
    try Architecture.register(.minGRU)
  }

  init() throws { try Self.registered.get() }

  private static func series(_ count: Int) -> SeriesTable {
    let values = (0..<count).map { 3 * sin(2 * .pi * Double($0) / 8) + 0.1 * cos(Double($0)) }
    return SeriesTable([TimeSeries(id: "wave", values: values)])
  }

  private static func options(_ model: ModelChoice, steps: Int) -> ModelTrainingOptions {
    var options = ModelTrainingOptions(model)
    options.budget = .steps(steps)
    (options.context, options.horizon) = (16, 2)
    (options.measure, options.levels, options.learningRate) = (.level, [0.1, 0.5, 0.9], 0.01)
    return options
  }

  private static let source = DataSource(name: "memory", data: Data())

  @Test("it trains on series, is saved, loaded, inspected, and forecasts and streams the same")
  func series() async throws {
    try await withTemporaryFolder { folder in
      let table = Self.series(400)
      var options = Self.options(try ModelChoice("mingru"), steps: 120)
      (options.width, options.layers) = (16, 2)
      let summary = try await ForecastTraining(table, source: Self.source, options: options)
        .run(output: folder)
      // The quantiles of the waves as a whole would lose 0.5.
      #expect((summary.validationLoss ?? 9) < 0.35, "\(summary.validationLoss ?? 9)")
      #expect(summary.model == "mingru")

      let saved = try ModelFolder.open(folder).forecaster().load()
      let config = try #require(saved.forecaster.config.backbone.config as? MinGRUConfig)
      #expect(config.hiddenSize == 16 && config.numHiddenLayers == 2)
      let forecast = try FutureForecast(Model(at: folder), table: table)
      var stream = ForecastStream(saved.forecaster, recipe: saved.recipe)
      var last: [[Double]] = []
      for (value, stamp) in zip(table.series[0].values, table.series[0].timestamps) {
        last = try stream.push(value, at: stamp)
      }
      for (one, other) in zip(last.joined(), forecast.series[0].quantiles.joined()) {
        #expect(abs(one - other) < 1e-4)
      }
      let found = try ModelInspection(at: folder)
      #expect(found.canRun && found.architecture == "mingru")
      #expect(found.parameters == saved.forecaster.parameters.reduce(0) { $0 + $1.shape.count })
    }
  }

  @Test("it trains on text, and its folder is one of a language model like any other")
  func text() async throws {
    try await withTemporaryFolder { folder in
      let text = String(repeating: "the swift stays in the air for ten months. ", count: 60)
      let corpus = try TextCorpus(Array(text.utf8), unit: .characters)
      var options = Self.options(try ModelChoice("mingru"), steps: 40)
      (options.width, options.layers, options.batch) = (24, 2, 8)
      let summary = try await LanguageTraining(corpus, source: Self.source, options: options)
        .run(output: folder)
      #expect((summary.validationLoss ?? 9) < 2.5, "\(summary.validationLoss ?? 9)")
      let saved = try ModelFolder.open(folder).language().load()
      let found = try ModelInspection(at: folder)
      #expect(found.architecture == "mingru" && found.modelType == "mingru")
      #expect(found.state?.fixedBytes == 2 * 24 * 4 && found.state?.bytesPerToken == 0)
      #expect(found.config["hidden_size"] == 24)
      let again = folder + "/again"
      try ModelFolder.convert(folder, to: again)
      let ids = Tensor([1, 2, 0, 3] as [Int32], [1, 4])
      expectSameBits(
        withoutGradient { try? ModelFolder.open(again).language().load().model.logits(ids) }?
          .values ?? [],
        withoutGradient { saved.model.logits(ids) }.values)
    }
  }

  @Test("its facts are those of the model, its state goes token by token, and benchmarks use them")
  func facts() throws {
    let json = Data(
      #"{"model_type": "mingru", "hidden_size": 12, "num_hidden_layers": 3, "vocab_size": 19}"#.utf8
    )
    let blueprint = try Blueprint(json: json)
    let model = try LanguageModel(blueprint, key: RandomKey(seed: 1))
    let parameters = model.parameters.reduce(0) { $0 + $1.shape.count }
    #expect(blueprint.languageTotal.parameters == parameters)
    let ids = Tensor.randomIntegers([2, 9], below: 19, seed: 1)
    let whole = withoutGradient { model.logits(ids) }.values
    var state = model.initialState(batch: 2)
    var parts: [Float] = []
    for t in 0..<9 {
      let token = Tensor((0..<2).map { ids.integers[$0 * 9 + t] }, [2, 1])
      parts += model.logits(token, state: &state).values
      #expect(state.byteCount == 2 * blueprint.facts.total.stateBytes(after: t + 1))
    }
    var ordered: [Float] = []
    for row in 0..<2 {
      for t in 0..<9 {
        let start = (t * 2 + row) * 19
        ordered += parts[start..<start + 19]
      }
    }
    expectClose(ordered, whole, absolute: 1e-5)

    var benchmark = SpeedBenchmark()
    (benchmark.batch, benchmark.context, benchmark.runs) = (2, 8, 1)
    let result = try benchmark.prefill(config: json)
    // Products of two matrices a layer and of the head, and four operations a channel.
    let token = 2.0 * Double(3 * 2 * 144 + 19 * 12) + 4 * 36
    let told = result.gflops * result.milliseconds * 1e6
    #expect(abs(told / (16 * token) - 1) < 1e-9)
    #expect(result.name == "mingru" && result.parameters == parameters)
    #expect(result.stateBytes == 2 * 3 * 12 * 4)
  }

  @Test("it is refused under a name that is taken, and its configuration when it cannot be")
  func refusals() throws {
    #expect(throws: RegistryError.taken(name: "mingru")) { try Architecture.register(.minGRU) }
    let lstm = Architecture(
      name: "lstm", summary: "", paper: "", isRecurrent: true
    ) { _ in MinGRUConfig() }
    #expect(throws: RegistryError.taken(name: "lstm")) { try Architecture.register(lstm) }
    let error = #expect(throws: ConfigError.self) {
      try Blueprint(json: Data(#"{"model_type": "mingru", "hidden_size": -1}"#.utf8))
    }
    guard case .invalid("hidden_size", _, _) = error else {
      Issue.record("\(error.map { "\($0)" } ?? "none")")
      return
    }
  }

  @Test("a config.json for series counts whole, flags go over it, and an unknown key is refused")
  func wholeConfiguration() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/own.json"
      func choice(_ json: String) throws -> ModelChoice {
        try Data(json.utf8).write(to: URL(filePath: path))
        return try ModelChoice(path)
      }
      let table = Self.series(200)
      let mamba = #"{"model_type": "mamba", "hidden_size": 24, "state_size": 5, "conv_kernel": 3}"#
      var options = Self.options(try choice(mamba), steps: 1)
      options.layers = 1
      _ = try await ForecastTraining(table, source: Self.source, options: options)
        .run(output: folder + "/model")
      let saved = try ModelFolder.open(folder + "/model").forecaster().config.backbone
      let config = try #require(saved.config as? MambaConfig)
      #expect(config.hiddenSize == 24 && config.stateSize == 5 && config.convKernel == 3)
      #expect(config.numHiddenLayers == 1)

      #expect(throws: ConfigError.self) { try choice(#"{"model_type": "mamba", "hidden": 24}"#) }
      // Of a published file keys of other programs pass.
      _ = try choice(#"{"model_type": "mamba", "architectures": ["M"], "pad_vocab": 8}"#)
      // Positions that are a table must hold two contexts.
      var short = Self.options(try choice(#"{"model_type": "gpt2", "n_positions": 31}"#), steps: 1)
      (short.width, short.layers) = (12, 1)
      let training = ForecastTraining(table, source: Self.source, options: short)
      await #expect(throws: ConfigError.self) { try await training.run(output: folder + "/short") }

      var comparison = ComparisonOptions()
      comparison.models = ["lstm", path]
      try Data(mamba.utf8).write(to: URL(filePath: path))
      #expect(try comparison.choices().map(\.name) == ["lstm", "own"])
      comparison.models = [path, path]
      #expect(throws: ConfigError.self) { try comparison.choices() }
    }
  }
}
