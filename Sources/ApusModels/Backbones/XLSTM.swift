import Foundation
public import ApusNN
public import ApusTensor

/// The hyperparameters of ``XLSTM``, under their published keys and with their published defaults.
public struct XLSTMConfig: ModelConfig {
  public static let modelType = "xlstm"
  /// Token ids, V.
  public var vocabSize = 50304
  /// Width of the residual stream, D.
  public var hiddenSize = 4096
  /// Blocks.
  public var numHiddenLayers = 32
  /// Heads, H, each with gates and a memory of its own.
  public var numHeads = 8
  /// Blocks, from 0, that mix by an sLSTM; the others mix by an mLSTM. Default: none, as published.
  public var slstmAt: [Int] = []
  /// Queries and keys of an mLSTM have this many times D features. Default: 0.5.
  public var qkDimFactor = 0.5
  /// Values of an mLSTM have this many times D features. Default: 1.
  public var vDimFactor = 1.0
  /// The inner width of the feed-forwards is this many times D, rounded up. Default: 2.667.
  public var ffnProjFactor = 2.667
  /// What the inner width is a multiple of. Default: 64.
  public var ffnRoundUpToMultipleOf = 64
  /// Gates of an mLSTM are bent into ± this before their exponential; nil leaves them. Default: 15.
  public var gateSoftCap: Float? = 15
  /// Logits are bent into ± this; nil leaves them. Default: 30.
  public var outputLogitSoftCap: Float? = 30
  /// Added to the mean square in normalization. Default: 1e-6.
  public var normEps: Float = 1e-6
  /// Added to the denominator of an mLSTM. Default: 1e-6.
  public var eps: Float = 1e-6
  /// Whether a normalization follows the last block. Default: true.
  public var addOutNorm = true
  /// Biases besides those of the gates; nothing but false is published. Default: false.
  public var useBias = false
  /// The most tokens of a chunk; results differ by rounding only, and kernels may take fewer.
  public var chunkSize = 64
  /// Whether the head is the transposed embedding. Default: false.
  public var tieWordEmbeddings = false

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary),
      ("hidden_size", hiddenSize, SizeLimit.width),
      ("num_hidden_layers", numHiddenLayers, SizeLimit.layers),
      ("num_heads", numHeads, SizeLimit.width), ("chunk_size", chunkSize, SizeLimit.tokens),
      ("ffn_round_up_to_multiple_of", ffnRoundUpToMultipleOf, SizeLimit.width))
    for (key, factor) in [
      ("qk_dim_factor", qkDimFactor), ("v_dim_factor", vDimFactor),
      ("ffn_proj_factor", ffnProjFactor),
    ] {
      try require(factor > 0 && factor <= 64, key, factor, "it must be above 0 and at most 64")
    }
    try requirePositive(
      ("norm_eps", normEps), ("gate_soft_cap", gateSoftCap),
      ("output_logit_soft_cap", outputLogitSoftCap))
    try requireNotNegative(("eps", eps))
    try require(!useBias, "use_bias", useBias, "models with biases are not known to exist")
    let heads = ("num_heads", numHeads)
    try requireGroups(heads.0, numHeads, of: ("hidden_size", hiddenSize))
    for (key, features) in [("qk_dim_factor", keyFeatures), ("v_dim_factor", valueFeatures)] {
      try require(
        features >= numHeads && features % numHeads == 0, key, "\(features) features",
        "num_heads, which is \(numHeads), must divide them")
    }
    try require(
      slstmAt.allSatisfy((0..<numHiddenLayers).contains) && Set(slstmAt).count == slstmAt.count,
      "slstm_at", slstmAt, "it must name different blocks in 0..<\(numHiddenLayers)")
  }

  /// Features of all queries, H · K.
  var keyFeatures: Int { Int(Double(hiddenSize) * qkDimFactor) }
  /// Features of all values, H · V.
  var valueFeatures: Int { Int(Double(hiddenSize) * vDimFactor) }
  /// The inner width of the feed-forwards.
  var innerSize: Int {
    let multiple = Double(ffnRoundUpToMultipleOf)
    let blocks = ((Double(hiddenSize) * ffnProjFactor + multiple - 1) / multiple).rounded(.down)
    return Int(blocks) * ffnRoundUpToMultipleOf
  }
  /// What the matrix memory asks for.
  var layout: MLSTMLayout {
    MLSTMLayout(
      heads: numHeads, keySize: keyFeatures / numHeads, valueSize: valueFeatures / numHeads,
      epsilon: eps, chunk: chunkSize)
  }
}

/// xLSTM: long short-term memory with exponential gates, whose memory is a matrix (mLSTM) or a
/// scalar a feature with a recurrence of its own (sLSTM), each followed by a gated feed-forward.
///
/// Beck et al., 2024, *xLSTM: Extended Long Short-Term Memory*, arXiv:2405.04517, in the blocks of
/// Beck et al., 2025, *xLSTM 7B*, arXiv:2503.13427; blocks of sLSTM as in Auer et al., 2025, *TiRex*,
/// arXiv:2505.23719. Shapes: B batch, T time, D width, H heads, K and V features of a head's keys
/// and values, P = D / H.
public struct XLSTM: DecoderBackbone {
  /// The hyperparameters.
  public let config: XLSTMConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: XLSTMConfig, in scope: Scope) throws {
    self.config = config
    func norm(_ scope: Scope) throws -> RMSNorm {
      try RMSNorm(config.hiddenSize, epsilon: config.normEps, in: scope)
    }
    // As Nguyen and Salazar, 2019, start maps, and Wang and Komatsuzaki, 2021, those that end a branch.
    let start = XLSTM.start(config.hiddenSize)
    let endStart = XLSTM.endStart(config)
    stack = DecoderStack(
      width: config.hiddenSize,
      blocks: try (0..<config.numHiddenLayers).map { layer in
        let scope = scope["blocks"][layer]
        let isScalar = config.slstmAt.contains(layer)
        let mixer: any SequenceMixer =
          isScalar
          ? try ScalarMixer(config, layer: layer, in: scope["slstm_layer"])
          : try MatrixMixer(config, in: scope["mlstm_layer"])
        return .preNorm(
          try norm(scope[isScalar ? "norm_slstm" : "norm_mlstm"]), mixer,
          try norm(scope["norm_ffn"]),
          try GatedFeedForward(
            config.hiddenSize, inner: config.innerSize, start: start, outputStart: endStart,
            names: ("proj_up_gate", "proj_up", "proj_down"), in: scope["ffn"]))
      }, norm: config.addOutNorm ? try norm(scope["out_norm"]) : nil)
  }

  static func start(_ inputs: Int) -> Initialization {
    .normal(deviation: (2 / (5 * Float(inputs))).squareRoot())
  }

  static func endStart(_ config: XLSTMConfig) -> Initialization {
    .normal(
      deviation: 2 / (Float(config.numHiddenLayers) * Float(config.hiddenSize).squareRoot()))
  }
}

extension XLSTM {
  /// The memory of outer products between its projections.
  struct MatrixMixer: SequenceMixer {
    let layout: MLSTMLayout
    let gateCap: Float?
    let input: SideBySide
    let gates: SideBySide
    let outputGate: Linear
    let gain: Parameter
    let epsilon: Float
    let output: Linear

    init(_ config: XLSTMConfig, in scope: Scope) throws {
      let (width, heads) = (config.hiddenSize, config.numHeads)
      (layout, gateCap, epsilon) = (config.layout, config.gateSoftCap, config.normEps)
      let start = XLSTM.start(width)
      input = try SideBySide(
        width,
        [("q", config.keyFeatures), ("k", config.keyFeatures), ("v", config.valueFeatures)],
        start: start, in: scope)
      // The forget gates start open, over a range of time constants. The input gates start as in the
      // paper of 2024: at the −10 of the 7B model a short training would never see them open.
      gates = try SideBySide(
        width, [("igate_preact", heads), ("fgate_preact", heads)], bias: true, start: .zeros,
        biasStarts: [.normal(deviation: 0.1), .values(XLSTM.spread(from: 3, to: 6, heads))],
        in: scope)
      outputGate = try Linear(
        width, layout.features, bias: false, start: .zeros, in: scope["ogate_preact"])
      gain = try scope["multihead_norm"].parameter("weight", [layout.features], .ones)
      output = try Linear(
        layout.features, width, bias: false, start: XLSTM.endStart(config), in: scope["out_proj"])
    }

    func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
      end(input(x).mlstm(gates: bent(gates(x)), layout: layout), x)
    }

    func callAsFunction(_ x: Tensor, at places: Places, state: inout MLSTMState) -> Tensor {
      end(input(x).mlstm(gates: bent(gates(x)), layout: layout, state: &state), x)
    }

    func initialState(batch: Int) -> MLSTMState { MLSTMState(batch: batch, layout: layout) }

    private func bent(_ gates: Tensor) -> Tensor { gateCap.map { gates.bent(into: $0) } ?? gates }

    private func end(_ h: Tensor, _ x: Tensor) -> Tensor {
      let gain = gain.value.reshaped([layout.heads, layout.valueSize])
      let normal = h.headNorm(weight: gain, epsilon: epsilon)
      return output(normal * Activation.sigmoid(outputGate(x)))
    }
  }

  /// The recurrence within heads, between maps that each head has for itself.
  struct ScalarMixer: SequenceMixer {
    /// In the order of the gates: input, forget, cell, output. The published layer, whose names these
    /// are, hands the cell what it calls the forget gate as the input gate, and the other way.
    static let names = ["fgate", "igate", "zgate", "ogate"]

    let maps: [Parameter]
    let recurrent: Parameter
    let bias: Parameter
    let gain: Parameter

    init(_ config: XLSTMConfig, layer: Int, in scope: Scope) throws {
      let (width, heads) = (config.hiddenSize, config.numHeads)
      let size = width / heads
      maps = try Self.names.map { name in
        try scope[name].parameter("weight", [heads, size, size], XLSTM.start(size))
      }
      let cell = scope["slstm_cell"]
      recurrent = try cell.parameter("_recurrent_kernel_", [heads, size, 4 * size], .zeros)
      bias = try cell.parameter(
        "_bias_", [4 * width], .values(Self.biasStart(config, layer: layer)))
      gain = try scope["group_norm"].parameter("weight", [width], .zeros)
    }

    /// Forget gates from 5, open, to −7, as a power law that is flatter in later blocks; zeros for the
    /// other gates.
    private static func biasStart(_ config: XLSTMConfig, layer: Int) -> [Float] {
      let size = config.hiddenSize / config.numHeads
      let depth = Float(layer) / Float(max(config.numHiddenLayers - 1, 1))
      let forget = XLSTM.spread(from: 0, to: 1, size).map { 5 - 12 * pow($0, 0.3 + 1.3 * depth) }
      let zeros = [Float](repeating: 0, count: size)
      return (0..<config.numHeads).flatMap { _ in zeros + forget + zeros + zeros }
    }

    func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
      end(gates(x).slstm(recurrent: recurrent.value))
    }

    func callAsFunction(_ x: Tensor, at places: Places, state: inout SLSTMState) -> Tensor {
      end(gates(x).slstm(recurrent: recurrent.value, state: &state))
    }

    func initialState(batch: Int) -> SLSTMState {
      SLSTMState(batch: batch, features: gain.shape[0])
    }

    private func gates(_ x: Tensor) -> Tensor { x.headLinear(maps.map(\.value)) + bias.value }

    /// The gain is stored as what it differs from one by.
    private func end(_ h: Tensor) -> Tensor {
      let heads = recurrent.shape[0]
      let gain = gain.value + Tensor(repeating: 1, gain.shape)
      return h.headNorm(weight: gain.reshaped([heads, gain.count / heads]), epsilon: 1e-5)
    }
  }

  /// Numbers evenly spread over an interval; the first end where there is only one.
  static func spread(from first: Float, to last: Float, _ count: Int) -> [Float] {
    (0..<count).map { first + (last - first) * Float($0) / Float(max(count - 1, 1)) }
  }
}

extension XLSTMConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  public var facts: ModelFacts {
    let (width, features) = (hiddenSize, valueFeatures)
    // C ← f·C + i·k·v and y = C·q, five operations a number, and as many for the normalizer.
    let memory = numHeads * (layout.keySize * (layout.valueSize + 1))
    let matrix =
      LayerFacts.linear(width, layout.projected) + .linear(width, 2 * numHeads, bias: true)
      + .linear(width, features) + .scan(operations: 5 * memory, floats: numHeads * layout.memory)
      + .vectors(features) + .linear(features, width)
    // Heads see themselves only. Four activations, two exponentials, and what steps the memory.
    let size = width / numHeads
    let scalar =
      2 * LayerFacts.linear(size, 4 * width) + .vectors(4 * width)
      + .scan(operations: 14 * width, floats: 4 * width) + .vectors(width)
    let rest =
      LayerFacts.feedForward(width, inner: innerSize, isGated: true) + .vectors(2 * width)
    let scalars = slstmAt.count
    return ModelFacts(
      self, transformersClass: slstmAt.isEmpty ? "xLSTMForCausalLM" : nil,
      total: numHiddenLayers * rest + scalars * scalar + (numHiddenLayers - scalars) * matrix
        + .vectors(addOutNorm ? width : 0))
  }

  public var language: LanguageLayout {
    var layout = LanguageLayout(
      vocabulary: vocabSize, backbonePath: "backbone", embeddingName: "embeddings",
      isTied: tieWordEmbeddings)
    layout.logitCap = outputLogitSoftCap
    return layout
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try XLSTM(self, in: scope) }

  /// Splits the maps of files whose `weight_mode` is `fused`.
  public func adapted(_ tensors: [String: Tensor]) throws -> [String: Tensor] {
    let parts: [(fused: String, names: [(String, Int)])] = [
      (
        "qkv_opreact",
        [
          ("q", keyFeatures), ("k", keyFeatures), ("v", valueFeatures),
          ("ogate_preact", valueFeatures),
        ]
      ), ("ifgate_preact", [("igate_preact", numHeads), ("fgate_preact", numHeads)]),
      ("proj_up_gate_z", [("proj_up_gate", innerSize), ("proj_up", innerSize)]),
    ]
    var tensors = tensors
    for (fused, names) in parts {
      for name in tensors.keys where name.contains(".\(fused).") {
        guard let tensor = tensors.removeValue(forKey: name) else { continue }
        let (rows, rest) = (names.reduce(0) { $0 + $1.1 }, tensor.shape.dimensions.dropFirst())
        guard tensor.shape.dimensions.first == rows else {
          throw CheckpointError.shapeMismatch(
            name: name, found: tensor.shape, expected: Shape([rows] + rest))
        }
        let (whole, width) = (tensor.reshaped([rows, tensor.count / rows]), tensor.count / rows)
        var start = 0
        for (part, count) in names {
          let block = whole.block(rows: start..<start + count)
          tensors[name.replacingOccurrences(of: ".\(fused).", with: ".\(part).")] =
            rest.isEmpty ? block.reshaped([count]) : block.reshaped([count, width])
          start += count
        }
      }
    }
    return tensors
  }
}

extension Architecture {
  /// ``XLSTM`` in the registry: a matrix and a scalar memory in turn.
  static let xlstm = Architecture(
    name: "xlstm", summary: "Matrix and scalar memories with exponential gates, in turn",
    paper: "Beck et al., 2024, arXiv:2405.04517", isRecurrent: true
  ) { size in
    var config = XLSTMConfig()
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    config.numHeads = size.heads
    config.slstmAt = (0..<size.layers).filter { $0 % 2 == 1 }
    config.qkDimFactor = size.width / 2 % size.heads == 0 ? 0.5 : 1
    config.ffnRoundUpToMultipleOf = 8
    (config.gateSoftCap, config.outputLogitSoftCap) = (15, nil)
    (config.vocabSize, config.tieWordEmbeddings) = (size.vocabulary, true)
    return config
  }
}
