import CApusKernels

/// The memory behind a tensor.
///
/// `@unchecked Sendable` holds because the bytes are written only where a tensor is made, before
/// anyone else has it, and by whoever holds the single reference (``TensorValue`` copies on write).
package final class Storage: @unchecked Sendable {
  package let pointer: UnsafeMutableRawPointer
  package let byteCount: Int
  /// Keeps foreign memory, such as a mapped file, alive; nil for memory of the pool.
  private let owner: AnyObject?

  /// Takes memory from the pool; its contents are undefined. Nil when the system has none left.
  package init?(byteCount: Int) {
    guard let memory = apus_buffer_acquire(max(byteCount, 1)) else { return nil }
    self.byteCount = byteCount
    pointer = memory
    owner = nil
  }

  /// Refers to memory that `owner` keeps alive and that is never written.
  package init(mapped pointer: UnsafeMutableRawPointer, byteCount: Int, owner: AnyObject) {
    self.pointer = pointer
    self.byteCount = byteCount
    self.owner = owner
  }

  deinit {
    if owner == nil { apus_buffer_release(pointer, max(byteCount, 1)) }
  }

  package var isMapped: Bool { owner != nil }
}
