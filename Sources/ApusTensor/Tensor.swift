import CApusKernels

/// An array of numbers with a shape, and the unit of differentiation.
///
/// A tensor is a value: a copy shares its memory until one of them is written. Operations record
/// how their result came about while a tracked tensor, a ``Parameter``'s value for example, takes
/// part; ``backward()`` then fills the gradients. ``withoutGradient(_:)`` switches that off.
public struct Tensor: Sendable {
  /// The sizes, outermost axis first.
  public let shape: Shape
  /// The type of the elements.
  public let dtype: DType
  package var storage: Storage
  /// How the tensor was computed, while gradients are recorded. Set before a tensor leaves the
  /// function that made it, and used by the thread that calls `backward()` alone.
  nonisolated(unsafe) package var history: History?

  package init(
    shape: Shape, dtype: DType = .float32, storage: Storage, history: History? = nil
  ) {
    self.shape = shape
    self.dtype = dtype
    self.storage = storage
    self.history = history
  }

  /// A tensor whose contents are undefined, to be written by a kernel.
  package init(uninitialized shape: Shape, dtype: DType = .float32) {
    self.init(shape: shape, dtype: dtype, storage: Storage(byteCount: shape.count * dtype.size))
  }

  /// A tensor of zeros.
  public init(zeros shape: Shape) { self.init(repeating: 0, shape) }

  /// A tensor whose every element is `value`.
  public init(repeating value: Float, _ shape: Shape) {
    self.init(uninitialized: shape)
    apus_fill_f32(floats, value, shape.count)
  }

  /// A tensor of the given elements, in row-major order; there must be as many as the shape says.
  public init(_ values: [Float], _ shape: Shape) {
    precondition(
      values.count == shape.count, "\(values.count) values do not fill a tensor of shape \(shape)")
    self.init(uninitialized: shape)
    values.withUnsafeBytes { source in
      if let base = source.baseAddress {
        storage.pointer.copyMemory(from: base, byteCount: source.count)
      }
    }
  }

  /// A tensor of integers such as token ids, in row-major order.
  public init(_ values: [Int32], _ shape: Shape) {
    precondition(
      values.count == shape.count, "\(values.count) values do not fill a tensor of shape \(shape)")
    self.init(uninitialized: shape, dtype: .int32)
    values.withUnsafeBytes { source in
      if let base = source.baseAddress {
        storage.pointer.copyMemory(from: base, byteCount: source.count)
      }
    }
  }

  /// A scalar.
  public init(_ value: Float) { self.init([value], []) }

  /// The number of elements.
  public var count: Int { shape.count }
}

// MARK: Reading and writing

extension Tensor {
  /// The elements in row-major order. Half-width floats are widened.
  public var values: [Float] {
    let source = converted(to: .float32)
    return Array(UnsafeBufferPointer(start: source.floats, count: count))
  }

  /// The elements of an integer tensor in row-major order.
  public var integers: [Int32] {
    precondition(dtype == .int32, "A tensor of \(dtype) holds no integers")
    return Array(UnsafeBufferPointer(start: ints, count: count))
  }

  /// The single element of a tensor that has one.
  public var scalar: Float {
    precondition(count == 1 && dtype == .float32, "A tensor of shape \(shape) is no scalar")
    return floats[0]
  }

  /// Calls `body` with the elements, for reading.
  public func withFloats<Result>(
    _ body: (UnsafeBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    precondition(dtype == .float32, "A tensor of \(dtype) holds no floats")
    defer { withExtendedLifetime(storage) {} }
    return try body(UnsafeBufferPointer(start: floats, count: count))
  }

  /// Calls `body` with the elements, for writing. Copies first when the memory is shared.
  public mutating func withMutableFloats<Result>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    precondition(dtype == .float32, "A tensor of \(dtype) holds no floats")
    if storage.isMapped || history != nil || !isKnownUniquelyReferenced(&storage) {
      self = copied()
    }
    return try body(UnsafeMutableBufferPointer(start: floats, count: count))
  }

  /// The tensor's bytes, for reading.
  package func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    defer { withExtendedLifetime(storage) {} }
    return try body(UnsafeRawBufferPointer(start: storage.pointer, count: count * dtype.size))
  }

  /// The same numbers in memory of their own, untracked.
  public func copied() -> Tensor {
    let copy = Tensor(uninitialized: shape, dtype: dtype)
    copy.storage.pointer.copyMemory(from: storage.pointer, byteCount: count * dtype.size)
    return copy
  }

  /// The same numbers as another type of float.
  public func converted(to target: DType) -> Tensor {
    guard dtype != target else { return self }
    let result = Tensor(uninitialized: shape, dtype: target)
    let (from, to) = (storage.pointer, result.storage.pointer)
    switch (dtype, target) {
    case (.bfloat16, .float32):
      apus_bf16_to_f32(to.assumingMemoryBound(to: Float.self), half(from), count)
    case (.float16, .float32):
      apus_f16_to_f32(to.assumingMemoryBound(to: Float.self), half(from), count)
    case (.float32, .bfloat16):
      apus_f32_to_bf16(half(to), floats, count)
    case (.float32, .float16):
      apus_f32_to_f16(half(to), floats, count)
    default:
      preconditionFailure("No conversion from \(dtype) to \(target)")
    }
    return result
  }

  private func half(_ pointer: UnsafeMutableRawPointer) -> UnsafeMutablePointer<UInt16> {
    pointer.assumingMemoryBound(to: UInt16.self)
  }

  package var floats: UnsafeMutablePointer<Float> {
    storage.pointer.assumingMemoryBound(to: Float.self)
  }

  package var ints: UnsafeMutablePointer<Int32> {
    storage.pointer.assumingMemoryBound(to: Int32.self)
  }
}

// MARK: Views

extension Tensor {
  /// The same elements under another shape of the same count. Free, also for gradients: those are
  /// kept flat.
  public func reshaped(_ shape: Shape) -> Tensor {
    precondition(shape.count == count, "A tensor of shape \(self.shape) has no shape \(shape)")
    return Tensor(shape: shape, dtype: dtype, storage: storage, history: history)
  }

  /// The same elements, cut off from how they were computed.
  public func detached() -> Tensor { Tensor(shape: shape, dtype: dtype, storage: storage) }

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
