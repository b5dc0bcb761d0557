public import ApusNN
public import ApusTensor

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
  /// How many positions a learned table has; streams of the other kinds are unlimited.
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

extension LinearTransformerConfig: PreNormConfig {}

/// A pre-norm transformer with linear attention, `elu(x) + 1` for a feature map: the plainest of
/// those that are linear in time.
///
/// Katharopoulos et al., 2020, *Transformers are RNNs*, arXiv:2006.16236.
public struct LinearTransformer: Backbone {
  /// The hyperparameters.
  public let config: LinearTransformerConfig
  let stack: PreNormStack<Mixer>

  /// Creates the backbone with weights from `scope`.
  public init(_ config: LinearTransformerConfig, in scope: Scope) throws {
    self.config = config
    stack = try PreNormStack(config, in: scope) { try Mixer(config, in: $0) }
  }

  public var width: Int { config.hiddenSize }

  /// Maps `[B, T, D]` to `[B, T, D]`.
  public func output(_ x: Tensor) -> BackboneOutput { stack.output(x) }

  public func initialState(batch: Int) -> BackboneState { stack.initialState(batch: batch) }

  /// Continues sequences by T tokens from `state`.
  public func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor {
    stack(x, state: &state)
  }
}

extension LinearTransformer {
  /// Linear attention, with its projections.
  public struct Mixer {
    let projections: FeatureProjections

    /// Creates the mixer with weights from `scope`.
    ///
    /// - Parameters:
    ///   - config: The hyperparameters.
    ///   - isCausal: False for encoders, whose tokens see each other; a stream is causal.
    ///   - scope: Where the weights come from.
    /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
    public init(_ config: LinearTransformerConfig, isCausal: Bool = true, in scope: Scope) throws {
      projections = try FeatureProjections(
        config,
        layout: FeatureLayout(
          heads: config.numAttentionHeads, headSize: config.headSize, kind: .elu,
          isCausal: isCausal), in: scope)
    }

    /// Mixes whole sequences, `[B, T, D]`.
    public func callAsFunction(_ x: Tensor) -> Tensor { projections(x) }
  }
}

extension LinearTransformer.Mixer: SequenceMixer {
  func callAsFunction(_ x: Tensor, state: inout MixerState) -> Tensor {
    projections(x, state: &state)
  }

  func initialState(batch: Int) -> MixerState {
    .features(FeatureAttentionState(batch: batch, layout: projections.layout))
  }
}

extension Architecture {
  /// ``LinearTransformer`` in the registry.
  static let linear = Architecture(
    name: "linear",
    summary: "Linear attention: constant cost and state per token",
    paper: "Katharopoulos et al., 2020, arXiv:2006.16236",
    isRecurrent: true, backbonePath: "linear_transformer", config: LinearTransformerConfig.self,
    make: { try LinearTransformer($0, in: $1) },
    sized: { size in
      [
        "hidden_size": size.width, "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads, "vocab_size": size.vocabulary,
        "max_position_embeddings": 2 * size.context,
      ]
    },
    language: { $0.languageLayout })
}
