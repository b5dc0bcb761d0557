import ApusModels
import Foundation
import Testing

@Suite("Configuration")
struct ConfigTests {
  /// A key, a value that breaks its rule, and the architecture.
  struct Breach: Sendable, CustomTestStringConvertible {
    let architecture: String
    let key: String
    let value: ConfigValue
    init(_ architecture: String, _ key: String, _ value: ConfigValue) {
      (self.architecture, self.key, self.value) = (architecture, key, value)
    }
    var testDescription: String { "\(architecture) \(key) = \(value)" }
  }

  static let invalid = [
    Breach("transformer", "vocab_size", 0), Breach("transformer", "n_positions", -1),
    Breach("transformer", "n_embd", 0), Breach("transformer", "n_embd", 65537),
    Breach("transformer", "n_layer", 0), Breach("transformer", "n_layer", 1025),
    Breach("transformer", "n_head", 0), Breach("transformer", "n_head", 7),
    Breach("transformer", "n_head", 1), Breach("transformer", "n_head", -12),
    Breach("transformer", "n_kv_head", 5), Breach("transformer", "n_kv_head", 0),
    Breach("transformer", "n_inner", 0), Breach("transformer", "position_embedding", "alibi"),
    Breach("transformer", "normalization", "batch_norm"),
    Breach("transformer", "activation_function", "elu"),
    Breach("transformer", "sliding_window", 0), Breach("transformer", "layer_norm_epsilon", 0),
    Breach("mamba", "vocab_size", 0), Breach("mamba", "hidden_size", 0),
    Breach("mamba", "state_size", 0), Breach("mamba", "num_hidden_layers", 0),
    Breach("mamba", "expand", 0), Breach("mamba", "conv_kernel", 1),
    Breach("mamba", "time_step_rank", 0), Breach("mamba", "layer_norm_epsilon", -1e-5),
    Breach("mamba", "hidden_act", "relu"), Breach("mamba", "time_step_min", 0.5),
    Breach("lstm", "vocab_size", -3), Breach("lstm", "hidden_size", 0),
    Breach("lstm", "num_hidden_layers", 257),
    Breach("transformer", "attention_windows", []),
    Breach("transformer", "attention_windows", [0, -1]),
    Breach("transformer", "model_type", "gpt3"),
    Breach("transformer", "rope_theta", .number(.nan)),
    Breach("gpt1", "n_head", 7), Breach("gpt1", "afn", "gelu_new"),
    Breach("gpt1", "n_positions", 0),
    Breach("gpt1", "position_embedding", "none"), Breach("gpt1", "sliding_window", 0),
    Breach("llama", "hidden_size", 0), Breach("llama", "num_attention_heads", 33),
    Breach("llama", "num_key_value_heads", 5), Breach("llama", "head_dim", 7),
    Breach("llama", "head_dim", 258), Breach("llama", "hidden_act", "gelu"),
    Breach("llama", "sliding_window", 16), Breach("llama", "rms_norm_eps", 0),
    Breach("llama", "intermediate_size", -1), Breach("llama", "max_position_embeddings", 0),
    Breach("llama", "model_type", "qwen"), Breach("cohere", "sliding_window", 16),
    Breach("cohere", "layer_types", ["full_attention"]), Breach("cohere", "logit_scale", 0),
    Breach("cohere", "layer_norm_eps", 0), Breach("cohere", "hidden_act", "relu"),
  ]

  @Test("a value that breaks a rule is refused, and the key named", arguments: invalid)
  func invalidValues(breach: Breach) throws {
    let architecture = try Architecture.named(breach.architecture)
    let error = #expect(throws: ConfigError.self) {
      try architecture.configured(overrides: [breach.key: breach.value])
    }
    guard case .invalid(let key, _, let rule) = error else {
      Issue.record("another error: \(String(describing: error))")
      return
    }
    #expect(key == breach.key && !rule.isEmpty)
  }

  @Test(
    "types that share a configuration refuse each other's keys",
    arguments: [
      ("mistral", "attention_bias", "true"), ("mistral", "mlp_bias", "true"),
      ("cohere2", "use_qk_norm", "true"), ("cohere2", "layer_types", #"["full_attention"]"#),
      ("cohere2", "layer_types", #"["dense", "full_attention"]"#),
      ("cohere2", "sliding_window", "null"), ("cohere2", "sliding_window_pattern", "0"),
      ("sliding", "sliding_window", "null"), ("sliding", "attention_windows", "[3]"),
      ("sliding", "position_embedding", #""learned""#),
    ])
  func types(type: String, key: String, value: String) throws {
    let layers = type == "sliding" ? "n_layer" : "num_hidden_layers"
    let json = #"{"model_type": "\#(type)", "\#(layers)": 2, "\#(key)": \#(value)}"#
    let error = #expect(throws: ConfigError.self) {
      try Blueprint(json: Data(json.utf8))
    }
    guard case .invalid(key, _, _) = error else {
      Issue.record("another error: \(String(describing: error))")
      return
    }
  }

  static let wrongTypes = [
    Breach("transformer", "n_layer", "twelve"), Breach("transformer", "n_layer", 1.5),
    Breach("transformer", "tie_word_embeddings", "yes"), Breach("transformer", "n_inner", "wide"),
    Breach("mamba", "time_step_rank", "many"), Breach("mamba", "hidden_act", 3),
    Breach("lstm", "hidden_size", [1, 2]),

    Breach("lstm", "hidden_size", 1e300),
  ]

  @Test("a value of the wrong type is refused, and the key named", arguments: wrongTypes)
  func types(breach: Breach) throws {
    let architecture = try Architecture.named(breach.architecture)
    let error = #expect(throws: ConfigError.self) {
      try architecture.configured(overrides: [breach.key: breach.value])
    }
    guard case .wrongType(let key, _) = error else {
      Issue.record("another error: \(String(describing: error))")
      return
    }
    #expect(key == breach.key)
  }

  @Test("an unknown key passes in a file and is refused from a person")
  func unknownKeys() throws {
    let mamba = try Architecture.named("mamba")
    let json = Data(#"{"model_type": "mamba", "attn_pdrop": 0.1, "n_embd": 3}"#.utf8)
    _ = try Blueprint(json: json)
    let error = #expect(throws: ConfigError.self) {
      try mamba.configured(overrides: ["n_embd": 3])
    }
    guard case .unknownKey("n_embd", let known) = error else {
      Issue.record("another error: \(String(describing: error))")
      return
    }
    #expect(known.contains("hidden_size") && "\(error, default: "")".contains("hidden_size"))
  }

  @Test(
    "keys that are nil by default can be set",
    arguments: ["n_inner", "n_kv_head", "sliding_window"])
  func optionalKeys(key: String) throws {
    let config = try Architecture.named("gpt2").configured(overrides: [key: 4])
    let object = try JSONSerialization.jsonObject(with: config.json()) as? [String: Any]
    #expect(object?[key] as? Int == 4)
  }

  @Test("null in a file means the default")
  func null() throws {
    let json = Data(#"{"model_type": "gpt2", "n_inner": null, "n_layer": null}"#.utf8)
    let config = try Blueprint(json: json)
    #expect(config.architecture.name == "transformer")
    #expect((config.config as? TransformerConfig)?.nLayer == 12)
  }

  @Test(
    "text that is no configuration is refused",
    arguments: ["", "[]", "{", "3", "{}", #"{"model_type": 3}"#, #"{"model_type": "bert"}"#])
  func noConfiguration(text: String) {
    #expect(throws: ConfigError.self) { try Blueprint(json: Data(text.utf8)) }
  }

  @Test("defaults are those of the first releases")
  func defaults() {
    let (transformer, mamba) = (TransformerConfig(), MambaConfig())
    #expect(transformer.nEmbd == 768 && transformer.nLayer == 12 && transformer.vocabSize == 50257)
    #expect(mamba.hiddenSize == 768 && mamba.numHiddenLayers == 24 && mamba.vocabSize == 50280)
  }
}
