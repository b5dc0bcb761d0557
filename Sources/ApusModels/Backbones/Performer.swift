import Foundation
public import ApusNN
import ApusTensor

/// The hyperparameters of ``Performer``. No published checkpoint of this shape exists; keys of the
/// transformer are those of the `transformers` library, those of the features lucidrains'.
public struct PerformerConfig: ModelConfig {
  public static let modelType = "performer"
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
  /// `rotary`, `sinusoidal`, `learned` or `none`. Rotary positions turn queries and keys before
  /// their features are taken, so that features estimate softmax attention with rotary positions.
  public var positionEmbeddingType = "rotary"
  /// Base of the rotary frequencies.
  public var ropeTheta = 10000.0
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = true

  /// Random features of a head, m; ⌊K ln K⌋ when nil.
  public var nbFeatures: Int?
  /// `softmax` for exponential features, which estimate softmax attention, or `relu`.
  public var kernelFunction = "softmax"
  /// 0: rows of the projection are as long as normal rows; 1: all are √K long.
  public var orthoScaling = 0

  /// All defaults.
  public init() {}

  public func validate() throws {
    try validateStack()
    try requireSizes(("nb_features", nbFeatures, 4096))
    try requireWord("kernel_function", kernelFunction, ["softmax", "relu"])
    try require(
      [0, 1].contains(orthoScaling), "ortho_scaling", orthoScaling, "it must be 0 or 1")
  }

  var features: Int {
    nbFeatures ?? max(1, Int(Double(headSize) * log(Double(headSize))))
  }
}

extension PerformerConfig: PreNormConfig {
  var featureLayout: FeatureLayout {
    FeatureLayout(
      heads: numAttentionHeads, headSize: headSize,
      kind: kernelFunction == "relu" ? .relu : .exponential, features: features)
  }

  public var facts: ModelFacts {
    stackFacts(.features(featureLayout) + .vectors(features * headSize))
  }

  public var language: LanguageLayout { languageLayout(backbonePath: "performer") }

  public func makeBackbone(in scope: Scope) throws -> any Backbone {
    try Performer(self, in: scope)
  }
}

/// A pre-norm transformer whose attention is estimated by random features: linear in time, with a
/// state of constant size.
///
/// Choromanski et al., 2020, *Rethinking Attention with Performers*, arXiv:2009.14794 (FAVOR+).
/// Causal sums are kept relative to a running maximum per feature, so that no epsilon is needed and
/// nothing of the future is seen; the published programs take one maximum over all tokens.
public struct Performer: DecoderBackbone {
  /// The hyperparameters.
  public let config: PerformerConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: PerformerConfig, in scope: Scope) throws {
    self.config = config
    let hasFixedNorms = config.orthoScaling == 1
    stack = try DecoderStack(config, in: scope) { scope, rotary in
      try FeatureAttention(
        config, rotary: rotary, in: scope
      ) { layout in
        // The directions are constant, but a tensor of the checkpoint like any other.
        let directions = try scope.parameter(
          "projection_matrix", [layout.features, layout.headSize],
          .custom { shape, key in
            Tensor(orthogonalFeatures: shape, hasFixedNorms: hasFixedNorms, key: key)
          }, isDecayed: false)
        directions.setTrainable(false)
        return directions
      }
    }
  }
}

extension Architecture {
  /// ``Performer`` in the registry.
  static let performer = Architecture(
    name: "performer",
    summary: "Attention estimated by random features: constant cost and state per token",
    paper: "Choromanski et al., 2020, arXiv:2009.14794", isRecurrent: true
  ) { size in
    var config = PerformerConfig(stack: size)
    if config.headSize % 2 == 1 { config.positionEmbeddingType = "sinusoidal" }
    return config
  }
}
