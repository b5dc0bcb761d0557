/// What one part of a model remembers of the sequences of a batch between their tokens.
///
/// It is a value: after a copy, what happens to one leaves the bits of the other. The sequences of a
/// batch know nothing of each other, so they can be taken apart and put together, also when
/// different numbers of tokens have passed.
public protocol LayerState: Sendable {
  /// B, how many sequences are remembered.
  var batch: Int { get }
  /// Bytes of everything remembered.
  var byteCount: Int { get }
  /// The memory of some of the sequences, by number; one may be taken several times.
  func rows(_ rows: [Int]) -> Self
  /// The sequences of several states of one layer, those of the first state first. At least one.
  init(joining states: [Self])
  /// The memory as it was after fewer tokens, B numbers; nil where that cannot be told any more.
  func prefix(_ tokens: [Int]) -> Self?
}

extension LayerState {
  /// Nil: a running state does not know what it was.
  public func prefix(_ tokens: [Int]) -> Self? { nil }
}

/// A state that is a few tensors `[B, ...]`, of the same size however many tokens have passed.
protocol TensorState: LayerState {
  /// The tensors.
  static var parts: [any WritableKeyPath<Self, TensorValue> & Sendable] { get }
}

extension TensorState {
  /// B, how many sequences are remembered.
  public var batch: Int { self[keyPath: Self.parts[0]].shape[0] }

  /// Bytes of the tensors.
  public var byteCount: Int { Self.parts.reduce(0) { $0 + self[keyPath: $1].byteCount } }

  /// The memory of some of the sequences.
  public func rows(_ rows: [Int]) -> Self {
    var taken = self
    for part in Self.parts { taken[keyPath: part] = self[keyPath: part].sequences(rows) }
    return taken
  }

  /// The sequences of several states of one layer.
  public init(joining states: [Self]) {
    self = states[0]
    for part in Self.parts {
      self[keyPath: part] = TensorValue(joining: states.map { $0[keyPath: part] })
    }
  }
}

extension Tensor {
  /// Some of the parts along the first axis, copied: `[B, ...]` to `[rows.count, ...]`.
  func sequences(_ rows: [Int]) -> Tensor {
    let rest = shape.dimensions.dropFirst()
    let taken = Tensor(uninitialized: Shape([rows.count] + rest), dtype: dtype)
    let bytes = rest.reduce(dtype.size, *)
    withBytes { source in
      guard let base = source.baseAddress else { return }
      for (place, row) in rows.enumerated() {
        ensure((0..<shape[0]).contains(row), "sequences: there is no row \(row) in \(shape)")
        (taken.contents.storage.pointer + place * bytes)
          .copyMemory(from: base + row * bytes, byteCount: bytes)
      }
    }
    return taken
  }

  /// Untracked tensors one behind the other along their first axis, alike in the others and in dtype.
  package init(joining parts: [Tensor]) {
    let rest = parts[0].shape.dimensions.dropFirst()
    let rows = parts.reduce(0) { $0 + $1.shape[0] }
    let joined = Tensor(uninitialized: Shape([rows] + rest), dtype: parts[0].dtype)
    var start = 0
    for part in parts {
      ensure(
        part.dtype == joined.dtype && part.shape.dimensions.dropFirst() == rest,
        "joining: \(part.shape) of \(part.dtype) beside \(parts[0].shape) of \(joined.dtype)")
      part.withBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        (joined.contents.storage.pointer + start).copyMemory(from: base, byteCount: bytes.count)
        start += bytes.count
      }
    }
    self = joined
  }
}

extension TensorValue {
  /// Some of the parts along the first axis, copied.
  func sequences(_ rows: [Int]) -> TensorValue { Tensor(self).sequences(rows).contents }

  /// Values one behind the other along their first axis.
  init(joining parts: [TensorValue]) { self = Tensor(joining: parts.map { Tensor($0) }).contents }
}
