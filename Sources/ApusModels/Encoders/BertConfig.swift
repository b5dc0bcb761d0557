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
  /// Whether a token sees only those before it; true is refused.
  public var isDecoder = false
  /// Whether the masked-language head ends in the transposed embedding.
  public var tieWordEmbeddings = true

  /// All defaults.
  public init() {}

  public func validate() throws {
    try require(
      vocabSize > 0 && vocabSize <= 1 << 24, "vocab_size", vocabSize, "it must be in 1...16777216")
    try require(
      hiddenSize > 0 && hiddenSize <= 65536, "hidden_size", hiddenSize, "it must be in 1...65536")
    try require(
      numHiddenLayers > 0 && numHiddenLayers <= 1024, "num_hidden_layers", numHiddenLayers,
      "it must be in 1...1024")
    try require(
      numAttentionHeads > 0 && hiddenSize % numAttentionHeads == 0, "num_attention_heads",
      numAttentionHeads, "it must divide hidden_size, which is \(hiddenSize)")
    try require(
      hiddenSize / numAttentionHeads <= 256, "num_attention_heads", numAttentionHeads,
      "a head may have at most 256 features")
    try require(
      intermediateSize > 0 && intermediateSize <= 1 << 20, "intermediate_size", intermediateSize,
      "it must be in 1...1048576")
    try require(
      activation != nil, "hidden_act", hiddenAct, "it must be gelu, gelu_new, relu, silu or tanh")
    try require(
      maxPositionEmbeddings > 0 && maxPositionEmbeddings <= 1 << 20, "max_position_embeddings",
      maxPositionEmbeddings, "it must be in 1...1048576")
    try require(
      typeVocabSize > 0 && typeVocabSize <= 65536, "type_vocab_size", typeVocabSize,
      "it must be in 1...65536")
    try require(layerNormEps > 0, "layer_norm_eps", layerNormEps, "it must be above 0")
    try require(
      positionEmbeddingType == "absolute", "position_embedding_type", positionEmbeddingType,
      "only absolute positions are known")
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
