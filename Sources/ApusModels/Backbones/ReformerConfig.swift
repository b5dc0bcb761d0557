public import ApusTensor

/// The hyperparameters of ``Reformer``. The defaults are those of the published configuration, but
/// that it is a decoder; the last group goes beyond it.
public struct ReformerConfig: ModelConfig {
  public static let modelType = "reformer"
  /// Token ids, V.
  public var vocabSize = 320
  /// Width of each of the two streams, D.
  public var hiddenSize = 256
  /// The kind of each layer: `lsh` or `local`.
  public var attnLayers = ["local", "lsh", "local", "lsh", "local", "lsh"]
  /// Heads, H.
  public var numAttentionHeads = 12
  /// Features of a head, K.
  public var attentionHeadSize = 64
  /// Width inside the feed-forward.
  public var feedForwardSize = 512
  /// `relu`, `gelu`, `gelu_new` or `silu`.
  public var hiddenAct = "relu"
  /// Whether a token sees no later one.
  public var isDecoder = true
  /// Added to the variance in normalization.
  public var layerNormEps: Float = 1e-12
  /// Deviation of the weights' start.
  public var initializerRange: Float = 0.02
  /// The head reads both streams, so it cannot be the embedding.
  public var tieWordEmbeddings = false
  /// The most tokens a sequence may have, where positions are learned.
  public var maxPositionEmbeddings = 4096
  /// Whether learned positions are the two axial tables instead of one long one.
  public var axialPosEmbds = true
  /// Rows and columns of the grid that positions are laid out on.
  public var axialPosShape = [64, 64]
  /// Features from the row and from the column; their sum is D.
  public var axialPosEmbdsDim = [64, 192]
  /// Deviation of the axial tables' start.
  public var axialNormStd: Float = 1

  /// Tokens of a block of a local layer; each sees `localNumChunksBefore` blocks before its own and
  /// `localNumChunksAfter` after it.
  public var localAttnChunkLength = 64
  /// The blocks before it that a block of a local layer sees.
  public var localNumChunksBefore = 1
  /// The blocks after it that a block of a local layer sees.
  public var localNumChunksAfter = 0
  /// The same of an LSH layer.
  public var lshAttnChunkLength = 64
  /// The blocks before it that a block of an LSH layer sees.
  public var lshNumChunksBefore = 1
  /// The blocks after it that a block of an LSH layer sees.
  public var lshNumChunksAfter = 0
  /// Buckets: a number, or two factors; when nil the power of two below 2 · positions / chunk, in two
  /// factors where that is many. Published programs take the first length that they see instead of
  /// the positions.
  public var numBuckets: BucketCount?
  /// Rounds of hashing, R.
  public var numHashes = 1
  /// Draws the rotations, together with the layer's number. When nil a new model draws them as it
  /// draws weights, and a checkpoint without rotations gets those of 0.
  public var hashSeed: Int?

  /// Where lists of tokens with equal hashes end: `sorted` as published, which is not causal, or
  /// `bucket-local`; when nil the latter in decoders.
  public var lshMode: LSHLayout.Lists?
  /// `axial`, `learned`, `rotary` or `none`; when nil what `axialPosEmbds` says. Rotary positions
  /// turn queries and keys after hashing, and have no bound.
  public var positionEmbedding: String?
  /// Base of the rotary frequencies.
  public var ropeTheta = 10000.0

  /// All defaults.
  public init() {}
}

extension ReformerConfig {
  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("hidden_size", hiddenSize, SizeLimit.width),
      ("num_attention_heads", numAttentionHeads, 1024),
      ("attention_head_size", attentionHeadSize, 1024),
      ("feed_forward_size", feedForwardSize, SizeLimit.inner),
      ("lsh_attn_chunk_length", lshAttnChunkLength, 65536),
      ("local_attn_chunk_length", localAttnChunkLength, 65536), ("num_hashes", numHashes, 64),
      ("max_position_embeddings", maxPositionEmbeddings, SizeLimit.tokens))
    try require(
      (1...1024).contains(attnLayers.count), "attn_layers", attnLayers, "there must be 1 to 1024")
    try require(
      attnLayers.allSatisfy { ["lsh", "local"].contains($0) }, "attn_layers", attnLayers,
      "each must be lsh or local")
    try requireWord("hidden_act", hiddenAct, Activation.allCases.map(\.rawValue))
    try requirePositive(("layer_norm_eps", layerNormEps), ("rope_theta", ropeTheta))
    try requireNotNegative(
      ("initializer_range", initializerRange), ("axial_norm_std", axialNormStd))
    try require(
      !tieWordEmbeddings, "tie_word_embeddings", tieWordEmbeddings,
      "the head reads twice hidden_size features, the embedding has hidden_size")
    try validateBlocks()
    try validateBuckets()
    try validatePositions()
  }

  private func validateBlocks() throws {
    let around = [
      ("lsh_num_chunks_before", lshNumChunksBefore), ("lsh_num_chunks_after", lshNumChunksAfter),
      ("local_num_chunks_before", localNumChunksBefore),
      ("local_num_chunks_after", localNumChunksAfter),
    ]
    for (key, count) in around {
      try require((0...16).contains(count), key, count, "it must be in 0...16")
      try require(
        !isDecoder || !key.hasSuffix("after") || count == 0, key, count,
        "a decoder sees no later chunk")
    }
    try require(
      lists == .bucketLocal || commonBlock <= 1_048_576, "local_attn_chunk_length",
      localAttnChunkLength,
      "its least common multiple with lsh_attn_chunk_length, \(commonBlock), is above 1048576")
    try require(
      lists == .sorted || isDecoder, "lsh_mode", lists.rawValue,
      "is_decoder is false, and only sorted lists let a token see later ones")
  }

  private func validateBuckets() throws {
    let factors = numBuckets?.factors ?? []
    try require(
      numBuckets == nil || (1...8).contains(factors.count), "num_buckets", factors,
      "there must be 1 to 8 factors")
    try require(
      factors.allSatisfy { (1...65536).contains($0) && ($0 % 2 == 0 || factors == [1]) },
      "num_buckets", factors, "each factor must be even, or a single 1, which means no hashing")
    let lists = (factors + [numAttentionHeads, numHashes]).reduce(1) { $0.times($1) }
    try require(
      lists <= 1 << 24, "num_buckets", factors,
      "times num_attention_heads and num_hashes it must be at most \(1 << 24)")
    if let hashSeed {
      try require(hashSeed >= 0, "hash_seed", hashSeed, "it must be at least 0")
    }
  }

  private func validatePositions() throws {
    try requireWord("position_embedding", positions, ["axial", "learned", "rotary", "none"])
    if positions == "learned" {
      try requireSizes(("max_position_embeddings", maxPositionEmbeddings, SizeLimit.table))
    }
    try require(
      positions != "rotary" || attentionHeadSize % 2 == 0, "attention_head_size",
      attentionHeadSize, "rotary positions need an even head size")
    guard positions == "axial" else { return }
    try require(
      axialPosShape.count == 2 && axialPosShape.allSatisfy { (1...1 << 20).contains($0) },
      "axial_pos_shape", axialPosShape, "it must be two numbers in 1...\(1 << 20)")
    try require(
      axialPosEmbdsDim.count == 2 && axialPosEmbdsDim.allSatisfy { (1...65536).contains($0) }
        && axialPosEmbdsDim.reduce(0, +) == hiddenSize,
      "axial_pos_embds_dim", axialPosEmbdsDim,
      "it must be two numbers whose sum is hidden_size, which is \(hiddenSize)")
  }
}

extension ReformerConfig {
  package var lists: LSHLayout.Lists { lshMode ?? (isDecoder ? .bucketLocal : .sorted) }
  var positions: String { positionEmbedding ?? (axialPosEmbds ? "axial" : "learned") }

  /// The most tokens a sequence may have; nil when there is no bound.
  var context: Int? {
    switch positions {
    case "axial": min(axialPosShape[0] * axialPosShape[1], maxPositionEmbeddings)
    case "learned": maxPositionEmbeddings
    default: nil
    }
  }

  /// Whether the state of a sequence is bounded: no layer needs all tokens sorted anew.
  var canStream: Bool { isDecoder && (lists == .bucketLocal || !attnLayers.contains("lsh")) }

  /// The buckets as factors.
  package var bucketFactors: [Int] { numBuckets?.factors ?? automaticFactors }

  private var automaticFactors: [Int] {
    let chunk = lshAttnChunkLength
    // Bounded so that heads and rounds times buckets stay within what validate() allows a person.
    let most = max(2, (1 << 24) / (numAttentionHeads * numHashes))
    let wanted = min(max(2, 2 * (maxPositionEmbeddings / chunk)), most)
    let exponent = Int.bitWidth - 1 - wanted.leadingZeroBitCount
    let limit = 2 * max(Int(Double(maxPositionEmbeddings / chunk).squareRoot()), chunk)
    guard 1 << exponent > limit, exponent >= 2 else { return [1 << exponent] }
    return [1 << (exponent / 2), 1 << (exponent - exponent / 2)]
  }

  /// The layout of LSH layers.
  var lshLayout: LSHLayout {
    LSHLayout(
      heads: numAttentionHeads, headSize: attentionHeadSize, rounds: numHashes,
      factors: bucketFactors, block: lshAttnChunkLength, before: lshNumChunksBefore,
      after: lshNumChunksAfter, isCausal: isDecoder, lists: lists)
  }

  /// The layout of local layers.
  var localLayout: LSHLayout {
    LSHLayout(
      heads: numAttentionHeads, headSize: attentionHeadSize, rounds: 1, factors: [1],
      block: localAttnChunkLength, before: localNumChunksBefore, after: localNumChunksAfter,
      isCausal: isDecoder, lists: lists)
  }

  private var blocksInUse: [Int] {
    (attnLayers.contains("lsh") ? [lshAttnChunkLength] : [])
      + (attnLayers.contains("local") ? [localAttnChunkLength] : [])
  }

  /// The least common multiple of the chunks in use.
  private var commonBlock: Int {
    blocksInUse.reduce(1) { $0 / greatestCommonDivisor($0, $1) * $1 }
  }

  /// The length that published programs fill T tokens up to.
  func slots(_ time: Int) -> Int {
    guard time > blocksInUse.min() ?? 1 else { return time }
    return (time + commonBlock - 1) / commonBlock * commonBlock
  }

  private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
    b == 0 ? a : greatestCommonDivisor(b, a % b)
  }
}

/// A number of buckets, or its factors.
public enum BucketCount: Sendable, Hashable {
  /// One number of buckets.
  case one(Int)
  /// The product of two numbers, hashed separately.
  case product([Int])

  /// The factors.
  public var factors: [Int] {
    switch self {
    case .one(let count): [count]
    case .product(let factors): factors
    }
  }
}

extension BucketCount: Codable {
  /// Reads a number or a list of numbers.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let count = try? container.decode(Int.self) {
      self = .one(count)
    } else {
      self = .product(try container.decode([Int].self))
    }
  }

  /// Writes the number or the list.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .one(let count): try container.encode(count)
    case .product(let factors): try container.encode(factors)
    }
  }
}
