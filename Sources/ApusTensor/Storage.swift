import CApusKernels

/// The memory behind a tensor.
///
/// `@unchecked Sendable` holds because the bytes are written only by the holder of the single
/// reference (``Tensor`` copies on write) and by the optimizer, which runs while no pass does.
package final class Storage: @unchecked Sendable {
  package let pointer: UnsafeMutableRawPointer
  package let byteCount: Int
  /// Keeps foreign memory, such as a mapped file, alive; nil for memory of the pool.
  private let owner: AnyObject?

  /// Takes memory from the pool; its contents are undefined.
  package init(byteCount: Int) {
    self.byteCount = byteCount
    guard let memory = apus_buffer_acquire(max(byteCount, 1)) else {
      preconditionFailure("The system has no \(byteCount) bytes of memory left")
    }
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
