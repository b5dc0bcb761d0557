import ApusNN
public import ApusTensor

/// The hyperparameters of ``TiRex``, under the keys of its package.
public struct TiRexConfig: ModelConfig {
  public static let modelType = "tirex"
  /// Values of a patch that is read.
  public var inputPatchSize = 32
  /// Values of a patch that is forecast; as many as are read.
  public var outputPatchSize = 32
  /// Quantile levels, ascending.
  public var quantiles = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
  /// Of the stack.
  public var blockKwargs = Blocks()
  /// Inside the maps to and from patches.
  public var inputFfDim = 2048
  /// The values that are read, L: shorter contexts are filled up in front by missing ones.
  public var trainCtxLen = 2048

  /// What stands under `block_kwargs`.
  public struct Blocks: Codable, Sendable, Hashable {
    /// Blocks.
    public var numBlocks = 12
    /// D.
    public var embeddingDim = 512
    /// H.
    public var numHeads = 4
    /// The inner width of a feed-forward is this many times D, rounded up to a multiple of 64.
    public var ffnProjFactor = 2.6667

    /// All defaults.
    public init() {}
  }

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("input_patch_size", inputPatchSize, 1 << 16),
      ("output_patch_size", outputPatchSize, 1 << 16),
      ("input_ff_dim", inputFfDim, SizeLimit.inner), ("train_ctx_len", trainCtxLen, 1 << 20),
      ("block_kwargs.num_blocks", blockKwargs.numBlocks, SizeLimit.layers),
      ("block_kwargs.embedding_dim", blockKwargs.embeddingDim, SizeLimit.width),
      ("block_kwargs.num_heads", blockKwargs.numHeads, SizeLimit.width))
    try require(
      outputPatchSize == inputPatchSize, "output_patch_size", outputPatchSize,
      "it must be input_patch_size, which is \(inputPatchSize)")
    try require(
      trainCtxLen % inputPatchSize == 0, "train_ctx_len", trainCtxLen,
      "it must be a multiple of input_patch_size, which is \(inputPatchSize)")
    let factor = blockKwargs.ffnProjFactor
    try require(
      factor > 0 && factor <= 64, "block_kwargs.ffn_proj_factor", factor,
      "it must be above 0 and at most 64")
    try requireGroups(
      "block_kwargs.num_heads", blockKwargs.numHeads,
      of: ("block_kwargs.embedding_dim", blockKwargs.embeddingDim))
    try requireLevels(quantiles)
    try stack.validate()
  }

  /// The stack, all of whose blocks mix by an sLSTM.
  var stack: XLSTMConfig {
    var config = XLSTMConfig()
    (config.hiddenSize, config.numHiddenLayers) = (blockKwargs.embeddingDim, blockKwargs.numBlocks)
    (config.numHeads, config.slstmAt) = (
      blockKwargs.numHeads, Array(0..<max(0, blockKwargs.numBlocks))
    )
    config.ffnProjFactor = blockKwargs.ffnProjFactor
    (config.qkDimFactor, config.vDimFactor) = (1, 1)  // of the other kind of block: there is none
    return config
  }
}

/// TiRex: a pretrained stack of sLSTM blocks over patches of a series, whose last token says all quantiles
/// of the next patch.
///
/// Auer et al., 2025, *TiRex: Zero-Shot Forecasting Across Long and Short Horizons with Enhanced In-Context
/// Learning*, arXiv:2505.23719, in the form of the package tirex-ts. Further patches follow from the same
/// context behind which what is to be forecast stands as missing. Nothing is learned from the series but
/// its mean and deviation. Shapes: B series, T patches, S values of a patch, D width, Q levels.
public struct TiRex {
  /// The hyperparameters.
  public let config: TiRexConfig
  private let input: ResidualMap
  private let stack: XLSTM
  private let output: ResidualMap

  /// Makes the model of a checkpoint.
  ///
  /// - Parameters:
  ///   - config: The hyperparameters.
  ///   - checkpoint: Tensors as the package names them.
  /// - Throws: `CheckpointError` when the checkpoint does not fit.
  public init(_ config: TiRexConfig, checkpoint: [String: Tensor]) throws {
    self.config = config
    let (scope, width) = (Scope(checkpoint: checkpoint), config.blockKwargs.embeddingDim)
    input = try ResidualMap(
      2 * config.inputPatchSize, inner: config.inputFfDim, outputs: width,
      in: scope["input_patch_embedding"])
    stack = try XLSTM(config.stack, in: scope)
    output = try ResidualMap(
      width, inner: config.inputFfDim, outputs: config.quantiles.count * config.outputPatchSize,
      in: scope["output_patch_embedding"])
    try scope.finish()
  }

  /// Forecasts the patch that follows `ahead` patches after each context.
  ///
  /// - Returns: `[B][S][Q]`.
  private func patch(after contexts: [[Float]], ahead: Int) -> [[[Float]]] {
    let (size, levels) = (config.inputPatchSize, config.quantiles.count)
    let (length, missing) = (config.trainCtxLen, min(ahead * size, config.trainCtxLen))
    let recent = contexts.map { Array($0.suffix(length - missing)) }
    let scales = recent.map { values in ContextScale(values) { abs($0) + 1e-5 } }
    let rows = zip(recent, scales).flatMap { values, scale in
      let front = [Float](repeating: .nan, count: length - missing - values.count)
      let context =
        front + values.map(scale.normal) + [Float](repeating: .nan, count: missing)
      return stride(from: 0, to: length, by: size).flatMap {
        Array(context[$0..<$0 + size]).maskedPatch
      }
    }
    let tokens = length / size
    let values = withoutGradient {
      let hidden = stack(input(Tensor(rows, [contexts.count, tokens, 2 * size])))
      return output(hidden[times: tokens - 1..<tokens]).values  // [B, 1, Q · S]
    }
    return scales.enumerated().map { series, scale in
      (0..<size).map { step in
        (0..<levels).map { scale.own(values[(series * levels + $0) * size + step]) }
      }
    }
  }
}

extension TiRex: PretrainedModel {
  /// So many contexts pass the stack together.
  private static var together: Int { 32 }

  package func quantiles(after contexts: [[Float]], steps: Int) -> [[[Float]]] {
    let patches = (steps + config.outputPatchSize - 1) / config.outputPatchSize
    return stride(from: 0, to: contexts.count, by: Self.together).flatMap { start in
      let some = Array(contexts[start..<min(start + Self.together, contexts.count)])
      let parts = (0..<patches).map { patch(after: some, ahead: $0) }
      return some.indices.map { series in
        Array(parts.flatMap { $0[series] }.prefix(steps))
      }
    }
  }
}

extension TiRexConfig: PretrainedConfig {
  package static let family = "TiRex"
  package static let summary = "A stack of sLSTM blocks over patches"
  package static let paper = "Auer et al., 2025, arXiv:2505.23719"
  package var contextLength: Int { trainCtxLen }
  package var levels: [Double] { quantiles }

  package static func describes(_ config: JSONValue) -> Bool {
    config["model_type"]?.string == modelType
  }

  package func makeModel(checkpoint: [String: Tensor]) throws -> any PretrainedModel {
    try TiRex(self, checkpoint: checkpoint)
  }
}
