public import ApusNN
public import ApusTensor

/// BERT: a bidirectional encoder, normalized after each addition.
///
/// Devlin et al., 2018, *BERT: Pre-training of Deep Bidirectional Transformers for Language
/// Understanding*, arXiv:1810.04805. MiniLM (Wang et al., 2020, arXiv:2002.10957) is the same network
/// at another size. Every token sees every other of its sequence, so there is no state and no
/// streaming. Shapes: N tokens of all sequences of a batch, D width, V vocabulary.
public struct Bert {
  /// The hyperparameters.
  public let config: BertConfig
  /// Every weight, in the order in which they were made.
  public let parameters: [Parameter]
  /// Whether there is a head over the vocabulary.
  public var hasMaskedLanguageHead: Bool { head != nil }
  /// Whether there is a learned map of the first token.
  public var hasPooler: Bool { pooler != nil }
  private let embeddings: Embeddings
  private let layers: [Layer]
  private let pooler: Linear?
  private let head: Head?

  /// The parts of a checkpoint beside the encoder.
  public struct Parts: Sendable, Hashable {
    /// Whether the encoder's names begin with `bert.`, as in files that have a head.
    public var isPrefixed: Bool
    /// The head over the vocabulary.
    public var hasMaskedLanguageHead: Bool
    /// The map of the first token.
    public var hasPooler: Bool

    /// Names the parts.
    public init(isPrefixed: Bool, hasMaskedLanguageHead: Bool, hasPooler: Bool) {
      self.isPrefixed = isPrefixed
      self.hasMaskedLanguageHead = hasMaskedLanguageHead
      self.hasPooler = hasPooler
    }
  }

  /// Creates the encoder with weights from `scope`.
  ///
  /// - Throws: `CheckpointError` when a checkpoint does not fit.
  public init(_ config: BertConfig, parts: Parts, in scope: Scope) throws {
    self.config = config
    let inner = parts.isPrefixed ? scope["bert"] : scope
    embeddings = try Embeddings(config, in: inner["embeddings"])
    layers = try (0..<config.numHiddenLayers).map {
      try Layer(config, in: inner["encoder"]["layer"][$0])
    }
    pooler =
      parts.hasPooler
      ? try Linear(config, config.hiddenSize, config.hiddenSize, in: inner["pooler"]["dense"])
      : nil
    head =
      parts.hasMaskedLanguageHead
      ? try Head(config, table: embeddings.words.weight, in: scope["cls"]["predictions"]) : nil
    parameters = try scope.finish(ignoring: { name in
      // A buffer, the head for sentence pairs, and what is tied anyway.
      name.hasSuffix("embeddings.position_ids") || name.hasPrefix("cls.seq_relationship.")
        || (config.tieWordEmbeddings
          ? name.hasPrefix("cls.predictions.decoder.") : name == "cls.predictions.bias")
    })
  }

  /// Creates the encoder of a published checkpoint, with or without the prefix `bert.`, with the
  /// names of the first release or today's.
  ///
  /// - Throws: `CheckpointError` when the checkpoint does not fit.
  public init(_ config: BertConfig, checkpoint: [String: Tensor]) throws {
    let tensors = Self.renamed(checkpoint)
    try self.init(
      config, parts: Self.parts(ofNames: tensors.keys), in: Scope(checkpoint: tensors))
  }

  /// The last hidden states.
  ///
  /// - Parameter tokens: Sequences of at most `max_position_embeddings` tokens, ids below V and
  ///   segments below `type_vocab_size`.
  /// - Returns: `[N, D]`.
  public func hidden(_ tokens: PackedTokens) -> Tensor {
    precondition(
      tokens.lengths.allSatisfy { $0 <= config.maxPositionEmbeddings },
      "Bert: a sequence is longer than \(config.maxPositionEmbeddings) tokens")
    let (act, layout) = (config.activation ?? .gelu, config.attentionLayout)
    return layers.reduce(embeddings(tokens)) { x, layer in
      x.modelBlock { layer($0, lengths: tokens.lengths, layout: layout, act: act) }
    }
  }

  /// The first token of each sequence through the pooler: `[sequences, D]`; nil without a pooler.
  public func pooled(_ hidden: Tensor, lengths: [Int]) -> Tensor? {
    let packed = PackedTokens(
      ids: Array(repeating: 0, count: hidden.shape[0]),
      segments: Array(repeating: 0, count: hidden.shape[0]), lengths: lengths)
    let first = Tensor(packed.starts, [lengths.count]).embedded(in: hidden)
    return pooler.map { Activation.tanh($0(first)) }
  }

  /// Logits of hidden states, `[rows, D]`, over the vocabulary: `[rows, V]`; nil without a head.
  public func logits(_ hidden: Tensor) -> Tensor? {
    head?(hidden, act: config.activation ?? .gelu)
  }

  /// The mean cross-entropy of masked tokens.
  ///
  /// - Parameters:
  ///   - tokens: The sequences, with some tokens masked.
  ///   - targets: What stood at each of the N places; negative where nothing is asked.
  /// - Returns: A scalar, in nats per target; nil without a head.
  public func loss(_ tokens: PackedTokens, targets: [Int32]) -> Tensor? {
    let asked = targets.indices.filter { targets[$0] >= 0 }
    guard head != nil, !asked.isEmpty else { return head == nil ? nil : Tensor(0) }
    // Logits at the masked places only: they are few, and a row is as long as the vocabulary.
    let rows = Tensor(asked.map(Int32.init), [asked.count]).embedded(in: hidden(tokens))
    let wanted = Tensor(asked.map { targets[$0] }, [asked.count])
    return logits(rows).map { $0.crossEntropy(targets: wanted) }
  }
}

extension Bert {
  /// `LN(word + segment + position)`.
  struct Embeddings {
    let words: Embedding
    let positions: Embedding
    let segments: Embedding
    let norm: LayerNorm

    init(_ config: BertConfig, in scope: Scope) throws {
      let (width, start) = (
        config.hiddenSize, Initialization.normal(deviation: config.initializerRange)
      )
      words = try Embedding(
        config.vocabSize, width, start: start, in: scope["word_embeddings"])
      positions = try Embedding(
        config.maxPositionEmbeddings, width, start: start, in: scope["position_embeddings"])
      segments = try Embedding(
        config.typeVocabSize, width, start: start, in: scope["token_type_embeddings"])
      norm = try LayerNorm(width, epsilon: config.layerNormEps, in: scope["LayerNorm"])
    }

    func callAsFunction(_ tokens: PackedTokens) -> Tensor {
      let count = tokens.ids.count
      let x =
        words(Tensor(tokens.ids, [count])) + segments(Tensor(tokens.segments, [count]))
        + positions(Tensor(tokens.positions, [count]))
      return norm(x)
    }
  }

  /// `a = LN(x + attention(x))`, then `LN(a + feedForward(a))`.
  struct Layer {
    let query: Linear
    let key: Linear
    let value: Linear
    let output: Linear
    let attentionNorm: LayerNorm
    let up: Linear
    let down: Linear
    let norm: LayerNorm

    init(_ config: BertConfig, in scope: Scope) throws {
      let (width, inner) = (config.hiddenSize, config.intermediateSize)
      let (attention, epsilon) = (scope["attention"], config.layerNormEps)
      query = try Linear(config, width, width, in: attention["self"]["query"])
      key = try Linear(config, width, width, in: attention["self"]["key"])
      value = try Linear(config, width, width, in: attention["self"]["value"])
      output = try Linear(config, width, width, in: attention["output"]["dense"])
      attentionNorm = try LayerNorm(
        width, epsilon: epsilon, in: attention["output"]["LayerNorm"])
      up = try Linear(config, width, inner, in: scope["intermediate"]["dense"])
      down = try Linear(config, inner, width, in: scope["output"]["dense"])
      norm = try LayerNorm(width, epsilon: epsilon, in: scope["output"]["LayerNorm"])
    }

    func callAsFunction(
      _ x: Tensor, lengths: [Int], layout: AttentionLayout, act: Activation
    ) -> Tensor {
      let maps = [query, key, value]
      let fused = x.linear(
        sideBySide: maps.map(\.weight.value), biases: maps.compactMap(\.bias?.value))
      let mixed = fused.attention(lengths: lengths, layout: layout)
      let a = attentionNorm(output(mixed) + x)
      return norm(down(act(up(a))) + a)
    }
  }

  /// `LN(act(dense(h))) · Eᵀ + bias`.
  struct Head {
    let dense: Linear
    let norm: LayerNorm
    let table: Parameter
    let bias: Parameter

    init(_ config: BertConfig, table: Parameter, in scope: Scope) throws {
      let width = config.hiddenSize
      dense = try Linear(config, width, width, in: scope["transform"]["dense"])
      norm = try LayerNorm(
        width, epsilon: config.layerNormEps, in: scope["transform"]["LayerNorm"])
      let decoder = config.tieWordEmbeddings ? scope : scope["decoder"]
      self.table =
        config.tieWordEmbeddings
        ? table
        : try decoder.parameter(
          "weight", [config.vocabSize, width], .normal(deviation: config.initializerRange))
      bias = try decoder.parameter("bias", [config.vocabSize], .zeros)
    }

    func callAsFunction(_ hidden: Tensor, act: Activation) -> Tensor {
      norm(act(dense(hidden))).linear(weight: table.value, bias: bias.value)
    }
  }
}

extension Linear {
  fileprivate init(
    _ config: BertConfig, _ inputs: Int, _ outputs: Int, in scope: Scope
  ) throws {
    try self.init(
      inputs, outputs, start: .normal(deviation: config.initializerRange), in: scope)
  }
}

// MARK: Checkpoints

extension Bert {
  /// Which parts a checkpoint has, by its names.
  package static func parts(ofNames names: some Sequence<String>) -> Parts {
    let names = Set(names)
    let isPrefixed = names.contains { $0.hasPrefix("bert.") }
    return Parts(
      isPrefixed: isPrefixed,
      hasMaskedLanguageHead: names.contains { $0.hasPrefix("cls.predictions.") },
      hasPooler: names.contains((isPrefixed ? "bert." : "") + "pooler.dense.weight"))
  }

  /// The tensors under today's names.
  package static func renamed(_ checkpoint: [String: Tensor]) -> [String: Tensor] {
    var tensors = Dictionary(
      checkpoint.map { name, tensor in
        // The first release called gain and offset of a norm so.
        if name.hasSuffix("LayerNorm.gamma") { return ("\(name.dropLast(5))weight", tensor) }
        if name.hasSuffix("LayerNorm.beta") { return ("\(name.dropLast(4))bias", tensor) }
        return (name, tensor)
      }, uniquingKeysWith: { first, _ in first })
    let (bias, tied) = ("cls.predictions.bias", "cls.predictions.decoder.bias")
    tensors[bias] = tensors[bias] ?? tensors[tied]
    tensors[tied] = tensors[tied] ?? tensors[bias]
    return tensors
  }
}
