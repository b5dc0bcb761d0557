public import ApusTensor

/// The place in a model where a tensor is born: a path of names, and where values come from.
///
/// The same line of a layer's initializer loads its tensor from a checkpoint or starts it afresh.
/// Paths are the published names: `scope["layers"][0]` is `layers.0`.
public struct Scope {
  /// The names so far, joined by points; empty at the root.
  public let path: String
  private let source: Source

  /// A scope that starts every tensor afresh from the counter-based generator.
  public init(key: RandomKey) {
    path = ""
    source = Source(checkpoint: nil, key: key)
  }

  /// A scope that takes every tensor from `checkpoint`, by name.
  public init(checkpoint: [String: Tensor]) {
    path = ""
    source = Source(checkpoint: checkpoint, key: RandomKey(seed: 0))
  }

  /// A scope whose tensors have shapes and no memory: all zeros, for looking at a model and not for
  /// running it.
  package static var describing: Scope {
    Scope(path: "", source: Source(checkpoint: nil, key: RandomKey(seed: 0), isDescribing: true))
  }

  private init(path: String, source: Source) {
    self.path = path
    self.source = source
  }

  /// The scope of a child.
  public subscript(name: String) -> Scope {
    Scope(path: path.isEmpty ? name : path + "." + name, source: source)
  }

  /// The scope of a numbered child.
  public subscript(index: Int) -> Scope { self[String(index)] }

  /// Whether tensors come from a checkpoint.
  public var isLoading: Bool { source.checkpoint != nil }

  /// Whether tensors are described only, and have no memory.
  package var isDescribing: Bool { source.isDescribing }

  /// Whether the checkpoint holds a tensor of this name. Always false when starting afresh.
  public func holds(_ name: String) -> Bool {
    source.checkpoint?[self[name].path] != nil
  }

  /// The parameter `name` of this scope.
  ///
  /// - Parameters:
  ///   - name: The last part of the published name.
  ///   - shape: The shape that the configuration asks for.
  ///   - start: The values when starting afresh.
  ///   - isDecayed: Whether weight decay applies. Default: matrices only.
  ///   - isTrainable: Whether training changes it; if not, it is saved and loaded, and that is all.
  /// - Returns: The parameter; the same one when the name was asked for before.
  /// - Throws: ``CheckpointError`` when a checkpoint has no such tensor, another shape or no floats, and
  ///   when there is no memory for it.
  public func parameter(
    _ name: String, _ shape: Shape, _ start: Initialization, isDecayed: Bool? = nil,
    isTrainable: Bool = true
  ) throws -> Parameter {
    let full = self[name].path
    if let known = source.parameters[full] { return known }
    let value: Tensor
    if let checkpoint = source.checkpoint {
      guard let found = checkpoint[full] else { throw CheckpointError.missingTensor(name: full) }
      guard found.shape == shape else {
        throw CheckpointError.shapeMismatch(name: full, found: found.shape, expected: shape)
      }
      guard found.dtype != .int32 else {
        throw CheckpointError.wrongType(name: full, found: found.dtype)
      }
      value =
        found.dtype == .float32 ? found : found.converted(into: try source.room(shape, for: full))
    } else if source.isDescribing {
      guard let placeholder = Tensor(placeholder: shape) else {
        throw CheckpointError.tooLarge(name: full, shape: shape)
      }
      value = placeholder
    } else {
      value = start.tensor(
        in: try source.room(shape, for: full), key: source.key.derived(stableHash(full)))
    }
    let parameter = Parameter(full, value, isDecayed: isDecayed, isFixed: !isTrainable)
    source.add(parameter)
    return parameter
  }

  /// All parameters made so far, in the order in which they were made.
  public var parameters: [Parameter] { source.ordered }

  /// Ends the making of a model.
  ///
  /// - Parameter ignored: Says which unused names of a checkpoint are known to be of no use.
  /// - Returns: The model's parameters.
  /// - Throws: ``CheckpointError`` when the checkpoint holds tensors that were not asked for.
  @discardableResult
  public func finish(ignoring ignored: (String) -> Bool = { _ in false }) throws -> [Parameter] {
    if let checkpoint = source.checkpoint {
      let unused = checkpoint.keys.filter { source.parameters[$0] == nil && !ignored($0) }
      guard unused.isEmpty else { throw CheckpointError.unusedTensors(names: unused.sorted()) }
    }
    return source.ordered
  }

  private final class Source {
    let checkpoint: [String: Tensor]?
    let key: RandomKey
    let isDescribing: Bool
    private(set) var parameters: [String: Parameter] = [:]
    private(set) var ordered: [Parameter] = []
    private var bytes = 0

    init(checkpoint: [String: Tensor]?, key: RandomKey, isDescribing: Bool = false) {
      self.checkpoint = checkpoint
      self.key = key
      self.isDescribing = isDescribing
    }

    /// Memory for a parameter. Sizes that the machine does not have are rejected before anything is
    /// allocated: the system may promise them, and end the process when they are written.
    func room(_ shape: Shape, for name: String) throws -> TensorValue {
      let needed = shape.checkedCount.map { $0 * DType.float32.size }
      guard let needed, needed <= Machine.memoryBytes - bytes, let room = TensorValue(room: shape)
      else { throw CheckpointError.tooLarge(name: name, shape: shape) }
      bytes += needed
      return room
    }

    func add(_ parameter: Parameter) {
      parameters[parameter.name] = parameter
      ordered.append(parameter)
    }
  }
}

/// FNV-1a: the same on every run and machine, unlike `Hasher`.
private func stableHash(_ text: String) -> UInt64 {
  text.utf8.reduce(14_695_981_039_346_656_037) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
}

/// The initialization of a parameter.
public enum Initialization: Sendable {
  /// All zeros.
  case zeros
  /// All ones.
  case ones
  /// One value everywhere.
  case constant(Float)
  /// Normal with mean 0.
  case normal(deviation: Float)
  /// Uniform in ±bound.
  case uniform(bound: Float)
  /// Given values, in row-major order.
  case values([Float])
  /// Anything else, as a pure function of shape and key.
  case custom(@Sendable (Shape, RandomKey) -> Tensor)

  func tensor(in room: TensorValue, key: RandomKey) -> Tensor {
    switch self {
    case .zeros: room.filled(with: 0)
    case .ones: room.filled(with: 1)
    case .constant(let value): room.filled(with: value)
    case .normal(let deviation): room.filled(normal: 0, deviation: deviation, key: key)
    case .uniform(let bound): room.filled(uniform: -bound, to: bound, key: key)
    case .values(let values): Tensor(values, room.shape)
    case .custom(let make): make(room.shape, key)
    }
  }
}

/// An error of a checkpoint's tensors.
public enum CheckpointError: Error, Equatable {
  /// The configuration asks for a tensor that the checkpoint lacks.
  case missingTensor(name: String)
  /// A tensor has another shape than the configuration asks for.
  case shapeMismatch(name: String, found: Shape, expected: Shape)
  /// A tensor holds integers where weights are expected.
  case wrongType(name: String, found: DType)
  /// The checkpoint holds tensors that the configuration has no place for.
  case unusedTensors(names: [String])
  /// The configuration asks for a tensor that no memory holds.
  case tooLarge(name: String, shape: Shape)
}

extension CheckpointError: ApusError {
  public var exitStatus: ExitStatus { .badData }

  /// A sentence: what was found, what was expected, what to do.
  public var description: String {
    switch self {
    case .missingTensor(let name):
      """
      Tensor '\(name)' is not in the checkpoint, but the configuration asks for it. \
      Check that config.json belongs to this checkpoint and that no shard is missing.
      """
    case .shapeMismatch(let name, let found, let expected):
      """
      Tensor '\(name)' is \(found), but the configuration asks for \(expected). \
      Check that config.json belongs to this checkpoint.
      """
    case .wrongType(let name, let found):
      """
      Tensor '\(name)' is \(found.rawValue), but weights are floats. \
      Check that the checkpoint was written by a program for this architecture.
      """
    case .unusedTensors(let names):
      """
      The checkpoint holds \(names.count) tensors that the configuration has no place for, \
      first '\(names.first ?? "")'. Check that config.json belongs to this checkpoint.
      """
    case .tooLarge(let name, let shape):
      """
      The configuration asks for a tensor '\(name)' of shape \(shape), for which this machine has \
      no memory. Check the sizes in config.json.
      """
    }
  }
}
