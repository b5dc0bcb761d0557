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
  /// Replaces the memory of some of the sequences.
  ///
  /// - Parameters:
  ///   - other: A state of the same layer, of as many sequences as there are `rows`.
  ///   - rows: Whose memory becomes that of its first, second, … sequence; none twice.
  mutating func put(_ other: Self, at rows: [Int])
  /// The memory as it was after fewer tokens, B numbers; nil where that cannot be told any more.
  func prefix(_ tokens: [Int]) -> Self?
}

extension LayerState {
  /// Nil: a running state does not know what it was.
  public func prefix(_ tokens: [Int]) -> Self? { nil }

  /// Replaces the memory of some of the sequences by joining and picking, which copies all.
  public mutating func put(_ other: Self, at rows: [Int]) {
    var places = Array(0..<batch)
    for (number, row) in rows.enumerated() { places[row] = batch + number }
    self = Self(joining: [self, other]).rows(places)
  }
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

  /// Replaces the memory of some of the sequences, in place where nobody else holds it.
  public mutating func put(_ other: Self, at rows: [Int]) {
    for part in Self.parts { self[keyPath: part].put(other[keyPath: part], at: rows) }
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
  package func sequences(_ rows: [Int]) -> Tensor {
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

  /// Replaces some of the parts along the first axis.
  mutating func put(_ parts: TensorValue, at rows: [Int]) {
    let rest = shape.dimensions.dropFirst()
    ensure(
      parts.dtype == dtype && parts.shape.dimensions.dropFirst() == rest
        && parts.shape[0] == rows.count && rows.allSatisfy((0..<shape[0]).contains),
      "put: \(parts.shape) of \(parts.dtype) at \(rows.count) rows of \(shape) of \(dtype)")
    makeUnique()
    let bytes = rest.reduce(dtype.size, *)
    Tensor(parts).withBytes { source in
      guard let base = source.baseAddress else { return }
      for (number, row) in rows.enumerated() {
        (storage.pointer + row * bytes).copyMemory(from: base + number * bytes, byteCount: bytes)
      }
    }
  }

  /// Values one behind the other along their first axis.
  init(joining parts: [TensorValue]) { self = Tensor(joining: parts.map { Tensor($0) }).contents }
}
