import Foundation
public import ApusNN
public import ApusTensor

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
  /// How many positions a learned table has; streams of the other kinds are unlimited.
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
    if let nbFeatures {
      try require(
        nbFeatures > 0 && nbFeatures <= 4096, "nb_features", nbFeatures, "it must be in 1...4096")
    }
    try require(
      ["softmax", "relu"].contains(kernelFunction), "kernel_function", kernelFunction,
      "it must be softmax or relu")
    try require(
      [0, 1].contains(orthoScaling), "ortho_scaling", orthoScaling, "it must be 0 or 1")
  }

  var features: Int {
    nbFeatures ?? max(1, Int(Double(headSize) * log(Double(headSize))))
  }
}

extension PerformerConfig: PreNormConfig {}

/// A pre-norm transformer whose attention is estimated by random features: linear in time, with a
/// state of constant size.
///
/// Choromanski et al., 2020, *Rethinking Attention with Performers*, arXiv:2009.14794 (FAVOR+).
/// Causal sums are kept relative to a running maximum per feature, so that no epsilon is needed and
/// nothing of the future is seen; the published programs take one maximum over all tokens.
public struct Performer: Backbone {
  /// The hyperparameters.
  public let config: PerformerConfig
  let stack: PreNormStack<Mixer>

  /// Creates the backbone with weights from `scope`.
  public init(_ config: PerformerConfig, in scope: Scope) throws {
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

  /// Draws the random projections of all layers anew, as training may do now and then, say every
  /// 1,000 steps; drawing at every step hurts, and evaluation never draws.
  ///
  /// Every ``BackboneState`` made before is void afterwards: its sums are of other features.
  /// - Parameter key: Names the random numbers; another key, another projection.
  public func redrawFeatures(key: RandomKey) {
    for (layer, block) in stack.blocks.enumerated() {
      block.mixer.redrawFeatures(key: key.derived(UInt64(layer)))
    }
  }
}

extension Performer {
  /// Attention by random features, with its projections.
  public struct Mixer {
    let projections: FeatureProjections
    /// `[m, K]`: constant, but a tensor of the checkpoint like any other.
    let directions: Parameter
    let hasFixedNorms: Bool

    /// Creates the mixer with weights from `scope`.
    ///
    /// - Parameters:
    ///   - config: The hyperparameters.
    ///   - isCausal: False for encoders, whose tokens see each other; a stream is causal.
    ///   - scope: Where the weights come from.
    /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
    public init(_ config: PerformerConfig, isCausal: Bool = true, in scope: Scope) throws {
      let (size, features) = (config.headSize, config.features)
      projections = try FeatureProjections(
        config,
        layout: FeatureLayout(
          heads: config.numAttentionHeads, headSize: size,
          kind: config.kernelFunction == "relu" ? .relu : .exponential, features: features,
          isCausal: isCausal), in: scope)
      let hasFixedNorms = config.orthoScaling == 1
      self.hasFixedNorms = hasFixedNorms
      directions = try scope.parameter(
        "projection_matrix", [features, size],
        .custom { shape, key in
          Tensor(orthogonalFeatures: [shape[0], shape[1]], hasFixedNorms: hasFixedNorms, key: key)
        }, isDecayed: false)
      directions.setTrainable(false)
    }

    /// Mixes whole sequences, `[B, T, D]`.
    public func callAsFunction(_ x: Tensor) -> Tensor {
      projections(x, weights: directions.value)
    }

    func redrawFeatures(key: RandomKey) {
      let shape = directions.shape
      directions.set(
        Tensor(orthogonalFeatures: [shape[0], shape[1]], hasFixedNorms: hasFixedNorms, key: key))
    }
  }
}

extension Performer.Mixer: SequenceMixer {
  func callAsFunction(_ x: Tensor, state: inout MixerState) -> Tensor {
    projections(x, state: &state, weights: directions.value)
  }

  func initialState(batch: Int) -> MixerState {
    .features(FeatureAttentionState(batch: batch, layout: projections.layout))
  }
}

extension Architecture {
  /// ``Performer`` in the registry.
  static let performer = Architecture(
    name: "performer",
    summary: "Attention estimated by random features: constant cost and state per token",
    paper: "Choromanski et al., 2020, arXiv:2009.14794",
    isRecurrent: true, backbonePath: "performer", config: PerformerConfig.self,
    make: { try Performer($0, in: $1) },
    sized: { size in
      [
        "hidden_size": size.width, "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads, "vocab_size": size.vocabulary,
        "max_position_embeddings": 2 * size.context,
        "position_embedding_type": (size.width / size.heads) % 2 == 0 ? "rotary" : "sinusoidal",
      ]
    },
    language: { $0.languageLayout })
}
