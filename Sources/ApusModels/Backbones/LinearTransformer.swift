public import ApusNN
import ApusTensor

/// The hyperparameters of ``LinearTransformer``. No published checkpoint of this shape exists; the
/// keys are those of the `transformers` library.
public struct LinearTransformerConfig: ModelConfig {
  public static let modelType = "linear"
  /// Token ids, V.
  public var vocabSize = 50257
  /// Width of the residual stream, D.
  public var hiddenSize = 768
  /// Blocks.
  public var numHiddenLayers = 12
  /// Heads, H; divides the width.
  public var numAttentionHeads = 12
  /// Width inside the feed-forward; 4 · D when nil.
  public var intermediateSize: Int?
  /// `gelu_new`, `gelu`, `relu` or another activation.
  public var hiddenAct = "gelu_new"
  /// Added to the variance in normalization.
  public var layerNormEps: Float = 1e-5
  /// The number of positions of a learned table; streams of the other kinds are unlimited.
  public var maxPositionEmbeddings = 2048
  /// `sinusoidal`, `learned`, `rotary` or `none`. With rotary positions, queries and keys turn before
  /// their features are taken; weights then depend on both positions, not on their distance alone.
  public var positionEmbeddingType = "sinusoidal"
  /// Base of the rotary frequencies.
  public var ropeTheta = 10000.0
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = true

  /// All defaults.
  public init() {}

  public func validate() throws { try validateStack() }
}

extension LinearTransformerConfig: PreNormConfig {
  var featureLayout: FeatureLayout {
    FeatureLayout(heads: numAttentionHeads, headSize: headSize, kind: .elu)
  }

  public var facts: ModelFacts { stackFacts(.features(featureLayout)) }

  public var language: LanguageLayout { languageLayout(backbonePath: "linear_transformer") }

  public func makeBackbone(in scope: Scope) throws -> any Backbone {
    try LinearTransformer(self, in: scope)
  }
}

/// A pre-norm transformer with linear attention, `elu(x) + 1` for a feature map: the plainest of
/// those that are linear in time.
///
/// Katharopoulos et al., 2020, *Transformers are RNNs*, arXiv:2006.16236.
public struct LinearTransformer: DecoderBackbone {
  /// The hyperparameters.
  public let config: LinearTransformerConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: LinearTransformerConfig, in scope: Scope) throws {
    self.config = config
    stack = try DecoderStack(config, in: scope) {
      try FeatureAttention(config, rotary: $1, in: $0)
    }
  }
}

extension Architecture {
  /// ``LinearTransformer`` in the registry.
  static let linear = Architecture(
    name: "linear",
    summary: "Linear attention: constant cost and state per token",
    paper: "Katharopoulos et al., 2020, arXiv:2006.16236", isRecurrent: true
  ) { LinearTransformerConfig(stack: $0) }
}
