import CApusKernels

/// What an operation leaves behind so that gradients can flow back through it: one node of the
/// graph, at the grain of a kernel.
package final class History {
  /// The tracked inputs, in the order in which `backward` returns their gradients.
  private(set) var inputs: [History?]
  /// Longer than that of every input; backward visits nodes from the deepest up.
  let depth: Int
  /// From the gradient of the output to those of the inputs (nil: none flows).
  var backward: ((Tensor) -> [Tensor?])?
  /// The gradient gathered so far, flat.
  package var gradient: Tensor?

  init(inputs: [History?], depth: Int, backward: ((Tensor) -> [Tensor?])?) {
    self.inputs = inputs
    self.depth = depth
    self.backward = backward
  }

  /// Lets go of the nodes behind one after the other: a chain may be longer than the stack is deep.
  deinit {
    var waiting = inputs.compactMap(\.self)
    inputs = []
    while var node = waiting.popLast() {
      guard isKnownUniquelyReferenced(&node) else { continue }
      waiting += node.inputs.compactMap(\.self)
      node.inputs = []
    }
  }

  /// A leaf: gradients end here and stay until they are taken.
  package static func leaf() -> History { History(inputs: [], depth: 0, backward: nil) }

  var isLeaf: Bool { depth == 0 }

  /// Adds to the gathered gradient.
  func accumulate(_ contribution: Tensor) {
    guard var sum = gradient else {
      gradient = contribution
      return
    }
    gradient = nil
    sum.add(contribution)
    gradient = sum
  }
}

/// The settings of arithmetic in the current task.
public struct Arithmetic: Sendable {
  /// Whether operations remember how to differentiate themselves.
  public var recordsGradients = true
  /// The precision of matrix products; everything else is in float.
  public var products = Precision.float32
  /// Whether blocks of a model keep nothing but their input and compute the rest again in backward.
  public var recomputesBlocks = false
  /// Whether each row of a product has the bits that it has as the only row, however many there are;
  /// many rows then take longer.
  public var keepsRowsAlone = false

  /// The settings in force. Scoped by `Arithmetic.$current.withValue`.
  @TaskLocal public static var current = Arithmetic()

  /// Creates the default: gradients recorded, products in float.
  public init() {}
}

/// The precision of matrix products.
public enum Precision: String, Sendable, Codable, CaseIterable {
  /// IEEE single precision throughout.
  case float32 = "f32"
  /// Inputs of products rounded to bfloat16, sums in float, where the CPU has the instruction;
  /// float elsewhere.
  case bfloat16 = "bf16"
}

/// Runs `body` without recording: nothing it computes can be differentiated, and memory is freed
/// at once.
public func withoutGradient<Result>(_ body: () throws -> Result) rethrows -> Result {
  var arithmetic = Arithmetic.current
  guard arithmetic.recordsGradients else { return try body() }
  arithmetic.recordsGradients = false
  return try Arithmetic.$current.withValue(arithmetic, operation: body)
}

/// Runs `body` with matrix products in `precision`.
public func withProducts<Result>(
  in precision: Precision, _ body: () throws -> Result
) rethrows -> Result {
  var arithmetic = Arithmetic.current
  arithmetic.products = precision
  return try Arithmetic.$current.withValue(arithmetic, operation: body)
}

/// Runs `body` without recording, where what becomes of a sequence does not depend on which others are in
/// its batch: the bits are those of a batch of one.
public func withSequencesAlone<Result>(_ body: () throws -> Result) rethrows -> Result {
  var arithmetic = Arithmetic.current
  (arithmetic.recordsGradients, arithmetic.keepsRowsAlone) = (false, true)
  return try Arithmetic.$current.withValue(arithmetic, operation: body)
}

extension Tensor {
  /// Whether an operation on `inputs` has to remember itself.
  static func records(_ inputs: [Tensor?]) -> Bool {
    inputs.contains { $0?.history != nil } && Arithmetic.current.recordsGradients
  }

  static func records(_ inputs: Tensor?...) -> Bool { records(inputs) }

  /// `self`, freshly computed, tied to its inputs. Call only when ``records(_:)`` said so.
  /// `backward` keeps what it needs by ``detached()``, so that no tensor holds itself, and returns a
  /// gradient for each of `inputs`, nil where none flows.
  func tracked(from inputs: [Tensor?], backward: @escaping (Tensor) -> [Tensor?]) -> Tensor {
    let histories = inputs.map { $0?.history }
    let depth = histories.reduce(0) { max($0, $1?.depth ?? 0) } + 1
    return Tensor(contents, history: History(inputs: histories, depth: depth, backward: backward))
  }

  /// Adds `other`, in place where the memory is not shared.
  mutating func add(_ other: Tensor) {
    ensure(count == other.count, "gradients of \(count) and \(other.count) elements meet")
    let sum = contents.isWritable ? self : Tensor(uninitialized: shape)
    withPointers(sum.out, self, other) { apus_add_f32($0, $1, $2, count) }
    self = sum
  }

  /// A tracked copy of these numbers whose gradient can be read with ``gradient`` afterwards.
  public func tracked() -> Tensor {
    var leaf = copied()
    leaf.history = .leaf()
    return leaf
  }

  /// The gradient that reached this leaf, in its shape.
  public var gradient: Tensor? { history?.gradient?.reshaped(shape) }

  /// Sends gradients back to every leaf that this scalar depends on, adding to what is there.
  /// Frees the graph on its way.
  public func backward() {
    ensure(count == 1, "backward() starts from a scalar, not from shape \(shape)")
    backward(gradient: Tensor(repeating: 1, shape))
  }

  /// The same from a given gradient of this tensor.
  public func backward(gradient seed: Tensor) {
    ensure(seed.count == count, "a gradient of shape \(seed.shape) for \(shape)")
    guard let root = history else { return }
    root.accumulate(seed)
    for node in Self.nodes(behind: root) where !node.isLeaf {
      let (backward, gradient) = (node.backward, node.gradient)
      // What the node keeps goes even where no gradient came: a weight kept longer than this would
      // be copied by the optimizer's step.
      node.backward = nil
      node.gradient = nil
      guard let backward, let gradient else { continue }
      let contributions = backward(gradient)
      for (input, contribution) in zip(node.inputs, contributions) {
        if let input, let contribution { input.accumulate(contribution) }
      }
    }
  }

  /// All nodes that lead to `root`, each after everything that uses it.
  private static func nodes(behind root: History) -> [History] {
    var found: [History] = []
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(root)]
    var waiting = [root]
    while let node = waiting.popLast() {
      found.append(node)
      for case let input? in node.inputs {
        if seen.insert(ObjectIdentifier(input)).inserted { waiting.append(input) }
      }
    }
    // Sorting by depth alone leaves ties in the order of discovery, which the graph fixes.
    return found.enumerated()
      .sorted { ($1.element.depth, $0.offset) < ($0.element.depth, $1.offset) }
      .map(\.element)
  }
}

/// Runs `body` with blocks that keep nothing but their input: memory for one more forward pass.
public func withRecomputation<Result>(_ body: () throws -> Result) rethrows -> Result {
  var arithmetic = Arithmetic.current
  arithmetic.recomputesBlocks = true
  return try Arithmetic.$current.withValue(arithmetic, operation: body)
}

extension Tensor {
  /// One block of a model applied to this tensor: ``checkpointed(_:)`` inside
  /// ``withRecomputation(_:)``, plain elsewhere.
  public func modelBlock(_ body: @escaping (Tensor) -> Tensor) -> Tensor {
    Arithmetic.current.recomputesBlocks ? self.checkpointed(body) : body(self)
  }

  /// Computes `body` of this tensor without keeping what is inside; backward computes it again,
  /// recorded.
  ///
  /// Trades one more forward pass for memory: only this tensor stays. `body` must be a pure function
  /// of its argument and of parameters. Chen et al., 2016, arXiv:1604.06174.
  public func checkpointed(_ body: @escaping (Tensor) -> Tensor) -> Tensor {
    guard Arithmetic.current.recordsGradients else { return body(self) }
    let arithmetic = Arithmetic.current
    var output = withoutGradient { body(detached()) }
    let input = detached()
    let (behind, isTracked) = (history, self.isTracked)
    // A node even when x needs no gradient, so that the parameters inside get theirs.
    output.history = History(inputs: [behind], depth: (behind?.depth ?? 0) + 1) { gradient in
      Arithmetic.$current.withValue(arithmetic) {
        var again = input
        if isTracked { again.history = .leaf() }
        body(again).backward(gradient: gradient)
        return [again.history?.gradient]
      }
    }
    return output
  }
}

extension Tensor {
  /// Forgets the gradient of this leaf.
  public func clearGradient() { history?.gradient = nil }
}
