import ApusModels
import ApusRuntime
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// Writes what `Scripts/check-transformers.py` compares with the reference implementation. Runs
/// when the environment names a folder in `APUS_CHECK_FOLDERS`.
@Suite("Folders for other programs")
struct PublishedFolderTests {
  static let target = ProcessInfo.processInfo.environment["APUS_CHECK_FOLDERS"]

  /// Keys of small models that other programs can read too, by name and `model_type`.
  static let models: [(name: String, type: String, keys: [String: ConfigValue])] = [
    ("gpt2", "gpt2", gpt), ("gpt1", "openai-gpt", gpt),
    (
      "llama", "llama",
      ["num_key_value_heads": 2, "head_dim": 8, "rope_theta": 500.0]
    ),
    (
      "llama-scaled", "llama",
      [
        "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true, "rope_theta": 500.0,
        "max_position_embeddings": 32,
        "rope_scaling": [
          "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8,
        ],
      ]
    ),
    ("mistral", "mistral", ["num_key_value_heads": 1, "sliding_window": 5]),
    ("mistral-open", "mistral", ["num_key_value_heads": 1, "sliding_window": nil]),
    ("cohere", "cohere", ["num_key_value_heads": 2, "use_qk_norm": true, "logit_scale": 0.5]),
    ("cohere2", "cohere2", ["num_hidden_layers": 4, "sliding_window": 5]),
  ]

  static let gpt: [String: ConfigValue] = [
    "vocab_size": 31, "n_positions": 24, "n_embd": 24, "n_layer": 2, "n_head": 3,
  ]
  static let llama: [String: ConfigValue] = [
    "vocab_size": 31, "hidden_size": 24, "intermediate_size": 20, "num_hidden_layers": 2,
    "num_attention_heads": 4,
  ]

  @Test(
    "a saved folder holds what transformers reads", .enabled(if: target != nil),
    arguments: models.map(\.name))
  func write(name: String) throws {
    let (_, type, keys) = try #require(Self.models.first { $0.name == name })
    let architecture = try Architecture.named(type)
    let base = type.contains("gpt") ? Self.gpt : Self.llama
    var all = base.merging(keys) { $1 }
    if architecture.modelTypes.count > 1 { all["model_type"] = .text(type) }
    let config = try architecture.configured(overrides: all)
    let model = try LanguageModel(config, key: RandomKey(seed: 1))
    for (index, parameter) in model.parameters.enumerated() {
      parameter.set(.random(parameter.shape, seed: UInt64(index), scale: 0.5))
    }
    let folder = try #require(Self.target) + "/" + name
    try ModelFolder.save(model, tokenizer: nil, to: folder)
    let ids = Tensor.randomIntegers([2, 23], below: 31, seed: 9)
    try Safetensors.save(
      ["input_ids": ids, "logits": withoutGradient { model.logits(ids) }],
      to: folder + "/check.safetensors")
  }
}
