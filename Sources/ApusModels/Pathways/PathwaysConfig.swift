/// The shape of a ``Pathways`` model and the tasks that it knows.
public struct PathwaysConfig: CheckedConfig, Codable, Sendable, Hashable {
  /// Width of the residual stream, D.
  public var width = 64
  /// Blocks of a mixer and experts, L.
  public var blocks = 4
  /// Heads of attention.
  public var heads = 2
  /// The most positions that a sequence may have.
  public var context = 1024
  /// Width inside an expert, F.
  public var expertWidth = 128
  /// Experts of each block that all joint tasks share, E.
  public var experts = 8
  /// Experts that a token takes, k.
  public var perToken = 2
  /// Width of the vector that steers a joint task, Dτ.
  public var taskWidth = 32
  /// Rank of what steers a later task by its tokens.
  public var steeringRank = 4
  /// Values of a series that become one position, P.
  public var patch = 8
  /// Token ids that the embedding knows: the bytes.
  public var vocabulary = 256
  /// Whether experts are chosen for each token, or once for each task.
  public var routing = Routing.token
  /// The tasks, in the order in which they came.
  public var tasks: [PathwaysTask] = []

  /// The choice of experts.
  public enum Routing: String, Codable, Sendable, Hashable {
    /// By token and task.
    case token
    /// By the task alone, so that a task can be cut out as a dense model.
    case task
  }

  /// Creates the small default without tasks.
  public init() {}

  /// Throws ``ConfigError`` naming the key, its value and the rule broken.
  public func validate() throws {
    try requireSizes(
      ("width", width, 65536), ("blocks", blocks, 1024), ("expert_width", expertWidth, 65536),
      ("experts", experts, 4096), ("task_width", taskWidth, 65536), ("patch", patch, 4096),
      ("steering_rank", steeringRank, 1024), ("vocabulary", vocabulary, 1_048_576),
      ("context", context, 1_048_576))
    try require(
      heads > 0 && width % heads == 0 && width / heads % 2 == 0 && width / heads <= 256, "heads",
      heads, "it must divide the width of \(width) into even heads of at most 256")
    try require(
      (1...experts).contains(perToken), "per_token", perToken, "it must be in 1...\(experts)")
    for (index, task) in tasks.enumerated() {
      try task.validate()
      try require(
        !tasks[..<index].contains { $0.name == task.name }, "tasks", task.name,
        "two tasks cannot have one name")
      for seen in task.segments {
        let owner = tasks[..<index].first { $0.name == seen }
        try require(
          owner?.isPublished == true, "segments", seen,
          "task '\(task.name)' may see published experts of earlier tasks only")
      }
    }
  }
}

/// One task of a ``Pathways`` model.
public struct PathwaysTask: CheckedConfig, Codable, Sendable, Hashable {
  /// The head of a task.
  public enum Head: Codable, Sendable, Hashable {
    /// The next byte at every position.
    case language
    /// Quantiles of so many values after a series.
    case forecast(horizon: Int, levels: [Double])
    /// The class of a series.
    case classes(count: Int)
  }

  /// Its name: letters, digits, - and _.
  public var name: String
  /// The head.
  public var head: Head
  /// The task that it began as a copy of; nil for tasks of the joint phase.
  public var parent: String?
  /// Earlier tasks whose published experts it uses, besides those of the joint phase.
  public var segments: [String] = []
  /// The number of its own experts in each block of the upper half; none in the joint phase.
  public var ownExperts = 0
  /// Whether later tasks may see its own experts.
  public var isPublished = false

  /// Creates a task of the joint phase.
  public init(name: String, head: Head) {
    self.name = name
    self.head = head
  }

  /// Throws ``ConfigError`` naming the key, its value and the rule broken.
  public func validate() throws {
    try require(
      !name.isEmpty && name.count <= 64
        && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_".contains($0)) },
      "name", name, "a task's name has 1 to 64 letters, digits, - and _")
    try require((0...64).contains(ownExperts), "own_experts", ownExperts, "it must be in 0...64")
    switch head {
    case .language: break
    case .forecast(let horizon, let levels):
      try requireSizes(("horizon", horizon, 4096))
      try requireLevels(levels)
    case .classes(let count):
      try require((2...65536).contains(count), "classes", count, "it must be in 2...65536")
    }
  }
}
