import ApusTensor
import Foundation

/// The experts of the tasks of a ``Pathways`` model: counts, shares, and how much tasks have in
/// common.
public struct RouteStatistics: Codable, Sendable {
  /// One task in one block.
  public struct Layer: Codable, Sendable {
    /// The number of tokens of each expert; they sum to k · tokens.
    public var counts: [Int]
    /// The mean probability of each expert.
    public var shares: [Double]
    /// −Σ p ln p of the shares, in nats.
    public var entropy: Double
    /// e to the entropy.
    public var effectiveExperts: Double
    /// The number of tokens that each pair of experts shares, row by row.
    public var together: [[Int]]
  }

  /// One task.
  public struct Task: Codable, Sendable {
    /// Its name.
    public var task: String
    /// Tokens that were routed.
    public var tokens: Int
    /// The values of each block.
    public var layers: [Layer]
    /// Parameters that a token of the task meets, head included.
    public var activeParameters: Int
    /// Parameters of the model, each divided by the number of tasks that use it.
    public var accountedParameters: Double
  }

  /// The overlap of two tasks in a block: Σ min of their shares, 1 for the same route.
  public struct Sharing: Codable, Sendable {
    /// The tasks' names.
    public var tasks: [String]
    /// The values of each block.
    public var layers: [Double]
  }

  /// The version of this layout.
  public var schema = 1
  /// The values of each task.
  public var tasks: [Task]
  /// The values of each pair of tasks.
  public var sharing: [Sharing]

  /// Routes inputs of every task and counts.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - inputs: By the task's number; tasks without any are left out.
  public init(_ model: Pathways, inputs: [(task: Int, input: PathwaysInput)]) {
    tasks = inputs.map { task, input in
      let layers = model.routes(input, task: task).map(Layer.init)
      let tokens = layers.first.map { $0.counts.reduce(0, +) / model.config.perToken } ?? 0
      let (active, accounted) = model.parameterCounts(ofTask: task)
      return Task(
        task: model.config.tasks[task].name, tokens: tokens, layers: layers,
        activeParameters: active, accountedParameters: accounted)
    }
    var sharing: [Sharing] = []
    for (index, one) in tasks.enumerated() {
      for other in tasks[..<index] {
        sharing.append(
          Sharing(
            tasks: [other.task, one.task],
            layers: zip(one.layers, other.layers).map { a, b in
              zip(a.shares, b.shares).reduce(0) { $0 + min($1.0, $1.1) }
            }))
      }
    }
    self.sharing = sharing
  }

  /// A picture in letters: experts down, tasks across, ten shades from blank to full, one block after the
  /// other.
  public func heatMap() -> String {
    let shades = Array(" .:-=+*#%@")
    var lines: [String] = []
    let width = max(8, tasks.map(\.task.count).max() ?? 0) + 2
    for layer in tasks.first?.layers.indices ?? 0..<0 {
      let header = tasks.map { $0.task.padding(toLength: width, withPad: " ", startingAt: 0) }
      lines.append("block \(layer)     " + header.joined())
      let experts = tasks.map { $0.layers[layer].shares.count }.max() ?? 0
      for expert in 0..<experts {
        let cells = tasks.map { task -> String in
          let shares = task.layers[layer].shares
          guard expert < shares.count else { return String(repeating: " ", count: width) }
          // Full for a share of a half: with two experts a token no one has more than that on average.
          let shade = shades[min(9, Int(shares[expert] * 2 * 10))]
          let bar = String(repeating: String(shade), count: 3)
          let share = String(format: "%3.0f%%", shares[expert] * 100)
          return (bar + share).padding(toLength: width, withPad: " ", startingAt: 0)
        }
        lines.append(
          "expert \(expert)".padding(toLength: 12, withPad: " ", startingAt: 0) + cells.joined())
      }
    }
    return lines.joined(separator: "\n")
  }
}

extension RouteStatistics.Layer {
  init(_ routes: ExpertRoutes) {
    let count = routes.expertCount
    counts = routes.counts
    var (sums, tokens) = ([Double](repeating: 0, count: count), 0.0)
    for (place, value) in routes.probabilities.values.enumerated() {
      sums[place % count] += Double(value)
      if place % count == 0 { tokens += 1 }
    }
    let shares = sums.map { $0 / max(tokens, 1) }
    self.shares = shares
    let entropy = shares.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
    (self.entropy, effectiveExperts) = (entropy, exp(entropy))
    var together = [[Int]](repeating: [Int](repeating: 0, count: count), count: count)
    let chosen = routes.experts.integers
    for start in stride(from: 0, to: chosen.count, by: routes.perToken) {
      let own = chosen[start..<start + routes.perToken].filter { $0 >= 0 }.map(Int.init)
      for a in own { for b in own where a != b { together[a][b] += 1 } }
    }
    self.together = together
  }
}

extension Pathways {
  /// Parameters that a token of a task meets, and those of the model that it answers for: each divided by
  /// the number of tasks that can use it.
  func parameterCounts(ofTask index: Int) -> (active: Int, accounted: Double) {
    let expert = 3 * config.width * config.expertWidth
    let own = parameters(ofTask: index).reduce(0) { $0 + $1.shape.count }
    let shared = parameters.filter { !$0.name.hasPrefix("tasks.") }
    let total = shared.reduce(0) { $0 + $1.shape.count }
    let dense = total - config.blocks * config.experts * expert
    let active = dense + own + config.blocks * config.perToken * expert
    return (active, Double(own) + Double(total) / Double(max(config.tasks.count, 1)))
  }
}
