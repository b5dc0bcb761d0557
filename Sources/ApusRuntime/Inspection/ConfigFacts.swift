import ApusModels
import ApusTensor
import Foundation

/// The keys of a configuration, read without knowing the architecture: enough to say how large it is.
struct ConfigFacts {
  private let keys: JSONValue

  /// Reads a `config.json`.
  ///
  /// - Throws: ``JSONFileError``, or ``ConfigError`` when it is no JSON object.
  init(_ json: Data) throws {
    keys = try JSONValue(json, name: "config.json")
    guard keys.members != nil else {
      throw ConfigError.notAnObject(reason: "the outermost value is something else")
    }
  }

  private init(keys: JSONValue) { self.keys = keys }

  /// These facts, with `defaults` where the file leaves a key out or null.
  func completed(by defaults: Data) throws -> ConfigFacts {
    ConfigFacts(
      keys: (keys.members ?? []).filter { $0.value != .null }
        .reduce(try ConfigFacts(defaults).keys) { $0.setting($1.key, to: $1.value) })
  }

  var modelType: String? { keys["model_type"]?.string }

  /// The keys that say most, as far as they are whole numbers.
  var summary: [String: Int] {
    var result: [String: Int] = [:]
    for key in Self.telling {
      if let value = integer(key) { result[key] = value }
    }
    return result
  }

  private static let telling = [
    "vocab_size", "hidden_size", "n_embd", "d_model", "num_hidden_layers", "n_layer", "n_layers",
    "num_attention_heads", "n_head", "n_heads", "num_key_value_heads", "n_kv_head", "head_dim",
    "intermediate_size", "n_inner", "state_size", "conv_kernel", "expand", "mamba_d_state",
    "mamba_expand", "num_local_experts", "num_experts", "num_experts_per_tok",
    "max_position_embeddings", "n_positions", "max_seq_len", "sliding_window",
  ]

  /// Experts in all and experts that each token takes; nil without a router.
  var experts: (chosen: Int, all: Int)? {
    let all =
      integer("num_local_experts") ?? integer("num_experts")
      ?? integer("moe_num_experts", in: "ffn_config")
    let chosen = integer("num_experts_per_tok") ?? integer("moe_top_k", in: "ffn_config")
    guard let all, let chosen, all > 0, chosen > 0, chosen <= all else { return nil }
    return (chosen, all)
  }

  /// Bytes that a token adds to the keys and values of one layer of attention, in float32.
  var keyValueBytes: Int? {
    guard let heads = integer("num_attention_heads") ?? integer("n_head") ?? integer("n_heads"),
      let width = integer("hidden_size") ?? integer("n_embd") ?? integer("d_model"), heads > 0
    else { return nil }
    let groups =
      integer("num_key_value_heads") ?? integer("n_kv_head")
      ?? integer("kv_n_heads", in: "attn_config") ?? heads
    let size = integer("head_dim") ?? width / heads
    let (product, overflow) = groups.multipliedReportingOverflow(by: size)
    return overflow || product > 1 << 40 ? nil : 2 * 4 * product
  }

  /// The most tokens that attention sees; nil for all.
  var window: Int? { integer("sliding_window") }

  private func integer(_ key: String, in group: String? = nil) -> Int? {
    (group.map { keys[$0] ?? .null } ?? keys)[key]?.integer
  }
}
