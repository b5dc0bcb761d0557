import Foundation
public import ApusNN
import ApusTensor

/// The hyperparameters of ``S5``, named as the authors' code names them.
public struct S5Config: ModelConfig {
  public static let modelType = "s5"
  /// Token ids, V.
  public var vocabSize = 256
  /// Width of the residual stream, D.
  public var dModel = 128
  /// Layers.
  public var nLayers = 6
  /// States of a layer, P: an even number, half of which are kept, for the others are their conjugates.
  public var ssmSize = 256
  /// Blocks of equal states that the start is made of, J.
  public var blocks = 8
  /// The least step at the start.
  public var dtMin = 0.001
  /// The largest step at the start.
  public var dtMax = 0.1
  /// Added to the variance in normalization.
  public var layerNormEpsilon: Float = 1e-5
  /// Whether the head is the transposed embedding.
  public var tieWordEmbeddings = true

  /// All defaults.
  public init() {}

  public func validate() throws {
    try requireSizes(
      ("vocab_size", vocabSize, SizeLimit.vocabulary), ("d_model", dModel, SizeLimit.width),
      ("n_layers", nLayers, SizeLimit.layers), ("ssm_size", ssmSize, SizeLimit.width),
      ("blocks", blocks, SizeLimit.width))
    try require(
      ssmSize % (2 * blocks) == 0, "ssm_size", ssmSize,
      "it must be a multiple of twice blocks, which are \(blocks)")
    try require(
      ssmSize / blocks <= 256, "blocks", blocks, "a block may have at most 256 states")
    try requirePositive(
      ("dt_min", dtMin), ("dt_max", dtMax), ("layer_norm_epsilon", layerNormEpsilon))
    try require(dtMax <= 1e3, "dt_max", dtMax, "it must be at most 1000")
    try require(
      dtMin <= dtMax, "dt_min", dtMin, "it must be at most dt_max, which is \(dtMax)")
  }

  /// Kept states, N.
  var states: Int { ssmSize / 2 }
}

/// S5: one state space with many inputs and many outputs a layer, diagonal, of complex numbers.
///
/// Smith, Warrington and Linderman, 2022, *Simplified State Space Layers for Sequence Modeling*,
/// arXiv:2208.04933. Shapes: B batch, T time, D width, P states, N = P / 2 of them kept.
public struct S5: DecoderBackbone {
  /// The hyperparameters.
  public let config: S5Config
  public let stack: DecoderStack

  /// Creates the backbone with weights from `scope`.
  public init(_ config: S5Config, in scope: Scope) throws {
    self.config = config
    func norm(_ scope: Scope) throws -> LayerNorm {
      try LayerNorm(config.dModel, epsilon: config.layerNormEpsilon, in: scope)
    }
    // Takes a moment, and is for fresh weights alone.
    let isFresh = !scope.isLoading && !scope.isDescribing
    let start = isFresh ? HiPPO(states: config.ssmSize / config.blocks) : nil
    stack = DecoderStack(
      width: config.dModel,
      blocks: try (0..<config.nLayers).map { layer in
        let scope = scope["layers"][layer]
        return .mixerOnly(try norm(scope["norm"]), try Mixer(config, start: start, in: scope))
      }, norm: try norm(scope["norm"]))
  }
}

extension S5 {
  /// The state space, then `g ⊙ σ(W g + b)` with `g = gelu(y)`.
  struct Mixer: SequenceMixer {
    let input: Parameter
    let output: Parameter
    let skip: Parameter
    let decay: Parameter
    let frequency: Parameter
    let logStep: Parameter
    let gate: Linear

    init(_ config: S5Config, start: HiPPO?, in scope: Scope) throws {
      let (own, states, width) = (scope["seq"], config.states, config.dModel)
      func repeated(_ values: [Double]?) -> Initialization {
        guard let values else { return .zeros }
        return .values((0..<config.blocks).flatMap { _ in values.map(Float.init) })
      }
      decay = try own.parameter("Lambda_re", [states], repeated(start?.decays), isDecayed: false)
      frequency = try own.parameter(
        "Lambda_im", [states], repeated(start?.frequencies), isDecayed: false)
      let (least, most) = (log(config.dtMin), log(config.dtMax))
      logStep = try own.parameter(
        "log_step", [states],
        .custom { shape, key in
          Tensor(uniform: shape, from: Float(least), to: Float(most), key: key)
        }, isDecayed: false)
      // Drawn in the coordinates of HiPPO, and turned into those of its eigenvectors.
      input = try own.parameter(
        "B", [2 * states, width],
        .custom { shape, key in
          let draw = Tensor(
            normal: [config.ssmSize, width], deviation: 1 / Float(width).squareRoot(), key: key)
          return start.map { Tensor($0.turned(draw.values, columns: width), shape) } ?? draw
        })
      output = try own.parameter(
        "C", [width, 2 * states],
        .normal(deviation: (0.5 / Float(config.ssmSize)).squareRoot()))
      skip = try own.parameter("D", [width], .normal(deviation: 1))
      gate = try Linear(width, width, in: scope["out2"])
    }

    private var weights: DiagonalSSMWeights {
      DiagonalSSMWeights(
        decay: decay.value, frequency: frequency.value, logStep: logStep.value)
    }

    func callAsFunction(_ x: Tensor, at places: Places) -> Tensor {
      end(x.linear(weight: input.value).diagonalSSM(weights: weights), x)
    }

    func callAsFunction(_ x: Tensor, at places: Places, state: inout DiagonalSSMState) -> Tensor {
      end(x.linear(weight: input.value).diagonalSSM(weights: weights, state: &state), x)
    }

    func initialState(batch: Int) -> DiagonalSSMState {
      DiagonalSSMState(batch: batch, states: decay.shape[0])
    }

    private func end(_ h: Tensor, _ x: Tensor) -> Tensor {
      let y = h.linear(weight: output.value) + x.scaled(features: skip.value)
      let bent = Activation.gelu(y)
      return bent * Activation.sigmoid(gate(bent))
    }
  }
}

/// The normal part of HiPPO-LegS with half of its eigenvalues: those of positive frequency.
///
/// Gu et al., 2022, *How to Train Your HiPPO*, arXiv:2206.12037; Smith et al., 2022, appendix B. The
/// normal part is −½ I plus a skew matrix S with entries `∓√(i + ½) √(j + ½)`, whose eigenvalues are
/// imaginary and come in pairs.
package struct HiPPO: Sendable {
  /// Re Λ of each kept state: −½.
  package let decays: [Double]
  /// Im Λ of each kept state, above 0, ascending.
  package let frequencies: [Double]
  /// The kept eigenvectors, real and imaginary parts, `[P]` each.
  private let vectors: [(re: [Double], im: [Double])]

  /// - Parameter count: P, an even number.
  package init(states count: Int) {
    let roots = (0..<count).map { (Double($0) + 0.5).squareRoot() }
    // Below the diagonal −, above it +; i S is Hermitian, and so is its square S Sᵀ real.
    var square = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
    func entry(_ i: Int, _ j: Int) -> Double {
      i == j ? 0 : (i > j ? -1 : 1) * roots[i] * roots[j]
    }
    for i in 0..<count {
      for j in 0...i {
        let sum = (0..<count).reduce(0.0) { $0 + entry(i, $1) * entry(j, $1) }
        (square[i][j], square[j][i]) = (sum, sum)
      }
    }
    // Each eigenvalue ω² stands twice; u of one of the pair gives (u − i S u / ω) / √2 for +iω.
    let (values, columns) = symmetricEigen(square)
    var (frequencies, vectors) = ([Double](), [(re: [Double], im: [Double])]())
    for place in stride(from: 0, to: count, by: 2) {
      let frequency = max(values[place], 0).squareRoot()
      let u = columns[place]
      let turned = (0..<count).map { i in
        (0..<count).reduce(0.0) { $0 + entry(i, $1) * u[$1] } / max(frequency, 1e-300)
      }
      let scale = 0.5.squareRoot()
      frequencies.append(frequency)
      vectors.append((u.map { $0 * scale }, turned.map { -$0 * scale }))
    }
    (self.frequencies, self.vectors) = (frequencies, vectors)
    decays = frequencies.map { _ in -0.5 }
  }

  /// Rows in the coordinates of the kept eigenvectors, `Vᴴ x`: `[J · P, columns]` to `[2N, columns]`,
  /// real parts and then imaginary ones.
  package func turned(_ x: [Float], columns: Int) -> [Float] {
    let (kept, size) = (frequencies.count, 2 * frequencies.count)
    let blocks = x.count / max(size * columns, 1)
    var result = [Float](repeating: 0, count: x.count)
    for block in 0..<blocks {
      for (state, vector) in vectors.enumerated() {
        let row = block * kept + state
        for column in 0..<columns {
          var (re, im) = (0.0, 0.0)
          for i in 0..<size {
            let value = Double(x[(block * size + i) * columns + column])
            re += vector.re[i] * value
            im -= vector.im[i] * value
          }
          result[row * columns + column] = Float(re)
          result[(blocks * kept + row) * columns + column] = Float(im)
        }
      }
    }
    return result
  }
}

/// Eigenvalues, ascending, and eigenvectors of a symmetric matrix by Jacobi's rotations.
///
/// Golub and Van Loan, *Matrix Computations*, section 8.5.
private func symmetricEigen(_ matrix: [[Double]]) -> (values: [Double], vectors: [[Double]]) {
  let count = matrix.count
  var (a, v) = (matrix, matrix.indices.map { i in matrix.indices.map { $0 == i ? 1.0 : 0.0 } })
  for _ in 0..<60 {
    var off = 0.0
    for p in 0..<count { for q in 0..<p { off += a[p][q] * a[p][q] } }
    let whole = a.indices.reduce(0.0) { $0 + a[$1][$1] * a[$1][$1] }
    guard off > 1e-30 * whole else { break }
    for p in 0..<count {
      for q in p + 1..<max(count, p + 1) where a[p][q] != 0 {
        let theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
        let t = (theta < 0 ? -1 : 1) / (abs(theta) + (theta * theta + 1).squareRoot())
        let c = 1 / (t * t + 1).squareRoot()
        let s = t * c
        for k in 0..<count {
          (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q])
        }
        for k in 0..<count {
          (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k])
        }
        for k in 0..<count {
          (v[p][k], v[q][k]) = (c * v[p][k] - s * v[q][k], s * v[p][k] + c * v[q][k])
        }
      }
    }
  }
  let order = a.indices.sorted { a[$0][$0] < a[$1][$1] }
  return (order.map { a[$0][$0] }, order.map { v[$0] })
}

extension S5Config: BackboneConfig {
  public static var widthKey: WritableKeyPath<Self, Int> { \.dModel }
  public static var layersKey: WritableKeyPath<Self, Int> { \.nLayers }

  public var facts: ModelFacts {
    // A complex product and sum for the recurrence, another product for the input; D and the gate.
    let layer =
      LayerFacts.linear(dModel, ssmSize) + .vectors(3 * states)
      + .scan(operations: 14 * states + 2 * dModel, floats: ssmSize) + .linear(ssmSize, dModel)
      + .vectors(dModel) + .linear(dModel, dModel, bias: true) + .vectors(2 * dModel)
    return ModelFacts(self, total: nLayers * layer + .vectors(2 * dModel))
  }

  public var language: LanguageLayout {
    LanguageLayout(
      vocabulary: vocabSize, backbonePath: "encoder", embeddingName: "embedding",
      isTied: tieWordEmbeddings)
  }

  public func makeBackbone(in scope: Scope) throws -> any Backbone { try S5(self, in: scope) }
}

extension Architecture {
  /// ``S5`` in the registry.
  static let s5 = Architecture(
    name: "s5", summary: "One diagonal complex state space with many inputs and outputs a layer",
    paper: "Smith et al., 2022, arXiv:2208.04933", isRecurrent: true, layersPerBlock: 2
  ) { size in
    var config = S5Config()
    (config.dModel, config.nLayers) = (size.width, size.layers)
    config.ssmSize = 2 * size.width
    config.blocks = [4, 2].first { size.width % $0 == 0 } ?? 1
    while config.ssmSize / config.blocks > 256, size.width % (2 * config.blocks) == 0 {
      config.blocks *= 2
    }
    config.vocabSize = size.vocabulary
    return config
  }
}
