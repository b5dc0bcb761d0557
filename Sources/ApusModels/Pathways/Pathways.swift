public import ApusNN
public import ApusTensor

/// One sparse model for many tasks: a shared trunk, a bank of experts of which every token takes few, a
/// head for each task, and later tasks that change nothing of earlier ones.
///
/// No reference program of the idea exists (Dean, 2021); this design joins task-steered routing
/// (Kudugunta et al., 2021, arXiv:2110.03742) with frozen modules and copies of a parent (Gesmundo and
/// Dean, 2022, arXiv:2205.10937). A task of the joint phase steers the router by U τ; a later task by
/// a bias and a low-rank map of its own, and adds experts of its own behind gates, whose last maps
/// start at zero: at its first step it computes what its parent computes, to the bit.
/// Shapes: B batch, T positions, D width, E experts, V bytes, Q levels, H horizon.
public struct Pathways {
  /// Shape and tasks.
  public let config: PathwaysConfig
  /// Every weight, in the order in which they were made.
  public let parameters: [Parameter]
  let embedding: Embedding
  let patches: Linear
  let blocks: [Block]
  let tasks: [Task]

  /// Creates the model with weights from `scope`.
  ///
  /// - Throws: ``ConfigError``, or `CheckpointError` when the checkpoint does not fit.
  public init(_ config: PathwaysConfig, in scope: Scope) throws {
    try config.validate()
    self.config = config
    let trunk = scope["trunk"]
    embedding = try Embedding(config.vocabulary, config.width, in: trunk["embedding"])
    patches = try Linear(2 * config.patch, config.width, in: trunk["patches"])
    let rotary = RotaryPositions(
      context: config.context, headSize: config.width / config.heads, theta: 10000)
    blocks = try (0..<config.blocks).map {
      try Block(config, layer: $0, rotary: rotary, in: scope)
    }
    tasks = try config.tasks.map { try Task($0, config, in: scope["tasks"][$0.name]) }
    parameters = try scope.finish()
  }

  /// A model with fresh weights.
  ///
  /// - Throws: ``ConfigError``.
  public init(_ config: PathwaysConfig, key: RandomKey) throws {
    try self.init(config, in: Scope(key: key))
  }

  /// The number of a task.
  ///
  /// - Throws: ``ConfigError`` when no task has this name.
  public func task(named name: String) throws -> Int {
    guard let index = config.tasks.firstIndex(where: { $0.name == name }) else {
      throw ConfigError.invalid(
        key: "task", value: name,
        rule: "the model knows \(config.tasks.map(\.name).joined(separator: ", "))")
    }
    return index
  }

  /// The weights that belong to a task alone.
  public func parameters(ofTask index: Int) -> [Parameter] {
    let prefix = "tasks.\(config.tasks[index].name)."
    return parameters.filter { $0.name.hasPrefix(prefix) }
  }

  /// The trunk's outputs for a task's input.
  ///
  /// - Parameters:
  ///   - input: Bytes or series.
  ///   - task: The task's number.
  /// - Returns: `[B, T, D]`, and the router's logits of each block.
  public func trunk(_ input: PathwaysInput, task: Int) -> (hidden: Tensor, logits: [Tensor]) {
    var x = embedded(input)
    let places = Places(wholeOf: x)
    var logits: [Tensor] = []
    for (layer, block) in blocks.enumerated() {
      let one = block(x, at: places, task: tasks[task], layer: layer, bank: self)
      x = one.hidden
      logits.append(one.logits)
    }
    return (tasks[task].norm(x), logits)
  }

  /// The outputs of a task's head.
  ///
  /// - Parameters:
  ///   - input: Bytes or series.
  ///   - task: The task's number.
  /// - Returns: Logits `[B, T, V]`; free outputs `[B, H · Q]`, before they are made monotone, in
  ///   deviations of each series; or logits `[B, C]`.
  public func output(_ input: PathwaysInput, task: Int) -> Tensor {
    head(trunk(input, task: task).hidden, task: task)
  }

  private func head(_ hidden: Tensor, task: Int) -> Tensor {
    let (batch, time, width) = (hidden.shape[0], hidden.shape[1], hidden.shape[2])
    guard config.tasks[task].head != .language else { return tasks[task].head(hidden) }
    let last = hidden[times: time - 1..<time]
    return tasks[task].head(last.reshaped([batch, width]))
  }

  /// The loss of a batch: nats per byte, pinball in deviations, or nats per series; and the logits of
  /// the router in each block, for what keeps it in balance.
  public func loss(_ batch: PathwaysBatch, task: Int) -> (loss: Tensor, logits: [Tensor]) {
    let (hidden, logits) = trunk(batch.input, task: task)
    switch (config.tasks[task].head, batch.target) {
    case (.language, .tokens(let targets)):
      return (
        hidden.crossEntropy(head: tasks[task].head.weight.value, targets: targets), logits
      )
    case (.forecast(let horizon, let levels), .values(let futures)):
      let outputs = head(hidden, task: task)
      let rows = futures.shape.count
      let moments = batch.input.moments
      let targets = futures.values.enumerated().map { place, value in
        let (mean, scale) = moments[place / horizon]
        return value.isFinite ? (value - mean) / scale : 0
      }
      let weights = futures.values.map { Float($0.isFinite ? 1 : 0) }
      let loss = outputs.reshaped([rows, levels.count]).pinballLoss(
        targets: Tensor(targets, [rows]), levels: levels.map(Float.init),
        weights: Tensor(weights, [rows]))
      return (loss, logits)
    case (.classes, .classes(let labels)):
      return (head(hidden, task: task).crossEntropy(targets: labels), logits)
    default:
      preconditionFailure(
        "Pathways: task '\(config.tasks[task].name)' does not ask for \(batch.target)")
    }
  }

  /// Monotone quantiles of a forecasting task, `[B, H, Q]` in units of each series.
  public func quantiles(_ input: PathwaysInput, task: Int) -> [[[Float]]] {
    guard case .forecast(let horizon, let levels) = config.tasks[task].head else { return [] }
    let free = withoutGradient { output(input, task: task) }
    let all = free.reshaped([free.count / levels.count, levels.count]).monotoneQuantiles(
      count: levels.count
    ).values
    return input.moments.enumerated().map { row, moment in
      (0..<horizon).map { step in
        levels.indices.map {
          moment.mean + moment.scale * all[(row * horizon + step) * levels.count + $0]
        }
      }
    }
  }

  /// The routes of a task's input in each block.
  public func routes(_ input: PathwaysInput, task: Int) -> [ExpertRoutes] {
    withoutGradient {
      trunk(input, task: task).logits.map {
        ExpertRoutes(logits: $0, perToken: config.perToken, rule: .mixtral)
      }
    }
  }

  private func embedded(_ input: PathwaysInput) -> Tensor {
    switch input {
    case .tokens(let tokens): embedding(tokens)
    case .series(let series): patches(patched(series))
    }
  }

  /// `[B, ⌈T/P⌉, 2P]`: values in deviations of the context, then what is observed. Padded at the left.
  private func patched(_ series: [[Float]]) -> Tensor {
    let patch = config.patch
    let longest = series.map(\.count).max() ?? 0
    let places = max(1, (longest + patch - 1) / patch)
    var rows: [Float] = []
    rows.reserveCapacity(series.count * places * 2 * patch)
    for (values, moment) in zip(series, PathwaysInput.series(series).moments) {
      let missing = places * patch - values.count
      for place in 0..<places {
        let own = (0..<patch).map { place * patch + $0 - missing }
        rows += own.map {
          $0 >= 0 && values[$0].isFinite ? (values[$0] - moment.mean) / moment.scale : 0
        }
        rows += own.map { $0 >= 0 && values[$0].isFinite ? 1 : 0 }
      }
    }
    return Tensor(rows, [series.count, places, 2 * patch])
  }
}

/// What a task reads.
public enum PathwaysInput {
  /// Bytes, `[B, T]`.
  case tokens(Tensor)
  /// Values in order of time; NaN where missing. Series of a batch are padded at the left.
  case series([[Float]])

  /// Mean and deviation of each series over what is observed.
  var moments: [(mean: Float, scale: Float)] {
    guard case .series(let series) = self else { return [] }
    return series.map { values in
      let seen = values.filter(\.isFinite).map(Double.init)
      let count = Double(max(seen.count, 1))
      let mean = seen.reduce(0, +) / count
      let square = seen.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
      return (Float(mean), Float(square.squareRoot()) + 1e-5)
    }
  }
}

/// What a task reads and what it should find.
public struct PathwaysBatch {
  /// What should be found.
  public enum Target {
    /// The next byte at each position, `[B, T]`; negative ones are left out.
    case tokens(Tensor)
    /// What follows each series, `[B, H]`; NaN where missing.
    case values(Tensor)
    /// The class of each series, `[B]`.
    case classes(Tensor)
  }

  /// What is read.
  public var input: PathwaysInput
  /// What should be found.
  public var target: Target

  /// Puts the two together.
  public init(input: PathwaysInput, target: Target) {
    self.input = input
    self.target = target
  }
}
