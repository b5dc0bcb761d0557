public import ApusNN
import ApusTensor

/// The hyperparameters of ``LSTM``.
public struct LSTMConfig: ModelConfig {
  public static let modelType = "lstm"
  /// Token ids, V.
  public var vocabSize = 256
  /// Width of every layer, D and H at once.
  public var hiddenSize = 128
  /// Layers.
  public var numHiddenLayers = 2
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = true

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary), ("hidden_size", hiddenSize, 16384),
      ("num_hidden_layers", numHiddenLayers, 256))
  }
}

/// Stacked long short-term memory: the bar that everything after it has to clear.
///
/// Hochreiter and Schmidhuber, 1997, *Long Short-Term Memory*; with the forget gate of Gers et al.,
/// 2000, open at the start (Jozefowicz et al., 2015). Weight names are torch's.
public struct LSTM: DecoderBackbone {
  /// The hyperparameters.
  public let config: LSTMConfig
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: LSTMConfig, in scope: Scope) throws {
    self.config = config
    stack = DecoderStack(
      width: config.hiddenSize,
      blocks: try (0..<config.numHiddenLayers).map {
        .bare(try Cell(config.hiddenSize, layer: $0, in: scope["lstm"]))
      }, norm: nil)
  }
}

extension LSTM {
  /// One layer. Gates in the order input, forget, cell, output.
  struct Cell: SequenceMixer {
    let input: Parameter
    let recurrent: Parameter
    let bias: Parameter

    init(_ size: Int, layer: Int, in scope: Scope) throws {
      let start = Initialization.uniform(bound: 1 / Float(size).squareRoot())
      input = try scope.parameter("weight_ih_l\(layer)", [4 * size, size], start)
      recurrent = try scope.parameter("weight_hh_l\(layer)", [4 * size, size], start)
      let gates = (0..<4 * size).map { Float((size..<2 * size).contains($0) ? 1 : 0) }
      bias = try scope.parameter("bias_ih_l\(layer)", [4 * size], .values(gates))
    }

    private func gates(_ x: Tensor) -> Tensor {
      x.linear(weight: input.value, bias: bias.value)
    }

    func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
      gates(x).lstm(recurrent: recurrent.value)
    }

    func callAsFunction(_ x: Tensor, at places: Places, state: inout LSTMState) -> Tensor {
      gates(x).lstm(recurrent: recurrent.value, state: &state)
    }

    func initialState(batch: Int) -> LSTMState {
      LSTMState(batch: batch, features: recurrent.shape[1])
    }
  }
}

extension LSTMConfig: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  public static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  public var facts: ModelFacts {
    // Five activations, and what makes the cell and the hidden state of them.
    let layer =
      2 * LayerFacts.linear(hiddenSize, 4 * hiddenSize) + .vectors(4 * hiddenSize)
      + .scan(operations: 9 * hiddenSize, floats: 2 * hiddenSize)
    return ModelFacts(self, total: numHiddenLayers * layer)
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, backbonePath: "", embeddingName: "embedding",
      isTied: tieWordEmbeddings)
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try LSTM(self, in: scope) }
}

extension Architecture {
  /// ``LSTM`` in the registry.
  static let lstm = Architecture(
    name: "lstm", summary: "Stacked long short-term memory, the old bar",
    paper: "Hochreiter and Schmidhuber, 1997", isRecurrent: true
  ) { size in
    var config = LSTMConfig()
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    config.vocabSize = size.vocabulary
    return config
  }
}
