public import ApusNN
public import ApusTensor

/// Reformer: attention among tokens with equal hashes, in layers that can be run backward.
///
/// Kitaev, Kaiser and Levskaya, 2020, *Reformer: The Efficient Transformer*, arXiv:2001.04451; weight
/// names as published. Shapes: B batch, T time, D width of a stream, H heads, K head size, R rounds.
public struct Reformer: Backbone {
  /// The hyperparameters.
  public let config: ReformerConfig
  let positions: AddedPositions
  let rotary: RotaryPositions?
  let blocks: [Block]
  let norm: LayerNorm

  /// Creates the backbone with weights from `scope`.
  public init(_ config: ReformerConfig, in scope: Scope) throws {
    self.config = config
    positions = try Self.positions(config, in: scope["embeddings"]["position_embeddings"])
    rotary =
      config.positions == "rotary"
      ? RotaryPositions(
        context: config.maxPositionEmbeddings, headSize: config.attentionHeadSize,
        theta: config.ropeTheta) : nil
    let encoder = scope["encoder"]
    blocks = try config.attnLayers.indices.map { layer in
      try Block(config, layer: layer, in: encoder["layers"][layer])
    }
    norm = try LayerNorm(
      2 * config.hiddenSize, epsilon: config.layerNormEps, in: encoder["layer_norm"])
  }

  public var width: Int { config.hiddenSize }
  public var outputWidth: Int { 2 * config.hiddenSize }

  /// Maps `[B, T, D]` to both streams, `[B, T, 2 · D]`.
  public func output(_ x: Tensor) -> BackboneOutput {
    let places = Places(wholeOf: x)
    return BackboneOutput(hidden: norm(positions(x, at: places).reversible(steps(at: places))))
  }

  /// The layers as steps of a reversible network on whole sequences.
  package func steps(at places: Places) -> [ReversibleStep] {
    let (rotary, slots) = (rotary.map(places.rotation), config.slots(places.time))
    return blocks.map { block in
      ReversibleStep(
        f: { block.attention($0, slots: slots, rotary: rotary, buckets: &$1) },
        g: { block.feedForward($0) })
    }
  }

  public func initialState(batch: Int) -> BackboneState {
    BackboneState(
      of: Self.self, batch: batch,
      layers: config.canStream
        ? blocks.map { $0.attention.initialState(batch: batch) } : [HistoryState(batch: batch)])
  }

  /// Continues sequences by T tokens from `state`.
  ///
  /// Sorted lists have no state: everything that came in is kept, and a token's output is that of the
  /// sequence that ends with the last of these T tokens.
  public func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor {
    state.advance(x, through: Self.self) { state in
      guard config.canStream else { return state.withLayer(0) { fromStart(x, state: &$0) } }
      let places = Places(starts: state.positions, time: x.shape[1])
      let rotation = rotary.map(places.rotation)
      let x = positions(x, at: places)
      var streams = (x, x)
      for (index, block) in blocks.enumerated() {
        streams.0 =
          streams.0
          + state.withLayer(index) { block.attention(streams.1, rotary: rotation, state: &$0) }
        streams.1 = streams.1 + block.feedForward(streams.0)
      }
      return norm(Tensor(concatenating: [streams.0, streams.1]))
    }
  }

  private func fromStart(_ x: Tensor, state: inout HistoryState) -> Tensor {
    let all = state.append(x)
    let isOneLength = all.allSatisfy { $0.shape == all[0].shape }
    return Tensor(
      joining: (isOneLength ? [Tensor(joining: all)] : all).map { whole in
        output(whole).hidden[times: whole.shape[1] - x.shape[1]..<whole.shape[1]]
      })
  }

  /// Learned positions, added to what comes in.
  private static func positions(
    _ config: ReformerConfig, in scope: Scope
  ) throws -> AddedPositions {
    let (shape, sizes) = (config.axialPosShape, config.axialPosEmbdsDim)
    guard config.positions == "axial" else {
      return try AddedPositions(
        config.positions, count: config.maxPositionEmbeddings, width: config.hiddenSize,
        deviation: config.initializerRange, in: scope["embedding"])
    }
    let start = Initialization.normal(deviation: config.axialNormStd)
    return .axial(
      try scope["weights"].parameter("0", [shape[0], 1, sizes[0]], start, isDecayed: false),
      try scope["weights"].parameter("1", [1, shape[1], sizes[1]], start, isDecayed: false))
  }
}

extension Reformer {
  /// What a layer adds to each stream.
  struct Block {
    let attention: SelfAttention
    let feedForward: FeedForward

    init(_ config: ReformerConfig, layer: Int, in scope: Scope) throws {
      attention = try SelfAttention(config, layer: layer, in: scope["attention"])
      feedForward = try FeedForward(config, in: scope["feed_forward"])
    }
  }

  /// Attention with its normalization and projections, among tokens with equal hashes or near in
  /// time.
  struct SelfAttention {
    let norm: LayerNorm
    let mixer: Mixer
    let value: Linear
    let output: Linear

    init(_ config: ReformerConfig, layer: Int, in scope: Scope) throws {
      let width = config.numAttentionHeads * config.attentionHeadSize
      let start = Initialization.normal(deviation: config.initializerRange)
      let own = scope["self_attention"]
      func projection(_ name: String) throws -> Linear {
        try Linear(config.hiddenSize, width, bias: false, start: start, in: own[name])
      }
      norm = try LayerNorm(
        config.hiddenSize, epsilon: config.layerNormEps, in: scope["layer_norm"])
      if config.attnLayers[layer] == "lsh" {
        let layout = config.lshLayout
        let rotations =
          layout.buckets > 1
          ? try own.parameter(
            "rotations", layout.rotationShape, config.rotationStart(layer: layer),
            isTrainable: false) : nil
        mixer = .lsh(query: try projection("query_key"), rotations: rotations, layout)
      } else {
        mixer = .local(
          query: try projection("query"), key: try projection("key"), config.localLayout)
      }
      value = try projection("value")
      output = try Linear(
        width, config.hiddenSize, bias: false, start: start, in: scope["output"]["dense"])
    }

    /// - Parameters:
    ///   - x: `[B, T, D]`.
    ///   - slots: What sorted lists are filled up to.
    ///   - rotary: Positions turned into queries and keys.
    ///   - buckets: Those of an earlier pass, or nil, and then those of this one.
    /// - Returns: `[B, T, D]`.
    func callAsFunction(
      _ x: Tensor, slots: Int, rotary: Rotation?, buckets: inout Tensor?
    ) -> Tensor {
      let x = norm(x)
      let values = value(x)
      switch mixer {
      case .lsh(let query, let rotations, let layout):
        let queries = query(x)
        if layout.lists == .bucketLocal || slots > layout.block {
          buckets = buckets ?? Self.buckets(queries, rotations, layout)
        }
        return output(
          Tensor.lshAttention(
            queries: queries, values: values, buckets: buckets, layout: layout, slots: slots,
            rotary: rotary))
      case .local(let query, let key, let layout):
        return output(
          Tensor.blockAttention(
            queries: query(x), keys: key(x), values: values, layout: layout, slots: slots,
            rotary: rotary))
      }
    }

    func callAsFunction(_ x: Tensor, rotary: Rotation?, state: inout LSHState) -> Tensor {
      let x = norm(x)
      let values = value(x)
      switch mixer {
      case .lsh(let query, let rotations, let layout):
        let queries = query(x)
        return output(
          state.attend(
            queries: queries, values: values, buckets: Self.buckets(queries, rotations, layout),
            rotary: rotary))
      case .local(let query, let key, _):
        return output(
          state.attend(queries: query(x), keys: key(x), values: values, rotary: rotary))
      }
    }

    func initialState(batch: Int) -> LSHState {
      switch mixer {
      case .lsh(_, _, let layout): LSHState(batch: batch, layout: layout)
      case .local(_, _, let layout): LSHState(batch: batch, blocks: layout)
      }
    }

    private static func buckets(
      _ queries: Tensor, _ rotations: Parameter?, _ layout: LSHLayout
    ) -> Tensor {
      queries.lshBuckets(
        rotations: rotations?.value ?? Tensor(zeros: layout.rotationShape), layout: layout)
    }
  }

  /// How tokens of a layer find each other.
  enum Mixer {
    /// Queries that are keys too, and the directions that hash them: nil for a single bucket.
    case lsh(query: Linear, rotations: Parameter?, LSHLayout)
    case local(query: Linear, key: Linear, LSHLayout)
  }

  /// Two maps with an activation between them, on a normalized stream.
  struct FeedForward {
    let norm: LayerNorm
    let activation: Activation
    let input: Linear
    let output: Linear

    init(_ config: ReformerConfig, in scope: Scope) throws {
      let start = Initialization.normal(deviation: config.initializerRange)
      norm = try LayerNorm(
        config.hiddenSize, epsilon: config.layerNormEps, in: scope["layer_norm"])
      activation = Activation(rawValue: config.hiddenAct) ?? .relu
      input = try Linear(
        config.hiddenSize, config.feedForwardSize, start: start, in: scope["dense"]["dense"])
      output = try Linear(
        config.feedForwardSize, config.hiddenSize, start: start, in: scope["output"]["dense"])
    }

    func callAsFunction(_ x: Tensor) -> Tensor { output(activation(input(norm(x)))) }
  }
}

extension ReformerConfig {
  /// How the rotations of a layer start.
  func rotationStart(layer: Int) -> Initialization {
    guard let hashSeed else { return .normal(deviation: 1) }
    return .custom { shape, _ in
      Tensor(normal: shape, key: RandomKey(seed: UInt64(hashSeed), stream: UInt64(layer)))
    }
  }

  /// The tensors of a published file, which has no rotations, with those of the seed.
  func withRotations(_ tensors: [String: Tensor]) -> [String: Tensor] {
    var tensors = tensors
    for layer in attnLayers.indices where attnLayers[layer] == "lsh" && lshLayout.buckets > 1 {
      let name = "reformer.encoder.layers.\(layer).attention.self_attention.rotations"
      let key = RandomKey(seed: UInt64(hashSeed ?? 0), stream: UInt64(layer))
      tensors[name] = tensors[name] ?? Tensor(normal: lshLayout.rotationShape, key: key)
    }
    return tensors
  }
}

extension ReformerConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.layerCount }

  /// How many layers there are; more repeat the kinds from the first on.
  private var layerCount: Int {
    get { attnLayers.count }
    set {
      let kinds = attnLayers
      attnLayers = (0..<newValue).map { kinds[$0 % kinds.count] }
    }
  }

  public var facts: ModelFacts {
    let inner = numAttentionHeads * attentionHeadSize
    let feedForward =
      LayerFacts.feedForward(hiddenSize, inner: feedForwardSize, bias: true)
      + .vectors(4 * hiddenSize)
    let start = LayerFacts.vectors(4 * hiddenSize + positionParameters)
    var total = attnLayers.reduce(attnLayers.count * feedForward + start) {
      let isHashed = $1 == "lsh"
      return $0 + (isHashed ? lshLayout : localLayout).facts(canStream: canStream)
        + (isHashed ? 2 : 3) * .linear(hiddenSize, inner) + .linear(inner, hiddenSize)
    }
    // Sorted lists have no state: all that came in is kept.
    if !canStream { total.bytesPerToken = [.all: 4 * hiddenSize] }
    return ModelFacts(
      self, outputWidth: 2 * hiddenSize, context: context,
      transformersClass: "ReformerModelWithLMHead", total: total)
  }

  private var positionParameters: Int {
    switch positions {
    case "axial": zip(axialPosShape, axialPosEmbdsDim).reduce(0) { $0 + $1.0 * $1.1 }
    case "learned": maxPositionEmbeddings * hiddenSize
    default: 0
    }
  }

  public var language: LanguageLayout {
    var layout = LanguageLayout(
      vocabulary: vocabSize, context: context, backbonePath: "reformer",
      embeddingName: "embeddings.word_embeddings", isTied: false,
      // Masks of old files, and the head's bias once more.
      ignoredSuffixes: ["mask_value_float16", "mask_value_float32", "lm_head.decoder.bias"])
    (layout.headPath, layout.headBiasName) = ("lm_head.decoder", "lm_head.bias")
    return layout
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone {
    try Reformer(self, in: scope)
  }

  public func adapted(_ tensors: [String: Tensor]) throws -> [String: Tensor] {
    withRotations(tensors)
  }
}

extension LSHLayout {
  /// Rotations, lists and their memory, without projections.
  fileprivate func facts(canStream: Bool) -> LayerFacts {
    let reach = Reach.blocks(block, before: before, buckets: buckets)
    let hashing = buckets > 1 ? rotationShape.count : 0
    var facts = LayerFacts.vectors(hashing) + .scan(operations: 2 * hashing, floats: 0)
    facts.attention[reach] = 4 * heads * headSize * rounds
    guard canStream else { return facts }
    // Of each list how long it is, and where its blocks lie.
    facts.fixedBytes = 4 * heads * rounds * buckets * (before + 2)
    facts.bytesPerToken[reach] = 8 * heads * headSize * rounds
    return facts
  }
}

extension Architecture {
  /// ``Reformer`` in the registry.
  static let reformer = Architecture(
    name: "reformer",
    summary: "Attention among tokens that hash alike, in reversible layers",
    paper: "Kitaev et al., 2020, arXiv:2001.04451", isRecurrent: true
  ) { size in
    var config = ReformerConfig()
    (config.hiddenSize, config.vocabSize) = (size.width, size.vocabulary)
    config.attnLayers = (0..<size.layers).map {
      $0 % 2 == 0 && size.layers > 1 ? "local" : "lsh"
    }
    config.numAttentionHeads = size.heads
    config.attentionHeadSize = (size.width / size.heads + 1) / 2 * 2
    (config.feedForwardSize, config.maxPositionEmbeddings) = (4 * size.width, size.context)
    (config.positionEmbedding, config.lshMode, config.numHashes) = ("rotary", .bucketLocal, 2)
    config.lshAttnChunkLength = min(64, max(4, size.context / 8))
    config.localAttnChunkLength = min(64, max(4, size.context / 4))
    return config
  }
}
