import ApusEvaluation
import ApusModels
import ApusNN
import ApusTensor

/// The measurement of ``CostByLength``.
public struct CostMeasurement: Sendable {
  /// Architectures by name.
  public var models: [String] = Architecture.all.map(\.name)
  /// Lengths in tokens, ascending.
  public var lengths = [1024, 2048, 4096, 8192, 16384, 32768, 65536]
  /// The measured quantity.
  public var tasks = CostByLength.Task.allCases
  /// D of every backbone.
  public var width = 256
  /// Blocks of attention and feed-forward; other architectures get as many layers as cost the same.
  public var blocks = 4
  /// V.
  public var vocabulary = 256
  /// A length is left out when a shorter one lets expect more seconds than this.
  public var limitSeconds = 60.0

  /// Creates the default; nothing is done before ``run(progress:)``.
  public init() {}

  /// Measures everything.
  ///
  /// - Parameter progress: Called after every point, and awaited.
  /// - Returns: What was measured.
  /// - Throws: `ConfigError` for an unknown name or a size that a model cannot have. ``Interruption``
  ///   when the Swift task is cancelled.
  @concurrent
  public func run(
    progress: @escaping @Sendable (WorkProgress) async -> Void = { _ in }
  ) async throws -> CostByLength {
    try await Interruption.naming("measurement") {
      let architectures = try models.map { try Architecture.named($0) }
      var found: [String: [CostLine]] = [:]
      for (number, task) in tasks.enumerated() {
        var lines: [CostLine] = []
        for (place, architecture) in architectures.enumerated() {
          let done = Double(number * architectures.count + place)
          lines.append(
            try await line(task, architecture) { phase, detail in
              await progress(
                WorkProgress(
                  phase: phase, share: done / Double(tasks.count * architectures.count),
                  detail: detail))
            })
        }
        found[task.rawValue] = lines
      }
      return CostByLength(machine: .current, width: width, blocks: blocks, tasks: found)
    }
  }

  private func line(
    _ task: CostByLength.Task, _ architecture: Architecture,
    progress: (_ phase: String, _ detail: String) async -> Void
  ) async throws -> CostLine {
    var line = CostLine(name: architecture.name, isRecurrent: architecture.isRecurrent, points: [])
    for length in lengths.sorted() {
      if let last = line.points.last {
        // At worst the cost of a token grows with the length.
        let growth = Double(length) / Double(last.length)
        let tokens = task == .decode ? 16.0 : Double(length)
        guard last.microseconds * 1e-6 * tokens * growth <= limitSeconds else { break }
      }
      let blueprint = try architecture.configured(
        size: BackboneSize(
          width: width, layers: architecture.layersPerBlock * blocks,
          context: length, vocabulary: vocabulary))
      let seconds = try Self.measure(task, blueprint, length: length)
      let point = CostLine.Point(length: length, microseconds: seconds * 1e6)
      line.points.append(point)
      await progress(
        "\(task.rawValue) \(architecture.name) \(length)",
        "\(shortNumber(point.microseconds)) µs a token")
      await Task.yield()
    }
    return line
  }

  /// Seconds of one token.
  private static func measure(
    _ task: CostByLength.Task, _ blueprint: Blueprint, length: Int
  ) throws -> Double {
    let model = try LanguageModel(blueprint, key: RandomKey(seed: 0))
    let ids = Tensor(
      uniform: [length], from: 0, to: Float(model.vocabulary), key: RandomKey(seed: 2)
    )
    .values.map { Int32(min(Int($0), model.vocabulary - 1)) }
    let tokens = Tensor(ids, [1, length])
    switch task {
    case .train:
      var optimizer = AdamW(model.parameters)
      return try best {
        model.loss(tokens, targets: tokens).backward()
        optimizer.update(learningRate: 1e-4, gradientScale: 1)
        for parameter in model.parameters { parameter.clearGradient() }
      } / Double(length)
    case .prefill:
      return try best { _ = read(ids, with: model) } / Double(length)
    case .decode:
      // The state goes on and is not copied: a copy of a long cache costs more than a token.
      var state = read(ids, with: model)
      let next = Tensor([0] as [Int32], [1, 1])
      let steps = 16
      return try best {
        for _ in 0..<steps { _ = model.logits(next, state: &state) }
      } / Double(steps)
    }
  }

  /// The state after a sequence, read in pieces so that memory stays small.
  private static func read(_ ids: [Int32], with model: LanguageModel) -> BackboneState {
    var state = model.initialState(batch: 1)
    for start in stride(from: 0, to: ids.count, by: 1024) {
      let piece = Array(ids[start..<min(start + 1024, ids.count)])
      _ = model.logits(Tensor(piece, [1, piece.count]), state: &state)
    }
    return state
  }

  /// The best of a few runs. The first touches fresh memory; it stands alone when it takes long.
  private static func best(_ body: () -> Void) throws -> Double {
    var least = Double.infinity
    var spent = 0.0
    for run in 0..<8 where run < 2 || spent < 1 {
      if run == 1, spent > 30 { break }
      try Task.checkCancellation()
      let start = ContinuousClock.now
      body()
      let seconds = (ContinuousClock.now - start).seconds
      least = min(least, seconds)
      spent += seconds
    }
    return least
  }
}
