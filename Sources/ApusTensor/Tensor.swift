import CApusKernels

/// An array of numbers with a shape, and the unit of differentiation.
///
/// A tensor is a value: a copy shares its memory until one of them is written. Operations record
/// how their result came about while a tracked tensor, a ``Parameter``'s value for example, takes
/// part; ``backward()`` then fills the gradients. ``withoutGradient(_:)`` switches that off.
///
/// Not `Sendable`, because what it was computed from belongs to one thread: ``contents`` are.
public struct Tensor {
  /// The numbers, cut off from how they were computed.
  public package(set) var contents: TensorValue
  /// How the tensor was computed, while gradients are recorded.
  package var history: History?

  /// A tensor of these numbers, untracked.
  public init(_ contents: TensorValue) { self.init(contents, history: nil) }

  package init(_ contents: TensorValue, history: History?) {
    self.contents = contents
    self.history = history
  }

  /// A tensor whose contents are undefined, to be written by a kernel.
  package init(uninitialized shape: Shape, dtype: DType = .float32) {
    self.init(TensorValue(uninitialized: shape, dtype: dtype))
  }

  /// A tensor of zeros.
  public init(zeros shape: Shape) { self.init(repeating: 0, shape) }

  /// A tensor whose every element is `value`.
  public init(repeating value: Float, _ shape: Shape) {
    self = TensorValue(uninitialized: shape, dtype: .float32).filled(with: value)
  }

  /// A tensor of the given elements, in row-major order; there must be as many as the shape says.
  public init(_ values: [Float], _ shape: Shape) { self.init(copying: values, shape, .float32) }

  /// A tensor of integers such as token ids, in row-major order.
  public init(_ values: [Int32], _ shape: Shape) { self.init(copying: values, shape, .int32) }

  private init<Element>(copying values: [Element], _ shape: Shape, _ dtype: DType) {
    ensure(
      values.count == shape.count, "\(values.count) values do not fill a tensor of shape \(shape)")
    self.init(uninitialized: shape, dtype: dtype)
    values.withUnsafeBytes { source in
      if let base = source.baseAddress {
        contents.storage.pointer.copyMemory(from: base, byteCount: source.count)
      }
    }
  }

  /// A scalar.
  public init(_ value: Float) { self.init([value], []) }

  /// The sizes, outermost axis first.
  public var shape: Shape { contents.shape }

  /// The type of the elements.
  public var dtype: DType { contents.dtype }

  /// The number of elements.
  public var count: Int { contents.count }
}

// MARK: Reading and writing

extension Tensor {
  /// The elements in row-major order. Half-width floats are widened.
  public var values: [Float] { converted(to: .float32).withFloats(Array.init) }

  /// The elements of an integer tensor in row-major order.
  public var integers: [Int32] {
    withPointers(ints) { Array(UnsafeBufferPointer(start: $0, count: count)) }
  }

  /// The single element of a tensor that has one.
  public var scalar: Float {
    ensure(count == 1, "a tensor of shape \(shape) is no scalar")
    return withPointers(self) { $0[0] }
  }

  /// Calls `body` with the elements, for reading.
  public func withFloats<Result>(
    _ body: (UnsafeBufferPointer<Float>) throws -> Result
  ) rethrows -> Result { try contents.withFloats(body) }

  /// Calls `body` with the elements, for writing. Copies first when the memory is shared.
  public mutating func withMutableFloats<Result>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    if history != nil { self = copied() }
    return try contents.withMutableFloats(body)
  }

  /// The tensor's bytes, for reading.
  package func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    defer { withExtendedLifetime(self) {} }
    return try body(
      UnsafeRawBufferPointer(start: contents.storage.pointer, count: contents.byteCount))
  }

  /// The same numbers in memory of their own, untracked.
  public func copied() -> Tensor { Tensor(contents.copied()) }

  /// The same numbers as another type of float, untracked unless they have that type already.
  public func converted(to target: DType) -> Tensor {
    guard dtype != target else { return self }
    guard let room = TensorValue(room: shape, dtype: target) else {
      stop("no memory left for a tensor of shape \(shape)")
    }
    return converted(into: room)
  }

  /// The same numbers in `room`, which has their shape and another type of float.
  package func converted(into room: TensorValue) -> Tensor {
    let (from, to) = (contents.storage.pointer, room.storage.pointer)
    func floats(_ pointer: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Float> {
      pointer.assumingMemoryBound(to: Float.self)
    }
    func halves(_ pointer: UnsafeMutableRawPointer) -> UnsafeMutablePointer<UInt16> {
      pointer.assumingMemoryBound(to: UInt16.self)
    }
    switch (dtype, room.dtype) {
    case (.bfloat16, .float32): apus_bf16_to_f32(floats(to), halves(from), count)
    case (.float16, .float32): apus_f16_to_f32(floats(to), halves(from), count)
    case (.float32, .bfloat16): apus_f32_to_bf16(halves(to), floats(from), count)
    case (.float32, .float16): apus_f32_to_f16(halves(to), floats(from), count)
    default: stop("a tensor of \(dtype.rawValue) cannot be made one of \(room.dtype.rawValue)")
    }
    return withExtendedLifetime(self) { Tensor(room) }
  }
}

// MARK: Views

extension Tensor {
  /// The same elements under another shape of the same count. Free, also for gradients: those are
  /// kept flat.
  public func reshaped(_ shape: Shape) -> Tensor {
    Tensor(contents.reshaped(shape), history: history)
  }

  /// The same elements, cut off from how they were computed.
  public func detached() -> Tensor { Tensor(contents) }

  /// Rows `range`, all axes but the last joined, of whatever type, untracked: a view of mapped memory,
  /// a copy of other.
  package func block(rows range: Range<Int>) -> Tensor {
    ensure(range.lowerBound >= 0 && range.upperBound <= shape.rows, "rows \(range) of \(shape)")
    let size = shape.last * dtype.size
    let (start, bytes) = (contents.storage.pointer + range.lowerBound * size, range.count * size)
    let view = Storage(mapped: start, byteCount: bytes, owner: contents.storage)
    let block = TensorValue(shape: [range.count, shape.last], dtype: dtype, storage: view)
    return Tensor(contents.storage.isMapped ? block : block.copied())
  }

  /// Whether gradients flow to this tensor.
  public var isTracked: Bool { history != nil }
}

extension Tensor: CustomStringConvertible {
  /// Shape and the first elements.
  public var description: String {
    let shown =
      dtype == .int32 ? integers.prefix(8).map { "\($0)" } : values.prefix(8).map { "\($0)" }
    let more = count > 8 ? ", …" : ""
    return "Tensor\(shape) [" + shown.joined(separator: ", ") + more + "]"
  }
}
