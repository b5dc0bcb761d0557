import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Testing

@Suite("Performer, Skyformer and the linear transformer")
struct FeatureMixerTests {
  static let names = ["performer", "skyformer", "linear"]

  static func config<Config: ModelConfig>(
    _ type: Config.Type, _ more: [String: any Sendable] = [:]
  ) throws -> Config {
    var overrides: [String: any Sendable] = [
      "hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 11,
      "position_embedding_type": "none", "initializer_range": 0.4,
    ]
    overrides.merge(more) { $1 }
    return try Config(json: nil, overrides: overrides)
  }

  /// What the mixer of an architecture makes of `x`, `[B, T, 12]`.
  static func mixed(_ name: String, _ x: Tensor, isCausal: Bool) throws -> Tensor {
    let scope = Scope(key: RandomKey(seed: 5))
    switch name {
    case "performer":
      return try Performer.Mixer(config(PerformerConfig.self), isCausal: isCausal, in: scope)(x)
    case "skyformer":
      let config = try config(SkyformerConfig.self, ["num_landmarks": 6])
      return try Skyformer.Mixer(config, isCausal: isCausal, in: scope)(x)
    default:
      return try LinearTransformer.Mixer(
        config(LinearTransformerConfig.self), isCausal: isCausal, in: scope)(x)
    }
  }

  static func reversed(_ x: Tensor) -> Tensor {
    let (time, width) = (x.shape[1], x.shape[2])
    let values = x.values
    var turned: [Float] = []
    for row in 0..<x.shape[0] {
      for t in (0..<time).reversed() {
        let first = (row * time + t) * width
        turned += values[first..<first + width]
      }
    }
    return Tensor(turned, x.shape)
  }

  @Test("without a mask see both sides alike", arguments: names)
  func bidirectional(name: String) throws {
    // The landmarks of 21 rows, 3 of queries and 3 of keys, are the same rows from either end.
    let x = Tensor.random([2, 21, 12], seed: 1)
    let y = try Self.mixed(name, x, isCausal: false)
    expectClose(
      try Self.mixed(name, Self.reversed(x), isCausal: false), Self.reversed(y), absolute: 2e-5)
    var changed = x
    changed.withMutableFloats { $0[20 * 12] += 1 }
    let other = try Self.mixed(name, changed, isCausal: false)
    #expect(
      bitDisagreement(
        other[times: 0..<1].values, y[times: 0..<1].values) != nil)
  }

  @Test(
    "have gradients with and without a mask", .tags(.gradient), arguments: names, [true, false])
  func gradients(name: String, isCausal: Bool) {
    checkGradient(
      of: { inputs in
        guard let y = try? Self.mixed(name, inputs[0], isCausal: isCausal) else { return Tensor(0) }
        return (y * y).mean()
      }, at: [.random([2, 7, 12], seed: 2)], tolerance: 2e-3)
  }

  @Test("keep states of the sizes that the formulas give")
  func stateBytes() throws {
    let heads = 3 * 2 * 2  // of a batch of 3 in 2 layers
    // Width 12, 2 layers of 2 heads of 6; a batch of 3.
    func bytes(_ name: String, _ overrides: [String: any Sendable] = [:]) throws -> Int {
      let architecture = try Architecture.named(name)
      let base: [String: any Sendable] = [
        "hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 11,
      ]
      let config = try architecture.makeConfiguration(overrides: base.merging(overrides) { $1 })
      let model = try LanguageModel(architecture, config: config, key: RandomKey(seed: 1))
      var state = model.initialState(batch: 3)
      let before = state.byteCount
      _ = model.logits(.randomIntegers([3, 40], below: 11, seed: 1), state: &state)
      #expect(state.byteCount == before)
      return before
    }
    #expect(try bytes("performer", ["nb_features": 20]) == heads * (20 * 6 + 2 * 20) * 4)
    #expect(try bytes("linear") == heads * (6 * 6 + 6) * 4)
    #expect(try bytes("skyformer", ["num_landmarks": 9]) == heads * 9 * 6 * 4)
  }

  @Test("Performer keeps its projection out of training, and in its checkpoint")
  func projection() throws {
    let architecture = try Architecture.named("performer")
    let config = try Self.config(PerformerConfig.self, ["nb_features": 9])
    let model = try LanguageModel(architecture, config: config, key: RandomKey(seed: 1))
    let fixed = model.parameters.filter { !$0.isTrainable }
    #expect(
      fixed.map(\.name)
        == (0..<2).map { "performer.layers.\($0).attention.projection_matrix" })
    #expect(fixed.allSatisfy { $0.shape == [9, 6] && !$0.isDecayed })
    let tensors = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value) })
    let again = try LanguageModel(architecture, config: config, in: Scope(checkpoint: tensors))
    #expect(again.parameters.filter { !$0.isTrainable }.map(\.name) == fixed.map(\.name))
    expectSameBits(
      again.parameters.filter { !$0.isTrainable }.flatMap { $0.value.values },
      fixed.flatMap { $0.value.values })
  }

  @Test("Performer draws its projection anew when asked, by key alone")
  func redraw() throws {
    let scope = Scope(key: RandomKey(seed: 1))
    let performer = try Performer(Self.config(PerformerConfig.self), in: scope)
    let x = Tensor.random([1, 9, 12], seed: 3)
    func output() -> [Float] { withoutGradient { performer(x) }.values }
    let start = output()
    performer.redrawFeatures(key: RandomKey(seed: 7))
    let first = output()
    performer.redrawFeatures(key: RandomKey(seed: 8))
    #expect(bitDisagreement(start, first) != nil && bitDisagreement(output(), first) != nil)
    performer.redrawFeatures(key: RandomKey(seed: 7))
    expectSameBits(output(), first)
    #expect(scope.parameters.filter { !$0.isTrainable }.count == 2)
  }

  @Test("Performer nears the transformer's attention as features grow")
  func nearsAttention() throws {
    let x = Tensor.random([1, 30, 12], seed: 4)
    func output(_ features: Int) throws -> Tensor {
      let config = try Self.config(
        PerformerConfig.self, ["nb_features": features, "initializer_range": 0.25])
      return try Performer.Mixer(config, in: Scope(key: RandomKey(seed: 5)))(x)
    }
    let scope = Scope(key: RandomKey(seed: 5))
    _ = try Performer.Mixer(
      Self.config(PerformerConfig.self, ["initializer_range": 0.25]), in: scope)
    let weights = Dictionary(uniqueKeysWithValues: scope.parameters.map { ($0.name, $0.value) })
    let (input, out) = (
      try #require(weights["input.weight"]), try #require(weights["output.weight"])
    )
    let (inputBias, outBias) = (
      try #require(weights["input.bias"]), try #require(weights["output.bias"])
    )
    let exact = x.linear(weight: input, bias: inputBias).attention(
      layout: AttentionLayout(heads: 2, headSize: 6)
    ).linear(weight: out, bias: outBias)
    func error(_ y: Tensor) -> Float {
      let squares = zip(y.values, exact.values).map { ($0 - $1) * ($0 - $1) }
      return squares.reduce(0, +).squareRoot()
    }
    #expect(try error(output(4096)) < 0.3 * error(output(32)))
  }

  @Test("Skyformer takes landmarks from data, layer by layer")
  func landmarks() throws {
    let scope = Scope(key: RandomKey(seed: 1))
    let config = try Self.config(SkyformerConfig.self, ["num_landmarks": 4])
    let skyformer = try Skyformer(config, in: scope)
    let before = scope.parameters.filter { $0.name.hasSuffix("landmarks") }.map(\.value)
    let x = Tensor.random([2, 10, 12], seed: 3)
    skyformer.takeLandmarks(from: x)
    let after = scope.parameters.filter { $0.name.hasSuffix("landmarks") }
    #expect(after.count == 2 && after.allSatisfy { $0.isTrainable && $0.shape == [2, 4, 6] })
    // Layer 0, head 1, landmark 0: the query of row 2 of 20.
    let weights = Dictionary(uniqueKeysWithValues: scope.parameters.map { ($0.name, $0.value) })
    func weight(_ name: String) throws -> Tensor { try #require(weights["layers.0." + name]) }
    let row = x.reshaped([1, 20, 12])[times: 2..<3]
    let fused = row.layerNorm(
      weight: try weight("attention_norm.weight"), bias: try weight("attention_norm.bias"),
      epsilon: 1e-5
    ).linear(weight: try weight("attention.input.weight"), bias: try weight("attention.input.bias"))
    let scale = 1 / Float(6).squareRoot().squareRoot()
    expectClose(
      Array(after[0].value.values[24..<30]), fused.values[6..<12].map { $0 * scale },
      absolute: 1e-5)
    #expect(bitDisagreement(before[1].values, after[1].value.values) != nil)
  }

  @Test(
    "refuse what makes no sense",
    arguments: [
      ("performer", "nb_features", 0), ("performer", "ortho_scaling", 2),
      ("performer", "num_attention_heads", 5), ("skyformer", "num_landmarks", 0),
      ("skyformer", "inverse_iterations", 0), ("linear", "hidden_size", 0),
      ("linear", "max_position_embeddings", 0),
    ])
  func badConfigurations(name: String, key: String, value: Int) throws {
    let architecture = try Architecture.named(name)
    #expect {
      try architecture.makeConfiguration(overrides: [key: value])
    } throws: { error in
      guard case ConfigError.invalid(key, _, _) = error else { return false }
      return true
    }
  }
}
