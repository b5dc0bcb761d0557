#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// A file as read-only memory. Pages come from the disk when they are touched and cost no memory of
/// the process; the map lasts as long as this object.
///
/// Replacing the file by another of the same name, as all of Apus does, leaves the map intact. A
/// foreign program that shortens the file in place breaks it, and the system then ends the process.
package final class MappedFile: @unchecked Sendable {
  // `@unchecked Sendable`: the pages are mapped read-only, and nothing here changes.

  /// The path that was opened.
  package let path: String
  /// The whole file. Empty for an empty file.
  package let bytes: UnsafeRawBufferPointer

  /// Maps a regular file.
  package init(_ path: String) throws {
    self.path = path
    let (descriptor, size) = try Files.openForReading(path)
    defer { _ = close(descriptor) }
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let address, address != MAP_FAILED else { throw FileError("map", path) }
    bytes = UnsafeRawBufferPointer(start: address, count: size)
  }

  deinit {
    if let address = bytes.baseAddress {
      _ = munmap(UnsafeMutableRawPointer(mutating: address), bytes.count)
    }
  }
}
