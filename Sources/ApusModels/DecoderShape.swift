import ApusTensor

/// The sizes that decoders of the Llama family share, under their published keys.
struct DecoderShape: Sendable {
  var vocabSize: Int
  var hiddenSize: Int
  var intermediateSize: Int
  var numHiddenLayers: Int
  var numAttentionHeads: Int
  /// As many as query heads when nil.
  var numKeyValueHeads: Int?
  /// Width through heads when nil.
  var headDim: Int?

  /// K, features of a head.
  var headSize: Int { headDim ?? hiddenSize / max(numAttentionHeads, 1) }

  func attentionLayout(window: Int?) -> AttentionLayout {
    AttentionLayout(
      heads: numAttentionHeads, keyValueHeads: numKeyValueHeads, headSize: headSize, window: window)
  }

  /// Throws unless a model of these sizes can be made.
  ///
  /// - Throws: ``ConfigError/invalid(key:value:rule:)``.
  func validate() throws {
    for (key, value, most) in [
      ("vocab_size", vocabSize, 1 << 24), ("hidden_size", hiddenSize, 65536),
      ("intermediate_size", intermediateSize, 1 << 20),
      ("num_hidden_layers", numHiddenLayers, 1024),
      ("num_attention_heads", numAttentionHeads, 65536),
    ] {
      try require(value > 0 && value <= most, key, value, "it must be in 1...\(most)")
    }
    let groups = numKeyValueHeads ?? numAttentionHeads
    try require(
      groups > 0 && numAttentionHeads % groups == 0, "num_key_value_heads", groups,
      "it must divide num_attention_heads, which is \(numAttentionHeads)")
    try require(
      headDim != nil || hiddenSize % numAttentionHeads == 0, "num_attention_heads",
      numAttentionHeads, "it must divide hidden_size, which is \(hiddenSize), without a head_dim")
    try require(
      (2...256).contains(headSize) && headSize % 2 == 0,
      headDim == nil ? "num_attention_heads" : "head_dim", headDim ?? numAttentionHeads,
      "a head must have an even number of features, 256 at most, and has \(headSize)")
  }

  /// The keys of a small decoder: two query heads to each key-value head where the width allows it,
  /// and a feed-forward of about 8/3 of the width, as many weights as one of 4 without a gate.
  static func sized(_ size: BackboneSize) -> [String: any Sendable] {
    let heads = size.heads
    var keys: [String: any Sendable] = [
      "vocab_size": size.vocabulary, "hidden_size": size.width, "num_hidden_layers": size.layers,
      "num_attention_heads": heads, "num_key_value_heads": heads % 2 == 0 ? heads / 2 : heads,
      "intermediate_size": max(8, (size.width * 8 / 3 + 4) / 8 * 8),
    ]
    let headSize = size.width / heads
    if headSize % 2 == 1 { keys["head_dim"] = headSize + 1 }
    return keys
  }

  private func require(_ condition: Bool, _ key: String, _ value: Int, _ rule: String) throws {
    guard condition else { throw ConfigError.invalid(key: key, value: "\(value)", rule: rule) }
  }
}
