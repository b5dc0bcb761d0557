#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

extension Tensor {
  /// Zeros that are never written and use addresses but no memory, so that the shapes of a model of
  /// any size can be looked at. Nil when there are not even addresses.
  package init?(placeholder shape: Shape) {
    guard let count = shape.checkedCount,
      case let (bytes, overflow) = count.multipliedReportingOverflow(by: DType.float32.size),
      !overflow
    else { return nil }
    guard bytes > 0 else {
      self.init(uninitialized: shape)
      return
    }
    guard let pages = ZeroPages(byteCount: bytes) else { return nil }
    self.init(
      TensorValue(
        shape: shape, dtype: .float32,
        storage: Storage(mapped: pages.pointer, byteCount: bytes, owner: pages)))
  }
}

extension Shape {
  /// The number of elements of a tensor of this shape; nil when that is more than an `Int` of
  /// bytes.
  package var checkedCount: Int? {
    var count = 1
    for dimension in dimensions {
      let (next, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard !overflow else { return nil }
      count = next
    }
    return count <= Int.max / 8 ? count : nil
  }
}

/// Read-only pages of zeros, which the system makes only when they are read.
private final class ZeroPages {
  let pointer: UnsafeMutableRawPointer
  private let byteCount: Int

  init?(byteCount: Int) {
    #if canImport(Darwin)
      let flags = MAP_PRIVATE | MAP_ANON
    #else
      let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    #endif
    let address = mmap(nil, byteCount, PROT_READ, flags, -1, 0)
    guard let address, address != MAP_FAILED else { return nil }
    pointer = address
    self.byteCount = byteCount
  }

  deinit { _ = munmap(pointer, byteCount) }
}
