import ApusNN
public import ApusTensor
import Foundation

/// The hyperparameters of ``ChronosBolt``, under their published keys: those of T5, and its own.
public struct ChronosBoltConfig: ModelConfig {
  public static let modelType = "t5"
  /// D.
  public var dModel = 512
  /// Features of a head, K.
  public var dKv = 64
  /// Inside a feed-forward, and inside the maps to and from patches.
  public var dFf = 2048
  /// Layers of the encoder.
  public var numLayers = 6
  /// Layers of the decoder; as many as the encoder has when nil.
  public var numDecoderLayers: Int?
  /// H.
  public var numHeads = 8
  /// Buckets of distances.
  public var relativeAttentionNumBuckets = 32
  /// From this distance on there is one bucket.
  public var relativeAttentionMaxDistance = 128
  /// Added to the mean square in normalization.
  public var layerNormEpsilon: Float = 1e-6
  /// `relu`; nothing else is published.
  public var feedForwardProj = "relu"
  /// The row of the embedding that the decoder starts from.
  public var decoderStartTokenId = 0
  /// What is asked of T5.
  public var chronosConfig = Patching()

  /// What stands under `chronos_config`.
  public struct Patching: Codable, Sendable, Hashable {
    /// The most values that are read, L.
    public var contextLength = 2048
    /// Steps of one forecast, P.
    public var predictionLength = 64
    /// Values of a patch.
    public var inputPatchSize = 16
    /// Values from one patch to the next.
    public var inputPatchStride = 16
    /// Quantile levels, ascending.
    public var quantiles = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    /// Whether one more token follows the patches.
    public var useRegToken = false

    /// All defaults.
    public init() {}
  }

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("d_model", dModel, SizeLimit.width), ("d_kv", dKv, SizeLimit.width),
      ("d_ff", dFf, SizeLimit.inner), ("num_layers", numLayers, SizeLimit.layers),
      ("num_decoder_layers", numDecoderLayers, SizeLimit.layers),
      ("num_heads", numHeads, SizeLimit.width),
      ("relative_attention_num_buckets", relativeAttentionNumBuckets, 4096),
      ("relative_attention_max_distance", relativeAttentionMaxDistance, SizeLimit.tokens),
      ("chronos_config.context_length", chronosConfig.contextLength, 1 << 20),
      ("chronos_config.prediction_length", chronosConfig.predictionLength, 1 << 16),
      ("chronos_config.input_patch_size", chronosConfig.inputPatchSize, 1 << 16),
      ("chronos_config.input_patch_stride", chronosConfig.inputPatchStride, 1 << 16))
    try require(
      relativeAttentionNumBuckets % 4 == 0, "relative_attention_num_buckets",
      relativeAttentionNumBuckets, "it must be a multiple of 4")
    try require(
      relativeAttentionMaxDistance > relativeAttentionNumBuckets / 4,
      "relative_attention_max_distance", relativeAttentionMaxDistance,
      "it must be above a quarter of relative_attention_num_buckets")
    try requirePositive(("layer_norm_epsilon", layerNormEpsilon))
    try requireWord("feed_forward_proj", feedForwardProj, ["relu"])
    try requireLevels(chronosConfig.quantiles)
    try require(
      (0..<vocabulary).contains(decoderStartTokenId), "decoder_start_token_id",
      decoderStartTokenId, "it must be in 0..<\(vocabulary)")
  }

  /// Rows of the embedding: where the decoder starts, and what follows the patches.
  var vocabulary: Int { chronosConfig.useRegToken ? 2 : 1 }

  var sizes: T5Sizes {
    T5Sizes(
      width: dModel, heads: numHeads, headSize: dKv, inner: dFf, encoderLayers: numLayers,
      decoderLayers: numDecoderLayers ?? numLayers, buckets: relativeAttentionNumBuckets,
      maxDistance: relativeAttentionMaxDistance, epsilon: layerNormEpsilon)
  }
}

/// Chronos-Bolt: a pretrained T5 that reads patches of a series and writes all quantiles of the steps
/// ahead at once.
///
/// Ansari et al., 2024, *Chronos: Learning the Language of Time Series*, arXiv:2403.07815, in the form
/// of the package chronos-forecasting. Nothing is learned from the series but its mean and deviation.
public struct ChronosBolt {
  /// The hyperparameters.
  public let config: ChronosBoltConfig
  private let shared: Embedding
  private let input: ResidualMap
  private let encoder: T5Encoder
  private let decoder: T5Decoder
  private let output: ResidualMap

  /// Makes the model of a published checkpoint.
  ///
  /// - Parameters:
  ///   - config: The hyperparameters.
  ///   - checkpoint: Tensors as published files name them.
  /// - Throws: `CheckpointError` when the checkpoint does not fit.
  public init(_ config: ChronosBoltConfig, checkpoint: [String: Tensor]) throws {
    self.config = config
    let (scope, patching) = (Scope(checkpoint: checkpoint), config.chronosConfig)
    shared = try Embedding(config.vocabulary, config.dModel, in: scope["shared"])
    input = try ResidualMap(
      2 * patching.inputPatchSize, inner: config.dFf, outputs: config.dModel,
      in: scope["input_patch_embedding"])
    encoder = try T5Encoder(config.sizes, in: scope["encoder"])
    decoder = try T5Decoder(config.sizes, in: scope["decoder"])
    output = try ResidualMap(
      config.dModel, inner: config.dFf,
      outputs: patching.quantiles.count * patching.predictionLength,
      in: scope["output_patch_embedding"])
    // Copies of the embedding, and a bias of the decoder's one token with itself.
    try scope.finish(ignoring: {
      $0.hasSuffix("embed_tokens.weight") || $0 == "lm_head.weight"
        || $0.hasPrefix("decoder.") && $0.hasSuffix("relative_attention_bias.weight")
    })
  }

  /// Forecasts one block of steps, as the published model does.
  ///
  /// - Parameter context: Values, the last ones counting; NaN where one is missing.
  /// - Returns: Quantiles `[P][Q]` of the model's own steps and levels; they may cross.
  public func block(after context: [Float]) -> [[Float]] {
    let patching = config.chronosConfig
    let recent = Array(context.suffix(patching.contextLength))
    let scale = ContextScale(recent) { _ in 1e-5 }
    let normal = recent.map(scale.normal)
    let quantiles = withoutGradient { output(token(after: normal)).values }
    return (0..<patching.predictionLength).map { step in
      patching.quantiles.indices.map { level in
        scale.own(quantiles[level * patching.predictionLength + step])
      }
    }
  }

  /// What the decoder makes of normalized values: `[1, D]`.
  private func token(after values: [Float]) -> Tensor {
    let (size, step) = (
      config.chronosConfig.inputPatchSize, config.chronosConfig.inputPatchStride
    )
    let missing = (size - values.count % size) % size
    let padded = [Float](repeating: .nan, count: missing) + values
    let starts = Array(stride(from: 0, through: padded.count - size, by: step))
    let rows = starts.flatMap { start in
      Array(padded[start..<start + size]).maskedPatch
    }
    var visible = starts.map { start in padded[start..<start + size].contains(where: \.isFinite) }
    var x = input(Tensor(rows, [starts.count, 2 * size]))
    if config.chronosConfig.useRegToken {
      let last = shared(Tensor([1] as [Int32], [1]))
      x = Tensor(x.values + last.values, [starts.count + 1, config.dModel])
      visible.append(true)
    }
    let start = shared(Tensor([Int32(config.decoderStartTokenId)], [1]))
    return decoder(start, memory: encoder(x, visible: visible), visible: visible)
  }

  /// Quantiles of any number of steps.
  ///
  /// Beyond the model's own steps every quantile so far continues the series by itself, and the
  /// quantiles of what the model makes of all of them go on, as the published pipeline has it.
  /// - Parameters:
  ///   - context: Values, the last ones counting; NaN where one is missing. At least one is present.
  ///   - steps: P.
  /// - Returns: `[P][Q]` at the model's own levels; they may cross.
  public func quantiles(after context: [Float], steps: Int) -> [[Float]] {
    let levels = config.chronosConfig.quantiles
    var block = block(after: context)
    var rows = block
    var paths = levels.map { _ in context }
    while rows.count < steps {
      for level in levels.indices {
        paths[level] = (paths[level] + block.map { $0[level] })
          .suffix(config.chronosConfig.contextLength)
      }
      let futures = paths.map { self.block(after: $0) }
      block = (0..<config.chronosConfig.predictionLength).map { step in
        let all = futures.flatMap { $0[step] }.sorted()
        return levels.map { interpolated(all, at: $0) }
      }
      rows += block
    }
    return Array(rows.prefix(steps))
  }
}

extension ChronosBolt: PretrainedModel {
  package func quantiles(after contexts: [[Float]], steps: Int) -> [[[Float]]] {
    contexts.map { quantiles(after: $0, steps: steps) }
  }
}

extension ChronosBoltConfig: PretrainedConfig {
  package static let family = "Chronos-Bolt"
  package static let summary = "A T5 that reads patches and writes all quantiles of the steps ahead"
  package static let paper = "Ansari et al., 2024, arXiv:2403.07815"
  package var contextLength: Int { chronosConfig.contextLength }
  package var levels: [Double] { chronosConfig.quantiles }

  package static func describes(_ config: JSONValue) -> Bool {
    config["chronos_config"] != nil && !Chronos2Config.describes(config)
  }

  package func makeModel(checkpoint: [String: Tensor]) throws -> any PretrainedModel {
    try ChronosBolt(self, checkpoint: checkpoint)
  }
}
