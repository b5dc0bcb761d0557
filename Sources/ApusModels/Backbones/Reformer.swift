import Foundation
public import ApusNN
public import ApusTensor

/// Reformer: attention among tokens that hash alike, in layers that can be run backward.
///
/// Kitaev, Kaiser and Levskaya, 2020, *Reformer: The Efficient Transformer*, arXiv:2001.04451; weight
/// names as published. Shapes: B batch, T time, D width of a stream, H heads, K head size, R rounds.
public struct Reformer: Backbone {
  /// The hyperparameters.
  public let config: ReformerConfig
  let positions: Positions
  let rotary: RotaryTable?
  let blocks: [Block]
  let norm: LayerNorm

  /// Creates the backbone with weights from `scope`.
  public init(_ config: ReformerConfig, in scope: Scope) throws {
    self.config = config
    positions = try Positions(config, in: scope["embeddings"]["position_embeddings"])
    let size = config.attentionHeadSize
    rotary =
      config.positions == "rotary"
      ? RotaryTable(
        positions: min(config.maxPositionEmbeddings, 4096),
        frequencies: (0..<size / 2).map { pow(config.ropeTheta, -2 * Double($0) / Double(size)) })
      : nil
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
    let x = positions.placed(x, from: 0)
    return BackboneOutput(hidden: norm(x.reversible(steps(time: x.shape[1]))))
  }

  /// The layers as steps of a reversible network over T tokens.
  package func steps(time: Int) -> [ReversibleStep] {
    let (rotary, slots) = (rotary, config.slots(time))
    return blocks.map { block in
      ReversibleStep(
        f: { block.attention($0, slots: slots, rotary: rotary, buckets: &$1) },
        g: { block.feedForward($0) })
    }
  }

  public func initialState(batch: Int) -> BackboneState {
    guard config.canStream else { return BackboneState(layers: [.history(HistoryState())]) }
    return BackboneState(layers: blocks.map { .lsh($0.attention.initialState(batch: batch)) })
  }

  /// Continues sequences by T tokens from `state`.
  ///
  /// Sorted lists have no state: everything that came in is kept, and a token's output is that of the
  /// sequence that ends with the last of these T tokens.
  public func callAsFunction(_ x: Tensor, state: inout BackboneState) -> Tensor {
    withoutGradient {
      defer { state.position += x.shape[1] }
      guard config.canStream else { return fromStart(x, state: &state.layers[0]) }
      let x = positions.placed(x, from: state.position)
      var streams = (x, x)
      for (index, block) in blocks.enumerated() {
        let mixed = block.attention(streams.1, rotary: rotary, state: &state.layers[index])
        streams.0 = streams.0 + mixed
        streams.1 = streams.1 + block.feedForward(streams.0)
      }
      return norm(Tensor(concatenating: [streams.0, streams.1]))
    }
  }

  private func fromStart(_ x: Tensor, state: inout MixerState) -> Tensor {
    guard case .history(var history) = state else {
      preconditionFailure("Reformer: the state belongs to another architecture")
    }
    state = .none  // leaves the rows uniquely owned
    let all = history.append(x)
    state = .history(history)
    return output(all).hidden[times: all.shape[1] - x.shape[1]..<all.shape[1]]
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

  /// Attention with its normalization and projections, among tokens that hash alike or near in time.
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
      _ x: Tensor, slots: Int, rotary: RotaryTable?, buckets: inout Tensor?
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

    func callAsFunction(_ x: Tensor, rotary: RotaryTable?, state: inout MixerState) -> Tensor {
      guard case .lsh(var own) = state else {
        preconditionFailure("Reformer: the state belongs to another architecture")
      }
      state = .none  // leaves the tensors uniquely owned, to change in place
      defer { state = .lsh(own) }
      let x = norm(x)
      let values = value(x)
      switch mixer {
      case .lsh(let query, let rotations, let layout):
        let queries = query(x)
        return output(
          own.attend(
            queries: queries, values: values, buckets: Self.buckets(queries, rotations, layout),
            rotary: rotary))
      case .local(let query, let key, _):
        return output(
          own.attend(queries: query(x), keys: key(x), values: values, rotary: rotary))
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

  /// Learned positions, added to what comes in.
  enum Positions {
    case none
    case table(Parameter)
    /// Position p is row p / n of the first next to row p % n of the second, which has n rows.
    case axial(Parameter, Parameter)

    init(_ config: ReformerConfig, in scope: Scope) throws {
      let (shape, sizes) = (config.axialPosShape, config.axialPosEmbdsDim)
      switch config.positions {
      case "axial":
        let start = Initialization.normal(deviation: config.axialNormStd)
        self = .axial(
          try scope["weights"].parameter("0", [shape[0], 1, sizes[0]], start, isDecayed: false),
          try scope["weights"].parameter("1", [1, shape[1], sizes[1]], start, isDecayed: false))
      case "learned":
        self = .table(
          try scope["embedding"].parameter(
            "weight", [config.maxPositionEmbeddings, config.hiddenSize],
            .normal(deviation: config.initializerRange)))
      default:
        self = .none
      }
    }

    /// `x`, `[B, T, D]`, with the vectors of positions `start...` added.
    func placed(_ x: Tensor, from start: Int) -> Tensor {
      let places = start..<start + x.shape[1]
      func rows(_ table: Parameter, _ row: (Int) -> Int) -> Tensor {
        let (count, features) = (table.value.count / table.shape.last, table.shape.last)
        let ids = places.map { Int32(row($0)) }
        precondition(
          places.isEmpty || row(places.upperBound - 1) < count,
          "Reformer: \(places.upperBound) tokens are more than there are positions")
        return Tensor(ids, [ids.count]).embedded(in: table.value.reshaped([count, features]))
      }
      switch self {
      case .none:
        return x
      case .table(let table):
        return x + rows(table) { $0 }
      case .axial(let first, let second):
        let columns = second.shape[1]
        return x
          + Tensor(concatenating: [rows(first) { $0 / columns }, rows(second) { $0 % columns }])
      }
    }
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

extension Architecture {
  /// ``Reformer`` in the registry.
  static let reformer = Architecture(
    name: "reformer",
    summary: "Attention among tokens that hash alike, in reversible layers",
    paper: "Kitaev et al., 2020, arXiv:2001.04451",
    isRecurrent: true, backbonePath: "reformer", config: ReformerConfig.self,
    make: { try Reformer($0, in: $1) },
    sized: { size in
      let block = min(64, max(4, size.context / 8))
      let kinds = (0..<size.layers).map { $0 % 2 == 0 && size.layers > 1 ? "local" : "lsh" }
      return [
        "hidden_size": size.width, "attn_layers": kinds, "vocab_size": size.vocabulary,
        "num_attention_heads": size.heads,
        "attention_head_size": (size.width / size.heads + 1) / 2 * 2,
        "feed_forward_size": 4 * size.width, "max_position_embeddings": size.context,
        "position_embedding": "rotary", "lsh_mode": "bucket-local", "num_hashes": 2,
        "lsh_attn_chunk_length": block,
        "local_attn_chunk_length": min(64, max(4, size.context / 4)),
      ]
    },
    language: { config in
      LanguageLayout(
        vocabulary: config.vocabSize, context: config.context,
        embeddingName: "embeddings.word_embeddings", isTied: false, headPath: "lm_head.decoder",
        headBiasName: "lm_head.bias",
        // Masks of old files, and the same bias once more.
        ignoredSuffixes: ["mask_value_float16", "mask_value_float32", "lm_head.decoder.bias"])
    },
    adapt: { tensors, config in config.withRotations(tensors) })
}
