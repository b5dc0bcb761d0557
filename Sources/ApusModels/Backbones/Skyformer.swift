public import ApusNN
public import ApusTensor

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
  /// How many positions a learned table has; streams of the other kinds are unlimited.
  public var maxPositionEmbeddings = 2048
  /// `sinusoidal`, `learned`, `rotary` or `none`. Rotary positions turn queries and keys away from
  /// landmarks that stand still: allowed, but not the default.
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
    try require(
      numLandmarks > 0 && numLandmarks <= 1024, "num_landmarks", numLandmarks,
      "it must be in 1...1024")
    try require(
      landmarkGamma > 0 && landmarkGamma <= 10, "landmark_gamma", landmarkGamma,
      "it must be above 0 and at most 10")
    try require(
      inverseIterations > 0 && inverseIterations <= 64, "inverse_iterations", inverseIterations,
      "it must be in 1...64")
  }
}

extension SkyformerConfig: PreNormConfig {}

/// A pre-norm transformer with kernelized attention through landmarks.
///
/// Chen et al., 2021, *Skyformer: Remodel Self-Attention with Gaussian Kernel and Nyström Method*,
/// arXiv:2111.00035. The published model is bidirectional and takes its landmarks from the queries
/// and keys of the sequence itself: ``Mixer`` with `isCausal` false. **The causal form is ours and
/// not published**: landmarks are parameters, features of queries meet prefix sums of features of
/// keys, and the state is constant in size. Queries and keys start with deviation ½ at width D, wide
/// enough for distances to count: at the usual 0.02 every kernel value would be near 1.
public struct Skyformer: Backbone {
  /// The hyperparameters.
  public let config: SkyformerConfig
  let stack: PreNormStack<Mixer>

  /// Creates the backbone with weights from `scope`.
  public init(_ config: SkyformerConfig, in scope: Scope) throws {
    self.config = config
    stack = try PreNormStack(config, in: scope) { try Mixer(config, in: $0) }
  }

  public var width: Int { config.hiddenSize }

  /// Maps `[B, T, D]` to `[B, T, D]`.
  public func output(_ x: Tensor) -> BackboneOutput { stack.output(x) }

  /// The state before the first token. It holds a function of the landmarks as they are now: states
  /// made before training goes on are void.
  public func initialState(batch: Int) -> BackboneState { stack.initialState(batch: batch) }

  /// Continues sequences by T tokens from `state`.
  public func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor {
    stack(x, state: &state)
  }

  /// Makes landmarks of queries and keys that `x` gives rise to, layer by layer: a start from data.
  /// Fresh landmarks are drawn as queries of fresh weights are distributed.
  ///
  /// - Parameter x: `[B, T, D]`, such as the embedded tokens of a batch.
  public func takeLandmarks(from x: Tensor) {
    withoutGradient {
      var x = stack.positions(x, from: 0)
      for block in stack.blocks {
        block.mixer.takeLandmarks(from: block.mixerNorm(x))
        x = block(x)
      }
    }
  }
}

extension Skyformer {
  /// Kernelized attention through landmarks, with its projections.
  public struct Mixer {
    let projections: FeatureProjections
    /// Learned landmarks `[H, s, K]`, in the units of x̃; nil where the sequence gives them.
    let landmarks: Parameter?
    let count: Int
    let gamma: Float
    let iterations: Int

    /// Creates the mixer with weights from `scope`.
    ///
    /// - Parameters:
    ///   - config: The hyperparameters.
    ///   - isCausal: False for the published, bidirectional form.
    ///   - scope: Where the weights come from.
    /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
    public init(_ config: SkyformerConfig, isCausal: Bool = true, in scope: Scope) throws {
      let (heads, size, width) = (config.numAttentionHeads, config.headSize, config.hiddenSize)
      (count, gamma) = (config.numLandmarks, config.landmarkGamma)
      iterations = config.inverseIterations
      let layout = FeatureLayout(
        heads: heads, headSize: size, kind: .gaussian, features: count, isCausal: isCausal)
      let (wide, narrow) = (0.5 / Float(width).squareRoot(), config.initializerRange)
      projections = try FeatureProjections(
        config, layout: layout,
        start: .custom { shape, key in
          let matching = Tensor(normal: [2 * width, width], deviation: wide, key: key.derived(0))
          let values = Tensor(normal: [width, width], deviation: narrow, key: key.derived(1))
          return Tensor(matching.values + values.values, shape)
        }, in: scope)
      landmarks =
        isCausal
        ? try scope.parameter(
          "landmarks", [heads, count, size], .normal(deviation: 0.5 * layout.scale),
          isDecayed: false) : nil
    }

    /// Mixes whole sequences, `[B, T, D]`, bidirectionally by rows that `sampling` chooses.
    public func callAsFunction(_ x: Tensor, sampling: LandmarkSampling) -> Tensor {
      let layout = projections.layout
      let mixed = projections.fused(x).nystromAttention(
        heads: layout.heads, headSize: layout.headSize, landmarks: count, sampling: sampling,
        gamma: gamma, iterations: iterations)
      return projections.output(mixed)
    }

    /// Mixes whole sequences, `[B, T, D]`.
    public func callAsFunction(_ x: Tensor) -> Tensor {
      guard let landmarks else { return self(x, sampling: .strided) }
      return projections(
        x, weights: landmarks.value,
        mixing: landmarks.value.landmarkMixing(gamma: gamma, iterations: iterations))
    }

    func takeLandmarks(from x: Tensor) {
      guard let landmarks else { return }
      let (layout, fused) = (projections.layout, projections.fused(x))
      let (heads, size) = (layout.heads, layout.headSize)
      let (rows, values) = (x.shape.rows, fused.values)
      var taken: [Float] = []
      for head in 0..<heads {
        for index in 0..<count {
          // Queries and keys in turn, evenly over the batch.
          let row = (2 * index + 1) * rows / (2 * count)
          let start = (row * 3 + index % 2) * heads * size + head * size
          taken += values[start..<start + size].map { $0 * layout.scale }
        }
      }
      landmarks.set(Tensor(taken, landmarks.shape))
    }
  }
}

extension Skyformer.Mixer: SequenceMixer {
  func callAsFunction(_ x: Tensor, state: inout MixerState) -> Tensor {
    projections(x, state: &state, weights: landmarks?.value)
  }

  func initialState(batch: Int) -> MixerState {
    let mixing = withoutGradient {
      landmarks.map { $0.value.landmarkMixing(gamma: gamma, iterations: iterations) }
    }
    return .features(
      FeatureAttentionState(batch: batch, layout: projections.layout, mixing: mixing))
  }
}

extension Architecture {
  /// ``Skyformer`` in the registry.
  static let skyformer = Architecture(
    name: "skyformer",
    summary: "Gaussian-kernel attention through learned landmarks (causal form: ours)",
    paper: "Chen et al., 2021, arXiv:2111.00035",
    isRecurrent: true, backbonePath: "skyformer", config: SkyformerConfig.self,
    make: { try Skyformer($0, in: $1) },
    sized: { size in
      [
        "hidden_size": size.width, "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads, "vocab_size": size.vocabulary,
        "max_position_embeddings": 2 * size.context, "num_landmarks": 32,
      ]
    },
    language: { $0.languageLayout })
}
