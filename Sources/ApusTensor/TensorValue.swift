import CApusKernels

/// The numbers of a tensor without how they came about: what may cross to another thread, and what
/// states and tables keep.
///
/// A value: a copy shares its memory until one of them is written.
public struct TensorValue: Sendable {
  /// The sizes, outermost axis first.
  public let shape: Shape
  /// The type of the elements.
  public let dtype: DType
  package var storage: Storage

  package init(shape: Shape, dtype: DType, storage: Storage) {
    self.shape = shape
    self.dtype = dtype
    self.storage = storage
  }

  /// Memory with undefined contents; nil when the system has none left.
  package init?(room shape: Shape, dtype: DType = .float32) {
    guard let count = shape.checkedCount, let storage = Storage(byteCount: count * dtype.size)
    else { return nil }
    self.init(shape: shape, dtype: dtype, storage: storage)
  }

  /// The same as ``init(room:dtype:)`` for callers without another way: without memory the process
  /// ends with a sentence.
  init(uninitialized shape: Shape, dtype: DType) {
    guard let room = TensorValue(room: shape, dtype: dtype) else {
      stop("no memory left for a tensor of shape \(shape)")
    }
    self = room
  }

  /// The numbers of `tensor`, sharing its memory.
  public init(_ tensor: Tensor) { self = tensor.contents }

  /// The number of elements.
  public var count: Int { shape.count }

  /// Bytes of the elements.
  public var byteCount: Int { count * dtype.size }

  /// Calls `body` with the elements, for reading.
  public func withFloats<Result>(
    _ body: (UnsafeBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    try withPointers(self) { try body(UnsafeBufferPointer(start: $0, count: count)) }
  }

  /// Calls `body` with the elements, for writing. Copies first when the memory is shared.
  public mutating func withMutableFloats<Result>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    makeUnique()
    return try withPointers(out) { try body(UnsafeMutableBufferPointer(start: $0, count: count)) }
  }

  /// Copies when the memory is shared or mapped, so that it can be written.
  package mutating func makeUnique() {
    if !isWritable { self = copied() }
  }

  /// Whether nobody else holds the memory.
  var isWritable: Bool {
    mutating get { !storage.isMapped && isKnownUniquelyReferenced(&storage) }
  }

  /// The same numbers in memory of their own.
  package func copied() -> TensorValue {
    let copy = TensorValue(uninitialized: shape, dtype: dtype)
    copy.storage.pointer.copyMemory(from: storage.pointer, byteCount: byteCount)
    return withExtendedLifetime(self) { copy }
  }

  /// The same elements under another shape of the same count.
  package func reshaped(_ shape: Shape) -> TensorValue {
    ensure(shape.count == count, "a tensor of shape \(self.shape) has no shape \(shape)")
    return TensorValue(shape: shape, dtype: dtype, storage: storage)
  }
}
