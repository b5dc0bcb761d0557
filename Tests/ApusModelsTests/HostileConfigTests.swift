import ApusModels
import ApusNN
import ApusTensor
import ApusTestSupport
import Foundation
import Testing

/// Configurations that make no model: each is refused with the key's name, and none traps or hangs.
@Suite("Hostile configurations", .tags(.property))
struct HostileConfigTests {
  /// What a number is replaced by, as a file has it.
  static let values = [
    "0", "1", "-1", "2147483648", "9007199254740992", "9223372036854775807",
    "-9223372036854775808", "9223372036854775808", "0.5", "1e308", "1e999", "-1e-300", #""NaN""#,
    #""Infinity""#, "NaN", "Infinity", "-Infinity", "null", #""""#, "[]", "{}", "[1]", "true",
  ]

  /// Every `model_type`.
  static let types = Architecture.builtIn.flatMap(\.modelTypes) + [BertConfig.modelType]

  /// The configuration of a type, every key of it; with two layers, to be quick.
  static func defaults(_ type: String) throws -> JSONValue {
    if type == BertConfig.modelType { return try BertConfig().document() }
    let usual = try Blueprint(json: Data(#"{"model_type": "\#(type)"}"#.utf8))
    return try usual.resized(layers: 2).config.document()
  }

  /// The paths of numbers, of nulls and of lists.
  static func places(_ value: JSONValue, _ path: [String] = []) -> [[String]] {
    switch value {
    case .number, .null: [path]
    case .array(let elements):
      [path] + elements.indices.flatMap { places(elements[$0], path + ["\($0)"]) }
    case .object(let members): members.flatMap { places($0.value, path + [$0.key]) }
    default: []
    }
  }

  static func replaced(_ value: JSONValue, _ path: ArraySlice<String>, _ new: JSONValue)
    -> JSONValue
  {
    guard let key = path.first else { return new }
    if var elements = value.elements, let index = Int(key) {
      elements[index] = replaced(elements[index], path.dropFirst(), new)
      return .array(elements)
    }
    return value.setting(key, to: replaced(value[key] ?? .null, path.dropFirst(), new))
  }

  /// Makes what a configuration describes, without memory, and asks for its facts; or tells which key
  /// was refused.
  static func refusedKey(_ keys: JSONValue, type: String) throws -> String? {
    do {
      if type == BertConfig.modelType {
        let parts = Bert.Parts(isPrefixed: false, hasMaskedLanguageHead: true, hasPooler: true)
        _ = try Bert(BertConfig(keys), parts: parts, in: .describing)
        return nil
      }
      let blueprint = try Blueprint(keys)
      _ = try LanguageModel(blueprint, in: .describing)
      let again = try Blueprint(json: blueprint.json())
      #expect(again == blueprint, "\(type): the way to JSON and back")
      #expect(blueprint.languageTotal.operations(1 << 20).isFinite)
      #expect(blueprint.languageTotal.stateBytes(after: 1 << 20) >= 0)
      return nil
    } catch ConfigError.invalid(let key, _, let rule) {
      #expect(!rule.isEmpty)
      return key
    } catch ConfigError.wrongType(let key, let reason) {
      #expect(!reason.isEmpty)
      return key
    }
  }

  @Test("a number that cannot be is refused, and its key named", arguments: types)
  func mutations(type: String) throws {
    let defaults = try Self.defaults(type)
    for path in Self.places(defaults) {
      for text in Self.values {
        let value = (try? JSONValue(text.utf8, name: "value")) ?? .number(text)
        let keys = Self.replaced(defaults, path[...], value)
        let refused = try Self.refusedKey(keys, type: type).map { String($0.prefix { $0 != "[" }) }
        let name = path.filter { Int($0) == nil }.joined(separator: ".")
        // A rule may name the other key of two that do not go together.
        let isKnown = refused == nil || refused == name || Self.related(name, refused ?? "", type)
        #expect(isKnown, "\(type).\(name) = \(text): '\(refused ?? "")' is named")
      }
    }
  }

  /// Keys that rules tie to one another, so that either may be named.
  static func related(_ changed: String, _ named: String, _ type: String) -> Bool {
    let tied: [String: [String]] = [
      "hidden_size": [
        "num_attention_heads", "num_heads", "axial_pos_embds_dim", "head_dim", "time_step_rank",
      ],
      "n_embd": ["n_head"], "d_model": ["n_heads"], "model_dim": ["norm_num_groups"],
      "num_attention_heads": ["num_key_value_heads", "num_buckets"],
      "n_heads": ["attn_config.kv_n_heads"], "n_head": ["n_kv_head"],
      "num_key_value_heads": ["num_attention_heads"], "head_dim": ["num_heads"],
      "expand": ["num_heads", "mamba_expand"], "num_heads": ["n_groups", "z_dim"],
      "z_dim": ["num_heads"], "value_dim": ["num_heads"],
      "num_local_experts": ["num_experts_per_tok"], "num_experts": ["num_experts_per_tok"],
      "ffn_config.moe_num_experts": ["ffn_config.moe_top_k"],
      "expert_layer_period": ["expert_layer_offset"], "attn_layer_period": ["attn_layer_offset"],
      "time_step_max": ["time_step_min"], "sliding_window": ["attention_windows"],
      "axial_pos_shape": ["max_position_embeddings"],
      "rope_parameters": ["rope_parameters.rope_type"],
    ]
    return named.hasPrefix(changed + ".") || tied[changed]?.contains(named) ?? false
  }

  static let rotary = [
    ("linear", "factor"), ("dynamic", "factor"), ("yarn", "factor"), ("llama3", "factor"),
    ("yarn", "attention_factor"), ("yarn", "beta_fast"), ("yarn", "beta_slow"), ("yarn", "mscale"),
    ("yarn", "mscale_all_dim"), ("llama3", "low_freq_factor"), ("llama3", "high_freq_factor"),
    ("yarn", "original_max_position_embeddings"), ("longrope", "short_factor"),
    ("longrope", "long_factor"), ("default", "partial_rotary_factor"), ("default", "rope_theta"),
    ("longrope", "attention_factor"), ("dynamic", "original_max_position_embeddings"),
  ]

  @Test("rotary settings that cannot be are refused, and none traps", arguments: rotary)
  func rotarySettings(kind: String, key: String) throws {
    let pairs = JSONValue.array([JSONValue](repeating: .number("1.5"), count: 64))
    var usual: JSONValue = .object([])
    for (name, value) in [
      ("rope_type", JSONValue.string(kind)), ("factor", .number("4.0")),
      ("low_freq_factor", .number("1.0")), ("high_freq_factor", .number("4.0")),
      ("original_max_position_embeddings", .number("64")), ("short_factor", pairs),
      ("long_factor", pairs),
    ] { usual = usual.setting(name, to: value) }
    for text in Self.values {
      let settings = usual.setting(
        key, to: (try? JSONValue(text.utf8, name: "value")) ?? .number(text))
      var keys: JSONValue = .object([])
      keys = keys.setting("model_type", to: .string("llama"))
      keys = keys.setting("rope_scaling", to: settings)
      let refused = try Self.refusedKey(keys, type: "llama")
      guard refused == nil else { continue }
      // What passes computes numbers.
      let parameters = try JSONValue.decode(
        RotaryParameters.self, from: settings.text().utf8, name: "", keys: .snakeCase)
      for length in [1, 5000] {
        let frequencies = RotaryPositions.frequencies(
          parameters, parameters.ropeTheta ?? 10000, pairs: 64, context: 2048, length: length)
        let scale = RotaryPositions.scale(parameters, context: 2048)
        #expect(
          frequencies.allSatisfy { $0.isFinite } && scale.isFinite && scale > 0,
          "\(kind) \(key) = \(text)")
      }
    }
  }

  @Test(
    "sizes that pass one by one and that no memory holds together are refused before anything is made"
  )
  func tooLarge() throws {
    for json in [
      #"{"model_type": "gpt2", "n_embd": 65536, "n_layer": 1024, "n_head": 256, "n_inner": 1048576}"#,
      #"{"model_type": "mixtral", "hidden_size": 65536, "num_attention_heads": 512, "intermediate_size": 1048576, "num_local_experts": 4096, "num_hidden_layers": 1024}"#,
      #"{"model_type": "jamba", "num_experts": 4096, "num_hidden_layers": 1024, "intermediate_size": 1048576, "hidden_size": 65536, "num_attention_heads": 512}"#,
    ] {
      let error = #expect(throws: ConfigError.self) { try Blueprint(json: Data(json.utf8)) }
      guard case .tooLarge(let parameters, let most) = error else {
        Issue.record("\(json): \(error.map { "\($0)" } ?? "none")")
        continue
      }
      #expect(parameters > most && "\(error, default: "")".contains("parameters"))
    }
    // What can be described and not be held is refused when its weights are asked for.
    let large = try Blueprint(
      json: Data(#"{"model_type": "gpt2", "n_embd": 16384, "n_layer": 1024, "n_head": 128}"#.utf8))
    _ = try LanguageModel(large, in: .describing)
    #expect(throws: ConfigError.self) { try LanguageModel(large, key: RandomKey(seed: 0)) }
  }

  @Test(
    "a nested key that nobody knows is refused from a person",
    arguments: [
      ("dbrx", "ffn_config", "moe_topk"), ("llama", "rope_scaling", "facter"),
    ])
  func nestedKeys(type: String, part: String, key: String) throws {
    let error = #expect(throws: ConfigError.self) {
      try Architecture.named(type).configured(overrides: [part: .object([key: 1])])
    }
    guard case .unknownKey(let name, let known) = error else {
      Issue.record("another error: \(error.map { "\($0)" } ?? "none")")
      return
    }
    #expect(name == "\(part).\(key)" && known.count > 1)
  }
}
