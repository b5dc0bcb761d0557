import ApusTensor

/// The sizes that decoders of the Llama family share, under their published keys.
struct DecoderShape: CheckedConfig {
  var vocabSize: Int
  var hiddenSize: Int
  var intermediateSize: Int
  var numHiddenLayers: Int
  var numAttentionHeads: Int
  /// The number of key-value heads. Default: as many as query heads.
  var numKeyValueHeads: Int?
  /// Width through heads when nil.
  var headDim: Int?

  /// K, features of a head.
  var headSize: Int { headDim ?? hiddenSize / max(numAttentionHeads, 1) }

  func attentionLayout(window: Int?) -> AttentionLayout {
    AttentionLayout(
      heads: numAttentionHeads, keyValueHeads: numKeyValueHeads, headSize: headSize, window: window)
  }

  /// Throws ``ConfigError`` unless a model of these sizes can be made.
  func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("hidden_size", hiddenSize, SizeLimit.width),
      ("intermediate_size", intermediateSize, SizeLimit.inner),
      ("num_hidden_layers", numHiddenLayers, SizeLimit.layers),
      ("num_attention_heads", numAttentionHeads, SizeLimit.width),
      ("head_dim", headDim, SizeLimit.head))
    try requireGroups(
      "num_key_value_heads", numKeyValueHeads, of: ("num_attention_heads", numAttentionHeads))
    try require(
      headDim != nil || hiddenSize % numAttentionHeads == 0, "num_attention_heads",
      numAttentionHeads, "it must divide hidden_size, which is \(hiddenSize), without a head_dim")
    try require(
      (2...SizeLimit.head).contains(headSize) && headSize % 2 == 0,
      headDim == nil ? "num_attention_heads" : "head_dim", headDim ?? numAttentionHeads,
      "a head must have an even number of features, 256 at most, and has \(headSize)")
  }
}

extension BackboneSize {
  /// Two query heads to each key-value head where the width allows it.
  var groupedHeads: Int { heads % 2 == 0 ? heads / 2 : heads }

  /// A feed-forward of about 8/3 of the width, as many weights as one of 4 without a gate.
  var gatedInner: Int { max(8, (width * 8 / 3 + 4) / 8 * 8) }

  /// Features of a head where the width gives an odd number of them.
  var evenHead: Int? { (width / heads) % 2 == 1 ? width / heads + 1 : nil }
}
