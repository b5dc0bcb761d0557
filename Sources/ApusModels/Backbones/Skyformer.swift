public import ApusNN
import ApusTensor

/// The hyperparameters of ``Skyformer``. No published checkpoint of this shape exists; the keys of
/// the transformer are those of the `transformers` library.
public struct SkyformerConfig: ModelConfig {
  public static let modelType = "skyformer"
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
  /// `sinusoidal`, `learned`, `rotary` or `none`. Rotary positions turn queries and keys away from
  /// landmarks that do not change: allowed, but not the default.
  public var positionEmbeddingType = "sinusoidal"
  /// Base of the rotary frequencies.
  public var ropeTheta = 10000.0
  /// Deviation of the weights' start; queries and keys start wider, see ``Skyformer``.
  public var initializerRange: Float = 0.02
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = true

  /// Landmarks of a head, s; the paper's experiments have 128.
  public var numLandmarks = 128
  /// Added to the diagonal of the landmarks' kernel matrix.
  public var landmarkGamma: Float = 0.1
  /// Steps of the iteration for its inverse.
  public var inverseIterations = 6

  /// All defaults.
  public init() {}

  public func validate() throws {
    try validateStack()
    try requireSizes(
      ("num_landmarks", numLandmarks, 1024), ("inverse_iterations", inverseIterations, 64))
    try requirePositive(("landmark_gamma", landmarkGamma))
    try require(landmarkGamma <= 10, "landmark_gamma", landmarkGamma, "it must be at most 10")
  }
}

extension SkyformerConfig: PreNormConfig {
  var featureLayout: FeatureLayout {
    FeatureLayout(
      heads: numAttentionHeads, headSize: headSize, kind: .gaussian, features: numLandmarks)
  }

  public var facts: ModelFacts {
    stackFacts(.features(featureLayout) + .vectors(numLandmarks * hiddenSize))
  }

  public var language: LanguageLayout { languageLayout(backbonePath: "skyformer") }

  public func makeBackbone(in scope: Scope) throws -> any Backbone {
    try Skyformer(self, in: scope)
  }
}

/// A pre-norm transformer with kernelized attention through landmarks.
///
/// Chen et al., 2021, *Skyformer: Remodel Self-Attention with Gaussian Kernel and Nyström Method*,
/// arXiv:2111.00035. The published model is bidirectional and takes its landmarks from the queries
/// and keys of the sequence itself. **The causal form is our own and not published**: landmarks are
/// parameters, features of queries meet prefix sums of features of keys, and the state is constant in
/// size. Queries and keys start with deviation ½ at width D, wide enough for distances to count: at
/// the usual 0.02 every kernel value would be near 1.
public struct Skyformer: DecoderBackbone {
  /// The hyperparameters.
  public let config: SkyformerConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: SkyformerConfig, in scope: Scope) throws {
    self.config = config
    let (width, narrow) = (config.hiddenSize, config.initializerRange)
    let wide = 0.5 / Float(width).squareRoot()
    let (gamma, iterations) = (config.landmarkGamma, config.inverseIterations)
    stack = try DecoderStack(config, in: scope) { scope, rotary in
      try FeatureAttention(
        config, rotary: rotary,
        start: .custom { shape, key in
          let matching = Tensor(normal: [2 * width, width], deviation: wide, key: key.derived(0))
          let values = Tensor(normal: [width, width], deviation: narrow, key: key.derived(1))
          return Tensor(matching.values + values.values, shape)
        },
        mixing: { $0.landmarkMixing(gamma: gamma, iterations: iterations) }, in: scope
      ) { layout in
        try scope.parameter(
          "landmarks", [layout.heads, layout.features, layout.headSize],
          .normal(deviation: 0.5 * layout.scale), isDecayed: false)
      }
    }
  }
}

extension Architecture {
  /// ``Skyformer`` in the registry.
  static let skyformer = Architecture(
    name: "skyformer",
    summary: "Gaussian-kernel attention through learned landmarks (causal form: ours)",
    paper: "Chen et al., 2021, arXiv:2111.00035", isRecurrent: true
  ) { size in
    var config = SkyformerConfig(stack: size)
    config.numLandmarks = 32
    return config
  }
}
