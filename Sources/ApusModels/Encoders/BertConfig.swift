import ApusTensor

/// The hyperparameters of ``Bert``, under their published keys. The defaults are those of the base
/// release.
public struct BertConfig: ModelConfig {
  public static let modelType = "bert"
  /// Token ids, V.
  public var vocabSize = 30522
  /// Width of the residual stream, D.
  public var hiddenSize = 768
  /// Layers.
  public var numHiddenLayers = 12
  /// Heads, H; divides the width.
  public var numAttentionHeads = 12
  /// Width inside the feed-forward, F.
  public var intermediateSize = 3072
  /// `gelu` (by the error function), `gelu_new`, `relu`, `silu` or `tanh`.
  public var hiddenAct = "gelu"
  /// The most tokens of a sequence.
  public var maxPositionEmbeddings = 512
  /// Segments.
  public var typeVocabSize = 2
  /// Added to the variance in normalization.
  public var layerNormEps: Float = 1e-12
  /// The id that other programs fill short sequences with; nothing here depends on it.
  public var padTokenId = 0
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// `absolute`; nothing else is known to work.
  public var positionEmbeddingType = "absolute"
  /// Whether a token sees only those before it; true is rejected.
  public var isDecoder = false
  /// Whether the masked-language head ends in the transposed embedding.
  public var tieWordEmbeddings = true

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("hidden_size", hiddenSize, SizeLimit.width),
      ("num_hidden_layers", numHiddenLayers, SizeLimit.layers),
      ("intermediate_size", intermediateSize, SizeLimit.inner),
      ("max_position_embeddings", maxPositionEmbeddings, SizeLimit.table),
      ("type_vocab_size", typeVocabSize, 65536))
    try requireHeads("num_attention_heads", numAttentionHeads, of: ("hidden_size", hiddenSize))
    try require(
      activation != nil, "hidden_act", hiddenAct, "it must be gelu, gelu_new, relu, silu or tanh")
    try requirePositive(("layer_norm_eps", layerNormEps))
    try requireNotNegative(("initializer_range", initializerRange))
    try requireWord("position_embedding_type", positionEmbeddingType, ["absolute"])
    try require(!isDecoder, "is_decoder", isDecoder, "only the encoder is known")
  }

  var activation: Activation? {
    switch hiddenAct {
    case "gelu_pytorch_tanh": .geluTanh
    case "swish": .silu
    default: Activation(rawValue: hiddenAct)
    }
  }

  var attentionLayout: AttentionLayout {
    AttentionLayout(
      heads: numAttentionHeads, headSize: hiddenSize / numAttentionHeads, isCausal: false)
  }
}
