public import ApusTensor

/// The published names of the parts of a mixture of experts, and how its matrices are stored.
public struct ExpertNames: Sendable {
  /// The path of the router.
  public var router: String
  /// The path of the experts.
  public var experts: String
  /// The gate's matrix, under each expert's number or under the experts' path when fused.
  public var gate: String
  /// The name of the map beside the gate.
  public var up: String
  /// The name of the output projection.
  public var down: String
  /// Whether one tensor `[X · F, D]` holds the matrices of all experts, also those of `down`, which
  /// then lie as `[F, D]`; else each expert has linear maps of its own.
  public var isFused: Bool

  /// Names each part.
  public init(
    router: String, experts: String = "experts", gate: String, up: String, down: String,
    isFused: Bool = false
  ) {
    self.router = router
    self.experts = experts
    self.gate = gate
    self.up = up
    self.down = down
    self.isFused = isFused
  }
}

/// A feed-forward of X experts, of which a router picks k for each token.
///
/// D is the width, F that inside an expert. The router's arithmetic is in float whatever the
/// precision of products is: rounding it changes which experts are picked. Fedus et al., 2021,
/// arXiv:2101.03961.
public struct MixtureOfExperts {
  /// `[X, D]`.
  public let router: Parameter
  /// k.
  public let perToken: Int
  /// The rule of the gates.
  public let rule: RouterRule
  private let gate: [Parameter]
  private let up: [Parameter]
  private let down: [Parameter]
  private let hiddenSize: Int
  private let isFused: Bool

  /// Creates the layer, taking its weights from `scope`.
  ///
  /// - Parameters:
  ///   - width: D.
  ///   - hiddenSize: F.
  ///   - experts: X.
  ///   - perToken: k, in `1...X`.
  ///   - rule: How gates follow from the router's probabilities.
  ///   - names: What checkpoints call the parts.
  ///   - start: The start of every weight but `down`'s.
  ///   - downStart: The start of `down`; `start` when nil.
  ///   - scope: The source of the weights.
  /// - Throws: ``CheckpointError`` when a checkpoint does not fit.
  public init(
    width: Int, hiddenSize: Int, experts: Int, perToken: Int, rule: RouterRule,
    names: ExpertNames, start: Initialization, downStart: Initialization? = nil, in scope: Scope
  ) throws {
    self.perToken = perToken
    self.rule = rule
    self.hiddenSize = hiddenSize
    isFused = names.isFused
    router = try scope[names.router].parameter("weight", [experts, width], start)
    let inner = scope[names.experts]
    let downStart = downStart ?? start
    if names.isFused {
      let shape: Shape = [experts * hiddenSize, width]
      gate = [try inner.parameter(names.gate, shape, start)]
      up = [try inner.parameter(names.up, shape, start)]
      down = [try inner.parameter(names.down, shape, downStart)]
    } else {
      func all(_ name: String, _ shape: Shape, _ start: Initialization) throws -> [Parameter] {
        try (0..<experts).map { try inner[$0][name].parameter("weight", shape, start) }
      }
      gate = try all(names.gate, [hiddenSize, width], start)
      up = try all(names.up, [hiddenSize, width], start)
      down = try all(names.down, [width, hiddenSize], downStart)
    }
  }

  /// The router's logits `[..., X]` of `x`, `[..., D]`.
  public func logits(_ x: Tensor) -> Tensor {
    withProducts(in: .float32) { x.linear(weight: router.value) }
  }

  /// Maps `[..., D]` to `[..., D]`.
  ///
  /// - Parameters:
  ///   - x: `[..., D]`.
  ///   - logits: The router's where they come from elsewhere, `[..., X]`; nil: ``logits(_:)``.
  ///   - visible: `[..., X]` integers, 0 for an expert that a token must not see; nil: it sees all.
  /// - Returns: The result, the logits, and the routes that they came to.
  public func callAsFunction(
    _ x: Tensor, logits: Tensor? = nil, visible: Tensor? = nil
  ) -> RoutedOutput {
    let logits = logits ?? self.logits(x)
    let routes = ExpertRoutes(logits: logits, perToken: perToken, rule: rule, visible: visible)
    return RoutedOutput(
      hidden: x.mixtureOfExperts(logits: logits, routes: routes, experts: weights),
      logits: logits, routes: routes)
  }

  /// The weights as the operation takes them.
  public var weights: ExpertWeights {
    func matrices(_ parameters: [Parameter]) -> ExpertMatrices {
      isFused ? .fused(parameters[0].value) : .separate(parameters.map(\.value))
    }
    return ExpertWeights(
      gate: matrices(gate), up: matrices(up), down: matrices(down), hiddenSize: hiddenSize,
      isDownInputsFirst: isFused)
  }
}

/// The outputs of a part of a model that may route.
public struct RoutedOutput {
  /// The result.
  public var hidden: Tensor
  /// The router's logits, `[..., X]`; nil where nothing is routed.
  public var logits: Tensor?
  /// The experts of each token; nil where there are none or they were not kept.
  public var routes: ExpertRoutes?

  /// Puts the parts together.
  public init(hidden: Tensor, logits: Tensor? = nil, routes: ExpertRoutes? = nil) {
    self.hidden = hidden
    self.logits = logits
    self.routes = routes
  }
}

extension Tensor {
  /// `modelBlock(_:)` for a block that may route: the router's logits come out of it as well, with
  /// their gradient.
  ///
  /// The tensor is `[B, T, D]`.
  /// - Parameter body: A pure function of x and of parameters, to `[B, T, D]`.
  /// - Returns: What `body` returns; without routes where blocks are computed again.
  public func routedBlock(_ body: @escaping (Tensor) -> RoutedOutput) -> RoutedOutput {
    guard Arithmetic.current.recomputesBlocks else { return body(self) }
    // One tensor has to carry both.
    let joined = self.modelBlock { x in
      let output = body(x)
      return output.logits.map { Tensor(concatenating: [output.hidden, $0]) } ?? output.hidden
    }
    let (width, whole) = (shape.last, joined.shape.last)
    guard whole > width else { return RoutedOutput(hidden: joined) }
    return RoutedOutput(
      hidden: joined[features: 0..<width], logits: joined[features: width..<whole])
  }
}

/// What a configuration says about the losses of its routers.
public struct RouterLossOptions: Sendable, Hashable {
  /// Experts of a token, k.
  public var perToken: Int
  /// The coefficient of the balance; 0 for none.
  public var balance: Float
  /// The coefficient of the squared log-sums of logits; 0 for none.
  public var z: Float
  /// How the balance is measured.
  public var form: BalanceForm

  /// Names each part.
  public init(perToken: Int, balance: Float, z: Float = 0, form: BalanceForm = .perLayer) {
    self.perToken = perToken
    self.balance = balance
    self.z = z
    self.form = form
  }

  /// The loss of the logits of all layers with experts; nil where there are none, or no coefficient.
  public func callAsFunction(_ logits: [Tensor]) -> Tensor? {
    guard !logits.isEmpty, balance != 0 || z != 0 else { return nil }
    return Tensor.routerLoss(logits, perToken: perToken, balance: balance, z: z, form: form)
  }
}
