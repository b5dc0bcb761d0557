import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Megalodon")
struct MegalodonTests {
  /// A tiny model whose every size is odd against the others, with chunks of four tokens.
  struct Variant: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let overrides: [String: ConfigValue]

    static let tiny: [String: ConfigValue] = [
      "vocab_size": 7, "num_layers": 2, "model_dim": 12, "z_dim": 6, "value_dim": 10,
      "num_heads": 1, "ffn_hidden_dim": 9, "cema_ndim": 3, "chunk_size": 4, "norm_num_groups": 3,
    ]
    static let all = [
      Variant(testDescription: "plain", overrides: [:]),
      Variant(
        testDescription: "two heads, gated, rescaled, scaled and shared embedding",
        overrides: [
          "num_heads": 2, "z_dim": 8, "value_dim": 16, "swiglu": true, "rescale_nffn": true,
          "scale_emb": true, "share_emb": true, "rope_base": 100.0,
        ]),
      Variant(
        testDescription: "narrow values, no gains, one group, chunk longer than the text",
        overrides: [
          "num_heads": 2, "z_dim": 12, "value_dim": 4, "norm_affine": false, "norm_num_groups": 1,
          "chunk_size": 64, "init_mode": "xavier",
        ]),
    ]

    func config(_ more: [String: ConfigValue] = [:]) throws -> MegalodonConfig {
      try MegalodonConfig(
        json: nil, overrides: Self.tiny.merging(overrides) { $1 }.merging(more) { $1 })
    }

    /// A model whose every parameter was moved away from its start.
    func shakenModel(_ more: [String: ConfigValue] = [:]) throws -> LanguageModel {
      let model = try LanguageModel(
        Blueprint(config(more)), key: RandomKey(seed: 1))
      for (index, parameter) in model.parameters.enumerated() {
        let noise = Tensor.random(parameter.shape, seed: 100 + UInt64(index), scale: 0.2)
        parameter.set(withoutGradient { parameter.value + noise })
      }
      return model
    }

    func reference(_ model: LanguageModel) throws -> MegalodonReference {
      MegalodonReference(
        config: try config(),
        weights: Dictionary(
          uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value.values.map(Double.init)) }
        ))
    }
  }

  /// Three chunks of four and five tokens more.
  static let sequences = [
    [1, 4, 2, 6, 0, 3, 3, 5, 1, 2, 6, 4, 0, 5, 2, 1, 3],
    [5, 0, 0, 2, 6, 1, 4, 3, 2, 2, 5, 6, 1, 0, 4, 4, 2],
  ]
  static var tokens: Tensor { Tensor(sequences.flatMap { $0.map { Int32($0) } }, [2, 17]) }

  @Test("logits are those of the equations in double", .tags(.golden), arguments: Variant.all)
  func values(variant: Variant) throws {
    let model = try variant.shakenModel()
    let reference = try variant.reference(model)
    let expected = Self.sequences.flatMap { reference.logits($0).flatMap { $0.map { Float($0) } } }
    let logits = withoutGradient { model.logits(Self.tokens) }
    expectClose(logits.values, expected, absolute: 1e-5)
    #expect(
      abs(
        model.loss(Self.tokens, targets: following(Self.tokens)).scalar
          - Float(reference.loss(Self.sequences))) < 1e-6)
  }

  @Test(
    "gradients of every parameter are those of the equations in double", .tags(.gradient),
    arguments: Variant.all)
  func gradients(variant: Variant) throws {
    let model = try variant.shakenModel()
    model.loss(Self.tokens, targets: following(Self.tokens)).backward()
    let reference = try variant.reference(model)
    for parameter in model.parameters {
      let gradient = try #require(parameter.gradient, "\(parameter.name)").values
      for index in stride(from: 0, to: gradient.count, by: max(1, gradient.count / 5)) {
        func loss(_ offset: Double) -> Double {
          var moved = reference
          moved.weights[parameter.name]?[index] += offset
          return moved.loss(Self.sequences)
        }
        let expected = (8 * (loss(1e-4) - loss(-1e-4)) - (loss(2e-4) - loss(-2e-4))) / 12e-4
        #expect(
          abs(Double(gradient[index]) - expected) < 2e-6,
          "\(parameter.name)[\(index)]: \(gradient[index]), expected \(expected)")
      }
    }
  }

  @Test("any pieces give what the whole gives, also those that end on borders of chunks")
  func pieces() throws {
    let model = try Variant.all[1].shakenModel()
    let whole = withoutGradient { model.logits(Self.tokens) }
    for cuts in [
      Array(1...17), [4, 8, 12, 17], [1, 4, 12, 17], [3, 5, 17], [11, 12, 13, 17], [17],
    ] {
      var (state, start) = (model.initialState(batch: 2), 0)
      for end in cuts {
        let part = model.logits(idSlice(Self.tokens, times: start..<end), state: &state)
        expectClose(part, whole[times: start..<end], absolute: 1e-5, "\(cuts)")
        start = end
      }
    }
  }

  @Test("a block whose second map is zero hands on its input to the bit: the residual is x, not y")
  func twoHops() throws {
    let model = try Variant.all[0].shakenModel()
    var weights = Dictionary(
      uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value) })
    weights["layers.1.nffn.fc2.weight"] = Tensor(zeros: [12, 9])
    let hopped = try Self.model(weights, layers: 2)
    let single = try Self.model(weights.filter { !$0.key.hasPrefix("layers.1.") }, layers: 1)
    expectSameBits(
      withoutGradient { hopped.logits(Self.tokens).values },
      withoutGradient { single.logits(Self.tokens).values })
  }

  @Test("a block whose first half adds nothing is FFN(x) + x")
  func feedForwardAlone() throws {
    let variant = Variant.all[0]
    let model = try variant.shakenModel(["num_layers": 1])
    var weights = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value) })
    for (name, shape) in [
      ("wh1.weight", [12, 12]), ("wh1.bias", [12]), ("wh2.weight", [12, 10]),
    ] as [(String, Shape)] {
      weights["layers.0.mega." + name] = Tensor(zeros: shape)
    }
    let changed = try Self.model(weights, layers: 1)
    var reference = MegalodonReference(
      config: try variant.config(["num_layers": 1]),
      weights: weights.mapValues { $0.values.map(Double.init) })
    let embedded = Self.sequences[0].map { token in
      weights["embed.weight"].map { Array($0.values[token * 12..<(token + 1) * 12]) } ?? []
    }.map { $0.map(Double.init) }
    let ffn = reference.feedForward(embedded, "layers.0.nffn")
    // The same through a model of no blocks, whose embedding is FFN(x) + x position by position.
    let hidden = zip(ffn, embedded).map { zip($0, $1).map(+) }
    reference.weights["embed.weight"] = hidden.flatMap { $0 }
    let expected = reference.withoutBlocks(Array(0..<17))
    let logits = withoutGradient {
      changed.logits(idSlice(Self.tokens, times: 0..<17)).values.prefix(17 * 7)
    }
    expectClose(Array(logits), expected.flatMap { $0.map { Float($0) } }, absolute: 1e-5)
  }

  static func model(_ weights: [String: Tensor], layers: Int) throws -> LanguageModel {
    try LanguageModel(
      Blueprint(Variant.all[0].config(["num_layers": .integer(layers)])),
      in: Scope(checkpoint: weights))
  }

  @Test(
    "the authors' sizes have their numbers of parameters",
    arguments: [
      (12, 1024, 1, 256, 2048, 2560, 32, false, 220_627_968),
      (24, 2048, 2, 512, 4096, 4864, 64, false, 1_342_832_640),
      (32, 4096, 4, 1024, 8192, 11264, 64, false, 7_117_381_632),
      (32, 4096, 4, 1024, 8192, 8192, 64, true, 7_385_817_088),
    ])
  func published(
    sizes: (
      layers: Int, width: Int, heads: Int, keys: Int, values: Int, inner: Int, groups: Int,
      gated: Bool, expected: Int
    )
  ) throws {
    let config = try MegalodonConfig(
      json: nil,
      overrides: [
        "num_layers": .integer(sizes.layers), "model_dim": .integer(sizes.width),
        "num_heads": .integer(sizes.heads), "z_dim": .integer(sizes.keys),
        "value_dim": .integer(sizes.values), "ffn_hidden_dim": .integer(sizes.inner),
        "norm_num_groups": .integer(sizes.groups), "swiglu": .bool(sizes.gated),
      ])
    #expect(try Blueprint(config).languageTotal.parameters == sizes.expected)
  }

  @Test("as many parameters as its configuration says", arguments: Variant.all)
  func counts(variant: Variant) throws {
    let model = try variant.shakenModel()
    #expect(
      model.parameters.reduce(0) { $0 + $1.value.count }
        == (try Blueprint(variant.config()).languageTotal.parameters))
  }

  @Test("the state has the bytes of the formula, and does not grow")
  func stateBytes() throws {
    let model = try Variant.all[1].shakenModel()
    let (layers, groups, width, modes, chunk, keys, values) = (2, 3, 12, 3, 4, 8, 16)
    var state = model.initialState(batch: 1)
    for time in 0...17 {
      // Counts and statistics in double; the moving average, keys and values in float.
      let norm = 8 + 16 * groups
      let layer = norm + 8 * width * modes + 4 * (time % chunk) * (keys + values)
      #expect(state.byteCount == layers * layer + norm, "after \(time) tokens")
      _ = model.logits(Tensor([Int32(time % 7)], [1, 1]), state: &state)
    }
  }

  @Test("a group of one feature and other configurations that cannot be are refused")
  func refused() {
    for (key, value) in [
      ("norm_num_groups", 12), ("norm_num_groups", 5), ("num_heads", 4), ("z_dim", 5),
      ("chunk_size", 0), ("cema_ndim", 0),
    ] {
      #expect(throws: ConfigError.self, "\(key) \(value)") {
        try Variant.all[0].config([key: .integer(value)])
      }
    }
    #expect(throws: ConfigError.self) { try Variant.all[0].config(["init_mode": "none"]) }
  }

  @Test("decay alone moves gains towards one, and every parameter decays as the authors have it")
  func decay() throws {
    let model = try Variant.all[0].shakenModel()
    #expect(model.parameters.allSatisfy { $0.isDecayed || $0.name.hasPrefix("output.output") })
    let gain = try #require(model.parameters.first { $0.name.hasSuffix("rmsnorm.weight") })
    let before = gain.value.values
    (model.loss(Self.tokens, targets: following(Self.tokens)) * 0).backward()
    var (first, second) = (Tensor(zeros: gain.shape), Tensor(zeros: gain.shape))
    gain.applyAdamW(
      firstMoment: &first, secondMoment: &second, learningRate: 0.1, beta1: 0.9, beta2: 0.98,
      epsilon: 1e-8, weightDecay: 0.1, gradientScale: 1, step: 1)
    expectClose(gain.value.values, before.map { $0 * 0.99 }, relative: 1e-6)
    let kept = try LanguageModel(
      Blueprint(Variant.all[0].config(["decay_all": false])),
      key: RandomKey(seed: 1))
    for parameter in kept.parameters {
      let isMap =
        parameter.shape.rank == 2 && !parameter.name.contains("mega.gamma")
        && !parameter.name.contains("mega.beta") && !parameter.name.contains("cema")
      #expect(parameter.isDecayed == isMap, "\(parameter.name)")
    }
  }
}

extension MegalodonReference {
  /// Final normalization and head on embedded tokens alone.
  func withoutBlocks(_ tokens: [Int]) -> Rows {
    var config = config
    config.numLayers = 0
    return MegalodonReference(config: config, weights: weights).logits(tokens)
  }
}
