import ApusModels
import ApusNN
import ApusTensor

/// The hyperparameters of ``MinGRU``: an architecture that Apus does not have, in one file, from public
/// declarations alone.
struct MinGRUConfig: BackboneConfig {
  static let modelType = "mingru"
  /// Token ids, V.
  var vocabSize = 256
  /// Width of the residual stream, D.
  var hiddenSize = 64
  /// Layers.
  var numHiddenLayers = 2
  /// Added to the mean square in normalization.
  var rmsNormEps: Float = 1e-5
  /// Whether the head is the transposed embedding.
  var tieWordEmbeddings = true

  static var widthKey: WritableKeyPath<Self, Int> { \.hiddenSize }
  static var layersKey: WritableKeyPath<Self, Int> { \.numHiddenLayers }

  func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary), ("hidden_size", hiddenSize, 4096),
      ("num_hidden_layers", numHiddenLayers, 256))
    try requirePositive(("rms_norm_eps", rmsNormEps))
  }

  var facts: ModelFacts {
    var layer = 2 * LayerFacts.linear(hiddenSize, hiddenSize, bias: true) + .vectors(hiddenSize)
    // The sigmoid, and h + z · (h̃ − h).
    (layer.scan, layer.fixedBytes) = (4 * hiddenSize, 4 * hiddenSize)
    return ModelFacts(self, total: numHiddenLayers * layer + .vectors(hiddenSize))
  }

  var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, backbonePath: "model", embeddingName: "embed_tokens",
      isTied: tieWordEmbeddings)
  }

  func makeBackbone(in scope: Scope) throws -> any Backbone { try MinGRU(self, in: scope) }
}

/// A recurrence whose gate and candidate do not look at the state: `h ← (1 − z)·h + z·h̃` with
/// `z = σ(W x)` and `h̃ = U x`.
///
/// Feng et al., 2024, *Were RNNs All We Needed?*, arXiv:2410.01201, section 3.1. Shapes: B batch, T time,
/// D width.
struct MinGRU: DecoderBackbone {
  let stack: DecoderStack

  init(_ config: MinGRUConfig, in scope: Scope) throws {
    let (width, epsilon) = (config.hiddenSize, config.rmsNormEps)
    stack = DecoderStack(
      width: width,
      blocks: try (0..<config.numHiddenLayers).map { layer in
        let scope = scope["layers"][layer]
        return .mixerOnly(
          try RMSNorm(width, epsilon: epsilon, in: scope["norm"]), try Mixer(width, in: scope))
      }, norm: try RMSNorm(width, epsilon: epsilon, in: scope["norm"]))
  }

  struct Mixer: SequenceMixer {
    let gate: Linear
    let candidate: Linear

    init(_ width: Int, in scope: Scope) throws {
      gate = try Linear(width, width, in: scope["gate"])
      candidate = try Linear(width, width, in: scope["candidate"])
    }

    func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
      scan(x, from: Tensor(zeros: [x.shape[0], 1, x.shape[2]])).all
    }

    func callAsFunction(_ x: Tensor, at places: Places, state: inout State) -> Tensor {
      let (batch, width) = (x.shape[0], x.shape[2])
      let (all, last) = scan(x, from: Tensor(state.hidden.flatMap(\.self), [batch, 1, width]))
      let values = last.values
      state.hidden = (0..<batch).map { Array(values[$0 * width..<($0 + 1) * width]) }
      return all
    }

    func initialState(batch: Int) -> State {
      State(
        hidden: Array(repeating: [Float](repeating: 0, count: gate.weight.shape[0]), count: batch))
    }

    private func scan(_ x: Tensor, from start: Tensor) -> (all: Tensor, last: Tensor) {
      let (z, candidates) = (Activation.sigmoid(gate(x)), candidate(x))
      var (h, all) = (start, [Tensor]())
      for t in 0..<x.shape[1] {
        let range = t..<t + 1
        h = h + z[times: range] * (candidates[times: range] + h * -1)
        all.append(h)
      }
      return (Tensor(concatenating: all).reshaped(x.shape), h)
    }
  }

  /// h of each sequence.
  struct State: LayerState {
    var hidden: [[Float]]
    var batch: Int { hidden.count }
    var byteCount: Int { hidden.reduce(0) { $0 + 4 * $1.count } }

    init(hidden: [[Float]]) { self.hidden = hidden }
    init(joining states: [State]) { hidden = states.flatMap(\.hidden) }
    func rows(_ rows: [Int]) -> State { State(hidden: rows.map { hidden[$0] }) }
  }
}

extension Architecture {
  /// ``MinGRU`` in the registry: the one line is ``Architecture/register(_:)``.
  static let minGRU = Architecture(
    name: "mingru", summary: "Recurrence whose gates do not look at the state",
    paper: "Feng et al., 2024, arXiv:2410.01201", isRecurrent: true, layersPerBlock: 2
  ) { size in
    var config = MinGRUConfig()
    (config.hiddenSize, config.numHiddenLayers) = (size.width, size.layers)
    config.vocabSize = size.vocabulary
    return config
  }
}
