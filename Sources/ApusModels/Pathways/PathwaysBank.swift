import ApusNN
import ApusTensor

extension Pathways {
  /// A mixer that all tasks share, and the experts of the joint phase.
  struct Block {
    let mixer: Attention
    let experts: [Expert]
    /// `[E, D]`.
    let router: Parameter
    /// U, `[E, Dτ]`.
    let steering: Parameter

    init(
      _ config: PathwaysConfig, layer: Int, rotary: RotaryPositions, in scope: Scope
    ) throws {
      let (width, trunk) = (config.width, scope["trunk"]["layers"][layer])
      let layout = AttentionLayout(heads: config.heads, headSize: width / config.heads)
      mixer = Attention(
        layout: layout, rotary: rotary,
        input: try Linear(
          width, layout.fusedSize, start: .normal(deviation: 0.02), inputsFirst: true,
          in: trunk["c_attn"]),
        output: try Linear(
          width, width, start: residualStart(config), inputsFirst: true, in: trunk["c_proj"]))
      let bank = scope["bank"]["layers"][layer]
      experts = try (0..<config.experts).map {
        try Expert(config, in: bank["experts"][$0], downStart: residualStart(config))
      }
      router = try bank["router"].parameter(
        "weight", [config.experts, config.width], .normal(deviation: 0.02))
      steering = try bank["steering"].parameter(
        "weight", [config.experts, config.taskWidth], .normal(deviation: 0.02))
    }

    func callAsFunction(
      _ x: Tensor, at places: Places, task: Task, layer: Int, bank: Pathways
    ) -> (hidden: Tensor, logits: Tensor) {
      let own = task.layers[layer]
      let x = x + mixer(own.mixerNorm(x), at: places)
      let h = own.expertNorm(x)
      let logits = logits(h, task: task, layer: layer, bank: bank)
      let routes = ExpertRoutes(
        logits: logits, perToken: bank.config.perToken, rule: .mixtral)
      let seen = experts + task.segments(in: bank, layer: layer).flatMap(\.experts)
      let shared = h.mixtureOfExperts(
        logits: logits, routes: routes, experts: Expert.weights(seen, bank.config))
      let y = own.experts.isEmpty ? shared : shared + own.gated(h)
      return (x + y, logits)
    }

    /// The router's logits over what the task sees, each segment by a product of its own: one wide
    /// product would change the last bits of old logits when experts are added.
    private func logits(_ h: Tensor, task: Task, layer: Int, bank: Pathways) -> Tensor {
      let own = task.layers[layer]
      return withProducts(in: .float32) {
        var parts: [Tensor] = []
        if bank.config.routing == .token {
          parts.append(h.linear(weight: router.value))
          for segment in task.segments(in: bank, layer: layer) {
            parts.append(segment.gate(h))
          }
        } else {
          let count =
            experts.count
            + task.segments(in: bank, layer: layer).reduce(0) {
              $0 + $1.experts.count
            }
          parts.append(Tensor(zeros: h.shape.replacingLast(with: count)))
        }
        var logits = parts.count == 1 ? parts[0] : Tensor(concatenating: parts)
        if let vector = task.vector {
          let steer = vector.value.reshaped([1, bank.config.taskWidth]).linear(
            weight: steering.value)
          logits = logits + steer.reshaped([experts.count])
        }
        if let bias = own.steeringBias { logits = logits + bias.value }
        if let low = own.steeringLow, let high = own.steeringHigh, bank.config.routing == .token {
          logits = logits + h.linear(weight: low.value).linear(weight: high.value)
        }
        return logits
      }
    }
  }

  /// A gated feed-forward.
  struct Expert {
    let gate: Parameter
    let up: Parameter
    let down: Parameter

    init(
      _ config: PathwaysConfig, in scope: Scope, downStart: Initialization
    ) throws {
      let (width, inner) = (config.width, config.expertWidth)
      gate = try scope["gate"].parameter("weight", [inner, width], .normal(deviation: 0.02))
      up = try scope["up"].parameter("weight", [inner, width], .normal(deviation: 0.02))
      down = try scope["down"].parameter("weight", [width, inner], downStart)
    }

    func callAsFunction(_ x: Tensor) -> Tensor {
      let inner = Tensor(concatenating: [x.linear(weight: gate.value), x.linear(weight: up.value)])
      return inner.swiGLU().linear(weight: down.value)
    }

    static func weights(_ experts: [Expert], _ config: PathwaysConfig) -> ExpertWeights {
      ExpertWeights(
        gate: .separate(experts.map(\.gate.value)), up: .separate(experts.map(\.up.value)),
        down: .separate(experts.map(\.down.value)), hiddenSize: config.expertWidth)
    }
  }

  /// What belongs to one task.
  struct Task {
    /// τ, of tasks of the joint phase.
    let vector: Parameter?
    let layers: [Layer]
    let norm: RMSNorm
    let head: Linear
    private let seen: [String]

    init(_ task: PathwaysTask, _ config: PathwaysConfig, in scope: Scope) throws {
      let isJoint = task.parent == nil
      seen = task.segments
      vector =
        isJoint
        ? try scope.parameter(
          "vector", [config.taskWidth],
          .normal(deviation: 1 / Float(config.taskWidth).squareRoot()), isDecayed: false) : nil
      let added = task.segments.reduce(0) { sum, name in
        sum + (config.tasks.first { $0.name == name }?.ownExperts ?? 0)
      }
      layers = try (0..<config.blocks).map { layer in
        let isUpper = layer >= config.blocks / 2
        return try Layer(
          config, isJoint: isJoint, visible: config.experts + (isUpper ? added : 0),
          own: isUpper ? task.ownExperts : 0, in: scope["layers"][layer])
      }
      norm = try RMSNorm(config.width, in: scope["norm"])
      let outputs =
        switch task.head {
        case .language: config.vocabulary
        case .forecast(let horizon, let levels): horizon * levels.count
        case .classes(let count): count
        }
      head = try Linear(
        config.width, outputs, bias: task.head != .language, start: .normal(deviation: 0.02),
        in: scope["head"])
    }

    /// The published experts of earlier tasks that this one sees in a block.
    func segments(in bank: Pathways, layer: Int) -> [Layer] {
      seen.compactMap { name in
        bank.config.tasks.firstIndex { $0.name == name }.map { bank.tasks[$0].layers[layer] }
      }.filter { !$0.experts.isEmpty }
    }
  }

  /// What belongs to one task in one block.
  struct Layer {
    let mixerNorm: RMSNorm
    let expertNorm: RMSNorm
    /// b, `[visible]`, of later tasks.
    let steeringBias: Parameter?
    /// A, `[r, D]`, and B, `[visible, r]`.
    let steeringLow: Parameter?
    let steeringHigh: Parameter?
    let experts: [Expert]
    /// γ and c: how much of each own expert a token takes.
    private let gates: Linear?
    /// Ones, `[D, own]` a column at a time: spreads a gate over the width.
    private let spread: Tensor

    init(
      _ config: PathwaysConfig, isJoint: Bool, visible: Int, own: Int, in scope: Scope
    ) throws {
      mixerNorm = try RMSNorm(config.width, in: scope["mixer_norm"])
      expertNorm = try RMSNorm(config.width, in: scope["expert_norm"])
      let (rank, width) = (config.steeringRank, config.width)
      let steering = scope["steering"]
      steeringBias =
        isJoint ? nil : try steering.parameter("bias", [visible], .zeros, isDecayed: false)
      steeringLow =
        isJoint
        ? nil
        : try steering["low"].parameter(
          "weight", [rank, width], .uniform(bound: 1 / Float(width).squareRoot()))
      steeringHigh =
        isJoint ? nil : try steering["high"].parameter("weight", [visible, rank], .zeros)
      // A last map of zeros: nothing is added before it has learned.
      experts = try (0..<own).map {
        try Expert(config, in: scope["experts"][$0], downStart: .zeros)
      }
      gates =
        own > 0
        ? try Linear(width, own, start: .zeros, biasStart: .zeros, in: scope["gates"]) : nil
      spread = Tensor(repeating: 1, [width, 1])
    }

    /// The router's logits of the own experts, for later tasks that see them.
    func gate(_ h: Tensor) -> Tensor { gates?(h) ?? h }

    /// Σ σ(γ_e · x + c_e) f_e(x) over the own experts.
    func gated(_ h: Tensor) -> Tensor {
      guard let gates else { return h }
      let shares = Activation.sigmoid(gates(h))
      let parts = experts.enumerated().map { index, expert in
        expert(h) * shares[features: index..<index + 1].linear(weight: spread)
      }
      return parts.dropFirst().reduce(parts[0]) { $0 + $1 }
    }
  }
}

/// Projections into the residual stream start smaller by √(2 · blocks).
private func residualStart(_ config: PathwaysConfig) -> Initialization {
  .normal(deviation: 0.02 / Float(2 * config.blocks).squareRoot())
}
