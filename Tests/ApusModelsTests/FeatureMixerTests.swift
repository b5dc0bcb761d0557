import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Testing

@Suite("Performer, Skyformer and the linear transformer")
struct FeatureMixerTests {
  static let names = ["performer", "skyformer", "linear"]

  static func config<Config: ModelConfig>(
    _ type: Config.Type, _ more: [String: ConfigValue] = [:]
  ) throws -> Config {
    var overrides: [String: ConfigValue] = [
      "hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 11,
      "position_embedding_type": "none", "initializer_range": 0.4,
    ]
    overrides.merge(more) { $1 }
    return try Config(json: nil, overrides: overrides)
  }

  /// What the first mixer of an architecture makes of `x`, `[B, T, 12]`.
  static func mixed(_ name: String, _ x: Tensor) throws -> Tensor {
    let scope = Scope(key: RandomKey(seed: 5))
    let backbone: any DecoderBackbone =
      switch name {
      case "performer": try Performer(config(PerformerConfig.self), in: scope)
      case "skyformer":
        try Skyformer(config(SkyformerConfig.self, ["num_landmarks": 6]), in: scope)
      default: try LinearTransformer(config(LinearTransformerConfig.self), in: scope)
      }
    return backbone.stack.blocks[0].mixer(x, at: Places(wholeOf: x))
  }

  @Test("have gradients", .tags(.gradient), arguments: names)
  func gradients(name: String) {
    checkGradient(
      of: { inputs in
        guard let y = try? Self.mixed(name, inputs[0]) else { return Tensor(0) }
        return (y * y).mean()
      }, at: [.random([2, 7, 12], seed: 2)], tolerance: 2e-3)
  }

  @Test("keep states of the sizes that the formulas give")
  func stateBytes() throws {
    let heads = 3 * 2 * 2  // of a batch of 3 in 2 layers
    // Width 12, 2 layers of 2 heads of 6; a batch of 3.
    func bytes(_ name: String, _ overrides: [String: ConfigValue] = [:]) throws -> Int {
      let architecture = try Architecture.named(name)
      let base: [String: ConfigValue] = [
        "hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 11,
      ]
      let config = try architecture.configured(overrides: base.merging(overrides) { $1 })
      let model = try LanguageModel(config, key: RandomKey(seed: 1))
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
    let config = try Blueprint(Self.config(PerformerConfig.self, ["nb_features": 9]))
    let model = try LanguageModel(config, key: RandomKey(seed: 1))
    let fixed = model.parameters.filter { !$0.isTrainable }
    #expect(
      fixed.map(\.name)
        == (0..<2).map { "performer.layers.\($0).attention.projection_matrix" })
    #expect(fixed.allSatisfy { $0.shape == [9, 6] && !$0.isDecayed })
    let tensors = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value) })
    let again = try LanguageModel(config, in: Scope(checkpoint: tensors))
    #expect(again.parameters.filter { !$0.isTrainable }.map(\.name) == fixed.map(\.name))
    expectSameBits(
      again.parameters.filter { !$0.isTrainable }.flatMap { $0.value.values },
      fixed.flatMap { $0.value.values })
  }

  @Test("Performer nears the transformer's attention as features grow")
  func nearsAttention() throws {
    let x = Tensor.random([1, 30, 12], seed: 4)
    /// How far the mixer of so many features is from exact attention with the same projections.
    func error(_ features: Int, seed: UInt64) throws -> Float {
      let scope = Scope(key: RandomKey(seed: seed))
      let config = try Self.config(
        PerformerConfig.self, ["nb_features": .integer(features), "initializer_range": 0.25])
      let mixer = try Performer(config, in: scope).stack.blocks[0].mixer
      let found = mixer(x, at: Places(wholeOf: x))
      let weights = Dictionary(uniqueKeysWithValues: scope.parameters.map { ($0.name, $0.value) })
      func weight(_ name: String) throws -> Tensor {
        try #require(weights["layers.0.attention.\(name)"])
      }
      let exact = try x.linear(weight: weight("input.weight"), bias: weight("input.bias"))
        .attention(layout: AttentionLayout(heads: 2, headSize: 6))
        .linear(weight: weight("output.weight"), bias: weight("output.bias"))
      let squares = zip(found.values, exact.values).map { ($0 - $1) * ($0 - $1) }
      return squares.reduce(0, +).squareRoot()
    }
    func mean(_ features: Int) throws -> Float {
      try (1...8 as ClosedRange<UInt64>).reduce(0) { try $0 + error(features, seed: $1) } / 8
    }
    #expect(try mean(4096) < 0.3 * mean(32))
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
      try architecture.configured(overrides: [key: .integer(value)])
    } throws: { error in
      guard case ConfigError.invalid(key, _, _) = error else { return false }
      return true
    }
  }
}
