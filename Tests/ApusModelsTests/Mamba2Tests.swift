import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

@Suite("Mamba-2")
struct Mamba2Tests {
  private func config(_ overrides: [String: ConfigValue]) throws -> Mamba2Config {
    let small: [String: ConfigValue] = [
      "hidden_size": 8, "num_heads": 4, "head_dim": 4, "n_groups": 2, "state_size": 3,
      "num_hidden_layers": 1, "vocab_size": 11,
    ]
    return try Mamba2Config(json: nil, overrides: small.merging(overrides) { $1 })
  }

  @Test("reads bounds of the step size in every published spelling, and writes transformers' one")
  func readsLimits() throws {
    for (text, expected) in [
      ("[0.0, Infinity]", Double.infinity), (#"[0.0, {"__float__": "Infinity"}]"#, .infinity),
      ("[0.0, 0.5]", 0.5), ("[0, 2]", 2),
    ] {
      let json = Data(#"{"model_type": "mamba2", "time_step_limit": \#(text)}"#.utf8)
      let config = try Blueprint(json: json)
      #expect(config.architecture.name == "mamba2")
      #expect(try #require(config.config as? Mamba2Config).timeStepLimit.upper == expected)
      let again = try Mamba2Config(json: config.json())
      #expect(again.timeStepLimit.upper == expected)
    }
  }

  @Test(
    "refuses what does not fit together",
    arguments: [
      ("num_heads", 3), ("n_groups", 3), ("head_dim", 0), ("state_size", 100_000),
      ("conv_kernel", 1), ("chunk_size", 0), ("hidden_size", -8),
    ])
  func refuses(key: String, value: Int) {
    #expect(throws: ConfigError.self) { try config([key: .integer(value)]) }
  }

  @Test(
    "refuses impossible bounds of the step size",
    arguments: ["[1, 0.5]", "[-1, 2]", "[0]", "[0, 1, 2]", "[\"a\", 1]", "[Infinity, Infinity]"])
  func refusesLimits(text: String) {
    #expect(throws: ConfigError.self) {
      try Mamba2Config(json: Data("{\"time_step_limit\": \(text)}".utf8))
    }
  }

  @Test("takes the names of the authors' files and of files that wrap the model once more")
  func adaptsNames() throws {
    for isTied in [true, false] {
      let config = try Blueprint(config(["tie_word_embeddings": .bool(isTied)]))
      let model = try LanguageModel(config, key: RandomKey(seed: 1))
      let tokens = Tensor([1, 5, 2] as [Int32], [1, 3])
      let expected = withoutGradient { model.logits(tokens).values }
      for rename in [
        { $0.replacingOccurrences(of: "embeddings", with: "embedding") }, { "model." + $0 },
      ] as [(String) -> String] {
        let tensors = Dictionary(
          uniqueKeysWithValues: model.parameters.map { (rename($0.name), $0.value) })
        let again = try LanguageModel(config, checkpoint: tensors)
        expectSameBits(withoutGradient { again.logits(tokens).values }, expected)
      }
    }
  }

  @Test("starts as the authors start it")
  func starts() throws {
    let config = try config(["hidden_size": 256, "num_heads": 128, "n_groups": 1])
    let model = try LanguageModel(
      Blueprint(config), key: RandomKey(seed: 2))
    func values(_ suffix: String) throws -> [Float] {
      try #require(model.parameters.first { $0.name.hasSuffix(suffix) }).value.values
    }
    let rates = try values("A_log").map { exp($0) }
    #expect(rates.allSatisfy { $0 >= 1 && $0 <= 16 })
    #expect(abs(rates.reduce(0, +) / 128 - 8.5) < 1.5)
    let steps = try values("dt_bias").map { log1p(exp($0)) }
    #expect(steps.allSatisfy { $0 >= 0.00099 && $0 <= 0.101 })
    #expect(try values("mixer.D").allSatisfy { $0 == 1 })
    let output = try values("out_proj.weight")
    #expect(abs((output.map(abs).max() ?? 0) - 1 / Float(512).squareRoot()) < 1e-3)
  }
}
