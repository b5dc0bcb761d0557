/// What a kernel can be given: something with memory, checked before a pointer to it is handed out.
package protocol KernelOperand {
  /// What the kernel gets.
  associatedtype Pointer
  /// The pointer; a wrong type of element ends the process, naming `operation`.
  func pointer(for operation: StaticString) -> Pointer
}

/// A type of element that kernels read and write.
package protocol KernelElement {
  static var dtype: DType { get }
}

extension Float: KernelElement {
  package static var dtype: DType { .float32 }
}

extension Int32: KernelElement {
  package static var dtype: DType { .int32 }
}

/// A tensor that a kernel reads, from one of its elements on.
package struct KernelInput<Element: KernelElement>: KernelOperand {
  let value: TensorValue
  var offset = 0

  @inline(__always)
  package func pointer(for operation: StaticString) -> UnsafePointer<Element> {
    if value.dtype != Element.dtype { refuse(value, Element.dtype, operation) }
    return UnsafePointer(value.storage.pointer.assumingMemoryBound(to: Element.self)) + offset
  }

  /// The same tensor from a later element on.
  func from(_ element: Int) -> KernelInput { KernelInput(value: value, offset: offset + element) }

  /// The same tensor, freshly made or uniquely held, for a kernel to write.
  var out: KernelOutput<Element> { KernelOutput(value: value, offset: offset) }
}

/// A tensor that a kernel writes, from one of its elements on: freshly made, or uniquely held.
package struct KernelOutput<Element: KernelElement>: KernelOperand {
  let value: TensorValue
  var offset = 0

  @inline(__always)
  package func pointer(for operation: StaticString) -> UnsafeMutablePointer<Element> {
    if value.dtype != Element.dtype || value.storage.isMapped {
      refuse(value, Element.dtype, operation)
    }
    return value.storage.pointer.assumingMemoryBound(to: Element.self) + offset
  }

  /// The same tensor from a later element on.
  func from(_ element: Int) -> KernelOutput { KernelOutput(value: value, offset: offset + element) }
}

extension TensorValue: KernelOperand {
  @inline(__always)
  package func pointer(for operation: StaticString) -> UnsafePointer<Float> {
    input.pointer(for: operation)
  }

  var input: KernelInput<Float> { KernelInput(value: self) }
  var ints: KernelInput<Int32> { KernelInput(value: self) }
  var out: KernelOutput<Float> { KernelOutput(value: self) }
}

extension Tensor: KernelOperand {
  @inline(__always)
  package func pointer(for operation: StaticString) -> UnsafePointer<Float> {
    contents.input.pointer(for: operation)
  }

  /// This tensor for a kernel to read; an operand by itself where it is read from its first element.
  var input: KernelInput<Float> { contents.input }
  /// This tensor as integers.
  var ints: KernelInput<Int32> { contents.ints }
  /// This tensor, freshly made, for a kernel to write.
  var out: KernelOutput<Float> { contents.out }
}

extension Optional: KernelOperand where Wrapped: KernelOperand {
  @inline(__always)
  package func pointer(for operation: StaticString) -> Wrapped.Pointer? {
    self?.pointer(for: operation)
  }
}

@inline(never)
private func refuse(_ value: TensorValue, _ dtype: DType, _ operation: StaticString) -> Never {
  stop(
    value.dtype == dtype
      ? "\(operation): a tensor of shape \(value.shape) is mapped from a file and cannot be written"
      : "\(operation): a tensor of shape \(value.shape) is \(value.dtype.rawValue), not \(dtype.rawValue)"
  )
}

// MARK: Calling kernels

/// Calls a kernel with the memory of its operands, which stay alive until it returns and have the
/// type of element that the kernel asks for. `x` is read, `y.out` written, `ids.ints` are integers,
/// `x.input.from(3)` leaves out three elements; nil is NULL.
///
/// One function for each number of operands: a parameter pack is not specialized and costs more than
/// small kernels do. Many operands nest: what is written outside, what is read inside.
@inline(__always)
package func withPointers<A: KernelOperand, Result>(
  _ a: A, in operation: StaticString = #function, _ kernel: (A.Pointer) throws -> Result
) rethrows -> Result {
  defer { withExtendedLifetime(a) {} }
  return try kernel(a.pointer(for: operation))
}

/// The same for two operands.
@inline(__always)
package func withPointers<A: KernelOperand, B: KernelOperand, Result>(
  _ a: A, _ b: B, in operation: StaticString = #function,
  _ kernel: (A.Pointer, B.Pointer) throws -> Result
) rethrows -> Result {
  defer { withExtendedLifetime((a, b)) {} }
  return try kernel(a.pointer(for: operation), b.pointer(for: operation))
}

/// The same for three operands.
@inline(__always)
package func withPointers<A: KernelOperand, B: KernelOperand, C: KernelOperand, Result>(
  _ a: A, _ b: B, _ c: C, in operation: StaticString = #function,
  _ kernel: (A.Pointer, B.Pointer, C.Pointer) throws -> Result
) rethrows -> Result {
  defer { withExtendedLifetime((a, b, c)) {} }
  return try kernel(a.pointer(for: operation), b.pointer(for: operation), c.pointer(for: operation))
}

/// The same for four operands.
@inline(__always)
package func withPointers<
  A: KernelOperand, B: KernelOperand, C: KernelOperand, D: KernelOperand, Result
>(
  _ a: A, _ b: B, _ c: C, _ d: D, in operation: StaticString = #function,
  _ kernel: (A.Pointer, B.Pointer, C.Pointer, D.Pointer) throws -> Result
) rethrows -> Result {
  defer { withExtendedLifetime((a, b, c, d)) {} }
  return try kernel(
    a.pointer(for: operation), b.pointer(for: operation), c.pointer(for: operation),
    d.pointer(for: operation))
}

/// The same for five operands.
@inline(__always)
package func withPointers<
  A: KernelOperand, B: KernelOperand, C: KernelOperand, D: KernelOperand, E: KernelOperand, Result
>(
  _ a: A, _ b: B, _ c: C, _ d: D, _ e: E, in operation: StaticString = #function,
  _ kernel: (A.Pointer, B.Pointer, C.Pointer, D.Pointer, E.Pointer) throws -> Result
) rethrows -> Result {
  try withPointers(a, b, c, d, in: operation) { a, b, c, d in
    try withPointers(e, in: operation) { try kernel(a, b, c, d, $0) }
  }
}

/// The same for six operands.
@inline(__always)
package func withPointers<
  A: KernelOperand, B: KernelOperand, C: KernelOperand, D: KernelOperand, E: KernelOperand,
  F: KernelOperand, Result
>(
  _ a: A, _ b: B, _ c: C, _ d: D, _ e: E, _ f: F, in operation: StaticString = #function,
  _ kernel: (A.Pointer, B.Pointer, C.Pointer, D.Pointer, E.Pointer, F.Pointer) throws -> Result
) rethrows -> Result {
  try withPointers(a, b, c, d, in: operation) { a, b, c, d in
    try withPointers(e, f, in: operation) { try kernel(a, b, c, d, $0, $1) }
  }
}

/// The same for seven operands.
@inline(__always)
package func withPointers<
  A: KernelOperand, B: KernelOperand, C: KernelOperand, D: KernelOperand, E: KernelOperand,
  F: KernelOperand, G: KernelOperand, Result
>(
  _ a: A, _ b: B, _ c: C, _ d: D, _ e: E, _ f: F, _ g: G, in operation: StaticString = #function,
  _ kernel: (A.Pointer, B.Pointer, C.Pointer, D.Pointer, E.Pointer, F.Pointer, G.Pointer) throws ->
    Result
) rethrows -> Result {
  try withPointers(a, b, c, d, in: operation) { a, b, c, d in
    try withPointers(e, f, g, in: operation) { try kernel(a, b, c, d, $0, $1, $2) }
  }
}

/// The same for eight operands.
@inline(__always)
package func withPointers<
  A: KernelOperand, B: KernelOperand, C: KernelOperand, D: KernelOperand, E: KernelOperand,
  F: KernelOperand, G: KernelOperand, H: KernelOperand, Result
>(
  _ a: A, _ b: B, _ c: C, _ d: D, _ e: E, _ f: F, _ g: G, _ h: H,
  in operation: StaticString = #function,
  _ kernel: (A.Pointer, B.Pointer, C.Pointer, D.Pointer, E.Pointer, F.Pointer, G.Pointer, H.Pointer)
    throws -> Result
) rethrows -> Result {
  try withPointers(a, b, c, d, in: operation) { a, b, c, d in
    try withPointers(e, f, g, h, in: operation) { try kernel(a, b, c, d, $0, $1, $2, $3) }
  }
}
