import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("xLSTM")
struct XLSTMTests {
  private func config(_ overrides: [String: ConfigValue]) throws -> XLSTMConfig {
    let small: [String: ConfigValue] = [
      "hidden_size": 12, "num_heads": 3, "num_hidden_layers": 2, "vocab_size": 11,
      "slstm_at": [1], "ffn_round_up_to_multiple_of": 4,
    ]
    return try XLSTMConfig(json: nil, overrides: small.merging(overrides) { $1 })
  }

  @Test(
    "refuses what does not fit together",
    arguments: [
      ("num_heads", 5), ("num_heads", 0), ("hidden_size", -8), ("qk_dim_factor", 0.2),
      ("v_dim_factor", 0.01), ("ffn_proj_factor", 0), ("qk_dim_factor", 1e300),
      ("gate_soft_cap", 0), ("norm_eps", -1), ("chunk_size", 0), ("slstm_at", [2]),
      ("slstm_at", [-1]), ("slstm_at", [0, 0]), ("use_bias", true),
    ] as [(String, ConfigValue)])
  func refuses(key: String, value: ConfigValue) {
    #expect(throws: ConfigError.self) { try config([key: value]) }
  }

  @Test("rounds the inner width as published")
  func roundsInnerWidth() throws {
    // 12 · 2.667 = 32.004, and xLSTM 7B's 4096 · 2.667 = 10924.032.
    for (width, multiple, expected) in [(12, 4, 32), (12, 64, 64), (4096, 64, 10944)] {
      let config = try config([
        "hidden_size": .integer(width), "ffn_round_up_to_multiple_of": .integer(multiple),
        "num_heads": 2,
      ])
      let up = try Blueprint(config).parameterShapes()["backbone.blocks.0.ffn.proj_up.weight"]
      #expect(up == [expected, width])
    }
  }

  @Test("splits the maps of files that store them as one")
  func splitsFused() throws {
    let blueprint = try Blueprint(config(["slstm_at": []]))
    let model = try LanguageModel(blueprint, key: RandomKey(seed: 1))
    let tokens = Tensor([1, 5, 2, 7] as [Int32], [1, 4])
    let expected = withoutGradient { model.logits(tokens).values }
    var tensors = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value) })
    func fuse(_ parts: [String], into name: String) {
      for layer in 0..<2 {
        let keys = parts.map { "backbone.blocks.\(layer).\($0)" }
        let found = keys.compactMap { tensors.removeValue(forKey: $0) }
        let shape = [found.reduce(0) { $0 + $1.shape[0] }] + found[0].shape.dimensions.dropFirst()
        tensors["backbone.blocks.\(layer).\(name)"] = Tensor(
          found.flatMap(\.values), Shape(shape))
      }
    }
    fuse(
      ["q", "k", "v", "ogate_preact"].map { "mlstm_layer.\($0).weight" },
      into: "mlstm_layer.qkv_opreact.weight")
    for kind in ["weight", "bias"] {
      fuse(
        ["igate_preact", "fgate_preact"].map { "mlstm_layer.\($0).\(kind)" },
        into: "mlstm_layer.ifgate_preact.\(kind)")
    }
    fuse(["proj_up_gate", "proj_up"].map { "ffn.\($0).weight" }, into: "ffn.proj_up_gate_z.weight")
    let again = try LanguageModel(blueprint, checkpoint: tensors)
    expectSameBits(withoutGradient { again.logits(tokens).values }, expected)
    tensors["backbone.blocks.0.ffn.proj_up_gate_z.weight"] = Tensor(zeros: [5, 12])
    #expect(
      throws: CheckpointError.shapeMismatch(
        name: "backbone.blocks.0.ffn.proj_up_gate_z.weight", found: [5, 12], expected: [64, 12])
    ) { try LanguageModel(blueprint, checkpoint: tensors) }
  }

  @Test("starts with gates over a range of time constants")
  func starts() throws {
    let model = try LanguageModel(Blueprint(config([:])), key: RandomKey(seed: 2))
    func values(_ suffix: String) throws -> [Float] {
      try #require(model.parameters.first { $0.name.hasSuffix(suffix) }).value.values
    }
    #expect(try values("fgate_preact.bias") == [3, 4.5, 6])
    #expect(try values("igate_preact.weight").allSatisfy { $0 == 0 })
    let bias = try values("slstm_cell._bias_")
    // Heads of 4: input, forget, cell, output; the last of two blocks has the exponent 1.6.
    #expect(bias[0..<4].allSatisfy { $0 == 0 } && bias[4] == 5 && bias[7] == -7)
    #expect(abs(Double(bias[5]) - (5 - 12 * pow(1 / 3, 1.6))) < 1e-5)
    #expect(bias[8..<16].allSatisfy { $0 == 0 } && Array(bias[16..<32]) == Array(bias[0..<16]))
  }
}

extension Blueprint {
  /// The shapes of the weights by name.
  fileprivate func parameterShapes() throws -> [String: Shape] {
    let model = try LanguageModel(self, in: .describing)
    return Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.shape) })
  }
}
