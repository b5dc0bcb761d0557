public import ApusEvaluation
import ApusModels
import ApusNN
public import ApusTensor
public import Foundation

/// What a token costs as sequences grow, trained and run, for models of one size.
public struct CostByLength: Codable, Sendable {
  /// What is measured at every length.
  public enum Task: String, Codable, Sendable, CaseIterable {
    /// Forward, loss, backward and AdamW over the whole sequence.
    case train
    /// Reading the sequence, piece by piece, with the state carried along.
    case prefill
    /// One further token after so many.
    case decode
  }

  /// How models are measured.
  public struct Options: Sendable {
    /// Architectures by name.
    public var models: [String] = Architecture.all.map(\.name)
    /// Lengths in tokens, ascending.
    public var lengths = [1024, 2048, 4096, 8192, 16384, 32768, 65536]
    /// What is measured.
    public var tasks = Task.allCases
    /// D of every backbone.
    public var width = 256
    /// Blocks of attention and feed-forward; other architectures get as many layers as cost the same.
    public var blocks = 4
    /// V.
    public var vocabulary = 256
    /// A length is left out when a shorter one lets expect more seconds than this.
    public var limitSeconds = 60.0

    /// Creates the default.
    public init() {}
  }

  /// The machine.
  public var machine: MachineDescription
  /// D and blocks of every backbone.
  public var width: Int
  public var blocks: Int
  /// The lines of each task, by its name.
  public var tasks: [String: [CostLine]]

  /// Measures everything.
  ///
  /// - Parameters:
  ///   - options: Which models, lengths and tasks.
  ///   - progress: Called with a few words after every point.
  /// - Throws: `ConfigError` for an unknown name or a size that a model cannot have.
  public init(_ options: Options, progress: (String) -> Void = { _ in }) throws {
    machine = .current
    (width, blocks, tasks) = (options.width, options.blocks, [:])
    for task in options.tasks {
      tasks[task.rawValue] = try options.models.map { name in
        let architecture = try Architecture.named(name)
        return try Self.line(task, architecture, options: options, progress: progress)
      }
    }
  }

  /// These figures, and those that an earlier measurement has of other models and tasks.
  ///
  /// - Parameter earlier: What ``json()`` gave.
  /// - Returns: Both, models in the order of the registry.
  /// - Throws: ``CostError``.
  public func joined(with earlier: Data) throws -> CostByLength {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    guard let old = try? decoder.decode(CostByLength.self, from: earlier) else {
      throw CostError.noMeasurement
    }
    guard old.machine == machine, (old.width, old.blocks) == (width, blocks) else {
      throw CostError.otherConditions
    }
    var all = self
    all.tasks = old.tasks.merging(tasks) { before, now in
      let fresh = Set(now.map(\.name))
      return Architecture.all.compactMap { one in
        (fresh.contains(one.name) ? now : before).first { $0.name == one.name }
      }
    }
    return all
  }

  /// The result as JSON.
  public func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  /// The result as an SVG file, one panel per task.
  public func chart() -> String {
    costChart(
      Task.allCases.compactMap { task in tasks[task.rawValue].map { (task.rawValue, $0) } },
      caption: "Cost of a token by length: width \(width), \(blocks) blocks, batch 1, f32, "
        + "\(machine.threads) threads, \(machine.isa), \(machine.processor)")
  }

  private static func line(
    _ task: Task, _ architecture: Architecture, options: Options, progress: (String) -> Void
  ) throws -> CostLine {
    var line = CostLine(name: architecture.name, isRecurrent: architecture.isRecurrent, points: [])
    for length in options.lengths.sorted() {
      if let last = line.points.last {
        // At worst the cost of a token grows with the length.
        let growth = Double(length) / Double(last.length)
        let tokens = task == .decode ? 16.0 : Double(length)
        guard last.microseconds * 1e-6 * tokens * growth <= options.limitSeconds else { break }
      }
      let config = try architecture.makeConfiguration(
        size: BackboneSize(
          width: options.width, layers: architecture.layersPerBlock * options.blocks,
          context: length, vocabulary: options.vocabulary))
      let seconds = try measure(task, architecture, config, length: length)
      let point = CostLine.Point(length: length, microseconds: seconds * 1e6)
      line.points.append(point)
      progress(
        "\(task.rawValue) \(architecture.name) \(length): \(shortNumber(point.microseconds)) µs a token"
      )
    }
    return line
  }

  /// Seconds of one token.
  private static func measure(
    _ task: Task, _ architecture: Architecture, _ config: any ModelConfig, length: Int
  ) throws -> Double {
    let model = try LanguageModel(architecture, config: config, key: RandomKey(seed: 0))
    let ids = Tensor(
      uniform: [length], from: 0, to: Float(model.vocabulary), key: RandomKey(seed: 2)
    )
    .values.map { Int32(min(Int($0), model.vocabulary - 1)) }
    let tokens = Tensor(ids, [1, length])
    switch task {
    case .train:
      var optimizer = AdamW(model.parameters)
      return best {
        model.loss(tokens, targets: tokens).backward()
        optimizer.update(learningRate: 1e-4, gradientScale: 1)
        for parameter in model.parameters { parameter.clearGradient() }
      } / Double(length)
    case .prefill:
      return best { _ = read(ids, with: model) } / Double(length)
    case .decode:
      // The state goes on and is not copied: a copy of a long cache costs more than a token.
      var state = read(ids, with: model)
      let next = Tensor([0] as [Int32], [1, 1])
      let steps = 16
      return best {
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
  private static func best(_ body: () -> Void) -> Double {
    var least = Double.infinity
    var spent = 0.0
    for run in 0..<8 where run < 2 || spent < 1 {
      if run == 1, spent > 30 { break }
      let start = ContinuousClock.now
      body()
      let seconds = (ContinuousClock.now - start).seconds
      least = min(least, seconds)
      spent += seconds
    }
    return least
  }
}

/// Why measurements cannot be joined.
public enum CostError: Error, Equatable {
  /// The earlier file holds something else.
  case noMeasurement
  /// Another machine, width or number of blocks.
  case otherConditions
}

extension CostError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// What was found, what to do.
  public var description: String {
    switch self {
    case .noMeasurement:
      "The file to be updated is no measurement of costs by length. Give another --output."
    case .otherConditions:
      "The file to be updated is of another machine, or of another width or number of blocks. Give the "
        + "same sizes, or another --output."
    }
  }
}
